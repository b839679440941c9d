"""Every stage disturbed a few times, run again and compared: a sample of `make faults` (see docs/faults.md).

One process does the faults, since it imports everything once; then each stage and kind is looked at by itself.
SIREN_FAULTS=500 does as many.
"""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import street

COUNT = int(os.environ.get("SIREN_FAULTS", "18"))
STAGES = ("ingest", "shards", "variants", "features", "train", "score", "collect", "report")
KINDS = ("kill", "stop", "full", "readonly", "corrupt", "clock", "twice")


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """Every fault, by stage; those of the object store, of Ray and of vocals take long and are left to `make faults`."""
    if not Path("/proc/self/task").exists():
        pytest.skip("finds workers by /proc")
    log = tmp_path_factory.mktemp("faults") / "faults.json"
    words = [sys.executable, "tests/faults/run.py", "--count", str(COUNT), "--seed", "16", "--kind", *KINDS,
             "--stage", *STAGES, "--json", str(log)]  # fmt: skip
    done = subprocess.run(
        words, cwd=street.ROOT, env=street.environment(), capture_output=True, text=True, timeout=3600
    )
    assert log.exists(), done.stdout + done.stderr
    by_stage = collections.defaultdict(list)
    for row in json.loads(log.read_text()):
        by_stage[row["stage"]].append(row)
    assert sum(map(len, by_stage.values())) == COUNT, done.stdout + done.stderr
    return by_stage


@pytest.mark.parametrize("stage", STAGES)
def test_disturbed_and_run_again_is_as_if_nothing_had_been(faults, stage):
    rows = faults[stage]
    assert rows, "no fault of this stage"
    wrong = [f"{row['number']} {row['kind']} ({row['how']}): {'; '.join(row['wrong'])}" for row in rows if row["wrong"]]
    assert not wrong, "\n".join(wrong)
