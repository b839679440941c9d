"""From a score to a log-likelihood ratio, and to a decision: fitted on dev, never on what is judged.

Prior-weighted logistic regression (Brummer and du Preez, Application-independent evaluation of speaker detection, 2006,
section 6): llr = slope * score + offset, natural logarithm, positive = speaks for bona fide. At an effective prior of
one half it minimises the Cllr of the trials it is fitted on.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics import cllr, eer
from ingest.types import DataError

_STEPS, _SMALL = 200, 1e-10
_LARGEST = 1e150  # the square of a larger score is no number


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted map from scores to log-likelihood ratios, and what it did to the trials it was fitted on.

    limits: (lowest, highest) ratio that so few trials can support: with m spoof trials none can be shown to be rarer
    than about 1 in m + 1. cllr_before and cllr_after in bits, 1 = says nothing. eer in [0, 1] with its threshold:
    scores above it are called bona fide. source: the run or file of the dev scores.
    """

    slope: float
    offset: float
    p_spoof: float
    cllr_before: float
    cllr_after: float
    eer: float
    threshold: float
    n_bonafide: int
    n_spoof: int
    source: str

    @property
    def limits(self) -> tuple[float, float]:
        """(lowest, highest) natural-log ratio that is ever reported."""
        return -math.log(self.n_bonafide + 1), math.log(self.n_spoof + 1)

    def llr(self, score: ArrayLike) -> np.ndarray:
        """Scores -> natural-log likelihood ratios of bona fide against spoof, within the limits."""
        return np.clip(self.slope * np.asarray(score, np.float64) + self.offset, *self.limits)

    def threshold_at(self, p_spoof: float) -> float:
        """The score above which "bona fide" is the less costly answer if both errors cost the same.

        p_spoof: probability, before hearing it, that a recording is spoof, in (0, 1). Raises DataError if it is none,
        or outweighs every ratio within the limits: no score could then change what was known beforehand.
        """
        if not 0 < p_spoof < 1:
            raise DataError(f"--prior {p_spoof:g} is not a probability between 0 and 1, both excluded")
        odds, (low, high) = math.log(p_spoof / (1 - p_spoof)), self.limits
        if not low <= odds <= high:
            kind, number = ("spoof", self.n_spoof) if odds > 0 else ("bona fide", self.n_bonafide)
            lowest, highest = self._priors()
            raise DataError(
                f"--prior {p_spoof:g} outweighs all that {number} {kind} dev trials can show: every recording would be "
                f"called {kind}; pass one from {lowest} to {highest}, or --threshold X"
            )
        return (odds - self.offset) / self.slope

    def _priors(self) -> tuple[str, str]:
        """The lowest and the highest prior within the limits, rounded inwards."""
        low, high = (len(str(number)) + 2 for number in (self.n_bonafide, self.n_spoof))
        lowest = math.floor(10**low / (self.n_bonafide + 2)) + 1
        highest = 10**high - math.floor(10**high / (self.n_spoof + 2)) - 1
        return f"{lowest / 10**low:.{low}f}", f"{highest / 10**high:.{high}f}"

    def as_json(self) -> dict[str, Any]:
        """As it stands in an export's settings.json."""
        return asdict(self)


def fit(bonafide: ArrayLike, spoof: ArrayLike, *, p_spoof: float = 0.5, source: str = "") -> Calibration:
    """Fit slope and offset to dev scores (any scale, higher = more bona fide).

    p_spoof: effective prior at which the fit is best. Where the classes do not overlap the likelihood has no maximum;
    then the targets are Platt's (1999), which stay finite. Raises DataError if a class is empty, a score is not finite,
    or higher scores do not speak for bona fide.
    """
    bonafide, spoof = np.asarray(bonafide, np.float64), np.asarray(spoof, np.float64)
    try:
        rate, threshold = eer(bonafide, spoof)
        before = cllr(bonafide, spoof)
    except ValueError as error:
        raise DataError(f"cannot calibrate on {source or 'these scores'}: {error}") from None
    largest = max(np.abs(bonafide).max(), np.abs(spoof).max())
    if largest > _LARGEST:
        raise DataError(f"cannot calibrate on {source or 'these scores'}: it holds scores of {largest:.3g}")
    slope, offset = _weighted(bonafide, spoof, p_spoof)
    if not (slope > 0 and math.isfinite(slope) and math.isfinite(offset)):
        every = np.concatenate([bonafide, spoof])
        furthest = every[np.argmax(np.abs(every - np.median(every)))]
        odd = f"; look at the trial of score {furthest:.10g}, the furthest from the others" if rate < 0.5 else ""
        raise DataError(
            f"cannot calibrate on {source or 'these scores'}: higher scores do not speak for bona fide there "
            f"(EER {100 * rate:.1f} %){odd}"
        )
    after = cllr(slope * bonafide + offset, slope * spoof + offset)
    return Calibration(slope, offset, p_spoof, before, after, rate, threshold, bonafide.size, spoof.size, source)


def from_json(stored: Mapping[str, Any] | None) -> Calibration | None:
    """What `as_json` wrote; raises ValueError or TypeError for anything else."""
    if stored is None:
        return None
    found = Calibration(**stored)
    numbers = (
        found.slope,
        found.offset,
        found.p_spoof,
        found.cllr_before,
        found.cllr_after,
        found.eer,
        found.threshold,
    )
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers) or not found.slope > 0:
        raise ValueError(f"calibration of {numbers}")
    if not all(isinstance(number, int) and 0 < number < 1 << 53 for number in (found.n_bonafide, found.n_spoof)):
        raise ValueError(f"calibration on {found.n_bonafide} and {found.n_spoof} trials")
    if not isinstance(found.source, str):
        raise TypeError(f"calibration on {found.source!r}")
    return found


def _weighted(bonafide: np.ndarray, spoof: np.ndarray, p_spoof: float) -> tuple[float, float]:
    """Slope and offset by Newton's method with step halving, on standardised scores."""
    scores = np.concatenate([bonafide, spoof])
    centre, spread = scores.mean(), scores.std()
    if not spread > 0:
        return 0.0, 0.0
    n, m = bonafide.size, spoof.size
    overlap = bonafide.min() <= spoof.max()
    high, low = (1.0, 0.0) if overlap else ((n + 1) / (n + 2), 1 / (m + 2))
    target = np.repeat([high, low], [n, m])
    weight = np.repeat([(1 - p_spoof) / n, p_spoof / m], [n, m])
    x = np.stack([(scores - centre) / spread, np.ones(n + m)])
    prior = math.log((1 - p_spoof) / p_spoof)

    def loss(w: np.ndarray) -> float:
        z = w @ x + prior
        return float(weight @ (np.logaddexp(0, z) - target * z))

    w = np.zeros(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(w @ x + prior, -700, 700)))
        gradient = x @ (weight * (p - target))
        curvature = (x * (weight * p * (1 - p))) @ x.T + _SMALL * np.eye(2)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while loss(w - size * step) > loss(w) and size > _SMALL:
            size /= 2
        w = w - size * step
        if np.abs(gradient).max() < _SMALL:
            break
    return w[0] / spread, w[1] - w[0] * centre / spread
