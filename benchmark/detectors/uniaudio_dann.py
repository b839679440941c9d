"""uniaudio with domain-adversarial training, the comparison of its Table 5.

Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", arXiv 1409.7495: a domain head per expert
behind a gradient reversal tries to tell speech from singing.
"""

import math

import torch
from torch import nn

from benchmark.batch import Batch
from benchmark.detectors._experts import EMBEDDING, NAMES
from benchmark.detectors._losses import reverse_gradient
from benchmark.detectors.uniaudio import UniAudio
from features.extractors._base import within
from ingest.types import DataError

DOMAINS = {"speech": 0.0, "singing": 1.0}


class UniAudioDann(UniAudio):
    """`UniAudio` and three domain heads.

    lambda_domain: weight of the domain term and largest factor of the reversal, so its effect is squared, as
    published. w2v_only: only the wav2vec branch has a domain head. The last of the `stages` is the one that takes
    singing and the domain term, 3 in configurations 1 to 4 and 2 in configuration 5; progress: share of that stage's
    epochs that are done, moved by the training loop. Other settings: see `UniAudio`. Training needs
    extra["domain"].
    """

    EER = {}  # Table 5 has five configurations that it does not describe

    def __init__(self, *, lambda_domain: float = 0.3, w2v_only: bool = False, **config) -> None:
        super().__init__(**config)
        within(0, math.inf, lambda_domain=lambda_domain)
        self.lambda_domain, self.progress = lambda_domain, 0.0
        self.branches = (2,) if w2v_only else (0, 1, 2)
        self.domain_heads = nn.ModuleDict({NAMES[branch]: _domain_head() for branch in self.branches})
        self.adapting = True
        *before, last = [dict(stage) for stage in self.TRAINING["phases"]]
        for stage in before:
            stage["settings"] = {**stage["settings"], "adapting": False}
        last["trainable"] = [*last["trainable"], "domain_heads."] if last["trainable"] else []
        last["mix"] = self._mix()
        last["settings"] = {**last["settings"], "adapting": True, "progress": {"from": 0.0, "before": 1.0}}
        self.TRAINING = {**self.TRAINING, "phases": [*before, last]}

    @property
    def reversal(self) -> float:
        """The factor of the reversed gradient: lambda_domain (2 / (1 + exp(-10 progress)) - 1)."""
        return self.lambda_domain * (2 / (1 + math.exp(-10 * self.progress)) - 1)

    def loss(self, batch: Batch) -> torch.Tensor:
        """The loss of `UniAudio`; where it adapts, plus lambda_domain times the mean cross entropy of the heads."""
        if not self.adapting:
            return super().loss(batch)
        fused = self.fuse(batch.x)
        found = self.combine(self.losses(fused, batch.target))
        return found + self.lambda_domain * self.domain_loss(fused.embeddings, _domains(batch))

    def domain_loss(self, embeddings: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 512) embeddings, (batch,) 0 = speech, 1 = singing -> mean cross entropy over the heads."""
        found = []
        for branch in self.branches:
            reversed_one = reverse_gradient(embeddings[:, branch], self.reversal)
            logit = self.domain_heads[NAMES[branch]](reversed_one).squeeze(1)
            found.append(nn.functional.binary_cross_entropy_with_logits(logit, domain))
        return torch.stack(found).mean()


def _domain_head() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(EMBEDDING, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 1),
    )  # fmt: skip


def _domains(batch: Batch) -> torch.Tensor:
    words = batch.extra.get("domain")
    if words is None or not set(words) <= set(DOMAINS):
        raise DataError("uniaudio_dann needs the domain (speech or singing) of every training trial")
    return torch.tensor([DOMAINS[word] for word in words], device=batch.x.device)


build = UniAudioDann
