"""Spectrogram of complex frequency B-splines with learned centre, bandwidth and order.

Guzhov et al., "ESResNe(X)t-fbsp", IJCNN 2021, arXiv 2104.11587, section III.
"""

import math

import torch
from torch import nn
from torch.nn import functional

FRAME, HOP, POINTS = 1654, 561, 2048
BANDS = POINTS // 2 + 1
USED = BANDS // 3 * 3  # 1023 rows fill three channels of 341; the last two are dropped, as in the public code
_LEFT = (POINTS - FRAME) // 2  # the frame lies in the middle of the 2048 points: 197 zeros on either side
POWER_FLOOR = 1e-18
EPSILON = 1e-8


class Fbsp(nn.Module):
    """(batch, sample) -> (batch, 3, 341, frame) in dB, bands low to high spread over three channels.

    Row k is exp(-i fc t) sinc(fb t / m)^m sqrt(fb) / sqrt(2048) over t in [-pi, pi], with m, fb and fc learned
    (they start at 0, 1 and k). The gradient of each of the three is divided by its largest magnitude. Frames:
    1654 samples under a periodic Blackman-Harris window, hop 561, 1 + ceil((samples - 1654) / 561) of them, the
    clip zero-padded evenly at both ends. In float32 even where the network behind it is not: the power of speech goes
    below what float16 holds, and the floor with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.zeros(BANDS))
        self.fb = nn.Parameter(torch.ones(BANDS))
        self.fc = nn.Parameter(torch.arange(BANDS, dtype=torch.float32))
        self.register_buffer("bias", torch.zeros(0))  # empty, but part of the public checkpoints
        for parameter in (self.m, self.fb, self.fc):
            parameter.register_hook(_unit_maximum)

    def kernel(self, rows: int = BANDS, first: int = 0, points: int = POINTS) -> torch.Tensor:
        """(2, rows, points): real and imaginary part of the first `rows` kernels, from point `first` on."""
        t = math.pi * torch.linspace(-1, 1, POINTS, device=self.m.device, dtype=self.m.dtype) + EPSILON
        t = t[first : first + points]
        m, width, centre = self.m[:rows, None], self.fb[:rows, None], self.fc[:rows, None]
        argument = width * t / (m + EPSILON)
        sinc = argument.sin() / argument
        magnitude = sinc.abs().pow(m) * width.sqrt() / math.sqrt(POINTS)
        phase = math.pi * m * (sinc < 0) - centre * t  # a negative number to a real power turns by pi * m
        return torch.stack([magnitude * phase.cos(), magnitude * phase.sin()])

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu" if wave.is_meta else wave.device.type, enabled=False):
            return self._decibels(frames(wave.float()))

    def _decibels(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 1654) -> (batch, 3, 341, frame)."""
        kernel = self.kernel(USED, _LEFT, FRAME).flatten(0, 1)  # the padding of a frame meets zeros only
        real, imaginary = (x @ kernel.T).transpose(1, 2).chunk(2, 1)  # (batch, row, frame)
        power = real.square() + imaginary.square()
        power = torch.where(power > 0, power, POWER_FLOOR)
        return 10 * power.log10().unflatten(1, (3, USED // 3))


def _unit_maximum(gradient: torch.Tensor) -> torch.Tensor:
    largest = gradient.abs().amax()
    return torch.where(largest > 0, gradient / largest, gradient)


def frames(wave: torch.Tensor) -> torch.Tensor:
    """(batch, sample) -> (batch, frame, 1654), windowed; p zeros are added, floor(p / 2) of them in front."""
    samples = wave.shape[1]
    count = 1 + max(0, math.ceil((samples - FRAME) / HOP))
    padding = (count - 1) * HOP + FRAME - samples
    wave = functional.pad(wave, (padding // 2, padding - padding // 2))
    return wave.unfold(1, FRAME, HOP) * _blackman_harris(wave.device, wave.dtype)


def _blackman_harris(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The four-term window of Harris (1978), periodic, FRAME samples."""
    angle = 2 * math.pi * torch.arange(FRAME, device=device, dtype=torch.float64) / FRAME
    terms = (0.35875, -0.48829, 0.14128, -0.01168)
    return sum(a * torch.cos(k * angle) for k, a in enumerate(terms)).to(dtype)
