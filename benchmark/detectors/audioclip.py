"""AudioCLIP's audio branch, ESResNeXt-fbsp, with one linear layer, as in the comparison of Zhang et al., Table II.

Guzhov et al., "AudioCLIP: Extending CLIP to Image, Text and Audio", ICASSP 2022, arXiv 2106.13043.

A ResNeXt-50 (32x4d) on a learned fbsp spectrogram of three frequency bands, an attention branch beside every
stage. Only the audio branch: the 134.00 M of the paper's Table IX count CLIP's unused text and image towers.
"""

from pathlib import Path

import torch
import torchaudio
from torch import nn
from torch.nn import functional

from benchmark.detectors import _pretrained
from benchmark.detectors._base import RATE_HZ, Input, LoadReport
from benchmark.detectors._fbsp import Fbsp
from benchmark.detectors._recipes import COMPARISON
from benchmark.detectors._resnet import Bottleneck, init_convolutions
from ingest.types import DataError, nearest

SCALES = {"unit": 1.0, "int16": 32768.0}
RATES_HZ = (RATE_HZ, 44_100)
BLOCKS = (3, 4, 6, 3)


class Attention(nn.Module):
    """Beside a stage: its input, max-pooled to the size of its output, gives a factor in (0, 1) per value."""

    def __init__(self, channels_in: int, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv_depth = nn.Conv2d(channels_in, channels_in, kernel, padding=padding, groups=channels_in)
        self.conv_point = nn.Conv2d(channels_in, channels, 1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor, size: torch.Size) -> torch.Tensor:
        x = functional.adaptive_max_pool2d(x, size)
        return torch.sigmoid(self.bn(self.conv_point(self.conv_depth(x))))


class EsResNeXt(nn.Module):
    """ESResNeXt-fbsp: (batch, sample) on the scale of 16-bit integers -> (batch, 1024), not normalised.

    The input maps from [-32768, 32767] to [-1, 1]. 32,104,771 parameters.
    """

    KERNELS = {1: (3, 1), 2: (1, 5), 3: (3, 1), 4: (1, 5), 5: (3, 5)}

    def __init__(self, blocks: tuple[int, ...] = BLOCKS, embedding: int = 1024) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels_in = 64
        for stage, count in enumerate(blocks, start=1):
            planes, stride = 32 * 2**stage, 1 if stage == 1 else 2
            channels = planes * Bottleneck.EXPANSION
            stack = [Bottleneck(channels_in, planes, stride)]
            stack += [Bottleneck(channels, planes) for _ in range(count - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*stack))
            setattr(self, f"att{stage}", Attention(channels_in, channels, self.KERNELS[stage]))
            channels_in = channels
        self.att5 = Attention(channels_in, channels_in, self.KERNELS[5])
        self.fc = nn.Linear(channels_in, embedding)
        self.fbsp = Fbsp()
        init_convolutions(self)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        x = self.fbsp(2 * (wave + 32768) / 65535 - 1)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            y = getattr(self, f"layer{stage}")(x)
            x = y * getattr(self, f"att{stage}")(x, y.shape[2:])
        pooled = x.mean((2, 3), keepdim=True)
        return self.fc((pooled * self.att5(x, pooled.shape[2:])).flatten(1))


class AudioClip(_pretrained.Pretrained):
    """32,105,796 parameters, all of them trained.

    weights: path of AudioCLIP-Full-Training.pt or ESRNXFBSP.pt (whose last layer has AudioSet's classes and is left
    out), or "random". input_scale: "unit" feeds the wave as it is, as the comparison paper did, 90 dB below the scale
    of 16-bit integers that the network was trained with; "int16" restores that scale. rate_hz: 44100 resamples to
    the rate of the pre-training. blocks: bottlenecks per stage; (3, 4, 6, 3) for published weights.
    """

    INPUT = Input(feature="raw", samples=48_000, train_crop="random", test_crop="middle")
    PAPER = "Guzhov et al., arXiv 2106.13043 and 2104.11587; as a detector: Zhang et al., Table II"
    YEAR = 2022
    CITATION = "guzhov2022audioclip"
    TRAINING = {**COMPARISON, "weight_decay": 1e-4, "batch_size": 128}
    WEIGHTS = "AudioCLIP-Full-Training.pt, ESRNXFBSP.pt (MIT)"
    EER = {
        "LibriSeVoc inner": 3.98, "WaveFake inner": 1.29, "DECRO-EN inner": 0.91, "DECRO-ZH inner": 2.85,
        "ASVspoof 2021 DF": 24.67,
    }  # fmt: skip
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "blocks": (1, 1, 1, 1)}
    FILES = ("AudioCLIP-Full-Training.pt", "ESRNXFBSP.pt")
    HEADS = ("head.",)
    IGNORED = ("visual.", "transformer.", "token_embedding.", "positional_embedding", "text_projection",
               "ln_final.", "logit_scale")  # fmt: skip
    CHANNELS_LAST = True

    def __init__(
        self, *, weights: str | None = None, input_scale: str = "unit", rate_hz: int = RATE_HZ,
        blocks: tuple[int, ...] = BLOCKS,
    ) -> None:  # fmt: skip
        super().__init__()
        if input_scale not in SCALES:
            raise nearest(str(input_scale), SCALES, what="input_scale of audioclip")
        if rate_hz not in RATES_HZ:
            raise DataError(f"audioclip: rate_hz is 16000 or 44100, not {rate_hz!r}")
        self.scale, self.rate_hz = SCALES[input_scale], rate_hz
        self.audio = EsResNeXt(tuple(blocks))
        self.head = nn.Linear(self.audio.fc.out_features, 1)
        self.start_from(weights, detector="audioclip")

    def embed(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave in [-1, 1] at 16 kHz -> (batch, 1024), not normalised."""
        if self.rate_hz != RATE_HZ:
            wave = torchaudio.functional.resample(wave, RATE_HZ, self.rate_hz)
        return self.audio(wave * self.scale)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave in [-1, 1] at 16 kHz -> (batch,) logit of bona fide."""
        return self.head(functional.normalize(self.embed(x), dim=1)).squeeze(1)

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Entries of the audio branch alone get their prefix; the window, and a last layer for AudioSet, go."""
        if not any(key.startswith("audio.") for key in state):
            state = {f"audio.{key}": value for key, value in state.items()}
        state = _pretrained.rename(state, {}, drop=("audio.window",))
        fc = state.get("audio.fc.weight")
        self._foreign_fc = fc is not None and fc.shape != self.audio.fc.weight.shape
        if self._foreign_fc:
            own = {f"audio.fc.{key}": value for key, value in self.audio.fc.state_dict().items()}
            state = {**state, **own}
        return state

    def load_weights(self, path: Path | str) -> LoadReport:
        """As `Pretrained.load_weights`; a last layer for AudioSet's classes is not ours: it counts as missing."""
        report = super().load_weights(path)
        if not self._foreign_fc:
            return report
        kept = tuple(f"audio.fc.{key}" for key in self.audio.fc.state_dict())
        return LoadReport(report.loaded - len(kept), (*kept, *report.missing), (*kept, *report.unexpected))


build = AudioClip
