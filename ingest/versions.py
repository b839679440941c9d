"""Databases that an older Siren made: brought up to date, after a backup copy; those of a newer one are refused.

A database keeps one number in table `meta`, column `schema_version`. Every change of a table raises it by one and
adds the SQL that makes the new layout of the old one.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from ingest.files import atomic, lock
from ingest.types import DataError


def version(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The schema version that an open database states; DataError if it states none, so is none of ours."""
    try:
        row = con.execute("SELECT max(schema_version) FROM meta").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):
        row = None
    if not row or row[0] is None:
        raise DataError(f"{path} is not a Siren catalog")
    return row[0]


def refuse_newer(found: int, newest: int, path: Path) -> None:
    """Raise DataError if a database was made by a newer Siren than this one."""
    if found > newest:
        raise DataError(f"{path} has schema version {found}, this code reads up to {newest}; update Siren")


def backup(path: Path, found: int) -> Path:
    """Where the copy of a database of schema version `found` lies once it was brought up to date."""
    return path.with_name(f"{path.name}.v{found}.bak")


def bring_up(
    path: Path, newest: int, steps: Mapping[int, str], opened: Callable[[], duckdb.DuckDBPyConnection]
) -> None:
    """Bring the database at `path` to schema version `newest`; nothing if it is there.

    steps: version -> SQL that makes the next version of it. opened: opens it for writing, and waits for who has it
    open: other commands may have been started at the same time. The old file is copied beside itself first; the change
    is one transaction, so a kill leaves the old version or the new one. Raises DataError for a version without a step.
    """
    with lock(path.with_name(f".{path.name}.lock")):
        with opened() as con:
            found = version(con, path)
        refuse_newer(found, newest, path)
        if found == newest:
            return
        absent = [number for number in range(found, newest) if number not in steps]
        if absent:
            raise DataError(f"{path} has schema version {found}, too old to be brought to {newest}; make it again")
        with atomic(backup(path, found)) as temporary:
            shutil.copyfile(path, temporary)
        said = f"{path}: schema version {found} brought to {newest}; the old file is {backup(path, found)}"
        print(said, file=sys.stderr, flush=True)  # standard output may be JSON
        with opened() as con:
            con.execute("BEGIN")
            for number in range(found, newest):
                con.execute(steps[number])
            con.execute("UPDATE meta SET schema_version = ?", [newest])
            con.execute("COMMIT")
