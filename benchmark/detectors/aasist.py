"""AASIST: spectro-temporal graph attention on the raw wave.

Jung et al., "AASIST: Audio Anti-Spoofing using Integrated Spectro-Temporal Graph Attention Networks", arXiv
2110.01200. Two logits at 64,600 samples by default; `outputs=1, samples=48_000` is the form of the comparison
paper.
"""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from ingest.types import DataError

from ._base import Detector, Input
from ._graph import GraphReadOut
from ._losses import weighted_cross_entropy
from ._recipes import COMPARISON, FULL_LENGTH
from ._residual import aasist_encoder, run_encoder
from ._sinc import SincBank, drawn_mask

# Section 4.2 of the paper and its published configuration; checkpoints there were chosen on evaluation data,
# ours on dev.
PAPER_TRAINING = {
    "optimizer": "adam",
    "lr": 1e-4,
    "weight_decay": 1e-4,
    "batch_size": 24,
    "epochs": 100,
    "schedule": {"name": "cosine_per_step", "min_lr": 5e-6},
    **FULL_LENGTH,
    "swa": True,  # the weights of every epoch that is best on dev so far, averaged
}
# The comparison paper's baselines: one logit, balanced sampling, early stop on the development AUC.
COMPARISON_TRAINING = {
    **COMPARISON,
    "optimizer": "adam",
    "lr": 1e-4,
    "weight_decay": 1e-4,
    "batch_size": 64,
    "epochs": 200,
    "patience": 3,
    "schedule": {"name": "cosine_per_step", "min_lr": 5e-6, "steps": 200_000},
    "selection": "auc",
}


class Aasist(GraphReadOut, Detector):
    """Sinc filters, residual encoder, spectral and temporal graphs, two heterogeneous branches, read-out.

    outputs: 2 (cross entropy weighted [0.1 spoof, 0.9 bona fide], score = logit of bona fide) or 1 (plain
    binary cross entropy, score = the logit). samples: input length; any that leaves two time nodes.
    frequency_mask: in training silence A = int(U(0, 20)) neighbouring filters, one draw per batch (off as
    published).
    """

    INPUT = Input(samples=64_600, train_crop="random", test_crop="first")
    PAPER = "Jung et al., arXiv 2110.01200, section 3"
    YEAR = 2022
    CITATION = "jung2022aasist"
    TRAINING = PAPER_TRAINING
    WEIGHTS = "AASIST.pth (clovaai release, MIT)"
    EER = {"ASVspoof 2019 LA": 0.83}
    CLASS_WEIGHTS = (0.1, 0.9)
    CHANNELS = (32, 32, 64, 64, 64, 64)
    DIMS = (64, 32)
    RATIOS = (0.5, 0.7, 0.5)

    def __init__(self, *, samples: int = 64_600, outputs: int = 2, frequency_mask: bool = False):
        Detector.__init__(self)
        if outputs not in (1, 2):
            raise DataError(f"aasist: outputs is 1 or 2, not {outputs!r}")
        self.input = replace(self.INPUT, samples=samples)
        if outputs == 1:
            self.input = replace(self.input, test_crop="middle")
            self.TRAINING = COMPARISON_TRAINING
        self.frequency_mask = frequency_mask
        self.conv_time = SincBank(70, 128)
        self.first_bn = nn.BatchNorm2d(1)
        self.encoder = aasist_encoder(self.CHANNELS)
        self.add_graph(spectral_nodes=23, dims=self.DIMS, ratios=self.RATIOS, outputs=outputs)

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, channel, 23 filters, time)."""
        y = self.conv_time.pooled(wave, self._mask(), fast=self.fast)
        return run_encoder(self.encoder, functional.selu(self.first_bn(y)), fast=self.fast)

    def embed(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, sample) -> embedding (batch, 160), logits (batch, outputs)."""
        strength = self.encode(wave).abs()
        return self.graph(strength.amax(3).transpose(1, 2), strength.amax(2).transpose(1, 2))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave in [-1, 1] at 16 kHz -> (batch,) logit of bona fide."""
        return self.embed(x)[1][:, -1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Weighted cross entropy of the two logits; with one output, binary cross entropy."""
        if self.out_layer.out_features == 1:
            return super().loss(batch)
        return weighted_cross_entropy(self.embed(batch.x)[1], batch.target, self.CLASS_WEIGHTS)

    def _mask(self) -> tuple[int, int] | None:
        if not (self.training and self.frequency_mask):
            return None
        return drawn_mask(70, fewer_than=20)


build = Aasist
