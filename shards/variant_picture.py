"""python -m shards.variant_picture [FILE]: spectrograms of one simulated voice in every kind of variant, as a PNG."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ingest.cli import Parser, run
from ingest.files import atomic
from ingest.types import DataError
from shards import variants
from shards.rate import RATE_HZ

WORDS = (
    "original", "aac-16k", "aac-32k", "aac-64k", "phone", "opus-16k", "opus-32k", "opus-64k", "vorbis-q3", "g722",
    "mp3-16k", "mp3-32k", "mp3-64k", "alaw", "ulaw", "amr-4k75", "amr-12k2", "white-10db", "pink-10db", "reverb-400ms",
    "speed-50", "speed-80", "speed-120", "speed-200", "mp3-32k_speed-90",
)  # fmt: skip
COLUMNS, SECONDS, SEED = 5, 1.6, 0
PAGE = Path(__file__).resolve().parents[1] / "docs" / "variants.png"
_WINDOW, _HOP, _FLOOR_DB = 400, 80, -70


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture of docs/variants.md."""
    parser = Parser(prog="python -m shards.variant_picture", description=__doc__)
    parser.add_argument(
        "file", nargs="?", type=Path, default=PAGE, help="the PNG to write (default: docs/variants.png)"
    )
    picture(parser.parse_args(argv).file)
    return 0


def picture(path: Path) -> None:
    """Draw the spectrograms of WORDS. Raises DataError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DataError("the picture needs matplotlib; run: pip install matplotlib") from None
    wave, rows = voice(), -(-len(WORDS) // COLUMNS)
    figure = Figure(figsize=(12, 1.75 * rows), layout="constrained")
    for word, axis in zip(WORDS, figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flat, strict=True):
        copy = variants.apply(wave, word, seed=SEED)
        axis.imshow(
            spectrogram_db(copy), origin="lower", aspect="auto", cmap="magma", vmin=_FLOOR_DB, vmax=0,
            extent=(0, copy.size / RATE_HZ, 0, 8),
        )  # fmt: skip
        axis.set_title(word, fontsize=9)
        axis.set_xlim(0, 2 * SECONDS)
        axis.set_facecolor("0.9")
        axis.tick_params(labelsize=7)
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel("kHz", fontsize=9)
    with atomic(path) as temporary:
        temporary.write_bytes(_png(figure))


def voice() -> np.ndarray:
    """A few syllables of a simulated speaker: float32 (sample,) at 16 kHz."""
    from ingest.simulate import voice as speech

    who = speech.speaker("picture", "F")
    wave = speech.speak(who, "en", SECONDS, RATE_HZ, np.random.default_rng(SEED))
    wave = wave[: int(SECONDS * RATE_HZ)]
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def spectrogram_db(wave: np.ndarray) -> np.ndarray:
    """(sample,) -> (band, frame): level in dB below the loudest, 25 ms Hann windows, 5 ms hop, 40 Hz bands."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-9)
    return np.maximum(level - level.max(), _FLOOR_DB)


def _png(figure) -> bytes:  # noqa: ANN001 - matplotlib is no dependency
    """The figure in 64 colours: a third of the bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    image = Image.open(buffer).convert("RGB").quantize(64)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    run(main, sys.argv[1:])
