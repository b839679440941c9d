"""Codec round trips inside the process: 16 kHz mono in, the same length out, aligned with the input to the sample.

FFmpeg's libraries through PyAV; Vorbis through libsndfile, because PyAV's own FFmpeg has no encoder for one channel.
"""

import ctypes
import functools
import importlib.metadata
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ingest.audio import codec_context
from ingest.types import DataError
from shards.rate import RATE_HZ, resampled

_VORBIS_SAMPLES = 1 << 19  # libvorbis lays what it is given at once on the stack: 2 MiB of the usual 8
_TAIL_FRAMES = 3  # frames of silence behind a clip: what the encoder still holds comes out before its end


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoder and decoder pair.

    encoder, decoder: FFmpeg's names. rate_hz: of the encoder; where it is not 16 kHz the clip is resampled before.
    delay: samples at decoded_hz that the decoded signal lags behind after the decoder has dropped what it knows to
    be padding; below zero it comes early. sample_format: FFmpeg's word for what the encoder takes.
    options, decoder_options: what else FFmpeg is told of the encoder and of the decoder.
    """

    encoder: str
    decoder: str
    rate_hz: int = RATE_HZ
    decoded_hz: int = RATE_HZ
    delay: int = 0
    sample_format: str = "fltp"
    bitrate_bps: int | None = None
    frame: int | None = None  # samples in a frame, where the encoder takes frames of any length
    options: Mapping[str, str] = field(default_factory=dict)
    decoder_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def resamples(self) -> bool:
        """Whether the clip is resampled on the way."""
        return self.rate_hz != RATE_HZ or self.decoded_hz != RATE_HZ


def round_trip(wave: np.ndarray, codec: Codec) -> np.ndarray:
    """float32 (sample,) at 16 kHz, full scale 1, through the encoder and back: same length, no delay.

    A clip above full scale is divided by the least power of two that brings it within, and multiplied again behind the
    decoder, both of which are exact: encoders clip, turn down, hang or abort there. Within full scale nothing is done;
    where resampling overshoots it an encoder of 16-bit samples clips. What a decoder overshoots is kept.
    Raises DataError if FFmpeg as PyAV brings it lacks the encoder, or fails on the clip, and for samples that are not
    finite.
    """
    import av

    narrow, doublings = codec.rate_hz < RATE_HZ, _doublings(wave)
    source = resampled(np.ldexp(wave, -doublings), RATE_HZ, codec.rate_hz, steep=narrow)
    wanted = -(-source.size * codec.decoded_hz // codec.rate_hz)
    try:
        decoded = in_place(_decoded(source, codec), codec.delay)[:wanted]
    except av.FFmpegError as error:
        raise DataError(f"{codec.encoder} cannot code a clip of {wave.size} samples ({error})") from None
    if decoded.size < wanted:
        raise DataError(
            f"{codec.encoder} gave {decoded.size} of {wanted} samples back; this PyAV "
            f"({importlib.metadata.version('av')}) is not one that Siren knows: run make setup"
        )
    return np.ldexp(resampled(decoded, codec.decoded_hz, RATE_HZ, steep=narrow)[: wave.size], doublings)


def vorbis(wave: np.ndarray, *, quality: int) -> np.ndarray:
    """float32 (sample,) at 16 kHz through Ogg Vorbis of `quality` 0 to 10 and back: same length, no delay.

    A clip above full scale is scaled as by round_trip. Raises DataError for samples that are not finite.
    """
    buffer, doublings = io.BytesIO(), _doublings(wave)
    level = min(1 - quality / 10, 1.0)
    with soundfile.SoundFile(buffer, "w", RATE_HZ, 1, "VORBIS", format="OGG", compression_level=level) as file:
        for start in range(0, wave.size, _VORBIS_SAMPLES):
            file.write(np.ldexp(wave[start : start + _VORBIS_SAMPLES], -doublings))
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return np.ldexp(decoded, doublings)


def in_place(decoded: np.ndarray, delay: int) -> np.ndarray:
    """(sample,) with the first `delay` taken off, or with so many zeros in front where it is below zero."""
    return decoded[delay:] if delay >= 0 else np.pad(decoded, (-delay, 0))


def available(codec: Codec) -> bool:
    """Whether PyAV's FFmpeg has the encoder and the decoder."""
    import av

    try:
        av.codec.Codec(codec.encoder, "w")
        av.codec.Codec(codec.decoder, "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


@functools.cache
def versions() -> dict[str, str]:
    """Name -> version of what the bytes of a round trip depend on."""
    from av import __version__, library_versions

    libraries = {name: ".".join(map(str, library_versions[name])) for name in ("libavcodec", "libavutil")}
    return {"pyav": __version__, **libraries, "libsndfile": soundfile.__libsndfile_version__}


@functools.cache
def no_threads() -> bool:
    """Let FFmpeg start no threads of its own in this process; whether it can be told.

    PyAV brings frames to an encoder through a filter graph, which starts a thread for each processor, has nothing for
    them to do, and waits for each: several times a clip, for as long as other processes keep the processors busy.
    """
    import av

    package = Path(av.__file__).parent
    own = [*package.with_name("av.libs").glob("libavutil*"), *package.glob(".dylibs/libavutil*")]
    for library in own:
        try:
            ctypes.CDLL(str(library)).av_cpu_force_count(1)  # a wheel's own copy, loaded already
        except (OSError, AttributeError):
            continue
        return True
    return False


def _doublings(wave: np.ndarray) -> int:
    """The power of two to divide float32 (sample,) by so that it lies in [-1, 1]; 0 for one that does."""
    peak = float(np.abs(wave).max(initial=0))
    if not math.isfinite(peak):
        raise DataError(f"a clip of {wave.size} samples cannot be coded: some of them are not finite numbers")
    mantissa, exponent = math.frexp(peak)
    return max(0, exponent - (mantissa == 0.5))


def _decoded(source: np.ndarray, codec: Codec) -> np.ndarray:
    import av

    no_threads()
    encoder, decoder = _encoder(codec), _decoder(codec)
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    step = codec.frame or encoder.frame_size
    padded = np.zeros((-(-source.size // step) + _TAIL_FRAMES) * step, dtype=np.float32)
    padded[: source.size] = source
    if codec.sample_format.startswith("s16"):
        padded = np.clip(np.rint(padded * 32768), -32768, 32767).astype(np.int16)
    blocks: list[np.ndarray] = []
    for start in range(0, padded.size, step):
        frame = av.AudioFrame.from_ndarray(padded[None, start : start + step], codec.sample_format, "mono")
        frame.sample_rate, frame.pts = codec.rate_hz, start
        _decode(decoder, encoder.encode(frame), blocks)
    _decode(decoder, encoder.encode(None), blocks)
    _decode(decoder, [None], blocks)
    decoded = np.concatenate(blocks)
    return decoded.astype(np.float32) / np.float32(32768) if decoded.dtype == np.int16 else decoded


def _decode(decoder: Any, packets: Iterable[Any], blocks: list[np.ndarray]) -> None:
    for packet in packets:
        for frame in decoder.decode(packet):
            blocks.append(frame.to_ndarray().reshape(-1).copy())


def _encoder(codec: Codec) -> Any:
    from fractions import Fraction

    context = codec_context(codec.encoder, "w")
    context.sample_rate, context.layout, context.format = codec.rate_hz, "mono", codec.sample_format
    context.time_base, context.thread_count = Fraction(1, codec.rate_hz), 1
    if codec.bitrate_bps:
        context.bit_rate = codec.bitrate_bps
    context.options = dict(codec.options)
    context.open()
    return context


def _decoder(codec: Codec) -> Any:
    context = codec_context(codec.decoder, "r")
    context.sample_rate, context.layout, context.thread_count = codec.rate_hz, "mono", 1
    context.options = dict(codec.decoder_options)
    return context
