"""Calls timed beside each other: they take turns, so that what else a machine does falls on each alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Turns:
    """What each call took in every round: seconds for one of what it does."""

    seconds: Mapping[str, list[float]]

    def rate(self, name: str) -> float:
        """How many a second, in the median round."""
        return 1 / statistics.median(self.seconds[name])

    def best(self, name: str) -> float:
        """How many a second, in the quickest round."""
        return 1 / min(self.seconds[name])

    def ratio(self, name: str, peer: str) -> float:
        """How many times the rate of `peer` in the same round: the median of all rounds."""
        pairs = zip(self.seconds[name], self.seconds[peer], strict=True)
        return statistics.median(theirs / own for own, theirs in pairs)

    def row(self, what: str, name: str, peer: str, *, unit: str, reach: float | None) -> dict[str, Any]:
        """A figure of `make bench`: rates in `unit`, and the ratio that has to be at least `reach`."""
        value, limit, ratio = self.rate(name), self.rate(peer), self.ratio(name, peer)
        return {"name": what, "value": value, "unit": unit, "limit": limit, "ratio": ratio, "reach": reach}


def in_turns(
    calls: Mapping[str, Callable[[], float]], rounds: int, *, after: Callable[[], Any] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Turns:  # fmt: skip
    """Time the calls, each of which returns how much it did, in every round another one first; one round warms up.

    after: called when a call has ended, not timed.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for turn in range(rounds + 1):
        first = turn % len(order)
        for name in order[first:] + order[:first]:
            started = clock()
            did = calls[name]()
            if turn:
                spent[name].append((clock() - started) / did)
            after()
    return Turns(spent)
