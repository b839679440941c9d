"""The second task of the RawNet2-Voc detectors: which vocoder made it."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from benchmark.batch import Batch
from benchmark.distribution import portion
from ingest.types import DataError

# Class 0 is bona fide; then the order in which the released evaluation prints them.
LIBRISEVOC = ("wavegrad", "diffwave", "parallel_wavegan", "wavernn", "wavenet", "melgan")
UNNAMED = -100  # a spoof whose attack is not among the classes: no term in the loss


def checked(attacks: Sequence[str], detector: str) -> tuple[str, ...]:
    """The attack words as a tuple; DataError if there is none, or one twice."""
    words = tuple(attacks)
    if not words or len(set(words)) < len(words):
        raise DataError(f"{detector}: attacks must be a list of different attack words, not {attacks!r}")
    return words


def classes(batch: Batch, attacks: Sequence[str]) -> torch.Tensor:
    """(batch,) int64: 0 = bona fide, 1 + place in `attacks` from `batch.extra["attack"]`, else UNNAMED."""
    if "attack" not in batch.extra:
        raise DataError("the vocoder classes need the column attack in every training batch")
    place = {word: index + 1 for index, word in enumerate(attacks)}
    words = batch.extra["attack"]
    found = [0 if real else place.get(word, UNNAMED) for real, word in zip(batch.target.tolist(), words)]
    return torch.tensor(found, device=batch.target.device)


def vocoder_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the rows that have a class, of all processes' parts of a batch; zero if none has."""
    total = functional.cross_entropy(logits, target, ignore_index=UNNAMED, reduction="sum")
    named = (target != UNNAMED).sum()
    return total / named.clamp(min=1) * portion(named.float())
