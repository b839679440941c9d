"""A score that has nothing to do with the label: chance, for comparison."""

import zlib

import numpy as np
import torch

from ._base import Batches, Detector, Input


class RandomScore(Detector):
    """Standard normal by utterance and seed: equal waves get equal scores, in whatever batch they come."""

    INPUT = Input(samples=48_000, train_crop="first", test_crop="first")
    PAPER = "none: a floor"

    def __init__(self):
        super().__init__()
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64, device="cpu"))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, ...) -> (batch,) drawn from a generator seeded by the row's bytes."""
        rows = x.detach().cpu().float().contiguous().numpy()
        draws = [np.random.default_rng([int(self.seed), zlib.crc32(row.tobytes())]).standard_normal() for row in rows]
        return torch.tensor(draws, dtype=torch.float32, device=x.device)

    def fit(self, batches: Batches, *, seed: int = 0) -> None:
        """Keep the run's seed; no batch is read."""
        self.seed.fill_(seed % 2**63)


build = RandomScore
