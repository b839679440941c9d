"""What ran, what runs now, what failed and why: read from the files that cells leave."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any


def status(data: Path) -> list[dict[str, Any]]:
    """One row per cell or training at work: run_id, state (done | running | failed), detail."""
    rows = []
    for folder in sorted((data / "scores").glob("*/")):
        if (folder / "run.json").exists():
            run = json.loads((folder / "run.json").read_text())
            detail = f"trained {run['train_s']:.0f} s, best epoch {run['best_epoch']}, {run['device']}"
            rows.append({"run_id": folder.name, "state": "done", "detail": detail})
        elif (folder / "failed.json").exists():
            failed = json.loads((folder / "failed.json").read_text())
            again = f"again: python -m benchmark run --protocol {failed['protocol']} " \
                    f"--detector {failed['detector']} --seed {failed['seed']}"  # fmt: skip
            rows.append({"run_id": folder.name, "state": "failed", "detail": f"{failed['reason']}; {again}"})
    for path in sorted((data / "models").glob("*/lock")):
        if _held(path):
            rows.append({"run_id": path.parent.name, "state": "running", "detail": path.read_text().strip()})
    return rows


def _held(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
