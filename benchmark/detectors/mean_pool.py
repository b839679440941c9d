"""Mean over time, then one linear layer: the floor every other detector has to beat."""

from dataclasses import replace

import torch
from torch import nn

from features.extractors._base import counts

from ._base import Detector, Input


class MeanPool(Detector):
    """Logistic regression on the mean log-mel spectrum of so many `bands`."""

    INPUT = Input(feature="logmel", samples=48_000, train_crop="random", test_crop="middle")
    PAPER = "none: a floor"
    TRAINING = {"lr": 1e-2, "weight_decay": 0.0}

    def __init__(self, *, bands: int = 80):
        super().__init__()
        counts(bands=bands)
        self.linear = nn.Linear(bands, 1)
        self.input = replace(self.INPUT, params={"bands": bands})

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, band) -> (batch,) logits."""
        return self.linear(x.mean(1)).squeeze(-1)


build = MeanPool
