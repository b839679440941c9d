"""The words of audio variants: what each does to a clip, in which order, and its two pseudo-labels.

A word names steps joined by `_`, always in the order room, noise, codec, speed: `mp3-32k`, `speed-90`,
`mp3-32k_speed-90`, `reverb-400ms_white-20db_alaw`. `original` has no step; `vocals` is made by shards/vocals.py and
takes no step.

compression (label 0 = none)   aac-16k aac-32k aac-64k opus-16k .. 64k mp3-16k .. 64k: labels 1 to 9
other codecs                   alaw ulaw g722 gsm, amr-4k75 to amr-12k2, vorbis-q0 to vorbis-q10, CODEC-Nk at more rates
speed-P                        played at P percent, 50 to 200; labels in steps of ten: 50 is 0, 100 is 5, 200 is 15
phone                          300-3400 Hz at 8 kHz
white-Ndb pink-Ndb noise-Ndb   generated noise, or `noise` from a folder of own recordings, at N dB SNR (0 to 60)
reverb-Nms, room               a generated room of N ms reverberation time (T60), or a response from an own folder
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ingest.types import DataError, nearest
from shards import codecs, noise
from shards.codecs import Codec
from shards.noise import Recordings
from shards.rate import RATE_HZ, resampled, speed_changed

STAGES = ("room", "noise", "codec", "speed")
COMPRESSIONS = tuple(f"{codec}-{kbit}k" for codec in ("aac", "opus", "mp3") for kbit in (16, 32, 64))
SPEEDS = tuple(range(50, 201, 10))  # percent
_LOSSY = {
    "aac": Codec("aac", "aac", delay=1024),
    "mp3": Codec("libmp3lame", "mp3float"),
    # FFmpeg's own decoder makes single frames of some songs a hundred times too loud where the coder changes its mode
    "opus": Codec(
        "libopus", "libopus", decoded_hz=48_000, sample_format="flt", decoder_options={"request_sample_fmt": "flt"}
    ),
}
_NARROW = {"rate_hz": 8000, "decoded_hz": 8000, "sample_format": "s16"}
_FIXED = {
    "alaw": Codec("pcm_alaw", "pcm_alaw", frame=8000, **_NARROW),
    "ulaw": Codec("pcm_mulaw", "pcm_mulaw", frame=8000, **_NARROW),
    "g722": Codec("g722", "g722", delay=22, sample_format="s16"),
    "gsm": Codec("libgsm", "gsm", bitrate_bps=13_000, **_NARROW),
}
_AMR = {"4k75": 4750, "5k15": 5150, "5k9": 5900, "6k7": 6700, "7k4": 7400, "7k95": 7950, "10k2": 10200, "12k2": 12200}
_FIXED |= {
    f"amr-{rate}": Codec("libopencore_amrnb", "amrnb", delay=40, bitrate_bps=bps, **_NARROW)
    for rate, bps in _AMR.items()
}
ROBUSTNESS = (
    *_FIXED, *(f"vorbis-q{quality}" for quality in (0, 3, 6)), "phone",
    *(f"{colour}-{snr_db}db" for colour in ("white", "pink") for snr_db in (0, 10, 20, 30)),
    *(f"reverb-{t60_ms}ms" for t60_ms in (200, 400, 800)),
)  # fmt: skip
_MP3_KBIT = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # of MPEG-2 layer III; LAME takes the nearest
# Up to so many kbit/s Opus comes that many samples of 48 kHz late. Measured on speech and songs: up to 8 (SILK alone)
# 0.2 to 2.8 late, from 9 to 53 at 0 (CELT) to 2.4 early (SILK and both) by the clip, from 54 at 0.
_OPUS_DELAYS = {8: 2, 53: -1, 128: 0}
# prefix -> suffix, least and greatest number: what the encoders take for one channel at 16 kHz, what can be heard;
# FFmpeg's AAC finds no use for more than some 75 kbit/s
_NUMBERED = {
    "aac-": ("k", 16, 72), "opus-": ("k", 6, 128), "mp3-": ("k", 8, 160), "vorbis-q": ("", 0, 10),
    "speed-": ("", 50, 200), "white-": ("db", 0, 60), "pink-": ("db", 0, 60), "noise-": ("db", 0, 60),
    "reverb-": ("ms", 50, 5000),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a variant: its word, its stage, and what it is done with."""

    word: str
    stage: str
    parameters: Mapping[str, Any]


