"""Fixed trial lists: files of the user's that name utterances, such as the splits a paper's authors published.

They are not ours to pass on, so a protocol names the file and the user puts it into the folder `lists` of
DATA (or --lists DIR), plain or gzipped. One that its corpus brings, as ASVspoof 5 its enrolment lists, is found there.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from ingest.scan import AUDIO_SUFFIXES
from ingest.text import content, csv_rows
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
    found = (value for (value,) in _rows(path, entry.column))
    if entry.id == "stem":
        found = map(_stem, found)
    return list(dict.fromkeys(found))


def _stem(name: str) -> str:
    """wav/LA_T_1000137.flac -> LA_T_1000137; a dot that begins no extension of audio is a part of the name."""
    stem, suffix = os.path.splitext(name.rpartition("/")[2])
    return stem if suffix.lower() in AUDIO_SUFFIXES else stem + suffix


def enrolment(entry: TrialList, path: Path) -> pa.Table:
    """Columns speaker, stem: the clips of column `members` (comma-joined) for the speaker of column `column`."""
    pairs = [
        (speaker, stem.strip())
        for speaker, stems in _rows(path, entry.column, entry.members)
        for stem in stems.split(",")
    ]
    return pa.table({
        "speaker": pa.array([speaker for speaker, _ in pairs], pa.string()),
        "stem": pa.array([stem for _, stem in pairs], pa.string()),
    })  # fmt: skip


def _rows(path: Path, *columns: str | int) -> list[tuple[str, ...]]:
    """The cells of these columns, line by line: words of a CSV header, or numbers from 1 where there is no header."""
    if all(isinstance(column, str) for column in columns):
        table = csv_rows(path, columns)
        rows = list(zip(*(table[column].to_pylist() for column in columns)))
    else:
        lines = enumerate((row.split() for row in content(path).splitlines()), start=1)
        rows = [tuple(_field(fields, column, path, line) for column in columns) for line, fields in lines if fields]
    if not rows:
        raise DataError(f"{path} holds no entry; take the whole list")
    return rows


def _field(fields: list[str], column: int, path: Path, line: int) -> str:
    if not 1 <= column <= len(fields):
        raise DataError(f"{path} line {line} has {len(fields)} fields, column {column} is needed")
    return fields[column - 1]
