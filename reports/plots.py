"""Drawings: numbers in, a matplotlib figure out; written as SVG and PNG, the same bytes for the same numbers.

Colours and ink are those of benchmark.drawing; each series has its own dash or marker besides. The PNG has a white
ground.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.special import ndtr, ndtri

from benchmark.drawing import COLOURS, INK, styled, svg, without_font
from ingest.files import atomic

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 3)))
MARKERS = "osD^vPX*"
RATES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
POINTS = 160  # of a curve in the drawing
SLOPE = 0.02  # of both rates at once, from one point to the next, that is drawn as what it is
LETTER, LEGEND_LETTER = 0.076, 0.068  # inches of a letter, of one in a legend
FEW = 8  # points that are all named
NARROWEST = 2.6  # inches that are left to the drawing
LARGEST = 1e300  # score in a histogram: the span of larger ones is no number
NUMBERED = 150  # cells of a heat map that still have room for their numbers


def write(figure: Figure, path: Path) -> None:
    """Write PATH.svg, which follows the reader's light or dark setting, and PATH.png at 160 dots per inch."""
    theme = "<style>svg{color:#1a1a1a}@media (prefers-color-scheme:dark){svg{color:#e6e6e6}}</style>"
    text = svg(figure, path.name)
    text = text.replace("<svg ", '<svg role="img" ', 1)
    end = text.index(">") + 1
    with atomic(path.with_name(f"{path.name}.svg")) as temporary:
        temporary.write_text(text[:end] + theme + text[end:], encoding="utf-8")
    if letters := without_font(figure):
        print(
            f"{path.name}.png: no font for {letters}, which are boxes there; {path.name}.svg has them", file=sys.stderr
        )
    with atomic(path.with_name(f"{path.name}.png")) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def _axes(
    width: float = 6.4, height: float = 3.6, *, legend: Iterable[str] = (), left: float = 0.65
) -> tuple[Figure, Axes]:  # fmt: skip
    """A figure of that many inches with room for a legend of these names to its right; wider if they are long.

    Margins are reckoned, not measured: measuring every text takes longer than drawing it.
    """
    right = 0.15 + max((0.5 + LEGEND_LETTER * len(name) for name in legend), default=0.0)
    width = max(width, left + right + NARROWEST)
    figure = Figure(figsize=(width, height))
    low, top = 0.5, 0.12
    place = (left / width, low / height, 1 - (left + right) / width, 1 - (low + top) / height)
    axes = figure.add_axes(place)
    axes.set_anchor("W")
    return figure, axes


def _legend(axes: Axes, *, outside: bool = True) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**({"loc": "center left", "bbox_to_anchor": (1.01, 0.5)} if outside else {}))


@dataclass(frozen=True, slots=True)
class Det:
    """Points of a DET curve: shares in [0, 1]; a threshold per point, miss rising."""

    miss: np.ndarray
    false_alarm: np.ndarray


def det_points(bonafide: np.ndarray, spoof: np.ndarray, points: int = POINTS) -> Det:
    """Miss and false-alarm rates at thresholds taken evenly in both rates, closer where these are small; equal scores
    are never separated."""
    b, s = np.sort(bonafide), np.sort(spoof)
    tail = np.geomspace(RATES[0] / 2, 1 / points, 8)
    share = np.unique(np.concatenate([np.linspace(0, 1, points), tail, 1 - tail]))
    threshold = np.unique(
        np.concatenate([np.quantile(b, share, method="nearest"), np.quantile(s, share, method="nearest")])
    )
    miss = np.searchsorted(b, threshold) / b.size
    return Det(np.append(miss, 1.0), np.append(1 - np.searchsorted(s, threshold) / s.size, 0.0))


def straight(d: Det) -> Det:
    """The curve with more points along its long slopes: equal scores join two points by a line that is straight in
    rates, and bent on normal-deviate axes."""
    part = ndtr(np.linspace(-4, 4, 33))
    rates = [np.stack([d.miss[:1], d.false_alarm[:1]])]
    for k in range(d.miss.size - 1):
        start, end = (np.array([[d.miss[place]], [d.false_alarm[place]]]) for place in (k, k + 1))
        if np.abs(end - start).min() > SLOPE:
            rates.append(start + part * (end - start))
        rates.append(end)
    return Det(*np.concatenate(rates, axis=1))


