"""A whole pipeline, run once per test session through the command line, on two simulated corpora."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import forks
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
CORPORA = ("librisevoc", "decro")
RUN = ("run", "--protocol", "inner/librisevoc", "cross_language/decro_zh_en", "inner/decro_zh",
       "--detector", "mean_pool", "lfcc_gmm", "--set", "mean_pool.epochs=2", "lfcc_gmm.components=4", "lfcc_gmm.iterations=2")  # fmt: skip


def call(*words, data=None, check=True, start=forks.run, timeout=600):
    """Run python -m WORDS in the project; returns the finished process with its output as text."""
    words = [*map(str, words), *(["--data", str(data)] if data else [])]
    done = start(words, environment=environment(), timeout=timeout)
    assert not check or done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done


def started(words, *, environment, timeout):
    """`call(..., start=started)`: Python from its start, as a user has it, with seconds of imports."""
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout, env=environment
    )


def environment():
    """One thread per process: the machine that runs the tests has few cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def stages(corpora_root):
    """The commands of the street after `simulate`, in order."""
    ingest = [("ingest", name, "--root", corpora_root / name, "--jobs", "1") for name in CORPORA]
    return [
        *ingest,
        *[("shards", name) for name in CORPORA],
        ("features", CORPORA[0], "--feature", "logmel"),
        ("benchmark", *RUN, "--jobs", "1"),
        ("benchmark", "shortcuts", "--protocol", "inner/librisevoc"),
        ("reports", "leaderboard"),
    ]


def digest(data):
    """Everything that must not depend on how often a command was killed: name -> hash."""
    found = {}
    for path in sorted(data.rglob("*")):
        kind = path.relative_to(data).parts[0]
        if kind in ("shards", "features") and path.suffix == ".tar":
            found[str(path.relative_to(data))] = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.name in ("scores.parquet", "model.safetensors", "leaderboard.md"):
            found[str(path.relative_to(data))] = hashlib.sha256(path.read_bytes()).hexdigest()
        assert not path.name.endswith(".tmp"), f"{path} was left behind"
    with duckdb.connect(str(data / "catalog.duckdb"), read_only=True) as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
            rows = con.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
            found[f"catalog {table}"] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def records(data):
    """run.json of every run."""
    return [json.loads(path.read_text()) for path in sorted(data.glob("scores/*/run.json"))]


def scores(data, run_id):
    """scores.parquet of one run as a list of rows."""
    return pq.read_table(data / "scores" / run_id / "scores.parquet").to_pylist()


def spawn(*words, data, told=None):
    """Start a command in a session of its own, with what it tells (stderr) in an open file; returns the process."""
    with open(os.devnull, "r+") as nothing:
        files = [nothing.fileno(), nothing.fileno(), (told or nothing).fileno()]
        words = [*map(str, words), "--data", str(data)]
        return forks.Process(forks.server(), words, environment=environment(), files=files, session=True)


def kill_after(seconds, *words, data):
    """Start a command and kill -9 it, with all its workers, after so many seconds of work; was it still running?"""
    process = spawn(*words, data=data)
    time.sleep(seconds)
    return process.kill() == -signal.SIGKILL


def kill_on_the_way(*words, data, calm, times):
    """Run a command on `calm` in peace, then kill -9 it so many times on `data`, at moments all over its work."""
    forks.server()  # whose own start is no work of the command
    started = time.monotonic()
    call(*words, data=calm)
    took_s = time.monotonic() - started
    for number in range(times):
        kill_after(took_s * (number + 0.5) / times, *words, data=data)
