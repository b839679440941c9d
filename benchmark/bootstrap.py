"""How sure a metric is: bootstrap intervals over speakers or trials, paired differences, spread over seeds.

Cluster bootstrap: speakers (or sources) are drawn with replacement, then as many trials as they hold inside
each of them. Stratified bootstrap: each class is resampled by itself. Trial bootstrap: all trials together.
Trials of one speaker resemble each other, so the cluster interval is the honest one (about twice as wide as
the trial interval on ASVspoof 5); Bisani & Ney 2004, Ferrer & Riera (confidence intervals for ML).

Where a detector makes no error, every replicate makes none, and a percentile interval from 0 to 0 would promise what
few trials cannot: there the exact bound of Clopper & Pearson (1934) for no error among so many trials stands instead.

A replicate of the EER does not need all its trials: how many drawn trials fall below, inside and above a
window of scores around the crossing is binomial per speaker, and only those inside are drawn one by one.
A replicate whose crossing leaves the window resolves the other part instead, so the law is exact.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmark.ranked import Ranked
from benchmark.resampling import Region, Sample, in_blocks

MIN_CLUSTERS = 5  # fewer speakers than this cannot stand for a population
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054
NO_ERROR = "exact_no_error"  # the method of an interval of a detector without an error


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval and how it was made: `method` names the resampled unit and the replicates, or the formula."""

    low: float
    high: float
    method: str


def eer_replicates(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    clusters: tuple[ArrayLike, ArrayLike] | None = None,
    scheme: str = "stratified",
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
) -> np.ndarray:
    """Official EERs of resampled trial sets: (replicates,), NaN where a replicate drew one class only.

    bonafide (n,), spoof (m,): scores. clusters: the speaker of every trial, in the same order; then speakers
    are resampled and `scheme` is ignored. scheme: "stratified" keeps n and m, "trial" draws from both
    together. The result depends on the seed, not on `threads`.
    """
    if scheme not in ("stratified", "trial"):
        raise ValueError(f"scheme is 'stratified' or 'trial', not {scheme!r}")
    sample = Sample(bonafide, spoof, clusters)
    scheme = "stratified" if clusters is None and scheme == "stratified" else "cluster"
    first, last = sample.window(clusters is not None)
    total = sample.is_bonafide.size
    regions = [sample.region(0, first), sample.region(first, last), sample.region(last, total)]

    def block(rng: np.random.Generator, count: int) -> list[float]:
        return [_eer_replicate(sample, regions, rng, sample.draws(rng, scheme)) for _ in range(count)]

    return np.array(in_blocks(block, replicates, seed, threads))


def _eer_replicate(sample: Sample, regions: list[Region], rng: np.random.Generator, drawn: np.ndarray) -> float:
    """The EER of one replicate that draws `drawn` trials from each cell."""
    n, m = int(drawn[1::2].sum()), int(drawn[0::2].sum())
    if not (n and m):
        return math.nan
    i = j = 0  # rejected bona fide and spoof at the start of the region
    left, left_size = drawn, sample.size
    for region in regions:
        if region.last == sample.is_bonafide.size:
            inside = left  # whatever has not fallen below lies here
        else:
            inside = rng.binomial(left, np.divide(region.size, left_size, where=left_size > 0, out=np.zeros(left.size)))
        i_end, j_end = i + int(inside[1::2].sum()), j + int(inside[0::2].sum())
        if (m - j_end) * n <= i_end * m and region.last > region.first:
            return _crossing(sample, region, sample.weights(rng, region, inside), (i, j), (n, m))
        left, left_size, i, j = left - inside, left_size - region.size, i_end, j_end
    raise AssertionError("P_fa is 0 and P_miss 1 after the last trial")


