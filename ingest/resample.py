"""The one way to 16 kHz, for files of any length and rate: whole, in pieces, and without huge filters.

All three compute what `torchaudio.functional.resample` does by default (sinc filter under a squared cosine, six zero
crossings wide, cut at 0.99 of the lower Nyquist frequency): `resampled` takes a whole wave, `Resampler` a stream of
blocks, and `direct`, to which both turn where they must, any rate.
torchaudio lays its filters out as one row per output phase, each as long as the input period: 44,101 Hz would take
2.8 GB of them, so such rates are computed sample by sample.
"""

import functools
import math

import numpy as np

RATE_HZ = 16_000
_LANES, _LONG = 16, 1 << 15  # fewer samples (20,480) PyTorch convolves by another routine, which adds up otherwise
ZEROS, ROLLOFF = 6, 0.99
LARGEST_FILTER = 1 << 24  # elements: 64 MiB
_WEIGHTS_PER_BLOCK = 1 << 20


def resampled(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """float32 (..., sample) at rate_hz -> float32 (..., sample) at 16 kHz; as it is where that is its rate."""
    if rate_hz == RATE_HZ:
        return wave
    import torch
    from torch.nn import functional
    from torchaudio.functional import functional as torchaudio

    if large(rate_hz):
        return direct(wave, rate_hz)
    common, (filters, width) = math.gcd(rate_hz, RATE_HZ), _kernel(rate_hz)
    if wave.size < _LONG or len(filters) >= _LANES:
        convolve = torchaudio._apply_sinc_resample_kernel
        return convolve(torch.from_numpy(wave), rate_hz, RATE_HZ, common, filters, width).numpy()
    filters, step = _side_by_side(rate_hz)
    out, clips = samples_out(wave.shape[-1], rate_hz), torch.from_numpy(wave).view(-1, 1, wave.shape[-1])
    whole = -(-out // len(filters)) * step + 2 * width
    padded = functional.pad(clips, (width, whole - width - wave.shape[-1]))
    y = functional.conv1d(padded, filters, stride=step).transpose(1, 2).reshape(len(clips), -1)
    return y[:, :out].reshape(*wave.shape[:-1], out).numpy()


@functools.lru_cache(maxsize=16)
def _side_by_side(rate_hz: int) -> tuple:
    """The filters of several periods (filter, 1, tap), and how many input samples all of these take.

    Few filters leave a processor's lanes empty: those of a period are repeated, each time a period later, until there
    are about 16. The taps added are zeros, so every sum keeps its value to the bit.
    """
    import torch

    filters, _ = _kernel(rate_hz)
    (old, new), taps = reduced(rate_hz), filters.shape[-1]
    periods = _LANES // new
    wide = torch.zeros(periods * new, 1, (periods - 1) * old + taps)
    for i in range(periods):
        wide[i * new : (i + 1) * new, :, i * old : i * old + taps] = filters
    return wide, periods * old


@functools.lru_cache(maxsize=16)
def _kernel(rate_hz: int) -> tuple:
    """The filter of torchaudio.functional.resample, which builds it at every call: most of a clip's time."""
    import torch
    from torchaudio.functional import functional

    common = math.gcd(rate_hz, RATE_HZ)
    return functional._get_sinc_resample_kernel(
        rate_hz, RATE_HZ, common, device=torch.device("cpu"), dtype=torch.float32
    )


def reduced(rate_hz: int) -> tuple[int, int]:
    """(input, output) samples of one period of the conversion to 16 kHz: (441, 160) for 44,100 Hz."""
    common = math.gcd(rate_hz, RATE_HZ)
    return rate_hz // common, RATE_HZ // common


def reach(rate_hz: int) -> int:
    """Input samples that one output sample sees to either side."""
    old, new = reduced(rate_hz)
    return math.ceil(ZEROS * old / (min(old, new) * ROLLOFF))


def large(rate_hz: int) -> bool:
    """Whether torchaudio's filters for this rate are too large to be laid out."""
    old, new = reduced(rate_hz)
    return new * (old + 2 * reach(rate_hz)) > LARGEST_FILTER


def samples_out(samples: int, rate_hz: int) -> int:
    """Samples at 16 kHz that so many samples at rate_hz become."""
    old, new = reduced(rate_hz)
    return -(-samples * new // old)


def direct(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """float32 (..., sample) at rate_hz -> float32 (..., sample) at 16 kHz, each sample by its own sum."""
    whole = samples_out(wave.shape[-1], rate_hz)
    return _sums(wave, rate_hz, origin=0, first=0, last=whole)


def _sums(wave: np.ndarray, rate_hz: int, *, origin: int, first: int, last: int) -> np.ndarray:
    """Output samples first..last (exclusive) of a stream whose input sample `origin` is wave[..., 0]; zeros around."""
    old, new = reduced(rate_hz)
    width, cut = reach(rate_hz), min(old, new) * ROLLOFF
    offset = np.arange(-width, width + 2)
    out = np.empty((*wave.shape[:-1], last - first), np.float32)
    step = max(1, _WEIGHTS_PER_BLOCK // offset.size)
    for start in range(first, last, step):
        at = np.arange(start, min(start + step, last), dtype=np.int64)
        centre, part = np.divmod(at * old, new)  # whole numbers: no drift, however long the stream
        t = ((offset / old)[None] - (part / (new * old))[:, None]) * cut
        weight = np.sinc(t) * np.cos(np.clip(t / ZEROS, -1, 1) * (np.pi / 2)) ** 2 * (cut / old)
        place = centre[:, None] + offset - origin
        there = (place >= 0) & (place < wave.shape[-1])
        taken = wave[..., np.clip(place, 0, wave.shape[-1] - 1)]
        out[..., start - first : start - first + at.size] = (taken * (weight * there)).sum(-1)
    return out


class Resampler:
    """A stream of blocks to 16 kHz: resampler.push(block) for each, then resampler.end(); (sample,) float32 in and out.

    Together the pieces are the resampled whole, to the rounding of float32.
    """

    def __init__(self, rate_hz: int):
        self.rate_hz, self._taken, self._given = rate_hz, 0, 0
        self._by_sum = large(rate_hz)
        self._width = reach(rate_hz)
        self._old, self._new = reduced(rate_hz)
        self._kept = np.zeros(0 if self._by_sum else self._width, np.float32)

    def push(self, block: np.ndarray) -> np.ndarray:
        """The output that these samples complete."""
        self._taken += len(block)
        if self.rate_hz == RATE_HZ:
            return block
        self._kept = np.concatenate([self._kept, block])
        return self._sum() if self._by_sum else self._convolve()

    def end(self) -> np.ndarray:
        """The output that only the end of the stream completes."""
        if self.rate_hz == RATE_HZ:
            return np.zeros(0, np.float32)
        whole, given = samples_out(self._taken, self.rate_hz), self._given
        if self._by_sum:
            return self._sum(whole)
        self._kept = np.pad(self._kept, (0, self._width + self._old))
        return self._convolve()[: whole - given]

    def _sum(self, last: int | None = None) -> np.ndarray:
        origin = self._taken - len(self._kept)
        if last is None:
            last = max(self._given, (self._taken - self._width - 2) * self._new // self._old)
        out = _sums(self._kept, self.rate_hz, origin=origin, first=self._given, last=last)
        self._given = last
        needed = max(origin, last * self._old // self._new - self._width)
        self._kept = self._kept[needed - origin :]
        return out

    def _convolve(self) -> np.ndarray:
        import torch
        from torch.nn import functional

        period = self._old + 2 * self._width
        frames = (len(self._kept) - period) // self._old + 1
        if frames < 1:
            return np.zeros(0, np.float32)
        used = torch.from_numpy(self._kept[: (frames - 1) * self._old + period])
        filters, _ = _kernel(self.rate_hz)
        out = functional.conv1d(used[None, None], filters, stride=self._old)[0].T.reshape(-1).numpy()
        self._kept = self._kept[frames * self._old :]
        self._given += out.size
        return out
