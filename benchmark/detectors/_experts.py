"""The three experts of the speech and singing mixture: log-mel, MFCC and wav2vec 2.0, each with its embedding.

Each expert is (embedding, logit of spoof) from a wave; names of the layers as the fused model of the public code
expects them, so that an expert trained alone loads into the mixture.
"""

import torch
from torch import nn

from benchmark.batch import Batch
from benchmark.detectors._base import Detector, Input
from benchmark.detectors._resnet import ResNet18
from benchmark.detectors._ssl import Backbone
from benchmark.detectors._wave import front_end
from benchmark.distribution import summed

NAMES = ("logmel", "mfcc", "w2v_rn")  # the order of the gate
EMBEDDING = 512
INPUT = Input(feature="raw", samples=64_000, train_crop="random", test_crop="first", short="zero", train_short="repeat")


class Trunk(nn.Module):
    """ResNet18 and a linear layer: (batch, 1, band, frame) -> (batch, embedding)."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.backbone = ResNet18(width)
        self.fc = nn.Linear(8 * width, embedding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.backbone(x))


class SpectralExpert(nn.Module):
    """A spectral feature, standardised per utterance, through ResNet18: 11,433,409 parameters.

    feature: logmel or mfcc, in the uniaudio preset (peak limits per clip, where torchaudio takes the batch's).
    """

    def __init__(self, feature: str, *, width: int = 64, embedding: int = EMBEDDING) -> None:
        super().__init__()
        self.feat = front_end(feature, preset="uniaudio")
        self.resnet = Trunk(width, embedding)
        self.classifier = nn.Linear(embedding, 1)

    def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, sample) -> embedding (batch, 512), logit of spoof (batch,)."""
        embedding = self.resnet(self.feat.extract(wave).transpose(1, 2).unsqueeze(1))
        return embedding, self.classifier(embedding).squeeze(1)


class SslExpert(nn.Module):
    """wav2vec 2.0 Base under two convolutions over time; embedding of 128, computed once for embedding and logit."""

    def __init__(self, weights: str | None, *, detector: str, small: bool = False) -> None:
        super().__init__()
        self.w2v = Backbone("wav2vec2-base-960h", weights, detector=detector, small=small)
        self.cnn = nn.Sequential(
            nn.Conv1d(self.w2v.width, 256, 3, padding=1), nn.BatchNorm1d(256), nn.ReLU(),
            nn.Conv1d(256, 128, 3, padding=1), nn.BatchNorm1d(128), nn.ReLU(),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))

    def trained(self, prefix: str) -> list[str]:
        """What the public code's optimiser holds: the head, the backbone's two ends and its top two layers."""
        root, layers = f"{prefix}w2v.model.", range(self.w2v.layers - 2, self.w2v.layers)
        return [
            f"{prefix}cnn.", f"{prefix}classifier.", f"{root}feature_extractor.", f"{root}feature_projection.",
            f"{root}encoder.pos_conv_embed.", f"{root}encoder.layer_norm.",
            *(f"{root}encoder.layers.{number}." for number in layers),
        ]  # fmt: skip

    def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, sample) -> embedding (batch, 128), logit of spoof (batch,)."""
        clean = torch.nan_to_num(wave, nan=0.0, posinf=0.0, neginf=0.0).clamp(-1, 1)
        embedding = self.cnn(self.w2v(clean).transpose(1, 2)).mean(2)
        return embedding, self.classifier(embedding).squeeze(1)


def spoof_entropy(logit: torch.Tensor, target: torch.Tensor, *, weighted: bool = False) -> torch.Tensor:
    """Binary cross entropy of logits of spoof against 1 - target; weighted: spoof by (1 - p) / p of the whole batch."""
    spoof, balance = 1 - target.to(logit.dtype), None
    if weighted:
        share = summed(spoof.mean()) / summed(torch.ones_like(spoof[0]))
        balance = (1 - share) / share if 0 < share < 1 else None
    return nn.functional.binary_cross_entropy_with_logits(logit, spoof, pos_weight=balance)


class Alone(Detector):
    """One expert as a detector: its score is minus its logit of spoof, its loss weighs the classes of each batch."""

    INPUT = INPUT
    PAPER = "UniAudio: A Unified Feature Mixture Framework, section 3 and Table 3"
    YEAR = 2025
    CITATION = "uniaudio2025"
    BASE_TRAINING = {
        "optimizer": "adam", "weight_decay": 1e-4, "selection": "eer", "patience": 5, "min_delta": 0.0,
        "stop_above": 0.0, "balance": "none",
    }  # fmt: skip
    expert: nn.Module

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave at 16 kHz -> (batch,) logit of bona fide."""
        return -self.expert(x)[1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Binary cross entropy, spoof weighted by bona fide over spoof in the batch."""
        return spoof_entropy(self.expert(batch.x)[1], batch.target, weighted=True)
