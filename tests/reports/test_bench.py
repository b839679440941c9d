"""The bench page: what counts as met, and the table; the measurements themselves are no tests."""

import re
from pathlib import Path

import pytest

from ingest.types import DataError
from reports import bench, bench_board, leaderboard, sql


@pytest.mark.parametrize(("row", "met"), [
    ({"value": 3.0, "limit": 2.0, "reach": 1.5}, True),
    ({"value": 2.9, "limit": 2.0, "reach": 1.5}, False),
    ({"value": 2.9, "limit": 2.0, "ratio": 1.5, "reach": 1.5}, True),  # of the same rounds, not of two medians
    ({"value": 14.0, "limit": "sorting: 4 ms", "reach": "<= 15"}, True),
    ({"value": 700.0, "limit": "", "reach": ">= 800"}, False),
    ({"value": 700.0, "limit": "", "reach": None}, None),
])  # fmt: skip
def test_what_counts_as_met(row, met):
    assert bench.reached(row) is met


def test_the_table_says_what_was_missed():
    rows = [{"stage": "shards", "name": "pass-through", "value": 680.0, "unit": "MB/s", "limit": 1000.0, "reach": 0.8}]
    assert "| shards | pass-through | 680 | MB/s | 1,000 | 0.68 | ratio >= 0.8 | **no** |" in bench.markdown(rows)
    rows[0].update(value=33_214.0, limit=98_810.4)  # no 3.321e+04
    assert "| pass-through | 33,210 | MB/s | 98,810 | 0.34 |" in bench.markdown(rows)


def test_an_unknown_stage_is_named():
    with pytest.raises(DataError, match="did you mean shards"):
        bench.bench(["shard"])


def test_the_notes_of_the_page_are_kept(tmp_path, monkeypatch):
    row = {"stage": "s", "name": "n", "value": 2.0, "unit": "MB/s", "limit": 1.0, "reach": 1.0}
    monkeypatch.setattr(bench, "SOURCES", {"s": "module"})
    monkeypatch.setattr(bench, "measured", lambda module: [dict(row)])
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n\nold\n\n## Notes\n\nWhat did not pay.\n")
    for _ in range(2):
        assert bench.bench(page=page)
        text = page.read_text()
        assert "old" not in text and "| n |" in text and text.endswith("|\n\n## Notes\n\nWhat did not pay.\n")
    page.unlink()
    assert bench.bench(page=page) and "Notes" not in page.read_text()


def test_the_costs_follow_the_rates(tmp_path, monkeypatch):
    names = ("decode, resample and shard as flac, two processes, against x", "logmel, one thread, against x")
    rows = [
        {"name": name, "value": value, "unit": "clips/s", "limit": 1.0} for name, value in zip(names, (2000.0, 3000.0))
    ]
    monkeypatch.setattr(bench, "SOURCES", {"shards": "0", "features": "1"})
    monkeypatch.setattr(bench, "measured", lambda module: [dict(rows[int(module)])])
    page, costs = tmp_path / "performance.md", tmp_path / "cluster.md"
    costs.write_text("a\n\n| corpus | clips | hours |\n|---|---|---|\n| **all** | 1 | 1 |\n\nb\n")
    bench.bench(page=page)
    text = costs.read_text()
    assert text.startswith("a\n\n| corpus | clips | hours | audio") and text.endswith("|\n\nb\n")
    assert "| asvspoof2021_df | 611,829 | 680 | 78.3 | 78.3 | 0.17 | 0.08 |" in text


def test_a_stage_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    import os

    (tmp_path / "own_stage.py").write_text("import os\ndef rows():\n    yield {'name': 'pid', 'value': os.getpid()}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ((row),) = bench.measured("own_stage")
    assert row["name"] == "pid" and row["value"] != os.getpid()


def test_the_runs_of_the_board_bench_make_a_leaderboard_and_a_site(tmp_path):
    assert bench_board.make(tmp_path, detectors=3, protocols=4, seeds=2) == 24
    text = leaderboard.write(tmp_path).read_text()
    assert "24 runs of 3 detectors on 4 protocols." in text and "## cross_method/p1" in text
    rows = sql.query(tmp_path, "SELECT count(*) AS n, count(DISTINCT run_id) AS runs FROM score").to_pylist()
    assert rows == [{"n": 25 * bench_board.TRIALS, "runs": 25}]  # the copied one has its file, too
    assert sql.query(tmp_path, bench_board.QUERY).num_rows == 3 * 4


def test_generations_of_processors_of_one_name_are_told_apart():
    info = Path("/proc/cpuinfo")
    if not info.exists() or "cpu family" not in info.read_text():
        pytest.skip("no family of processors is told here")
    assert re.fullmatch(r".+ \(family \d+, model \d+\), \d+ cores, \d+ GiB, Python 3\.\d+\.\d+", bench.machine())
