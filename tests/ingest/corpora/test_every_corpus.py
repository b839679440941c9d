"""What holds for every corpus, over all names found, on the miniatures; and on mutated protocol files."""

import gzip
import importlib
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import miniatures
import pyarrow as pa
import pytest

from ingest import corpora, rows, scan, text
from ingest.types import LABELS, Corpus, Count, DataError, Utterance

NAMES = corpora.names()
TEXTS = [(name, path) for name in NAMES for path in miniatures.FILES[name]]


def test_the_ten_corpora_are_found_by_their_file_names():
    assert NAMES == [
        "asvspoof2019_la", "asvspoof2021_df", "asvspoof2021_la", "asvspoof5", "ctrsvdd", "decro", "in_the_wild",
        "librisevoc", "singfake", "wavefake",
    ]  # fmt: skip
    with pytest.raises(DataError, match="did you mean wavefake"):
        corpora.get("wavefak")


def test_a_copied_file_that_keeps_the_name_of_its_neighbour_is_refused(monkeypatch):
    neighbour = corpora.get("decro").corpus
    monkeypatch.setattr(importlib.import_module("ingest.corpora.librisevoc"), "CORPUS", neighbour)
    with pytest.raises(DataError, match=r"librisevoc\.py: CORPUS has the name 'decro', .*; write name='librisevoc'"):
        corpora.get("librisevoc")


