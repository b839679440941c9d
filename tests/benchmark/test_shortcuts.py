"""Shortcut probes: a planted property is found, oriented on train alone, and missing values do no harm."""

import numpy as np
import pyarrow as pa
import pytest
import small_corpus
import trained_run
import waiting

from benchmark import cells, finished, metrics, record, request, shortcuts
from benchmark.__main__ import main
from ingest import catalog
from ingest.types import DataError
from reports import sql


def measured(n=60, *, planted):
    random = np.random.default_rng(4)
    properties = []
    for i in range(n):
        bonafide = i % 3 == 0
        row = {"utt_id": f"u{i}"} | {name: float(random.standard_normal()) for name in shortcuts.NUMBERS}
        row |= {"container": "WAV", "subtype": "PCM_16"}
        row[planted] = {True: "FLAC", False: "WAV"}[bonafide] if planted == "container" else (-2.0 if bonafide else 2.0)
        properties.append(row)
    labels = ["bonafide" if i % 3 == 0 else "spoof" for i in range(n)]
    return properties, pa.table({"utt_id": [f"u{i}" for i in range(n)], "label": labels})


@pytest.mark.parametrize("planted", ["leading_silence_s", "loudness_db", "container"])
def test_a_planted_property_is_found_by_its_probe_and_by_the_tree(planted):
    properties, trials = measured(planted=planted)
    scores = shortcuts.probe_scores(trials.slice(0, 30), pa.Table.from_pylist(properties), seed=0)
    assert set(scores) == set(shortcuts.names())
    bonafide = np.array([i % 3 == 0 for i in range(30, 60)])
    for probe in (f"shortcut_{planted}", "shortcut_tree"):
        values = scores[probe][30:]
        assert metrics.auc(values[bonafide], values[~bonafide]) == 1.0
    other = scores["shortcut_dc"][30:]
    assert metrics.auc(other[bonafide], other[~bonafide]) < 0.9


def test_a_missing_value_takes_the_training_median():
    properties, trials = measured(planted="peak")
    median = np.median([row["duration_s"] for row in properties[:30]])
    properties[40]["duration_s"] = None
    properties[41]["container"] = None  # a word that train does not have: neither for nor against
    scores = shortcuts.probe_scores(trials.slice(0, 30), pa.Table.from_pylist(properties), seed=0)
    assert abs(scores["shortcut_duration_s"][40]) == pytest.approx(abs(median))
    assert abs(scores["shortcut_container"][41]) == 0.5


def test_probes_are_scored_anew_where_the_same_samples_were_measured_otherwise(tmp_path):
    data = small_corpus.build(tmp_path, corpus="librisevoc", rows=trained_run.rows(4))

    def made():
        with catalog.connect(data / "catalog.duckdb") as con:
            on = {trained_run.PROTOCOL: cells.trials(con, trained_run.PROTOCOL, partial=True)}
        return shortcuts.run(data, on)[0], on[trained_run.PROTOCOL].fingerprint

    probes = len(shortcuts.names())
    (first, trials), again = made(), made()
    assert (first, again) == (probes, (0, trials))
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:  # packed into another kind of file
        con.execute("UPDATE measurement SET container = 'W64' WHERE utt_id LIKE '%/b%'")
    assert made() == (probes, trials) and made() == (0, trials)
    assert len(finished.names(data)) == 2 * probes


def test_others_can_ingest_while_probes_are_scored(tmp_path, monkeypatch):
    """The catalog was held all the while: after a minute an ingest gave up, its measuring done."""
    data = small_corpus.build(tmp_path, corpus="librisevoc", rows=trained_run.rows(4))
    score, asked = shortcuts.probe_scores, []

    def beside(*given, **named):
        asked.append(waiting.can_write(data / "catalog.duckdb"))
        return score(*given, **named)

    monkeypatch.setattr(shortcuts, "probe_scores", beside)
    main(["shortcuts", "--data", str(data), "--partial", "--protocol", "inner/librisevoc"])
    assert asked == [True]


def test_the_probes_that_were_asked_for_last_stand(tmp_path, monkeypatch):
    """Measured otherwise, and again as before: these probes were done, and the others' numbers stayed."""
    data = small_corpus.build(tmp_path, corpus="librisevoc", rows=trained_run.rows(4))

    def standing(container, day):
        with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
            con.execute("UPDATE measurement SET container = ? WHERE utt_id LIKE '%/b%'", [container])
        monkeypatch.setattr(record, "_now", lambda: f"2026-01-0{day}T00:00:00Z")
        assert main(["shortcuts", "--data", str(data), "--partial", "--protocol", trained_run.PROTOCOL]) == 0
        with sql.connect(data, "results") as con:
            return {run_id for (run_id,) in con.execute("SELECT run_id FROM current_run").fetchall()}

    first, second = standing("WAV", 1), standing("W64", 2)
    assert not first & second and standing("WAV", 3) == first


def test_a_protocol_without_training_is_refused_and_what_cannot_run_is_said(tmp_path, monkeypatch, capsys):
    """It was "0 shortcut runs made on 1 protocols"."""
    data = small_corpus.build(tmp_path, corpus="librisevoc", rows=trained_run.rows(4))
    with pytest.raises(
        DataError, match=r"^test_only/librisevoc has no training trials, on which the probes are fitted"
    ):
        main(["shortcuts", "--data", str(data), "--partial", "--protocol", "inner/librisevoc", "test_only/librisevoc"])
    assert finished.names(data) == []
    monkeypatch.setattr(request, "_names", lambda con: ["inner/librisevoc", "inner/wavefake", "test_only/librisevoc"])
    assert main(["shortcuts", "--data", str(data), "--partial"]) == 0
    said = capsys.readouterr().out
    assert "not run: inner/wavefake: " in said
    assert "not run: test_only/librisevoc: it has no training trials" in said
