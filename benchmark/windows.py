"""A recording of any length as the benchmark would hear it: 16 kHz, mono, in windows of the detector's own length.

A short file is resampled whole, by the very call that made the shards; a longer one in pieces that agree with it to
float32 rounding, and what does not fit into KEPT_SAMPLES goes to a nameless temporary file. So memory does not grow
with the length of the file.
"""

import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmark import level
from ingest import audio
from ingest.audio import RATE_HZ, Header, Unreadable
from ingest.files import writable
from ingest.resample import Resampler
from shards.vocals import Separator

WHOLE_SAMPLES = 1 << 23  # of the source: files up to three minutes of 44.1 kHz go through the shards' resampler
KEPT_SAMPLES = 1 << 22  # 16 MiB of float32: four minutes at 16 kHz
LONGEST_S = 12 * 3600.0
VOICE_S = 1200.0  # a song of this length takes 3 GB while it is separated
VOICE_SAMPLES = int(VOICE_S * 2 * 48_000)  # over all channels
_STEPS = np.float32(1 << 23)  # of 24 bits
_PIECE = 1 << 20


class TooLong(Unreadable):
    """A file that lasts longer than was allowed."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One decoded file; `wave` (sample,) float32 at 16 kHz may lie on disk, so take parts of it by `cut`."""

    path: str
    header: Header
    wave: np.ndarray
    peak: float  # largest magnitude, as decoded and resampled
    divisor: float = 1.0  # of every sample that is cut

    @property
    def duration_s(self) -> float:
        """Length after resampling."""
        return self.wave.size / RATE_HZ

    @property
    def overshoots(self) -> bool:
        """Resampling went beyond full scale: a shard keeps such a clip in floats, any other in 24 bits."""
        return self.peak > 1

    def cut(self, start: int, stop: int) -> np.ndarray:
        """Samples start..stop (exclusive), float32, rounded as a FLAC shard rounds them: what the benchmark scores."""
        part = np.array(self.wave[start:stop])
        _forget(self.wave)
        if not self.overshoots:
            part = np.clip(np.rint(part * _STEPS), -_STEPS, _STEPS - 1) / _STEPS + 0.0  # whole numbers have one zero
        return part / self.divisor

    def at(self, how: str) -> "Recording":
        """The recording at the level of a detector's input (benchmark.level); its peak is found piece by piece."""
        if how != "clip_peak":
            return self
        pieces = (self.cut(start, start + _PIECE) for start in range(0, self.wave.size, _PIECE))
        return replace(self, divisor=level.divisor(max((np.abs(piece).max() for piece in pieces), default=0)))


def read(path: Path | str, *, longest_s: float = LONGEST_S) -> Recording:
    """Decode and resample a file that libsndfile or FFmpeg reads. Raises Unreadable, also if it lasts too long."""
    with audio.opened(path) as (header, blocks):
        limited = _no_longer(path, blocks, longest_s, header.rate_hz)
        whole, rest = _head(audio.mono(limited))
        if rest is None:
            wave = audio.resampled(whole, header.rate_hz)
        else:
            wave = _spooled(_resampled(whole, rest, header.rate_hz))
    return Recording(str(path), header, wave, _peak(wave))


def voice(path: Path | str, separator: Separator, *, longest_s: float = LONGEST_S) -> Recording:
    """The singing voice of a file, as `python -m shards vocals` would keep it; the separator needs the file whole.

    Raises Unreadable, also if it lasts longer than longest_s, or than the memory for VOICE_S allows.
    """
    with audio.opened(path) as (header, blocks):
        most_s = min(VOICE_S, VOICE_SAMPLES / (header.rate_hz * header.channels))
        hint = (
            "raise --longest or cut it" if longest_s < most_s else "cut it: what is separated is held in memory whole"
        )
        limited = _no_longer(path, blocks, min(longest_s, most_s), header.rate_hz, hint)
        mix = np.ascontiguousarray(np.concatenate(list(limited)).T)
    (wave,) = separator.vocals([(mix, header.rate_hz)])
    return Recording(str(path), header, wave, _peak(wave))


def starts(length: int, samples: int, overlap: float = 0.5) -> list[int]:
    """Where windows of `samples` begin in `length` samples; the last one ends with the recording.

    A recording shorter than a window has one that begins at 0. overlap: share of a window that the next repeats.
    """
    if length <= samples:
        return [0]
    step = max(1, round(samples * (1 - overlap)))
    found = list(range(0, length - samples + 1, step))
    return found if found[-1] == length - samples else [*found, length - samples]


def _no_longer(
    path: Path | str, blocks: Iterator[np.ndarray], longest_s: float, rate_hz: int,
    hint: str = "raise --longest or cut it",
) -> Iterator[np.ndarray]:  # fmt: skip
    left = longest_s * rate_hz
    for block in blocks:
        left -= len(block)
        if left < 0:
            raise TooLong(path, f"lasts longer than {_time(longest_s)}; {hint}")
        yield block


def _time(seconds: float) -> str:
    return f"{seconds / 3600:g} hours" if seconds >= 3600 else f"{seconds / 60:.3g} minutes"


def _head(blocks: Iterator[np.ndarray]) -> tuple[np.ndarray, Iterator[np.ndarray] | None]:
    """The whole recording and None, or its beginning and the blocks that follow."""
    parts, size = [], 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size > WHOLE_SAMPLES:
            return np.concatenate(parts), blocks
    return np.concatenate(parts), None


def _resampled(first: np.ndarray, rest: Iterator[np.ndarray], rate_hz: int) -> Iterator[np.ndarray]:
    resampler = Resampler(rate_hz)
    for part in np.array_split(first, 16):
        yield resampler.push(part)
    for block in rest:
        yield resampler.push(block)
    yield resampler.end()


def _spooled(parts: Iterator[np.ndarray]) -> np.ndarray:
    """The parts as one array: in memory, or mapped from a file without a name, which goes when the array goes."""
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += part.size
        if size > KEPT_SAMPLES:
            break
    else:
        return np.concatenate(kept)
    with writable(Path(tempfile.gettempdir())), tempfile.TemporaryFile(prefix="siren-") as file:
        for part in kept:
            file.write(part.tobytes())
        kept.clear()
        for part in parts:
            file.write(part.tobytes())
            size += part.size
        file.flush()
        return np.memmap(file, np.float32, mode="r", shape=(size,))


def _peak(wave: np.ndarray) -> float:
    highest = 0.0
    for start in range(0, wave.size, _PIECE):
        highest = max(highest, float(np.abs(wave[start : start + _PIECE]).max()))
        _forget(wave)
    return highest


def _forget(wave: np.ndarray) -> None:
    """Let go of the pages of a mapped file: they would count as this process's memory as long as it lives."""
    if isinstance(wave, np.memmap):
        wave._mmap.madvise(mmap.MADV_DONTNEED)
