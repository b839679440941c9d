"""What ran, what runs now, what failed and why: read from the files that cells leave."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark import finished, recorded
from benchmark.finished import RUN
from ingest.files import flock
from ingest.types import DataError


def status(data: Path) -> list[dict[str, Any]]:
    """One row per cell or training at work: run_id, state (done | running | failed | unreadable), detail.

    Raises DataError where `data` is no folder.
    """
    finished.check(data)
    rows = []
    for folder in sorted((data / "scores").glob("*/")):
        try:
            rows += _of(folder)
        except DataError as error:
            rows.append({"run_id": folder.name, "state": "unreadable", "detail": str(error)})
    for path in sorted((data / "models").glob("*/lock")):
        if _held(path):
            rows.append({"run_id": path.parent.name, "state": "running", "detail": path.read_text().strip()})
    return rows


def _of(folder: Path) -> list[dict[str, Any]]:
    if (folder / RUN).exists():
        return [{"run_id": folder.name, "state": "done", "detail": _detail(recorded.run(folder))}]
    failed = recorded.failure(folder)
    if failed is None:
        return []
    again = failed["again"] or "run the command that gave it once more"  # older records do not have theirs
    detail = f"{failed['reason'] or 'for a reason that was not recorded'}; again: {again}"
    return [{"run_id": folder.name, "state": "failed", "detail": detail}]


def _detail(run: Mapping[str, Any]) -> str:
    if run.get("external"):
        return f"scores of others, {run.get('source') or 'source not told'}"
    if not run.get("trained", True):
        return f"given weights, {run.get('device')}"
    if run.get("train_s") is None:  # probes of shortcuts, and runs that others recorded
        return "trained"
    best = run.get("best_epoch")  # none of a detector that is fitted at once
    return f"trained {run['train_s']:.0f} s, {'' if best is None else f'best epoch {best}, '}{run.get('device')}"


def _held(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY)  # enough for a lock, and all that others' data may allow
    try:
        flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB, path)
    except BlockingIOError:
        return True
    except DataError:  # a file system without locks, where nobody trains
        return False
    finally:
        os.close(handle)
    return False
