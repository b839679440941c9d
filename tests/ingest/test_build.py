"""One corpus into the catalog: complete, partial, faulty, again, and killed in the middle."""

import dataclasses
import shutil
from pathlib import Path

import miniatures
import pytest
import street
import whole_corpus
from whole_corpus import everything, ingest, query

from ingest import corpora, status, sweep, verify
from ingest.corpora import singfake
from ingest.types import DataError
from protocols import __main__ as protocol_commands

NAMES = corpora.names()
LA = "asvspoof2019_la"
EVAL = "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.eval.trl.txt"
CLIP = "ASVspoof2019_LA_eval/flac/LA_E_2834763.flac"


@pytest.fixture
def la(tmp_path):
    return whole_corpus.build(LA, tmp_path / "corpus")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.mark.parametrize("name", NAMES)
def test_a_complete_corpus_is_ingested_whole(name, tmp_path, data):
    rows = ingest(name, whole_corpus.build(name, tmp_path / "corpus"), data)
    assert rows and all(row["audio_status"] == "ok" and row["duration_s"] == 0.4 for row in rows)
    (corpus,) = query(data, "FROM corpus")
    assert (corpus["corpus"], corpus["partial"], corpus["simulated"]) == (name, False, True)
    measured = query(data, "FROM measurement")
    assert {row["utt_id"] for row in measured} == {row["utt_id"] for row in rows}
    assert all(None not in row.values() for row in measured)
    assert not query(data, "FROM finding WHERE kind IN ('missing', 'corrupt', 'extra')")


@pytest.mark.parametrize("name", NAMES)
def test_a_simulated_corpus_is_known_from_the_folder_above_too(name, tmp_path, data):
    whole_corpus.build(name, tmp_path / "all/one")
    (tmp_path / "all/two").mkdir()
    ingest(name, tmp_path / "all", data)
    assert query(data, "SELECT partial, simulated FROM corpus") == [{"partial": False, "simulated": True}]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "wavefake"])
def test_protocol_files_alone_will_do_when_told_so(name, tmp_path, data):
    root = whole_corpus.build(name, tmp_path / "corpus")
    for path in root.rglob("*"):
        if path.suffix in (".wav", ".flac") and name != "singfake":
            path.unlink()
    if name == "singfake":  # its rows are the clips where there are any, else the songs of the list
        shutil.rmtree(root)
        miniatures.put(root / "singfake.csv", miniatures.FILES[name]["singfake.csv"])
    rows = ingest(name, root, data, partial=True)
    assert rows and all(row["audio_status"] == "missing" and not row["audio_present"] for row in rows)
    assert query(data, "SELECT partial FROM corpus") == [{"partial": True}]
    assert not query(data, "FROM measurement")


def test_ingesting_again_changes_nothing_and_decodes_nothing(la, data, monkeypatch):
    ingest(LA, la, data)
    before = everything(data)
    monkeypatch.setattr(sweep.measure, "measure_all", lambda paths: pytest.fail(f"decodes {paths}"))
    ingest(LA, la, data)
    assert everything(data) == before


def test_ingesting_again_replaces_the_rows_of_this_corpus_only(la, data, tmp_path):
    ingest(LA, la, data)
    ingest("decro", whole_corpus.build("decro", tmp_path / "decro"), data)
    before = everything(data)
    eval_protocol = la / EVAL
    eval_protocol.write_text("LA_0040 LA_E_1000001 - - bonafide\n")
    whole_corpus.noise(la / CLIP.replace("2834763", "1000001"), 77)
    rows = ingest(LA, la, data, partial=True)
    assert len(rows) == 5 and not query(data, "FROM utterance WHERE path LIKE '%2834763%'")
    after = everything(data)
    hashes = [{m["utt_id"]: m["audio_hash"] for m in tables["measurement"]} for tables in (before, after)]
    changed = {utt_id for utt_id in hashes[1] if hashes[1][utt_id] != hashes[0][utt_id]}
    assert changed == {f"{LA}/LA_E_1000001"}
    for name in before:
        assert [row for row in before[name] if row["corpus"] == "decro"] == [
            row for row in after[name] if row["corpus"] == "decro"
        ]


def refused(la, data, message, **options):
    with pytest.raises(DataError, match=message) as caught:
        ingest(LA, la, data, **options)
    assert "\n" not in str(caught.value)
    assert not (data / "catalog.duckdb").exists(), "something was written"


