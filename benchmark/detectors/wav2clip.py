"""Wav2CLIP's audio encoder with one linear layer, as in the comparison of Zhang et al., Table II.

Wu et al., "Wav2CLIP: Learning Robust Audio Representations From CLIP", ICASSP 2022, arXiv 2110.11499: a ResNet18
on a log power spectrogram, then the two-layer map into CLIP's space.
"""

from dataclasses import replace

import torch
from torch import nn

from benchmark.detectors import _pretrained
from benchmark.detectors._base import Input
from benchmark.detectors._recipes import COMPARISON
from benchmark.detectors._resnet import ResNet18
from ingest.types import nearest

FILE = "Wav2CLIP.pt"  # release v0.1.0-alpha
NORMS = {"clip": "wav2clip", "batch": "wav2clip_batch"}
RENAMED = {"audio_encoder.": "encoder.", "audio_transform.": "transform."}


class Transform(nn.Module):
    """The map into CLIP's space: two linear layers, 525,312 parameters at 512."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sequential = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.sequential(x)


class Wav2Clip(_pretrained.Pretrained):
    """11,696,065 parameters, all of them trained.

    weights: path of Wav2CLIP.pt, or "random". norm: "clip" standardises each clip, so that a score does not depend on
    the rest of its batch; "batch" over the whole batch, as the published code does. width: channels of the first
    stage; 64 for published weights.
    """

    INPUT = Input(
        feature="logspec", params={"preset": "wav2clip"}, samples=48_000, train_crop="random", test_crop="middle"
    )
    PAPER = "Wu et al., arXiv 2110.11499, section 2; as a detector: Zhang et al., Table II"
    YEAR = 2022
    CITATION = "wu2022wav2clip"
    TRAINING = {**COMPARISON, "weight_decay": 1e-4, "batch_size": 128}
    WEIGHTS = "Wav2CLIP.pt (release v0.1.0-alpha, MIT)"
    EER = {
        "LibriSeVoc inner": 1.60, "WaveFake inner": 0.30, "DECRO-EN inner": 0.68, "DECRO-ZH inner": 4.08,
        "ASVspoof 2021 DF": 20.68,
    }  # fmt: skip
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "width": 8}
    HEADS = ("head.",)
    IGNORED = ("image_transform.",)
    FILES = (FILE,)
    CHANNELS_LAST = True

    def __init__(self, *, weights: str | None = None, norm: str = "clip", width: int = 64) -> None:
        super().__init__()
        if norm not in NORMS:
            raise nearest(str(norm), NORMS, what="norm of wav2clip")
        self.input = replace(self.INPUT, params={"preset": NORMS[norm]})
        self.encoder = ResNet18(width)
        self.transform = Transform(8 * width)
        self.head = nn.Linear(8 * width, 1)
        self.start_from(weights, detector="wav2clip")

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, bin) standardised log power -> (batch, 512) output of the audio encoder."""
        return self.encoder(x.transpose(1, 2).unsqueeze(1))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, bin) standardised log power -> (batch,) logit of bona fide."""
        return self.head(self.transform(self.embed(x))).squeeze(1)

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Names of Wav2CLIP.pt to ours; the window of the spectrogram is not a weight."""
        return _pretrained.rename(state, RENAMED, drop=("encoder.spectrogram.",))


build = Wav2Clip
