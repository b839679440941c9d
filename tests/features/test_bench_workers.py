"""The bench of workers runs, gives complete rows, and notices other bytes; what it measures is for a quiet machine."""

import importlib.util
import subprocess
import sys

import pytest
import street

from features import bench_workers, compute
from shards import bench as shard_bench

SMALL = {"FEATURES": ("logmel", "mfcc"), "SHARDS": 2, "CLIPS": 2, "ROUNDS": 1, "HASHES": 10}

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(shard_bench, "CLIPS", 4)
    for name, value in SMALL.items():
        monkeypatch.setattr(bench_workers, name, value)


def test_every_row_is_complete():
    rows = bench_workers.rows()
    assert len(rows) == (4 if importlib.util.find_spec("ray") else 3)
    for row in rows:
        assert (
            set(row) == {"name", "value", "unit", "limit", "ratio", "reach"} and row["value"] > 0 and row["limit"] > 0
        )


def test_other_bytes_are_noticed(monkeypatch, tmp_path):
    tasks = bench_workers._tasks(tmp_path, "logmel")
    calls = {"all": lambda: bench_workers._run(tasks, 1), "one": lambda: bench_workers._run(tasks[:1], 1)}
    assert tasks[0][0] is compute.compute_shard
    with pytest.raises(RuntimeError, match="all and one did not give the same bytes"):
        bench_workers._timed(calls, tmp_path)


def test_constants_do_not_depend_on_the_threads_of_blas():
    """A worker has one thread, the first process as many as the machine: both must multiply by the same matrices."""
    code = (
        "import hashlib; from features import extractors; "
        "print({name: [hashlib.sha256(b.numpy().tobytes()).hexdigest() for b in extractors.get(name).buffers()] "
        "for name in ('cqcc', 'lfcc', 'logmel', 'mfcc', 'logspec')})"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env=street.environment() | dict.fromkeys(THREADS, count),
            cwd=street.ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for count in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1 and "cqcc" in said.pop()
