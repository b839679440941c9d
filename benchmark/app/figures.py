"""The two drawings of a verdict: window scores over the spectrogram, and where the detector looked."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.drawing import COLOURS, styled
from ingest.audio import RATE_HZ

BONAFIDE, SPOOF, NEITHER = COLOURS[5], COLOURS[1], "#dddddd"  # all stand out on a dark spectrogram
COLUMNS, BANDS, SIZE = 640, 128, 512  # of a spectrogram: most columns, bands, samples of a frame
FLOOR_DB = 65.0  # below the loudest


def spectrogram(wave: np.ndarray) -> np.ndarray:
    """(sample,) at 16 kHz -> (BANDS, column) dB from -FLOOR_DB to 0 = the loudest, 0 to 8 kHz; at most COLUMNS columns.

    Where the wave is longer than COLUMNS frames of 10 ms, columns lie farther apart.
    """
    hop = max(RATE_HZ // 100, -(-wave.size // COLUMNS))
    padded = np.pad(np.asarray(wave, np.float32), (SIZE // 2, SIZE // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, SIZE)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(SIZE), axis=1))[:, 1:] ** 2
    power = power.reshape(len(frames), BANDS, -1).mean(2).T
    db = 10 * np.log10(power + 1e-12)
    return np.maximum(db - db.max(), -FLOOR_DB)


def _ground(axes: Axes, picture: np.ndarray, span_s: tuple[float, float], top: float) -> None:
    """A dark picture that leaves the bright colours to what is drawn over it."""
    low, high = float(picture.min()), float(picture.max())
    axes.imshow(
        picture, origin="lower", aspect="auto", cmap="gray", extent=(*span_s, 0, top), interpolation="bilinear",
        vmin=low, vmax=high + 0.5 * max(high - low, 1e-6),
    )  # fmt: skip
    axes.grid(visible=False)


@styled
def timeline(
    wave: np.ndarray, windows: Sequence[tuple[float, float, float]], *, threshold: float | None,
    deciding: tuple[float, float, float],
) -> Figure:  # fmt: skip
    """Every window as a bar at its score, over the spectrogram; dotted the threshold, framed what decided.

    windows, deciding: (start_s, end_s, score); the latter need not be one of the windows.
    """
    duration_s = wave.size / RATE_HZ
    figure = Figure(figsize=(7.4, 3.1), layout="constrained")
    axes = figure.add_subplot()
    _ground(axes, spectrogram(wave), (0.0, duration_s), RATE_HZ / 2000)
    axes.set(xlim=(0, duration_s), xlabel="time, s", ylabel="frequency, kHz")
    axes.axvspan(*deciding[:2], facecolor="none", edgecolor="#ffffff", linewidth=2.2, linestyle=(0, (4, 2)))
    over = axes.twinx()
    over.grid(visible=False)
    over.spines["right"].set_visible(True)
    over.set_ylabel("score of the window (up: bona fide)")
    bars = [*windows, *([] if deciding in windows else [deciding])]
    for start_s, end_s, score in bars:
        colour = NEITHER if threshold is None else BONAFIDE if score > threshold else SPOOF
        over.hlines(score, start_s, end_s, color="#000000", linewidth=6.5, alpha=0.55)
        over.hlines(score, start_s, end_s, color=colour, linewidth=3.6)
    known = [score for _, _, score in bars] + ([] if threshold is None else [threshold])
    margin = 0.18 * (max(known) - min(known)) or 1.0
    over.set_ylim(min(known) - margin, max(known) + margin)
    if threshold is not None:
        over.axhline(threshold, color="#ffffff", linewidth=1.3, linestyle=":")
    return figure


@styled
def attention(
    wave: np.ndarray, start_s: float, *, feature: np.ndarray | None, maps: Mapping[str, np.ndarray]
) -> Figure:
    """Grad-CAM laid over what the network read: its feature, or the spectrogram where it reads the wave.

    wave: (sample,) of the window that begins at start_s; feature: (bin, frame); maps: stage -> (bin or 1, column).
    """
    span = (start_s, start_s + wave.size / RATE_HZ)
    ground, top = (spectrogram(wave), RATE_HZ / 2000) if feature is None else (feature, float(len(feature)))
    figure = Figure(figsize=(7.4, 1.15 + 1.35 * len(maps)), layout="constrained")
    rows = figure.subplots(len(maps), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, picture) in zip(rows, maps.items()):
        _ground(axes, ground, span, top)
        rows_of = np.repeat(picture, 2, axis=0) if len(picture) == 1 else picture
        axes.imshow(
            rows_of, origin="lower", aspect="auto", cmap="inferno", extent=(*span, 0, top), vmin=0, vmax=1,
            alpha=0.85 * np.sqrt(rows_of), interpolation="nearest",
        )  # fmt: skip
        axes.set_ylabel("frequency, kHz" if feature is None else "coefficient")
        if len(maps) > 1:
            axes.set_title(name, fontsize=9, loc="left")
    rows[-1].set_xlabel("time, s")
    return figure
