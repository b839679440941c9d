"""Costs of a detector in tandem with a speaker verifier (ASV): min t-DCF, a-DCF, t-EER.

min t-DCF: Kinnunen et al., Odyssey 2018 (2019 form) and IEEE/ACM TASLP 2020 (ASV-constrained, 2021 form).
a-DCF: Shim et al., Odyssey 2024. t-EER: Kinnunen et al., IEEE TPAMI 2024. Score conventions: `metrics`.
"""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from benchmark.ranked import Ranked, ascending, rank

P_TARGET, P_NONTARGET, P_SPOOF = 0.95 * 0.99, 0.95 * 0.01, 0.05
C_MISS, C_FA, C_FA_SPOOF = 1.0, 10.0, 10.0
STRIDE = 64  # verifier thresholds from one that is always tried to the next


@dataclass(frozen=True, slots=True)
class AsvRates:
    """Error rates of the speaker verifier at its operating point, as fractions."""

    p_fa: float  # accepted nontargets
    p_miss: float  # rejected targets
    p_fa_spoof: float  # accepted spoofs

    @property
    def p_miss_spoof(self) -> float:
        return 1 - self.p_fa_spoof


def cell_key(attack: str | None = None, codec: str | None = None) -> str:
    """Name of a cell in a table of AsvRates: "" for all trials, `A07`, `|opus`, `A07|opus`."""
    return (attack or "") + (f"|{codec}" if codec else "")


# The organisers' operating point for ASVspoof 5 track 2.
ASVSPOOF5_ASV = AsvRates(p_fa=0.01881016557566423, p_miss=0.01880141010575793, p_fa_spoof=0.4607082907604729)