@styled
def det(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Miss against false alarm on normal-deviate axes (Martin et al., The DET curve, 1997).

    curves: name -> (bona fide scores, spoof scores), higher = more bona fide.
    """
    figure, axes = _axes(6.4, 4.2, legend=curves)
    low, high = ndtri(RATES[0]), ndtri(RATES[-1])
    for k, (name, (bonafide, spoof)) in enumerate(curves.items()):
        d = straight(det_points(bonafide, spoof))
        x, y = (np.clip(ndtri(np.clip(r, 1e-9, 1 - 1e-9)), low, high) for r in (d.false_alarm, d.miss))
        axes.plot(x, y, color=COLOURS[k % 8], linestyle=DASHES[k % 8], linewidth=1.4, label=name)
    axes.plot([low, high], [low, high], color=INK, linewidth=0.6)
    ticks = [float(ndtri(rate)) for rate in RATES]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{100 * rate:g}" for rate in RATES])
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="false alarms, % of spoof", ylabel="misses, % of bona fide")
    axes.set_aspect("equal")
    _legend(axes)
    return figure


@styled
def histogram(
    bonafide: np.ndarray, spoof: np.ndarray, *, threshold: float | None = None, threshold_label: str = "dev threshold"
) -> Figure:  # fmt: skip
    """Shares of each class per score bin; threshold: a line, by default that of the dev EER."""
    figure, axes = _axes(legend=["bona fide", threshold_label if threshold is not None else ""], left=0.75)
    bonafide, spoof = (np.clip(scores, -LARGEST, LARGEST) for scores in (bonafide, spoof))
    both = np.concatenate([bonafide, spoof])
    low, high = np.quantile(both, [0.001, 0.999])
    bins = np.linspace(low, high if high > low else low + 1, 41)
    for k, (name, scores) in enumerate((("bona fide", bonafide), ("spoof", spoof))):
        share = np.histogram(np.clip(scores, bins[0], bins[-1]), bins)[0] / scores.size
        axes.stairs(share, bins, fill=True, alpha=0.35, color=COLOURS[(0, 3)[k]])
        axes.stairs(share, bins, color=COLOURS[(0, 3)[k]], linestyle=DASHES[k], linewidth=1.3, label=name)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=":", label=threshold_label)
    axes.set(xlabel="score, higher = more bona fide", ylabel="share of the class")
    _legend(axes)
    return figure


@styled
def heat(rows: Sequence[str], columns: Sequence[str], values: np.ndarray, *, label: str = "EER %") -> Figure:
    """A matrix of percent; NaN stays empty. values (row, column) in [0, 100], written in up to NUMBERED cells."""
    values = np.asarray(values, float)
    left, low = (0.25 + LEGEND_LETTER * share * max(map(len, names)) for names, share in ((rows, 1), (columns, 0.85)))
    left = max(left, 0.8 * low)  # the first column's name leans out to the left
    across, down = max(0.42 * len(columns), 1.6), max(0.27 * len(rows), 0.8)
    width, height = left + across + 1.0, low + down + 0.15
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, low / height, across / width, down / height))
    beside = figure.add_axes(((left + across + 0.15) / width, low / height, 0.14 / width, down / height))
    top = max(50.0, float(np.nanmax(values))) if np.isfinite(values).any() else 50.0
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    written = np.isfinite(values) if values.size <= NUMBERED else np.zeros(values.shape, bool)
    for row, column in zip(*np.nonzero(written)):
        value = values[row, column]
        ink = "white" if value < 0.5 * top else "black"
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=ink, fontsize=7)
    axes.set_xticks(range(len(columns)), columns, rotation=55, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.grid(visible=False)
    figure.colorbar(image, cax=beside, label=label)
    return figure


@styled
def bars(
    levels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, label: str = "EER %",
    marks: Mapping[str, Sequence[float | None]] | None = None, marks_label: str = "published",
) -> Figure:  # fmt: skip
    """Groups of horizontal bars: one group per level, one bar per series; a value of 0 and a missing one are written.

    marks: series -> a diamond per level on its bars.
    """
    marked = {name: values for name, values in (marks or {}).items() if any(v is not None for v in values)}
    count = max(len(series), 1)
    left = 0.25 + LETTER * max(map(len, levels), default=0)
    height = 1.0 + len(levels) * (0.12 * count + 0.14)
    figure, axes = _axes(6.4, height, legend=[*series, *([marks_label] if marked else [])], left=left)
    place, thick = np.arange(len(levels)), 0.8 / count
    for k, (name, values) in enumerate(series.items()):
        known = np.array([np.nan if v is None else v for v in values], float)
        y = place + (k - (count - 1) / 2) * thick
        axes.barh(
            y, known, height=0.9 * thick, color=COLOURS[k % 8], hatch=("", "//", "..", "xx")[k // 8 % 4], label=name
        )
        for where, value in zip(y, known):
            if not value > 0:
                word = "none" if np.isnan(value) else "0"
                axes.annotate(word, (0, where), xytext=(3, 0), textcoords="offset points", va="center", fontsize=6)
        if name in marked:
            there = [(mark, where) for mark, where in zip(marked[name], y) if mark is not None]
            label_once = marks_label if name == next(iter(marked)) else None
            axes.scatter(
                *zip(*there), marker="D", s=22, facecolor="none", edgecolor=INK, label=label_once, zorder=3
            )  # fmt: skip
    axes.set_yticks(place, levels)
    axes.set(xlabel=label)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    _legend(axes)
    return figure


@styled
def curves(series: Mapping[str, Sequence[tuple[float, float]]], *, x: str = "epoch", y: str = "") -> Figure:
    """Lines through (x, y) points, each series with its marker."""
    figure, axes = _axes(6.4, 3.0, legend=series)
    for k, (name, points) in enumerate(series.items()):
        xs, ys = zip(*points)
        axes.plot(
            xs, ys, color=COLOURS[k % 8], linestyle=DASHES[k % 8], marker=MARKERS[k % 8], markersize=3, label=name
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel=x, ylabel=y)
    _legend(axes)
    return figure


@styled
def scatter(points: Sequence[tuple[str, float, float]], *, x: str, y: str = "EER %") -> Figure:
    """Points; x, above 0, on a logarithmic axis. Of more than FEW, those that no cheaper one undercuts are named."""
    front = {
        name for name, cost, value in points
        if not any(c <= cost and v <= value and (c, v) != (cost, value) for _, c, v in points)
    }  # fmt: skip
    named = front if len(points) > FEW else {name for name, _, _ in points}
    figure, axes = _axes(6.4, 4.0, legend=[max(named, key=len)])
    for k, (name, cost, value) in enumerate(points):
        axes.scatter(cost, value, color=COLOURS[k % 8], marker=MARKERS[k // 8 % 8], s=28, zorder=3)
        if name in named:
            axes.annotate(name, (cost, value), xytext=(4, 3), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    low, high = axes.get_xlim()
    few = np.ceil(np.log10(low)) >= np.floor(np.log10(high))  # fewer than two powers of ten
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=x, ylabel=y)
    return figure


def _short(value: float) -> str:
    """A number for an axis, as 10 k or 1 M from ten thousand on."""
    for size, least, letter in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e3, 1e4, " k")):
        if value >= least:
            return f"{value / size:.10g}{letter}"
    return f"{value:.10g}"


@styled
def reliability(series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Observed share of bona fide against the predicted one, each class weighing one half; ideal: the diagonal.

    series: name -> (natural-log likelihood ratios of bona fide, of spoof).
    """
    figure, axes = _axes(6.4, 4.0, legend=series)
    for k, (name, ratios) in enumerate(series.items()):
        predicted, observed, _ = reliability_points(*ratios)
        axes.plot(
            100 * predicted, 100 * observed, color=COLOURS[k % 8], linestyle=DASHES[k % 8], marker=MARKERS[k % 8],
            markersize=4, label=name,
        )  # fmt: skip
    axes.plot([0, 100], [0, 100], color=INK, linewidth=0.6)
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xlabel="predicted: bona fide, %", ylabel="observed: bona fide, %")
    axes.set_aspect("equal")
    _legend(axes)
    return figure


