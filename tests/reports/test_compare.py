"""Two runs on the same trials: the difference by hand, its interval, and what only one of them scored."""

import made_results
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark import bootstrap
from ingest.types import DataError
from reports.__main__ import main
from reports.compare import compare


@pytest.fixture
def runs(tmp_path):
    names = ("lfcc_gmm", "mean_pool")
    return tmp_path, *(
        made_results.add_run(tmp_path, name, made_results.score_table(test))
        for name, test in zip(names, (made_results.GOOD, made_results.WEAK))
    )


def test_the_difference_by_hand_and_its_interval(runs):
    data, good, weak = runs
    table, remarks = compare(data, good, weak, replicates=50)
    rows = {row["subset"]: row for row in table.to_pylist()}
    assert (rows["easy"]["first_eer"], rows["hard"]["first_eer"]) == (0.0, 0.375)
    found = bootstrap.paired_difference(
        ([3.0, 2.0, 1.0, 0.5], [0.75, -3.0]), ([3.0, 2.0, 1.0, -1.5], [1.5, 2.5]), replicates=50
    )
    hard = rows["hard"]
    assert hard["difference"] == found.value == hard["first_eer"] - hard["second_eer"]
    assert (hard["ci_low"], hard["ci_high"], hard["p_first_better"]) == (found.low, found.high, found.p_first_better)
    assert hard["ci_method"] == "paired_stratified_bootstrap_50"
    assert (hard["n_bonafide"], hard["n_spoof"]) == (4, 2)
    assert remarks == []


def test_a_run_beside_itself_differs_by_nothing(runs):
    data, good, _ = runs
    assert set(compare(data, good, good, replicates=5)[0]["difference"].to_pylist()) == {0.0}


def test_speakers_are_drawn_where_every_trial_has_one(runs):
    data, *both = runs
    for run in both:
        path = data / "scores" / run / "scores.parquet"
        table = pq.read_table(path)
        speaker = pa.array([f"p{k % 5}" for k in range(table.num_rows)])
        pq.write_table(table.set_column(table.column_names.index("speaker"), "speaker", speaker), path)
    assert set(compare(data, *both, replicates=5)[0]["ci_method"].to_pylist()) == {"paired_cluster_bootstrap_5"}


def test_trials_of_one_run_only_are_left_out_and_said(runs, capsys):
    data, good, weak = runs
    path = data / "scores" / weak / "scores.parquet"
    table = pq.read_table(path)
    keep = [
        not (s == "hard" and u.endswith("test_b0"))
        for s, u in zip(*(table[c].to_pylist() for c in ("subset", "utt_id")))
    ]
    pq.write_table(table.filter(pa.array(keep)), path)
    assert main(["compare", good, weak, "--data", str(data), "--replicates", "5", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert "hard" in out and out.splitlines()[-1].endswith("3,2")
    assert "hard: trials of one run only are left out (1 of first, 0 of second)" in err


def test_subsets_that_cannot_be_compared_are_said(runs, capsys):
    data, good, weak = runs
    path = data / "scores" / weak / "scores.parquet"
    table = pq.read_table(path)
    rename = pa.array(["other" if s == "hard" else s for s in table["subset"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("subset"), "subset", rename), path)
    rows, remarks = compare(data, good, weak, replicates=5)
    assert rows["subset"].to_pylist() == ["easy"]
    for subset, alone in (("hard", "6 of first, 0 of second"), ("other", "0 of first, 6 of second")):
        assert f"{subset}: trials of one run only are left out ({alone})" in remarks
        assert f"{subset}: not compared, as no bona fide and no spoof trial of it was scored by both runs" in remarks
    table = pq.read_table(path)
    keep = [
        s != "easy" or label == "bonafide" for s, label in zip(*(table[c].to_pylist() for c in ("subset", "label")))
    ]
    pq.write_table(table.filter(pa.array(keep)), path)
    with pytest.raises(DataError, match="no common test subset"):
        compare(data, good, weak)


def test_runs_without_a_common_subset_are_refused(runs, capsys):
    data, good, _ = runs
    other = made_results.add_run(data, "aasist", made_results.score_table({"eval": made_results.GOOD["easy"]}))
    with pytest.raises(DataError, match="no common test subset"):
        compare(data, good, other)
    with pytest.raises(DataError, match="run in"):
        compare(data, good, "no-such-run")
    for number in ("0", "1000000000000"):
        with pytest.raises(SystemExit, match="2"):
            main(["compare", good, other, "--data", str(data), "--replicates", number])
        assert f"a whole number from 1 to 1000000, not '{number}'" in capsys.readouterr().err