def names() -> tuple[str, ...]:
    """The words worth listing: 10 compressions x 16 speeds, `original` among them, and the robustness set.

    parse() knows more: other bit rates, SNRs and reverberation times, own recordings, and steps joined.
    """
    pairs = [(c, s) for c in (None, *COMPRESSIONS) for s in SPEEDS]
    return (*(word_of(compression, percent) for compression, percent in pairs), *ROBUSTNESS)


def word_of(compression: str | None, percent: int = 100) -> str:
    """The word of one compression (or none) and one speed: word_of("mp3-32k", 90) is `mp3-32k_speed-90`."""
    steps = [*([compression] if compression else []), *([f"speed-{percent}"] if percent != 100 else [])]
    return "_".join(steps) or "original"


def parse(word: str) -> tuple[Step, ...]:
    """The steps of a variant, in order; none for `original` and `vocals`.

    Raises DataError for an unknown word, with the nearest known ones, and for steps in another order.
    """
    if word in ("original", "vocals"):
        return ()
    steps = tuple(_step(part, word) for part in word.split("_"))
    order = [STAGES.index(step.stage) for step in steps]
    if order != sorted(set(order)):
        raise DataError(f"variant {word!r}: at most one step of each kind, in this order: {', '.join(STAGES)}")
    return steps


def labels(word: str) -> tuple[int, int]:
    """The pseudo-labels (compression 0..9, speed 0..15) of section V-A of the feature-decomposition paper.

    Compression: 0 none, then aac, opus, mp3 at 16, 32, 64 kbit/s. Speed: round(10 speed) - 5; unchanged is 5.
    Noise and rooms leave both as they are. Raises DataError for a codec or speed that has no label.
    """
    compression, speed = 0, SPEEDS.index(100)
    for step in parse(word):
        if step.stage == "codec":
            if step.word not in COMPRESSIONS:
                raise DataError(f"variant {word!r}: {step.word} has no pseudo-label; only {' '.join(COMPRESSIONS)} do")
            compression = 1 + COMPRESSIONS.index(step.word)
        if step.stage == "speed":
            if step.parameters["percent"] not in SPEEDS:
                raise DataError(f"variant {word!r}: {step.word} has no pseudo-label; speeds go in steps of ten")
            speed = SPEEDS.index(step.parameters["percent"])
    return compression, speed


