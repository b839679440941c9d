"""Changes of a waveform or a spectrogram in training; every draw comes from the generator that is passed in.

Waves are (sample,) float32 arrays at 16 kHz with a numpy generator; spectrograms are batched tensors.
"""

from collections.abc import Callable

import numpy as np
import scipy  # loads scipy.signal when it is first used: half a second
import torch
import torchaudio

from shards.noise import add_at_snr

RATE_HZ = 16_000


# SpecAugment (Park et al., arXiv 1904.08779) with two masks per axis.


def spec_augment(
    x: torch.Tensor, *, masks: int = 2, bins: int = 27, frames: int = 70, share: float = 0.2, swapped: bool = False,
    generator: torch.Generator | None = None,
) -> torch.Tensor:  # fmt: skip
    """(batch, frame, bin) -> the same with `masks` bands of bins and of frames set to the clip's mean.

    Widths are uniform below `bins`, and below min(frames, share * number of frames). swapped exchanges the axes.
    """
    mean = x.mean((1, 2), keepdim=True)
    frames = min(frames, int(share * x.shape[1]))
    narrow, wide = (1, 2) if swapped else (2, 1)
    covered = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    for axis, limit in [(narrow, bins), (wide, frames)] * masks:
        covered |= _stripes(x, axis, limit, generator)
    return torch.where(covered, mean, x)


def _stripes(x: torch.Tensor, axis: int, limit: int, generator: torch.Generator | None) -> torch.Tensor:
    """(batch, frame or 1, bin or 1) bool: one stripe per clip, narrower than `limit`, along `axis`."""
    size, batch = x.shape[axis], x.shape[0]
    draw = torch.rand((2, batch), device=x.device, generator=generator)
    width = (draw[0] * min(limit, size + 1)).floor()
    start = (draw[1] * (size - width + 1)).floor()
    position = torch.arange(size, device=x.device)
    stripe = (position >= start[:, None]) & (position < (start + width)[:, None])
    return stripe.unsqueeze(2 if axis == 1 else 1)


# RawBoost (Tak et al., arXiv 2111.04433), with the values of section 3.


def rawboost(wave: np.ndarray, algorithm: int, generator: np.random.Generator) -> np.ndarray:
    """One of RawBoost's algorithms: 1 convolutive, 2 impulsive, 3 coloured additive noise, 4 all three, 5 first two."""
    steps: dict[int, tuple[Callable, ...]] = {
        1: (convolutive_noise,),
        2: (impulsive_noise,),
        3: (coloured_noise,),
        4: (convolutive_noise, impulsive_noise, coloured_noise),
        5: (convolutive_noise, impulsive_noise),
    }
    if algorithm not in steps:
        raise ValueError(f"RawBoost algorithm {algorithm} is not one of 1 to 5")
    for step in steps[algorithm]:
        wave = step(wave, generator)
    return wave


def convolutive_noise(wave: np.ndarray, generator: np.random.Generator, *, powers: int = 5) -> np.ndarray:
    """Linear and non-linear convolutive noise: powers 1 to `powers` of the wave, each through notches of its own.

    The first has gain 0 dB, the others -20 to -5 dB. Mean removed; scaled down where it passes full scale.
    """
    total = np.zeros(wave.size)
    for power in range(1, powers + 1):
        gain_db = 0.0 if power == 1 else generator.uniform(-20, -5)
        total += _filtered(wave.astype(np.float64) ** power, _notches(generator, gain_db))
    return _within_full_scale(total - total.mean())


def impulsive_noise(
    wave: np.ndarray, generator: np.random.Generator, *, percent: float = 10.0, gain: float = 2.0
) -> np.ndarray:
    """Impulsive noise that follows the signal: up to `percent` of the samples x move by gain x u v, u, v in [-1, 1)."""
    count = int(wave.size * generator.uniform(0, percent) / 100)
    where = generator.permutation(wave.size)[:count]
    noisy = wave.astype(np.float64)
    noisy[where] *= 1 + gain * generator.uniform(-1, 1, count) * generator.uniform(-1, 1, count)
    return _within_full_scale(noisy)


