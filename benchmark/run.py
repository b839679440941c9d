"""Cells to score files: train once per training key, then score every cell that shares it."""

import contextlib
import json
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import pyarrow as pa
import pyarrow.compute as pc

from benchmark import again, devices, record, recorded
from benchmark import cells as grid
from benchmark.cells import Cell, Trials
from benchmark.energy import Meter
from ingest import catalog, memory, parallel
from ingest.files import atomic, lock, sha256
from ingest.parallel import Jobs
from ingest.progress import Progress
from ingest.types import DataError

if TYPE_CHECKING:
    from benchmark.distribution import Share

SCORED_WAIT_S = 3600.0  # for who holds the catalog once a cell is scored, which may have taken hours


@dataclass(frozen=True, slots=True)
class Machine:
    """Where cells run: device word (auto, cpu, cuda, cuda:1), threads and GPUs per cell, cells at once or a cluster."""

    device: str = "auto"
    threads: int = 1
    jobs: Jobs = 1
    gpus: float = 0  # that a cell takes of a cluster's node
    track: str | None = None  # where learning curves go as well: tensorboard, mlflow, wandb
    stored: bool = True  # read stored features where they are, to the bit, what would be computed


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


def grouped(out: Path, cells: Sequence[Cell], part: tuple[int, int] = (1, 1)) -> dict[str, list[Cell]]:
    """The cells that are not done by the training they share; of all trainings those of one part."""
    number, parts = part
    mine = set(list(dict.fromkeys(cell.train_key for cell in cells))[number - 1 :: parts])
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.train_key in mine and not done(out, cell):
            groups.setdefault(cell.train_key, []).append(cell)
    return groups


def run(
    data: Path,
    cells: Sequence[Cell],
    on: Mapping[str, Trials],
    machine: Machine,
    *,
    weights: Path | None = None,
    out: Path | None = None,
    lists: Path | None = None,
    part: tuple[int, int] = (1, 1),
) -> list[Failure]:
    """Run every cell that is not done; a failed one never stops the others. Returns the failures.

    data: where catalog and shards lie; out: where models and scores go (default: data). part (i, n): of all trainings,
    done or not, the i-th, (i + n)-th, ... only, so that n such calls do everything once. lists: where `on` has its
    trial lists from, for the command that repeats a failed cell.
    """
    data = Path(data).absolute()  # a node of a cluster works in a folder of its own
    out = Path(out).absolute() if out else data
    weights = weights and Path(weights).absolute()
    groups = grouped(out, cells, part)
    failures: list[Failure] = []
    if not groups:
        return failures
    tasks = (
        joblib.delayed(_group)(
            Work(data, out, {c.protocol: on[c.protocol] for c in group}, machine, weights, lists, record.source()),
            group,
        )
        for group in groups.values()
    )
    jobs = min(machine.jobs, len(groups)) if isinstance(machine.jobs, int) else machine.jobs
    with Progress("benchmark", total=len(groups), unit="training") as progress:
        seen = data / "catalog.duckdb"
        for group in parallel.results(tasks, jobs, what="benchmark", gpus=machine.gpus, seen=seen):
            failures += group
            progress.add()
    return sorted(failures, key=lambda failure: failure.run_id)


@dataclass(frozen=True, slots=True)
class Work:
    """What one training and the cells that share it need; travels to the process that does it."""

    data: Path
    out: Path
    on: Mapping[str, Trials]
    machine: Machine
    weights: Path | None
    lists: Path | None = None
    source: Mapping[str, Any] = field(default_factory=dict)  # record.source() of the process that ordered the work


def _group(work: Work, group: Sequence[Cell]) -> list[Failure]:
    """Train what the cells share, then score each; failures are written beside the results and returned."""
    from benchmark import distribution

    try:
        with contextlib.ExitStack() as held:
            device = held.enter_context(devices.taken(work.machine.device))
            here = distribution.start(device)
            if here.first:
                held.enter_context(lock(model_folder(work.out, group[0]) / "lock"))
            left = distribution.agree([cell for cell in group if not done(work.out, cell)], here)
            if left:
                _train_and_score(work, left, device, here)
            distribution.agree(None, here)  # nobody goes on before the first process has written
    except DataError as error:
        reason, trace = str(error), ""
    except Exception as error:  # a bug in one detector must not cost the others their night
        reason, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
    else:
        return []
    first = distribution.count_failure(group[0].train_key) == 1  # the next ones may only have lost the first one
    failures = [_failed(work, cell, reason, trace, write=first) for cell in group if not done(work.out, cell)]
    if not distribution.all_failed(group[0].train_key):
        distribution.abandon(f"{group[0].run_id}: {' '.join(reason.split())}")
    return failures


