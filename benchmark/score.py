"""Scores of trials: one float64 per trial, higher = more bona fide, in the order of the rows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from benchmark.distribution import ALONE, Share, gathered
from benchmark.loader import Loader
from ingest.progress import Progress
from ingest.types import DataError


def score(detector: nn.Module, loader: Loader, *, what: str | None = None, here: Share = ALONE) -> np.ndarray:
    """(trial,) float64 scores of every row of the loader, in row order; of several processes each scores its batches.

    The detector is left in evaluation mode. Raises DataError naming the first utterance whose score is not
    finite.
    """
    return _columns(detector, loader, (), what, here)["score"]


def score_and_diagnose(
    detector: nn.Module, loader: Loader, *, what: str | None = None, here: Share = ALONE
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """`score`, and each of the detector's DIAGNOSTICS as (trial,) float64, from the same pass."""
    columns = _columns(detector, loader, tuple(detector.DIAGNOSTICS), what, here)
    return columns.pop("score"), columns


def one_each(detector: nn.Module, values: torch.Tensor, clips: int) -> np.ndarray:
    """(clip,) float64 of what a detector gave for a batch, also of a `squeeze()` too much or too few.

    Raises DataError if it is not one number a clip.
    """
    if not isinstance(values, torch.Tensor) or values.numel() != clips:
        told = f"{tuple(values.shape)}" if isinstance(values, torch.Tensor) else f"a {type(values).__name__}"
        raise DataError(
            f"{type(detector).__name__} gives {told} as the scores of {clips} clips: score(x) must return a tensor "
            "(batch,), one number a clip"
        )
    return values.double().reshape(clips).cpu().numpy()


def _columns(
    detector: nn.Module, loader: Loader, names: Sequence[str], what: str | None, here: Share
) -> dict[str, np.ndarray]:
    """score and `names`, each (trial,) float64 in row order."""
    detector.eval()
    order = [draw.row for batch in here.turns(loader.plan()) for draw in batch]
    mine = np.full((1 + len(names), len(order)), np.nan)
    done = 0
    with Progress(what or "score", total=len(order), unit="trial") as progress, torch.inference_mode():
        for batch in loader.epoch(here=here):
            values, found = detector.diagnose(batch) if names else (detector.score_batch(batch), {})
            size = len(batch.utt_id)
            for row, column in enumerate((values, *(found[name] for name in names))):
                mine[row, done : done + size] = one_each(detector, column, size)
            done += size
            progress.add(size)
    every = np.full((1 + len(names), len(loader.utt_id)), np.nan)
    for rows, values in gathered((order, mine), here):
        every[:, rows] = values
    scores = every[0]
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        raise DataError(
            f"{wrong.size} of {scores.size} scores are not finite (first: {loader.utt_id[wrong[0]]}); "
            "the training diverged: lower lr or set clip_norm"
        )
    return dict(zip(("score", *names), every, strict=True))
