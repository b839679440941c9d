"""Shards and features whose driver or worker is killed again and again: in the end what an undisturbed run makes.

SIREN_KILLS=30 kills as often as that; the suite kills a few times.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import street

from shards.bench_memory import corpus

KILLS = int(os.environ.get("SIREN_KILLS", "4"))
SHARDS = ("shards", "bench", "--max-bytes", "100000", "--jobs", "2")
FEATURES = ("features", "bench", "--feature", "logmel", "--jobs", "2")


def children(pid):
    """The worker processes of joblib that a process has started and that still run."""
    try:
        started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(word) for word in started if b"popen_loky" in Path(f"/proc/{word}/cmdline").read_bytes()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def disturbed(moment, command, data):
    """Run a command and kill it, or one of its workers, at a random moment; True if it was still running."""
    words = [sys.executable, "-m", *command, "--data", str(data)]
    process = subprocess.Popen(
        words, cwd=street.ROOT, env=street.environment(), start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(moment.uniform(0.3, 3.0))
    running, workers = process.poll() is None, children(process.pid)
    if running and workers and moment.random() < 0.5:
        os.kill(moment.choice(workers), signal.SIGKILL)
        _, said = process.communicate(timeout=120)  # ends by itself, with one line or as if nothing had been
        assert process.returncode in (0, 2) and "Traceback (" not in said, said
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return running


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers by /proc")
def test_killed_at_random_moments_then_run_again(tmp_path):
    undisturbed, data = corpus(tmp_path / "a", 240), corpus(tmp_path / "b", 240)
    for command in (SHARDS, FEATURES):
        street.call(*command, data=undisturbed)
    moment, killed = random.Random(7), 0
    for number in range(KILLS):
        killed += disturbed(moment, SHARDS if number < KILLS / 2 else FEATURES, data)
        if number + 1 >= KILLS / 2:
            street.call(*SHARDS, data=data)
    for command in (SHARDS, FEATURES):
        street.call(*command, data=data)
    street.call("shards", "gc", data=data)
    assert killed
    expected, got = street.digest(undisturbed), street.digest(data)
    made = [name for name in expected if not name.startswith("catalog ") or "shard" in name or "feature" in name]
    assert {name: got.get(name) for name in made} == {name: expected[name] for name in made}
    assert {name for name in got if name.endswith(".tar")} == {name for name in expected if name.endswith(".tar")}