def _failed(work: Work, cell: Cell, reason: str, trace: str, *, write: bool) -> Failure:
    on = work.on[cell.protocol]
    failed = {
        "run_id": cell.run_id,
        "protocol": cell.protocol,
        "detector": cell.detector,
        "seed": cell.seed,
        "reason": " ".join(reason.split()),
        "traceback": trace,
        "again": again.command(cell, on, data=work.data, weights=work.weights, lists=work.lists),
    }
    if write:
        with atomic(record.folder(work.out, cell.run_id) / "failed.json") as temporary:
            temporary.write_text(json.dumps(failed, indent=1, sort_keys=True))
    return Failure(cell.run_id, failed["reason"])


def _train_and_score(work: Work, cells: Sequence[Cell], device: str, here: "Share") -> None:
    import torch

    from shards.reader import Reader

    torch.set_num_threads(work.machine.threads)
    memory.keep_freed()
    with Reader(work.data) as reader, Meter(device) as meter:
        reader.has("")  # reads the index, which stays that of the catalog now
        refuse_changed(work.data, work.on.values())
        detector, training = final_detector(work, cells[0], reader, device, here)
        known: dict[tuple, dict[str, list[float]]] = {}
        for cell in cells:
            started = time.perf_counter()
            columns, number = scores_of(
                detector, cell, work.on[cell.protocol], reader, device, known, here, stored=work.machine.stored
            )
            costs = {"score_s": time.perf_counter() - started, "scored_trials": number}
            costs |= meter.read()  # the next cell starts from here: the training counts once
            # stored features are looked up as late as that
            refuse_changed(work.data, [work.on[cell.protocol]], wait_s=SCORED_WAIT_S)
            if not here.first:
                continue
            facts = facts_of(cell, {**training, **costs}, detector, device, model_folder(work.out, cell))
            facts |= {"processes": here.world, **work.source}
            record.write_run(
                work.data, work.out, cell.run_id, work.on[cell.protocol], columns.pop("score"),
                curve=training["curve"], facts=facts, paired=detector.REFERENCE, diagnosed=columns,
            )  # fmt: skip


def refuse_changed(data: Path, on: Iterable[Trials], *, wait_s: float = 60.0) -> None:
    """`cells.refuse_changed`, of several protocols, on the catalog as it is now."""
    with catalog.connect(data / "catalog.duckdb", wait_s=wait_s) as con:
        for trials in on:
            grid.refuse_changed(con, trials)


def final_detector(work: Work, cell: Cell, reader: Any, device: str, here: "Share") -> tuple[Any, dict]:
    """The detector with its final weights, and what is recorded of its training.

    From disk when the training is finished, else trained now; of a cell that is only scored, the weights as given.
    Raises DataError for weights that are no longer those of the cell, or do not fit.
    """
    import torch

    from benchmark.detectors import _pretrained
    from benchmark.loader import derive
    from benchmark.trained import load_own

    given = work.weights
    if given is not None and not (given.is_file() and sha256(given) == cell.settings.weights):
        raise DataError(
            f"{given} is missing, or no longer the file that it was when this command began (on a cluster: not the "
            "same file on every node); run the command again with the right file"
        )
    torch.manual_seed(derive(cell.seed, "weights"))
    if not cell.trained:
        costs = {"train_s": 0.0, "train_draws": 0, "best_epoch": None, "epochs": 0, "curve": []}
        return _untrained(work, cell).to(device), costs
    folder = model_folder(work.out, cell)
    finished = (folder / "train.json").exists()
    detector = _build(cell, work.on[cell.protocol], offline=finished or given is not None).to(device)
    if given is not None:
        _pretrained.tell(cell.detector, given, detector.load_weights(given))
    if finished:
        try:
            load_own(detector, folder / "model.safetensors")
        except DataError as error:
            raise DataError(f"{error}; delete {folder} and run the cell again") from None
        return detector.to(device), recorded.training(folder)
    result = _train(work, cell, detector, reader, device)
    if here.first:
        _keep(folder, detector, result)
    return detector, result


def _untrained(work: Work, cell: Cell) -> Any:
    """The detector of a cell that is only scored, with the given weights, where there are any."""
    from benchmark.detectors import _pretrained
    from benchmark.trained import scorer

    on = work.on[cell.protocol]
    if work.weights is None:
        return _build(cell, on, offline=False)
    detector, _, report = scorer(cell.detector, cell.settings.config, _attacks(on), work.weights)
    _pretrained.tell(cell.detector, work.weights, report)
    report.whole(work.weights)
    return detector


def _train(work: Work, cell: Cell, detector: Any, reader: Any, device: str) -> dict:
    from benchmark.detectors import _pretrained
    from benchmark.distribution import Tracker
    from benchmark.train import train

    on, how = work.on[cell.protocol], cell.settings.training
    stored, file = work.machine.stored, _pretrained.began_from(detector)
    backbone = _pretrained.hashes(file)[-1] if file else None
    started = time.perf_counter()
    about = {
        "detector": cell.detector,
        "protocol": cell.protocol,
        "seed": cell.seed,
        **cell.settings.as_json()["training"],
    }
    with Tracker(work.machine.track, work.out / "tracking", cell.train_key, about, device=device) as tracker:
        result = train(
            detector,
            _loader(detector, on.role("train"), cell, reader, device, train=True, balance=how.balance,
                    weighed_by=on.protocol.train.weighed_by, stored=stored),
            _loader(detector, on.role("dev"), cell, reader, device, group_by=on.protocol.dev_mean_over, stored=stored),
            how,
            seed=cell.seed,
            checkpoint=model_folder(work.out, cell) / "state.pt",
            name=f"{cell.protocol} {cell.detector} seed {cell.seed}",
            tracker=tracker,
        )  # fmt: skip
    result["train_s"] = time.perf_counter() - started
    result["train_draws"] = grid.draws_per_epoch(on, how)
    result["backbone_sha256"] = backbone
    return result


