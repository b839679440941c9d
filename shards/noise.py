"""Additive noise at a given SNR and reverberation: generated from a seed, or drawn from folders of own recordings."""

import functools
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest import audio
from ingest.files import below, sha256, utf8
from ingest.progress import track
from ingest.scan import AUDIO_SUFFIXES, CARRIERS
from ingest.types import DataError
from shards.rate import RATE_HZ

_DIRECT_S = 0.0025  # after the direct sound the reverberant tail begins here, as the nearest wall would have it
_REVERBERANT_DB = 0.0  # energy of the tail beside that of the direct sound
_KEPT_BYTES = 128 << 20  # of recordings, in each process: half an hour
_LONGEST_DECAY_S = 1.5  # of the middle half of a response's energy: a decay of 60 dB in 19 s
_kept: dict[tuple[str, str, bool], np.ndarray] = {}  # in the order of their last use
_turn = threading.Lock()


@dataclass(frozen=True, slots=True)
class Recordings:
    """A folder of noise recordings or of impulse responses: the names below it, sorted, the sha256 of each file, and
    one of all. responses: they are impulse responses, whose first channel is taken, not the mean of all."""

    folder: str
    names: tuple[str, ...]
    files: tuple[str, ...]
    sha256: str
    responses: bool = False

    def drawn(self, generator: np.random.Generator) -> np.ndarray:
        """float32 (sample,) at 16 kHz: one of the files, each with the same chance.

        Raises DataError if it is not the file of before, which a file may become, or be on another node of a cluster.
        """
        number = int(generator.integers(len(self.names)))
        return _loaded(self.folder, self.names[number], self.files[number], self.responses)


@functools.cache
def recordings(folder: Path | str, *, responses: bool = False) -> Recordings:
    """The recordings below a folder, links followed; responses: impulse responses.

    Raises DataError if it holds none, or one that does not decode, is silent, or is no impulse response where these
    are asked for.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; pass one that holds recordings")
    known = AUDIO_SUFFIXES | CARRIERS
    names = sorted(utf8(p).relative_to(root).as_posix() for p in below(root) if p.suffix.lower() in known)
    if not names:
        raise DataError(f"{root} holds no recording (.wav, .flac, ...); pass a folder that does")
    digest, files = hashlib.sha256(), []
    for name in track(names, f"read {root.name}", unit="recording"):
        try:
            files.append(sha256(root / name))
        except OSError as error:
            raise DataError(f"{root / name}: cannot be read ({error.strerror}); mend it or remove it") from None
        wave = _loaded(str(root.absolute()), name, files[-1], responses)
        if not np.any(wave):
            raise DataError(f"{root / name} is silent: no noise and no impulse response; remove it from the folder")
        if responses and (lasts_s := _middle_half_s(wave)) > _LONGEST_DECAY_S:
            raise DataError(
                f"{root / name} is no impulse response: the middle half of its energy takes {lasts_s:.1f} s, as of "
                "noise; keep noise out of the folder of --rooms"
            )
        digest.update(f"{name}\n{files[-1]}\n".encode())
    return Recordings(str(root.absolute()), tuple(names), tuple(files), digest.hexdigest(), responses)


def add_at_snr(wave: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """wave + g noise, both (sample,) of one length: g makes the ratio of their mean powers snr_db.

    A silent clip or silent noise is left as it is: there is no such ratio.
    """
    signal_power, noise_power = np.mean(np.square(wave, dtype=float)), np.mean(np.square(noise, dtype=float))
    if not signal_power or not noise_power:
        return wave
    return (wave + np.sqrt(signal_power / noise_power / 10 ** (snr_db / 10)) * noise).astype(np.float32)


def white(samples: int, generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise of flat spectrum, (sample,)."""
    return generator.standard_normal(samples)


