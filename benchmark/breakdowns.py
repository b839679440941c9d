"""Cells of a score table: by attack, vocoder family, codec, ... and by pairs of them.

A factor of the synthesis (attack, vocoder) splits the spoof trials only: every cell keeps all bona fide of its
column. A factor of the recording or channel (codec, transmission, speaker, ...) splits both classes. A pooled
cell holds all its trials; it is never the mean of other cells. ASVspoof 2019, 2021 and 5 print their tables so.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

SPOOF_FACTORS = ("attack", "vocoder")
TRIAL_FACTORS = (
    "codec", "codec_class", "transmission", "language", "domain", "corpus", "source_corpus", "partition",
    "gender", "speaker", "trim", "variant", "duration",
)  # fmt: skip
PAIRS = (("attack", "codec"), ("vocoder", "codec"))
DURATION_BANDS_S = (2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Column:
    """One column as numbers: code (trial,) int, -1 where the value is unknown; names[code] is the value."""

    code: np.ndarray
    names: tuple[str, ...]

    def among(self, words: Collection[str]) -> np.ndarray:
        """(trial,) bool: the trials whose value is one of these words; a word that no trial has is passed over."""
        return np.isin(self.code, [code for code, name in enumerate(self.names) if name in words])


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: level of factor (and of factor_2), and which trials are in it: (trial,) bool each."""

    factor: str
    level: str
    factor_2: str | None
    level_2: str | None
    bonafide: np.ndarray
    spoof: np.ndarray


def columns(table: pa.Table) -> dict[str, Column]:
    """The factors that a score table carries; `duration_s` becomes the bands of `duration`."""
    found = {name: encode(table[name]) for name in SPOOF_FACTORS + TRIAL_FACTORS if name in table.column_names}
    if "duration_s" in table.column_names:
        found["duration"] = _bands(table["duration_s"].to_numpy(zero_copy_only=False))
    return found


def codes(values: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, pa.Array]:
    """(index (trial,) int64, -1 where NULL; the words) in order of first appearance."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.string()).dictionary_encode()
    return array.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False), array.dictionary


def encode(values: pa.ChunkedArray | pa.Array) -> Column:
    """Words to codes in alphabetical order of the words."""
    index, dictionary = codes(values)
    words = dictionary.to_pylist()
    order = sorted(range(len(words)), key=lambda k: words[k])
    place = np.full(len(words) + 1, -1)  # the last place answers for -1
    place[order] = np.arange(len(words))
    return Column(place[index], tuple(words[k] for k in order))


def _bands(seconds: np.ndarray) -> Column:
    edges = [f"{edge:g}" for edge in DURATION_BANDS_S]
    between = (f"{a} to {b} s" for a, b in pairwise(edges))
    names = (f"under {edges[0]} s", *between, f"{edges[-1]} s and more")
    code = np.searchsorted(DURATION_BANDS_S, seconds, "right")
    return Column(np.where(np.isnan(seconds.astype(np.float64)), -1, code), names)


def cells(factors: Mapping[str, Column], bonafide: np.ndarray, *, pairs: bool = True) -> Iterator[Cell]:
    """Every cell of every factor, also those that lack trials of one label.

    factors: columns of the trials; bonafide (trial,) bool. Factors of the recording with fewer than two
    levels are left out: they are the whole. Pair tables come where both factors have several levels.
    """
    for name, column in factors.items():
        levels = present(column)
        if name in SPOOF_FACTORS:
            for level in present(column, ~bonafide):
                yield Cell(name, column.names[level], None, None, bonafide, ~bonafide & (column.code == level))
        elif len(levels) > 1:
            for level in levels:
                inside = column.code == level
                yield Cell(name, column.names[level], None, None, bonafide & inside, ~bonafide & inside)
    for rows, across in PAIRS if pairs else ():
        if rows in factors and across in factors:
            yield from _table(rows, factors[rows], across, factors[across], bonafide)


def _table(rows: str, row: Column, across: str, column: Column, bonafide: np.ndarray) -> Iterator[Cell]:
    down, right = present(row, ~bonafide), present(column)
    if len(down) < 2 or len(right) < 2:
        return
    for level_2 in right:
        inside = column.code == level_2
        for level in down:
            spoof = ~bonafide & inside & (row.code == level)
            yield Cell(rows, row.names[level], across, column.names[level_2], bonafide & inside, spoof)


def present(column: Column, where: np.ndarray | None = None) -> list[int]:
    """The codes that occur (among the trials of `where`), ascending; unknown is none of them."""
    code = column.code if where is None else column.code[where]
    return [int(k) for k in np.unique(code) if k >= 0]
