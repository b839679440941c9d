"""Real encoder-decoder passes for the codec columns, in memory: libsndfile where it has the codec, else PyAV.

Bit rates are those that make sense at the corpora's 16 kHz; the published ones are for the names only.
"""

import io
from dataclasses import dataclass

import av
import numpy as np
import scipy.fft
import soundfile
from scipy.signal import butter, resample_poly, sosfilt

from ingest.audio import codec_context
from ingest.simulate.room import limited

RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Pass:
    """One encoder-decoder pass. kind: alaw ulaw gsm ogg | mp3 aac opus g722 amr | device (no codec: a line)."""

    kind: str
    rate_hz: int = RATE_HZ
    bitrate_bps: int = 0


MP3, AAC, OPUS = "mp3", "aac", "opus"
PSTN = (Pass("device", 8000), Pass("alaw", 8000))  # an analogue subscriber line into the digital exchange

CODECS: dict[str, tuple[Pass, ...]] = {
    # ASVspoof 2021 LA
    "alaw": (Pass("alaw", 8000),), "ulaw": (Pass("ulaw", 8000),), "gsm": (Pass("gsm", 8000),), "pstn": PSTN,
    "g722": (Pass("g722"),), "opus": (Pass(OPUS, bitrate_bps=16_000),),
    # ASVspoof 2021 DF
    "low_mp3": (Pass(MP3, bitrate_bps=24_000),), "high_mp3": (Pass(MP3, bitrate_bps=96_000),),
    "low_m4a": (Pass(AAC, bitrate_bps=20_000),), "high_m4a": (Pass(AAC, bitrate_bps=64_000),),
    "low_ogg": (Pass("ogg", bitrate_bps=24_000),), "high_ogg": (Pass("ogg", bitrate_bps=80_000),),
    "mp3m4a": (Pass(MP3, bitrate_bps=96_000), Pass(AAC, bitrate_bps=20_000)),
    "oggm4a": (Pass("ogg", bitrate_bps=80_000), Pass(AAC, bitrate_bps=20_000)),
    # ASVspoof 5; C02, C03, C04, C07, C10 have no free encoder at hand: see STAND_INS
    "C01": (Pass(OPUS, bitrate_bps=12_000),), "C02": (Pass(OPUS, bitrate_bps=9_000),),
    "C03": (Pass(OPUS, bitrate_bps=20_000),), "C04": (Pass("ogg", bitrate_bps=24_000),),
    "C05": (Pass(MP3, bitrate_bps=48_000),), "C06": (Pass(AAC, bitrate_bps=32_000),),
    "C07": (Pass(MP3, bitrate_bps=48_000), Pass("ogg", bitrate_bps=24_000)),
    "C08": (Pass(OPUS, 8000, 8_000),), "C09": (Pass("amr", 8000, 10_200),), "C10": (Pass("gsm", 8000),),
    "C11": (Pass("device"),),
    # SingFake T03
    "mp3_128k": (Pass(MP3, bitrate_bps=128_000),), "ogg_64k": (Pass("ogg", bitrate_bps=64_000),),
    "adts_64k": (Pass(AAC, bitrate_bps=64_000),), "opus_64k": (Pass(OPUS, bitrate_bps=64_000),),
    # a clip of the web
    "web": (Pass(AAC, bitrate_bps=48_000),),
}  # fmt: skip

STAND_INS = {
    "C02": "opus at 9 kbit/s for AMR-WB", "C03": "opus at 20 kbit/s for Speex", "C10": "GSM full rate for Speex",
    "C04": "Vorbis at 24 kbit/s for EnCodec", "C07": "MP3 then Vorbis for MP3 then EnCodec",
    "C11": "a simulated line for the device recordings",
}  # fmt: skip

_AV = {"mp3": ("libmp3lame", "mp3"), "aac": ("aac", "aac"), "opus": ("libopus", "libopus"),
       "g722": ("g722", "g722"), "amr": ("libopencore_amrnb", "amrnb")}  # fmt: skip
_SNDFILE = {"alaw": ("WAV", "ALAW"), "ulaw": ("WAV", "ULAW"), "gsm": ("WAV", "GSM610"), "ogg": ("OGG", "VORBIS")}


