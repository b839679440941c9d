"""Columns of rows, whole columns at a time: what several parsers need to turn protocol words into ours."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.types import DataError

Column = pa.ChunkedArray | pa.Array


def first_file(root: Path, *patterns: str) -> Path | None:
    """The file below `root` that matches the first glob of `patterns` that any matches, plain or gzipped.

    Raises DataError naming two of them if one pattern matches several files that differ when unpacked.
    """
    for pattern in patterns:
        if found := published(root, pattern):
            return the_same(found)
    return None


def published(root: Path, pattern: str) -> list[Path]:
    """The files below `root` that match a glob, in order, behind them the gzipped ones."""
    found = (path for one in (pattern, f"{pattern}.gz") for path in sorted(root.glob(one)))
    return [path for path in found if path.is_file() and "__MACOSX" not in path.parts]


def the_same(paths: Sequence[Path]) -> Path:
    """The first of several copies of one file; raises DataError naming two if they differ."""
    other = next((path for path in paths[1:] if not text.same(paths[0], path)), None)
    if other is not None:
        raise DataError(
            f"{paths[0]} and {other} are both there and differ; keep the published one, or pass the folder that has it"
        )
    return paths[0]


def joined(*parts: Column | str) -> Column:
    """Concatenate columns and constant strings row by row: joined("flac/", stem, ".flac")."""
    return pc.binary_join_element_wise(*parts, "")


def constant(word: str | None, rows: int) -> pa.Array:
    """One word in every row, as a dictionary; or nulls."""
    if word is None:
        return pa.nulls(rows, pa.string())
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([word]))


def without_dash(column: Column) -> Column:
    """The column with the published `-` (nothing to say) as null."""
    return text.translate(column, {"-": None})


def first_row(table: pa.Table, odd: Column) -> dict[str, Any] | None:
    """The first row where `odd` is true, column by name; None if there is none."""
    index = pc.index(odd, True).as_py()
    return None if index < 0 else table.slice(index, 1).to_pylist()[0]


def words(table: pa.Table, name: str, meaning: Mapping[str, str | None], *, file: str) -> Column:
    """Translate column `name` by `meaning`, which knows every word that may occur there; a dictionary.

    Raises DataError naming file, line, the word and the known ones for the first other word.
    """
    coded = table[name].combine_chunks().dictionary_encode()
    strange = [word for word in coded.dictionary.to_pylist() if word not in meaning]
    if strange:
        index = pc.index(table[name], strange[0]).as_py()
        raise DataError(
            f"{file} line {table['line'][index].as_py()}: {name} {strange[0]!r} is none of {', '.join(meaning)}"
        )
    said = [meaning[word] for word in coded.dictionary.to_pylist()]
    ours = list(dict.fromkeys(word for word in said if word is not None))
    code = pa.array([None if word is None else ours.index(word) for word in said], pa.int32())
    return pa.DictionaryArray.from_arrays(pc.take(code, coded.indices), pa.array(ours, pa.string()))


def numbers(table: pa.Table, name: str, *, file: str) -> Column:
    """Column `name` as float64; raises DataError naming file, line and the word for the first that is none."""
    odd = pc.invert(pc.match_substring_regex(table[name], r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"))
    if row := first_row(table, odd):
        raise DataError(f"{file} line {row['line']}: {name} {row[name]!r} is not a number")
    return pc.cast(table[name], pa.float64())


def same(names: Iterable[str]) -> dict[str, str]:
    """The mapping of every name to itself: published words that are canonical already."""
    return {name: name for name in names}
