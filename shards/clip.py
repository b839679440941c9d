"""One source file to one shard member: 16 kHz mono, FLAC or WAV bytes.

FLAC holds 16 bits where those hold the samples exactly, as they do for 16 kHz sources, else 24. Resampling can
overshoot full scale; such a clip becomes WAV of 32-bit floats, because clipping it would move the scores of
published detectors in the second decimal. PCM shards hold 16-bit WAV, and floats where those would clip.
"""

import io
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile

from ingest import audio
from ingest.types import DataError
from shards import tar

RATE_HZ = 16_000
AUDIO_CODECS = ("flac", "pcm")
_JSON_BYTES = 2048  # an upper bound for the labels of up to _TEXT_BYTES; for more, six bytes a byte (\u001f)
_TEXT_BYTES = 1024
_FLAC_HEAD_BYTES, _WAV_HEAD_BYTES = 8192, 44


def encoded(row: dict[str, Any], audio_codec: str) -> tuple[str, bytes, int]:
    """Extension, bytes and length in samples of the member that one catalog row becomes.

    row: file, as_is, size_bytes and mtime_ns as of ingest, utt_id, corpus. A source that is 16 kHz mono 16-bit
    FLAC already goes into a FLAC shard byte for byte. Raises DataError if the file is missing, damaged, or
    not the one that was ingested.
    """
    try:
        if row["as_is"] and audio_codec == "flac":
            data = _unchanged_bytes(row, row["file"])
            samples = plain_flac_samples(data)
            if samples:
                return "flac", data, samples
        samples = _wave(row)
    except (OSError, audio.Unreadable) as error:
        raise _unusable(row, error) from None
    return *encode(samples, audio_codec), len(samples)


def wave(row: Mapping[str, Any]) -> np.ndarray:
    """float32 (sample,) at 16 kHz: the clip of one catalog row. Raises DataError as encoded() does."""
    try:
        return _wave(row)
    except (OSError, audio.Unreadable) as error:
        raise _unusable(row, error) from None


def read(row: Mapping[str, Any]) -> tuple[np.ndarray, int]:
    """float32 (channel, sample) and rate in Hz of one catalog row as published. Raises DataError as encoded() does."""
    path = row["file"]
    try:
        _check_unchanged(row, os.stat(path), path)
        samples = audio.load(path)
        _check_unchanged(row, os.stat(path), path)
    except (OSError, audio.Unreadable) as error:
        raise _unusable(row, error) from None
    return samples


def _wave(row: Mapping[str, Any]) -> np.ndarray:
    path = row["file"]
    _check_unchanged(row, os.stat(path), path)
    samples = audio.mono16k(path)
    _check_unchanged(row, os.stat(path), path)
    return samples


def _unusable(row: Mapping[str, Any], error: Exception) -> DataError:
    """What is wrong with the source of one catalog row, and what to do."""
    which = f"{row['corpus']}: {row['file']} ({row['utt_id']})"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return DataError(
            f"{which} is missing though it was there at ingest; "
            f"put it back, or run: python -m ingest {row['corpus']} --root DIR"
        )
    if isinstance(error, OSError):
        return DataError(f"{which} cannot be read ({error.strerror})")
    return DataError(
        f"{which} {error.reason}, though it was sound at ingest; "
        f"restore it, or run: python -m ingest {row['corpus']} --root DIR"
    )


def encode(wave: np.ndarray, audio_codec: str) -> tuple[str, bytes]:
    """float32 (sample,) at 16 kHz, full scale 1, to a file: its extension (flac or wav) and bytes."""
    if wave.min() < -1 or wave.max() > 1:
        return "wav", wav_header(len(wave), 4) + wave.astype("<f4").tobytes()
    if audio_codec == "pcm":
        return "wav", b"".join((wav_header(len(wave), 2), quantised(wave, 16, "<i2")))
    buffer, scaled = io.BytesIO(), wave * np.float32(32768)
    if np.array_equal(scaled, np.rint(scaled)) and scaled.max() <= 32767:
        soundfile.write(buffer, scaled.astype(np.int16), RATE_HZ, format="FLAC", subtype="PCM_16")
    else:
        soundfile.write(buffer, quantised(wave, 24) << 8, RATE_HZ, format="FLAC", subtype="PCM_24")
    return "flac", buffer.getvalue()


def quantised(wave: np.ndarray, bits: int, dtype: str = "<i4") -> np.ndarray:
    """float (sample,), full scale 1, to integers of so many bits: rounded to nearest, clipped, no dither.

    Up to 24 bits no step loses anything in float32: the scale is a power of two, and the ends are whole numbers.
    """
    full = 1 << bits - 1
    scaled = np.multiply(wave, wave.dtype.type(full))
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -full, full - 1, out=scaled).astype(dtype)


