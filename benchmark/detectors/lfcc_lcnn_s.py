"""LCNN-S: the comparison paper's LCNN, a light CNN on 60 LFCC with a dense layer over an adaptive pooling.

Baseline of Zhang et al., "Robust AI-Synthesized Speech Detection", section V. It is not the ASVspoof 2021 baseline
`lfcc_lcnn`: other features, affine batch norms, no recurrence.
"""

import torch
from torch import nn

from ._base import Detector, Input
from ._lcnn import MaxFeatureMap, add_numbered, lcnn_layers
from ._recipes import COMPARISON


class LfccLcnnS(Detector):
    """Nine convolutions, adaptive pooling to 16 x 8, a dense layer of 64 maxima, one logit."""

    INPUT = Input(feature="lfcc", params={"preset": "lcnn_s"}, samples=48_000, train_crop="random", test_crop="middle")
    PAPER = "Zhang et al., Robust AI-Synthesized Speech Detection, section V (baseline LCNN)"
    YEAR = 2024
    CITATION = "zhang2025fdadd"
    TRAINING = COMPARISON
    EER = {"inner average": 0.97, "LibriSeVoc cross-method average": 19.94}
    CHANNELS_LAST = True

    def __init__(self):
        super().__init__()
        self.stack = add_numbered(self, lcnn_layers(affine=True, last_pool=lambda: nn.AdaptiveMaxPool2d((16, 8))))
        self.fc29 = nn.Linear(32 * 16 * 8, 128)
        self.mfm30 = MaxFeatureMap()
        self.batchnorm31 = nn.BatchNorm1d(64)
        self.fc32 = nn.Linear(64, 1)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 60) -> (batch, 64)."""
        y = x.transpose(1, 2).unsqueeze(1)  # feature x time, as published
        for name in self.stack:
            y = getattr(self, name)(y)
        return self.batchnorm31(self.mfm30(self.fc29(y.flatten(1))))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 60) LFCC in dB -> (batch,) logit of bona fide."""
        return self.fc32(self.embed(x)).squeeze(1)


build = LfccLcnnS
