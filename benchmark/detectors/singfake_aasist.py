"""SingFake baseline: AASIST on singing.

Zang et al., "SingFake: Singing Voice Deepfake Detection", ICASSP 2024, arXiv 2309.07525, section 4. Class 1 is spoof
there, so the weights of its loss favour spoof, the reverse of the speech recipe; kept for parity. The published code
crops at random in every split; here scoring takes the first samples.
"""

import torch

from benchmark.batch import Batch
from benchmark.detectors._base import Input
from benchmark.detectors._losses import weighted_cross_entropy
from benchmark.detectors.aasist import Aasist

PAPER = "Zang et al., SingFake, arXiv 2309.07525, section 4"
TRAINING = {
    "optimizer": "adam", "lr": 1e-4, "weight_decay": 1e-4, "batch_size": 12, "epochs": 100, "selection": "eer",
    "patience": 0, "stop_above": 0.0, "balance": "none", "swa": True,
    "schedule": {"name": "cosine_per_step", "min_lr": 5e-6},
}  # fmt: skip
CLASS_WEIGHTS = (0.1, 0.9)  # bona fide, spoof


def spoof_is_one(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Weighted cross entropy of logits (batch, 2) in the order bona fide, spoof; target 1 = bona fide."""
    return weighted_cross_entropy(logits, 1 - target, CLASS_WEIGHTS)


class SingFakeAasist(Aasist):
    """`Aasist` with the order of classes, the level and the recipe of SingFake: each crop has its own peak level."""

    INPUT = Input(feature="raw", samples=64_600, train_crop="random", test_crop="first", level="crop_peak")
    PAPER = PAPER
    YEAR = 2024
    CITATION = "zang2024singfake"
    TRAINING = TRAINING
    WEIGHTS = ""
    EER = {}

    def __init__(self, *, samples: int = 64_600) -> None:
        super().__init__(samples=samples)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave at 16 kHz -> (batch,) minus the logit of spoof, class 1 here."""
        return -self.embed(x)[1][:, 1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy, weighted 0.1 for bona fide and 0.9 for spoof, as published."""
        return spoof_is_one(self.embed(batch.x)[1], batch.target)


build = SingFakeAasist