def transcode(wave: np.ndarray, codec: str, rng: np.random.Generator) -> np.ndarray:
    """(sample,) or (channel, sample) float32 at 16 kHz -> the same shape after the codec of this name, aligned."""
    if wave.ndim == 2:
        return np.stack([transcode(channel, codec, rng) for channel in wave])
    for one in CODECS[codec]:
        wave = _pass(wave, one, rng)
    return wave


def _pass(wave: np.ndarray, one: Pass, rng: np.random.Generator) -> np.ndarray:
    ratio = RATE_HZ // one.rate_hz
    sent = resample_poly(wave, 1, ratio).astype(np.float32) if ratio > 1 else wave
    if one.kind == "device":
        got = _device(sent, one.rate_hz, rng)
    elif one.kind in _SNDFILE:
        got = _sndfile(sent, one)
    else:
        got = _pyav(sent, one)
    got = aligned(got, sent)
    got = resample_poly(got, ratio, 1)[: len(wave)] if ratio > 1 else got
    return limited(np.pad(got, (0, len(wave) - len(got)))).astype(np.float32)


def _device(wave: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A line: band limits of telephone or sound card, mild saturation, noise 45 dB under full scale."""
    band = butter(2, (300, 3400) if rate_hz == 8000 else (120, 6800), "bandpass", fs=rate_hz, output="sos")
    wave = np.tanh(1.5 * sosfilt(band, wave)) / 1.5
    return (wave + 10 ** (-60 / 20) * rng.standard_normal(len(wave))).astype(np.float32)


def _sndfile(wave: np.ndarray, one: Pass) -> np.ndarray:
    container, subtype = _SNDFILE[one.kind]
    quality = {"compression_level": 0.85 if one.bitrate_bps < 30_000 else 0.3} if one.kind == "ogg" else {}
    file = io.BytesIO()
    soundfile.write(file, wave, one.rate_hz, format=container, subtype=subtype, **quality)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def _pyav(wave: np.ndarray, one: Pass) -> np.ndarray:
    encoder_name, decoder_name = _AV[one.kind]
    encoder = codec_context(encoder_name, "w")
    formats = [form.name for form in encoder.codec.audio_formats]
    encoder.format = next((name for name in ("s16", "s16p") if name in formats), formats[0])
    encoder.sample_rate, encoder.layout = one.rate_hz, "mono"
    if one.bitrate_bps:
        encoder.bit_rate = one.bitrate_bps
    if one.kind == "aac":
        encoder.options = {"aac_coder": "fast"}
    encoder.open()
    decoder = codec_context(decoder_name, "r")
    decoder.sample_rate, decoder.layout = one.rate_hz, "mono"
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    size = encoder.frame_size or 1024
    padded = np.pad(wave, (0, size + (-len(wave)) % size))
    if encoder.format.name.startswith("s16"):
        padded = np.round(np.clip(padded, -1, 1) * 32767).astype(np.int16)
    packets = []
    for start in range(0, len(padded), size):
        frame = av.AudioFrame.from_ndarray(padded[None, start : start + size], encoder.format.name, "mono")
        frame.sample_rate, frame.pts = one.rate_hz, start
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    got = np.concatenate([_mono(frame) for frame in decoded])
    return resample_poly(got, 1, decoded[0].sample_rate // one.rate_hz).astype(np.float32)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels)) if not frame.format.is_planar else (
        frame.to_ndarray().T
    )  # fmt: skip
    scale = 32768 if samples.dtype == np.int16 else 1
    return samples[:, 0].astype(np.float32) / scale


def aligned(got: np.ndarray, sent: np.ndarray, reach: int = 2400) -> np.ndarray:
    """`got` without the codec's delay, found by cross-correlation, cut or padded to the length of `sent`."""
    size = scipy.fft.next_fast_len(len(got) + len(sent), real=True)
    across = scipy.fft.irfft(scipy.fft.rfft(got, size) * np.conj(scipy.fft.rfft(sent, size)), size)
    delay = int(across[: min(reach, len(got))].argmax())
    return np.pad(got[delay:], (0, max(0, len(sent) - len(got) + delay)))[: len(sent)]
