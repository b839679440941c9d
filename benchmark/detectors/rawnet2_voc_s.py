"""RawNet2-Voc-S: the comparison paper's RawNet2-Voc, `rawnet2_s` with a vocoder head on the same embedding.

Baseline of Zhang et al., "Robust AI-Synthesized Speech Detection", section V, after Sun et al., CVPR workshops 2023.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch

from ._recipes import COMPARISON
from ._vocoders import LIBRISEVOC, checked, classes, vocoder_cross_entropy
from .rawnet2_s import RawNet2S


class RawNet2VocS(RawNet2S):
    """attacks: the words of the vocoder classes, in order after bona fide (a spoof of another has no such term)."""

    PAPER = "Zhang et al., Robust AI-Synthesized Speech Detection, section V (baseline RawNet2-Voc)"
    TRAINING = {**COMPARISON, "batch_size": 32, "weight_decay": 0.0}
    EER = {"inner average": 3.64, "LibriSeVoc cross-method average": 36.53}

    def __init__(self, *, attacks: Sequence[str] = LIBRISEVOC, hidden: int = 1024):
        super().__init__(hidden=hidden)
        self.attacks = checked(attacks, "rawnet2_voc_s")
        self.fc3_gru = nn.Linear(hidden, 1 + len(self.attacks))

    def logits(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, 48,000) -> (batch,) logit of bona fide, (batch, 1 + attacks) logits of the vocoder classes."""
        embedding = self.scaled(wave)
        return self.fc2_gru(embedding).squeeze(1), self.fc3_gru(embedding)

    def loss(self, batch: Batch) -> torch.Tensor:
        """The mean of binary cross entropy and vocoder cross entropy."""
        binary, multi = self.logits(batch.x)
        vocoder = vocoder_cross_entropy(multi, classes(batch, self.attacks))
        return (functional.binary_cross_entropy_with_logits(binary, batch.target.float()) + vocoder) / 2


build = RawNet2VocS
