"""RawGAT-ST-S: the comparison paper's RawGAT, the official network on 48,000 samples with one logit.

Baseline of Zhang et al., "Robust AI-Synthesized Speech Detection", section V, after Tak et al., arXiv 2107.12710.
"""

from collections.abc import Sequence

from ._base import Detector, Input
from ._recipes import COMPARISON
from .rawgat_st import RawGatSt


class RawGatStS(RawGatSt):
    """Multiplicative fusion, 17 of 21 temporal nodes kept, no frequency mask, plain binary cross entropy."""

    INPUT = Input(samples=48_000, train_crop="random", test_crop="middle", fixed=True)
    PAPER = "Zhang et al., Robust AI-Synthesized Speech Detection, section V (baseline RawGAT)"
    YEAR = 2024
    CITATION = "zhang2025fdadd"
    TRAINING = {**COMPARISON, "batch_size": 32}
    WEIGHTS = ""
    EER = {"inner average": 1.43, "LibriSeVoc cross-method average": 28.43}
    OUTPUTS = 1

    def __init__(self, *, channels: Sequence[int] | None = None, samples: int | None = None):
        super().__init__(fusion="mul", layout="official", frequency_mask=False, channels=channels, samples=samples)

    loss = Detector.loss


build = RawGatStS