def coloured_noise(
    wave: np.ndarray, generator: np.random.Generator, *, snr_db: tuple[float, float] = (10.0, 40.0)
) -> np.ndarray:
    """Stationary noise through random notches, at a signal-to-noise ratio drawn from `snr_db`."""
    noise = _filtered(generator.standard_normal(wave.size), _notches(generator, 0.0))
    return add_at_snr(wave, noise, generator.uniform(*snr_db))


def _notches(generator: np.random.Generator, gain_db: float, *, bands: int = 5) -> np.ndarray:
    """A filter of `bands` stop bands, 100 to 1,000 Hz wide, centred in 20 to 8,000 Hz, its peak at gain_db."""
    taps = np.ones(1)
    for _ in range(bands):
        centre_hz, width_hz = generator.uniform(20, 8000), generator.uniform(100, 1000)
        count = int(generator.integers(10, 100)) | 1  # odd: a band stop needs a centre tap
        low_hz = max(centre_hz - width_hz / 2, 1e-3)
        high_hz = min(centre_hz + width_hz / 2, RATE_HZ / 2 - 1e-3)
        taps = np.convolve(taps, scipy.signal.firwin(count, [low_hz, high_hz], window="hamming", fs=RATE_HZ))
    peak = np.abs(np.fft.rfft(taps, 1024)).max()
    return 10 ** (gain_db / 20) * taps / peak


def _filtered(wave: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The wave through a linear-phase filter, its delay removed; same length."""
    return scipy.signal.oaconvolve(wave, taps)[(taps.size - 1) // 2 :][: wave.size]


def _within_full_scale(wave: np.ndarray) -> np.ndarray:
    peak = np.abs(wave).max(initial=0.0)
    return (wave / peak if peak > 1 else wave).astype(np.float32)


# The set of reference-augmented training (rat.py). Its public code takes noise and filters from audiomentations, with
# the ranges that are the defaults there.


def time_mask(wave: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One block of 20 to 50 % of the samples set to zero."""
    length = int(wave.size * generator.uniform(0.2, 0.5))
    start = int(generator.integers(0, wave.size - length + 1))
    masked = wave.copy()
    masked[start : start + length] = 0
    return masked


def mu_law(wave: np.ndarray, *, levels: int = 256) -> np.ndarray:
    """Through a mu-law coder of `levels` levels and back; |wave| <= 1 is kept within [-1, 1]."""
    mu = levels - 1
    clipped = np.clip(wave, -1, 1).astype(np.float64)
    code = np.floor((np.sign(clipped) * np.log1p(mu * np.abs(clipped)) / np.log1p(mu) + 1) / 2 * mu + 0.5)
    compressed = 2 * code / mu - 1
    return (np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(mu)) / mu).astype(np.float32)


def trim_leading_silence(wave: np.ndarray) -> np.ndarray:
    """Without the silence before the first speech (torchaudio's detector); unchanged if nothing would be left."""
    trimmed = torchaudio.functional.vad(torch.from_numpy(np.ascontiguousarray(wave)), RATE_HZ).numpy()
    return trimmed if trimmed.size else wave


