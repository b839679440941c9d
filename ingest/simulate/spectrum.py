"""Analysis shared by the vocoders: short-time spectra, mel bands, pitch, linear prediction."""

from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.sparse
from scipy.ndimage import median_filter


@lru_cache(maxsize=32)
def window(size: int) -> np.ndarray:
    """Periodic Hann window, float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def framed(wave: np.ndarray, size: int, hop: int) -> np.ndarray:
    """(sample,) -> (frame, size) view, centred: frame k is around sample k * hop; reflected at the ends."""
    padded = np.pad(wave, (size // 2, size // 2 + (-len(wave)) % hop), mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


def stft(wave: np.ndarray, size: int, hop: int) -> np.ndarray:
    """(sample,) float32 -> (frame, size // 2 + 1) complex64, Hann window."""
    return scipy.fft.rfft(framed(wave, size, hop) * window(size), axis=1)


def istft(spectrum: np.ndarray, size: int, hop: int, samples: int) -> np.ndarray:
    """The least-squares inverse of `stft`: (sample,) float32. `size` must be a multiple of `hop`."""
    frames = scipy.fft.irfft(spectrum, size, axis=1).astype(np.float32, copy=False) * window(size)
    wave = overlap_add(frames, hop)
    weight = overlap_add(np.broadcast_to(window(size) ** 2, frames.shape), hop)
    wave = wave[size // 2 :] / np.maximum(weight[size // 2 :], 1e-3)
    return np.pad(wave, (0, max(0, samples - len(wave))))[:samples]


def overlap_add(frames: np.ndarray, hop: int) -> np.ndarray:
    """(frame, size) -> (sample,); `size` must be a multiple of `hop`."""
    count, size = frames.shape
    parts = size // hop
    out = np.zeros((count + parts - 1, hop), frames.dtype)
    for part in range(parts):
        out[part : part + count] += frames[:, part * hop : (part + 1) * hop]
    return out.ravel()


@lru_cache(maxsize=64)
def mel_filters(bands: int, size: int, rate_hz: int) -> scipy.sparse.csr_matrix:
    """(band, bin) triangles, equally spaced on the mel scale 2595 log10(1 + f / 700), each of sum one."""
    top = 2595 * np.log10(1 + rate_hz / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    bins = np.arange(size // 2 + 1) * rate_hz / size
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(np.minimum(rise, fall), 0)
    empty = triangles.sum(axis=1) == 0  # a band narrower than a bin takes the nearest one
    triangles[empty, np.round(edges[1:-1][empty] * size / rate_hz).astype(int)] = 1
    return scipy.sparse.csr_matrix((triangles / triangles.sum(axis=1, keepdims=True)).astype(np.float32))


def mel_magnitude(magnitude: np.ndarray, bands: int, size: int, rate_hz: int) -> np.ndarray:
    """(frame, bin) -> (frame, bin): what is left of a spectrum when only its mel bands are kept."""
    filters = mel_filters(bands, size, rate_hz)
    power = filters @ np.square(magnitude).T
    back = filters.T @ power
    weight = np.asarray(filters.sum(axis=0)).ravel()[:, None]
    # a bin takes the average of the bands it lies in; bins in no band (0 Hz) stay nearly empty
    return np.sqrt(back / np.maximum(weight, 1e-4)).T


def pitch(wave: np.ndarray, rate_hz: int, hop: int, *, low_hz: float = 65, high_hz: float = 600) -> np.ndarray:
    """(frame,) fundamental frequency in Hz, 0 where unvoiced: peak of the normalised autocorrelation."""
    size = int(2 ** np.ceil(np.log2(0.036 * rate_hz)))
    frames = framed(wave, size, hop) * window(size)
    power = np.square(np.abs(scipy.fft.rfft(frames, 2 * size, axis=1)))
    correlation = scipy.fft.irfft(power, axis=1)[:, :size]
    shape = scipy.fft.irfft(np.square(np.abs(scipy.fft.rfft(window(size), 2 * size))))[:size]
    energy = correlation[:, :1]
    correlation = correlation / np.maximum(energy, 1e-9) * (shape[0] / np.maximum(shape, 1e-3 * shape[0]))
    low, high = int(rate_hz / high_hz), min(int(rate_hz / low_hz), int(0.7 * size))
    lags = np.arange(low, high)
    weighted = correlation[:, low:high] - 0.08 * np.log2(lags / low)  # an octave down must be clearly better
    best = weighted.argmax(axis=1)
    height = correlation[np.arange(len(best)), best + low]
    loud = energy[:, 0] > 1e-4 * energy.max()
    hz = np.where((height > 0.55) & loud, rate_hz / (best + low), 0.0)
    return median_filter(hz, 5)


def lpc(wave: np.ndarray, order: int, size: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Linear prediction per frame: coefficients (frame, order + 1) with a leading one, gain (frame,)."""
    frames = framed(wave, size, hop) * window(size)
    power = np.square(np.abs(scipy.fft.rfft(frames.astype(np.float64), 2 * size, axis=1)))
    r = scipy.fft.irfft(power, axis=1)[:, : order + 1]
    r[:, 0] = r[:, 0] * (1 + 1e-5) + 1e-7
    r *= np.exp(-0.5 * (0.004 * np.arange(order + 1)) ** 2)  # lag window: no pole on the unit circle
    a = np.zeros((len(r), order + 1))
    a[:, 0] = 1
    error = r[:, 0].copy()
    for step in range(1, order + 1):  # Levinson and Durbin, all frames at once
        reflection = -np.einsum("fk,fk->f", a[:, :step], r[:, step:0:-1]) / error
        a[:, 1 : step + 1] += reflection[:, None] * a[:, step - 1 :: -1][:, :step]
        error *= 1 - reflection**2
    return a, np.sqrt(np.maximum(error, 0) / (np.square(window(size)).sum()))


def minimum_phase(magnitude: np.ndarray) -> np.ndarray:
    """(frame, bin) magnitude -> the complex spectrum of the same magnitude with minimum phase."""
    size = 2 * (magnitude.shape[1] - 1)
    cepstrum = scipy.fft.irfft(np.log(np.maximum(magnitude, 1e-7)), axis=1)
    cepstrum[:, 1 : size // 2] *= 2
    cepstrum[:, size // 2 + 1 :] = 0
    return np.exp(scipy.fft.rfft(cepstrum, axis=1))


def smooth_envelope(magnitude: np.ndarray, coefficients: int) -> np.ndarray:
    """(frame, bin) -> spectral envelope: the log spectrum without the cepstrum above `coefficients`."""
    cepstrum = scipy.fft.irfft(np.log(np.maximum(magnitude, 1e-6)), axis=1)
    cepstrum[:, coefficients : -coefficients + 1] = 0
    return np.exp(scipy.fft.rfft(cepstrum, axis=1).real)


def pulses(hz: np.ndarray, samples: int, rate_hz: int, hop: int) -> np.ndarray:
    """A pulse train of unit power that follows a pitch track; zero where unvoiced. (sample,) float32."""
    voiced = hz > 0
    if not voiced.any():
        return np.zeros(samples, np.float32)
    filled = np.interp(np.arange(len(hz)), np.flatnonzero(voiced), hz[voiced])
    track = np.interp(np.arange(samples) / hop, np.arange(len(hz)), filled)
    phase = np.cumsum(track) / rate_hz
    out = np.zeros(samples, np.float32)
    at = np.flatnonzero(np.diff(np.floor(phase), prepend=0.0) > 0)
    out[at] = np.sqrt(rate_hz / track[at])
    return out * voiced_samples(hz, samples, hop)


def voiced_samples(hz: np.ndarray, samples: int, hop: int) -> np.ndarray:
    """(sample,) float32 in [0, 1]: how voiced each sample is, with soft edges."""
    return np.interp(np.arange(samples) / hop, np.arange(len(hz)), hz > 0).astype(np.float32)
