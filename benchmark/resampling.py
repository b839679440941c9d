"""Drawing trials with replacement: by speaker or inside each class, as weights on sorted scores."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmark.ranked import Ranked

BLOCK = 50  # replicates that share a generator: results do not depend on the number of threads
WINDOW_SD = 6.0  # half width of the window, in standard deviations of P_fa - P_miss at the crossing
SMALL = 4_000  # trials up to which the window is everything


@dataclass(frozen=True, slots=True)
class Region:
    """A range of ranks, and where each cell's trials of that range lie in `Sample.by_cell`."""

    first: int
    last: int
    start: np.ndarray
    size: np.ndarray


class Sample:
    """Trials in official order with their cells (cluster x class), ready to be resampled."""

    def __init__(self, bonafide: ArrayLike, spoof: ArrayLike, clusters: tuple[ArrayLike, ArrayLike] | None):
        Ranked(bonafide, spoof)  # refuses empty classes and scores that are not finite
        scores = np.concatenate([np.asarray(bonafide, np.float64), np.asarray(spoof, np.float64)])
        self.n_bonafide, self.n_spoof = len(bonafide), len(spoof)
        order = np.argsort(scores, kind="stable")
        self.is_bonafide = order < self.n_bonafide
        if clusters is None:
            code = np.zeros(scores.size, np.int64)
        else:
            code = np.unique(np.concatenate([np.asarray(c) for c in clusters]), return_inverse=True)[1]
            if code.size != scores.size:
                raise ValueError(f"{scores.size} scores but {code.size} cluster names")
        self.n_clusters = int(code.max()) + 1
        cell = code[order] * 2 + self.is_bonafide  # even: spoof, odd: bona fide
        self.by_cell = np.argsort(cell, kind="stable")  # ranks, grouped by cell, ascending inside
        self.size = np.bincount(cell, minlength=2 * self.n_clusters)
        self.start = np.concatenate([[0], np.cumsum(self.size)[:-1]])
        self.cell = cell

    def region(self, first: int, last: int) -> Region:
        """Ranks first .. last - 1."""
        below = np.bincount(self.cell[:first], minlength=self.size.size)
        inside = np.bincount(self.cell[first:last], minlength=self.size.size)
        return Region(first, last, self.start + below, inside)

    def draws(self, rng: np.random.Generator, scheme: str) -> np.ndarray:
        """How many trials one replicate draws from each cell."""
        if scheme == "stratified":
            return self.size
        per_cluster = self.size.reshape(-1, 2)
        times = np.bincount(rng.integers(self.n_clusters, size=self.n_clusters), minlength=self.n_clusters)
        total = times * per_cluster.sum(1)
        genuine = rng.binomial(total, per_cluster[:, 1] / per_cluster.sum(1))
        return np.stack([total - genuine, genuine], 1).reshape(-1)

    def weights(self, rng: np.random.Generator, region: Region, drawn: np.ndarray) -> np.ndarray:
        """How often each rank of `region` was drawn, given the number drawn from each cell."""
        picked = np.flatnonzero(drawn)
        drawn = drawn[picked]
        within = rng.random(int(drawn.sum())) * np.repeat(region.size[picked], drawn)
        where = np.repeat(region.start[picked], drawn) + within.astype(np.int64)
        return np.bincount(self.by_cell[where] - region.first, minlength=region.last - region.first)

    def window(self, clustered: bool) -> tuple[int, int]:
        """Ranks around the crossing that nearly every replicate crosses in."""
        total = self.is_bonafide.size
        if total <= SMALL:
            return 0, total
        i = np.concatenate([[0], np.cumsum(self.is_bonafide)])
        miss = i / self.n_bonafide
        gap = (self.n_spoof - (np.arange(total + 1) - i)) / self.n_spoof - miss
        crossing = int(np.argmax(gap <= 0))
        rate = miss[crossing]
        variance = rate * (1 - rate) * (1 / self.n_bonafide + 1 / self.n_spoof)
        if clustered:
            rejected = np.bincount(self.cell[:crossing], minlength=self.size.size).reshape(-1, 2)
            size = self.size.reshape(-1, 2)
            spoof = (rejected[:, 0] - (1 - rate) * size[:, 0]) / self.n_spoof
            genuine = (rejected[:, 1] - rate * size[:, 1]) / self.n_bonafide
            variance += float(((spoof + genuine) ** 2).sum())
        width = WINDOW_SD * math.sqrt(variance) + 8 / min(self.n_bonafide, self.n_spoof)
        first = max(int(np.searchsorted(-gap, -width)) - 1, 0)
        return first, min(int(np.searchsorted(-gap, width, "right")) + 1, total)


def in_blocks(
    block: Callable[[np.random.Generator, int], Iterable[Any]], replicates: int, seed: int, threads: int
) -> list[Any]:
    """block(generator, count) for every block of replicates, in order."""
    counts = [min(BLOCK, replicates - done) for done in range(0, replicates, BLOCK)]
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(counts))]
    if threads == 1 or len(counts) == 1:
        parts = map(block, rngs, counts)
        return [value for part in parts for value in part]
    with ThreadPoolExecutor(threads) as pool:
        return [value for part in pool.map(block, rngs, counts) for value in part]
