"""Figures of a score file that was rescored: DET curves, score histograms, reliability, bars by attack, codec, vocoder.

The drawings are those of stored runs (`plots`). Scores that all lie in [0, 1] are read as probabilities of bona fide
where probabilities are asked for, all others as natural-log likelihood ratios, as actDCF and Cllr read them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from benchmark import breakdowns, metrics
from reports import plots
from reports.figures import LEVELS, TOP
from reports.score_files import slug

FACTORS = ("attack", "codec", "vocoder")
CERTAIN = 1e-9  # a probability of 0 or 1 has no log-odds


def write(scores: pa.Table, rows: pa.Table, folder: Path) -> list[str]:
    """Draw every figure into `folder` as SVG and PNG; returns their names.

    scores: subset, label, score of the trials; rows: what `rescore` measured on them.
    """
    names = []
    for name, figure in every(scores, rows):
        plots.write(figure, folder / name)
        names.append(name)
    return names


def every(scores: pa.Table, rows: pa.Table) -> Iterator[tuple[str, Figure]]:
    """(name, figure): one DET plot and one reliability plot of all subsets, a histogram each, bars per factor."""
    parts = dict(list(split(scores).items())[:TOP])
    if parts:
        yield "det", plots.det(parts)
        yield "reliability", plots.reliability({name: ratios(*both) for name, both in parts.items()})
    for name, both in parts.items():
        threshold = metrics.eer(*both)[1]
        yield (
            f"scores-{slug(name)}",
            plots.histogram(*both, threshold=threshold, threshold_label="EER threshold"),
        )
    for factor in FACTORS:
        if figure := _bars(rows, factor, list(parts)):
            yield factor, figure


def left_out(scores: pa.Table, rows: pa.Table) -> list[str]:
    """What the figures do not show, in words: beyond some number lines and bars cannot be told apart."""
    subsets = len(split(scores))
    told = [f"of {subsets} subsets the {TOP} with the most trials are drawn"] if subsets > TOP else []
    for factor in FACTORS:
        levels = len({level for level, _ in _cells(rows, factor)})
        if levels > LEVELS:
            told.append(f"of {levels} values of {factor} the first {LEVELS} are drawn")
    return told


def split(scores: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Subset -> (bona fide scores, spoof scores), those that have both, the largest first."""
    subset = breakdowns.encode(scores["subset"])
    bonafide = pc.equal(scores["label"], "bonafide").to_numpy()
    score = scores["score"].to_numpy(zero_copy_only=False)
    found = {}
    for code in breakdowns.present(subset):
        inside = subset.code == code
        both = score[inside & bonafide], score[inside & ~bonafide]
        if both[0].size and both[1].size:
            found[subset.names[code]] = both
    return dict(sorted(found.items(), key=lambda item: -(item[1][0].size + item[1][1].size)))


def ratios(bonafide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores as natural-log likelihood ratios; of probabilities of bona fide, or of spoof with the sign turned, the
    log-odds."""
    lowest, highest = min(bonafide.min(), spoof.min()), max(bonafide.max(), spoof.max())
    turned = lowest < 0
    if lowest < -1 or highest > 1 - turned:
        return bonafide, spoof
    clipped = (np.clip(score + turned, CERTAIN, 1 - CERTAIN) for score in (bonafide, spoof))
    return tuple(np.log(p) - np.log1p(-p) for p in clipped)


def _bars(rows: pa.Table, factor: str, subsets: list[str]) -> Figure | None:
    """EER of each level in the subsets that hold several; None if none does."""
    found = _cells(rows, factor)
    several = [s for s in subsets if sum(subset == s for _, subset in found) > 1]
    levels = sorted({level for level, subset in found if subset in several})[:LEVELS]
    series = {s: [found.get((level, s)) for level in levels] for s in several}
    return plots.bars(levels, series) if levels else None


def _cells(rows: pa.Table, factor: str) -> dict[tuple[str, str], float]:
    """(level, subset) -> EER in percent."""
    return {
        (row["level"], row["subset"]): 100 * row["value"]
        for row in rows.filter(pc.equal(rows["factor"], factor)).to_pylist()
        if row["metric"] == "eer" and row["value"] is not None
    }
