"""How fast the cheap features are on one CPU thread, beside torchaudio, librosa and a bare torch.stft."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from features import extractors

SAMPLES, CLIPS, ROUNDS = 48_000, 16, 15
SETTINGS = {  # the setting whose peers give equal output: preset, n_fft, window, hop
    "logspec": (None, 512, 512, 187),
    "logmel": (None, 512, 400, 160),
    "mfcc": (None, 512, 400, 160),
    "lfcc": ("lcnn_s", 400, 400, 160),
}
REACH = {"librosa": 3.0, "torchaudio": 1.5, "torch.stft": 0.6}


def rows() -> list[dict[str, Any]]:
    """One row for each feature and peer: value and limit in clips/s, reach = least value / limit.

    Clips are 3 s; all run one clip at a time, in turns, on one thread; medians of the rounds. Rows of librosa
    are there only where it is installed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for name in SETTINGS for row in _feature_rows(name)]
    finally:
        torch.set_num_threads(threads)


def _feature_rows(name: str) -> list[dict[str, Any]]:
    waves = 0.1 * torch.randn(CLIPS, SAMPLES, generator=torch.Generator().manual_seed(0))
    extractor = extractors.get(name, preset=SETTINGS[name][0])
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: extractor.extract(waves)}
    for peer, function in _peers(name).items():
        calls[peer] = lambda function=function: [function(wave) for wave in waves]
    rates = _rates(calls)
    return [
        {"name": f"{name}, one thread, against {peer} per clip", "value": rates["ours"], "unit": "clips/s",
         "limit": rates[peer], "reach": REACH[peer]}
        for peer in calls if peer != "ours"
    ]  # fmt: skip


def _rates(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Clips per second of each, from the median of rounds in which they take turns."""
    spent: dict[str, list[float]] = {peer: [] for peer in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for peer, call in calls.items():
            started = time.perf_counter()
            call()
            spent[peer].append(time.perf_counter() - started)
    return {peer: CLIPS / statistics.median(times) for peer, times in spent.items()}


def _peers(name: str) -> dict[str, Callable[[torch.Tensor], Any]]:
    import torchaudio

    _, n_fft, win, hop = SETTINGS[name]
    window = torch.hann_window(win)
    centre = name != "lfcc"
    spectrum = {"n_fft": n_fft, "win_length": win, "hop_length": hop}
    transform = torchaudio.transforms
    if name == "logspec":
        module = transform.Spectrogram(**spectrum)
        peer = lambda wave: (module(wave) + 1e-7).log()  # noqa: E731
    elif name == "logmel":
        module = transform.MelSpectrogram(16_000, n_mels=80, **spectrum)
        peer = lambda wave: module(wave).clamp(min=1e-10).log()  # noqa: E731
    elif name == "mfcc":
        peer = transform.MFCC(16_000, melkwargs={"n_mels": 80, **spectrum})
    else:
        peer = transform.LFCC(16_000, n_lfcc=60, speckwargs={**spectrum, "center": False})
    peers = {
        "torchaudio": peer,
        "torch.stft": lambda wave: torch.stft(wave, n_fft, hop, win, window, center=centre, return_complex=True),
    }
    if importlib.util.find_spec("librosa") and name != "lfcc":
        peers["librosa"] = _librosa(name, n_fft, win, hop)
    return peers


def _librosa(name: str, n_fft: int, win: int, hop: int) -> Callable[[torch.Tensor], Any]:
    import librosa
    import numpy as np

    framing = {"n_fft": n_fft, "win_length": win, "hop_length": hop}
    if name == "logspec":
        return lambda wave: np.log(np.abs(librosa.stft(wave.numpy(), **framing)) ** 2 + 1e-7)
    if name == "logmel":
        return lambda wave: np.log(
            librosa.feature.melspectrogram(y=wave.numpy(), sr=16_000, n_mels=80, htk=True, norm=None, **framing) + 1e-10
        )
    return lambda wave: librosa.feature.mfcc(
        y=wave.numpy(), sr=16_000, n_mfcc=40, n_mels=80, htk=True, norm="ortho", **framing
    )
