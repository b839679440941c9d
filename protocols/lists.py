"""Fixed trial lists: files of the user's that name utterances, such as the splits a paper's authors published.

They are not ours to pass on, so a protocol names the file and the user puts it into the folder `lists` of
DATA (or --lists DIR), plain or gzipped. One that its corpus brings, as ASVspoof 5 its enrolment lists, is found there.
"""

import contextlib
import csv
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from ingest.text import content
from ingest.types import DataError
from protocols.types import TrialList


def there(entry: TrialList, folders: Sequence[Path], roots: Sequence[Path] = ()) -> Path | None:
    """The list's file, plain or gzipped, in the first folder that has it, else in a corpus or a folder of it."""
    for folder in itertools.chain(folders, *map(_inside, roots)):
        for name in (entry.file, f"{entry.file}.gz"):
            if (folder / name).is_file():
                return folder / name
    return None


def _inside(root: Path) -> Iterator[Path]:
    """A folder, if it is there, and the folders in it."""
    yield root
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        yield from sorted(Path(entry.path) for entry in entries if entry.is_dir())


def find(entry: TrialList, folders: Sequence[Path], roots: Sequence[Path], protocol: str) -> Path:
    """The list's file as there() finds it; DataError tells where it was looked for."""
    path = there(entry, folders, roots)
    if path is not None:
        return path
    places = ", ".join(str(folder) for folder in folders)
    raise DataError(
        f"{protocol} needs the trial list {entry.file}, which is not part of Siren; put it (or {entry.file}.gz) "
        f"into {places or 'a folder'} or name its folder with --lists DIR"
    )


def values(entry: TrialList, path: Path) -> list[str]:
    """The distinct entries of the list in their order; file names lose folder and extension for id = "stem"."""
    found = (_cell(row, entry.column, path, line) for line, row in _rows(path, entry.column))
    if entry.id == "stem":
        found = (Path(value).name.split(".")[0] for value in found)
    return list(dict.fromkeys(found))


def enrolment(entry: TrialList, path: Path) -> pa.Table:
    """Columns speaker, stem: the clips of column `members` (comma-joined) for the speaker of column `column`."""
    pairs = [
        (_cell(row, entry.column, path, line), stem.strip())
        for line, row in _rows(path, entry.column)
        for stem in _cell(row, entry.members, path, line).split(",")
    ]
    return pa.table({
        "speaker": pa.array([speaker for speaker, _ in pairs], pa.string()),
        "stem": pa.array([stem for _, stem in pairs], pa.string()),
    })  # fmt: skip


def _rows(path: Path, column: str | int) -> Iterator[tuple[int, dict | list[str]]]:
    """(line, row): a dict by header word where `column` is a word, else the fields of a line without header."""
    text = content(path)
    if isinstance(column, str):
        try:
            yield from enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2)
        except csv.Error as error:
            raise DataError(f"{path} cannot be read as a trial list ({error})") from None
        return
    for line, fields in enumerate((row.split() for row in text.splitlines()), start=1):
        if fields:
            yield line, fields


def _cell(row: dict | list[str], column: str | int, path: Path, line: int) -> str:
    if isinstance(row, dict):
        value = row.get(column)
        if value is None:
            known = ", ".join(str(word) for word in row if word)
            raise DataError(f"{path} line {line} has no column {column!r}; its columns: {known}")
        return value
    if not 1 <= column <= len(row):
        raise DataError(f"{path} line {line} has {len(row)} fields, column {column} is needed")
    return row[column - 1]