def add_noise(wave: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Noise of one of three kinds: coloured by -6 to 6 dB an octave or white at 5 to 40 dB, or white of fixed level."""
    noise = generator.standard_normal(wave.size)
    kind = generator.integers(3)
    if kind == 0:
        noise = scipy.signal.oaconvolve(noise, _colour(generator), "same")
        return add_at_snr(wave, noise, generator.uniform(5, 40))
    if kind == 1:
        return add_at_snr(wave, noise, generator.uniform(5, 40))
    return (wave + generator.uniform(0.001, 0.015) * noise).astype(np.float32)


def _colour(generator: np.random.Generator, *, taps: int = 128) -> np.ndarray:
    """A response of random phases that changes by -6 to 6 dB an octave from 125 Hz, the least that its taps tell."""
    hz = np.fft.rfftfreq(taps, 1 / RATE_HZ)
    hz[0] = 1
    gain = hz ** (generator.uniform(-6, 6) / (20 * np.log10(2)))
    return np.fft.irfft(gain * np.exp(1j * generator.uniform(0, 2 * np.pi, hz.size)))


CORNERS_HZ = {"band_pass": (200, 4000), "band_stop": (200, 4000), "high_pass": (20, 2400), "low_pass": (150, 7500)}
EQUALISERS = {  # lowest and highest centre in Hz, most gain in dB, least and greatest quality
    "high_shelf": (300, 7500, 18, 0.1, 0.999), "low_shelf": (50, 4000, 18, 0.1, 0.999),
    "peaking": (50, 7500, 24, 0.5, 5),
}  # fmt: skip
FILTERS = (*CORNERS_HZ, *EQUALISERS)


def filter_randomly(wave: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One of FILTERS: corner or centre drawn evenly in mel; Butterworth order 2 to 4, or width and gain."""
    kind = FILTERS[generator.integers(len(FILTERS))]
    if kind in EQUALISERS:
        low_hz, high_hz, most_db, *qualities = EQUALISERS[kind]
        centre_hz, gain_db = _evenly_in_mel(generator, low_hz, high_hz), generator.uniform(-most_db, most_db)
        sections = _equaliser(kind, centre_hz, gain_db, generator.uniform(*qualities))
    else:
        edges_hz, order = _evenly_in_mel(generator, *CORNERS_HZ[kind]), int(generator.integers(2, 5))
        if kind in ("band_pass", "band_stop"):
            width = generator.uniform(0.5, 1.99)
            edges_hz = (edges_hz * (1 - width / 2), min(edges_hz * (1 + width / 2), RATE_HZ / 2 - 1))
        sections = scipy.signal.butter(order, edges_hz, kind.replace("_", ""), fs=RATE_HZ, output="sos")
    return scipy.signal.sosfilt(sections, wave).astype(np.float32)


def _evenly_in_mel(generator: np.random.Generator, low_hz: float, high_hz: float) -> float:
    mel = generator.uniform(*np.log1p(np.array([low_hz, high_hz]) / 700))
    return float(700 * np.expm1(mel))


def _equaliser(kind: str, centre_hz: float, gain_db: float, quality: float) -> np.ndarray:
    """One second-order section of a shelf or a peak (Bristow-Johnson, audio EQ cookbook)."""
    a = 10 ** (gain_db / 40)
    angle = 2 * np.pi * centre_hz / RATE_HZ
    cosine, alpha = np.cos(angle), np.sin(angle) / (2 * quality)
    if kind == "peaking":
        b = [1 + alpha * a, -2 * cosine, 1 - alpha * a]
        c = [1 + alpha / a, -2 * cosine, 1 - alpha / a]
    else:
        sign = 1 if kind == "low_shelf" else -1
        root = 2 * np.sqrt(a) * alpha
        plus, minus = (a + 1) + sign * (a - 1) * cosine, (a + 1) - sign * (a - 1) * cosine
        b = [a * (minus + root), sign * 2 * a * ((a - 1) - sign * (a + 1) * cosine), a * (minus - root)]
        c = [plus + root, -sign * 2 * ((a - 1) + sign * (a + 1) * cosine), plus - root]
    return np.array([[*b, *c]]) / c[0]


def rat_set(wave: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The augmentation of reference-augmented training: each with its own chance, in this order.

    Leading silence trimmed 0.5, time mask 0.3, mu-law 0.3, RawBoost algorithm 5 0.3, noise then filter 0.3 (each of
    these two 0.9).
    """

    def chance(probability: float) -> bool:
        return generator.random() < probability

    if chance(0.5):
        wave = trim_leading_silence(wave)
    if chance(0.3):
        wave = time_mask(wave, generator)
    if chance(0.3):
        wave = mu_law(wave)
    if chance(0.3):
        wave = rawboost(wave, 5, generator)
    if chance(0.3):
        wave = add_noise(wave, generator) if chance(0.9) else wave
        wave = filter_randomly(wave, generator) if chance(0.9) else wave
    return wave


# What a detector's TRANSFORM names: applied to each training wave before its crop. Codecs and speeds are not here: a
# recipe that needs them asks for VARIANTS.
TRANSFORMS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "rawboost_3": lambda wave, generator: rawboost(wave, 3, generator),
    "rawboost_5": lambda wave, generator: rawboost(wave, 5, generator),
    "rat_set": rat_set,
}
