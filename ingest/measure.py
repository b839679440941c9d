"""Cheap properties of one audio file, in one decode: they audit corpora and serve as shortcut probes.

Levels are of the mean of the channels, in dB re full scale, not below FLOOR_DB. A frame is 10 ms without overlap;
it is silent if its RMS lies SILENCE_DB or more below that of the loudest frame. The long-term spectrum is the mean
power of 1024-sample Hann windows without overlap, from LOWEST_HZ up: its bandwidth is the highest frequency
within BANDWIDTH_DB of its maximum, its tilt the least-squares slope in dB over octaves, and its edge the largest
fall of the level within half an octave above a fifth of the Nyquist frequency: where a low-pass filter has cut, as
resampling does, the spectrum ends in an edge; where the voice ends, it fades.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.audio import Header, Unreadable, opened

FRAME_S = 0.01
FLOOR_DB = -120.0
SILENCE_DB = 40.0
NOISE_PERCENTILE = 5
BANDWIDTH_DB = 60.0
LOWEST_HZ = 50.0
FULL_SCALE = 0.9999  # of full scale: 16-bit 32767 is 0.99997
_WINDOW = np.hanning(1025)[:-1].astype(np.float32)
_POWER_FLOOR = 10 ** (FLOOR_DB / 10)

SCHEMA = pa.schema(
    [
        ("file", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64()), ("fault", pa.string()),
        ("duration_s", pa.float64()), ("rate_hz", pa.int32()), ("channels", pa.int32()),
        ("container", pa.string()), ("subtype", pa.string()), ("bitrate_bps", pa.float64()),
        ("frames", pa.int64()), ("audio_hash", pa.string()),
        ("leading_silence_s", pa.float64()), ("trailing_silence_s", pa.float64()),
        ("loudness_db", pa.float64()), ("peak", pa.float64()), ("dc", pa.float64()),
        ("noise_floor_db", pa.float64()), ("bandwidth_hz", pa.float64()),
        ("edge_db", pa.float64()), ("tilt_db_per_octave", pa.float64()), ("zero_crossing_hz", pa.float64()),
        ("clipped_share", pa.float64()),
    ]
)  # fmt: skip
"""What measure() returns. `fault` says why a file does not decode; then all after it is null."""


def measure(path: Path | str) -> dict[str, Any]:
    """Decode `path` once and measure it: a row of SCHEMA. A file that does not decode has its `fault` set."""
    row: dict[str, Any] = {"file": str(path)}
    try:
        status = os.stat(path)
        row |= {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        with opened(path) as (header, blocks):
            row |= _measured(header, blocks)
        row["bitrate_bps"] = 8 * status.st_size / row["duration_s"]
    except Unreadable as error:
        row["fault"] = error.reason
    except OSError as error:
        row["fault"] = f"cannot be read ({error.strerror or error})"
    return row


def measure_all(paths: Iterable[Path | str]) -> pa.RecordBatch:
    """measure() of each path, as one batch of SCHEMA."""
    return pa.RecordBatch.from_pylist([measure(path) for path in paths], SCHEMA)


def _measured(header: Header, blocks: Iterable[np.ndarray]) -> dict[str, Any]:
    frame = max(1, round(header.rate_hz * FRAME_S))
    digest = hashlib.md5(usedforsecurity=False)
    samples = crossings = clipped = windows = 0
    peak, total, last = 0.0, 0.0, False
    power = np.zeros(_WINDOW.size // 2 + 1)
    energy = []
    for block in _of_size(blocks, frame * _WINDOW.size):
        digest.update(np.ascontiguousarray(block, "<f4"))
        highest = max(float(block.max()), -float(block.min()))
        if highest >= FULL_SCALE:
            clipped += np.count_nonzero(np.abs(block) >= FULL_SCALE)
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        negative = np.signbit(mono)
        crossings += np.count_nonzero(negative[1:] != negative[:-1])
        crossings += bool(samples) and bool(negative[0]) != last
        last, peak = bool(negative[-1]), max(peak, highest)
        total += float(mono.sum(dtype=np.float64))
        energy.append(_frame_energy(mono, frame, first=not samples))
        spectra = np.fft.rfft(_windows(mono, first=not samples))
        power += (spectra.real**2 + spectra.imag**2).sum(axis=0, dtype=np.float64)
        windows += len(spectra)
        samples += len(mono)
    duration_s = samples / header.rate_hz
    bandwidth_hz, edge_db, tilt = _spectrum(power / windows, header.rate_hz)
    leading_s, trailing_s, noise_db, loudness_db = _levels(np.concatenate(energy), frame, header.rate_hz)
    return {
        "duration_s": duration_s, "rate_hz": header.rate_hz, "channels": header.channels,
        "container": header.container, "subtype": header.subtype, "frames": samples,
        "audio_hash": digest.hexdigest(), "leading_silence_s": leading_s, "trailing_silence_s": trailing_s,
        "loudness_db": loudness_db, "peak": peak, "dc": total / samples, "noise_floor_db": noise_db,
        "bandwidth_hz": bandwidth_hz, "edge_db": edge_db, "tilt_db_per_octave": tilt,
        "zero_crossing_hz": crossings / duration_s, "clipped_share": clipped / (samples * header.channels),
    }  # fmt: skip


def _of_size(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of `size`, the last one shorter: no frame or window straddles two blocks."""
    kept: list[np.ndarray] = []
    for block in blocks:
        kept.append(block)
        if sum(map(len, kept)) >= size:
            whole = np.concatenate(kept)
            cut = len(whole) - len(whole) % size
            yield from np.split(whole[:cut], cut // size)
            kept = [whole[cut:]] if cut < len(whole) else []
    if kept:
        yield np.concatenate(kept) if len(kept) > 1 else kept[0]


def _windows(mono: np.ndarray, *, first: bool) -> np.ndarray:
    """The whole windows of a block, or what there is, if a file is shorter than one window; Hann weighted."""
    whole = len(mono) // _WINDOW.size
    if not whole and first:
        short = mono * np.hanning(len(mono) + 2)[1:-1].astype(np.float32)
        return np.pad(short, (0, _WINDOW.size - len(mono)))[None]
    return mono[: whole * _WINDOW.size].reshape(whole, _WINDOW.size) * _WINDOW


def _frame_energy(mono: np.ndarray, frame: int, *, first: bool) -> np.ndarray:
    """Mean square of each whole frame; of what there is, if a file is shorter than one frame."""
    whole = len(mono) // frame
    if not whole and first:
        return np.array([np.mean(mono.astype(np.float64) ** 2)])
    frames = mono[: whole * frame].reshape(whole, frame)
    return np.einsum("ij,ij->i", frames, frames).astype(np.float64) / frame


def _levels(energy: np.ndarray, frame: int, rate_hz: int) -> tuple[float, float, float, float]:
    """Leading and trailing silence in s, noise floor and loudness in dB."""
    loud = np.flatnonzero(energy > energy.max() * 10 ** (-SILENCE_DB / 10))
    frame_s = frame / rate_hz
    if loud.size:
        leading, trailing = loud[0], len(energy) - 1 - loud[-1]
    else:
        leading = trailing = len(energy)
    noise = np.percentile(energy, NOISE_PERCENTILE)
    return float(leading * frame_s), float(trailing * frame_s), _db(noise), _db(energy.mean())


def _db(power: float) -> float:
    return float(10 * np.log10(max(power, _POWER_FLOOR)))


def _spectrum(power: np.ndarray, rate_hz: int) -> tuple[float, float, float]:
    """Bandwidth in Hz, edge in dB and tilt in dB per octave of a long-term power spectrum (bin,)."""
    frequency = np.arange(power.size) * rate_hz / _WINDOW.size
    heard = frequency >= LOWEST_HZ
    if not heard.any() or not power[heard].max() > 0:
        return 0.0, 0.0, 0.0
    level_db = 10 * np.log10(np.maximum(power, power[heard].max() * _POWER_FLOOR))
    edge_db = _edge(level_db)
    frequency, power, level_db = frequency[heard], power[heard], level_db[heard]
    bandwidth_hz = frequency[np.flatnonzero(power >= power.max() * 10 ** (-BANDWIDTH_DB / 10))[-1]]
    octave = np.log2(frequency)
    octave -= octave.mean()
    return float(bandwidth_hz), edge_db, float((octave * level_db).sum() / (octave**2).sum())


_BELOW = np.linspace(0.2, 0.667, 60)  # of the Nyquist frequency: the upper ends of the bands below the edge
_BANDS = np.round(
    np.stack([0.94 * _BELOW, _BELOW, np.sqrt(2) * _BELOW, 1.06 * np.sqrt(2) * _BELOW]) * (_WINDOW.size // 2)
).astype(int)


def _edge(level_db: np.ndarray) -> float:
    """Largest fall from a band of a twelfth of an octave to the one half an octave above."""
    sums = np.concatenate([[0.0], np.cumsum(level_db)])
    low, low_end, high, high_end = _BANDS
    below = (sums[low_end + 1] - sums[low]) / (low_end + 1 - low)
    above = (sums[high_end + 1] - sums[high]) / (high_end + 1 - high)
    return float((below - above).max())
