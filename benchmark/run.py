"""Cells to score files: train once per training key, then score every cell that shares it."""

import ctypes
import json
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pyarrow.compute as pc

from benchmark import cells as grid
from benchmark import record
from benchmark.cells import Cell, Trials
from ingest.files import atomic, lock
from ingest.progress import Progress
from ingest.types import DataError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


@dataclass(frozen=True, slots=True)
class Machine:
    """Where cells run: device word (auto, cpu, cuda, cuda:1), threads per cell, cells at once."""

    device: str = "auto"
    threads: int = 1
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that did not end: its name and the reason in one line."""

    run_id: str
    reason: str


def model_folder(data: Path, cell: Cell) -> Path:
    """Where the training that a cell shares with others is kept."""
    return data / "models" / cell.train_key


def done(data: Path, cell: Cell) -> bool:
    """Has the cell been run?"""
    return (record.folder(data, cell.run_id) / "run.json").exists()


def run(
    data: Path,
    cells: Sequence[Cell],
    on: Mapping[str, Trials],
    machine: Machine,
    *,
    weights: Path | None = None,
) -> list[Failure]:
    """Run every cell that is not done; a failed one never stops the others. Returns the failures."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if not done(data, cell):
            groups.setdefault(cell.train_key, []).append(cell)
    failures: list[Failure] = []
    if not groups:
        return failures
    jobs = [
        joblib.delayed(_group)(data, group, {c.protocol: on[c.protocol] for c in group}, machine, weights)
        for group in groups.values()
    ]
    parallel = joblib.Parallel(n_jobs=min(machine.jobs, len(jobs)), return_as="generator_unordered")
    with Progress("benchmark", total=len(jobs), unit="training") as progress:
        for group in parallel(jobs):
            failures += group
            progress.add()
    return sorted(failures, key=lambda failure: failure.run_id)


def _group(
    data: Path, group: Sequence[Cell], on: Mapping[str, Trials], machine: Machine, weights: Path | None
) -> list[Failure]:
    """Train what the cells share, then score each; failures are written beside the results and returned."""
    try:
        with lock(model_folder(data, group[0]) / "lock"):
            _train_and_score(data, [cell for cell in group if not done(data, cell)], on, machine, weights)
    except DataError as error:
        return [_failed(data, cell, str(error)) for cell in group if not done(data, cell)]
    except Exception as error:  # a bug in one detector must not cost the others their night
        trace = traceback.format_exc()
        reason = f"{type(error).__name__}: {error}"
        return [_failed(data, cell, reason, trace) for cell in group if not done(data, cell)]
    return []


def _failed(data: Path, cell: Cell, reason: str, trace: str = "") -> Failure:
    failed = {
        "run_id": cell.run_id,
        "protocol": cell.protocol,
        "detector": cell.detector,
        "seed": cell.seed,
        "reason": " ".join(reason.split()),
        "traceback": trace,
    }
    with atomic(record.folder(data, cell.run_id) / "failed.json") as temporary:
        temporary.write_text(json.dumps(failed, indent=1, sort_keys=True))
    return Failure(cell.run_id, failed["reason"])


def _train_and_score(
    data: Path, cells: Sequence[Cell], on: Mapping[str, Trials], machine: Machine, weights: Path | None
) -> None:
    import torch

    from shards.reader import Reader

    if not cells:
        return
    device = _device(machine.device)
    torch.set_num_threads(machine.threads)
    keep_freed_memory()
    first = cells[0]
    with Reader(data) as reader:
        detector, training = _trained(data, first, on[first.protocol], reader, device, weights)
        scored: dict[tuple[str, str], float] = {}
        for cell in cells:
            started = time.perf_counter()
            _score_new(detector, cell, on[cell.protocol], reader, device, scored)
            seconds = time.perf_counter() - started
            facts = _facts(cell, {**training, "score_s": seconds}, detector, device)
            record.write_run(
                data, cell.run_id, on[cell.protocol], scored,
                curve=training["curve"], facts=facts, paired=detector.REFERENCE,
            )  # fmt: skip