def wav_header(samples: int, width: int) -> bytes:
    """The 44 bytes before the samples of a 16 kHz mono WAV file; width 2: 16-bit integers, 4: floats."""
    size, kind = width * samples, {2: 1, 4: 3}[width]
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, kind, 1, RATE_HZ, width * RATE_HZ, width,
        8 * width, b"data", size,
    )  # fmt: skip


def plain_flac_samples(data: bytes) -> int:
    """Samples of a FLAC file that is 16 kHz mono 16 bit by its STREAMINFO block; 0 for any other."""
    if data[:4] != b"fLaC" or data[4] & 0x7F != 0 or len(data) < 42:
        return 0
    packed = int.from_bytes(data[18:26], "big")  # rate 20 bits, channels - 1: 3, bits - 1: 5, samples: 36
    rate_hz, channels, bits = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    return packed & (1 << 36) - 1 if (rate_hz, channels, bits) == (RATE_HZ, 1, 16) else 0


def at_most_samples(table: pa.Table) -> np.ndarray:
    """For each planned row, float64 samples at 16 kHz that it cannot exceed."""
    return np.ceil(table["duration_s"].to_numpy() * RATE_HZ) + 1


def at_most_bytes(table: pa.Table, audio_codec: str) -> np.ndarray:
    """For each planned row, int64 bytes of tar that it cannot exceed; known before any audio is read."""
    samples = at_most_samples(table)
    narrow, as_is = (table[name].to_numpy(zero_copy_only=False) for name in ("narrow", "as_is"))
    if audio_codec == "pcm":
        size = np.where(narrow, 2, 4) * samples + _WAV_HEAD_BYTES
    else:  # incompressible audio is stored verbatim, a few bytes a frame on top
        source = np.nan_to_num(table["size_bytes"].to_numpy(zero_copy_only=False).astype(float))
        size = np.where(as_is, source, np.where(narrow, 3.03, 4.0) * samples + _FLAC_HEAD_BYTES)
    return _tar_bytes(size, table)


def at_most_bytes_made(samples: np.ndarray, table: pa.Table) -> np.ndarray:
    """For clips made here of so many samples, int64 bytes of tar that none exceeds: floats where 16 bits would clip.

    table: their planned rows.
    """
    return _tar_bytes(4 * samples + _FLAC_HEAD_BYTES, table)


def _tar_bytes(size: np.ndarray, table: pa.Table) -> np.ndarray:
    return _blocks(size) + _label_bytes(table) + 2 * _header_bytes(table["utt_id"])


def _blocks(size: np.ndarray) -> np.ndarray:
    return np.ceil(size / tar.BLOCK).astype(np.int64) * tar.BLOCK


def _label_bytes(table: pa.Table) -> np.ndarray:
    """For each row, bytes of tar that its labels as JSON do not exceed; the path is not among these."""
    text = np.zeros(table.num_rows, np.int64)
    for name in table.column_names:
        if pa.types.is_string(table[name].type) and name != "file":
            text += pc.fill_null(pc.binary_length(table[name]), 0).to_numpy()
    return np.where(text > _TEXT_BYTES, _blocks(6 * text) + tar.BLOCK, _JSON_BYTES)


def _header_bytes(utt_ids: pa.ChunkedArray) -> np.ndarray:
    """For each utterance, bytes of the tar header of one member: more than a block where the name is long or not ASCII.

    Of those the length counts alone, so one header is made for each.
    """
    length = pc.binary_length(utt_ids).to_numpy()
    plain = pc.string_is_ascii(utt_ids).to_numpy(zero_copy_only=False) & (length + len(".json") <= 100)
    found, which = np.unique(np.where(plain, 0, length), return_inverse=True)
    return np.array([len(tar.header(f"{'é' + 'x' * (n - 2) if n else ''}.json", 0)) for n in found.tolist()])[which]


def _unchanged_bytes(row: dict[str, Any], path: str) -> bytes:
    """The whole file; its state is asked of the open file, before and after, so that no other can slip in."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = _check_unchanged(row, os.fstat(handle), path)
        data = os.read(handle, size + 1)
        while 0 < len(data) < size and (more := os.read(handle, size + 1 - len(data))):
            data += more  # one read gives at most 2 GiB
        _check_unchanged(row, os.fstat(handle), path)
        if len(data) != size:
            raise audio.Unreadable(path, f"changed while it was read ({size} bytes, then {len(data)})")
        return data
    finally:
        os.close(handle)


def _check_unchanged(row: dict[str, Any], now: os.stat_result, path: str) -> int:
    """The size of the file; DataError if it is not the one that was ingested."""
    if row["size_bytes"] is not None and (now.st_size, now.st_mtime_ns) != (row["size_bytes"], row["mtime_ns"]):
        raise DataError(
            f"{row['corpus']}: {path} ({row['utt_id']}) has changed since ingest ({row['size_bytes']} bytes then, "
            f"{now.st_size} now); run again: python -m ingest {row['corpus']} --root DIR"
        )
    return now.st_size
