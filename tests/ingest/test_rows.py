"""What a parser's row must be: every rule that the catalog holds, refused with file and line before it."""

import dataclasses
import re

import pyarrow as pa
import pytest

from ingest import catalog, rows
from ingest.types import Corpus, DataError, Utterance

CORPUS = Corpus(
    name="tiny", title="T", domain="speech", licence="-", citation="-", counts=(), markers=("x",), audio=("a",),
    rate_hz=16_000, stem_unique=True, stems={"train": r"T_\d{4}"}, aliases={"mg": "melgan"},
)  # fmt: skip
GOOD = {"utt_id": "tiny/T_0001", "partition": "train", "path": "a/T_0001.wav", "label": "Spoof", "attack_raw": "mg",
        "source_id": "T_0001", "file": "train.txt", "line": 7}  # fmt: skip


def complete(**changes):
    return rows.complete(pa.Table.from_pylist([GOOD | changes]), CORPUS).to_pylist()[0]


def test_what_a_parser_leaves_out_is_added():
    row = complete()
    assert (row["label"], row["attack"], row["attack_raw"]) == ("spoof", "melgan", "mg")
    assert (row["corpus"], row["domain"], row["audio_status"], row["codec"]) == ("tiny", "speech", "missing", None)
    assert complete(label="genuine")["attack"] is None
    assert complete(attack_raw="new")["attack"] == "new"


def test_an_empty_cell_of_a_csv_says_nothing():
    row = complete(speaker="", gender="", label="bonafide", attack_raw="", partition="")
    assert [row[name] for name in ("speaker", "gender", "attack", "attack_raw", "partition")] == [None] * 5
    named = pa.Table.from_pylist([GOOD | {"speaker": word} for word in ("", "s01")])
    coded = named.set_column(named.schema.get_field_index("speaker"), "speaker", named["speaker"].dictionary_encode())
    assert rows.complete(coded, CORPUS)["speaker"].to_pylist() == [None, "s01"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": "spof"}, "label 'spof' is none of bonafide, spoof, unknown"),
        ({"label": ""}, "no label"),
        ({"label": None}, "no label"),
        ({"source_id": ""}, "no source_id"),
        ({"attack_raw": None}, "spoof, yet names no attack"),
        ({"attack_raw": ""}, "spoof, yet names no attack"),
        ({"label": "bonafide", "attack": "A01"}, "bona fide, yet names the attack 'A01'"),
        ({"utt_id": "tiny/T_0001.wav"}, "is no train utterance (their stems look like T_\\d{4})"),
        (
            {"utt_id": "tiny/a.b", "partition": None},
            "'tiny/a.b' cannot name an utterance: it is tiny/ and words without dots",
        ),
        ({"utt_id": "other/T_0001"}, "cannot name an utterance"),
        ({"utt_id": "tiny/D_0001"}, "this file belongs to another corpus or partition"),
        ({"path": "../T_0001.wav"}, "path '../T_0001.wav' is not one below the corpus root"),
        ({"path": "/etc/T_0001.wav"}, "is not one below the corpus root"),
        ({"path": "a\\T_0001.wav"}, "is not one below the corpus root"),
        ({"gender": "X"}, "gender 'X' is none of F, M"),
        ({"vocoder": "neural"}, "vocoder 'neural' is none of"),
        ({"trim": "cut"}, "trim 'cut' is none of trim, notrim"),
        ({"condition": "stem"}, "condition 'stem' is none of mixture, vocals"),
    ],
)
def test_a_row_that_the_catalog_would_refuse_names_its_line(changes, reason):
    with pytest.raises(DataError, match=r"tiny: train.txt line 7: .*" + re.escape(reason)):
        complete(**changes)


def test_a_row_of_unknown_label_is_of_no_attack_whatever_its_word():
    unknown = GOOD | {"utt_id": "tiny/T_0002", "label": "unknown"}
    assert rows.complete(pa.Table.from_pylist([GOOD, unknown]), CORPUS)["attack"].to_pylist()[1] is None


def test_a_bona_fide_row_with_the_attack_of_a_spoof_is_refused():
    genuine = GOOD | {"utt_id": "tiny/T_0002", "label": "bonafide", "line": 8}
    assert (
        rows.complete(pa.Table.from_pylist([GOOD, genuine | {"attack_raw": "-"}]), CORPUS)["attack"][1].as_py() is None
    )
    with pytest.raises(DataError, match=r"tiny: train\.txt line 8: bona fide, yet names the attack 'melgan'"):
        rows.complete(pa.Table.from_pylist([GOOD, genuine]), CORPUS)


def test_a_column_that_is_unknown_or_lacking_is_one_line():
    with pytest.raises(
        DataError, match=r"unknown column in a table of tiny's parser 'speakers'; did you mean speaker\?"
    ):
        complete(speakers="s01")
    table = pa.Table.from_pylist([GOOD]).drop_columns("label")
    with pytest.raises(DataError, match=r"tiny: a table of its parser has no column 'label'; it has \['utt_id', "):
        rows.complete(table, CORPUS)
    with pytest.raises(DataError, match=r"tiny: its parser's tables\(\) yields Arrow tables, not dict"):
        rows.complete(GOOD, CORPUS)


def test_the_catalog_and_the_type_have_the_same_columns(tmp_path):
    with catalog.connect(tmp_path / "c.duckdb", read_only=False) as con:
        columns = [row[0] for row in con.execute("DESCRIBE utterance").fetchall()]
    assert columns == [field.name for field in dataclasses.fields(Utterance)]
