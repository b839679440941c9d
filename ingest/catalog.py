"""The catalog: one DuckDB file, one writing process at a time, everybody else read-only."""

import contextlib
import errno
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from ingest import versions
from ingest.files import atomic, lock, writable
from ingest.types import DataError, nearest

if TYPE_CHECKING:  # heavy, and not every command needs it
    import pyarrow as pa

SCHEMA_VERSION = 3
STEPS = {  # schema version -> what makes the next one of it
    1: "ALTER TABLE utterance ADD COLUMN sentence VARCHAR;",
    2: "ALTER TABLE asv_score ADD COLUMN codec VARCHAR;",  # known after the corpus is ingested again
}
QUIET_S = 2.0  # of waiting for a DuckDB file: most who hold it let go sooner
_CONFIG = {"storage_compatibility_version": "v1.5.0"}  # the oldest DuckDB we run on; writes a third faster
_SCHEMA = Path(__file__).with_name("schema.sql")


def connect(path: Path | str, read_only: bool = True, *, wait_s: float = 60.0) -> duckdb.DuckDBPyConnection:
    """Open the catalog at `path`; created from schema.sql when opened for writing and absent.

    Another process that holds the file is waited for, up to wait_s seconds. A catalog of an older schema version is
    brought up to date first, and a copy of it kept. Raises DataError when the file is absent (read_only), is not a
    catalog, is newer than this code, or stays in use.
    """
    path = Path(path)
    if read_only and not path.exists():
        raise DataError(f"{path} does not exist; ingest a corpus first: python -m ingest CORPUS --root DIR")
    with writable(path.parent):
        if not read_only:
            _create(path)
        con = opened(path, read_only, wait_s)
        found = _version(con, path)
        if found < SCHEMA_VERSION:
            con.close()
            opened(path, False, wait_s).close()  # waits for others, and says so if it cannot be written
            versions.bring_up(path, SCHEMA_VERSION, STEPS, lambda: opened(path, False, wait_s))
            with opened(path, False, wait_s) as fresh:
                _lay_out(fresh)  # views of all columns
            con = opened(path, read_only, wait_s)
    con.execute("SET enable_progress_bar = false")
    if not read_only:
        _lay_out(con)
    return con


def _version(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    try:
        found = versions.version(con, path)
        versions.refuse_newer(found, SCHEMA_VERSION, path)
    except DataError:
        con.close()
        raise
    return found


def _create(path: Path) -> None:
    """An empty catalog at `path`, whole or not at all: a kill leaves no file that lacks a table."""
    if path.exists():
        return
    with lock(path.with_name(f".{path.name}.lock")):  # two first ingests at the same time
        if not path.exists():
            with created(path, _CONFIG) as con:
                _lay_out(con)


@contextlib.contextmanager
def created(path: Path, config: Mapping[str, str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database that becomes the file `path`, whole or not at all; one that is there is replaced.

    Nobody else may create it at the same time. Raises DataError when the disk is full.
    """
    with atomic(path) as temporary:
        journal = temporary.with_name(f"{temporary.name}.wal")
        journal.unlink(missing_ok=True)  # of a process that was killed
        temporary.unlink()  # DuckDB makes a new file where there is none
        try:
            with duckdb.connect(str(temporary), config=dict(config or {})) as con:
                yield con
                con.execute("CHECKPOINT")  # closing does it too, but says nothing of a full disk
        finally:
            journal.unlink(missing_ok=True)


def _lay_out(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("BEGIN")
    con.execute(_SCHEMA.read_text())
    con.execute("INSERT INTO meta SELECT ? WHERE NOT EXISTS (FROM meta)", [SCHEMA_VERSION])
    con.execute("COMMIT")


def opened(path: Path, read_only: bool = True, wait_s: float = 60.0) -> duckdb.DuckDBPyConnection:
    """Any DuckDB file, as it is. Another process that holds it is waited for, up to wait_s seconds, and named.

    Raises DataError when the file stays in use, cannot be read, or is none.
    """
    began, said = time.monotonic(), False
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=_CONFIG)
        except duckdb.IOException as error:
            message = str(error)
            if is_held(message) and time.monotonic() < began + wait_s:
                said = wait(message, began, said)
            elif is_held(message):
                raise DataError(f"{path} is in use by {holder(message)}; wait for it to end") from None
            elif not os.access(path, os.R_OK) and path.exists():
                raise DataError(
                    f"{path} cannot be read ({os.strerror(errno.EACCES)}); its owner can allow it"
                ) from None
            elif "Permission denied" in message or "Read-only" in message:
                raise DataError(f"{path} is not writable; pass another folder as DATA=") from None
            else:
                raise DataError(f"{path} is not a DuckDB file that can be read ({message.splitlines()[0]})") from None


def wait(message: str, began: float, said: bool) -> bool:
    """Wait a moment for who holds a DuckDB file, by DuckDB's refusal, and name them once where it takes longer.

    began: time.monotonic() of the first try. Returns whether they are named by now.
    """
    if not said and time.monotonic() - began > QUIET_S:
        print(f"waiting for {holder(message)}", file=sys.stderr, flush=True)
        said = True
    time.sleep(0.2)
    return said


def is_held(message: str) -> bool:
    """Whether DuckDB refuses a file because another process holds it (and not because of a block of it, say)."""
    return "could not set lock on file" in message.lower()


def holder(message: str) -> str:
    """Who holds a DuckDB file, from the words of DuckDB's refusal."""
    found = re.search(r"lock is held in (.+?) \(PID (\d+)\)", message)
    return f"process {found[2]} ({Path(found[1]).name}) on {socket.gethostname()}" if found else "another process"


def folder(con: duckdb.DuckDBPyConnection) -> Path | None:
    """DATA, the folder that the open catalog lies in; None for one in memory."""
    (path,) = con.execute("SELECT path FROM duckdb_databases() WHERE NOT internal LIMIT 1").fetchone()
    return Path(path).parent if path else None


@contextlib.contextmanager
def registered(con: duckdb.DuckDBPyConnection, name: str, table: "pa.Table") -> Iterator[None]:
    """Within it the queries of this connection find an Arrow table under `name`."""
    con.register(name, table)
    try:
        yield
    finally:
        con.unregister(name)


def ingested(data: Path) -> list[str]:
    """The corpora of DATA's catalog, sorted; DataError when there is none."""
    with connect(data / "catalog.duckdb") as con:
        names = [name for (name,) in con.execute("SELECT corpus FROM corpus ORDER BY corpus").fetchall()]
    if not names:
        raise DataError(f"{data / 'catalog.duckdb'} holds no corpus; run: python -m ingest CORPUS --root DIR")
    return names


def check_known(con: duckdb.DuckDBPyConnection, corpus: str) -> None:
    """Raise DataError for a corpus that the catalog does not hold."""
    known = [name for (name,) in con.execute("SELECT corpus FROM corpus ORDER BY corpus").fetchall()]
    if corpus not in known:
        if known:
            raise nearest(corpus, known, what="corpus in the catalog")
        raise DataError(f"the catalog holds no corpus; run: python -m ingest {corpus} --root DIR")


def without_audio(data: Path) -> set[str]:
    """The corpora of DATA's catalog without any audio that decodes: their protocol files alone, with --partial."""
    with connect(data / "catalog.duckdb") as con:
        query = "SELECT corpus FROM corpus ANTI JOIN (FROM utterance WHERE audio_status = 'ok') USING (corpus)"
        return {name for (name,) in con.execute(query).fetchall()}
