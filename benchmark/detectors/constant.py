"""The same score for every utterance: what each metric says when a detector says nothing."""

import torch

from ._base import Batches, Detector, Input


class Constant(Detector):
    """Scores zero. By the official EER a constant reaches 100 %, by the tie-safe one 50 %."""

    INPUT = Input(samples=16_000, train_crop="first", test_crop="first")
    PAPER = "none: a floor"

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, ...) -> (batch,) zeros."""
        return x.new_zeros(len(x))

    def fit(self, batches: Batches, *, seed: int = 0) -> None:
        """Nothing to learn; no batch is read."""


build = Constant
