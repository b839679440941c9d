"""Cells: which trials are in them, and the official tables of keyed scores out of `measure`."""

import csv
import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from shared_data import shared

from benchmark import breakdowns
from benchmark.measure import measure


def column(*values):
    return pa.chunked_array([pa.array(values, pa.string())])


def test_words_become_codes_in_alphabetical_order():
    found = breakdowns.encode(column("opus", None, "alaw", "opus"))
    assert found.names == ("alaw", "opus")
    assert found.code.tolist() == [1, -1, 0, 1]


def test_dictionaries_are_read_as_words():
    values = pa.chunked_array(
        [pa.array(["b", "a"]).dictionary_encode(), pa.array([None, "b"], pa.string()).dictionary_encode()]
    )
    assert breakdowns.encode(values).code.tolist() == [1, 0, -1, 1]


def test_duration_becomes_bands():
    table = pa.table({"duration_s": [1.9, 2.0, 5.0, 9.0, None]})
    found = breakdowns.columns(table)["duration"]
    assert [found.names[k] if k >= 0 else None for k in found.code] == [
        "under 2 s",
        "2 to 4 s",
        "4 to 8 s",
        "8 s and more",
        None,
    ]


def test_a_spoof_factor_keeps_all_bona_fide_and_a_trial_factor_splits_them():
    bonafide = np.array([True, True, False, False])
    factors = {"attack": breakdowns.encode(column(None, None, "A1", "A2")),
               "codec": breakdowns.encode(column("x", "y", "x", "x"))}  # fmt: skip
    cells = {
        (c.factor, c.level, c.level_2): (c.bonafide.tolist(), c.spoof.tolist())
        for c in breakdowns.cells(factors, bonafide)
    }
    assert cells["attack", "A1", None] == ([True, True, False, False], [False, False, True, False])
    assert cells["codec", "x", None] == ([True, False, False, False], [False, False, True, True])
    assert cells["codec", "y", None] == ([False, True, False, False], [False] * 4)
    assert cells["attack", "A2", "x"] == ([True, False, False, False], [False, False, False, True])
    assert len(cells) == 2 + 2 + 4


def test_a_factor_of_one_level_is_the_whole():
    factors = {"language": breakdowns.encode(column("en", "en")), "attack": breakdowns.encode(column(None, "A1"))}
    assert [c.factor for c in breakdowns.cells(factors, np.array([True, False]))] == ["attack"]


def keyed(file, subset_column, subset, names):
    with gzip.open(shared("golden", "metrics", "keyed", file), "rt") as handle:
        rows = [r for r in csv.DictReader(handle, delimiter="\t") if subset in (None, r.get(subset_column))]
    table = {new: [r[old] for r in rows] for new, old in names.items()}
    spoof = [label == "spoof" for label in table["label"]]
    for name in ("attack", "vocoder"):
        if name in table:
            table[name] = [value if s else None for value, s in zip(table[name], spoof)]
    table |= {"role": ["test"] * len(rows), "subset": ["x"] * len(rows), "score": [float(s) for s in table["score"]]}
    return pa.table(table)


def grid(table, rows, metric, asked=()):
    measured = measure("r", table, asked=asked, replicates=2)
    found = {("Pooled", "Pooled"): next(r.value for r in measured.results if r.metric == metric)}
    for cell in measured.breakdowns:
        if cell.metric == metric and cell.factor == rows:
            found[cell.level, cell.level_2 or "Pooled"] = cell.value
        elif cell.metric == metric and cell.factor == "codec":
            found["Pooled", cell.level] = cell.value
    return found


@pytest.mark.parametrize("track, file, rows", [("LA", "la21_cm.tsv.gz", "attack"), ("DF", "df21_cm.tsv.gz", "vocoder")])
@pytest.mark.parametrize("subset", ["eval", "progress", "hidden"])
def test_tables_of_2021(track, file, rows, subset):
    wanted = json.loads(shared("golden", "metrics", "keyed", "official.json").read_text())[f"2021_{track}_{subset}"]
    codec = "codec" if track == "LA" else "compr"
    names = {"utt_id": "trial", "label": "label", "codec": codec, rows: rows, "score": "score"}
    found = grid(keyed(file, "subset", subset, names), rows, "eer")
    for i, level in enumerate(wanted["rows"]):
        for j, across in enumerate(wanted["cols"]):
            value = wanted["eer"][i][j]
            assert (
                (found.get((level, across)) is None)
                if value is None
                else found[level, across] == pytest.approx(value, abs=1e-12)
            )


@pytest.mark.parametrize(
    "name, metric", [("minDCF", "min_dcf"), ("actDCF", "act_dcf"), ("eer", "eer"), ("cllr", "cllr")]
)
def test_tables_of_asvspoof5(name, metric):
    wanted = json.loads(shared("golden", "metrics", "keyed", "official.json").read_text())["asvspoof5_track1"]
    names = {"utt_id": "utt", "label": "cm_label", "codec": "codec", "attack": "attack", "score": "cm_score"}
    found = grid(keyed("asv5_sasv.tsv.gz", "", None, names), "attack", metric, asked=[metric])
    for i, level in enumerate(wanted["rows"]):
        for j, across in enumerate(wanted["cols"]):
            key = tuple("Pooled" if word == "pooled" else word for word in (level, across))
            assert found[key] == pytest.approx(wanted[name][i][j], abs=1e-9 if metric == "cllr" else 1e-12)
