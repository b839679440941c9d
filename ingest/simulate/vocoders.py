"""Signal-processing vocoders: what makes the spoofs. Each analyses a recording and synthesises it again.

All have the form vocoder(wave, rate_hz, rng, **settings) -> wave: (sample,) float32 in, about as many out.
`copy` calls one by name, gives the result the loudness of its source, and pads it to whole hops if asked.
"""

import warnings
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType

import numpy as np
from scipy.signal import lfilter, resample_poly

from ingest.simulate.room import limited, rms
from ingest.simulate.spectrum import (
    istft,
    lpc,
    mel_magnitude,
    minimum_phase,
    pitch,
    pulses,
    smooth_envelope,
    stft,
    voiced_samples,
)

WORLD_FRAME_MS = 8.0


@lru_cache(maxsize=1)
def pyworld() -> ModuleType | None:
    """The WORLD vocoder's Python module, or None where its wheel is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pyworld as module
    except ImportError:
        return None
    return module


def griffin_lim(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, size: int = 1024, hop: int = 256,
    iterations: int = 16, mels: int = 0,
) -> np.ndarray:  # fmt: skip
    """Phase from magnitude alone (Griffin and Lim 1984, with the momentum of Perraudin et al. 2013).

    mels: keep only so many mel bands of the magnitude; 0 keeps the linear spectrum.
    """
    magnitude = np.abs(stft(wave, size, hop))
    if mels:
        magnitude = mel_magnitude(magnitude, mels, size, rate_hz)
    angle = np.exp(2j * np.pi * rng.random(magnitude.shape, np.float32)).astype(np.complex64)
    before: np.ndarray | float = 0.0
    for _ in range(iterations):
        now = stft(istft(magnitude * angle, size, hop, len(wave)), size, hop)
        angle = now + 0.9 * (now - before)
        angle /= np.maximum(np.abs(angle), 1e-9)
        before = now
    return istft(magnitude * angle, size, hop, len(wave))


def lpc_vocoder(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, order: int = 18, hop_s: float = 0.006,
    noise: float = 0.1, whisper: bool = False,
) -> np.ndarray:  # fmt: skip
    """All-pole filter excited by pulses where voiced and noise elsewhere (the LPC-10 family).

    noise: share of noise in the voiced excitation; whisper: noise only.
    """
    hop = int(hop_s * rate_hz)
    size = 2 * int(0.0125 * rate_hz)
    coefficients, gain = lpc(wave, order, size, hop)
    hz = pitch(wave, rate_hz, hop) * (not whisper)
    voiced = voiced_samples(hz, len(wave), hop)
    hiss = rng.standard_normal(len(wave), np.float32)
    excitation = pulses(hz, len(wave), rate_hz, hop) * np.sqrt(1 - noise) + hiss * np.sqrt(1 - voiced * (1 - noise))
    level = np.interp(np.arange(len(wave)) / hop, np.arange(len(gain)), gain)
    out, state = np.empty(len(wave)), np.zeros(order)
    excitation = excitation * level
    for frame in range(len(coefficients)):
        start, stop = max(0, frame * hop - hop // 2), min(len(wave), frame * hop + hop - hop // 2)
        if stop > start:
            out[start:stop], state = lfilter([1.0], coefficients[frame], excitation[start:stop], zi=state)
    return out.astype(np.float32)


def sinusoidal(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, harmonics: int = 50, hop_s: float = 0.008,
    residual: float = 0.8,
) -> np.ndarray:  # fmt: skip
    """Harmonic sinusoids where voiced plus shaped noise (McAulay and Quatieri 1986; harmonic plus noise model)."""
    hop, samples = int(hop_s * rate_hz), len(wave)
    size = 1024 if rate_hz <= 24_000 else 2048
    magnitude = np.abs(stft(wave, size, hop)) / (size / 4)
    hz = pitch(wave, rate_hz, hop)[: len(magnitude)]
    voiced = hz > 0
    filled = np.interp(np.arange(len(hz)), np.flatnonzero(voiced), hz[voiced]) if voiced.any() else hz + 100
    track = np.interp(np.arange(samples) / hop, np.arange(len(hz)), filled)
    phase = 2 * np.pi * np.cumsum(track) / rate_hz
    cosine = np.cos(phase).astype(np.float32)
    before, now = np.ones_like(cosine), cosine  # cos(k p) = 2 cos(p) cos((k-1) p) - cos((k-2) p)
    out = np.zeros(samples, np.float32)
    rows, place = np.arange(len(hz)), np.arange(samples) / hop
    left = np.minimum(place.astype(int), len(hz) - 1)
    right, share = np.minimum(left + 1, len(hz) - 1), (place - left).astype(np.float32)
    top_hz = 0.47 * rate_hz
    for number in range(1, harmonics + 1):
        bins = np.round(number * filled * size / rate_hz).astype(int)
        inside = np.clip(bins, 1, size // 2 - 1)
        near = np.maximum(magnitude[rows, inside], 0.5 * (magnitude[rows, inside - 1] + magnitude[rows, inside + 1]))
        level = (near * voiced * (number * filled < top_hz)).astype(np.float32)
        if level.any():
            out += (level[left] * (1 - share) + level[right] * share) * now
        before, now = now, 2 * cosine * now - before
    shape = smooth_envelope(magnitude * (size / 4), 30)
    covered = np.where(voiced, harmonics * filled, 0)[:, None]
    bins_hz = np.arange(size // 2 + 1) * rate_hz / size
    quiet = np.where(bins_hz < covered, 0.12 * residual, residual)
    turned = np.exp(2j * np.pi * rng.random(shape.shape, np.float32))
    # `size` is no multiple of this hop, so the noise is made by filtering white noise on a grid of its own
    return out + _shaped_noise(shape * quiet, turned, size, hop, samples, rng)


def _shaped_noise(
    shape: np.ndarray, turned: np.ndarray, size: int, hop: int, samples: int, rng: np.random.Generator
) -> np.ndarray:
    grid = size // 4
    rows = np.minimum(np.round(np.arange(samples // grid + 2) * grid / hop).astype(int), len(shape) - 1)
    return istft((shape * turned)[rows], size, grid, samples)


def channel(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, bands: int = 32, size: int = 512,
    pulse: float = 0.0,
) -> np.ndarray:  # fmt: skip
    """Channel vocoder: the envelope of each mel band imposed on noise, or partly on pulses (Dudley 1939)."""
    hop = size // 4
    shape = mel_magnitude(np.abs(stft(wave, size, hop)), bands, size, rate_hz)
    carrier = rng.standard_normal(len(wave), np.float32)
    if pulse:
        hz = pitch(wave, rate_hz, hop)
        voiced = voiced_samples(hz, len(wave), hop) * pulse
        carrier = carrier * np.sqrt(1 - voiced) + pulses(hz, len(wave), rate_hz, hop) * np.sqrt(voiced)
    return istft(stft(carrier, size, hop) * shape, size, hop, len(wave))


def cepstral(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, coefficients: int = 60, size: int = 1024,
    noise: float = 0.15,
) -> np.ndarray:  # fmt: skip
    """Minimum-phase cepstral envelope on mixed excitation: pulses below, noise above (the STRAIGHT family)."""
    hop = size // 8
    shape = minimum_phase(smooth_envelope(np.abs(stft(wave, size, hop)), coefficients))
    hz = pitch(wave, rate_hz, hop)
    voiced = (np.interp(np.arange(len(shape)), np.arange(len(hz)), hz > 0))[:, None].astype(np.float32)
    bins_hz = np.arange(size // 2 + 1) * rate_hz / size
    noisy = np.clip(noise + (bins_hz - 2500) / 5000, noise, 0.9).astype(np.float32)
    share = 1 - voiced * (1 - noisy)
    hiss = stft(rng.standard_normal(len(wave), np.float32), size, hop)
    buzz = stft(pulses(hz, len(wave), rate_hz, hop), size, hop)
    mixed = hiss * np.sqrt(share) + buzz * np.sqrt(1 - share)
    return istft(mixed * shape, size, hop, len(wave))


def world(wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, dimensions: int = 0) -> np.ndarray:
    """WORLD (Morise et al. 2016). dimensions: code the envelope in so many coefficients, 0 keeps it whole.

    Without pyworld's wheel, `cepstral` with as many coefficients stands in.
    """
    module = pyworld()
    if module is None:
        return cepstral(wave, rate_hz, rng, coefficients=dimensions or 80, noise=0.05)
    signal = wave.astype(np.float64)
    hz, time = module.dio(signal, rate_hz, f0_ceil=700.0, frame_period=WORLD_FRAME_MS)
    hz = module.stonemask(signal, hz, time, rate_hz)
    shape = module.cheaptrick(signal, hz, time, rate_hz)
    aperiodicity = module.d4c(signal, hz, time, rate_hz)
    if dimensions:
        size = module.get_cheaptrick_fft_size(rate_hz)
        coded = module.code_spectral_envelope(shape, rate_hz, dimensions)
        shape = module.decode_spectral_envelope(coded, rate_hz, size)
        coded = module.code_aperiodicity(aperiodicity, rate_hz)
        aperiodicity = module.decode_aperiodicity(coded, rate_hz, size)
    return module.synthesize(hz, shape, aperiodicity, rate_hz, WORLD_FRAME_MS).astype(np.float32)


def phase_vocoder(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, semitones: float = 2.0, size: int = 1024
) -> np.ndarray:
    """Pitch and formants moved: stretched in time by a phase vocoder, then resampled (Flanagan and Golden 1966)."""
    down, ratio = 100, round(100 * 2 ** (semitones / 12))
    hop = size // 4
    spectrum = stft(wave, size, hop)
    place = np.arange(0, len(spectrum) - 1, down / ratio)
    left = place.astype(int)
    share = (place - left).astype(np.float32)[:, None]
    magnitude = np.abs(spectrum[left]) * (1 - share) + np.abs(spectrum[left + 1]) * share
    angle = np.angle(spectrum)
    advance = (2 * np.pi * hop / size) * np.arange(size // 2 + 1)
    turn = np.diff(angle, axis=0) - advance
    turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
    phase = np.cumsum(np.concatenate([angle[:1], (turn + advance)[left[:-1]]]), axis=0)
    stretched = istft((magnitude * np.exp(1j * phase)).astype(np.complex64), size, hop, len(wave) * ratio // down)
    return resample_poly(stretched, down, ratio).astype(np.float32)


def concatenation(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, unit_s: float = 0.08, reach_s: float = 0.02
) -> np.ndarray:
    """Waveform concatenation: units taken a little off their place, joined where they fit best (WSOLA, 1993)."""
    half, reach = int(unit_s * rate_hz) // 2, int(reach_s * rate_hz)
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(half) + 0.5) / half, dtype=np.float32)
    padded = np.pad(wave, (reach + half, 2 * reach + 3 * half))
    out = np.zeros(len(wave) + 3 * half, np.float32)
    follow = padded[reach : reach + half]
    for start in range(0, len(wave) + half, half):
        middle = start + reach + int(rng.integers(-reach // 2, reach // 2 + 1))
        low = max(middle - reach // 2, 0)
        field = padded[low : low + reach + half]
        fits = np.correlate(field, follow, "valid") if len(field) > half else np.zeros(1)
        best = low + int(fits.argmax())
        unit = padded[best : best + 2 * half]
        if len(unit) < 2 * half:
            break
        out[start : start + half] += unit[:half] * fade
        out[start + half : start + 2 * half] += unit[half:] * fade[::-1]
        follow = padded[best + half : best + 2 * half]
    return out[half : half + len(wave)]


def band_extension(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, *, cut_hz: float = 1800, bands: int = 24,
    size: int = 512,
) -> np.ndarray:  # fmt: skip
    """The low band kept; above `cut_hz` its mirror image, shaped by the mel envelope of the original."""
    hop = size // 4
    spectrum = stft(wave, size, hop)
    cut = int(cut_hz * size / rate_hz)
    shape = mel_magnitude(np.abs(spectrum), bands, size, rate_hz)
    image = np.arange(spectrum.shape[1])
    image = np.abs((image + cut) % (2 * cut) - cut)  # folds every bin into 0..cut
    filled = spectrum[:, image] / np.maximum(mel_magnitude(np.abs(spectrum[:, image]), bands, size, rate_hz), 1e-7)
    blend = np.clip((np.arange(spectrum.shape[1]) - cut) / max(cut // 8, 1), 0, 1)
    return istft((spectrum * (1 - blend) + filled * shape * blend).astype(np.complex64), size, hop, len(wave))


VOCODERS: dict[str, Callable[..., np.ndarray]] = {
    vocoder.__name__: vocoder
    for vocoder in (
        griffin_lim, lpc_vocoder, sinusoidal, channel, cepstral, world, phase_vocoder, concatenation, band_extension,
    )
}  # fmt: skip


def copy(
    wave: np.ndarray, rate_hz: int, rng: np.random.Generator, vocoder: str, *, pad_to: int = 0, **settings: object
) -> np.ndarray:
    """Copy synthesis by the vocoder of this name: (sample,) float32, loudness and offset of its source, peak below 1.

    The result has the length of the source, or the next multiple of `pad_to` samples as hop-based vocoders give.
    """
    made = VOCODERS[vocoder](wave, rate_hz, rng, **settings)
    samples = len(wave) + ((-len(wave)) % pad_to if pad_to else 0)
    made = np.pad(made, (0, max(0, samples - len(made))))[:samples]
    made = made - made.mean()
    return limited(wave.mean() + made * (rms(wave - wave.mean()) / max(rms(made), 1e-9))).astype(np.float32)
