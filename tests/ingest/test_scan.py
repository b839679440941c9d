"""The root is found at any sensible level; each row finds its file, and what is not a row's is known."""

import dataclasses
import os
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest

from ingest import corpora, scan
from ingest.corpora import _folders
from ingest.types import Corpus, DataError

CORPUS = Corpus(
    name="tiny", title="T", domain="speech", licence="-", citation="-", counts=(), markers=("list.txt|old.txt", "a"),
    audio=("a", "b"), rate_hz=None, stem_unique=True,
)  # fmt: skip


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_the_root_is_found_below_and_above(tmp_path):
    root = put(tmp_path / "one/two/root", "list.txt", "a/1.wav")
    for given in (root, tmp_path / "one", tmp_path, root / "a"):
        assert scan.find_root(CORPUS, given) == root


@pytest.mark.parametrize(
    "given", ["keys/DF/CM", "keys/DF", "keys", "ASVspoof2021_DF_eval_part03/ASVspoof2021_DF_eval/flac"]
)
def test_the_root_of_2021_is_found_from_within_its_key_and_its_parts(given, tmp_path):
    audio = "ASVspoof2021_DF_eval_part03/ASVspoof2021_DF_eval/flac/DF_E_2000011.flac"
    root = put(tmp_path / "1/2/DF", "keys/DF/CM/trial_metadata.txt", audio)
    assert scan.find_root(corpora.get("asvspoof2021_df").corpus, root / given) == root


def test_any_alternative_of_a_marker_will_do_and_all_markers_must_be_there(tmp_path):
    assert scan.is_root(CORPUS, put(tmp_path / "r", "old.txt", "a/1.wav"))
    assert not scan.is_root(CORPUS, put(tmp_path / "s", "old.txt"))


def test_two_candidates_are_refused_with_both_names(tmp_path):
    for name in ("x", "y"):
        put(tmp_path / name, "list.txt", "a/1.wav")
    with pytest.raises(DataError, match=rf"2 folders below .* fit: {tmp_path}/x, {tmp_path}/y"):
        scan.find_root(CORPUS, tmp_path)


@pytest.mark.parametrize(
    ("name", "files"),
    [("asvspoof2021_df", ["keys/DF/CM/trial_metadata.txt", "ASVspoof2021_DF_eval/flac/DF_E_2000011.flac"]),
     ("asvspoof2021_la", ["keys/CM/trial_metadata.txt", "flac/LA_E_2000011.flac"]),
     ("asvspoof5", ["ASVspoof5.train.tsv", "flac_T/T_0000000000.flac"])],
)  # fmt: skip
def test_two_copies_below_a_folder_that_may_be_the_root_too_are_two_candidates(name, files, tmp_path):
    corpus = corpora.get(name).corpus
    one, other = put(tmp_path / "x/a", *files), put(tmp_path / "x/b", files[0])
    assert scan.find_root(corpus, tmp_path / "x") == tmp_path / "x"  # another package of the key is no copy
    put(other, *files)
    with pytest.raises(DataError, match=rf"2 folders below .* fit: {one}, {other}"):
        scan.find_root(corpus, tmp_path / "x")
    assert scan.find_root(corpus, other) == scan.find_root(corpus, other / files[1].split("/")[0]) == other


def test_partitions_of_asvspoof5_in_folders_of_their_own_are_one_corpus(tmp_path):
    root = put(tmp_path, "train/ASVspoof5.train.tsv", "train/flac_T/T_0000000000.flac",
               "dev/ASVspoof5.dev.track_1.tsv", "dev/flac_D/D_0000000000.flac")  # fmt: skip
    assert scan.find_root(corpora.get("asvspoof5").corpus, root) == root


@pytest.mark.parametrize("name", ["empty", "none", "file"])
def test_a_wrong_root_says_what_was_looked_for(tmp_path, name):
    (tmp_path / "x/y/z/empty").mkdir(parents=True)
    (tmp_path / "x/y/z/file").write_text("")
    message = {"empty": "holds list.txt or old.txt; a", "none": "does not exist", "file": "is a file"}[name]
    with pytest.raises(DataError, match=message):
        scan.find_root(CORPUS, tmp_path / "x/y/z" / name)


