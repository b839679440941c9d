"""Constant-Q cepstral coefficients of the whole utterance, as the ASVspoof baselines compute them."""

import functools
import math

import numpy as np
import scipy.fft
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from features.extractors import _spectrum
from features.extractors._base import Extractor, band, counts, within

PRESETS = {
    "asvspoof2021": {},  # detectors-a 3.2
    "asvspoof2019": {"bins_per_octave": 96, "low_hz": 15.625, "high_hz": 8000.0, "coefficients": 30},
}
BLOCK = 48_000  # coefficients of a block of bins: 768 kB
EPSILON = 2.220446049250313e-16


class Cqcc(Extractor):
    """Static, delta and double delta cepstra of an invertible constant-Q transform (60 or 90 values).

    The spectrum of the whole utterance is windowed once per bin and brought to one common time grid
    ("full rasterisation"), so a frame is about 2 ms and the frame count is proportional to the length. The
    natural log of the power is interpolated by a not-a-knot spline to a linear frequency grid of
    low_hz / first_octave, then transformed by an orthonormal DCT-II. coefficients includes the 0th. Deltas
    are regressions over 3 frames on either side. Computed in float64, returned as float32.
    """

    min_samples = 400  # 25 ms: every filter is at least four FFT bins wide

    def __init__(
        self, bins_per_octave: int = 12, low_hz: float = 62.5, high_hz: float = 4000.0,
        first_octave: int = 16, coefficients: int = 20, delta_half: int = 3,
    ):  # fmt: skip
        super().__init__()
        counts(coefficients=coefficients, delta_half=delta_half)
        within(1, 1024, bins_per_octave=bins_per_octave, first_octave=first_octave)
        band(low_hz, high_hz, lowest=1, highest=self.rate_hz // 2)
        octaves = math.log2(high_hz / low_hz)
        self.quality = 2 ** (1 / bins_per_octave) - 2 ** (-1 / bins_per_octave)
        centre = low_hz * 2 ** (np.arange(math.floor(bins_per_octave * octaves + 1e-9) + 1) / bins_per_octave)
        width = self.quality * centre + 228.7 * self.quality
        inside = (centre + width / 2 <= self.rate_hz / 2) & (centre - width / 2 >= 0)
        self.centre_hz, self.width_hz = centre[inside], width[inside]
        if len(self.centre_hz) < 2:
            raise ValueError(f"low_hz {low_hz}..high_hz {high_hz} has {len(self.centre_hz)} bins, not two or more")
        self.dim, self.delta_half = 3 * coefficients, delta_half
        self.constant("cepstrum", torch.from_numpy(_cepstrum(self.centre_hz, low_hz / first_octave, coefficients)))

    def log_power(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, bin, frame) float64: ln(|constant-Q coefficient|^2 + 2.2e-16).

        A few bins at a time, which stay in the processor's cache.
        """
        spectrum, frames = _transform(wave.double(), "fft"), self._frames(wave.shape[1])
        power = spectrum.real.new_empty(wave.shape[0], len(self.centre_hz), frames)
        for first, bins, source, target, window in self._placement(wave.shape[1]):
            placed = spectrum.new_zeros(wave.shape[0], bins * frames)
            placed[:, target.to(wave.device)] = spectrum[:, source.to(wave.device)] * window.to(wave.device)
            coefficient = torch.view_as_real(_transform(placed.view(-1, bins, frames), "ifft"))
            power[:, first : first + bins] = _spectrum.pair_sums(coefficient.square_())
        return _spectrum.log_(power.add_(EPSILON))

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, 3 * coefficients)."""
        static = self.log_power(wave).transpose(1, 2) @ self.cepstrum
        delta = _spectrum.regression(static, self.delta_half)
        return torch.cat([static, delta, _spectrum.regression(delta, self.delta_half)], dim=-1).float()

    def _widths(self, samples: int) -> np.ndarray:
        return np.maximum(np.round(self.width_hz * samples / self.rate_hz), 4).astype(np.int64)

    def _frames(self, samples: int) -> int:
        return int(self._widths(samples)[-1])

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a few lengths per extractor, freed with it
    def _placement(self, samples: int) -> list[tuple[int, int, Tensor, Tensor, Tensor]]:
        """For each block of bins: its first bin, how many, which FFT bins they read, where on their own grids, one
        after the other, these go, and the window."""
        widths, frames, blocks = self._widths(samples), self._frames(samples), []
        position = np.floor(self.centre_hz * samples / self.rate_hz).astype(np.int64)
        bins_per_block = max(1, BLOCK // frames)
        for first in range(0, len(widths), bins_per_block):
            source, target, window = [], [], []
            for i, width in enumerate(widths[first : first + bins_per_block].tolist()):
                offset = np.arange(-(width // 2), -(-width // 2))
                source.append((position[first + i] + offset) % samples)
                target.append(i * frames + offset % frames)
                window.append((0.5 + 0.5 * np.cos(2 * np.pi * offset / width)) * (2 * frames / samples))
            placed = (torch.from_numpy(np.concatenate(part)) for part in (source, target, window))
            blocks.append((first, len(source), *placed))
        return blocks


def _transform(x: Tensor, name: str) -> Tensor:
    """torch.fft's fft or ifft; on a processor SciPy's, in double precision half again to twice as fast."""
    if x.device.type != "cpu":
        return getattr(torch.fft, name)(x)
    return torch.from_numpy(getattr(scipy.fft, name)(x.numpy(), overwrite_x=name == "ifft"))


@functools.cache
def _spline_dct(centre_hz: tuple[float, ...], step_hz: float, coefficients: int) -> np.ndarray:
    centre = np.array(centre_hz)
    points = math.floor((centre[-1] - centre[0]) / step_hz + 1e-9) + 1
    spline = CubicSpline(centre, np.eye(len(centre)))(centre[0] + step_hz * np.arange(points))
    # not @: BLAS sums in another order on two threads than on one, and the features would differ between processes
    return np.einsum("pb,pc->bc", spline, _spectrum.dct(points, coefficients).numpy())


def _cepstrum(centre_hz: np.ndarray, step_hz: float, coefficients: int) -> np.ndarray:
    """(bin, coefficient): spline to the linear grid, then DCT; both are linear, so one matrix does both."""
    return _spline_dct(tuple(centre_hz), step_hz, coefficients)


build = Cqcc
