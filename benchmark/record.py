"""What a run leaves: scores, curve, ASV rates, and a record of everything its numbers depend on."""

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark import cells as grid
from benchmark import recorded
from benchmark.cells import Trials
from benchmark.verifier import asv_file
from ingest import catalog, memory
from ingest.files import atomic, sha256
from ingest.types import DataError


def folder(data: Path, run_id: str) -> Path:
    """Where a run's files lie; run.json is written last and says that the run is done."""
    return data / "scores" / run_id


def write_run(
    data: Path, out: Path, run_id: str, on: Trials, scored: Mapping[tuple, float], *,
    curve: Sequence[Sequence], facts: Mapping[str, Any], paired: bool = False,
    diagnosed: Mapping[str, Mapping[tuple, float]] | None = None,
) -> None:  # fmt: skip
    """Write the files of one finished run.

    scored: `cells.score_keys` -> score for every dev and test trial; curve: (epoch, name, value) points; facts:
    detector, seed, config, parameters, costs; paired: the detector hears references; diagnosed: name -> the like of
    `scored`, for more columns beside the score. The same scores give the same bytes of scores.parquet.
    """
    where, rows = folder(out, run_id), _rows(on)
    keys = grid.score_keys(pa.concat_tables([on.role("dev"), on.role("test")]), paired=paired)
    table = rows
    for name, values in (("score", scored), *(diagnosed or {}).items()):
        table = table.append_column(name, pa.array([values[key] for key in keys], pa.float64()))
    _write_scores(where, table)
    columns = list(zip(*curve, strict=True)) or [[], [], []]
    with atomic(where / "curve.parquet") as temporary:
        types = (("epoch", pa.int64()), ("name", pa.string()), ("value", pa.float64()))
        points = {name: pa.array(list(c), kind) for (name, kind), c in zip(types, columns, strict=True)}
        pq.write_table(pa.table(points), temporary, compression="zstd")
    with catalog.connect(data / "catalog.duckdb") as con:
        _write_json(where / "asv.json", asv_file(con, rows, on.protocol.metrics))
        shards = _shards(con, on.rows)
    (where / "failed.json").unlink(missing_ok=True)
    _write_json(where / "run.json", {"run_id": run_id, "shards": shards, **_about(on), **_provenance(), **facts})


def describe_again(data: Path, out: Path, run_ids: Iterable[str], on: Trials) -> None:
    """Bring what finished runs say of their one protocol up to date: title, metrics, averages, what is pooled or
    missing, and what the catalog tells of its trials (attack, codec, speaker, ...).

    The trials are the same, or these were other runs; their scores stay as they are. A damaged record stays, too: the
    collector names it.
    """
    told, rows = _about(on), _rows(on)
    for run_id in run_ids:
        _describe_run_again(data, folder(out, run_id), told, rows)


def _describe_run_again(data: Path, where: Path, told: Mapping[str, Any], rows: pa.Table) -> None:
    from benchmark.results import read_scores

    try:
        about = recorded.run(where)
        if all(about.get(name) == value for name, value in told.items()):
            return
        scored = read_scores(where / "scores.parquet")
    except DataError:
        return
    known = set(_TRIAL) <= set(scored.column_names)
    if not known or any(not scored[name].cast(pa.string()).equals(rows[name]) for name in _TRIAL):
        return
    if about.get("described") != told["described"]:
        table = rows
        for name in scored.column_names:
            table = table if name in rows.column_names else table.append_column(name, scored[name])
        _write_scores(where, table)
    with catalog.connect(data / "catalog.duckdb") as con:
        _write_json(where / "asv.json", asv_file(con, rows, told["metrics"]))
    _write_json(where / "run.json", {**about, **told})


_TRIAL = ("role", "subset", "utt_id", "variant", "label")


def _rows(on: Trials) -> pa.Table:
    """The dev and test trials as scores.parquet describes them."""
    return pa.concat_tables([on.role("dev"), on.role("test")]).select(list(grid.SCORE_COLUMNS))


def _digest(rows: pa.Table) -> str:
    """sha256 of a table's values."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _write_scores(where: Path, table: pa.Table) -> None:
    with atomic(where / "scores.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd")


def stand_again(data: Path, run_id: str) -> None:
    """Date a finished run now, so that it stands before those of the same settings that other code or data made."""
    where = folder(data, run_id)
    _write_json(where / "run.json", {**recorded.run(where), "finished_at": _now()})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _write_json(path: Path, value: Any) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _shards(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> str | None:
    """sha256 over the hashes of all audio shards of the corpora that the trials come from."""
    if not con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'shard'").fetchone()[0]:
        return None
    corpora = sorted(set(rows["corpus"].to_pylist()))
    found = con.execute("SELECT shard, sha256 FROM shard WHERE corpus IN (FROM unnest(?)) ORDER BY shard", [corpora])
    return hashlib.sha256(json.dumps(found.fetchall()).encode()).hexdigest()


def _about(on: Trials) -> dict[str, Any]:
    protocol = on.protocol
    return {
        "protocol": protocol.name,
        "scenario": protocol.scenario,
        "title": protocol.title,
        "metrics": list(protocol.metrics),
        "averages": {name: list(subsets) for name, subsets in protocol.averages.items()},
        "pooled": {name: list(subsets) for name, subsets in protocol.pooled.items()},
        "train_fingerprint": on.train_fingerprint,
        "trials_fingerprint": on.fingerprint,
        "described": _digest(_rows(on)),
        "simulated": on.simulated,
        "partial": on.partial,
        "missing_trials": on.missing,
    }


def _provenance() -> dict[str, Any]:
    return {
        **source(),
        "catalog_version": catalog.SCHEMA_VERSION,
        "finished_at": _now(),
        "peak_memory_bytes": memory.peak_bytes(),
        "versions": versions(),
    }


def device_name(device: str) -> str:
    """A GPU's product name, or the processor's."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def source() -> dict[str, Any]:
    """The commit, whether it was changed since, and the lock file's hash of this checkout; None where it is none."""
    lock = grid.ROOT / "requirements.lock"
    return {**git_state(), "lock": sha256(lock) if lock.exists() else None}


@cache
def git_state() -> dict[str, Any]:
    """The commit this code is at, and whether it was changed since; None outside a checkout."""

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(["git", *words], cwd=grid.ROOT, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD") if (grid.ROOT / ".git").exists() else None
    dirty = bool(ask("status", "--porcelain", "--untracked-files=no")) if commit else None
    return {"git_commit": commit, "git_dirty": dirty}


@cache
def versions() -> dict[str, str]:
    """Versions of what a score depends on."""
    from importlib.metadata import version

    names = ("torch", "torchaudio", "transformers", "numpy", "duckdb", "pyarrow", "soundfile", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
