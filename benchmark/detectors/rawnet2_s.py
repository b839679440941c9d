"""RawNet2-S: the comparison paper's RawNet2, on 48,000 samples with learned filters and one logit.

Baseline of Zhang et al., "Robust AI-Synthesized Speech Detection", section V; network after Jung et al., "Improved
RawNet with feature map scaling", arXiv 2004.00526. It is not the ASVspoof 2021 baseline `rawnet2`.
"""

import torch
from torch import nn
from torch.nn import functional

from ._base import Detector, Input
from ._recipes import COMPARISON
from ._residual import ResidualBlock1d
from ._sinc import LearnedSincBank

CHANNELS = (20, 20, 128, 128, 128, 128)
EMBEDDING_NORM = 10.0


class SampleNorm(nn.Module):
    """Each clip to zero mean and unit deviation (n - 1 in the denominator), then a learned gain per sample."""

    def __init__(self, samples: int, eps: float = 1e-6):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(samples))
        self.beta = nn.Parameter(torch.zeros(samples))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> the same shape."""
        mean, deviation = x.mean(1, keepdim=True), x.std(1, keepdim=True)
        return self.gamma * (x - mean) / (deviation + self.eps) + self.beta


class RawNet2S(Detector):
    """Sample-wise normalisation, learned sinc filters, true pre-activation blocks, GRU, embedding of norm 10.

    samples is built into the normalisation. hidden: units of the GRU and the embedding.
    """

    INPUT = Input(samples=48_000, train_crop="random", test_crop="middle", fixed=True)
    PAPER = "Zhang et al., Robust AI-Synthesized Speech Detection, section V (baseline RawNet2)"
    YEAR = 2024
    CITATION = "zhang2025fdadd"
    TRAINING = COMPARISON
    EER = {"inner average": 5.36, "LibriSeVoc cross-method average": 31.54}
    SMALL = {"hidden": 64}

    def __init__(self, *, hidden: int = 1024):
        super().__init__()
        self.ln = SampleNorm(self.input.samples)
        self.first_conv = LearnedSincBank(20, 1024)
        self.first_bn = nn.BatchNorm1d(20)
        for index, (before, after) in enumerate(zip((20, *CHANNELS), CHANNELS)):
            block = ResidualBlock1d(before, after, first=index == 0, pre_activation=True)
            self.add_module(f"block{index}", nn.Sequential(block))
        self.bn_before_gru = nn.BatchNorm1d(CHANNELS[-1])
        self.gru = nn.GRU(CHANNELS[-1], hidden, num_layers=3, batch_first=True)
        self.fc1_gru = nn.Linear(hidden, hidden)
        self.fc2_gru = nn.Linear(hidden, 1)

    def embed(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, 48,000) -> (batch, hidden), not yet scaled."""
        y = functional.max_pool1d(self.first_conv(self.ln(wave)).abs(), 3)
        y = functional.leaky_relu(self.first_bn(y), 0.3)
        for index in range(len(CHANNELS)):
            y = getattr(self, f"block{index}")(y)
        y = functional.leaky_relu(self.bn_before_gru(y), 0.3)
        return self.fc1_gru(self.gru(y.transpose(1, 2))[0][:, -1])

    def scaled(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, 48,000) -> (batch, hidden) embeddings of Euclidean norm 10, what the heads see."""
        return EMBEDDING_NORM * functional.normalize(self.embed(wave), dim=1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 48,000) wave in [-1, 1] at 16 kHz -> (batch,) logit of bona fide."""
        return self.fc2_gru(self.scaled(x)).squeeze(1)


build = RawNet2S