@pytest.mark.parametrize("due", ["CORPUS", "tables"])
def test_a_file_without_what_every_parser_has_is_refused(monkeypatch, due):
    monkeypatch.delattr(importlib.import_module("ingest.corpora.decro"), due)
    with pytest.raises(DataError, match=rf"decro\.py defines no {due}; docs/add-a-corpus\.md shows such a file"):
        corpora.get("decro")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domain": "music"}, "decro: CORPUS has the domain 'music'; it is one of speech, singing"),
        ({"audio": "wav"}, r"decro: audio of CORPUS is a tuple, not 'wav'; write audio=\('wav',\)"),
        ({"counts": Count(None, "spoof", 1, "us")}, r"decro: counts of CORPUS is a tuple, not Count\("),
        ({"counts": (Count(None, "real", 1, "us"),)}, "decro: CORPUS counts rows of the label 'real'; it is one of"),
    ],
)
def test_facts_that_cannot_be_are_one_line(changes, message):
    with pytest.raises(DataError, match=message):
        replace(corpora.get("decro").corpus, **changes)


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_complete(name):
    corpus = corpora.get(name).corpus
    assert isinstance(corpus, Corpus) and corpus.name == name
    assert corpus.title and corpus.licence and corpus.citation and corpus.counts and corpus.markers
    assert corpus.domain == ("singing" if name in ("ctrsvdd", "singfake") else "speech")
    assert all(count.grade in "VSAU" and count.source and count.label in LABELS for count in corpus.counts)
    assert set(corpus.aliases.values()) <= {*corpus.aliases.values()} and all(corpus.aliases.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_an_utterance(name, tmp_path):
    found = list(corpora.get(name).utterances(miniatures.build(name, tmp_path)))
    assert found, "the miniature corpus is empty"
    assert all(isinstance(row, Utterance) and row.corpus == name for row in found)
    assert len({row.utt_id for row in found}) == len(found)
    assert not [row.utt_id for row in found if "." in row.utt_id]
    assert {row.label for row in found} <= set(LABELS)
    for row in found:
        assert row.label == "unknown" or (row.label == "spoof") == (row.attack is not None), row
        assert not Path(row.path).is_absolute() and ".." not in Path(row.path).parts
        assert row.audio_status == "missing" and not row.audio_present


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_refused_with_its_name(name, tmp_path):
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        list(corpora.get(name).tables(tmp_path))


@pytest.mark.parametrize(("name", "path"), TEXTS)
def test_windows_editing_changes_nothing(name, path, tmp_path):
    plain = miniatures.parsed(name, miniatures.build(name, tmp_path / "plain"))
    root = miniatures.build(name, tmp_path / "edited")
    content = miniatures.FILES[name][path].rstrip("\n")
    blank = "  \t"
    edited = "\ufeff" + content.replace("\n", f"{blank}\r\n") + blank
    miniatures.put(root / path, edited)
    assert miniatures.parsed(name, root) == plain


@pytest.mark.parametrize("name", [name for name in NAMES if miniatures.FILES[name]])
def test_protocol_files_may_be_gzipped(name, tmp_path):
    plain = miniatures.parsed(name, miniatures.build(name, tmp_path / "plain"))
    root = miniatures.build(name, tmp_path / "packed")
    for path in miniatures.FILES[name]:
        (root / f"{path}.gz").write_bytes(gzip.compress((root / path).read_bytes()))
        (root / path).unlink()
    assert scan.find_root(corpora.get(name).corpus, root) == root
    packed = miniatures.parsed(name, root)
    drop = ("file",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in packed] == [
        {k: v for k, v in row.items() if k not in drop} for row in plain
    ]


@pytest.mark.parametrize(("name", "path"), TEXTS)
def test_a_gzipped_file_beside_the_plain_one_says_the_same_or_is_refused(name, path, tmp_path):
    """The plain one was read, whatever the other one said."""
    root = miniatures.build(name, tmp_path)
    before = miniatures.parsed(name, root)
    content, packed = (root / path).read_bytes(), root / f"{path}.gz"
    packed.write_bytes(gzip.compress(content))
    assert miniatures.parsed(name, root) == before
    packed.write_bytes(gzip.compress(content.rstrip(b"\n").rpartition(b"\n")[0]))
    with pytest.raises(DataError, match=rf"{re.escape(path)} and \S+\.gz are both there and differ; keep"):
        miniatures.parsed(name, root)


@pytest.mark.parametrize(("name", "path"), TEXTS)
def test_a_missing_column_is_an_error_with_file_and_line(name, path, tmp_path):
    root = miniatures.build(name, tmp_path)
    lines = miniatures.FILES[name][path].splitlines()
    if len(lines) < 2 or name == "librisevoc":
        pytest.skip("one line, or one column: nothing to take away")
    separator = "," if path.endswith(".csv") else " "
    lines[1] = lines[1].rpartition(separator)[0]
    miniatures.put(root / path, "\n".join(lines))
    with pytest.raises(DataError, match=rf"{re.escape(path.split('/')[-1])} line 2"):
        miniatures.parsed(name, root)


@pytest.mark.parametrize("name", [name for name in NAMES if miniatures.FILES[name]])
def test_one_missing_protocol_file_leaves_the_others(name, tmp_path):
    files = miniatures.FILES[name]
    if len(files) == 1:
        pytest.skip("one protocol file: without it there is nothing")
    root = miniatures.build(name, tmp_path)
    whole = Counter(row["partition"] for row in miniatures.parsed(name, root))
    (root / next(iter(files))).unlink()
    left = Counter(row["partition"] for row in miniatures.parsed(name, root))
    assert left and left < whole


def _mutated(content: str, draw: random.Random) -> bytes:
    """The content with one to three small faults: what editors, transfers and people do to text files."""
    data = bytearray(content.encode())
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) or 1)
        kind = draw.randrange(8)
        if kind == 0:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            data[at:at] = draw.choice([b" ", b"\n", b"\r\n", b"\t", b",", b'"', b"\xef\xbb\xbf", b"\0", b"/", b"."])
        elif kind == 2:
            del data[at : at + draw.randint(1, 6)]
        elif kind == 3:
            data[at:at] = data[at : at + draw.randint(1, 40)]
        elif kind == 4:
            fields = data.split(b" ")
            draw.shuffle(fields)
            data = bytearray(b" ".join(fields))
        elif kind == 5:
            data = bytearray(data[:at])
        elif kind == 6:
            data = data.replace(b"spoof", draw.choice([b"bonafide", b"sp00f", b"unknown", b"-"]))
        else:
            data[at:at] = draw.choice(["é", "/../", "..", "\u2028", "-", "A01", "bonafide"]).encode()
    return bytes(data)


