"""Score files to results: values by hand, what cannot be measured, rebuilding, and the database's own words."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from unittest.mock import Mock

import duckdb
import made_results
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import ask

from benchmark import measure, metrics, results, verifier
from ingest import catalog
from ingest.types import DataError


@pytest.fixture
def data(tmp_path):
    made_results.make(tmp_path)
    return tmp_path


def measured(test, **options):
    rows = measure.measure("r", made_results.score_table(test), replicates=20, **options)
    return {(r.subset, r.metric): r for r in rows.results if r.role == "test"}, rows


def test_values_by_hand(data):
    assert results.collect(data, replicates=20) == results.Collected(runs=4, measured=4)
    found = dict(ask(data, """
        SELECT subset || ' ' || metric, value FROM leaderboard
        WHERE detector = 'lfcc_gmm' AND seed = 0 ORDER BY ALL"""))  # fmt: skip
    assert found["easy eer"] == 0
    # hard, upwards: s -3, b 0.5 (P_miss 1/4, P_fa 1/2), s 0.75 (1/4, 0): equally near, the first counts
    assert found["hard eer"] == 0.375
    assert found["hard auc"] == 7 / 8
    assert found["average eer"] == pytest.approx(found["hard eer"] / 2)
    assert found["average auc"] == 15 / 16
    assert found["pooled auc"] == 15 / 16  # 4 shared bona fide once, 4 spoofs
    # dev EER threshold 0: everything above it is called bona fide
    assert found["hard accuracy"] == 5 / 6
    assert found["hard precision"] == 4 / 5
    assert found["hard recall"] == 1


def test_pooled_counts_a_shared_utterance_once(data):
    results.collect(data, replicates=20)
    rows = ask(data, "SELECT DISTINCT n_bonafide, n_spoof FROM leaderboard WHERE subset = 'pooled'")
    assert rows == [(4, 4)]


def test_intervals_hold_the_value_and_name_their_method(data):
    results.collect(data, replicates=20)
    rows = ask(
        data,
        """SELECT value, ci_low, ci_high, ci_method FROM leaderboard
                        WHERE metric = 'eer' AND kind = 'subset'""",
    )
    assert len(rows) == 7
    for value, low, high, method in rows:
        assert low <= value <= high
        assert low < high
        assert method == ("stratified_bootstrap_20" if value else "exact_no_error")


@pytest.mark.parametrize("protocol, subsets, headline", [
    ("cross_method/librisevoc", ("easy", "hard"), "average"),
    ("cross_method/asvspoof2021_df_002", ("seen", "whole"), "whole"),
    ("cross_method/asvspoof2021_df_clean", ("ar", "eval"), "eval"),
    ("loao/asvspoof2019_la_A04", ("A04", "eval"), "A04"),
    ("loao/wavefake_melgan", ("melgan", "test"), "melgan"),
    ("official/asvspoof5_track1_open_rat", ("eval_ref_1s", "eval_ref_real", "eval_ref_zero"), "eval_ref_real"),
    ("official/singfake_vocals", ("t01", "t02", "t04"), "t02"),
    ("official/ctrsvdd", ("test", "test_wo_a14"), "test_wo_a14"),
    ("cross_domain/singfake_to_ctrsvdd", ("ctrsvdd_dev", "ctrsvdd_test", "ctrsvdd_test_wo_a14"), "ctrsvdd_test_wo_a14"),
])  # fmt: skip
def test_a_run_is_headed_by_what_its_protocol_is_about(tmp_path, protocol, subsets, headline):
    scenario = protocol.split("/")[0]
    groups = {"average": list(subsets)} if scenario == "cross_method" else {}
    table = made_results.score_table(dict.fromkeys(subsets, made_results.GOOD["easy"]))
    made_results.add_run(tmp_path, "mean_pool", table, protocol=protocol, scenario=scenario, averages=groups, pooled={})
    results.collect(tmp_path, replicates=2)
    assert ask(tmp_path, "SELECT subset FROM headline WHERE metric = 'eer'") == [(headline,)]


def test_an_own_protocol_is_headed_by_its_average_whatever_its_name_else_by_its_largest_subset(tmp_path):
    genuine, spoofs = made_results.GOOD["easy"]
    parts = {"b": (genuine, spoofs), "everything": (genuine, spoofs | {"wavenet": [-3.0]})}
    for name, groups in (("parts", {}), ("averaged", {"mean": ["b", "everything"]})):
        table = made_results.score_table(parts)
        made_results.add_run(tmp_path, "mean_pool", table, protocol=f"inner/{name}", averages=groups, pooled={})
    results.collect(tmp_path, replicates=2)
    query = "SELECT DISTINCT protocol, subset FROM headline ORDER BY 1"
    assert ask(tmp_path, query) == [("inner/averaged", "mean"), ("inner/parts", "everything")]


def test_runs_of_a_part_are_headed_by_a_figure_that_one_of_them_has(tmp_path):
    table = made_results.score_table(dict.fromkeys(("easy", "hard"), made_results.GOOD["easy"]))
    groups = {"hard_average": ["hard"], "average": ["hard_average", "absent"]}
    common = {"protocol": "joint/all", "scenario": "joint", "averages": groups, "pooled": {}}
    query = "SELECT detector, subset, value IS NULL FROM headline WHERE metric = 'eer' ORDER BY 1"
    made_results.add_run(tmp_path, "mean_pool", table, **common)
    results.collect(tmp_path, replicates=2)
    assert ask(tmp_path, query) == [("mean_pool", "hard_average", False)]
    whole = made_results.score_table(dict.fromkeys(("easy", "hard", "absent"), made_results.GOOD["easy"]))
    made_results.add_run(tmp_path, "aasist", whole, **common)
    results.collect(tmp_path, replicates=2)
    assert ask(tmp_path, query) == [("aasist", "average", False), ("mean_pool", "average", True)]


def test_breakdown_by_attack(data):
    results.collect(data, replicates=20)
    rows = ask(
        data,
        "SELECT subset, attack, eer, n_bonafide, n_spoof FROM by_attack WHERE seed = 0 AND detector = 'lfcc_gmm' ORDER BY ALL",
    )
    hard = metrics.eer([3, 2, 1, 0.5], [0.75, -3])[0]
    methods = ask(
        data, "SELECT DISTINCT value = 0, ci_method, ci_low < ci_high FROM breakdown WHERE metric = 'eer' ORDER BY 1"
    )
    assert methods == [(False, "normal", True), (True, "exact_no_error", True)]
    assert rows == [("easy", "melgan", 0.0, 4, 2), ("hard", "wavenet", hard, 4, 2),
                    ("pooled", "melgan", 0.0, 4, 2), ("pooled", "wavenet", hard, 4, 2)]  # fmt: skip


def test_seeds_are_summarised(data):
    results.collect(data, replicates=20)
    ((runs, mean, median, low, high),) = ask(
        data,
        "SELECT runs, mean, median, low, high FROM seeds WHERE detector = 'lfcc_gmm' AND subset = 'average' AND metric = 'auc'",
    )
    assert (runs, low, high) == (2, 0.625, 0.9375)  # weak: 7/8 and 3/8
    assert mean == median == pytest.approx(0.78125)


def test_one_class_has_no_value_but_a_reason():
    rows, _ = measured(
        {"easy": ([1.0, 2.0], {}), "hard": made_results.GOOD["hard"]}, averages={"average": ["easy", "hard", "gone"]}
    )
    assert rows["easy", "eer"].value is None
    assert rows["easy", "eer"].note == "not run: no spoof trials"
    assert rows["average", "eer"].value is None
    assert rows["average", "eer"].note == "not run: easy, gone"


def test_suspicious_scores_are_noted():
    rows, _ = measured({"easy": ([1.0, 1.0], {"melgan": [1.0, 1.0]})}, asked=["min_tdcf_2019"],
                       asv={"easy": {"": {"p_fa": 0.02, "p_miss": 0.02, "p_fa_spoof": 0.5}}})  # fmt: skip
    assert rows["easy", "eer"].value == 1.0
    assert rows["easy", "eer"].note.startswith("collapsed: fewer than 3 distinct scores; ties")
    assert rows["easy", "min_tdcf_2019"].value is None
    assert rows["easy", "min_tdcf_2019"].note == "fewer than 3 distinct scores"


def test_t_dcf_needs_asv_scores():
    asked = ["min_tdcf_2019", "min_tdcf_2021", "min_dcf", "cllr", "a_dcf"]
    rows, _ = measured(made_results.GOOD, asked=asked)
    assert rows["hard", "min_tdcf_2019"].note == "no ASV scores of these trials in the catalog"
    rates = {"p_fa": 0.02, "p_miss": 0.02, "p_fa_spoof": 0.5}
    rows, all_rows = measured(made_results.GOOD, asked=asked, asv={"hard": {"": rates, "wavenet": rates}})
    expected = metrics.min_tdcf([3, 2, 1, 0.5], [0.75, -3], metrics.AsvRates(**rates))[0]
    assert rows["hard", "min_tdcf_2019"].value == expected
    assert rows["hard", "min_tdcf_2019"].ci_method == "stratified_bootstrap_20"
    assert rows["hard", "min_dcf"].value == metrics.min_dcf([3, 2, 1, 0.5], [0.75, -3])[0]
    assert rows["hard", "cllr"].value == metrics.cllr([3, 2, 1, 0.5], [0.75, -3])
    assert rows["hard", "a_dcf"].value is None
    by_attack = {(b.subset, b.level): b.value for b in all_rows.breakdowns if b.metric == "min_tdcf_2019"}
    assert by_attack == {("hard", "wavenet"): expected}


def test_speakers_are_resampled_where_every_trial_has_one():
    table = made_results.score_table(made_results.GOOD)
    speakers = [f"p{k % 6}" for k in range(table.num_rows)]
    table = table.set_column(table.column_names.index("speaker"), "speaker", pa.array(speakers))
    rows = measure.measure("r", table, replicates=20).results
    assert {r.ci_method for r in rows if r.metric == "eer" and r.subset == "hard"} == {"speaker_bootstrap_20"}
    assert {r.ci_method for r in rows if r.metric == "auc" and r.subset == "hard"} == {"speaker_delong"}


def test_diagnostics_are_means_by_subset_and_domain():
    table = made_results.score_table(made_results.GOOD)
    gate = [0.25 if name == "easy" else 0.75 for name in table["subset"].to_pylist()]
    domain = ["singing" if label == "spoof" else "speech" for label in table["label"].to_pylist()]
    gate = [value + (0.125 if word == "singing" else 0) for value, word in zip(gate, domain)]
    for name, values in (("gate", gate), ("domain", domain), ("broken", [float("nan")] * len(gate))):
        table = table.append_column(name, pa.array(values))
    named = {"gate": "weight of the gate", "broken": "never finite", "gone": "not in this file"}
    found = measure.measure(
        "r", table, pooled={"pooled": ["easy", "hard"]}, diagnostics=named, replicates=0
    ).diagnostics
    value = {(d.subset, d.domain): (d.value, d.trials) for d in found if d.name == "gate"}
    assert value["easy", "speech"] == (0.25, 4)
    assert value["hard", "singing"] == (0.875, 2)
    assert value["easy", None] == (pytest.approx((4 * 0.25 + 2 * 0.375) / 6), 6)
    assert value["pooled", None][1] == 8  # the bona fide of both subsets are the same
    assert {d.meaning for d in found if d.name == "gate"} == {"weight of the gate"}
    assert {d.value for d in found if d.name == "broken"} == {None}
    assert "gone" not in {d.name for d in found}


def test_codec_splits_both_classes_and_attack_only_the_spoofs():
    table = made_results.score_table({"eval": ([3.0, 2.0, 1.0, 0.5], {"A07": [0.0, 0.6], "A08": [-1.0, 0.7]})})
    codec = ["none" if k % 2 else "opus" for k in range(table.num_rows)]
    table = table.set_column(table.column_names.index("codec"), "codec", pa.array(codec))
    cells = measure.measure("r", table, replicates=5).breakdowns
    size = {(c.level, c.level_2): (c.n_bonafide, c.n_spoof) for c in cells if c.metric == "eer"}
    assert size == {
        ("A07", None): (4, 2), ("A08", None): (4, 2), ("none", None): (2, 2), ("opus", None): (2, 2),
        ("A07", "none"): (2, 1), ("A08", "none"): (2, 1), ("A07", "opus"): (2, 1), ("A08", "opus"): (2, 1),
    }  # fmt: skip


@pytest.mark.parametrize("column, row, value, message", [
    ("score", 3, float("nan"), r"r: 1 of 16 scores are not finite \(first: librisevoc/dev_melgan1\)"),
    ("label", 2, "fake", "label 'fake' in its scores"),
    ("utt_id", 5, "librisevoc/test_b0", r"1 scores are for a trial that has one already \(first: librisevoc/test_b0 in easy\)"),
])  # fmt: skip
def test_bad_scores_are_refused(column, row, value, message):
    table = made_results.score_table(made_results.GOOD)
    values = table[column].to_pylist()
    values[row] = value
    table = table.set_column(table.column_names.index(column), column, pa.array(values))
    with pytest.raises(DataError, match=message):
        measure.measure("r", table)


@pytest.mark.parametrize("name, content, message", [
    ("run.json", "{", "run.json cannot be read"),
    ("run.json", "{}", "has no 'detector'"),
    ("scores.parquet", "not parquet", "scores.parquet cannot be read"),
])  # fmt: skip
def test_damaged_files_are_named(data, name, content, message):
    folder = sorted((data / "scores").glob("*/run.json"))[0].parent
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        results.collect(data)
    assert not (data / "results.duckdb").exists()


def test_collecting_again_measures_nothing_and_changes_nothing(data):
    results.collect(data, replicates=20)
    tables = ("run", "score_file", "result", "breakdown", "curve", "failure", "published")
    before = {t: ask(data, f"FROM {t}") for t in tables}
    assert results.collect(data, replicates=20) == results.Collected(runs=4, measured=0)
    assert {t: ask(data, f"FROM {t}") for t in tables} == before
    content = (data / "results.duckdb").read_bytes()
    results.collect(data, replicates=20)
    assert (data / "results.duckdb").read_bytes() == content
    (data / "results.duckdb").unlink()
    results.collect(data, replicates=20)
    assert {t: ask(data, f"FROM {t}") for t in tables} == before


def test_a_new_run_is_added_and_a_deleted_one_disappears(data):
    results.collect(data, replicates=20)
    made_results.add_run(data, "aasist", made_results.score_table(made_results.GOOD))
    shutil.rmtree(sorted((data / "scores").glob("inner-librisevoc-mean_pool*"))[0])
    assert results.collect(data, replicates=20) == results.Collected(runs=4, measured=1)
    assert ask(data, "SELECT DISTINCT detector FROM leaderboard ORDER BY ALL") == [
        ("aasist",),
        ("lfcc_gmm",),
        ("mean_pool",),
    ]
    assert ask(data, "SELECT DISTINCT scenario FROM leaderboard") == [("cross_method",)]


def test_results_of_somebody_else_are_taken_as_they_are_unless_a_run_is_new(data, monkeypatch):
    """`reports card` and `benchmark export` ended with "Permission denied: results.lock"."""
    results.collect(data, replicates=20)
    (data / "results.lock").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr("ingest.files.os.open", refused := Mock(side_effect=PermissionError(13, "Permission denied")))
    assert results.collect(data, replicates=20) == results.Collected(runs=4, measured=0)
    refused.assert_not_called()
    made_results.add_run(data, "aasist", made_results.score_table(made_results.GOOD))
    with pytest.raises(DataError, match="Permission denied"):
        results.collect(data, replicates=20)


def test_a_repeated_run_replaces_the_earlier_one_on_the_leaderboard(data):
    made_results.add_run(
        data, "lfcc_gmm", made_results.score_table(made_results.WEAK), suffix="new", finished_at="2026-01-01T00:00:00Z"
    )
    results.collect(data, replicates=20)
    rows = ask(
        data,
        "SELECT run_id FROM leaderboard WHERE detector = 'lfcc_gmm' AND seed = 0 AND subset = 'easy' AND metric = 'eer'",
    )
    assert rows == [("cross_method-librisevoc-lfcc_gmm-s0-new",)]


def test_failed_runs_are_listed(data):
    results.collect(data, replicates=20)
    assert ask(data, "SELECT detector, reason FROM failure") == [("aasist", "out of memory")]
    shutil.rmtree(data / "scores" / "inner-librisevoc-aasist-s0-abc")
    results.collect(data, replicates=20)
    assert ask(data, "FROM failure") == []


def test_scores_are_read_through_the_database(data, monkeypatch):
    results.collect(data, replicates=20)
    rows = ask(data, f"SELECT count(*), count(DISTINCT run_id) FROM scores('{data}')")
    assert rows == [(3 * 16 + 10, 4)]
    below = data.with_name("role=test") / "data"  # which DuckDB takes for a column
    shutil.copytree(data, below)
    roles = [sorted(ask(data, f"SELECT role, count(*) FROM scores('{at}') GROUP BY 1")) for at in (data, below)]
    assert roles[0] == roles[1] and len(roles[0]) == 2


def test_no_runs_give_an_empty_catalog_with_the_published_figures(tmp_path):
    assert results.collect(tmp_path) == results.Collected(0, 0)
    assert ask(tmp_path, "SELECT count(*) FROM leaderboard") == [(0,)]
    assert ask(tmp_path, "SELECT value FROM published WHERE detector = 'rat' AND metric = 'eer'") == [
        (pytest.approx(0.0257),)
    ]
    twice = 277  # on the authors' recordings: beside both splits
    assert ask(tmp_path, "SELECT count(*) FROM published_run") == [(2 * (3280 + twice),)]


def test_types_are_the_twins_of_the_tables():
    assert [f.name for f in fields(measure.Result)] == list(results.columns("result"))
    assert [f.name for f in fields(measure.Breakdown)] == list(results.columns("breakdown"))


def test_every_table_and_every_column_says_what_it_is(tmp_path):
    results.collect(tmp_path)
    silent = ask(
        tmp_path,
        """
        SELECT table_name, column_name FROM duckdb_columns() c
        WHERE NOT internal AND comment IS NULL AND table_name IN (SELECT table_name FROM duckdb_tables())
        UNION ALL SELECT table_name, NULL FROM duckdb_tables() WHERE comment IS NULL
        UNION ALL SELECT view_name, NULL FROM duckdb_views() WHERE NOT internal AND comment IS NULL""",
    )
    assert silent == []


def test_asv_rates_of_a_run(data):
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.executemany(
            "INSERT INTO asv_score VALUES ('librisevoc', 'test', ?, ?, ?, NULL)",
            [(None, "target", s) for s in (1.0, 2.0, 3.0, 4.0)] + [(None, "nontarget", s) for s in (0.0, 0.5, 1.5)]
            + [("melgan", "spoof", 0.0), ("wavenet", "spoof", 5.0), ("other", "spoof", 9.0)],
        )  # fmt: skip
        rows = made_results.score_table(made_results.GOOD)
        found = verifier.asv_file(con, rows, ["eer", "min_tdcf_2019"])
        assert found["easy"][""] == {"p_fa": 1 / 3, "p_miss": 0.0, "p_fa_spoof": 0.0}
        assert found["hard"]["wavenet"] == {"p_fa": 1 / 3, "p_miss": 0.0, "p_fa_spoof": 1.0}
        assert verifier.asv_file(con, rows, ["eer"]) == {}


def test_an_average_of_nothing_has_no_value():
    found = measure.measure("r", made_results.score_table(made_results.GOOD), averages={"average": []}).results
    assert {(r.value, r.note) for r in found if r.kind == "average"} == {(None, "not run: an average of no subset")}


def test_an_average_of_averages_by_hand():
    groups = {"a": ["easy", "z"], "z": ["easy", "hard"], "ring": ["ring", "easy"]}
    found = measure.measure("r", made_results.score_table(made_results.GOOD), averages=groups).results
    eer = {r.subset: r.value for r in found if r.metric == "eer" and r.role == "test"}
    assert eer["z"] == (eer["easy"] + eer["hard"]) / 2 and eer["a"] == (eer["easy"] + eer["z"]) / 2
    assert eer["ring"] is None and eer["easy"] != eer["hard"]


def test_an_average_counts_each_trial_once():
    groups = {"average": ["easy", "hard"], "whole": ["average", "easy"]}
    found = measure.measure("r", made_results.score_table(made_results.GOOD), averages=groups).results
    counts = {r.subset: (r.n_bonafide, r.n_spoof) for r in found if r.metric == "eer" and r.role == "test"}
    assert counts == {"easy": (4, 2), "hard": (4, 2), "average": (4, 4), "whole": (4, 4)}  # one set of bona fide


def test_json_of_the_run_is_kept(data):
    results.collect(data, replicates=20)
    ((config,),) = ask(data, "SELECT DISTINCT config FROM run")
    assert json.loads(config) == {"lr": 0.1}
    assert np.isclose(ask(data, "SELECT dev_threshold FROM run LIMIT 1")[0][0], 0.0)


def test_a_killed_collect_leaves_the_old_catalog_and_the_next_one_succeeds(data):
    results.collect(data, replicates=20)
    before = (data / "results.duckdb").read_bytes()
    made_results.add_run(data, "aasist", made_results.score_table(made_results.GOOD))
    code = (
        "import os, signal, sys; from pathlib import Path; from benchmark import results; "
        "results._insert = lambda *_: os.kill(os.getpid(), signal.SIGKILL); results.collect(Path(sys.argv[1]), replicates=20)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(data)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert (data / "results.duckdb").read_bytes() == before
    assert results.collect(data, replicates=20) == results.Collected(runs=5, measured=1)
    assert len(ask(data, "FROM run")) == 5
    assert list(data.glob(".results*")) == []


def test_results_without_their_scores_are_left_as_they_are(tmp_path):
    """A results catalog opens by itself: whoever got only that must not lose it to a `collect`."""
    made_results.collected(tmp_path)
    shutil.rmtree(tmp_path / "scores")
    path = tmp_path / "results.duckdb"
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"holds no run; .* is left as it is"):
        results.collect(tmp_path)
    assert path.read_bytes() == before


def test_results_of_an_older_layout_are_copied_and_of_a_newer_one_refused(tmp_path):
    path = tmp_path / "results.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE score_file (run_id VARCHAR, signature VARCHAR)")
    before = path.read_bytes()
    results.collect(tmp_path)
    assert (tmp_path / "results.duckdb.v1.bak").read_bytes() == before
    with duckdb.connect(str(path)) as con:
        assert con.execute("FROM meta").fetchall() == [(results.SCHEMA_VERSION,)]
        con.execute("UPDATE meta SET schema_version = 99")
    with pytest.raises(DataError, match="schema version 99, this code reads up to"):
        results.collect(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "words"])
def test_a_damaged_curve_is_one_line(tmp_path, damage):
    run_id = made_results.add_run(tmp_path, "lfcc_gmm", made_results.score_table(made_results.GOOD))
    path = tmp_path / "scores" / run_id / "curve.parquet"
    name = pa.array(["dev_auc"]) if damage == "cut" else pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"epoch": pa.array([1]), "name": name, "value": pa.array([0.5])}), path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"curve\.parquet cannot be read.*delete .*{run_id}"):
        results.collect(tmp_path, replicates=0, jobs=1)


def test_the_corpora_of_a_subset_are_named_once_with_their_languages(tmp_path):
    table = made_results.score_table(made_results.GOOD)
    words = {"corpus": ["ctrsvdd", "decro"], "language": [None, "zh", "en"]}
    for name, given in words.items():
        column = pa.array([given[k % len(given)] for k in range(table.num_rows)])
        table = table.set_column(table.column_names.index(name), name, column)
    made_results.add_run(tmp_path, "lfcc_gmm", table, averages={}, pooled={})
    results.collect(tmp_path, replicates=20)
    assert {row[0] for row in ask(tmp_path, "SELECT corpora FROM tested WHERE role = 'test'")} == {
        "ctrsvdd en/zh + decro en/zh"
    }


def test_a_pool_stands_for_its_corpus_in_the_transfer(tmp_path):
    made_results.add_run(tmp_path, "lfcc_gmm", made_results.score_table(made_results.GOOD), averages={})
    results.collect(tmp_path, replicates=20)
    pool = [
        (
            "pooled",
            4,
            4,
            ask(tmp_path, "SELECT value FROM leaderboard WHERE subset = 'pooled' AND metric = 'eer'")[0][0],
        )
    ]
    assert ask(tmp_path, "SELECT subset, n_bonafide, n_spoof, eer FROM transfer") == pool  # not one of its parts
    assert ask(tmp_path, "SELECT trials FROM tested WHERE subset = 'pooled'") == [(8,)]


def test_asv_rates_with_a_negative_weight_give_no_cost_and_say_so():
    from benchmark import metrics
    from benchmark.measure import value_of

    ranked = metrics.rank(np.array([0.4, 0.9, 0.7]), np.array([0.1, 0.5, 0.3]))
    asv = metrics.AsvRates(p_fa=0.1, p_miss=1.0, p_fa_spoof=0.5)  # C1 = 0.9405 * (1 - 1) - 0.0095 * 10 * 0.1 < 0
    assert value_of("min_tdcf_2019", ranked, asv) == (None, "the ASV error rates give a negative weight")
