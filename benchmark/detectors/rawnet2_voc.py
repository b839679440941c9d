"""RawNet2-Voc: RawNet2 at 24 kHz that also learns which vocoder made a spoof.

Sun et al., "AI-Synthesized Voice Detection Using Neural Vocoder Artifacts", CVPR workshops 2023, section 4.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch

from ._base import Input
from ._recipes import FULL_LENGTH
from ._vocoders import LIBRISEVOC, checked, classes, vocoder_cross_entropy
from .rawnet2 import RawNet2Body

SEGMENT = 96_000  # samples at 24 kHz: 4 s
AT_ONCE = 32  # segments through the network at once when scoring


class RawNet2Voc(RawNet2Body):
    """Two heads on the last GRU state: bona fide or not, and which vocoder.

    The network takes waves at 24 kHz (96,000 samples = 4 s); made from 16 kHz shards they are empty above 8 kHz.
    samples: input length at 16 kHz, one crop of it in training and scoring; None = as published, the first 4 s in
    training and every whole segment of 4 s when scoring, whose probabilities are averaged (a rest is dropped, a clip
    shorter than 4 s repeated). attacks: the words of the vocoder classes, in order after bona fide; a spoof of another
    attack has no vocoder term.
    """

    INPUT = Input(params={"rate_hz": 24_000}, samples=None, train_samples=64_000, train_crop="first", test_crop="first")
    PAPER = "Sun et al., CVPR workshops 2023, section 4"
    YEAR = 2023
    CITATION = "sun2023vocoder"
    TRAINING = {**FULL_LENGTH, "batch_size": 32, "epochs": 100, "drop_last": False}
    WEIGHTS = "the released RawNet2-Voc checkpoint (123 entries)"
    EER = {"ASVspoof 2019 LA": 4.54}
    SMALL = {"hidden": 64}

    def __init__(self, *, samples: int | None = None, attacks: Sequence[str] = LIBRISEVOC, hidden: int = 1024):
        super().__init__(rate_hz=24_000, hidden=hidden)
        self.input = replace(self.INPUT, samples=samples, train_samples=samples or self.INPUT.train_samples)
        self.attacks = checked(attacks, "rawnet2_voc")
        self.fc1_binary_gru = nn.Linear(hidden, hidden)
        self.fc2_binary_gru = nn.Linear(hidden, 2)
        self.fc1_multi_gru = nn.Linear(hidden, hidden)
        self.fc2_multi_gru = nn.Linear(hidden, 1 + len(self.attacks))

    def embed(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, sample) at 24 kHz -> two (batch, hidden) embeddings: of the class, of the vocoder."""
        state = self.encode(wave)
        return self.fc1_binary_gru(state), self.fc1_multi_gru(state)

    def log_probabilities(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, sample) at 24 kHz -> log probabilities (batch, 2) spoof, bona fide; (batch, 1 + attacks)."""
        binary, multi = self.embed(wave)
        return self.fc2_binary_gru(binary).log_softmax(1), self.fc2_multi_gru(multi).log_softmax(1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave in [-1, 1] at 24 kHz -> (batch,) log probability of bona fide, mean over segments."""
        if self.input.samples is not None:
            return self.log_probabilities(x)[0][:, 1]
        parts = segments(x)
        if len(parts) > AT_ONCE:
            found = torch.cat([self.log_probabilities(some)[0] for some in parts.split(AT_ONCE)])
        else:
            found = self.log_probabilities(parts)[0]
        found = found[:, 1].view(x.shape[0], -1)
        return found.logsumexp(1) - torch.zeros_like(found).logsumexp(1)  # the mean of probabilities, as a logarithm

    def loss(self, batch: Batch) -> torch.Tensor:
        """Half the cross entropy of each task, unweighted."""
        binary, multi = self.log_probabilities(batch.x)
        vocoder = vocoder_cross_entropy(multi, classes(batch, self.attacks))
        return 0.5 * functional.cross_entropy(binary, batch.target) + 0.5 * vocoder


def segments(x: torch.Tensor) -> torch.Tensor:
    """(batch, sample) -> (batch x whole segments, SEGMENT), in order; shorter clips are repeated to one segment."""
    if x.shape[1] < SEGMENT:
        x = x.repeat(1, SEGMENT // x.shape[1] + 1)[:, :SEGMENT]
    return x[:, : x.shape[1] // SEGMENT * SEGMENT].reshape(-1, SEGMENT)


build = RawNet2Voc
