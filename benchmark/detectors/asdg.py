"""ASDG: light CNN and BLSTM whose real clips are pulled together across domains and whose fakes are kept apart.

Xie et al., "Domain Generalization via Aggregation and Separation for Audio Deepfake Detection", IEEE TIFS 2024, in the
form of the comparison paper's re-implementation (Zhang et al., section V); the authors' own code is not public.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from benchmark.batch import Batch
from features.extractors._base import within
from ingest.types import DataError, nearest

from ._base import Detector, Input
from ._lcnn import MaxFeatureMap, add_numbered, front_end, lcnn_layers
from ._losses import reverse_gradient
from ._recipes import COMPARISON

COLUMNS = ("language", "corpus")


class CarriedFrontEnd(nn.Module):
    """The LFCC constants that the re-implementation keeps in its state dict; never applied here.

    products: multiply-accumulates per frame, which count as the network's own.
    """

    def __init__(self, preset: str):
        super().__init__()
        bank, dct, window = front_end(preset)
        self.register_buffer("filter_mat", bank)
        self.register_buffer("dct_mat", dct)
        self.Spectrogram = nn.Module()
        self.Spectrogram.register_buffer("window", window)
        self.products = bank.numel() + dct.numel()


class CarriedLcnn(nn.Module):
    """The convolutions, and the dense layers of the LCNN class that it carries without using them."""

    def __init__(self):
        super().__init__()
        self.stack = add_numbered(self, lcnn_layers(affine=True))
        self.fc29 = nn.Linear(4096, 128)
        self.mfm30 = MaxFeatureMap()
        self.batchnorm31 = nn.BatchNorm1d(64)
        self.fc32 = nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 1, frame, feature) -> (batch, 32, frame // 16, feature // 16)."""
        for name in self.stack:
            x = getattr(self, name)(x)
        return x


class ResidualBlstm(nn.Module):
    """Two bidirectional LSTM layers, output plus input."""

    def __init__(self, dim: int):
        super().__init__()
        self.rnn = nn.LSTM(dim, dim // 2, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, dim) -> the same shape."""
        return self.rnn(x)[0] + x


class Asdg(Detector):
    """One logit, a 512-d unit embedding, and a domain head that sees bona fide clips through a reversed gradient.

    domains: the words of `domain_column` (language or corpus) that are domains, in order; a row with another word
    belongs to the first, as in the re-implementation, which knows en, de and es. weight: of the adversarial and the
    triplet loss. `progress`, the share of the steps that are done, sets the strength of the reversal. With the
    published sign, 1 - 2 / (1 + exp(-10 p)), the domain loss would not be reversed at all; the usual one is used here.
    """

    INPUT = Input(feature="lfcc", params={"preset": "asdg_s"}, samples=48_000, train_crop="random", test_crop="middle")
    PAPER = "Xie et al., IEEE TIFS 2024; Zhang et al., Robust AI-Synthesized Speech Detection, section V"
    YEAR = 2024
    CITATION = "xie2024asdg"
    TRAINING = {**COMPARISON, "phases": [{"name": "all", "settings": {"progress": {"from": 0.0, "before_step": 1.0}}}]}
    EER = {"inner average": 1.21, "LibriSeVoc cross-method average": 13.12}
    MARGIN = 0.1
    CHANNELS_LAST = True

    def __init__(
        self,
        *,
        domains: Sequence[str] = ("en", "de", "es"),
        domain_column: str = "language",
        weight: float = 0.1,
    ):
        super().__init__()
        if not domains:
            raise DataError("asdg: domains must be a list of words, not none")
        within(0, math.inf, weight=weight)
        if domain_column not in COLUMNS:
            raise nearest(str(domain_column), COLUMNS, what="domain_column of asdg")
        self.domains, self.domain_column, self.weight = tuple(domains), domain_column, weight
        self.progress = 0.0
        self.lfcc = CarriedFrontEnd(self.INPUT.params["preset"])
        self.lcnn = CarriedLcnn()
        self.dropout = nn.Dropout2d(0.1)
        width = 32 * (80 // 16)
        self.lstm = ResidualBlstm(width)
        self.fc1 = nn.Linear(width, 512)
        self.fc2 = weight_norm(nn.Linear(512, 1))
        self.fc_domain = weight_norm(nn.Linear(512, len(self.domains)))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 80) -> (batch, 512) of Euclidean norm one."""
        y = self.dropout(self.lcnn(x.unsqueeze(1)))
        y = self.lstm(y.transpose(1, 2).flatten(2))  # (batch, frame / 16, channel * 5 + band)
        return functional.normalize(self.fc1(y.mean(1)), dim=1, eps=1e-9)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 80) LFCC in dB -> (batch,) logit of bona fide."""
        return self.fc2(self.embed(x)).squeeze(1)

    def domain_logits(self, embedding: torch.Tensor) -> torch.Tensor:
        """(batch, 512) -> (batch, domain); the gradient that comes back is reversed."""
        strength = 2 / (1 + math.exp(-10 * self.progress)) - 1
        return self.fc_domain(reverse_gradient(embedding, strength))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Binary cross entropy + weight (domain cross entropy on bona fide only + triplet loss)."""
        embedding = self.embed(batch.x)
        logit = self.fc2(embedding).squeeze(1)
        domain, real = self._domain(batch), batch.target == 1
        adversarial = logit.new_zeros(())
        if int(real.sum()) >= 2:
            adversarial = functional.cross_entropy(self.domain_logits(embedding[real]), domain[real])
        kinds = torch.where(real, -1, domain)  # all real clips are one kind, fakes one per domain
        triplet = random_triplet_loss(embedding, kinds, margin=self.MARGIN)
        own = functional.binary_cross_entropy_with_logits(logit, batch.target.float())
        return own + self.weight * (adversarial + triplet)

    def _domain(self, batch: Batch) -> torch.Tensor:
        words = batch.extra.get(self.domain_column)
        if words is None:
            raise DataError(f"asdg needs the column {self.domain_column} in every training batch")
        place = {word: index for index, word in enumerate(self.domains)}
        return torch.tensor([place.get(word, 0) for word in words], device=batch.target.device)


def random_triplet_loss(embedding: torch.Tensor, kinds: torch.Tensor, *, margin: float) -> torch.Tensor:
    """Each row against one random row of its kind and one of another; the row itself where there is none.

    embedding (batch, dim), kinds (batch,) int64; Euclidean distance, eps 1e-7. The draw uses torch's generator.
    """
    same = kinds.unsqueeze(1) == kinds.unsqueeze(0)
    own = torch.eye(len(kinds), dtype=torch.bool, device=kinds.device)
    positive, negative = _one_of(same & ~own, own), _one_of(~same, own)
    return functional.triplet_margin_loss(embedding, embedding[positive], embedding[negative], margin, p=2, eps=1e-7)


def _one_of(allowed: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """(row, candidate) -> (row,) a random allowed candidate, or the row's own number."""
    candidates = torch.where(allowed.any(1, keepdim=True), allowed, own)
    return torch.multinomial(candidates.float(), 1).squeeze(1)


build = Asdg