def reliability_points(
    bonafide: np.ndarray, spoof: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(predicted, observed) mean probability of bona fide in each bin that holds a trial, at a prior of one half, and
    the share of the trials that it holds."""
    ratio = np.concatenate([bonafide, spoof])
    truth = np.repeat([1.0, 0.0], [len(bonafide), len(spoof)])
    weight = np.where(truth > 0, 0.5 / max(len(bonafide), 1), 0.5 / max(len(spoof), 1))
    predicted = 1 / (1 + np.exp(-np.clip(ratio, -500, 500)))
    place = np.minimum((predicted * bins).astype(int), bins - 1)
    total = np.bincount(place, weight, bins)
    full = total > 0
    means = [np.bincount(place, weight * v, bins)[full] / total[full] for v in (predicted, truth)]
    return means[0], means[1], total[full] / total.sum()


@styled
def cloud(points: np.ndarray, names: Sequence[str]) -> Figure:
    """Points of a plane by class, e.g. of a t-SNE; points (n, 2), names (n,)."""
    figure, axes = _axes(6.4, 4.2, legend=set(names), left=0.15)
    for k, name in enumerate(dict.fromkeys(names)):
        here = np.array([n == name for n in names])
        axes.scatter(
            *points[here].T,
            s=16 if len(points) > 500 else 34,
            color=COLOURS[k % 8],
            marker=MARKERS[k % 8],
            linewidths=0,
            label=name,
        )
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    _legend(axes)
    return figure


@styled
def maps(columns: Mapping[str, Sequence[np.ndarray]], rows: Sequence[str]) -> Figure:
    """Pictures in a grid, the first of each column the ground, the others laid over it; all (frequency, time)."""
    figure = Figure(figsize=(2.2 * len(columns) + 0.6, 1.7 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for column, (name, pictures) in enumerate(columns.items()):
        for row, picture in enumerate(pictures):
            axes = grid[row][column]
            axes.imshow(pictures[0], origin="lower", aspect="auto", cmap="gray")
            if row:
                axes.imshow(picture, origin="lower", aspect="auto", cmap="inferno", alpha=0.6, vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            if not row:
                axes.set_title(name, fontsize=8)
            if not column:
                axes.set_ylabel(rows[row], fontsize=8)
    return figure
