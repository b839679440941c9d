"""How sure the metrics of speaker verification under attack are: bootstrap intervals of a-DCF and t-EER.

Resampled like `bootstrap`: speakers where every trial has one, else trials inside each class (target, nontarget,
spoof). Every replicate draws all of its trials, as the least cost or the crossing can lie anywhere.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from benchmark.bootstrap import NO_ERROR, Interval, method_name, no_error_bound, percentile_interval, usable_clusters
from benchmark.ranked import ascending
from benchmark.resampling import Sample, in_blocks
from benchmark.tdcf import SasvCosts, Verifier, concurrent

Three = tuple[ArrayLike, ArrayLike, ArrayLike]  # target, nontarget, spoof


def a_dcf_interval(
    target: ArrayLike,
    nontarget: ArrayLike,
    spoof: ArrayLike,
    *,
    costs: SasvCosts | None = None,
    speakers: Three | None = None,
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
) -> Interval:
    """95 % percentile interval of `a_dcf`; without an error up to what the exact bounds of the three rates cost.

    speakers: of the trials of each class, in the same order.
    """
    weights = (costs or SasvCosts()).weights

    def value(drawn: np.ndarray, kind: np.ndarray) -> float:
        count = np.bincount(kind, drawn, 3)
        if not count.all():
            return math.nan
        step = np.array([weights[0], -weights[1], -weights[2]]) / count  # of rejecting one trial of each class
        path = np.cumsum(drawn * step[kind])
        default = weights[1] + weights[2]
        return (default + min(float(path.min()), 0.0)) / min(weights[0], default)

    found = _interval(value, (target, nontarget, spoof), speakers, replicates, seed, threads)
    if np.min(target) > max(np.max(nontarget), np.max(spoof)):
        rates = (no_error_bound(len(scores), classes=3) for scores in (target, nontarget, spoof))
        most = sum(weight * rate for weight, rate in zip(weights, rates)) / min(weights[0], weights[1] + weights[2])
        return Interval(0.0, min(most, 1.0), NO_ERROR)
    return found


def t_eer_interval(
    target: ArrayLike,
    nontarget: ArrayLike,
    spoof: ArrayLike,
    asv: Three,
    *,
    rho: float = 0.5,
    speakers: Three | None = None,
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
) -> Interval:
    """95 % percentile interval of `t_eer`, in percent: how far other trials would move the detector.

    target, nontarget, spoof: the detector's scores of the three classes. asv: the verifier's. As in the intervals
    of min t-DCF the verifier is held as it was measured and only the detector's trials are drawn anew, so that
    detectors beside the same verifier compare; its own uncertainty is not in the interval. Where no replicate has an
    error there is none: (None, None, None).
    """
    verifier = Verifier(*asv, rho=rho)

    def value(drawn: np.ndarray, kind: np.ndarray) -> float:
        path = np.repeat(kind < 2, drawn)  # every copy is rejected by itself
        rejected = np.concatenate([[0], np.cumsum(path)])
        n, m = int(rejected[-1]), path.size - int(rejected[-1])
        if not (n and m):
            return math.nan
        spoofs = m - (np.arange(path.size + 1) - rejected)
        return concurrent(rejected / n, spoofs / m, verifier)

    found = _interval(value, (target, nontarget, spoof), speakers, replicates, seed, threads)
    return found if found.high != 0 else Interval(None, None, None)


def _interval(
    value: Callable[[np.ndarray, np.ndarray], float], classes: Three, speakers: Three | None,
    replicates: int, seed: int, threads: int,
) -> Interval:  # fmt: skip
    """Of value(times each rank was drawn, class of each rank: 0 target, 1 nontarget, 2 spoof)."""
    for scores, what in zip(classes, ("target", "nontarget", "spoof")):
        ascending(scores, what)  # refuses what no metric can use
    target, nontarget, spoof = (np.asarray(scores, np.float64) for scores in classes)
    if usable_clusters(speakers):
        groups = (np.concatenate([np.asarray(s) for s in speakers[:2]]), np.asarray(speakers[2]))
        scheme = "cluster"
    else:  # the two kinds of bona fide are groups, so that each keeps its number
        speakers, scheme = None, "stratified"
        groups = (np.repeat([0, 1], [target.size, nontarget.size]), np.zeros(spoof.size, np.int64))
    sample = Sample(np.concatenate([target, nontarget]), spoof, groups)
    order = np.argsort(np.concatenate([target, nontarget, spoof]), kind="stable")
    kind = np.repeat([0, 1, 2], [target.size, nontarget.size, spoof.size])[order]
    whole = sample.region(0, order.size)

    def block(rng: np.random.Generator, count: int) -> list[float]:
        return [value(sample.weights(rng, whole, sample.draws(rng, scheme)), kind) for _ in range(count)]

    values = np.array(in_blocks(block, replicates, seed, threads))
    return Interval(*percentile_interval(values), method_name(speakers, replicates))
