"""The quick form of a detector beside its plain one on real clips: how far scores differ, and whether an EER moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.cli import THREADS, Parser, add_data, whole
from ingest.types import DataError


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both forms on the clips of one corpus, or of all: EERs in percent, largest difference of two scores of a clip."""

    corpus: str
    bonafide: int
    spoof: int
    eer_fast_pct: float
    eer_plain_pct: float
    difference: float


def compare(
    data: Path, detector: str, *, config: Mapping[str, Any] | None = None, weights: Path | None = None,
    every: int = 1, batch_size: int = 4,
) -> list[Agreement]:  # fmt: skip
    """Score every `every`-th clip of the catalog below `data` in both forms; a row per corpus that has both classes,
    then one for all clips. Without `weights` the parameters are random (seed 0).

    Raises DataError where there is no clip of one class, and as the detector and the shards do.
    """
    import torch

    from benchmark import detectors
    from benchmark.loader import Loader
    from benchmark.score import score
    from features import extractors
    from shards.reader import Reader

    rows = _rows(data, every)
    torch.manual_seed(0)
    model = detectors.build(detector, **{**detectors.get(detector).OFFLINE, **(config or {}), "fast": True})
    if weights is not None:
        model.load_weights(weights)
    spec = {name: getattr(model.input, name) for name in model.input.__dataclass_fields__}
    with Reader(data) as reader:
        loader = Loader(
            reader, rows, spec, extractors.get(spec["feature"], **spec["params"]),
            batch_size=batch_size, seed=0, train=False,
        )  # fmt: skip
        fast = score(model, loader, what=f"{detector} fast")
        model.take_form(fast=False)
        plain = score(model, loader, what=f"{detector} plain")
    corpus, bonafide = np.array(rows["corpus"].to_pylist()), np.array(rows["label"].to_pylist()) == "bonafide"
    parts = [(name, corpus == name) for name in sorted(set(corpus))] + [("all", np.ones(len(corpus), bool))]
    return [_agreement(name, fast[on], plain[on], bonafide[on]) for name, on in parts if len(set(bonafide[on])) == 2]


def _agreement(name: str, fast: np.ndarray, plain: np.ndarray, bonafide: np.ndarray) -> Agreement:
    from benchmark import metrics

    eers = [100 * metrics.eer(scores[bonafide], scores[~bonafide])[0] for scores in (fast, plain)]
    return Agreement(name, int(bonafide.sum()), int((~bonafide).sum()), *eers, float(np.abs(fast - plain).max()))


def _rows(data: Path, every: int) -> pa.Table:
    """utt_id, corpus and label of every `every`-th clip with audio, in the order of corpus and name."""
    from ingest import catalog

    with catalog.connect(data / "catalog.duckdb") as con:
        rows = con.sql(
            "SELECT utt_id, corpus, label FROM utterance WHERE audio_status = 'ok' AND label IN ('bonafide', 'spoof') "
            "ORDER BY corpus, utt_id"
        ).to_arrow_table()
    rows = rows.take(list(range(0, rows.num_rows, every)))
    if len(set(rows["label"].to_pylist())) < 2:
        raise DataError(f"{data}: {rows.num_rows} clips do not hold both classes; ingest a corpus, or lower --every")
    return rows


def add(commands: Any, examples: str) -> None:
    """The command `forms` of `python -m benchmark`."""
    what = "compare the quick form of a detector with its plain one on the clips of the catalog"
    command: Parser = commands.add_parser("forms", help=what, description=what, epilog=examples)
    add_data(command)
    command.add_argument("--detector", required=True, metavar="NAME")
    command.add_argument("--weights", type=Path, metavar="FILE", help="default: random ones")
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="settings")
    command.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th clip (default: all)")
    command.add_argument("--threads", type=whole(THREADS), metavar="N", default=1, help="CPU threads (default: 1)")
    command.set_defaults(does=_compare)


def _compare(arguments: Any) -> int:
    import torch

    from benchmark import detectors, settings

    if arguments.every < 1:
        raise DataError(f"--every {arguments.every} is not a positive number")
    name = arguments.detector
    how = settings.resolve(name, settings.parse(arguments.set, detectors.names()), clip=None, weights=None)
    torch.set_num_threads(arguments.threads)
    print(
        f"{'corpus':18s} {'bona fide':>9s} {'spoof':>6s} {'EER fast %':>10s} {'EER plain %':>11s} {'largest diff':>12s}"
    )
    for row in compare(arguments.data, name, config=how.config, weights=arguments.weights, every=arguments.every):
        eers = f"{row.eer_fast_pct:10.3f} {row.eer_plain_pct:11.3f}"
        print(f"{row.corpus:18s} {row.bonafide:9d} {row.spoof:6d} {eers} {row.difference:12.2e}")
    return 0
