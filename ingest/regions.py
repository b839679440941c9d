"""Active regions of long recordings, found and cut while decoding: memory does not grow with the length."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ingest import audio

FRAME_S = 0.02
SHORTEST_S, LONGEST_S = 3.0, 30.0  # SingFake keeps voice of at least 3 s; we split what is longer than 30 s
_SMOOTH_S = 0.3  # gaps and clicks shorter than about this are no change of state
_RANGE_DB = 30.0  # at least this far below the loud passages is silence
_SILENT_DB = -60.0  # a recording whose loud passages are below this holds nothing
_FLOOR_DB = -100.0
_PAD_S = 0.1  # context of the resampler, many times its window


def levels(path: Path) -> np.ndarray:
    """(frame,) float64: RMS level of the mean channel per FRAME_S, in dB re full scale, at least -100.

    Raises audio.Unreadable if the file does not decode whole.
    """
    header, blocks = audio.decoded(path)
    powers, left = [], np.zeros(0, np.float32)
    frame = FRAME_S * header.rate_hz  # not a whole number at every rate: edges are rounded one by one
    start, count = 0, 0
    for block in blocks:
        left = np.concatenate([left, block.mean(axis=1)])
        end = start + left.size
        last = int(end / frame)
        if last > count:
            edges = np.round(np.arange(count, last + 1) * frame).astype(np.int64) - start
            sums = np.add.reduceat(np.square(left[: edges[-1]], dtype=np.float64), edges[:-1])
            powers.append(sums / np.diff(edges))
            left, start, count = left[edges[-1] :], start + int(edges[-1]), last
    power = np.concatenate(powers) if powers else np.zeros(0)
    return np.maximum(10 * np.log10(np.maximum(power, 1e-12)), _FLOOR_DB)


def active(level_db: np.ndarray) -> list[tuple[float, float]]:
    """(begin, end) in seconds of every region of at least SHORTEST_S that is louder than silence.

    level_db: as from levels(), of a vocal stem or, for want of one, of the mixture. Silence is whatever lies below
    the middle between the loudest and the softest frames (5th and 95th percentile), or 30 dB below the loudest,
    whichever is less. Regions longer than LONGEST_S are split at their softest frames.
    """
    if not level_db.size:
        return []
    smooth = _smoothed(level_db)
    soft, loud = np.percentile(smooth, [5, 95])
    if loud < _SILENT_DB:
        return []
    on = smooth > loud - max(_RANGE_DB, (loud - soft) / 2)
    edge = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    regions = []
    for begin, end in zip(edge[::2], edge[1::2]):
        regions += _split(smooth, int(begin), int(end))
    return [(b * FRAME_S, e * FRAME_S) for b, e in regions if (e - b) * FRAME_S >= SHORTEST_S - FRAME_S / 2]


def cut(path: Path, regions: Sequence[tuple[float, float]]) -> Iterator[np.ndarray]:
    """float32 (sample, channel) at 16 kHz of each region, in order; the same samples as of the whole file resampled.

    regions: (begin, end) in seconds, in order and apart. Regions beyond the end give what there is, maybe nothing.
    """
    header, blocks = audio.decoded(path)
    rate_hz = header.rate_hz
    step = rate_hz // math.gcd(rate_hz, audio.RATE_HZ)  # so many input samples are a whole number of output samples
    spans = [_span(region, rate_hz, step) for region in regions]
    held, start = np.zeros((0, header.channels), np.float32), 0
    waiting = list(zip(regions, spans))
    for block in blocks:
        held = np.concatenate([held, block])
        while waiting and start + len(held) >= waiting[0][1][1]:
            region, (first, last) = waiting.pop(0)
            yield _resampled(held[first - start : last - start], first, rate_hz, region)
        needed = min(waiting[0][1][0] if waiting else start + len(held), start + len(held))
        held, start = held[needed - start :], needed
    for region, (first, last) in waiting:
        yield _resampled(held[max(0, first - start) : last - start], max(first, start), rate_hz, region)


def _smoothed(level_db: np.ndarray) -> np.ndarray:
    width = max(1, round(_SMOOTH_S / FRAME_S)) | 1
    power = np.pad(10 ** (level_db / 10), width // 2, mode="edge")
    mean = np.convolve(power, np.full(width, 1 / width), mode="valid")
    return 10 * np.log10(np.maximum(mean, 10 ** (_FLOOR_DB / 10)))


def _split(level_db: np.ndarray, begin: int, end: int) -> list[tuple[int, int]]:
    longest = round(LONGEST_S / FRAME_S)
    parts = []
    while end - begin > longest:
        middle = begin + longest // 2
        at = middle + int(np.argmin(level_db[middle : begin + longest]))
        parts.append((begin, at))
        begin = at
    return [*parts, (begin, end)]


def _span(region: tuple[float, float], rate_hz: int, step: int) -> tuple[int, int]:
    first = max(0, int((region[0] - _PAD_S) * rate_hz)) // step * step
    return first, int((region[1] + _PAD_S) * rate_hz) + 1


def _resampled(held: np.ndarray, first: int, rate_hz: int, region: tuple[float, float]) -> np.ndarray:
    wave = audio.resampled(np.ascontiguousarray(held.T), rate_hz).T if len(held) else held
    origin = first * audio.RATE_HZ // rate_hz
    begin, end = (int(edge * audio.RATE_HZ) - origin for edge in region)
    return wave[max(0, begin) : max(0, end)]
