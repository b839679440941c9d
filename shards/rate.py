"""Resampling between any two rates with the filters that the papers name, built once a process; speed by resampling."""

import contextlib
import functools
import math
from collections.abc import Iterator

import numpy as np

from ingest import resample

RATE_HZ = 16_000
KAISER = {"resampling_method": "sinc_interp_kaiser", "beta": 14.769656459379492}
# What torchaudio's page names after librosa's kaiser_best: steep, so a band of 8 kHz rate has nothing above 4 kHz.
STEEP = KAISER | {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596}


def resampled(wave: np.ndarray, from_hz: int, to_hz: int, *, steep: bool = False) -> np.ndarray:
    """float32 (sample,) at from_hz -> float32 (ceil(sample * to_hz / from_hz),): torchaudio's defaults, or STEEP."""
    return _resampled(wave, from_hz, to_hz, "steep" if steep else "hann")


def speed_changed(wave: np.ndarray, percent: int) -> np.ndarray:
    """float32 (sample,) played at `percent` of its speed: (ceil(100 sample / percent),); the pitch changes with it.

    Resampling from 160 * percent Hz to 16 kHz and taking the result for 16 kHz (windowed sinc, Kaiser window of beta
    14.77, width 6, rolloff 0.99), as the public code of "Robust AI-Synthesized Speech Detection" does.
    """
    return _resampled(wave, RATE_HZ * percent // 100, RATE_HZ, "kaiser")


def _resampled(wave: np.ndarray, from_hz: int, to_hz: int, window: str) -> np.ndarray:
    if from_hz == to_hz:
        return wave
    import torch
    from torchaudio.functional import functional

    if window == "hann" and to_hz == RATE_HZ:  # the same bits in less time and memory
        with _one_thread():
            return resample.resampled(np.ascontiguousarray(wave, dtype=np.float32), from_hz)
    divisor, (kernel, width) = math.gcd(from_hz, to_hz), _kernel(from_hz, to_hz, window)
    convolve = functional._apply_sinc_resample_kernel
    source = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
    with _one_thread():
        return convolve(source, from_hz, to_hz, divisor, kernel, width).numpy()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The order in which a convolution adds up, and so its last bit, depends on the number of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.lru_cache(maxsize=256)
def _kernel(from_hz: int, to_hz: int, window: str) -> tuple:
    import torch
    from torchaudio.functional import functional

    return functional._get_sinc_resample_kernel(
        from_hz, to_hz, math.gcd(from_hz, to_hz), device=torch.device("cpu"), dtype=torch.float32,
        **{"hann": {}, "steep": STEEP, "kaiser": KAISER}[window],
    )  # fmt: skip
