"""RawNet2: residual blocks and a GRU on a fixed sinc filter bank; the baseline of ASVspoof 2021.

Tak et al., "End-to-end anti-spoofing with RawNet2", arXiv 2011.01108, section 3, in the form of the challenge's
baseline code (network of Jung et al., arXiv 2004.00526, with a fixed first layer).
"""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch

from ._base import Detector, Input
from ._losses import weighted_cross_entropy
from ._recipes import FULL_LENGTH
from ._residual import ResidualBlock1d, scale_feature_maps
from ._sinc import SincBank

CHANNELS = (20, 20, 128, 128, 128, 128)


class RawNet2Body(Detector):
    """From the wave to the last GRU state: what the baseline and its multi-task form have in common.

    rate_hz is the rate that the filters are designed for.
    """

    def __init__(self, *, rate_hz: int = 16_000, hidden: int = 1024):
        super().__init__()
        self.sinc = SincBank(20, 1024, rate_hz)
        self.first_bn = nn.BatchNorm1d(20)
        for index, (before, after) in enumerate(zip((20, *CHANNELS), CHANNELS)):
            self.add_module(f"block{index}", nn.Sequential(ResidualBlock1d(before, after, first=index == 0)))
        for index, channels in enumerate(CHANNELS):
            self.add_module(f"fc_attention{index}", nn.Sequential(nn.Linear(channels, channels)))
        self.bn_before_gru = nn.BatchNorm1d(CHANNELS[-1])
        self.gru = nn.GRU(CHANNELS[-1], hidden, num_layers=3, batch_first=True)

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, hidden), the GRU's output at the last step."""
        y = functional.max_pool1d(self.sinc(wave).abs(), 3)
        y = functional.selu(self.first_bn(y))
        for index in range(len(CHANNELS)):
            y = getattr(self, f"block{index}")(y)
            y = scale_feature_maps(y, getattr(self, f"fc_attention{index}"))
        y = functional.selu(self.bn_before_gru(y))
        return self.gru(y.transpose(1, 2))[0][:, -1]


class RawNet2(RawNet2Body):
    """The baseline with two classes. hidden: units of the GRU and the embedding. samples: input length."""

    # the first 64,600 samples in training too: the baseline never crops at random
    INPUT = Input(samples=64_600, train_crop="first", test_crop="first")
    PAPER = "Tak et al., arXiv 2011.01108, section 3 (ASVspoof 2021 baseline)"
    YEAR = 2021
    CITATION = "tak2021rawnet2"
    TRAINING = {**FULL_LENGTH, "batch_size": 32, "epochs": 100}
    WEIGHTS = "pre_trained_DF_RawNet2.pth and the LA, PA files of the ASVspoof 2021 baselines"
    EER = {"ASVspoof 2021 LA": 9.50, "ASVspoof 2021 DF": 22.38}
    CLASS_WEIGHTS = (0.1, 0.9)
    SMALL = {"hidden": 64}

    def __init__(self, *, samples: int = 64_600, hidden: int = 1024):
        super().__init__(hidden=hidden)
        self.input = replace(self.INPUT, samples=samples)
        self.fc1_gru = nn.Linear(hidden, hidden)
        self.fc2_gru = nn.Linear(hidden, 2)

    def embed(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, hidden), the layer before the classes."""
        return self.fc1_gru(self.encode(wave))

    def log_probabilities(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, 2) log probabilities of spoof and bona fide."""
        return self.fc2_gru(self.embed(wave)).log_softmax(1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave in [-1, 1] at 16 kHz -> (batch,) log probability of bona fide."""
        return self.log_probabilities(x)[:, 1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy with weights [0.1 spoof, 0.9 bona fide] (the second log-softmax changes nothing)."""
        return weighted_cross_entropy(self.log_probabilities(batch.x), batch.target, self.CLASS_WEIGHTS)


build = RawNet2