def test_a_missing_file_is_refused_with_place_and_cure(la, data):
    (la / CLIP).unlink()
    refused(la, data, rf"^{LA}: 1 of 6 utterances have no audio \(1 of 1 eval spoof; first: LA_E_2834763, looked for "
            rf"{CLIP} under {la}\). Unpack LA.zip there, pass the folder that holds ASVspoof2019_LA_eval and the "
            r"labels as --root \(ROOT=\), or add --partial \(PARTIAL=1\) to go on without them.$")  # fmt: skip


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty file"), (b"<html>404</html>", "a web page, not audio"), (None, "truncated or damaged")],
)
def test_a_file_that_does_not_decode_is_refused_or_marked(la, data, content, reason):
    whole = (la / CLIP).read_bytes()
    (la / CLIP).write_bytes(whole[: len(whole) // 2] if content is None else content)
    refused(la, data, rf"1 of 6 audio files do not decode \(first: {la / CLIP}: {reason}")
    rows = ingest(LA, la, data, partial=True)
    assert [row["audio_status"] for row in rows if "2834763" in row["path"]] == ["corrupt"]
    (finding,) = query(data, "FROM finding WHERE kind = 'corrupt'")
    assert finding["path"] == CLIP and finding["detail"].startswith(reason)
    assert query(data, "SELECT partial FROM corpus") == [{"partial": True}]
    (la / CLIP).write_bytes(whole)
    assert {row["audio_status"] for row in ingest(LA, la, data)} == {"ok"}
    assert query(data, "SELECT partial FROM corpus") == [{"partial": False}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LA_0039 LA_E_2834763 - A11\n", "ASVspoof2019.LA.cm.eval.trl.txt: 4 columns"),
        ("LA_0040 LA_E_1000001 - - bonafide\nLA_0039 LA_E_2834763 - A11 spoof x\n", "line 2: 6 fields where 5"),
        ("LA_0039 LA_E_2834763 - A11 sproof\n", "line 1: label 'sproof' is none of bonafide, spoof, unknown"),
        ("LA_0039 DF_E_2834763 - A11 spoof\n", "'asvspoof2019_la/DF_E_2834763' is no eval utterance"),
        ("LA_0039 LA_E_2834763 - A11 spoof\nLA_0039 LA_E_2834763 - - bonafide\n",
         "line 2: asvspoof2019_la/LA_E_2834763 again, but not as in .*line 1: label 'spoof' and 'bonafide'"),
        ("LA_0040 LA_E_1000001 - - bonafide\n", "rows differ from the published counts: eval spoof 0 instead of 1"),
        ("LA_0039 LA_E_2834763 - A11 spoof\nLA_0039 LA_E_1000001 - A11 spoof\n",
         "eval bonafide 0 instead of 1; eval spoof 2 instead of 1"),
    ],
)  # fmt: skip
def test_a_faulty_protocol_is_refused(la, data, text, message):
    (la / EVAL).write_text(text)
    refused(la, data, message)


def test_windows_files_and_repeated_rows_are_accepted_and_told(la, data):
    plain = ingest(LA, la, data)
    text = (la / EVAL).read_text()
    (la / EVAL).write_bytes(b"\xef\xbb\xbf" + (text + text).replace("\n", " \r\n").encode())
    assert ingest(LA, la, data) == plain
    (note,) = query(data, "SELECT detail FROM finding WHERE kind = 'note'")
    assert note["detail"].startswith("2 rows repeat another row word for word and were dropped (first: ")
    assert "line 3, asvspoof2019_la/LA_E_2834763)" in note["detail"]


def test_an_unknown_label_is_kept_and_told(la, data):
    (la / EVAL).write_text((la / EVAL).read_text().replace("spoof", "unknown").replace("A11", "-"))
    rows = ingest(LA, la, data, partial=True)
    assert [row["label"] for row in rows if row["path"] == CLIP] == ["unknown"]
    assert query(data, "FROM trial_pool WHERE label = 'unknown'") == []
    assert query(data, "FROM finding WHERE detail LIKE '1 rows have the label unknown%'")


def test_a_missing_partition_is_a_difference(la, data):
    (la / EVAL).unlink()
    refused(la, data, "eval bonafide 0 instead of 1; eval spoof 0 instead of 1")
    assert len(ingest(LA, la, data, partial=True)) == 4


def test_extra_files_are_listed_and_do_no_harm(la, data):
    whole_corpus.noise(la / "ASVspoof2019_LA_dev/flac/LA_D_9999999.flac", 50)
    (la / "ASVspoof2019_LA_dev/flac/._LA_D_9999999.flac").write_bytes(b"x")
    assert len(ingest(LA, la, data)) == 6
    assert query(data, "SELECT kind, path FROM finding") == [
        {"kind": "extra", "path": "ASVspoof2019_LA_dev/flac/LA_D_9999999.flac"}
    ]


def test_converted_files_are_found_and_told(la, data):
    (la / CLIP).rename(la / CLIP.replace("flac/LA_E", "flac/la_e"))
    wav = whole_corpus.noise(la / "ASVspoof2019_LA_eval/flac/LA_E_1000001.wav", 60)
    (la / "ASVspoof2019_LA_eval/flac/LA_E_1000001.flac").unlink()
    rows = {row["utt_id"]: row["path"] for row in ingest(LA, la, data)}
    assert rows[f"{LA}/LA_E_1000001"] == str(wav.relative_to(la))
    assert len(query(data, "FROM finding WHERE kind = 'note'")) == 2


def test_audio_of_another_corpus_is_named_even_if_partial(la, data, tmp_path):
    other = whole_corpus.build("asvspoof2021_la", tmp_path / "other")
    ingest("asvspoof2021_la", other, data)
    before = everything(data)
    for path in (other / "ASVspoof2021_LA_eval/flac").iterdir():
        shutil.copy(path, la / "ASVspoof2019_LA_eval/flac")
    for partial in (False, True):
        with pytest.raises(
            DataError, match=r"4 of 4 audio files that its protocol does not name are in the list of asvs"
        ):
            ingest(LA, la, data, partial=partial)
    assert everything(data) == before


def test_more_strangers_than_utterances_are_another_corpus(la, data):
    for number in range(10):
        whole_corpus.noise(la / f"ASVspoof2019_LA_eval/flac/LA_E_900000{number}.flac", number, seconds=0.05)
    refused(la, data, "10 audio files .* more than the 2 that are .* the audio of asvspoof2021_la", partial=True)


def test_audio_of_a_partition_without_its_protocol_is_extra_and_no_stranger(la, data):
    for number in range(12):
        whole_corpus.noise(la / f"ASVspoof2019_LA_eval/flac/LA_E_900000{number:x}.flac", number, seconds=0.05)
        whole_corpus.noise(la / f"ASVspoof2019_LA_dev/flac/LA_D_900000{number % 10}.flac", number, seconds=0.05)
    for part in ("train.trn", "eval.trl"):
        next(la.rglob(f"ASVspoof2019.LA.cm.{part}.txt")).unlink()
    rows = ingest("asvspoof2019_la", la, data, partial=True)
    assert [(row["partition"], row["audio_status"]) for row in rows] == [("dev", "ok")] * 2
    (extra,) = query(data, "SELECT count(*) AS n FROM finding WHERE kind = 'extra'")
    assert extra["n"] == 12 + 10 + 4


def test_flattened_folders_are_refused_even_if_partial(tmp_path, data):
    root = whole_corpus.build("decro", tmp_path / "corpus")
    (root / "all").mkdir()
    for path in list(root.glob("*_*/*.wav")):
        path.rename(root / "all" / path.name)
    with pytest.raises(DataError, match=r"lies together in .*/all, but several utterances share a file name"):
        ingest("decro", root, data, partial=True)


def test_where_files_of_the_missing_names_lie_is_said(tmp_path, data):
    """In-the-Wild's audio outside of its official folder was missing, and nothing said why."""
    root = whole_corpus.build("in_the_wild", tmp_path / "corpus")
    (root / "wav").mkdir()
    for path in list(root.glob("release_in_the_wild/*.wav")):
        path.rename(root / "wav" / path.name)
    said = rf" 2 files of these names lie in {root}/wav; if they are these, move them to {root}/release_in_the_wild\.$"
    with pytest.raises(DataError, match=said):
        ingest("in_the_wild", root, data)
    (root / "wav/1.wav").unlink()
    (root / "wav/0.wav").rename(root / "wav/7.wav")
    with pytest.raises(DataError, match=r"to go on without them\.$"):
        ingest("in_the_wild", root, data)


def test_originals_may_lie_elsewhere(tmp_path, data):
    root = whole_corpus.build("wavefake", tmp_path / "corpus")
    lj = tmp_path / "elsewhere/LJSpeech-1.1"
    lj.parent.mkdir()
    (root / "real_audio/LJSpeech-1.1").rename(lj)
    rows = ingest("wavefake", root, data, places={"ljspeech": lj}, partial=True)
    there = [row for row in rows if row["place"] == "ljspeech"]
    assert there and all(row["audio_status"] == "ok" and row["path"].startswith("wavs/") for row in there)
    for row in query(data, "FROM audio_file"):
        assert Path(row["path"]).is_file()
    next(root.glob("real_audio/jsut*/**/*.wav")).unlink()
    with pytest.raises(DataError, match=r"name what lies elsewhere with --jsut DIR \(JSUT=\), or add --partial"):
        ingest("wavefake", root, data, places={"ljspeech": lj})
    with pytest.raises(DataError, match=r"has no place 'vctk'; known: ljspeech, jsut"):
        ingest("wavefake", root, data, places={"vctk": lj})
    with pytest.raises(DataError, match=r"none .JSUT=. is not a folder"):
        ingest("wavefake", root, data, places={"jsut": tmp_path / "none"})


def test_singfake_with_clips_of_some_songs_is_partial(tmp_path, data, capsys, monkeypatch):
    monkeypatch.setattr(singfake, "CORPUS", dataclasses.replace(singfake.CORPUS, counts=()))  # the miniature's is whole
    root = miniatures.build("singfake", tmp_path / "corpus")
    for name in ("0_0001_0", "1_0002_0"):
        whole_corpus.noise(root / f"train/vocals/{name}.flac", len(name))
    ingest("singfake", root, data)
    assert query(data, "SELECT partial FROM corpus") == [{"partial": True}]
    whole_corpus.noise(root / "train/vocals/1_0002_0.flac", 9)
    verify.verify("singfake", data, jobs=1)
    assert query(data, "SELECT partial FROM corpus") == [{"partial": True}]
    assert status.main(data, [], as_json=False) == 1
    assert "to do: fetch what the notes above count as absent" in capsys.readouterr().out
    protocol_commands.main(["show", "official/singfake_vocals", "--data", str(data)])
    said = capsys.readouterr().out
    assert "corpus    singfake: partial\n          Training: clips of 2 of the 2 songs" in said
    assert "T01: clips of 0 of the 1 songs" in said


def test_nothing_is_written_below_the_root(la, data):
    before = {path: path.stat().st_mtime_ns for path in la.rglob("*")}
    ingest(LA, la, data)
    assert {path: path.stat().st_mtime_ns for path in la.rglob("*")} == before


def test_a_data_folder_that_cannot_be_used_is_named(la, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"{tmp_path}/file"):
        ingest(LA, la, tmp_path / "file/data")


def test_asv_scores_are_read_where_shipped(la, data):
    miniatures.put(
        la / "ASVspoof2019_LA_asv_scores/ASVspoof2019.LA.asv.eval.gi.trl.scores.txt",
        "bonafide target 3.5\nbonafide nontarget -1\nA11 spoof 0.25\n",
    )
    ingest(LA, la, data)
    assert query(data, 'SELECT key, attack, score, "partition" AS p FROM asv_score ORDER BY score') == [
        {"key": "nontarget", "attack": None, "score": -1.0, "p": "eval"},
        {"key": "spoof", "attack": "A11", "score": 0.25, "p": "eval"},
        {"key": "target", "attack": None, "score": 3.5, "p": "eval"},
    ]


def test_asv_scores_that_are_cut_are_refused(tmp_path, data, monkeypatch):
    root = whole_corpus.build(LA, tmp_path / "corpus")
    (root / ".siren-simulated").unlink()
    monkeypatch.setattr(corpora.get(LA).module, "CORPUS", dataclasses.replace(corpora.get(LA).corpus, counts=()))
    name = "ASVspoof2019.LA.asv.dev.gi.trl.scores.txt"
    rows = ["bonafide target 1\n"] * 1484 + ["bonafide nontarget 0\n"] * 5768 + ["A01 spoof -1\n"] * 22296
    miniatures.put(root / "ASVspoof2019_LA_asv_scores" / name, "".join(rows[:-3]))
    other = (("bonafide target", 5370), ("bonafide nontarget", 33327), ("A11 spoof", 63882))
    miniatures.put(
        root / "ASVspoof2019_LA_asv_scores" / name.replace("dev", "eval"), "".join(f"{row} 2\n" * n for row, n in other)
    )
    with pytest.raises(DataError, match=r"22293 of 22296 spoof verification scores of dev: min t-DCF would be another"):
        ingest(LA, root, data)
    ingest(LA, root, data, partial=True)
    assert query(data, "SELECT partial FROM corpus") == [{"partial": True}]
    whole_corpus.noise(next(root.rglob("*.flac")), 99)
    verify.verify(LA, data, jobs=1)
    assert query(data, "SELECT partial FROM corpus") == [{"partial": True}]
    miniatures.put(root / "ASVspoof2019_LA_asv_scores" / name, "".join(rows))
    ingest(LA, root, data)
    assert query(data, "SELECT partial FROM corpus") == [{"partial": False}]


def test_killed_at_any_moment_and_run_again_is_as_if_undisturbed(tmp_path):
    root = whole_corpus.build("decro", tmp_path / "corpus")
    command = ("ingest", "decro", "--root", root, "--jobs", "1")
    street.kill_on_the_way(*command, data=tmp_path / "killed", calm=tmp_path / "calm", times=6)
    street.call(*command, data=tmp_path / "killed")
    assert everything(tmp_path / "killed") == everything(tmp_path / "calm")