def asv_rates(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> AsvRates:
    """The verifier's error rates at its own official EER threshold (target against nontarget).

    Three arrays of verification scores, higher = same speaker. A score equal to the threshold is accepted.
    Raises ValueError when a class is empty or a score is not finite.
    """
    scores = Ranked(target, nontarget)
    spoofs = ascending(spoof, "ASV spoof")
    threshold = scores.equal_error()[1]
    missed, refused = scores.rejected(threshold)
    return AsvRates(
        p_fa=(scores.n_spoof - refused) / scores.n_spoof,
        p_miss=missed / scores.n_bonafide,
        p_fa_spoof=(spoofs.size - int(np.searchsorted(spoofs, threshold))) / spoofs.size,
    )


def tdcf_weights(asv: AsvRates, *, form: str = "2019") -> tuple[float, float, float]:
    """(C0, C1, C2) of the t-DCF: constant, weight of P_miss, weight of P_fa. C0 is 0 in the 2019 form."""
    if form == "2019":
        c1 = P_TARGET * (C_MISS - C_MISS * asv.p_miss) - P_NONTARGET * C_FA * asv.p_fa
        return 0.0, c1, C_FA * P_SPOOF * (1 - asv.p_miss_spoof)
    if form == "2021":
        c0 = P_TARGET * C_MISS * asv.p_miss + P_NONTARGET * C_FA * asv.p_fa
        return c0, P_TARGET * C_MISS - c0, P_SPOOF * C_FA_SPOOF * asv.p_fa_spoof
    raise ValueError(f"form is '2019' or '2021', not {form!r}")


def min_tdcf(
    bonafide: ArrayLike | Ranked,
    spoof: ArrayLike | None = None,
    asv: AsvRates | None = None,
    *,
    form: str = "2019",
    compat: bool = False,
) -> tuple[float | None, float | None]:
    """Least normalised tandem detection cost over all detector thresholds, and its threshold.

    form "2019": (C1 P_miss + C2 P_fa) / min(C1, C2), 0 for a perfect detector. form "2021": (C0 + C1 P_miss
    + C2 P_fa) / (C0 + min(C1, C2)), whose floor is above 0. Never put the two into one column. Meaningful
    only with `asv` measured on the same trials.
    compat=True repeats a defect of the ASVspoof 5 per-condition script, which passes the verifier's spoof
    miss rate for its false-acceptance rate; only for comparison with figures made by it.
    Returns (None, None) with a warning when the scores take fewer than 3 distinct values. The 2019 form is
    NaN when the verifier rejects every spoof (0/0), the 2021 form is then 1. Raises ValueError when the ASV
    rates make a weight negative.
    """
    scores = rank(bonafide, spoof)
    if asv is None:
        raise ValueError("min_tdcf needs the error rates of the ASV system: asv=asv_rates(...)")
    if scores.few_values:
        warnings.warn("fewer than 3 distinct scores: min t-DCF is undefined", RuntimeWarning, stacklevel=2)
        return None, None
    if compat:
        asv = replace(asv, p_fa_spoof=asv.p_miss_spoof)
    c0, c1, c2 = tdcf_weights(asv, form=form)
    if c1 < 0 or c2 < 0:
        raise ValueError(f"these ASV rates give negative t-DCF weights (C1 {c1:.6g}, C2 {c2:.6g}): {asv}")
    with np.errstate(invalid="ignore", divide="ignore"):
        return scores.lowest_cost(
            lambda miss, false_alarm: (c0 + c1 * miss + c2 * false_alarm) / np.float64(c0 + min(c1, c2)),
            growing=c1 > 0 and c2 > 0,
        )


@dataclass(frozen=True, slots=True)
class SasvCosts:
    """Priors and costs of the a-DCF; the defaults are those of ASVspoof 5 track 2."""

    p_target: float = P_TARGET
    p_nontarget: float = P_NONTARGET
    p_spoof: float = P_SPOOF
    c_miss: float = C_MISS
    c_fa: float = C_FA
    c_fa_spoof: float = C_FA_SPOOF

    @property
    def weights(self) -> tuple[float, float, float]:
        """Of P_miss, P_fa of nontargets and P_fa of spoofs; ValueError unless all are positive."""
        weights = (self.c_miss * self.p_target, self.c_fa * self.p_nontarget, self.c_fa_spoof * self.p_spoof)
        if not min(weights) > 0:
            raise ValueError(f"costs and priors must be positive: {self}")
        return weights


A_DCF_LIBRARY_COSTS = SasvCosts(p_target=0.9, p_nontarget=0.05, p_spoof=0.05, c_fa_spoof=20.0)
A_DCF_BELOW_ALL = 1e-8


def a_dcf(
    target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, *, costs: SasvCosts | None = None
) -> tuple[float, float]:
    """Architecture-agnostic detection cost of one spoofing-aware verification score, and its threshold.

    Scores of target (bona fide, same speaker), nontarget (bona fide, other speaker) and spoof trials, higher
    = accept. Normalised by the better of "accept all" and "reject all". Equal scores are rejected in the
    order target, nontarget, spoof; the first minimum wins; the threshold is the score rejected last.
    """
    weights = (costs or SasvCosts()).weights
    targets, nontargets, spoofs = (
        ascending(scores, what) for scores, what in ((target, "target"), (nontarget, "nontarget"), (spoof, "spoof"))
    )
    i = np.arange(targets.size + 1)  # least before a target or at the end, as the other errors only shrink
    before = (np.append(np.searchsorted(other, targets), other.size) for other in (nontargets, spoofs))
    k_nontarget, k_spoof = before
    cost = (
        weights[0] * (i / targets.size)
        + weights[1] * ((nontargets.size - k_nontarget) / nontargets.size)
        + weights[2] * ((spoofs.size - k_spoof) / spoofs.size)
    ) / min(weights[0], weights[1] + weights[2])
    best = int(np.argmin(cost))
    last = [
        other[k - 1] for other, k in ((targets, best), (nontargets, k_nontarget[best]), (spoofs, k_spoof[best])) if k
    ]
    lowest = min(targets[0], nontargets[0], spoofs[0])
    return float(cost[best]), float(max(last) if last else lowest - A_DCF_BELOW_ALL)


def t_eer(
    bonafide: ArrayLike | Ranked,
    spoof: ArrayLike | None,
    asv_target: ArrayLike,
    asv_nontarget: ArrayLike,
    asv_spoof: ArrayLike,
    *,
    rho: float = 0.5,
) -> float:
    """Concurrent tandem equal error rate, in percent as its authors print it.

    bonafide (targets and nontargets together) and spoof: the detector's scores; the other three: the
    verifier's. rho is the share of spoofs among the impostors. For every ASV threshold that admits one, the
    detector threshold is found where the tandem's miss and false-alarm rates are nearest; of these pairs the
    one whose errors the two impostor kinds share most evenly is reported. No pair that could be it is left out
    (the published program searches a thinned grid).
    """
    detector = rank(bonafide, spoof)
    value = concurrent(*detector.rates(*detector.path), Verifier(asv_target, asv_nontarget, asv_spoof, rho=rho))
    if math.isnan(value):
        raise ValueError("no ASV threshold gives the tandem an equal error rate")
    return value


class Verifier:
    """The operating points of an ASV system that the t-EER chooses among, thresholds ascending.

    Arrays (point,): miss, fa, fa_spoof; shares, how the errors are shared, fa / fa_spoof. Points that accept no
    spoof, or reject more targets than they accept impostors, admit no tandem equal error rate and are left out.
    Every `STRIDE`-th point is in `coarse`, with the range of `shares` from each to the next in `lowest`, `highest`.
    """

    def __init__(self, target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, *, rho: float = 0.5):
        miss, fa, fa_spoof = _asv_path(target, nontarget, spoof)
        admits = (miss < (1 - rho) * fa + rho * fa_spoof) & (fa_spoof > 0)  # the first ones: miss grows, the rest fall
        self.rho, self.miss, self.fa, self.fa_spoof = rho, miss[admits], fa[admits], fa_spoof[admits]
        self.shares = self.fa / self.fa_spoof
        ends = [self.miss.size - 1] if self.miss.size else []
        self.coarse = np.union1d(np.arange(0, self.miss.size, STRIDE), ends).astype(np.int64)
        self.lowest = np.minimum.reduceat(self.shares, self.coarse) if ends else self.shares
        self.highest = np.maximum.reduceat(self.shares, self.coarse) if ends else self.shares


def concurrent(miss: np.ndarray, false_alarm: np.ndarray, asv: Verifier) -> float:
    """The t-EER in percent of a detector with these rates along its path; NaN where no pair of thresholds has one.

    The higher the verifier's threshold, the fewer the detector has to reject: its threshold falls with each point,
    so what it is at the coarse points bounds the unevenness between them, and only stretches that could hold the
    least are looked at point by point. Exact.
    """
    at = _nearest(miss, false_alarm, asv, asv.coarse)
    uneven = _uneven(miss, false_alarm, asv, asv.coarse, at)
    bound = np.min(uneven, where=~np.isnan(uneven), initial=np.inf)
    first, last = np.maximum(at[1:] - 1, 0), np.minimum(at[:-1] + 1, miss.size - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        least, most = false_alarm[last] / (1 - miss[first]), false_alarm[first] / (1 - miss[last])
        apart = np.fmax(asv.lowest[:-1] - most, least - asv.highest[:-1])
    worth = ~(apart > bound + 1e-12)  # NaN: cannot be ruled out
    point = np.union1d(asv.coarse, (asv.coarse[:-1][worth][:, None] + np.arange(STRIDE)).ravel())
    point = point[point < asv.miss.size]
    at = _nearest(miss, false_alarm, asv, point)
    uneven = _uneven(miss, false_alarm, asv, point, at)
    if np.isnan(uneven).all():  # also without any point
        return math.nan
    best = int(np.nanargmin(uneven))
    return float(asv.fa_spoof[point[best]] * false_alarm[at[best]] * 100)


def _uneven(miss: np.ndarray, false_alarm: np.ndarray, asv: Verifier, point: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How unevenly the two kinds of impostors share the errors of each pair of thresholds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.abs(asv.shares[point] - false_alarm[at] / (1 - miss[at]))
    return np.where(np.isfinite(value), value, np.nan)


def _nearest(miss: np.ndarray, false_alarm: np.ndarray, asv: Verifier, point: np.ndarray) -> np.ndarray:
    """Where on the detector's path the tandem's P_miss and P_fa are nearest, for each verifier point; by bisection."""
    asv_miss, asv_fa, asv_fa_spoof = asv.miss[point], asv.fa[point], asv.fa_spoof[point]

    def gap(k: np.ndarray) -> np.ndarray:  # tandem P_miss - P_fa, growing with k
        passed = 1 - miss[k]
        impostors = (1 - asv.rho) * passed * asv_fa + asv.rho * false_alarm[k] * asv_fa_spoof
        return miss[k] + passed * asv_miss - impostors

    low, high = np.zeros(point.size, np.int64), np.full(point.size, miss.size - 1)
    while (low < high).any():  # first k with gap >= 0
        middle = (low + high) // 2
        positive = gap(middle) >= 0
        high = np.where(positive, middle, high)
        low = np.where(positive, low, np.minimum(middle + 1, high))
    previous = np.maximum(low - 1, 0)
    return np.where(np.abs(gap(previous)) <= np.abs(gap(low)), previous, low)


def _asv_path(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> tuple[np.ndarray, ...]:
    """(P_miss, P_fa, P_fa_spoof) after each rejection, lowest score first; target, nontarget, spoof in ties."""
    classes = (
        ascending(target, "ASV target"),
        ascending(nontarget, "ASV nontarget"),
        ascending(spoof, "ASV spoof"),
    )
    order = np.argsort(np.concatenate(classes), kind="stable")
    ends = np.cumsum([c.size for c in classes])
    kind = np.searchsorted(ends, order, "right")
    counts = [np.concatenate([[0], np.cumsum(kind == c)]) for c in range(3)]
    return (
        counts[0] / classes[0].size,
        1 - counts[1] / classes[1].size,  # rounded as in the published program: last digits decide between ties
        1 - counts[2] / classes[2].size,
    )
