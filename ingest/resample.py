"""The one way to 16 kHz, for files of any length and rate: in pieces, and without huge filters.

Both forms compute what `torchaudio.functional.resample` does by default (sinc filter under a squared cosine, six zero
crossings wide, cut at 0.99 of the lower Nyquist frequency): `Resampler` takes a stream of blocks, `direct` any rate.
torchaudio lays its filters out as one row per output phase, each as long as the input period: 44,101 Hz would take
2.8 GB of them, so such rates are computed sample by sample.
"""

import math

import numpy as np

from ingest import audio

ZEROS, ROLLOFF = 6, 0.99
LARGEST_FILTER = 1 << 24  # elements: 64 MiB
_WEIGHTS_PER_BLOCK = 1 << 20


def reduced(rate_hz: int) -> tuple[int, int]:
    """(input, output) samples of one period of the conversion to 16 kHz: (441, 160) for 44,100 Hz."""
    common = math.gcd(rate_hz, audio.RATE_HZ)
    return rate_hz // common, audio.RATE_HZ // common


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
        if self.rate_hz == audio.RATE_HZ:
            return block
        self._kept = np.concatenate([self._kept, block])
        return self._sum() if self._by_sum else self._convolve()

    def end(self) -> np.ndarray:
        """The output that only the end of the stream completes."""
        if self.rate_hz == audio.RATE_HZ:
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
        kernel, _ = audio.kernel(self.rate_hz)
        out = functional.conv1d(used[None, None], kernel, stride=self._old)[0].T.reshape(-1).numpy()
        self._kept = self._kept[frames * self._old :]
        self._given += out.size
        return out