def pink(samples: int, generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise whose power falls by 3 dB an octave above 20 Hz and has none at 0 Hz, (sample,)."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    spectrum *= np.where(hz > 0, 1 / np.sqrt(np.maximum(hz, 20.0)), 0.0)
    return np.fft.irfft(spectrum, samples) if samples > 1 else np.zeros(samples)


def recorded(samples: int, generator: np.random.Generator, noises: Recordings) -> np.ndarray:
    """A drawn stretch of a drawn recording, (sample,); a short recording is repeated.

    Where nothing is heard in that stretch, one is drawn that a sounding sample of the recording lies in.
    """
    wave = noises.drawn(generator)
    if wave.size < samples:
        wave = np.tile(wave, -(-samples // wave.size) + 1)
    start = int(generator.integers(wave.size - samples + 1))
    if samples and not wave[start : start + samples].any():
        sounding = int(generator.choice(np.flatnonzero(wave)))  # there is one: recordings() refuses silent files
        start = int(generator.integers(max(sounding - samples + 1, 0), min(sounding, wave.size - samples) + 1))
    return wave[start : start + samples]


def impulse_response(t60_s: float, generator: np.random.Generator) -> np.ndarray:
    """A generated room, float64 (sample,) at 16 kHz: the direct sound, then noise that falls by 60 dB in t60_s.

    Gaussian noise under an exponential envelope (Polack's model), its energy that of the direct sound.
    """
    samples = int(t60_s * RATE_HZ)
    time_s = np.arange(samples) / RATE_HZ
    tail = generator.standard_normal(samples) * 10 ** (-3 * time_s / t60_s) * (time_s >= _DIRECT_S)
    tail *= np.sqrt(10 ** (_REVERBERANT_DB / 10) / np.sum(tail**2))
    tail[0] = 1.0
    return tail


def reverberated(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """float32 (sample,) through an impulse response: same length, same mean power, the direct sound in its place.

    The strongest sample of the response is taken for the direct sound.
    """
    from scipy.signal import fftconvolve

    direct = int(np.argmax(np.abs(response)))
    wet = fftconvolve(wave.astype(np.float64), response)[direct : direct + wave.size]
    before, after = np.sum(np.square(wave, dtype=float)), np.sum(np.square(wet))
    return (wet * np.sqrt(before / after)).astype(np.float32) if before and after else wave


def telephone_band(wave: np.ndarray) -> np.ndarray:
    """float32 (sample,) at 16 kHz limited to 300-3400 Hz, without delay (linear-phase filter of 257 taps)."""
    from scipy.signal import fftconvolve

    taps = _telephone_taps()
    return fftconvolve(wave, taps)[taps.size // 2 :][: wave.size].astype(np.float32)


@functools.cache
def _telephone_taps() -> np.ndarray:
    from scipy.signal import firwin

    return firwin(257, (300, 3400), pass_zero=False, fs=RATE_HZ)


def _middle_half_s(wave: np.ndarray) -> float:
    """The time from a quarter of the energy to three quarters; of a decay by 60 dB in T seconds, 0.08 T."""
    energy = np.cumsum(np.square(wave, dtype=float))
    first, last = np.searchsorted(energy, [0.25 * energy[-1], 0.75 * energy[-1]])
    return float(last - first) / RATE_HZ


def _loaded(folder: str, name: str, digest: str, first: bool = False) -> np.ndarray:
    """The recording of that sha256 at 16 kHz; first: its first channel, else the mean of all.

    The ones asked for last are kept, of a corpus of music a few.
    """
    path = Path(folder, name)
    with _turn:
        wave = _kept.pop((name, digest, first), None)
        if wave is None:
            wave = _first_channel(path) if first else audio.mono16k(path)
            if sha256(path) != digest:
                raise DataError(f"{path} is another file than when its folder was read; run this command again")
        _kept[name, digest, first] = wave
        while len(_kept) > 1 and sum(kept.nbytes for kept in _kept.values()) > _KEPT_BYTES:
            _kept.pop(next(iter(_kept)))
        return wave


def _first_channel(path: Path) -> np.ndarray:
    wave, rate_hz = audio.load(path)
    return audio.resampled(wave[0], rate_hz)
