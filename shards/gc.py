"""Garbage collection: files below the shard root's shards/ and features/ that no row of the catalog names."""

import contextlib
from pathlib import Path

from ingest import catalog
from ingest.files import lock
from shards import storage
from shards.index import index_path
from shards.root import TABLES, named, root


def unnamed(data: Path) -> dict[storage.Place, int]:
    """Tars, indexes and left-over temporary files that the catalog does not name, sorted, with their bytes.

    Raises DataError if there is no catalog: without one, everything would look unnamed.
    """
    with catalog.connect(data / "catalog.duckdb") as con:
        top = root(con, data)
        tars = [top / kind / name for kind, name, _ in named(con)]
    known = {*tars, *map(index_path, tars)}
    found = {path: size for kind in TABLES for path, size in storage.files(top / kind) if _is_ours(path)}
    return {path: found[path] for path in sorted(found) if path not in known}


def remove(data: Path) -> dict[storage.Place, int]:
    """Delete what `unnamed` finds, and the folders that become empty; returns what is gone, with its bytes.

    A file that is about to be named looks like one that is not: raises DataError, with nothing deleted, while a process
    writes into one of the folders.
    """
    with contextlib.ExitStack() as alone:
        folders = {path.parent for path in unnamed(data)}
        for folder in sorted(folders):
            alone.enter_context(lock(data / _below_root(folder, data) / ".lock", wait=False, keep=False))
        found = {path: size for path, size in unnamed(data).items() if path.parent in folders}
        for path in found:
            storage.remove(path)
    for folder in sorted({path.parent for path in found if isinstance(path, Path)}, reverse=True):
        with contextlib.suppress(OSError):  # others lie there
            folder.rmdir()
    return found


def _below_root(folder: storage.Place, data: Path) -> str:
    """shards/CORPUS or features/FEATURE/CORPUS, whose lock below DATA a writer holds."""
    with catalog.connect(data / "catalog.duckdb") as con:
        return str(folder)[len(str(root(con, data))) :].strip("/")


def _is_ours(path: storage.Place) -> bool:
    return path.suffix == ".tar" or path.name.endswith((".index.parquet", ".tmp"))
