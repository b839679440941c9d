"""uniaudio: three experts behind one gate, for speech and singing deepfakes.

"UniAudio: A Unified Feature Mixture Framework for Joint Speech and Singing Deepfake Detection", sections 3 and 4:
log-mel, MFCC and wav2vec 2.0 experts, a gate with a temperature, and a fusion head; auxiliary, entropy and diversity
terms. Where the text and its result files differ, the result files are followed: the same loss weights in every stage,
stage 2 at 2e-4, temperature 1.8 to 1.2. The experts are trained first, which in the public code was lost: their files
were loaded under other names, so that two of the three started at random.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from benchmark.detectors import _experts
from benchmark.detectors._base import Detector
from features.extractors._base import within
from ingest.types import DataError

FUSED = "fused"
ALONE = {"spectral": ("logmel", "mfcc"), "wav2vec": ("w2v_rn",)}  # stages in which experts are trained without the gate


class Gate(nn.Module):
    """The three embeddings side by side -> one logit per expert; 426,755 parameters."""

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3 * embedding, 256), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 3),
        )  # fmt: skip

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(batch, 3, embedding) -> (batch, 3)."""
        return self.net(embeddings.flatten(1))


@dataclass(frozen=True, slots=True)
class Fused:
    """What the mixture computes for a batch."""

    logit: torch.Tensor  # (batch,) of spoof
    experts: torch.Tensor  # (batch, 3) logits of spoof
    embeddings: torch.Tensor  # (batch, 3, 512)
    alpha: torch.Tensor  # (batch, 3), rows sum to one


