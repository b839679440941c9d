"""Verdicts of many files as one: JSON Lines, CSV or Parquet, there whole or not at all.

While they are made they stand in a journal beside the file, which an interrupted run leaves: the same command goes on
from there. Memory does not grow with the number of files.
"""

import contextlib
import csv
import fcntl
import itertools
import json
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ingest.files import atomic, flock, ready, writable
from ingest.types import DataError

FORMS = (".jsonl", ".csv", ".parquet")
COLUMNS = (
    "path", "verdict", "score", "llr", "threshold", "window_mean", "duration_s", "windows", "warnings", "provenance",
    "error",
)  # fmt: skip
_NESTED = ("windows", "warnings", "provenance")
_NUMBERS = ("score", "llr", "threshold", "window_mean", "duration_s")
_HOLDER_BYTES = 120
_ROWS_AT_ONCE = 500


class Journal:
    """Verdicts on disk while they are made; of one file and one detector, and of one process at a time."""

    def __init__(self, handle: int, judge: str):
        self._handle, self._judge = handle, judge
        self._places: dict[str, tuple[list[int], int]] = {}  # path -> size and time of change, place of the row
        self._end = self._read()

    def before(self, path: Path) -> dict[str, Any] | None:
        """The row of a file that this detector judged before and that has not changed since; None if there is none."""
        known = self._places.get(str(path))
        return None if known is None or known[0] is None or known[0] != state(path) else self._row(known[1])

    def add(self, path: Path, row: dict[str, Any], state: list[int] | None) -> None:
        """Keep a row; state: of the file as it was judged. What could not be judged is tried again the next time."""
        state = None if row["error"] else state
        line = json.dumps([str(path), state, row]).encode() + b"\n"
        os.pwrite(self._handle, line, self._end)
        self._places[str(path)] = (state, self._end)
        self._end += len(line)

    def rows(self, paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
        """The rows of these files, in their order."""
        for path in paths:
            yield self._row(self._places[str(path)][1])

    def _read(self) -> int:
        """Find the rows that are there; returns where the next one goes, which is where a torn one begins."""
        with os.fdopen(os.dup(self._handle), "rb") as file:
            file.seek(_HOLDER_BYTES)
            first, place = file.readline(), _HOLDER_BYTES
            if first != self._judge.encode() + b"\n":
                os.ftruncate(self._handle, _HOLDER_BYTES)
                return place + os.pwrite(self._handle, self._judge.encode() + b"\n", place)
            place += len(first)
            for line in file:
                try:
                    path, state, _ = json.loads(line)
                except (ValueError, TypeError):
                    break
                if state is not None:
                    self._places[path] = (state, place)
                place += len(line)
        os.ftruncate(self._handle, place)
        return place

    def _row(self, place: int) -> dict[str, Any]:
        with os.fdopen(os.dup(self._handle), "rb") as file:
            file.seek(place)
            return json.loads(file.readline())[2]


@contextlib.contextmanager
def journal(out: Path, judge: dict[str, Any]) -> Iterator[Journal]:
    """The journal of the file `out`; judge: what the verdicts depend on beside the files. Removed after success.

    Raises DataError if another process writes the same file.
    """
    path = out.with_name(f".{out.name}.part")
    with ready(out.parent):
        handle = _held(path, out)
    try:
        holder = f"process {os.getpid()} on {socket.gethostname()}"[: _HOLDER_BYTES - 1]
        with writable(out.parent):
            os.pwrite(handle, holder.encode("ascii", "replace").ljust(_HOLDER_BYTES - 1) + b"\n", 0)
            yield Journal(handle, json.dumps(judge, sort_keys=True, default=str))
        path.unlink()
    finally:
        os.close(handle)


def _held(path: Path, out: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
            there = os.stat(path)
        except BlockingIOError:
            holder = os.pread(handle, _HOLDER_BYTES, 0).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise DataError(f"{out} is being written by {holder}; wait for it to end") from None
        except FileNotFoundError:  # finished between the two calls
            os.close(handle)
            continue
        if os.path.samestat(there, os.fstat(handle)):
            return handle
        os.close(handle)


def state(path: Path) -> list[int] | None:
    """Size and time of change of a file; None for what is no regular file, as a pipe."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else None


def write(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write verdicts in the form that the extension says; lists and provenance are JSON text in CSV and Parquet."""
    with atomic(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(rows, temporary)
            return
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            if path.suffix == ".jsonl":
                file.writelines(json.dumps({k: row[k] for k in COLUMNS}, ensure_ascii=False) + "\n" for row in rows)
                return
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows({**_flat(row), "path": inert(row["path"]), "error": inert(row["error"])} for row in rows)


def inert(text: str | None) -> str | None:
    """Text that begins with a file's name, so that a spreadsheet takes it for text: `=1+1.wav` is `./=1+1.wav`."""
    return f"./{text}" if text and text[0] in "=+-@\t\r" else text


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {k: json.dumps(row[k], ensure_ascii=False) if k in _NESTED else row[k] for k in COLUMNS}


def _write_parquet(rows: Iterable[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float64() if name in _NUMBERS else pa.string()) for name in COLUMNS])
    rows = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while part := [_flat(row) for row in itertools.islice(rows, _ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(part, schema))
