"""SingFake baseline: XLS-R 300M with AASIST's graphs on singing.

Zang et al., "SingFake: Singing Voice Deepfake Detection", ICASSP 2024, arXiv 2309.07525, section 4.
"""

import torch

from benchmark.batch import Batch
from benchmark.detectors import singfake_aasist
from benchmark.detectors._base import Detector, Input
from benchmark.detectors.ssl_aasist import SslAasist


class SingFakeSslAasist(SslAasist):
    """`SslAasist` with SingFake's label order, level and recipe; settings as there, without RawBoost."""

    INPUT = Input(feature="raw", samples=64_600, train_crop="random", test_crop="first", level="crop_peak", fixed=True)
    PAPER = singfake_aasist.PAPER
    YEAR = 2024
    CITATION = "zang2024singfake"
    TRAINING = singfake_aasist.TRAINING
    WEIGHTS = "xlsr2_300m.pt (backbone; MIT)"
    EER = {}

    def __init__(self, *, weights: str | None = None, small: bool = False) -> None:
        Detector.__init__(self)
        self._add_layers(weights, small=small, detector="singfake_w2v2_aasist")

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 64600) wave at 16 kHz -> (batch,) minus the logit of spoof, class 1 here."""
        return -self.embed(x)[1][:, 1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy, weighted 0.1 for bona fide and 0.9 for spoof, as published."""
        return singfake_aasist.spoof_is_one(self.embed(batch.x)[1], batch.target)


build = SingFakeSslAasist
