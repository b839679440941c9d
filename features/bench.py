"""How fast the cheap features are on one CPU thread, beside torchaudio, librosa and a bare torch.stft."""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from features import extractors
from ingest import memory, turns

SAMPLES, CLIPS, ROUNDS = 48_000, 64, 40


class Setting(NamedTuple):
    """One feature in the setting of its default or a preset; n_fft, window and hop are its peers' as well."""

    feature: str
    preset: str | None
    n_fft: int
    window: int
    hop: int

    @property
    def name(self) -> str:
        """How its rows call it."""
        return self.feature if self.preset is None else f"{self.feature} of {self.preset}"


SETTINGS = (
    Setting("logspec", None, 512, 512, 187),
    Setting("logmel", None, 512, 400, 160),
    Setting("mfcc", None, 512, 400, 160),
    Setting("lfcc", "lcnn_s", 400, 400, 160),
    Setting("lfcc", "ctrsvdd", 512, 512, 160),
    Setting("lfcc", "lcnn2021", 1024, 320, 160),  # with deltas, energy and pre-emphasis: torchaudio has no equal
)
REACH = {"librosa": 3.0, "torchaudio": 1.5, "torch.stft": 0.6}


def rows() -> list[dict[str, Any]]:
    """One row for each feature and peer: value and limit in clips/s, reach = least value / limit.

    Clips are 3 s; all run one clip at a time, in turns, on one thread, in a process that keeps freed memory as those
    of `python -m features` do; medians of the rounds. Rows of librosa are there only where it is installed.
    """
    memory.keep_freed()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for setting in SETTINGS for row in _feature_rows(setting)]
    finally:
        torch.set_num_threads(threads)


def _feature_rows(setting: Setting) -> list[dict[str, Any]]:
    waves = 0.1 * torch.randn(CLIPS, SAMPLES, generator=torch.Generator().manual_seed(0))
    extractor = extractors.get(setting.feature, preset=setting.preset)
    calls: dict[str, Callable[[], int]] = {"ours": lambda: len(extractor.extract(waves))}
    for peer, function in _peers(setting).items():
        calls[peer] = lambda function=function: len([function(wave) for wave in waves])
    timed = turns.in_turns(calls, ROUNDS)
    what = f"{setting.name}, one thread, against"
    return [
        timed.row(f"{what} {peer} per clip", "ours", peer, unit="clips/s", reach=REACH[peer])
        for peer in calls if peer != "ours"
    ]  # fmt: skip


def _peers(setting: Setting) -> dict[str, Callable[[torch.Tensor], Any]]:
    _, _, n_fft, win, hop = setting
    window = torch.hann_window(win)
    centre = setting.feature != "lfcc" or setting.preset == "lcnn2021"
    peers = {"torch.stft": lambda wave: torch.stft(wave, n_fft, hop, win, window, center=centre, return_complex=True)}
    if setting.preset != "lcnn2021":
        peers["torchaudio"] = _torchaudio(setting)
    if importlib.util.find_spec("librosa") and setting.feature != "lfcc":
        peers["librosa"] = _librosa(setting)
    return peers


def _torchaudio(setting: Setting) -> Callable[[torch.Tensor], Any]:
    from torchaudio import transforms

    name = setting.feature
    spectrum = {"n_fft": setting.n_fft, "win_length": setting.window, "hop_length": setting.hop}
    if name == "logspec":
        power = transforms.Spectrogram(**spectrum)
        return lambda wave: (power(wave) + 1e-7).log()
    if name == "logmel":
        mel = transforms.MelSpectrogram(16_000, n_mels=80, **spectrum)
        return lambda wave: mel(wave).clamp(min=1e-10).log()
    if name == "mfcc":
        return transforms.MFCC(16_000, melkwargs={"n_mels": 80, **spectrum})
    filters = 20 if setting.preset == "ctrsvdd" else 128
    return transforms.LFCC(16_000, n_filter=filters, n_lfcc=60, speckwargs={**spectrum, "center": False})


def _librosa(setting: Setting) -> Callable[[torch.Tensor], Any]:
    import librosa
    import numpy as np

    name = setting.feature
    framing = {"n_fft": setting.n_fft, "win_length": setting.window, "hop_length": setting.hop}
    if name == "logspec":
        return lambda wave: np.log(np.abs(librosa.stft(wave.numpy(), **framing)) ** 2 + 1e-7)
    if name == "logmel":
        return lambda wave: np.log(
            librosa.feature.melspectrogram(y=wave.numpy(), sr=16_000, n_mels=80, htk=True, norm=None, **framing) + 1e-10
        )
    return lambda wave: librosa.feature.mfcc(
        y=wave.numpy(), sr=16_000, n_mfcc=40, n_mels=80, htk=True, norm="ortho", **framing
    )
