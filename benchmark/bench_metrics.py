"""How fast the metrics are, beside the same figures computed the straightforward way.

600,000 scores (60,000 bona fide, 540,000 spoof), shuffled, float64, one thread unless the row says otherwise.
"""

import math
import time
from collections.abc import Callable

import numpy as np

from benchmark import bootstrap, metrics

N_BONAFIDE, N_SPOOF, N_SPEAKERS, REPLICATES = 60_000, 540_000, 100, 1_000


def plain_path(bonafide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P_miss, P_fa, threshold) after each rejection: every score sorted together, counted one at a time."""
    scores = np.concatenate([bonafide, spoof])
    genuine = np.arange(scores.size) < bonafide.size
    order = np.argsort(scores, kind="stable")
    rejected = np.cumsum(genuine[order])
    spoof_left = spoof.size - (np.arange(1, scores.size + 1) - rejected)
    miss = np.concatenate([[0.0], rejected / bonafide.size])
    false_alarm = np.concatenate([[1.0], spoof_left / spoof.size])
    return miss, false_alarm, np.concatenate([[scores[order[0]] - 0.001], scores[order]])


def plain_eer(bonafide: np.ndarray, spoof: np.ndarray) -> tuple[float, float]:
    """The official EER by its definition, one point per trial; slow, and the yardstick for `metrics.eer`."""
    miss, false_alarm, threshold = plain_path(bonafide, spoof)
    nearest = int(np.argmin(np.abs(miss - false_alarm)))
    return float(np.mean([miss[nearest], false_alarm[nearest]])), float(threshold[nearest])


def four_metrics(bonafide: np.ndarray, spoof: np.ndarray) -> tuple[float, ...]:
    """EER, AUC, minDCF and min t-DCF from one sort."""
    scores = metrics.rank(bonafide, spoof)
    tandem = metrics.min_tdcf(scores, asv=metrics.ASVSPOOF5_ASV, form="2021")[0]
    return metrics.eer(scores)[0], metrics.auc(scores), metrics.min_dcf(scores)[0], tandem


def sample(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled Gaussian scores two deviations apart."""
    rng = np.random.default_rng(seed)
    return rng.normal(1, 1, N_BONAFIDE), rng.normal(-1, 1, N_SPOOF)


def median_ms(call: Callable[[], object], repeats: int = 5) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken))


def rows() -> list[dict]:
    """One dict per figure: name, value, unit, limit (None where none was set), reach (value within limit)."""
    bonafide, spoof = sample()
    both = np.concatenate([bonafide, spoof])
    rng = np.random.default_rng(1)
    speaker = rng.integers(0, N_SPEAKERS, both.size)
    clustered = (speaker[:N_BONAFIDE], speaker[N_BONAFIDE:])
    timed = [
        ("sort of 600k scores (floor)", lambda: np.sort(both), 5, None),
        ("EER as defined, point by point", lambda: plain_eer(bonafide, spoof), 5, None),
        ("EER", lambda: metrics.eer(bonafide, spoof), 5, None),
        ("EER + AUC + minDCF + min t-DCF", lambda: four_metrics(bonafide, spoof), 9, 15.0),
        (
            f"{REPLICATES} speaker bootstrap replicates of EER, 2 threads",
            lambda: bootstrap.eer_replicates(bonafide, spoof, clusters=clustered, replicates=REPLICATES),
            1,
            5000.0,
        ),
    ]
    result = []
    for name, call, repeats, limit in timed:
        value = median_ms(call, repeats)
        reach = None if limit is None else value <= limit
        result.append({"name": name, "value": round(value, 3), "unit": "ms", "limit": limit, "reach": reach})
    assert math.isclose(metrics.eer(bonafide, spoof)[0], plain_eer(bonafide, spoof)[0], abs_tol=1e-12)
    return result
