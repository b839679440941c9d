"""CtrSVDD baseline B02: AASIST's graphs on the raw wave.

Zang et al., "CtrSVDD", Interspeech 2024, section 4.
"""

import torch
from torch import nn
from torch.nn import functional

from benchmark.detectors._ctrsvdd import CtrSvdd
from benchmark.detectors._residual import aasist_encoder, run_encoder
from benchmark.detectors._sinc import SincBank


class RawFrontEnd(nn.Module):
    """70 fixed sinc filters, magnitude, pooling by 3 x 3, six residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = SincBank(70, 128)
        self.first_bn = nn.BatchNorm2d(1)
        self.encoder = aasist_encoder()

    def forward(self, wave: torch.Tensor, *, fast: bool = False) -> torch.Tensor:
        """(batch, 64000) -> (batch, 64, 23, 29)."""
        x = self.bank.pooled(wave, fast=fast)
        return run_encoder(self.encoder, functional.selu(self.first_bn(x)), fast=fast)


class Raw(CtrSvdd):
    """314,537 parameters; see `CtrSvdd` for the settings."""

    WEIGHTS = "raw_model_weights.pt (CtrSVDD2024_Baseline)"
    EER = {"CtrSVDD": 13.58, "CtrSVDD without A14": 11.16}

    def __init__(self, *, pooling: str = "softmax") -> None:
        super().__init__(pooling=pooling)
        self.frontend = RawFrontEnd()

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, 64000) -> (batch, 64, 23, 29)."""
        return self.frontend(wave, fast=self.fast)


build = Raw