def _trained(data: Path, cell: Cell, on: Trials, reader: Any, device: str, weights: Path | None) -> tuple[Any, dict]:
    """The detector with its final weights, from disk when the training is finished, else trained now."""
    import torch
    from safetensors.torch import load_file, save_file

    from benchmark.loader import derive
    from benchmark.train import train

    folder = model_folder(data, cell)
    torch.manual_seed(derive(cell.seed, "weights"))
    finished = (folder / "train.json").exists()
    detector = _build(cell, on, offline=finished or weights is not None).to(device)
    if weights is not None:
        detector.load_weights(weights)
    if not cell.trained:
        return detector, {"train_s": 0.0, "best_epoch": None, "epochs": 0, "curve": []}
    if finished:
        detector.load_state_dict(load_file(folder / "model.safetensors"))
        return detector.to(device), json.loads((folder / "train.json").read_text())
    started = time.perf_counter()
    how = cell.settings.training
    balance = on.protocol.balance if how.balance == "protocol" else how.balance
    result = train(
        detector,
        _loader(detector, on.role("train"), cell, reader, device, train=True, balance=balance),
        _loader(detector, on.role("dev"), cell, reader, device, group_by=on.protocol.dev_mean_over),
        how,
        seed=cell.seed,
        checkpoint=folder / "state.pt",
        name=f"{cell.protocol} {cell.detector} seed {cell.seed}",
    )
    result["train_s"] = time.perf_counter() - started
    with atomic(folder / "model.safetensors") as temporary:
        save_file({key: value.contiguous() for key, value in detector.state_dict().items()}, temporary)
    with atomic(folder / "train.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1, sort_keys=True))
    (folder / "state.pt").unlink(missing_ok=True)
    return detector, result


def _build(cell: Cell, on: Trials, *, offline: bool) -> Any:
    """The detector of a cell; offline: its weights come whole from a file, so its backbone's are not looked for."""
    from benchmark import detectors

    own, config = detectors.settings(cell.detector), dict(cell.settings.config)
    if offline:
        config = {**detectors.get(cell.detector).OFFLINE, **config}
    if "attacks" in own and "attacks" not in config:
        config["attacks"] = sorted(set(pc.drop_null(on.role("train")["attack"]).to_pylist()))
    if "seed" in own:
        config.setdefault("seed", cell.seed)
    return detectors.build(cell.detector, **config)


def _loader(detector: Any, rows: pa.Table, cell: Cell, reader: Any, device: str, **options: Any) -> Any:
    from benchmark import feeds
    from benchmark.loader import Loader
    from features import extractors

    spec, how = cell.settings.input, cell.settings.training
    train = options.pop("train", False)
    return Loader(
        reader, rows, spec, extractors.get(spec["feature"], **spec["params"]).to(device),
        batch_size=how.batch_size, seed=cell.seed, train=train, drop_last=how.drop_last and train,
        device=device, feed=feeds.of(detector, train=train), **options,
    )  # fmt: skip


def _score_new(detector: Any, cell: Cell, on: Trials, reader: Any, device: str, scored: dict) -> None:
    """Add the scores of dev and test trials that no other cell of this training has had scored."""
    from benchmark.score import score

    rows = pa.concat_tables([on.role("dev"), on.role("test")])
    keys = grid.score_keys(rows, paired=detector.REFERENCE)
    new = {key: index for index, key in enumerate(keys) if key not in scored}  # one row per trial, however shared
    if new:
        loader = _loader(detector, rows.take(list(new.values())), cell, reader, device)
        values = score(detector, loader, what=f"{cell.protocol} {cell.detector} scores")
        scored.update(zip(new, values.tolist(), strict=True))


def _facts(cell: Cell, training: dict, detector: Any, device: str) -> dict[str, Any]:
    """What the record of a run says beside its protocol and provenance."""
    return {
        "train_key": cell.train_key,
        "detector": cell.detector,
        "seed": cell.seed,
        "config": cell.settings.as_json(),
        "trained": cell.trained,
        "code_version": grid.code_version(cell.detector, cell.settings.input["feature"]),
        "parameters": sum(p.numel() for p in detector.parameters()),
        "device": record.device_name(device),
        **{key: training[key] for key in ("train_s", "score_s", "best_epoch", "epochs")},
    }


def _device(word: str) -> str:
    import torch

    if word == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if word.startswith("cuda") and not torch.cuda.is_available():
        raise DataError(f"--device {word}: no CUDA device is visible here; use --device cpu")
    return word


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of handing them back to the kernel after every layer.

    Activations of a few MiB are mapped, zeroed by page faults and unmapped again at each step otherwise: half the
    time of a training step of LFCC-LCNN on a CPU. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, size in ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1), (_M_TOP_PAD, 64 << 20)):
        mallopt(option, size)


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
