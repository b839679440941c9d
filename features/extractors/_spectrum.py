"""Framed power spectra, filter banks, cosine transforms and deltas: the arithmetic of the cepstral features.

Frames lie along the second axis, (batch, frame, bin): contiguous for the FFT and for the matrix products. On a
processor sums of pairs and logarithms go through NumPy on the same memory: two thirds and a quarter of torch's time.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from features.extractors._base import band, counts, within

RATE_HZ = 16_000
FLOORS = (1e-30, 1.0)  # what may be added to a power before its logarithm: above zero in float32
WINDOWS = {
    "hann": torch.hann_window,
    "hamming": torch.hamming_window,
    "hamming_symmetric": functools.partial(torch.hamming_window, periodic=False),
}
BLOCK = 5 << 17  # windowed samples that a processor takes at once
CENTRES = ("reflect", "zero", "none", "partial", "whole")


class Power(nn.Module):
    """Power spectrum |rFFT|^2 of windowed frames.

    win <= n_fft samples are windowed and zero padded to n_fft. centre: `reflect` or `zero` put frame t on
    sample t * hop by padding both ends; `none` takes whole frames only; `partial` starts at sample 0 and pads
    the last frame with zeros (as MATLAB's buffer does), `whole` starts there and leaves that frame out.
    normalised divides by the window's energy.
    `bins` keeps the first so many of the n_fft // 2 + 1. double transforms in float64; power is float32.
    """

    def __init__(
        self, n_fft: int, win: int, hop: int, *, window: str = "hann", centre: str = "reflect",
        normalised: bool = False, bins: int | None = None, double: bool = False,
    ):  # fmt: skip
        super().__init__()
        counts(n_fft=n_fft, hop=hop)
        within(1, n_fft, win=win)
        within(1, n_fft // 2 + 1, bins=bins)
        if window not in WINDOWS or centre not in CENTRES:
            raise ValueError(f"window {window!r} is not in {list(WINDOWS)} or centre {centre!r} not in {CENTRES}")
        self.n_fft, self.win, self.hop, self.centre = n_fft, win, hop, centre
        self.bins = n_fft // 2 + 1 if bins is None else bins
        self.dtype = torch.float64 if double else torch.float32
        values = WINDOWS[window](win, dtype=self.dtype)
        if normalised:
            values = values / values.square().sum().sqrt()
        if centre not in ("partial", "whole"):  # in the middle of n_fft, where torch.stft has it: equal rounding
            left = (n_fft - win) // 2
            values = F.pad(values, (left, n_fft - win - left))
        self.register_buffer("window", values, persistent=False)

    def clips_per_block(self, samples: int) -> int:
        """How many clips of `samples` are best taken at once on a processor: calls cost less among more, and more do
        not stay in its cache."""
        return max(BLOCK // (max(samples // self.hop, 1) * self.n_fft), 1)

    @property
    def min_samples(self) -> int:
        """The shortest clip that gives a frame under this kind of padding."""
        if self.centre == "reflect":
            return self.n_fft // 2 + 1
        return {"none": self.n_fft, "whole": self.win}.get(self.centre, 1)

    def frames(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, window) view of the padded signal, not windowed."""
        wave, half = wave.to(self.dtype), self.n_fft // 2
        if self.centre == "reflect":
            wave = mirrored(wave, half)
        elif self.centre == "zero":
            wave = F.pad(wave, (half, half))
        elif self.centre == "partial":
            count = max(math.ceil((wave.shape[1] - self.win) / self.hop), 0) + 1
            wave = F.pad(wave, (0, (count - 1) * self.hop + self.win - wave.shape[1]))
        return wave.unfold(-1, len(self.window), self.hop)

    def forward(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, bin) power.

        Of a long clip a processor takes as many frames at a time as stay in its cache: four minutes in float64 take up
        to three times as long at once, and hours do not fit into its memory.
        """
        frames = self.frames(wave)
        step = max(BLOCK // self.n_fft, 1)
        if wave.device.type != "cpu" or frames.shape[0] > 1 or frames.shape[1] <= 2 * step:
            return self._of(frames)
        power = torch.empty(1, frames.shape[1], self.bins)
        for start in range(0, frames.shape[1], step):
            power[:, start : start + step] = self._of(frames[:, start : start + step])
        return power

    def _of(self, frames: Tensor) -> Tensor:
        return squared(torch.fft.rfft(frames * self.window, n=self.n_fft)[..., : self.bins])


class Bank(nn.Module):
    """A product with a fixed matrix, a filter bank or a cosine transform: (batch, frame, bin) @ (bin, band).

    On a processor NumPy takes groups of 16 bands, each with only the bins that it touches, in half of torch's time:
    a matrix of triangles is mostly zeros, smaller groups cost more in calls than they save, and others do not fill
    a processor's lanes.
    """

    BANDS_PER_GROUP = 16
    ONE_THREAD = 1 << 18  # multiplications up to which OpenBLAS takes one thread for a product

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("weight", weight.float(), persistent=False)
        self.groups: list[tuple[int, int, np.ndarray]] = []  # the first band of each, its first bin, its weights
        for first in range(0, weight.shape[1], self.BANDS_PER_GROUP):
            columns = self.weight[:, first : first + self.BANDS_PER_GROUP]
            touched = columns.abs().sum(1).nonzero()[:, 0]
            low, high = (int(touched[0]), int(touched[-1]) + 1) if len(touched) else (0, 1)
            self.groups.append((first, low, columns[low:high].contiguous().numpy()))

    def forward(self, power: Tensor) -> Tensor:
        """(batch, frame, bin) -> (batch, frame, band)."""
        if power.device.type != "cpu":
            return power @ self.weight
        bands = np.empty((*power.shape[:2], self.weight.shape[1]), np.float32)
        for clip, out in zip(power.numpy(), bands, strict=True):
            self._of_clip(clip, out)
        return torch.from_numpy(bands)

    def _of_clip(self, power: np.ndarray, out: np.ndarray) -> None:
        """(frame, bin) into out (frame, band). Frames are taken so few at a time that OpenBLAS leaves them to one
        thread: with more, the last bit would hang on the number of threads, or on the clips beside this one."""
        for first, low, weight in self.groups:
            bins, bands = weight.shape
            step = max(self.ONE_THREAD // weight.size, 1)
            for start in range(0, len(power), step):
                rows = slice(start, start + step)
                np.matmul(power[rows, low : low + bins], weight, out=out[rows, first : first + bands])


def triangles(frequencies_hz: Tensor, edges_hz: Tensor) -> Tensor:
    """Unit-peak triangles at `frequencies_hz` (bin,): band b rises from edges[b] and ends at edges[b + 2].

    Raises ValueError where two edges are one.
    """
    width = edges_hz.diff()
    if not (width > 0).all():
        raise ValueError(f"{len(width) - 1} filters are too many: edges fall on one frequency")
    distance = edges_hz[None, :] - frequencies_hz[:, None]
    rising, falling = -distance[:, :-2] / width[:-1], distance[:, 2:] / width[1:]
    return torch.minimum(rising, falling).clamp(min=0)


def linear_bank(bins: int, high_hz: float, filters: int) -> Tensor:
    """(bin, filter) float64: triangles evenly spaced over 0..high_hz; the last bin lies at high_hz."""
    grid = torch.linspace(0, high_hz, bins, dtype=torch.float64)
    return triangles(grid, torch.linspace(0, high_hz, filters + 2, dtype=torch.float64))


def snapped_bank(bins: int, n_fft: int, high_hz: float, filters: int) -> Tensor:
    """(bin, filter) float64: `linear_bank` with its edges on bins floor((n_fft + 1) hz / rate), as spafe has them."""
    hz = torch.linspace(0, high_hz, filters + 2, dtype=torch.float64)
    edges = ((n_fft + 1) * hz / RATE_HZ).floor()
    return triangles(torch.arange(bins, dtype=torch.float64), edges)


def mel_bank(n_fft: int, bands: int, low_hz: float, high_hz: float, *, slaney_norm: bool) -> Tensor:
    """(bin, band) float64: triangles evenly spaced on the HTK mel scale; area-normalised if slaney_norm."""
    counts(bands=bands)
    band(low_hz, high_hz, lowest=0, highest=RATE_HZ // 2)
    grid = torch.linspace(0, RATE_HZ // 2, n_fft // 2 + 1, dtype=torch.float64)
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (low_hz, high_hz))
    edges = 700 * (10 ** (torch.linspace(low, high, bands + 2, dtype=torch.float64) / 2595) - 1)
    weight = triangles(grid, edges)
    return weight * (2 / (edges[2:] - edges[:-2])) if slaney_norm else weight


def dct(size: int, coefficients: int) -> Tensor:
    """(size, coefficients) float64: orthonormal DCT-II as a right factor. Rows beyond `size` mirror."""
    n = torch.arange(size, dtype=torch.float64)[:, None]
    k = torch.arange(coefficients, dtype=torch.float64)[None, :]
    matrix = torch.cos(math.pi / size * (n + 0.5) * k) * math.sqrt(2 / size)
    matrix[:, 0] /= math.sqrt(2)
    return matrix


def mirrored(wave: Tensor, half: int) -> Tensor:
    """(batch, sample) with `half` more samples at both ends, which mirror those beside the first and the last."""
    if wave.device.type != "cpu":
        return F.pad(wave, (half, half), mode="reflect")
    x = wave.numpy()
    return torch.from_numpy(np.concatenate((x[:, half:0:-1], x, x[:, -2 : -half - 2 : -1]), axis=1))


def squared(spectrum: Tensor) -> Tensor:
    """|z|^2 of complex numbers, as float32; torch takes twelve times as long for the magnitude alone."""
    if spectrum.device.type != "cpu":
        return spectrum.abs().square_().float()
    size = np.abs(spectrum.numpy())
    return torch.from_numpy(np.square(size, out=size)).float()


def pair_sums(x: Tensor) -> Tensor:
    """(..., 2) -> (...): the sum of each pair, for which sum() of torch takes fifty times as long."""
    if x.device.type != "cpu":
        return x[..., 0] + x[..., 1]
    pairs = x.numpy()
    return torch.from_numpy(np.add(pairs[..., 0], pairs[..., 1]))


def log_(x: Tensor) -> Tensor:
    """Natural logarithm, in place."""
    return _in_place(x, np.log, Tensor.log_)


def log10_(x: Tensor) -> Tensor:
    """Decimal logarithm, in place."""
    return _in_place(x, np.log10, Tensor.log10_)


def _in_place(x: Tensor, loop: np.ufunc, otherwise: Callable[[Tensor], Tensor]) -> Tensor:
    if x.device.type != "cpu":
        return otherwise(x)
    values = x.numpy()
    loop(values, out=values)
    return x


def bels(power: Tensor, top_db: float | None, *, over: str = "clip") -> Tensor:
    """log10(max(power, 1e-10)), not below that of the loudest of its clip (or of the whole batch) minus top_db.

    power (batch, frame, band) is overwritten.
    """
    if top_db is None:
        return log10_(power.clamp_(min=1e-10))
    peak = power.amax() if over == "batch" else power.amax(dim=(-2, -1), keepdim=True)
    return log10_(torch.maximum(power, (peak * 10 ** (-top_db / 10)).clamp_(min=1e-10), out=power))


def decibels(power: Tensor, top_db: float | None, *, over: str = "clip") -> Tensor:
    """Ten times `bels`."""
    return bels(power, top_db, over=over).mul_(10)


def difference(x: Tensor, scale: float = 1.0) -> Tensor:
    """scale * (x[t + 1] - x[t - 1]) along frames (batch, frame, dim), edges replicated."""
    padded = torch.cat([x[:, :1], x, x[:, -1:]], dim=1)
    return (padded[:, 2:] - padded[:, :-2]).mul_(scale)


def regression(x: Tensor, half: int) -> Tensor:
    """Slope over 2 half + 1 frames: sum n (x[t + n] - x[t - n]) / (2 sum n^2), edges replicated."""
    frames = x.shape[1]
    padded = torch.cat([x[:, :1].expand(-1, half, -1), x, x[:, -1:].expand(-1, half, -1)], dim=1)
    slope = sum(
        n * (padded[:, half + n : half + n + frames] - padded[:, half - n : half - n + frames])
        for n in range(1, half + 1)
    )
    return slope / (2 * sum(n * n for n in range(1, half + 1)))


def pre_emphasis(wave: Tensor, factor: float, *, reflect: bool = False) -> Tensor:
    """y[n] = x[n] - factor x[n-1]; before the first sample lies 0, or with `reflect` the second sample."""
    first = wave[:, :1] - factor * wave[:, 1:2] if reflect and wave.shape[1] > 1 else wave[:, :1]
    return torch.cat([first, torch.sub(wave[:, 1:], wave[:, :-1], alpha=factor)], dim=1)


def standardise(x: Tensor, floor: float, *, add: bool) -> Tensor:
    """Zero mean and unit (unbiased) deviation over frames and bands of each clip.

    add: divide by deviation + floor; else by the deviation, but not less than floor. The mean is taken in float64: of
    silence it is the silence, so that nothing is left to divide. torch.std_mean takes eight times as long.
    """
    centred = x - x.mean(dim=(-2, -1), keepdim=True, dtype=torch.float64).to(x.dtype)
    count = x.shape[-2] * x.shape[-1]
    deviation = (centred.square().sum(dim=(-2, -1), keepdim=True) / (count - 1)).sqrt()
    return centred.div_(deviation + floor if add else deviation.clamp(min=floor))
