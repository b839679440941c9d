"""Batch: the one place where a label word becomes a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

TARGETS: Mapping[str, int] = {"bonafide": 1, "spoof": 0}


@dataclass(slots=True)
class Batch:
    """What a detector is trained on.

    x: (batch, ...) float32, what the detector's feature extractor gives for the waves.
    target: (batch,) int64, 1 = bona fide, 0 = spoof.
    utt_id: the utterance behind each row.
    extra: one list or tensor of length batch per column; always attack, domain, language, corpus, speaker
        (words or None), and what the training recipe adds.
    """

    x: torch.Tensor
    target: torch.Tensor
    utt_id: list[str]
    extra: dict[str, Any] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tensors on `device`."""
        extra = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in self.extra.items()}
        return Batch(self.x.to(device), self.target.to(device), self.utt_id, extra)


def targets(labels: Sequence[str]) -> torch.Tensor:
    """(batch,) int64 from label words; KeyError on anything but bonafide and spoof."""
    return torch.tensor([TARGETS[label] for label in labels], dtype=torch.int64)