@pytest.mark.parametrize(("name", "path"), TEXTS)
def test_mutated_files_give_valid_rows_or_name_the_file(name, path, tmp_path):
    draw = random.Random(f"{name} {path}")
    corpus = corpora.get(name).corpus
    root = miniatures.build(name, tmp_path)
    for _ in range(2000 // len(TEXTS) + 1):
        (root / path).write_bytes(_mutated(miniatures.FILES[name][path], draw))
        try:
            tables = [rows.complete(table, corpus) for table in corpora.get(name).tables(root)]
        except DataError as error:
            assert Path(path).name in str(error) or str(root) in str(error), error
            continue
        for row in (row for table in tables for row in table.to_pylist()):
            assert row["label"] in LABELS and "." not in row["utt_id"] and ".." not in row["path"].split("/")
            assert row["label"] != "bonafide" or row["attack"] is None
            assert row["label"] != "spoof" or row["attack"]
            assert row["source_id"] and row["trim"] in (None, "trim", "notrim")
            assert row["gender"] in (None, "F", "M") and row["condition"] in (None, "mixture", "vocals")


def test_labels_come_from_the_column_and_never_from_the_path(tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path / "spoof" / "fake_asvspoof2019")
    assert Counter(row["label"] for row in miniatures.parsed("asvspoof2019_la", root)) == {"bonafide": 3, "spoof": 3}


@pytest.mark.parametrize(
    ("word", "label"),
    [("bonafide", "bonafide"), ("bona-fide", "bonafide"), ("Bonafide", "bonafide"), ("real", "bonafide"),
     ("genuine", "bonafide"), ("spoof", "spoof"), ("Spoof", "spoof"), ("deepfake", "spoof"), ("fake", "spoof"),
     ("unknown", "unknown"), ("Unknown", "unknown")],
)  # fmt: skip
def test_the_accepted_label_words(word, label, tmp_path):
    miniatures.put(tmp_path / "meta.csv", f"file,speaker,label\n0.wav,X,{word}\n")
    (row,) = miniatures.parsed("in_the_wild", tmp_path)
    assert row["label"] == label


@pytest.mark.parametrize("word", ["spo0f", "1", "0", "-", "true"])
def test_any_other_label_word_is_refused_with_its_line(word, tmp_path):
    miniatures.put(tmp_path / "meta.csv", f"file,speaker,label\n0.wav,X,{word}\n")
    with pytest.raises(DataError, match=r"meta\.csv line 2"):
        miniatures.parsed("in_the_wild", tmp_path)


def test_line_ends_are_no_part_of_a_word(tmp_path):
    path = miniatures.put(tmp_path / "list.txt", b"\xef\xbb\xbfa b\r\nc  d \r\n\r\ne\tf")
    assert text.fields(path, ("x", "y")).to_pydict() == {"x": ["a", "c", "e"], "y": ["b", "d", "f"], "line": [1, 2, 4]}


@pytest.mark.parametrize("name", ["asvspoof2019_la", "asvspoof2021_la", "asvspoof2021_df", "ctrsvdd"])
def test_audio_merged_in_one_folder_or_lying_without_its_level_is_found(name, tmp_path):
    corpus = corpora.get(name).corpus
    for kind in ("merged", "level"):
        root = miniatures.build(name, tmp_path / kind)
        table = pa.concat_tables(rows.complete(one, corpus) for one in corpora.get(name).tables(root))
        for path in map(Path, table["path"].to_pylist()):
            folder = Path("flac") if kind == "merged" else Path(path.parts[0])
            miniatures.put(root / folder / path.name, b"x")
        found = scan.match(table, scan.index(root, corpus.audio, {}), corpus)
        assert (found.file >= 0).all() and not len(found.extra), kind
