"""Audio files as they are: header and decoding to float32, as published or as 16 kHz mono.

libsndfile decodes what it knows (FLAC, WAV, Ogg); MP3 and everything else goes through PyAV, FFmpeg's libraries.
"""

import contextlib
import functools
import importlib.metadata
import itertools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile

from ingest import confined, endings
from ingest.resample import RATE_HZ as RATE_HZ  # of what mono16k gives
from ingest.resample import resampled
from ingest.types import DataError

_BLOCK_SAMPLES = 1 << 19
_INT16 = np.float32(1 / 32768)
_SHORTFALL_S = 0.2  # FFmpeg's durations are of the container, whose encoder delay and padding are not heard
_LOUDEST = 2.0**40  # times full scale: sums of squares stay finite, and so do integers that were stored as they are
# Containers of bare frames, whose length FFmpeg takes from the bit rate of the first ones and the size of the file: a
# soft beginning doubles it, and so does a picture behind the sound. What MP3 says of its length, `endings` compares.
_GUESSED = frozenset(("aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "latm", "loas", "mlp", "mp3", "truehd"))
_CPU_S, _CPU_SHARE = 60.0, 0.25  # a file may take so much processor time, and this share of the time that it sounds
_LONGEST_S = 48 * 3600.0
_FASTEST_HZ = 1 << 20  # FLAC's highest; what lists of samples a frame or a filter take grows with the rate
OTHER_PYAV = "install a PyAV whose FFmpeg has it: that of make setup has all but libgsm"
T = TypeVar("T")


class Unreadable(DataError):
    """A file that does not decode whole; `reason` says why, in a few words."""

    def __init__(self, path: Path | str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self):
        return Unreadable, (self.path, self.reason)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself; `frames` are samples per channel, 0 where the container does not say.

    container and subtype are libsndfile's words (FLAC, PCM_16), or FFmpeg's, which are lower case (mp3, aac). tracks:
    how many pieces of sound there are, as in a film of several languages; the first one is what is decoded.
    """

    container: str
    subtype: str
    rate_hz: int
    channels: int
    frames: int
    tracks: int = 1


def header(path: Path | str) -> Header:
    """Read the header alone. Raises Unreadable if the file is not audio that can be opened."""
    with opened(path) as (found, _):
        return found


def load(path: Path | str) -> tuple[np.ndarray, int]:
    """Decode a file: float32 (channel, sample), full scale = 1, and its rate in Hz. Raises Unreadable."""
    with opened(path) as (found, blocks):
        parts = list(blocks)
        return np.ascontiguousarray((parts[0] if len(parts) == 1 else np.concatenate(parts)).T), found.rate_hz


def mono16k(path: Path | str) -> np.ndarray:
    """Decode a file to float32 (sample,) at 16 kHz: the mean of the channels, then the resampling.

    The resampler is torchaudio.functional.resample with its defaults (windowed sinc, width 6, rolloff 0.99).
    """
    with opened(path) as (found, blocks):
        parts = list(mono(blocks))
        wave = parts[0] if len(parts) == 1 else np.concatenate(parts)
    parts.clear()
    return resampled(wave, found.rate_hz)


def mono(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The mean of the channels of each block, (sample,): hours of several channels are never held whole."""
    for block in blocks:  # (sample, channel); the mean over axis 0 adds up alike for every length
        yield block[:, 0] if block.shape[1] == 1 else np.ascontiguousarray(block.T).mean(axis=0)


def decoded(path: Path | str) -> tuple[Header, Iterator[np.ndarray]]:
    """The header, and the samples as blocks of float32 (sample, channel); one block is a few seconds.

    Raises Unreadable, also while iterating: if the file ends before its header says, decodes with an error,
    holds no sample, or holds samples that are not finite.
    """
    return header(path), _blocks(path)


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[tuple[Header, Iterator[np.ndarray]]]:
    """Open a file for one pass: its header and its blocks, as in decoded()."""
    with _reasons(path), contextlib.ExitStack() as stack:
        if not confined.regular(path):
            raise Unreadable(path, "not a regular file")
        file = None if _by_ffmpeg(path) else _libsndfile(path, stack)
        if file is None:
            found, blocks = stack.enter_context(_opened_by_ffmpeg(path))
        else:
            if file.format != "FLAC":  # which libsndfile does not decode beyond a cut
                _check_ending(path)
            if file.format == "OGG" and endings.chained(path):
                raise Unreadable(path, "another stream begins on the way")
            found = Header(file.format, file.subtype, file.samplerate, file.channels, file.frames)
            blocks = _soundfile_blocks(path, file)
        if not 1 <= found.rate_hz <= _FASTEST_HZ:
            raise Unreadable(path, f"claims {found.rate_hz} samples a second")
        yield found, blocks


def _libsndfile(path: Path | str, stack: contextlib.ExitStack) -> soundfile.SoundFile | None:
    """The file as opened by libsndfile, or None for what is FFmpeg's."""
    try:
        file = stack.enter_context(soundfile.SoundFile(os.fsencode(path)))
    except soundfile.LibsndfileError:
        if not _worth_ffmpeg(path):
            raise
        return None
    return None if file.subtype.startswith("MPEG_") or endings.unknown_in_flac(path) else file


def codec_context(name: str, mode: str) -> Any:
    """FFmpeg's encoder (mode "w") or decoder ("r") of this name. Raises DataError where PyAV's FFmpeg has none."""
    import av

    try:
        return av.CodecContext.create(name, mode)
    except av.codec.codec.UnknownCodecError:
        raise DataError(
            f"FFmpeg as PyAV {importlib.metadata.version('av')} brings it has no "
            f"{'encoder' if mode == 'w' else 'decoder'} {name!r}; {OTHER_PYAV}"
        ) from None


@functools.cache
def ffmpeg() -> str:
    """The ffmpeg program: the one on PATH, else the one that imageio-ffmpeg carries."""
    found = shutil.which("ffmpeg")
    if found is None:
        import imageio_ffmpeg

        found = imageio_ffmpeg.get_ffmpeg_exe()
    return found


@functools.cache
def tools() -> dict[str, str]:
    """Name -> version of whatever decodes audio here: ffmpeg, libsndfile, PyAV."""
    said = subprocess.run([ffmpeg(), "-version"], capture_output=True, text=True, check=True).stdout
    version = re.match(r"ffmpeg version (\S+)", said)
    return {
        "ffmpeg": version.group(1) if version else said.splitlines()[0],
        "libsndfile": soundfile.__libsndfile_version__,
        "pyav": importlib.metadata.version("av"),
    }


def _blocks(path: Path | str) -> Iterator[np.ndarray]:
    with opened(path) as (_, blocks):
        yield from blocks


def _soundfile_blocks(path: Path | str, file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    done, size = 0, _BLOCK_SAMPLES // max(1, file.channels // 2)  # a header can claim a thousand channels
    narrow = file.subtype == "PCM_16"  # read as integers and scaled here: half the time, the same values
    kind = "int16" if narrow else "float32"
    reads = (file.read(size, dtype=kind, always_2d=True) for _ in itertools.count())
    for block in _bounded(path, reads, len, file.samplerate):
        done += len(block)
        if len(block):
            yield np.multiply(block, _INT16, dtype=np.float32) if narrow else _finite(path, block)
        if len(block) < size:
            break
    if done < file.frames:
        raise Unreadable(path, f"truncated: {done} of {file.frames} samples decode")
    if not done:
        raise Unreadable(path, "holds no sample")


@contextlib.contextmanager
def _opened_by_ffmpeg(path: Path | str) -> Iterator[tuple[Header, Iterator[np.ndarray]]]:
    import av

    try:
        with confined.open_media(path) as container:
            if not container.streams.audio:
                raise Unreadable(path, f"no audio in this {container.format.name} file")
            _check_ending(path)
            stream = container.streams.audio[0]
            if stream.codec_context is None or not stream.rate or not stream.channels:
                raise Unreadable(path, "an audio stream without rate or channels")
            length_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
            found = Header(
                container.format.name.split(",")[0], stream.codec_context.name, stream.rate, stream.channels,
                round(length_s * stream.rate), len(container.streams.audio),
            )  # fmt: skip
            yield found, _ffmpeg_blocks(path, container, stream, found)
    except (av.FFmpegError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        if isinstance(error, av.ArgumentError):  # of a demuxer that is not among confined.CONTAINERS, above all
            why = f"a playlist, bare samples, or another kind that is not read here: {why}"
        raise Unreadable(path, f"cannot be decoded ({why})") from None


def _ffmpeg_blocks(path: Path | str, container, stream, found: Header) -> Iterator[np.ndarray]:  # noqa: ANN001
    done, kept, parts = 0, 0, []
    for part in _packed(path, container, stream, found):
        parts.append(part)
        kept += len(part)
        if kept * max(1, found.channels // 2) >= _BLOCK_SAMPLES:
            yield _finite(path, np.concatenate(parts))
            done, kept, parts = done + kept, 0, []
    if parts:
        yield _finite(path, np.concatenate(parts))
    done += kept
    short = done < found.frames - max(_SHORTFALL_S * found.rate_hz, 0.01 * found.frames)
    if short and found.container not in _GUESSED:
        raise Unreadable(path, f"truncated: {done} of {found.frames} samples decode")
    if not done:
        raise Unreadable(path, "holds no sample")


def _packed(path: Path | str, container, stream, found: Header) -> Iterator[np.ndarray]:  # noqa: ANN001
    """The frames as float32 (sample, channel), packed: PyAV reads beyond a planar frame of more than 8 channels."""
    import av

    resampler, form = av.AudioResampler(format="flt", layout=stream.layout, rate=found.rate_hz), None
    for frame in itertools.chain(_bounded(path, _frames(path, container, stream), _samples, found.rate_hz), [None]):
        if frame is not None:  # frames that are packed floats pass the resampler unseen
            form = form or (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
            if form != (frame.sample_rate, frame.layout.nb_channels, frame.format.name):
                raise Unreadable(path, "changes its rate, channels or kind of samples on the way")
        for part in resampler.resample(frame):
            yield part.to_ndarray().reshape(-1, found.channels)


def _frames(path: Path | str, container, stream) -> Iterator:  # noqa: ANN001
    decoder = _libopus(stream) if stream.codec_context.name == "opus" else stream.codec_context
    packets = container.demux(stream)
    try:
        for packet in _without_tags(packets) if container.format.name == "mp3" else packets:
            yield from decoder.decode(packet)
    except IndexError:  # PyAV knows the streams that were there when the file was opened
        raise Unreadable(path, "another stream begins on the way") from None


def _without_tags(packets: Iterable) -> Iterator:
    """The packets of an MPEG stream without those of tags, which FFmpeg hands on as damaged sound."""
    end = 0  # of the last tag, in bytes
    for packet in packets:
        if packet.pos is not None:  # the last one, empty, has no place
            end = max(end, packet.pos + endings.tag_bytes(bytes(packet)))
        if packet.pos is None or packet.pos >= end:
            yield packet


def _libopus(stream):  # noqa: ANN001
    """The published decoder: FFmpeg's own makes single frames of some songs a hundred times too loud."""
    decoder = codec_context("libopus", "r")
    decoder.extradata, decoder.options = stream.codec_context.extradata, {"request_sample_fmt": "flt"}
    return decoder


def _samples(frame) -> int:  # noqa: ANN001
    return frame.samples


def _bounded(path: Path | str, parts: Iterable[T], length: Callable[[T], int], rate_hz: int) -> Iterator[T]:
    """The parts, while their decoding takes no more processor time than _CPU_S and a share of what they sound."""
    spent_s, samples, parts = 0.0, 0, iter(parts)
    while True:
        started = time.thread_time()
        part = next(parts, None)
        spent_s += time.thread_time() - started
        if part is None:
            return
        samples += length(part)
        if spent_s > _CPU_S + _CPU_SHARE * samples / rate_hz:
            raise Unreadable(path, f"takes too long to decode: {spent_s:.0f} s for {samples / rate_hz:.1f} s of sound")
        if samples > _LONGEST_S * rate_hz:
            raise Unreadable(path, f"lasts longer than {_LONGEST_S / 3600:g} hours")
        yield part


def _finite(path: Path | str, block: np.ndarray) -> np.ndarray:
    if not (block.max() < _LOUDEST and block.min() > -_LOUDEST):  # not true of what is no number, either
        if not np.isfinite(block).all():
            raise Unreadable(path, "holds samples that are not finite numbers")
        raise Unreadable(path, f"holds samples of {np.abs(block).max():.3g} times full scale, which is no sound")
    return block


def _by_ffmpeg(path: Path | str) -> bool:
    # libsndfile's MP3 reader writes remarks to the terminal; of .raw soundfile wants to be told what it holds
    return str(path).lower().endswith((".mp3", ".raw"))


def _worth_ffmpeg(path: Path | str) -> bool:
    """Whether a file that libsndfile refuses may be of a kind that only FFmpeg knows."""
    with open(path, "rb") as file:
        start = file.read(64)
    return bool(start) and not start.startswith(b"fLaC") and _not_audio(start) is None


def _not_audio(start: bytes) -> str | None:
    if not start:
        return "empty file"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not audio"
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not audio"
    if not any(start):
        return "begins with zero bytes, as a failed download does"
    return None


@contextlib.contextmanager
def _reasons(path: Path | str) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        with open(path, "rb") as file:
            start = file.read(64)
        cause = _not_audio(start) or f"truncated or damaged ({error.error_string or 'does not decode'})"
        raise Unreadable(path, cause) from None
    except OSError as error:
        raise Unreadable(path, f"cannot be read ({error.strerror or error})") from None


def _check_ending(path: Path | str) -> None:
    reason = endings.cut(path)
    if reason:
        raise Unreadable(path, f"truncated: {reason}")
