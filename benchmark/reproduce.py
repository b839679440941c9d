"""Repeat a run from its record, beside it, and compare the scores."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmark import cells as grid
from benchmark import distribution, finished, record, recorded, run
from benchmark.settings import Settings
from ingest import catalog
from ingest.files import lock, sha256
from ingest.types import DataError

WHERE = "reproduced"  # folder below DATA


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the scores of the repetition differ from the recorded ones.

    largest: the largest absolute difference of a score; trials: how many were compared; changed: what of the record
    (code, commit, libraries, device) is different now, each as "name: then -> now".
    """

    run_id: str
    trials: int
    largest: float
    different: int
    changed: tuple[str, ...]


def reproduce(
    data: Path, run_id: str, machine: run.Machine, *, weights: Path | None = None, lists: Path | None = None
) -> Comparison:
    """Train and score the run `run_id` again, in DATA/reproduced, and compare.

    weights: the file that the run started from, where it had one; lists: folder of the user's trial lists. Raises
    DataError if there is no such run, the catalog holds other trials than the run was made on, the repetition fails, or
    torchrun started several processes: one holds what is repeated against every other.
    """
    if distribution.share().world > 1:
        raise DataError("benchmark reproduce runs in one process; start it without torchrun")
    about = _record(data, run_id)
    with catalog.connect(data / "catalog.duckdb") as con:
        on = grid.trials(con, about["protocol"], partial=about["partial"], lists=lists)
    if on.fingerprint != about["trials_fingerprint"]:
        copies = ", ".join(sorted(set(on.rows["variant"].to_pylist()) - {"original"}))
        raise DataError(
            f"{run_id}: the catalog gives other trials for {about['protocol']} than the run had "
            f"({on.fingerprint[:12]} now, {about['trials_fingerprint'][:12]} then); ingest the same corpora again"
            + (f", and make its copies ({copies}) as they were" if copies else "")
        )
    how = Settings.from_json(about["config"])
    _check_weights(how, weights, run_id)
    cell = grid.cell(about["protocol"], on, how, about["seed"], about["trained"])
    with lock(data / WHERE / f".{cell.train_key}.lock", keep=False):  # another one would remove what this one makes
        _forget(data / WHERE, cell)
        failures = run.run(data, [cell], {cell.protocol: on}, machine, weights=weights, out=data / WHERE)
        if failures:
            raise DataError(f"{run_id} could not be repeated: {failures[0].reason}")
        again = recorded.run(record.folder(data / WHERE, cell.run_id))
        return _compared(data, run_id, cell.run_id, tuple(_changed(about, again)))


def _forget(out: Path, cell: grid.Cell) -> None:
    """Remove an earlier repetition that ended, and the training that one on other trials left: other libraries,
    another device or other audio may have made them. One that was killed goes on."""
    again, model = run.done(out, cell), run.model_folder(out, cell)
    ended = (recorded.run(record.folder(out, name)).get("train_key") for name in finished.names(out))
    if again or ((model / recorded.TRAINED).exists() and cell.train_key in ended):
        shutil.rmtree(model, ignore_errors=True)
    if again:
        shutil.rmtree(record.folder(out, cell.run_id))


def _record(data: Path, run_id: str) -> dict[str, Any]:
    folder = finished.folder(data, run_id)
    about = recorded.run(folder)
    if about.get("external") or about.get("seed") is None or "input" not in (about.get("config") or {}):
        raise DataError(f"{run_id} was not made by python -m benchmark run or score, so it cannot be repeated")
    recorded.need(folder, about, ("protocol", "partial", "trained", "trials_fingerprint"))
    return about


def _check_weights(how: Settings, weights: Path | None, run_id: str) -> None:
    found = sha256(weights) if weights else None
    if how.weights != found:
        need = f"started from weights with sha256 {how.weights}" if how.weights else "started from no weights"
        raise DataError(f"{run_id} {need}; {'these have ' + found if found else 'pass them'} with --weights FILE")


def _changed(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    keys = ("code_version", "git_commit", "git_dirty", "device", "lock", "backbone_sha256")
    flat = [(key, then.get(key), now.get(key)) for key in keys]
    flat += [(name, old, now["versions"].get(name)) for name, old in (then.get("versions") or {}).items()]
    return [f"{name}: {old} -> {new}" for name, old, new in flat if old != new]


def _compared(data: Path, run_id: str, again: str, changed: tuple[str, ...]) -> Comparison:
    columns = ["role", "subset", "utt_id", "variant", "score"]
    old = pq.read_table(record.folder(data, run_id) / "scores.parquet", columns=columns)
    new = pq.read_table(record.folder(data / WHERE, again) / "scores.parquet", columns=columns)
    if not old.drop_columns("score").equals(new.drop_columns("score")):
        raise DataError(f"{run_id}: the repetition scored other trials; delete {record.folder(data / WHERE, again)}")
    apart = np.abs(old["score"].to_numpy() - new["score"].to_numpy())
    largest = float(apart.max()) if apart.size else math.nan
    return Comparison(run_id, apart.size, largest, int((apart > 0).sum()), changed)
