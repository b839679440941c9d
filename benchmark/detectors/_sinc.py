"""Band-pass filter banks on the raw wave: fixed (RawNet2, RawGAT-ST, AASIST) and learned (RawNet2-S)."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from . import _tiles


def mel(hz: torch.Tensor | float) -> torch.Tensor:
    """Hz -> mel, 2595 log10(1 + f / 700)."""
    return 2595 * torch.log10(1 + torch.as_tensor(hz, dtype=torch.float64, device="cpu") / 700)


def hz(mel_value: torch.Tensor) -> torch.Tensor:
    """mel -> Hz, the inverse of `mel`."""
    return 700 * (10 ** (mel_value / 2595) - 1)


def mel_edges(low_hz: float, high_hz: float, points: int) -> torch.Tensor:
    """(points,) float64 frequencies in Hz, equally spaced in mel from low_hz to high_hz."""
    steps = torch.arange(points, dtype=torch.float64, device="cpu") / (points - 1)
    return hz(mel(low_hz) + steps * (mel(high_hz) - mel(low_hz)))


def odd(length: int) -> int:
    """The filter length that is used: an even one is raised by one, so that a filter has a centre."""
    return length + 1 - length % 2


def sinc_filters(filters: int, length: int, rate_hz: int) -> torch.Tensor:
    """(filter, tap) float32 Hamming-windowed band-passes between mel-spaced edges from 0 to rate_hz / 2.

    No gain normalisation. AASIST (arXiv 2110.01200, section 2.1) after SincNet. The sinc is taken in float32,
    as it was when the published weights were trained: the filters then agree to the last bit, and with them
    the maps behind six residual blocks, which turn the 2e-7 of a float64 evaluation into 7e-5.
    """
    taps = odd(length)
    n = np.arange(taps, dtype=np.float32) - (taps - 1) // 2
    cuts_hz = mel_edges(0, rate_hz / 2, filters + 1).numpy()
    cycles = (2 * cuts_hz).astype(np.float32)[:, None] * n / np.float32(rate_hz)
    low_pass = (2 * cuts_hz / rate_hz)[:, None] * np.sinc(cycles)
    band_pass = (low_pass[1:] - low_pass[:-1]).astype(np.float32)
    return torch.from_numpy(band_pass * np.hamming(taps).astype(np.float32))


class SincBank(nn.Module):
    """The fixed filter bank: no parameter, and not in the state dict, as in the published files."""

    def __init__(self, filters: int, length: int, rate_hz: int = 16_000):
        super().__init__()
        self.register_buffer("filters", sinc_filters(filters, length, rate_hz), persistent=False)

    def forward(self, wave: torch.Tensor, mask: tuple[int, int] | None = None) -> torch.Tensor:
        """(batch, sample) -> (batch, filter, sample - taps + 1); mask: see `masked`."""
        return functional.conv1d(wave.unsqueeze(1), self.masked(mask).unsqueeze(1))

    def masked(self, mask: tuple[int, int] | None) -> torch.Tensor:
        """The filters, those of mask = (first, count) silent: the frequency mask of training, one for a batch."""
        if mask is None:
            return self.filters
        filters = self.filters.clone()
        filters[mask[0] : mask[0] + mask[1]] = 0
        return filters

    def pooled(self, wave: torch.Tensor, mask: tuple[int, int] | None = None, *, fast: bool) -> torch.Tensor:
        """Largest magnitude in windows of 3 x 3: (batch, sample) -> (batch, 1, filter // 3, time // 3)."""
        if fast and _tiles.usable(wave) and not wave.requires_grad:
            return _tiles.pooled_magnitude(wave, self.masked(mask))
        return functional.max_pool2d(self(wave, mask).unsqueeze(1).abs(), 3)


def drawn_mask(filters: int, *, fewer_than: int) -> tuple[int, int]:
    """(first, count) of the neighbouring filters to silence: count = int(U(0, fewer_than)), first where they fit."""
    count = int(torch.rand(()) * fewer_than)
    return int(torch.randint(0, filters - count + 1, ())), count


class LearnedSincBank(nn.Module):
    """SincNet's learned band-passes (arXiv 1808.00158) with the settings of the comparison paper's RawNet2.

    low_hz_, band_hz_ (filter, 1): distance of each lower edge from `min_low_hz` and of each width from
    `min_band_hz`. Only the left half is windowed (half Hamming) and mirrored; a filter is divided by twice
    its width.
    """

    def __init__(
        self,
        filters: int = 20,
        length: int = 1024,
        rate_hz: int = 16_000,
        *,
        min_low_hz: float = 50,
        min_band_hz: float = 50,
    ):
        super().__init__()
        self.rate_hz, self.min_low_hz, self.min_band_hz = rate_hz, min_low_hz, min_band_hz
        taps = odd(length)
        edges = mel_edges(30, rate_hz / 2 - (min_low_hz + min_band_hz), filters + 1)
        self.low_hz_ = nn.Parameter(edges[:-1].float().unsqueeze(1))
        self.band_hz_ = nn.Parameter(edges.diff().float().unsqueeze(1))
        # the left half of a Hamming window, sampled as SincNet does: taps / 2 points, both ends included; in
        # float32, because the blocks behind magnify every rounding
        half = torch.linspace(0, taps / 2 - 1, taps // 2, device="cpu")
        window = 0.54 - 0.46 * torch.cos(2 * math.pi * half / taps)
        n = 2 * math.pi * torch.arange(-(taps - 1) / 2, 0, device="cpu") / rate_hz
        self.register_buffer("half_window", window, persistent=False)
        self.register_buffer("radians_per_hz", n.unsqueeze(0), persistent=False)

    def filters(self) -> torch.Tensor:
        """(filter, tap) band-passes at the present edges."""
        low = self.min_low_hz + self.low_hz_.abs()
        high = (low + self.min_band_hz + self.band_hz_.abs()).clamp(self.min_low_hz, self.rate_hz / 2)
        band = high - low
        left = (torch.sin(high @ self.radians_per_hz) - torch.sin(low @ self.radians_per_hz)) / (
            self.radians_per_hz / 2
        )
        left = left * self.half_window
        return torch.cat([left, 2 * band, left.flip(1)], dim=1) / (2 * band)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, filter, sample - taps + 1)."""
        return functional.conv1d(wave.unsqueeze(1), self.filters().unsqueeze(1))
