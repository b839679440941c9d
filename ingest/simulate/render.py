"""From takes to files: speak or sing, record, run the steps, write FLAC or WAV."""

import io
from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from ingest.simulate.codecs import transcode
from ingest.simulate.plan import File, Step, Take
from ingest.simulate.recordings import cut
from ingest.simulate.room import limited, place, record, rms
from ingest.simulate.seeds import generator
from ingest.simulate.singing import accompaniment, sing
from ingest.simulate.vocoders import copy
from ingest.simulate.voice import speak, speaker

# upper end of ordinary lengths in corpora with seven or more copies of a clip
LONG_S = {"wavefake": 2.1, "librisevoc": 2.1}


def write_files(folder: Path, takes: Sequence[Sequence[File]], seed: int) -> int:
    """Write the files of some takes below `folder`; every inner sequence holds the files of one take."""
    written = 0
    for files in takes:
        made: dict[tuple[Step, ...], tuple[np.ndarray, int]] = {}
        for file in files:
            wave, rate_hz = _after(file.steps, file.take, seed, made)
            samples = np.round(wave.T * 32767).astype(np.int16)
            (folder / file.path).write_bytes(encoded(samples, rate_hz, Path(file.path).suffix[1:].upper()))
            written += 1
    return written


def encoded(samples: np.ndarray, rate_hz: int, container: str) -> bytes:
    """The bytes of a FLAC or WAV file of 16 bits; made in memory, since libsndfile syncs every file to disk."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=container, subtype="PCM_16")
    return buffer.getvalue()


def _after(steps: tuple[Step, ...], take: Take, seed: int, made: dict) -> tuple[np.ndarray, int]:
    """The take after `steps`, and its rate; shared beginnings are made once."""
    if steps not in made:
        if steps:
            made[steps] = apply(steps[-1], *_after(steps[:-1], take, seed, made), take, seed)
        else:
            made[steps] = recording(take, seed), take.rate_hz
    return made[steps]


def recording(take: Take, seed: int) -> np.ndarray:
    """(sample,) float32 at take.rate_hz: the bona fide clip."""
    if take.segment:
        return cut(take.segment, take.rate_hz)
    rng = generator(seed, take.corpus, take.key)
    who = speaker(take.speaker, take.gender, seed, take.corpus)
    voice = sing if take.domain == "singing" else speak
    dry = voice(who, take.language, length_s(take, seed), take.rate_hz, rng)
    return record(dry, place(take.channel, seed, take.corpus, take.speaker), take.rate_hz, rng)


def length_s(take: Take, seed: int) -> float:
    """How long a clip is meant to be: mostly below 3 s, one in ten above 4 s; shorter where many are copies in WAV."""
    rng = generator(seed, take.corpus, take.key, "length")
    return float(rng.uniform(4.05, 4.5) if rng.random() < 0.1 else rng.uniform(1.5, LONG_S.get(take.corpus, 2.8)))


def apply(step: Step, wave: np.ndarray, rate_hz: int, take: Take, seed: int) -> tuple[np.ndarray, int]:
    """One step; its randomness depends on the take and the step alone, so other corpora can repeat it."""
    word, settings = step[0], dict(step[1])
    rng = generator(seed, take.corpus, take.key, step)
    if word == "copy":
        return copy(wave, rate_hz, rng, settings.pop("vocoder"), **settings), rate_hz
    if word == "rate":
        return resampled(wave, rate_hz, settings["rate_hz"]), settings["rate_hz"]
    if word == "codec":
        return transcode(wave, settings["name"], rng), rate_hz
    if word == "network":
        return with_losses(wave, rate_hz, settings["loss"], rng), rate_hz
    if word == "trim":
        return trimmed(wave, rate_hz), rate_hz
    if word == "mix":
        return mixed(wave, rate_hz, take, seed, **settings), rate_hz
    raise ValueError(f"no step {word!r}")


def resampled(wave: np.ndarray, rate_hz: int, wanted_hz: int) -> np.ndarray:
    """(sample,) float32 at another rate."""
    common = gcd(rate_hz, wanted_hz)
    if rate_hz == wanted_hz:
        return wave
    return limited(resample_poly(wave, wanted_hz // common, rate_hz // common)).astype(np.float32)


def with_losses(wave: np.ndarray, rate_hz: int, loss: float, rng: np.random.Generator) -> np.ndarray:
    """Packets of 20 ms lost with probability `loss`; the receiver repeats the packet before, softer."""
    size, out = rate_hz // 50, wave.copy()
    for start in range(size, len(wave) - size, size):
        if rng.random() < loss:
            out[start : start + size] = 0.6 * out[start - size : start]
    return out


def trimmed(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Without the silence at both ends: everything before and after 10 ms frames within 30 dB of the loudest."""
    size = rate_hz // 100
    frames = wave[: len(wave) // size * size].reshape(-1, size)
    level = np.sqrt(np.mean(np.square(frames), axis=1))
    loud = np.flatnonzero(level > 10 ** (-30 / 20) * level.max())
    return wave[loud[0] * size : (loud[-1] + 1) * size]


def mixed(
    wave: np.ndarray, rate_hz: int, take: Take, seed: int, *, song: int, snr_db: float, stereo: bool
) -> np.ndarray:
    """The vocals with the song's accompaniment `snr_db` below: (2, sample) if stereo, else (sample,)."""
    who = speaker(take.speaker, take.gender, seed, take.corpus)
    band = accompaniment(who, take.language, len(wave), rate_hz, seed, take.corpus, song)
    band *= rms(wave) / max(rms(band), 1e-9) * 10 ** (-snr_db / 20)
    both = wave + band
    return limited(both if stereo else both.mean(axis=0)).astype(np.float32)