def length(word: str, samples: int) -> int:
    """Samples of a clip of `samples` in this variant: a speed of P percent gives ceil(100 samples / P)."""
    percent = next((s.parameters["percent"] for s in parse(word) if s.stage == "speed"), 100)
    return -(-100 * samples // percent)


def apply(
    wave: np.ndarray, word: str, *, seed: int | str = 0,
    noises: Recordings | None = None, rooms: Recordings | None = None,
) -> np.ndarray:  # fmt: skip
    """A clip in a variant: float32 (sample,) at 16 kHz, full scale 1 -> float32 (length(word, sample),).

    Rounded to 16 bits, as a coded file is when it is written down; a clip that overshoots full scale is not, and not
    clipped. seed: of the noise and the room; with the same one, the same word gives the same samples. noises, rooms:
    what `noise-Ndb` and `room` draw from. Raises DataError for an unknown word, an encoder that is not there, and
    recordings that are not given.
    """
    steps = parse(word)
    if word == "vocals":
        raise DataError("the variant vocals is made of whole songs by its own command: python -m shards vocals CORPUS")
    for step in steps:
        wave = _applied(wave, step, seed, noises, rooms)
    return rounded(wave) if steps else wave


def plan(utt_id: str, name: str = "fd_add") -> tuple[str, ...]:
    """What a plan gives one clip to choose from: `original`, then its variants, sorted. `where` counts as true."""
    from shards import variant_plan

    return ("original", *variant_plan.cached(name).words(utt_id))


def rounded(wave: np.ndarray) -> np.ndarray:
    """float32 (sample,) on the steps of 16-bit audio; as it is where that would clip."""
    scaled = np.rint(wave * np.float32(32768))
    if scaled.size and (scaled.max() > 32767 or scaled.min() < -32768):
        return wave
    return scaled * np.float32(1 / 32768)


def derive(seed: int, *names: object) -> int:
    """A 63-bit seed for one named purpose, the same on every machine."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _applied(
    wave: np.ndarray, step: Step, seed: int | str, noises: Recordings | None, rooms: Recordings | None
) -> np.ndarray:
    generator = np.random.default_rng(derive(seed, step.word))
    given = step.parameters
    if step.stage == "speed":
        return speed_changed(wave, given["percent"])
    if step.word == "phone":
        narrow = resampled(wave, RATE_HZ, 8000, steep=True)
        return noise.telephone_band(resampled(narrow, 8000, RATE_HZ, steep=True)[: wave.size])
    if step.stage == "codec":
        codec = given.get("codec")
        return codecs.vorbis(wave, quality=given["quality"]) if codec is None else codecs.round_trip(wave, codec)
    if step.word == "room":
        return noise.reverberated(wave, _given(rooms, step, "impulse responses", "--rooms").drawn(generator))
    if step.stage == "room":
        return noise.reverberated(wave, noise.impulse_response(given["t60_ms"] / 1000, generator))
    if given["colour"] == "noise":
        sound = noise.recorded(wave.size, generator, _given(noises, step, "noise recordings", "--noises"))
    else:
        sound = {"white": noise.white, "pink": noise.pink}[given["colour"]](wave.size, generator)
    return noise.add_at_snr(wave, sound, given["snr_db"])


def _given(recordings: Recordings | None, step: Step, what: str, option: str) -> Recordings:
    if recordings is None:
        raise DataError(f"variant {step.word} draws from own {what}; pass their folder: {option} DIR")
    return recordings


def _step(part: str, word: str) -> Step:
    if part in _FIXED:
        return Step(part, "codec", {"codec": _FIXED[part]})
    if part == "phone":
        return Step(part, "codec", {"low_hz": 300, "high_hz": 3400, "rate_hz": 8000})
    if part == "room":
        return Step(part, "room", {"source": "recordings", "channel": "first"})
    for prefix, (suffix, low, high) in _NUMBERED.items():
        digits = part.removeprefix(prefix).removesuffix(suffix)
        if part == f"{prefix}{digits}{suffix}" and re.fullmatch("0|[1-9][0-9]*", digits) and low <= int(digits) <= high:
            return _numbered(part, prefix.split("-")[0], int(digits), word)
    raise _unknown(part, word)


def _numbered(part: str, kind: str, number: int, word: str) -> Step:
    if kind == "mp3" and number not in _MP3_KBIT:
        raise DataError(f"variant {word!r}: MP3 at 16 kHz has {' '.join(map(str, _MP3_KBIT))} kbit/s")
    if kind in _LOSSY:
        codec = replace(_LOSSY[kind], bitrate_bps=1000 * number)
        if kind == "opus":
            codec = replace(codec, delay=next(late for most, late in _OPUS_DELAYS.items() if number <= most))
        return Step(part, "codec", {"codec": codec})
    if kind == "vorbis":
        return Step(part, "codec", {"encoder": "libsndfile", "quality": number})
    if kind == "reverb":
        return Step(part, "room", {"t60_ms": number})
    if kind == "speed":
        if number == 100:
            raise DataError(f"variant {word!r}: speed-100 changes nothing; leave the step out (alone: original)")
        return Step(part, "speed", {"percent": number})
    return Step(part, "noise", {"colour": kind, "snr_db": number})


def _unknown(part: str, word: str) -> DataError:
    singles = [name for name in (*names(), "noise-20db", "room", "vocals") if "_" not in name]
    return DataError(f"variant {word!r}: {nearest(part, singles, what='step')}")
