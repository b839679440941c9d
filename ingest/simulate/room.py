"""From a dry voice to a recording: a small room, a microphone with its noise, a level."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from ingest.simulate.seeds import generator


@dataclass(frozen=True, slots=True)
class Place:
    """A speaker's room and microphone."""

    reverberation_s: float  # time to decay by 60 dB
    direct_db: float  # direct sound over reverberation
    high_pass_hz: float
    peak_hz: float
    peak_db: float
    treble_db: float
    noise_db: float  # noise floor under the speech
    hum_hz: float
    level_db: float  # RMS of the recording re full scale


def place(channel: str, *key: object) -> Place:
    """Where this speaker records: a studio, or somewhere on the web."""
    rng = generator("place", *key)
    web = channel == "web"
    return Place(
        reverberation_s=float(rng.uniform(0.15, 0.6) if web else rng.uniform(0.08, 0.25)),
        direct_db=float(rng.uniform(3, 14) if web else rng.uniform(12, 22)),
        high_pass_hz=float(rng.uniform(60, 150)),
        peak_hz=float(rng.uniform(1800, 5200)),
        peak_db=float(rng.uniform(-3, 5)),
        treble_db=float(rng.uniform(-6, 3)),
        noise_db=float(-rng.uniform(32, 46) if web else -rng.uniform(44, 58)),
        hum_hz=float(rng.choice([50.0, 60.0])),
        level_db=float(-rng.uniform(19, 28)),
    )


def record(dry: np.ndarray, where: Place, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """(sample,) dry voice -> (sample,) float32 recording, RMS near the speaker's level, peak below 1."""
    wet = fftconvolve(dry, impulse_response(where, rate_hz, rng))[: len(dry)]
    wet = microphone(wet, where, rate_hz)
    wet /= max(rms(wet), 1e-9)
    noise = sosfilt(butter(1, 3500, fs=rate_hz, output="sos"), rng.normal(size=len(dry)))
    noise = noise / rms(noise) + 0.3 * rng.normal(size=len(dry))
    hum = np.sin(2 * np.pi * where.hum_hz * np.arange(len(dry)) / rate_hz + rng.uniform(0, 6))
    wet += 10 ** (where.noise_db / 20) * (noise + 0.3 * hum)
    level_db = where.level_db + rng.normal(0, 1.5)
    return limited(wet * 10 ** (level_db / 20)).astype(np.float32)


def impulse_response(where: Place, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Direct sound, six early reflections, and a tail of noise that decays exponentially."""
    length = max(int(min(where.reverberation_s, 0.35) * rate_hz), 64)
    time = np.arange(length) / rate_hz
    tail = rng.normal(size=length) * 10 ** (-3 * time / where.reverberation_s)
    tail[: int(0.004 * rate_hz)] = 0
    for delay_s in rng.uniform(0.002, 0.025, 6):
        tail[int(delay_s * rate_hz)] += rng.choice([-1, 1]) * 3 * 10 ** (-3 * delay_s / where.reverberation_s)
    tail *= 10 ** (-where.direct_db / 20) / max(np.sqrt((tail**2).sum()), 1e-9)
    tail[0] += 1
    return tail


def microphone(wave: np.ndarray, where: Place, rate_hz: int) -> np.ndarray:
    """High pass, a presence peak, and a treble shelf (analogue prototypes of the audio EQ cookbook)."""
    wave = sosfilt(butter(2, where.high_pass_hz, "highpass", fs=rate_hz, output="sos"), wave)
    gain, omega = 10 ** (where.peak_db / 40), 2 * np.pi * where.peak_hz / rate_hz
    alpha = np.sin(omega) / 2
    peak = np.array([[1 + alpha * gain, -2 * np.cos(omega), 1 - alpha * gain,
                      1 + alpha / gain, -2 * np.cos(omega), 1 - alpha / gain]])  # fmt: skip
    wave = sosfilt(peak / peak[0, 3], wave)
    treble = sosfilt(butter(1, 4000, "highpass", fs=rate_hz, output="sos"), wave)
    return wave + (10 ** (where.treble_db / 20) - 1) * treble


def rms(wave: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def limited(wave: np.ndarray) -> np.ndarray:
    """The wave with its level lowered as far as the peak needs to stay below 0.98."""
    return wave * min(1.0, 0.98 / max(float(np.abs(wave).max()), 1e-9))
