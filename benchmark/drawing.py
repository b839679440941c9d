"""How drawings look, and a drawing as one <svg> element: the same bytes for the same numbers.

Colours are those of Okabe and Ito (Color Universal Design, 2008), told apart with every common colour vision. Ink is
one colour that the SVG leaves to its reader (`currentColor`), so that a plot stands on light and on dark pages.
"""

import functools
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a8a8a", "#b39b00")
INK = "#010203"  # told apart from every other colour, replaced in the SVG
STYLE = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "svg.fonttype": "none",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": INK, "grid.alpha": 0.18,
    "grid.linewidth": 0.4, "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 8,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS), "figure.facecolor": "none", "axes.facecolor": "none",
}  # fmt: skip


# One for each letter. In an SVG letters are text, for which its reader has fonts; of a PNG `without_font` tells.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)


def without_font(figure: Figure) -> str:
    """The letters of a figure that the font has no drawing of, each once."""
    has = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    return "".join(
        sorted({c for text in figure.findobj(Text) for c in text.get_text() if c > "\x7f" and ord(c) not in has})
    )


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw with this module's style, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def wrapper(*arguments: Any, **named: Any) -> Figure:
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **STYLE}):
            return draw(*arguments, **named)

    return wrapper


def svg(figure: Figure, name: str) -> str:
    """The figure as one <svg> element. name: its own; no two elements of a page may share it."""
    buffer = io.BytesIO()
    _settle(figure)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # names like axes_1 come again in the next figure
    text = text.replace("'DejaVu Sans', sans-serif", "system-ui, sans-serif")
    text = text.replace(INK, "currentColor")
    text = re.sub(r' width="[^"]*pt"| height="[^"]*pt"', "", text, count=2)
    text = re.sub(r"<[^>]*>", _shortened, text)
    return re.sub(r"\s*\n\s*", " ", text)


def _shortened(tag: re.Match) -> str:
    """A tag with two decimals in its coordinates; what stands between tags, the labels, is left as it is."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag[0])


def _settle(figure: Figure) -> None:
    """Lay the figure out once; else every drawing, at its own resolution, would move it a little."""
    if figure.get_layout_engine() is not None:
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)