def _crossing(
    sample: Sample, region: Region, weight: np.ndarray, start: tuple[int, int], total: tuple[int, int]
) -> float:
    """Official EER of weighted trials, given that the crossing lies in `region`."""
    n, m = total
    genuine = weight * sample.is_bonafide[region.first : region.last]
    i = start[0] + np.cumsum(genuine)
    j = start[1] + np.cumsum(weight - genuine)
    k = int(np.argmax((m - j) * n <= i * m))  # the trial whose rejections end P_fa > P_miss
    copies = int(weight[k])
    i, j = int(i[k]), int(j[k])
    if sample.is_bonafide[region.first + k]:
        i = max(-(-(m - j) * n // m), i - copies)  # of equal copies the first that reaches it
        before = (i - 1, j)
    else:
        j = max(-(-(n - i) * m // n), j - copies)
        before = (i, j - 1)
    rates = [(a / n, (m - b) / m) for a, b in (before, (i, j)) if a >= 0 and b >= 0]
    return sum(min(rates, key=lambda r: abs(r[0] - r[1]))) / 2


def cost_replicates(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    costs: Sequence[tuple[float, float, float]],
    clusters: tuple[ArrayLike, ArrayLike] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
) -> np.ndarray:
    """Least of c0 + c1 P_miss + c2 P_fa over all thresholds in resampled trial sets: (replicates, cost).

    costs: (c0, c1, c2) of every cost, already normalised: (0, 1.9, 1) is minDCF of ASVspoof 5. Resampled like
    `eer_replicates`, every trial drawn (the least cost can lie anywhere).
    """
    sample = Sample(bonafide, spoof, clusters)
    scheme = "stratified" if clusters is None else "cluster"
    region = sample.region(0, sample.is_bonafide.size)

    def one(rng: np.random.Generator) -> list[float]:
        drawn = sample.draws(rng, scheme)
        n, m = int(drawn[1::2].sum()), int(drawn[0::2].sum())
        if not (n and m):
            return [math.nan] * len(costs)
        weight = sample.weights(rng, region, drawn)
        miss = np.cumsum(weight * sample.is_bonafide)
        accepted = m - (np.cumsum(weight) - miss)
        least = (float((miss * (c1 / n) + accepted * (c2 / m)).min()) for _, c1, c2 in costs)
        return [c0 + min(c2, value) for (c0, _, c2), value in zip(costs, least)]

    def block(rng: np.random.Generator, count: int) -> list[list[float]]:
        return [one(rng) for _ in range(count)]

    return np.array(in_blocks(block, replicates, seed, threads)).reshape(-1, len(costs))


@dataclass(frozen=True, slots=True)
class Difference:
    """EER of the first detector minus EER of the second on the same resampled trials."""

    value: float
    low: float
    high: float
    p_first_better: float  # share of replicates in which the first has the lower EER
    method: str


def paired_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    *,
    clusters: tuple[ArrayLike, ArrayLike] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
) -> Difference:
    """Compare two detectors on the same trials: first, second are (bonafide, spoof) scores, trial by trial.

    Every replicate gives both detectors the same drawn trials. An interval that holds 0 means that these
    trials do not separate the two. Raises ValueError when the trial counts differ.
    """
    if [len(s) for s in first] != [len(s) for s in second]:
        raise ValueError("paired differences need the same trials for both detectors")
    samples = [Sample(*scores, clusters) for scores in (first, second)]
    trials = [np.concatenate(scores).argsort(kind="stable") for scores in (first, second)]
    place = np.empty_like(trials[0])
    place[trials[0]] = np.arange(place.size)  # trial -> rank under the first detector
    to_second = place[trials[1]]  # rank under the second -> rank under the first
    regions = [s.region(0, s.is_bonafide.size) for s in samples]
    scheme = "stratified" if clusters is None else "cluster"

    def block(rng: np.random.Generator, count: int) -> Iterator[float]:
        for _ in range(count):
            drawn = samples[0].draws(rng, scheme)
            total = int(drawn[1::2].sum()), int(drawn[0::2].sum())
            if not all(total):
                yield math.nan
                continue
            weight = samples[0].weights(rng, regions[0], drawn)
            yield (
                _crossing(samples[0], regions[0], weight, (0, 0), total)
                - _crossing(samples[1], regions[1], weight[to_second], (0, 0), total)
            )

    deltas = np.array(in_blocks(block, replicates, seed, threads))
    deltas = deltas[np.isfinite(deltas)]
    low, high = percentile_interval(deltas)
    value = Ranked(*first).equal_error()[0] - Ranked(*second).equal_error()[0]
    method = f"paired_{'cluster' if clusters is not None else 'stratified'}_bootstrap_{replicates}"
    return Difference(value, low, high, float(np.mean(deltas < 0)), method)


def percentile_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The central `confidence` share of the finite values; (NaN, NaN) when there are none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return math.nan, math.nan
    tail = 50 * (1 - confidence)
    low, high = np.percentile(finite, [tail, 100 - tail])
    return float(low), float(high)


def usable_clusters(speakers: tuple[ArrayLike, ArrayLike] | None) -> bool:
    """Whether every trial has a speaker (None, NaN or a negative number: unknown) and there are enough of them."""
    if speakers is None:
        return False
    names = np.concatenate([np.asarray(s) for s in speakers])
    known = names >= 0 if names.dtype.kind == "i" else [name is not None and name == name for name in names]
    return bool(np.all(known)) and np.unique(names).size >= MIN_CLUSTERS


def eer_interval(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    speakers: tuple[ArrayLike, ArrayLike] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
) -> Interval:
    """95 % percentile interval of the official EER: over speakers where every trial has one (at least
    `MIN_CLUSTERS` of them), else over trials inside each class; without an error the exact bound (`no_error_bound`)."""
    if _apart(bonafide, spoof):
        return eer_interval_of(0.0, len(bonafide), len(spoof))
    clusters = speakers if usable_clusters(speakers) else None
    values = eer_replicates(bonafide, spoof, clusters=clusters, replicates=replicates, seed=seed, threads=threads)
    return Interval(*percentile_interval(values), method_name(clusters, replicates))


def method_name(clusters: object, replicates: int) -> str:
    """What is stored beside an interval: the resampled unit and the replicates."""
    return f"{'stratified' if clusters is None else 'speaker'}_bootstrap_{replicates}"


def cost_intervals(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    costs: Sequence[tuple[float, float, float]],
    speakers: tuple[ArrayLike, ArrayLike] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
) -> list[Interval]:
    """95 % percentile intervals of least costs (see `cost_replicates`), resampled like `eer_interval`; without an
    error up to what the exact bounds of both rates cost."""
    if _apart(bonafide, spoof):
        miss, false_alarm = (no_error_bound(len(scores)) for scores in (bonafide, spoof))
        return [Interval(c0, c0 + min(c1 * miss + c2 * false_alarm, c1, c2), NO_ERROR) for c0, c1, c2 in costs]
    clusters = speakers if usable_clusters(speakers) else None
    values = cost_replicates(
        bonafide, spoof, costs=costs, clusters=clusters, replicates=replicates, seed=seed, threads=threads
    )
    return [Interval(*percentile_interval(column), method_name(clusters, replicates)) for column in values.T]


def _apart(bonafide: ArrayLike, spoof: ArrayLike) -> bool:
    """Whether every bona fide trial outscores every spoof trial; ValueError for scores that no metric can use."""
    scores = Ranked(bonafide, spoof)
    return bool(scores.bonafide[0] > scores.spoof[-1])


def no_error_bound(trials: int, *, classes: int = 2) -> float:
    """The largest error rate of a class that so many of its trials, none of them an error, leave possible; in (0, 1).

    1 - (0.05 / classes) ** (1 / trials): exact for independent trials, and with 95 % confidence for all classes
    together. Some threshold lies between the classes, both error rates there are below their bounds, and the EER is
    at most the larger of the two.
    """
    return -math.expm1(math.log((1 - CONFIDENCE) / classes) / trials)


def auc_interval(
    bonafide: ArrayLike, spoof: ArrayLike, *, speakers: tuple[ArrayLike, ArrayLike] | None = None
) -> Interval:
    """95 % interval of the AUC, symmetric in its logit, from placement values summed over speakers.

    DeLong et al. 1988; with speakers Obuchowski 1997. At AUC 1 it ends where the exact bounds of both error rates
    (`no_error_bound`) let it, at AUC 0 likewise.
    """
    scores = Ranked(bonafide, spoof)
    bonafide, spoof = np.asarray(bonafide, np.float64), np.asarray(spoof, np.float64)
    n, m = bonafide.size, spoof.size
    won = _share_below(scores.spoof, bonafide)
    lost = 1 - _share_below(scores.bonafide, spoof)
    area = float(won.mean())
    if usable_clusters(speakers):
        code = np.unique(np.concatenate([np.asarray(s) for s in speakers]), return_inverse=True)[1]
        units, method = int(code.max()) + 1, "speaker_delong"
        parts = (
            np.bincount(code[:n], won - area, units) / n,
            np.bincount(code[n:], lost - area, units) / m,
        )
        variance = units / (units - 1) * float(((parts[0] + parts[1]) ** 2).sum())
    else:
        method = "delong"
        variance = sum(float(((v - area) ** 2).sum()) / v.size / max(v.size - 1, 1) for v in (won, lost))
    if not 0 < area < 1:  # some threshold between the classes decides both right at least so often
        least = (1 - no_error_bound(n)) * (1 - no_error_bound(m))
        return Interval(least, 1.0, NO_ERROR) if area else Interval(0.0, 1 - least, NO_ERROR)
    logit, width = math.log(area / (1 - area)), NORMAL_QUANTILE * math.sqrt(variance) / (area * (1 - area))
    return Interval(_logistic(logit - width), _logistic(logit + width), method)


def _share_below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    both = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")
    return both / (2 * ordered.size)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def normal_half_width(rate: float, n_bonafide: int, n_spoof: int) -> float:
    """Half of the 95 % interval of an EER in [0, 1] known only as a number (Bengio & Mariethoz 2004, HTER form)."""
    spread = rate * (1 - rate)
    return 1.96 * 0.5 * math.sqrt(spread / n_bonafide + spread / n_spoof)


def eer_interval_of(rate: float, n_bonafide: int, n_spoof: int) -> Interval:
    """95 % interval of an EER known only as a number: normal, or where it is 0 up to the exact bound."""
    if rate == 0:
        return Interval(0.0, no_error_bound(min(n_bonafide, n_spoof)), NO_ERROR)
    half = normal_half_width(rate, n_bonafide, n_spoof)
    return Interval(max(rate - half, 0.0), min(rate + half, 1.0), "normal")


@dataclass(frozen=True, slots=True)
class Spread:
    """One metric over seeds. sd is the sample deviation (n - 1), None for a single run."""

    n: int
    mean: float
    sd: float | None
    median: float
    low: float
    high: float


def spread(values: ArrayLike) -> Spread:
    """Mean, sample deviation, median and range; raises ValueError when there are no values."""
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError("no values to summarise")
    sd = float(values.std(ddof=1)) if values.size > 1 else None
    return Spread(
        values.size, float(values.mean()), sd, float(np.median(values)), float(values.min()), float(values.max())
    )