@pytest.mark.parametrize(("name", "labels"), [
    ("asvspoof2021_la", "LA-keys-full.tar.gz"), ("asvspoof2021_df", "DF-keys-full.tar.gz"),
    ("asvspoof5", "ASVspoof5_protocols.tar.gz"), ("ctrsvdd", "train.txt, dev.txt and test.txt"),
])  # fmt: skip
def test_audio_without_its_labels_says_which_download_has_them(name, labels, tmp_path):
    with pytest.raises(DataError, match=rf"the labels come apart from the audio \({labels}"):
        scan.find_root(corpora.get(name).corpus, put(tmp_path / "1/2/3", "flac/1.flac"))


def test_the_early_package_of_asvspoof5_is_a_root_and_told_apart(tmp_path):
    root = put(tmp_path / "1/2/3", "ASVspoof5.dev.metainfor.txt")
    assert scan.find_root(corpora.get("asvspoof5").corpus, root) == root


def test_a_root_whose_path_is_not_utf8_is_refused_and_a_link_to_it_is_not(tmp_path):
    root = put(Path(os.fsdecode(os.fsencode(tmp_path / "x") + b"\xe9")), "list.txt", "a/1.wav")
    for given in (root, tmp_path):
        with pytest.raises(DataError, match=r"x\\xe9: the path is not in UTF-8; rename it"):
            scan.find_root(CORPUS, given)
    (tmp_path / "link").symlink_to(root)
    assert scan.find_root(CORPUS, tmp_path / "link") == tmp_path / "link"


def match(root: Path, *paths: str, corpus: Corpus = CORPUS):
    files = scan.index(root, corpus.audio, {})
    rows = pa.table({"place": pa.nulls(len(paths), pa.string()), "path": pa.array(paths)})
    found = scan.match(rows, files, corpus)
    there = files["path"].to_pylist()
    return [there[i] if i >= 0 else None for i in found.file], [there[i] for i in found.extra], found.notes


def test_junk_and_texts_are_no_audio_files_and_the_rest_is_extra(tmp_path):
    root = put(tmp_path, "a/1.wav", "a/._1.wav", "a/.DS_Store", "a/Thumbs.db", "a/__MACOSX/1.wav", "a/2.wav.part",
               "a/Desktop.ini", "a/README.txt", "a/deep/er/3.wav", "a/x.bin", "c/4.wav")  # fmt: skip
    assert match(root, "a/1.wav") == (["a/1.wav"], ["a/deep/er/3.wav", "a/x.bin"], ())


def test_exact_before_other_extension_before_case_before_folder(tmp_path):
    root = put(tmp_path, "a/1.wav", "a/1.flac", "a/2.flac", "a/Three.wav", "b/4.wav", "b/FIVE.flac")
    found, extra, notes = match(root, "a/1.wav", "a/2.wav", "a/three.wav", "a/4.wav", "a/five.wav", "a/6.wav")
    assert found == ["a/1.wav", "a/2.flac", "a/Three.wav", "b/4.wav", "b/FIVE.flac", None]
    assert extra == ["a/1.flac"]
    assert [note.split(" (")[0] for note in notes] == [
        "1 audio files have another extension than the official one",
        "1 audio files differ from the official name in upper and lower case",
        "1 audio files lie in another folder than the official one",
        "1 audio files lie in another folder and differ in upper and lower case",
    ]
    assert "first: a/2.flac for a/2.wav" in notes[0]


@pytest.mark.parametrize("stem_unique", [True, False])
def test_two_copies_of_the_audio_that_differ_are_refused_and_equal_ones_are_not(stem_unique, tmp_path):
    corpus = dataclasses.replace(CORPUS, stem_unique=stem_unique)
    root = put(
        tmp_path, "a/full/1.wav", "a/trimmed/1.wav", "a/full/2.wav", "a/trimmed/2.wav", "a/3.wav", "a/other/3.wav"
    )
    assert match(root, "a/1.wav", "a/2.wav", "a/3.wav", corpus=corpus)[0] == ["a/full/1.wav", "a/full/2.wav", "a/3.wav"]
    (root / "a/other/3.wav").write_bytes(b"shorter")  # of a row that has its file in its place
    (root / "a/trimmed/2.wav").write_bytes(b"shorter")
    with pytest.raises(DataError, match=r"1 utterances have several files that differ \(first: a/full/2.wav and a/tr"):
        match(root, "a/1.wav", "a/2.wav", "a/3.wav", corpus=corpus)


