"""Metrics of detectors: pure functions of bona fide scores and spoof scores, higher = more bona fide.

Every function takes two one-dimensional arrays, or one `Ranked` made by `rank(bonafide, spoof)` so that
several metrics share its sort. Rates are fractions. A trial is accepted (called bona fide) when its score
reaches the threshold; P_miss is the share of rejected bona fide, P_fa the share of accepted spoof. No
function flips scores: an EER above one half is a finding. All raise ValueError when a class is empty or a
score is not finite. Conventions and costs: evaluation plans of ASVspoof 2019, 2021 and 5.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmark.ranked import Ranked, rank
from benchmark.tdcf import (
    ASVSPOOF5_ASV,
    AsvRates,
    SasvCosts,
    a_dcf,
    asv_rates,
    min_tdcf,
    t_eer,
    tdcf_weights,
)

__all__ = [
    "ASVSPOOF5_ASV", "AsvRates", "Confusion", "Ranked", "SasvCosts", "a_dcf", "act_dcf", "asv_rates", "auc",
    "cllr", "confusion", "eer", "eer_tie_safe", "min_dcf", "min_tdcf", "rank", "t_eer", "tdcf_weights",
    "tie_mass", "warnings_of",
]  # fmt: skip

P_SPOOF, C_MISS, C_FA = 0.05, 1.0, 10.0  # ASVspoof 5 track 1
TIE_GAP = 0.001  # official and tie-safe EER further apart than 0.1 points: the ties decide
TOP_SHARE = 0.01  # more than this share of the trials at the highest score: saturated


def eer(bonafide: ArrayLike | Ranked, spoof: ArrayLike | None = None) -> tuple[float, float]:
    """Equal error rate by the official ASVspoof convention, and its threshold.

    Scores are rejected one at a time from the lowest, bona fide before spoof among equal ones; the rate is
    the mean of P_miss and P_fa where they are nearest, the lowest such place winning. The threshold is the
    score rejected last there (lowest score - 0.001 if none), so the rates are those of `score > threshold`.
    A constant detector gets 1.0: see `eer_tie_safe`.
    """
    return rank(bonafide, spoof).equal_error()


def eer_tie_safe(bonafide: ArrayLike | Ranked, spoof: ArrayLike | None = None) -> tuple[float, float]:
    """Equal error rate with equal scores never separated, and the threshold where it is reached.

    Between the two neighbouring thresholds where P_miss and P_fa cross, both are read on a straight line
    (the interpolated ROC); the lower threshold is returned. A detector that cannot tell gets 0.5.
    """
    scores = rank(bonafide, spoof)
    (_, _), (i, j) = scores.crossing()  # the block of equal scores that holds it is where the line crosses
    low = scores.threshold(i, j)
    i0, j0 = scores.rejected(low)
    gap = (scores.n_spoof - j0) * scores.n_bonafide - i0 * scores.n_spoof  # whole numbers: exact
    if gap <= 0:  # all of the crossing lies before this block
        low = scores.threshold(i0, j0)
        i0, j0 = scores.rejected(low)
        gap = (scores.n_spoof - j0) * scores.n_bonafide - i0 * scores.n_spoof
    i1, j1 = scores.rejected(low, "right")
    after = (scores.n_spoof - j1) * scores.n_bonafide - i1 * scores.n_spoof
    return (i0 + gap / (gap - after) * (i1 - i0)) / scores.n_bonafide, low


def tie_mass(bonafide: ArrayLike | Ranked, spoof: ArrayLike | None = None) -> float:
    """Share of all trials whose score equals the official EER threshold: how much the tie rule decides."""
    scores = rank(bonafide, spoof)
    return scores.at(scores.equal_error()[1]) / (scores.n_bonafide + scores.n_spoof)


def auc(bonafide: ArrayLike | Ranked, spoof: ArrayLike | None = None) -> float:
    """Probability that a random bona fide trial outscores a random spoof trial, ties counting one half."""
    scores = rank(bonafide, spoof)
    i, j = scores.corners
    if scores.n_bonafide <= scores.n_spoof:
        beaten = int(j[:-1].sum()) * 2 + _ties(scores.bonafide, scores.spoof, j[:-1])
    else:
        upto = i[1:]  # bona fide at or below each spoof
        pairs = scores.n_bonafide * scores.n_spoof
        tied = _ties(-scores.spoof[::-1], -scores.bonafide[::-1], scores.n_bonafide - upto[::-1])
        beaten = 2 * (pairs - int(upto.sum())) + tied
    return beaten / (2 * scores.n_bonafide * scores.n_spoof)


def _ties(needles: np.ndarray, among: np.ndarray, below: np.ndarray) -> int:
    """Number of equal pairs, given how many of `among` lie below each needle (both ascending)."""
    equal = among[np.minimum(below, among.size - 1)] == needles
    equal &= below < among.size
    if not equal.any():
        return 0
    return int((np.searchsorted(among, needles[equal], "right") - below[equal]).sum())


def min_dcf(
    bonafide: ArrayLike | Ranked,
    spoof: ArrayLike | None = None,
    *,
    p_spoof: float = P_SPOOF,
    c_miss: float = C_MISS,
    c_fa: float = C_FA,
) -> tuple[float, float]:
    """Least normalised detection cost over all thresholds, in [0, 1], and its threshold (ASVspoof 5).

    c_miss (1 - p_spoof) P_miss + c_fa p_spoof P_fa, divided by what the better of "reject all" and
    "accept all" costs; with the defaults 1.9 P_miss + P_fa. The first (lowest) of equal minima wins.
    """
    scores = rank(bonafide, spoof)
    p_bonafide = 1 - p_spoof
    value, threshold = scores.lowest_cost(  # factors in the official order: last digits decide between ties
        lambda miss, false_alarm: c_miss * miss * p_bonafide + c_fa * false_alarm * (1 - p_bonafide),
        growing=c_miss * p_bonafide > 0 and c_fa * p_spoof > 0,
    )
    return value / _default_cost(c_miss * p_bonafide, c_fa * (1 - p_bonafide)), threshold


def _default_cost(miss_all: float, accept_all: float) -> float:
    """The lesser of two costs, which the caller rounds as its own: the better of both is exactly 1."""
    default = min(miss_all, accept_all)
    if not default > 0:
        raise ValueError(f"costs and priors must be positive: rejecting all costs {miss_all}, accepting {accept_all}")
    return default


def act_dcf(
    bonafide: ArrayLike | Ranked,
    spoof: ArrayLike | None = None,
    *,
    p_spoof: float = P_SPOOF,
    c_miss: float = C_MISS,
    c_fa: float = C_FA,
) -> float:
    """Normalised detection cost at the Bayes threshold -ln(beta), for scores that are natural-log LLRs.

    beta = c_miss (1 - p_spoof) / (c_fa p_spoof); a score equal to the threshold is accepted. Above 1 means
    worse than ignoring the detector (ASVspoof 5).
    """
    scores = rank(bonafide, spoof)
    default = _default_cost(c_miss * (1 - p_spoof), c_fa * p_spoof)
    i, j = scores.rejected(-math.log(c_miss * (1 - p_spoof) / (c_fa * p_spoof)))
    miss, false_alarm = i / scores.n_bonafide, (scores.n_spoof - j) / scores.n_spoof
    return (c_miss * (1 - p_spoof) * miss + c_fa * p_spoof * false_alarm) / default


def cllr(bonafide: ArrayLike | Ranked, spoof: ArrayLike | None = None) -> float:
    """Cost of the log-likelihood ratio in bits, scores read as natural-log LLRs; 1.0 = says nothing.

    Does not overflow, unlike the official code above |score| of about 709 (Bruemmer & du Preez 2006).
    """
    scores = rank(bonafide, spoof)
    missed = np.logaddexp(0, -scores.bonafide).mean()
    accepted = np.logaddexp(0, scores.spoof).mean()
    return float((missed + accepted) / (2 * math.log(2)))


@dataclass(frozen=True, slots=True)
class Confusion:
    """Decisions at one threshold; positive = bona fide, unless `confusion` was asked for spoof."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int

    @property
    def accuracy(self) -> float:
        right = self.true_positive + self.true_negative
        return right / (right + self.false_negative + self.false_positive)

    @property
    def precision(self) -> float | None:
        """None when nothing was called positive."""
        called = self.true_positive + self.false_positive
        return self.true_positive / called if called else None

    @property
    def recall(self) -> float:
        return self.true_positive / (self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        return 2 * self.true_positive / (2 * self.true_positive + self.false_negative + self.false_positive)


def confusion(
    bonafide: ArrayLike | Ranked,
    spoof: ArrayLike | None = None,
    *,
    threshold: float,
    positive: str = "bonafide",
) -> Confusion:
    """Decisions when scores at or above `threshold` are called bona fide; has accuracy, precision, recall, f1.

    The threshold belongs to other data (usually the dev EER threshold), never to these trials.
    """
    scores = rank(bonafide, spoof)
    if positive not in ("bonafide", "spoof"):
        raise ValueError(f"positive is 'bonafide' or 'spoof', not {positive!r}")
    if math.isnan(threshold):
        raise ValueError("the threshold is NaN")
    i, j = scores.rejected(threshold)
    if positive == "bonafide":
        return Confusion(scores.n_bonafide - i, i, scores.n_spoof - j, j)
    return Confusion(j, scores.n_spoof - j, i, scores.n_bonafide - i)


def warnings_of(bonafide: ArrayLike | Ranked, spoof: ArrayLike | None = None) -> list[str]:
    """What makes these scores suspicious, as short words with a reason; empty when nothing does.

    collapsed: fewer than 3 distinct values. inverted: EER above one half. ties, few trials: the two EER
    conventions differ by more than 0.1 points, because scores are equal or because one trial weighs that much.
    saturated: more than 1 % of the trials at the highest score. probabilities: all scores in [0, 1], or in
    [-1, 0] where those of spoof were turned round, so actDCF and Cllr say nothing.
    """
    scores = rank(bonafide, spoof)
    official, safe = eer(scores)[0], eer_tie_safe(scores)[0]
    why = "ties" if scores.at(scores.equal_error()[1]) > 1 else "few trials"
    tied = scores.at(scores.highest)
    top = tied / (scores.n_bonafide + scores.n_spoof) if tied > 1 else 0.0
    least = 0 if scores.lowest >= 0 else -1
    found: Iterable[tuple[bool, str]] = (
        (scores.few_values, "collapsed: fewer than 3 distinct scores"),
        (safe > 0.5, f"inverted: EER {100 * safe:.2f} % is above one half, scores look inverted"),
        (
            abs(official - safe) > TIE_GAP,
            f"{why}: EER {100 * official:.2f} % official, {100 * safe:.2f} % tie-safe",
        ),
        (top > TOP_SHARE, f"saturated: {100 * top:.1f} % of trials at the highest score"),
        (
            least <= scores.lowest and scores.highest <= least + 1,
            f"probabilities: all scores in [{least}, {least + 1}], not log-odds",
        ),
    )
    return [text for holds, text in found if holds]