def _keep(folder: Path, detector: Any, result: Mapping[str, Any]) -> None:
    """Write the weights, then what says that they are final, then drop the state between."""
    from safetensors.torch import save_file

    with atomic(folder / "model.safetensors") as temporary:
        save_file({key: value.contiguous() for key, value in detector.state_dict().items()}, temporary)
    with atomic(folder / "train.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1, sort_keys=True))
    (folder / "state.pt").unlink(missing_ok=True)


def _build(cell: Cell, on: Trials, *, offline: bool) -> Any:
    """The detector of a cell; offline: its weights come whole from a file, so its backbone's are not looked for."""
    from benchmark import detectors

    own, config = detectors.settings(cell.detector), dict(cell.settings.config)
    if offline:
        config = {**detectors.get(cell.detector).OFFLINE, **config}
    if "attacks" in own and "attacks" not in config:
        config["attacks"] = _attacks(on)
    if "seed" in own:
        config.setdefault("seed", cell.seed)
    return detectors.build(cell.detector, **config)


def _attacks(on: Trials) -> list[str]:
    """The attack words of the training trials, sorted: the classes of detectors that name them."""
    return sorted(set(pc.drop_null(on.role("train")["attack"]).to_pylist()))


def _loader(
    detector: Any, rows: pa.Table, cell: Cell, reader: Any, device: str, *, train: bool = False, stored: bool = True,
    **options: Any,
) -> Any:  # fmt: skip
    import torch

    from benchmark import feeds
    from benchmark.loader import Loader
    from features import extractors
    from features.reader import stored as found
    from shards.reader import Reader

    spec, how = cell.settings.input, cell.settings.training
    extractor = extractors.get(spec["feature"], **spec["params"]).to(device)
    loader = Loader(
        reader, rows, spec, extractor, batch_size=how.batch_size, seed=cell.seed, train=train,
        drop_last=how.drop_last and train, device=device, feed=feeds.of(detector, train=train), **options,
    )  # fmt: skip
    if stored and isinstance(reader, Reader):
        loader.stored = found(
            reader.data, extractor, loader.utt_id, loader.variant, samples=loader.samples, device=device,
            changed=loader.feed != feeds.Feed() or loader.level != "as_is", threads=torch.get_num_threads(),
        )  # fmt: skip
    return loader


def scores_of(
    detector: Any, cell: Cell, on: Trials, reader: Any, device: str, known: dict[tuple, dict[str, list[float]]],
    here: "Share", *, stored: bool = True,
) -> tuple[dict[str, dict[tuple, float]], int]:  # fmt: skip
    """The score of every dev and test trial, and the detector's DIAGNOSTICS: name -> `cells.score_keys` -> value; and
    how many were computed.

    known: what is scored together -> values, by name; other cells of this training find there what they share.
    """
    from benchmark.score import score_and_diagnose

    columns: dict[str, dict[tuple, float]] = {name: {} for name in ("score", *detector.DIAGNOSTICS)}
    number = 0
    for keys, rows in grid.scored_together(on, paired=detector.REFERENCE):
        if keys not in known:
            loader = _loader(detector, rows, cell, reader, device, stored=stored)
            what = f"{cell.protocol} {cell.detector} scores"
            values, found = score_and_diagnose(detector, loader, what=what, here=here)
            known[keys] = {name: column.tolist() for name, column in {"score": values, **found}.items()}
            number += len(keys)
        for name, column in known[keys].items():
            columns[name].update(zip(keys, column, strict=True))
    return columns, number


def facts_of(cell: Cell, costs: dict, detector: Any, device: str, folder: Path) -> dict[str, Any]:
    """What the record of a run says beside its protocol and provenance."""
    from benchmark.detectors import _ssl

    return {
        "train_key": cell.train_key,
        "detector": cell.detector,
        "seed": cell.seed,
        "config": cell.settings.as_json(),
        "trained": cell.trained,
        "code_version": cell.code_version,
        "parameters": detector.parameter_count,
        "form": detector.form,
        "diagnostics": dict(detector.DIAGNOSTICS),
        "device": record.device_name(device),
        "model_sha256": sha256(folder / "model.safetensors") if cell.trained else None,
        "backbone": _ssl.configuration(detector),
        "backbone_sha256": costs.get("backbone_sha256"),
        **{key: value for key, value in costs.items() if key != "curve"},
    }