@pytest.mark.parametrize("stem_unique", [True, False])
def test_accents_may_be_in_another_unicode_form(stem_unique, tmp_path):
    split, composed = (unicodedata.normalize(form, "a/Zoë_1.wav") for form in ("NFD", "NFC"))
    corpus = dataclasses.replace(CORPUS, stem_unique=stem_unique)
    for listed, there in ((composed, split), (split, composed.replace("wav", "FLAC"))):
        root = put(tmp_path / there, there)
        rows = pa.table({"place": pa.nulls(1, pa.string()), "path": [listed]})
        matched = scan.match(rows, scan.index(root, CORPUS.audio, {}), corpus)
        assert matched.file.tolist() == [0]
    assert matched.notes[0].startswith("1 audio files have another extension")


def test_where_stems_recur_another_folder_is_another_utterance(tmp_path):
    corpus = dataclasses.replace(CORPUS, stem_unique=False)
    root = put(tmp_path, "a/1.wav", "b/2.wav")
    assert match(root, "a/1.wav", "a/2.wav", corpus=corpus) == (["a/1.wav", None], ["b/2.wav"], ())


def test_flattened_folders_are_recognised(tmp_path):
    corpus = dataclasses.replace(CORPUS, stem_unique=False)
    root = put(tmp_path, "a/9.wav", *(f"all/{n}.wav" for n in range(4)))
    rows = pa.table({"place": pa.nulls(8, pa.string()), "path": [f"{f}/{n}.wav" for f in "ab" for n in range(4)]})
    files = scan.index(root, corpus.audio, {})
    matched = scan.match(rows, files, corpus)
    assert f"lies together in {root}/all, but" in scan.misplaced(rows, files, root, corpus, matched)
    assert scan.misplaced(rows, files, root, CORPUS, matched) is None


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("old_a", "old_b"), "lies in 2 other folders (first: ROOT/old_a, where ROOT/a is due), and "),
        (("a", "old_b"), "lies in ROOT/old_b, where ROOT/b is due; give it back its name and place"),
    ],
)
def test_renamed_folders_are_told_apart_from_flattened_ones(folders, message, tmp_path):
    """Of one alone, say LibriSeVoc's parallel_wave_gan as parallel_wavegan, it told to unpack the archive again."""
    corpus = dataclasses.replace(CORPUS, stem_unique=False)
    root = put(tmp_path, *(f"{f}/{n}.wav" for f in folders for n in range(4)))
    rows = pa.table({"place": pa.nulls(8, pa.string()), "path": [f"{f}/{n}.wav" for f in "ab" for n in range(4)]})
    files = scan.index(root, corpus.audio, {})
    told = scan.misplaced(rows, files, root, corpus, scan.match(rows, files, corpus))
    assert told.startswith(message.replace("ROOT", str(root)))


def test_files_that_a_row_has_are_not_misplaced(tmp_path):
    corpus = dataclasses.replace(CORPUS, stem_unique=False)
    root = put(tmp_path, *(f"a/{n}.WAV" for n in range(4)))
    rows = pa.table({"place": pa.nulls(8, pa.string()), "path": [f"{f}/{n}.wav" for f in "ab" for n in range(4)]})
    files = scan.index(root, corpus.audio, {})
    matched = scan.match(rows, files, corpus)
    assert (matched.file >= 0).tolist() == [True] * 4 + [False] * 4
    assert scan.misplaced(rows, files, root, corpus, matched) is None


@pytest.mark.parametrize("stem_unique", [True, False])
def test_a_folder_in_another_case_is_told(stem_unique, tmp_path):
    corpus = dataclasses.replace(CORPUS, stem_unique=stem_unique)
    root = put(tmp_path, "A/1.wav", "b/1.wav", "B/1.wav")
    found, extra, notes = match(root, "a/1.wav", "b/1.wav", corpus=corpus)
    assert (found, extra) == (["A/1.wav", "b/1.wav"], [])
    assert notes == (
        "1 audio files differ from the official name in upper and lower case (first: A/1.wav for a/1.wav)",
    )


def test_a_level_too_much_below_its_folder_is_accepted_where_stems_recur(tmp_path):
    corpus = dataclasses.replace(CORPUS, stem_unique=False)
    root = put(tmp_path, "a/a/1.wav", "b/wav/1.wav")
    found, extra, notes = match(root, "a/1.wav", "b/1.wav", corpus=corpus)
    assert (found, extra) == (["a/a/1.wav", "b/wav/1.wav"], [])
    assert notes == ("2 audio files lie deeper in their folder than officially (first: a/a/1.wav for a/1.wav)",)


