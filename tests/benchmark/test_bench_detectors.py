"""The bench of detectors runs and gives complete rows; what it measures is for a quiet machine."""

from benchmark import bench_detectors


def test_rows(monkeypatch):
    monkeypatch.setattr(bench_detectors, "SAMPLES", 8_000)
    monkeypatch.setattr(bench_detectors, "ROUNDS", 1)
    monkeypatch.setattr(bench_detectors, "CASES", (("lfcc_lcnn", {}, 2, 1.0, 1.3),))
    scoring, training = bench_detectors.rows()
    assert (scoring["name"], training["name"]) == tuple(
        f"lfcc_lcnn {what}, 8000 samples, 1 thread" for what in ("scoring", "training")
    )
    assert (scoring["reach"], training["reach"]) == (0.95, 1.3)
    assert all(row["value"] > 0 and row["limit"] > 0 for row in (scoring, training))
