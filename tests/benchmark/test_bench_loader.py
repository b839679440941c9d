"""The loader's bench runs and gives complete rows; what it measures is for a quiet machine."""

from benchmark import bench_loader
from shards import bench as shard_bench


def test_rows(monkeypatch):
    monkeypatch.setattr(shard_bench, "CLIPS", 16)
    for name, value in {
        "CLIPS": 16,
        "EPOCHS": 1,
        "BATCH": 4,
        "ROUNDS": 1,
        "STEP": ("mean_pool", 4, 8),
        "SCORED": ("mean_pool", 4, 8),
    }.items():
        monkeypatch.setattr(bench_loader, name, value)
    rows = bench_loader.rows()
    assert len(rows) == 6
    for row in rows:
        assert (
            set(row) == {"name", "value", "unit", "limit", "ratio", "reach"} and row["value"] > 0 and row["limit"] > 0
        )
