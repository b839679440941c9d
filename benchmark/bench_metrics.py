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
    """One dict per figure: name, value, unit, limit (what it is compared with), reach ("<= ms", None without)."""
    bonafide, spoof = sample()
    both = np.concatenate([bonafide, spoof])
    speaker = np.random.default_rng(1).integers(0, N_SPEAKERS, both.size)
    clusters = (speaker[:N_BONAFIDE], speaker[N_BONAFIDE:])
    assert math.isclose(metrics.eer(bonafide, spoof)[0], plain_eer(bonafide, spoof)[0], abs_tol=1e-12)
    sort = median_ms(lambda: np.sort(both))
    plain = median_ms(lambda: plain_eer(bonafide, spoof))
    floor, slow = f"sorting them: {sort:.1f} ms", f"EER point by point: {plain:.0f} ms"
    replicates = f"{REPLICATES} speaker bootstrap replicates of EER, 600k scores, 2 threads"
    timed = [
        ("EER of 600k scores", lambda: metrics.eer(bonafide, spoof), 5, f"{floor}; {slow}", None),
        ("EER, AUC, minDCF, min t-DCF of 600k scores", lambda: four_metrics(bonafide, spoof), 9, slow, "<= 15"),
        (
            replicates,
            lambda: bootstrap.eer_replicates(bonafide, spoof, clusters=clusters, replicates=REPLICATES),
            1,
            f"point by point: {REPLICATES * plain / 1000:.0f} s",
            "<= 5000",
        ),
    ]
    return [
        {"name": name, "value": median_ms(call, repeats), "unit": "ms", "limit": limit, "reach": reach}
        for name, call, repeats, limit, reach in timed
    ]