class UniAudio(Detector):
    """Experts, gate, projection of the wav2vec embedding (`w2v_proj`) and fusion head.

    lambda_aux, lambda_ent, lambda_div: weights of the auxiliary, entropy (maximised) and diversity terms.
    aux_weights: of the experts in the auxiliary term. floor: least gate weight in training, then renormalised.
    tau: first and last temperature of the gate in stage 2; the last one stays, and is stored with the weights.
    experts: train the three experts alone before stage 1 (false: start from a file that holds them). stages: how many
    of the three follow. speech_share: of the draws of stage 3 (Table 10), None = as the protocol weighs its trials;
    the stages before it take speech alone. weights: a local copy of wav2vec 2.0 Base, "random", or None for the
    caches. width: channels of the ResNets' first stage; small: a tiny backbone, for tests.
    """

    INPUT = _experts.INPUT
    PAPER = "UniAudio: A Unified Feature Mixture Framework, sections 3 and 4"
    YEAR = 2025
    CITATION = "uniaudio2025"
    WEIGHTS = "facebook/wav2vec2-base-960h (backbone; Apache-2.0)"
    DIAGNOSTICS = {
        **{f"gate_{name}": f"gate weight of the {name} expert" for name in _experts.NAMES},
        "gate_largest": "largest gate weight of a clip",
        "embedding_cosine": "mean cosine between the embeddings of the three experts",
    }
    EER = {"ASVspoof 2019 LA": 0.376, "ASVspoof 2021 LA": 9.46, "CtrSVDD": 1.815, "SingFake": 44.20}
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "small": True, "width": 8}

    def __init__(
        self, *, weights: str | None = None, tau: tuple[float, float] = (1.8, 1.2), lambda_aux: float = 0.1,
        lambda_ent: float = 1e-4, lambda_div: float = 0.1,
        aux_weights: tuple[float, float, float] = (1.0, 1.0, 1.0), floor: float = 0.12, experts: bool = True,
        stages: int = 3, speech_share: float | None = None, width: int = 64, small: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0 <= floor <= 1 / 3 or min(tau) <= 0:
            raise DataError("uniaudio: floor lies in 0 to 1/3, tau above 0")
        if stages not in (1, 2, 3) or not (speech_share is None or 0 < speech_share < 1):
            raise DataError("uniaudio: stages are 1, 2 or 3, and speech_share lies between 0 and 1")
        within(0, math.inf, lambda_aux=lambda_aux, lambda_ent=lambda_ent, lambda_div=lambda_div)
        self.lambda_aux, self.lambda_ent, self.lambda_div = lambda_aux, lambda_ent, lambda_div
        self.aux_weights, self.floor = tuple(aux_weights), floor
        name, size = type(self).__module__.rpartition(".")[2], _experts.EMBEDDING
        self.logmel = _experts.SpectralExpert("logmel", width=width)
        self.mfcc = _experts.SpectralExpert("mfcc", width=width)
        self.w2v_rn = _experts.SslExpert(weights, detector=name, small=small)
        self.w2v_proj = nn.Linear(128, size)
        self.gate = Gate(size)
        self.fusion_head = nn.Sequential(nn.Linear(size, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 1))
        self.register_buffer("temperature", torch.tensor(float(tau[1])))
        self.stage, self.speech_share = FUSED, speech_share
        self.TRAINING = self._training(experts, stages, tuple(tau))

    @property
    def tau(self) -> float:
        """The gate's temperature; part of the state dict."""
        return float(self.temperature)

    @tau.setter
    def tau(self, value: float) -> None:
        self.temperature.fill_(value)

    def _mix(self) -> dict[str, dict[str, float]]:
        """The shares of speech and singing that are wanted; none: as the protocol weighs its trials."""
        share = self.speech_share
        return {} if share is None else {"domain": {"speech": share, "singing": 1 - share}}

    def _training(self, experts: bool, stages: int, tau: tuple[float, float]) -> dict[str, Any]:
        """The experts alone, then stages 1 to 3; 2 and 3 add what the text says they unfreeze, which the public code
        did not. Only stage 3 takes singing, in the share that is wanted. Batch, decay and clipping are of the two
        scripts of the public code, one for stages 1 and 2, one for stage 3."""
        heads = ["gate.", "w2v_proj.", "fusion_head.", *(f"{name}.classifier." for name in _experts.NAMES)]
        tops = ["logmel.resnet.backbone.layer4.", "mfcc.resnet.backbone.layer4.", "w2v_rn.cnn."]
        cosine = {"name": "cosine_per_step", "min_lr": 0.0}
        speech = {"domain": {"speech": 1.0}}
        alone = {"schedule": "constant", "mix": speech}
        fusing = {"batch_size": 32, "weight_decay": 0.01, "mix": speech}
        return {
            "optimizer": "adamw", "weight_decay": 1e-4, "batch_size": 64, "clip_norm": 5.0, "selection": "eer",
            "patience": 5, "min_delta": 0.0, "stop_above": 0.0, "balance": "none", "schedule": cosine,
            "phases": [
                *([
                    {"name": "spectral experts", "epochs": 10, "lr": 1e-3, "optimizer": "adam", "clip_norm": 0.0,
                     "trainable": ["logmel.", "mfcc."], "settings": {"stage": "spectral"}, **alone},
                    {"name": "wav2vec expert", "epochs": 8, "lr": 1e-4, "batch_size": 8,
                     "trainable": self.w2v_rn.trained("w2v_rn."), "settings": {"stage": "wav2vec"}, **alone},
                ] if experts else []),
                *[
                    {"name": "heads", "epochs": 10, "lr": 3e-4, "trainable": heads, **fusing,
                     "settings": {"stage": FUSED, "tau": 1.5, "aux_weights": (1.2, 1.2, 1.0)}},
                    {"name": "tops", "epochs": 25, "lr": 2e-4, "trainable": [*heads, *tops], **fusing,
                     "settings": {"stage": FUSED, "tau": {"from": tau[0], "to": tau[1]},
                                  "aux_weights": self.aux_weights}},
                    {"name": "everything", "epochs": 5, "lr": 3e-5, "batch_size": 16, "clip_norm": 1.0, "trainable": [],
                     "mix": self._mix(), "settings": {"stage": FUSED, "tau": tau[1], "aux_weights": self.aux_weights}},
                ][:stages],
            ],
        }  # fmt: skip

    def embed(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, sample) -> embeddings (batch, 3, 512), expert logits of spoof (batch, 3)."""
        (one, a), (two, b), (three, c) = self.logmel(wave), self.mfcc(wave), self.w2v_rn(wave)
        return torch.stack([one, two, self.w2v_proj(three)], 1), torch.stack([a, b, c], 1)

    def weigh(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 512) -> gate weights (batch, 3); in training none is below `floor` before renormalising."""
        alpha = (self.gate(embeddings) / self.temperature).softmax(1)
        return floored(alpha, self.floor) if self.training else alpha

    def fuse(self, wave: torch.Tensor) -> Fused:
        """(batch, sample) -> everything the loss needs; each expert runs once."""
        embeddings, experts = self.embed(wave)
        alpha = self.weigh(embeddings)
        return Fused(self.fused_logit(embeddings, alpha), experts, embeddings, alpha)

    def fused_logit(self, embeddings: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """Gate-weighted sum of the embeddings through the fusion head: (batch,) logit of spoof."""
        return self.fusion_head((alpha.unsqueeze(2) * embeddings).sum(1)).squeeze(1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave at 16 kHz -> (batch,) logit of bona fide; the mean of the experts' in their stages."""
        if self.stage != FUSED:
            return -torch.stack(self._alone(x)).mean(0)
        return -self.fuse(x).logit

    def diagnose(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The fused score, the gate's weights and how alike the experts' embeddings are (Tables 7 and 8)."""
        fused = self.fuse(batch.x)
        found = {f"gate_{name}": fused.alpha[:, k] for k, name in enumerate(_experts.NAMES)}
        found |= {"gate_largest": fused.alpha.amax(1), "embedding_cosine": cosines(fused.embeddings)}
        return -fused.logit, found

    def loss(self, batch: Batch) -> torch.Tensor:
        """The fused cross entropy, plus the auxiliary, minus the entropy, plus the diversity term.

        In the stages of the experts the sum of their own losses, spoof weighted by bona fide over spoof.
        """
        if self.stage != FUSED:
            return sum(_experts.spoof_entropy(logit, batch.target, weighted=True) for logit in self._alone(batch.x))
        return self.combine(self.losses(self.fuse(batch.x), batch.target))

    def _alone(self, wave: torch.Tensor) -> list[torch.Tensor]:
        """Logits of spoof of the experts that this stage trains, each (batch,)."""
        return [getattr(self, name)(wave)[1] for name in ALONE[self.stage]]

    def losses(self, fused: Fused, target: torch.Tensor) -> dict[str, torch.Tensor]:
        """The terms: main, aux (weighted mean over experts), entropy of the gate, similarity of the embeddings."""
        aux = [
            weight * _experts.spoof_entropy(logit, target)
            for weight, logit in zip(self.aux_weights, fused.experts.unbind(1))
        ]
        return {
            "main": _experts.spoof_entropy(fused.logit, target),
            "aux": torch.stack(aux).mean(),
            "entropy": entropy(fused.alpha),
            "similarity": similarity(fused.embeddings),
        }

    def combine(self, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        """Terms with their signs and weights."""
        return (
            terms["main"]
            + self.lambda_aux * terms["aux"]
            - self.lambda_ent * terms["entropy"]
            + self.lambda_div * terms["similarity"]
        )


def floored(alpha: torch.Tensor, floor: float) -> torch.Tensor:
    """Weights clamped from below, rows again summing to one."""
    raised = alpha.clamp(min=floor)
    return raised / raised.sum(1, keepdim=True)


def entropy(alpha: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the entropy in nats; at most ln 3."""
    return -torch.special.xlogy(alpha, alpha).sum(1).mean()


def similarity(embeddings: torch.Tensor) -> torch.Tensor:
    """(batch, 3, dim) -> mean cosine over rows and the three pairs of experts."""
    return cosines(embeddings).mean()


def cosines(embeddings: torch.Tensor) -> torch.Tensor:
    """(batch, 3, dim) -> (batch,) mean cosine over the three pairs of experts."""
    unit = functional.normalize(embeddings, dim=2)
    pairs = [(unit[:, k] * unit[:, other]).sum(1) for k, other in ((0, 1), (0, 2), (1, 2))]
    return torch.stack(pairs).mean(0)


build = UniAudio
