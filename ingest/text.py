"""Protocol files as published -> Arrow tables: exact in what they accept, fast, errors with file and line."""

import contextlib
import csv
import filecmp
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ingest.types import LABEL_WORDS, DataError

_BOM = b"\xef\xbb\xbf"
_BLANKS = b"\t\v\f\r"  # blanks other than the space; CR is one, so CRLF is a trailing blank
_TO_SPACE = bytes.maketrans(_BLANKS, b" " * len(_BLANKS))
_TRAILING = re.compile(r"[ \t]+(?=\r?$)", re.MULTILINE)
_PIECE_BYTES = 1 << 18  # stays in the processor's cache
LARGEST_TEXT_BYTES = 1 << 29  # unpacked: ten times the largest published list
_BLOCK_BYTES = 1 << 24  # one parse block, so also the longest line


def fields(path: Path | str, columns: Sequence[str]) -> pa.Table:
    """Read a file of blank-separated fields: string `columns`, and int64 `line` counted from 1.

    UTF-8 BOMs, CRLF, a missing final newline, blank lines, and leading, trailing or repeated blanks are
    accepted; a `.gz` file is read through. There is no header and no quoting. Raises DataError naming file
    and line when a line has another number of fields or is not UTF-8 text, and when the file cannot be read
    or holds no line at all.
    """
    path, data = Path(path), _read(Path(path))
    data, line = _regular(data)
    if not data:
        raise DataError(f"{path}: holds no line; expected {_columns(columns)}")
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES, column_names=list(columns)
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=" ", quote_char=False, escape_char=False, newlines_in_values=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in columns}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _first_fault(path, data, line, columns) or DataError(f"{path}: {error}") from None
    if line is None:
        line = np.arange(1, table.num_rows + 1)
    return table.append_column("line", pa.array(line))


def content(path: Path | str) -> str:
    """The whole text of a file, gzipped or not, without BOMs.

    Raises DataError when the file cannot be read, is not UTF-8 text, or is too large when unpacked.
    """
    return _decode(Path(path), _read(Path(path)))


def same(one: Path, other: Path) -> bool:
    """Whether two files, gzipped or not, hold the same text. Raises DataError if one cannot be unpacked."""
    packed = ".gz" in (one.suffix, other.suffix)
    return filecmp.cmp(one, other, shallow=False) or (packed and _read(one) == _read(other))


def width(path: Path | str) -> int:
    """The number of fields on the first line of `path` that is not blank; 0 if there is none."""
    return len(first_line(path).split())


def first_line(path: Path | str) -> bytes:
    """The first line of a file, gzipped or not, that is not blank, without a BOM; b"" if there is none.

    No more of the file is read or unpacked, and of a line no more than 16 MiB. Raises DataError.
    """
    left = LARGEST_TEXT_BYTES
    with _opened(Path(path)) as file:
        while left > 0 and (line := file.readline(_BLOCK_BYTES)):
            if line.removeprefix(_BOM).strip():
                return line.removeprefix(_BOM)
            left -= len(line)
    return b""


def start(path: Path | str) -> str:
    """The first 4,096 bytes of `path` as text, unpacked; bytes that are no UTF-8 become U+FFFD."""
    with _opened(Path(path)) as file:
        return file.read(4096).decode(errors="replace")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def csv_rows(path: Path | str, header: Sequence[str]) -> pa.Table:
    """Read a comma-separated file with quoting: string columns `header`, and int64 `line` counted from 1.

    The first row must name every column of `header`, in any order; other columns are left out. Cells lose
    leading and trailing blanks; `line` is the line on which the row begins. BOM, CRLF, a missing final
    newline and blank lines are accepted. Raises DataError naming file and line when a name is absent, a row
    has another number of cells, a quote stays open, or the bytes are not UTF-8 text.
    """
    path, text = Path(path), _TRAILING.sub("", content(path))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines, begin = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} line {begin}: not a CSV row ({error})") from None
    if not rows:
        raise DataError(f"{path}: holds no line; expected the header {','.join(header)}")
    absent = [name for name in header if name not in rows[0]]
    if absent:
        raise DataError(
            f"{path} line {lines[0]}: the header {_quote(','.join(rows[0]))} lacks {', '.join(absent)}; "
            f"expected {','.join(header)}"
        )
    for row, line in zip(rows[1:], lines[1:]):
        if row == rows[0]:
            raise DataError(f"{path} line {line}: the header again: several files were joined; take the published one")
        if len(row) != len(rows[0]):
            raise DataError(
                f"{path} line {line}: {len(row)} cells where the header has {len(rows[0])} ({_quote(','.join(row))})"
            )
    columns = {name: [row[rows[0].index(name)] for row in rows[1:]] for name in header}
    table = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    return table.append_column("line", pa.array(lines[1:], pa.int64()))


