"""Finished runs below DATA/scores: which there are."""

from pathlib import Path

from ingest.cli import with_data
from ingest.types import DataError, nearest

RUN = "run.json"  # written last: it says that the run is done
ROBUSTNESS = "robustness"  # scenario, and beginning of the ids, of runs that score another's network through variants


def check(data: Path) -> None:
    """Raise DataError where `data` is no folder: a name that was mistyped, below which nothing must be made."""
    if not data.is_dir():
        raise DataError(f"{data} is not a folder; name the one that runs were made in with --data (DATA=)")


def names(data: Path) -> list[str]:
    """The ids of the finished runs, sorted."""
    return sorted(path.parent.name for path in (data / "scores").glob(f"*/{RUN}"))


def folder(data: Path, run_id: str) -> Path:
    """The folder of a finished run. Raises DataError for an unknown id, and for a path, which is no id."""
    known = names(data)
    if run_id in known:  # a name that a listing gave leads nowhere else
        return data / "scores" / run_id
    if "/" in run_id or run_id in ("", ".", ".."):
        raise DataError(f"{run_id!r} is not a run id: that is the name of a folder in {data / 'scores'}")
    if not known:
        raise DataError(f"{data} holds no finished run; train one: {with_data('python -m benchmark run', data)}")
    raise nearest(run_id, known, what=f"run in {data}")