def test_links_to_one_folder_are_one_candidate(tmp_path):
    root = put(tmp_path / "in/root", "list.txt", "a/1.wav")
    (tmp_path / "in/again").symlink_to(root)
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    assert scan.find_root(CORPUS, tmp_path / "in") in (root, tmp_path / "in/again")


def test_a_folder_that_the_layout_names_is_not_the_root(tmp_path):
    corpus = dataclasses.replace(CORPUS, markers=("keys/list.txt|list.txt",))
    root = put(tmp_path / "root", "keys/list.txt", "a/1.wav")
    assert scan.find_root(corpus, root / "keys") == root
    alone = put(tmp_path / "other", "list.txt")
    assert scan.find_root(corpus, alone) == alone


def test_a_folder_of_protocols_beside_the_audio_is_not_the_root(tmp_path):
    corpus = dataclasses.replace(CORPUS, markers=("list.txt|*/list.txt",))
    root = put(tmp_path / "root", "any name/list.txt", "a/1.wav")
    assert scan.find_root(corpus, root / "any name") == root
    put(root, "any name/b/1.wav")
    assert scan.find_root(corpus, root / "any name") == root / "any name"


def test_protocols_beside_another_copy_are_a_root_of_their_own(tmp_path):
    corpus = dataclasses.replace(CORPUS, markers=("list.txt|*/list.txt",), audio=("a", "*/a"))
    alone = put(tmp_path / "alone", "list.txt")
    put(tmp_path / "sound", "a/1.wav")
    assert scan.find_root(corpus, alone) == tmp_path
    put(tmp_path / "whole", "list.txt", "a/1.wav")
    assert scan.find_root(corpus, alone) == alone


def test_a_gzipped_protocol_file_marks_the_root_too(tmp_path):
    assert scan.is_root(CORPUS, put(tmp_path / "r", "list.txt.gz", "a/1.wav"))


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    root = put(tmp_path, "a/1.wav", "a/shut/2.wav")
    real = scan.os.scandir

    def scandir(folder):
        if str(folder).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(scan.os, "scandir", scandir)
    with pytest.raises(DataError, match=r"a/shut: cannot be listed \(Permission denied\); make it readable"):
        scan.index(root, ["a"], {})


def test_a_folder_that_may_hold_the_root_and_cannot_be_listed_is_named(tmp_path, monkeypatch):
    """The line told to fetch the protocol files, which lay there."""
    root, real = put(tmp_path, "up/LA/list.txt", "a/1.wav"), os.access
    monkeypatch.setattr(scan, "is_root", lambda corpus, folder: False)  # globs find nothing where nothing can be listed
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "LA" and real(path, mode))
    with pytest.raises(
        DataError, match=r"up/LA cannot be listed \(Permission denied\), and no other .* holds list.txt"
    ):
        scan.find_root(CORPUS, root)


def test_junk_folders_are_not_entered_by_a_pattern(tmp_path):
    root = put(tmp_path, "x/__MACOSX/1.wav", "x/y/2.wav")
    assert scan.index(root, ["x/*"], {})["path"].to_pylist() == ["x/y/2.wav"]


def test_a_folder_of_another_place_has_paths_of_its_own(tmp_path):
    root, place = put(tmp_path / "r", "a/1.wav"), put(tmp_path / "p", "wavs/1.wav")
    files = scan.index(root, ["a"], {"lj": place})
    assert files.select(["place", "path"]).to_pylist() == [
        {"place": None, "path": "a/1.wav"}, {"place": "lj", "path": "wavs/1.wav"}
    ]  # fmt: skip
    rows = pa.table({"place": ["lj", None], "path": ["wavs/1.wav", "wavs/1.wav"]})
    assert scan.match(rows, files, dataclasses.replace(CORPUS, stem_unique=False)).file.tolist() == [1, -1]


def test_a_loop_of_links_and_odd_names_end(tmp_path):
    root = put(tmp_path, "a/1.wav")
    (root / "a/loop").symlink_to(root / "a")
    (root / "a/nowhere.wav").symlink_to(root / "gone.wav")
    (Path(str(root)) / "a" / "b\udcff.wav").write_bytes(b"")
    for link in (root / "a/itself.wav", tmp_path / "itself"):
        link.symlink_to(link.name)
    assert match(root, "a/1.wav") == (["a/1.wav"], ["a/b\ufffd.wav"], ())
    assert _folders.audio_names(root / "a") == ["1.wav", "b\udcff.wav"]
    assert scan.find_root(CORPUS, put(tmp_path / "c", "list.txt", "a/1.wav").parent) == tmp_path / "c"