def translate(words: pa.ChunkedArray | pa.Array, meaning: Mapping[str, str | None]) -> pa.ChunkedArray:
    """Replace each word that is a key of `meaning` by its value (None becomes null); keep all others."""
    coded = pc.dictionary_encode(words.combine_chunks() if isinstance(words, pa.ChunkedArray) else words)
    said = pa.array([meaning.get(word, word) for word in coded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([pc.take(said, coded.indices)])


def labels(words: pa.ChunkedArray) -> pa.ChunkedArray:
    """Published label words -> `bonafide` / `spoof` / `unknown`, whatever their case; others stay as they are."""
    found = [word for word in pc.unique(words).to_pylist() if word is not None]
    meaning = {**LABEL_WORDS, "unknown": "unknown"}
    return translate(words, {word: meaning.get(word.lower(), word) for word in found})


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        data = _unpacked(path, data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(f"{path} line {line}: not a text file in UTF-8 (holds a NUL byte)")
    return data.removeprefix(_BOM).replace(b"\n" + _BOM, b"\n")  # of files that were joined, too


def _unpacked(path: Path, data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        text = file.read(LARGEST_TEXT_BYTES + 1)
    if len(text) > LARGEST_TEXT_BYTES:
        raise DataError(f"{path}: unpacks to more than {LARGEST_TEXT_BYTES >> 20} MiB, which no protocol file has")
    return text


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path} line {line}: not a text file in UTF-8 ({error.reason})") from None


def _regular(data: bytes) -> tuple[bytes, np.ndarray | None]:
    """The lines with single spaces only, and their original numbers (None: 1, 2, 3, ...)."""
    if not _irregular(data):
        return data.rstrip(b" "), None
    data = re.sub(rb" {2,}", b" ", data.translate(_TO_SPACE))
    data = data.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")
    if b"\n\n" not in data and not data.startswith(b"\n"):
        return data, None
    lines = data.split(b"\n")
    kept = np.flatnonzero(np.fromiter(map(len, lines), np.int64, len(lines)))
    return b"\n".join(filter(None, lines)), kept + 1


def _irregular(data: bytes) -> bool:
    """Whether there is a blank other than the space, two blanks or line ends in a row, or one to begin with."""
    if data[:1] in (b" ", b"\n") or any(data.find(blank) >= 0 for blank in _BLANKS):
        return True
    codes = np.frombuffer(data, np.uint8)
    pieces = (codes[start : start + _PIECE_BYTES + 1] for start in range(0, codes.size, _PIECE_BYTES))
    return any(piece.size > 1 and np.maximum(piece[1:], piece[:-1]).min() <= ord(" ") for piece in pieces)


def _first_fault(path: Path, data: bytes, line: np.ndarray | None, columns: Sequence[str]) -> DataError | None:
    for index, row in enumerate(data.rstrip(b"\n").split(b"\n")):
        number = index + 1 if line is None else int(line[index])
        try:
            text = row.decode()
        except UnicodeDecodeError as error:
            return DataError(f"{path} line {number}: not a text file in UTF-8 ({error.reason})")
        found = row.count(b" ") + 1
        if found != len(columns):
            return DataError(f"{path} line {number}: {found} fields where {_columns(columns)} are due ({_quote(text)})")
        if len(row) >= _BLOCK_BYTES:
            return DataError(f"{path} line {number}: {len(row)} bytes on one line; this is no protocol file")
    return None


def _columns(columns: Sequence[str]) -> str:
    return f"{len(columns)} ({' '.join(columns)})"


def _quote(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "...")
