"""Two classes of scores sorted once, and the rank counts from which every threshold metric follows.

The "official path" of `metrics.eer` walks the scores upwards, rejecting one at a time, bona fide before
spoof among equals. A point (i, j) of the path has i bona fide and j spoof rejected; it starts at (0, 0).
"""

from bisect import bisect_left
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

BELOW_ALL = 0.001  # the official threshold that rejects nothing lies this far below the lowest score


class Ranked:
    """Sorted scores of the two classes: `bonafide` (n,) and `spoof` (m,) float64, ascending, finite.

    Raises ValueError when a class is empty or not one-dimensional, or a score is NaN or infinite (the
    message counts them and names the first position).
    """

    def __init__(self, bonafide: ArrayLike, spoof: ArrayLike):
        self.bonafide = ascending(bonafide, "bona fide")
        self.spoof = ascending(spoof, "spoof")
        self.n_bonafide, self.n_spoof = self.bonafide.size, self.spoof.size

    @cached_property
    def lowest(self) -> float:
        return float(min(self.bonafide[0], self.spoof[0]))

    @cached_property
    def highest(self) -> float:
        return float(max(self.bonafide[-1], self.spoof[-1]))

    def rejected(self, threshold: float, side: str = "left") -> tuple[int, int]:
        """How many bona fide and spoof lie below `threshold` (side="right": at or below it)."""
        return (
            int(np.searchsorted(self.bonafide, threshold, side)),
            int(np.searchsorted(self.spoof, threshold, side)),
        )

    def at(self, score: float) -> int:
        """How many trials have exactly this score."""
        return sum(self.rejected(score, "right")) - sum(self.rejected(score))

    @cached_property
    def few_values(self) -> bool:
        """Whether all trials together take fewer than three distinct values."""
        return self.at(self.lowest) + self.at(self.highest) >= self.n_bonafide + self.n_spoof

    def threshold(self, i: int, j: int) -> float:
        """The official threshold of path point (i, j): the score rejected last."""
        if i + j == 0:
            return self.lowest - BELOW_ALL
        last = self.bonafide[i - 1] if i else -np.inf
        return float(max(last, self.spoof[j - 1] if j else -np.inf))

    @cached_property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Path points (i, j), in path order, among which any cost that grows with both error rates is least.

        These are the points before a bona fide trial (or after a spoof trial, whichever class is smaller);
        min(n, m) + 1 of them.
        """
        if self.n_bonafide <= self.n_spoof:
            before = np.searchsorted(self.spoof, self.bonafide)
            return np.arange(self.n_bonafide + 1), np.append(before, self.n_spoof)
        before = np.searchsorted(self.bonafide, self.spoof, "right")
        return np.concatenate([[0], before]), np.arange(self.n_spoof + 1)

    @cached_property
    def corner_rates(self) -> tuple[np.ndarray, np.ndarray]:
        """(P_miss, P_fa) at the corners."""
        return self.rates(*self.corners)

    def rates(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(P_miss, P_fa) at path points (i, j)."""
        return i / self.n_bonafide, (self.n_spoof - j) / self.n_spoof

    @cached_property
    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """Every path point (i, j): two arrays of n + m + 1."""
        order = np.argsort(np.concatenate([self.bonafide, self.spoof]), kind="stable")
        i = np.concatenate([[0], np.cumsum(order < self.n_bonafide)])
        return i, np.arange(i.size) - i

    def lowest_cost(
        self, cost: Callable[[np.ndarray, np.ndarray], np.ndarray], *, growing: bool = True
    ) -> tuple[float, float]:
        """The least cost(P_miss, P_fa) on the official path and its threshold; the first minimum wins.

        growing: the cost strictly grows with both rates, so the corners suffice.
        """
        i, j = self.corners if growing else self.path
        value = cost(*(self.corner_rates if growing else self.rates(i, j)))
        k = int(np.argmin(value))
        return float(value[k]), self.threshold(int(i[k]), int(j[k]))

    def crossing(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The path points before and after P_fa - P_miss stops being positive (two neighbours)."""
        n, m = self.n_bonafide, self.n_spoof

        def reached(i: int) -> int:  # spoof rejected when bona fide number i + 1 is next
            return int(np.searchsorted(self.spoof, self.bonafide[i])) if i < n else m

        i = bisect_left(range(n + 1), True, key=lambda i: (m - reached(i)) * n <= i * m)
        start = reached(i - 1) if i else 0
        j = max(-(-(n - i) * m // n), start)  # the first j with (m - j) / m <= i / n
        before = (i, j - 1) if j > start else (i - 1, j)
        return before, (i, j)

    def equal_error(self) -> tuple[float, float]:
        """The official equal error rate and its threshold (see `metrics.eer`)."""
        places = [(i / self.n_bonafide, (self.n_spoof - j) / self.n_spoof, (i, j)) for i, j in self.crossing()]
        miss, false_alarm, place = min(places, key=lambda p: abs(p[0] - p[1]))  # min keeps the first of equals
        return (miss + false_alarm) / 2, self.threshold(*place)


def ascending(scores: ArrayLike, what: str) -> np.ndarray:
    """A sorted float64 copy of `scores`; ValueError if empty, not one-dimensional or not finite."""
    if np.ma.isMaskedArray(scores):
        scores = np.ma.filled(np.ma.asarray(scores, dtype=np.float64), np.nan)  # a hidden score is a missing one
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{what} scores must be one-dimensional, got shape {values.shape}")
    if not values.size:
        raise ValueError(f"no {what} scores")
    ordered = np.sort(values)  # NaN sorts last, so the two ends tell whether all are finite
    if not (np.isfinite(ordered[0]) and np.isfinite(ordered[-1])):
        bad = np.flatnonzero(~np.isfinite(values))
        raise ValueError(
            f"{bad.size} of {values.size} {what} scores are not finite (first: {values[bad[0]]} at position {bad[0]})"
        )
    return ordered


def rank(bonafide: ArrayLike | Ranked, spoof: ArrayLike | None = None) -> Ranked:
    """Sort once, use often: every metric accepts the result in place of its two arrays."""
    if isinstance(bonafide, Ranked):
        return bonafide
    if spoof is None:
        raise ValueError("two arrays are needed: bona fide scores, spoof scores")
    return Ranked(bonafide, spoof)
