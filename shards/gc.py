"""Garbage collection: files below the shard root's shards/ and features/ that no row of the catalog names."""

from pathlib import Path

from ingest import catalog
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


def remove(found: dict[storage.Place, int]) -> int:
    """Delete the files and the folders that become empty; returns the bytes freed."""
    for path in found:
        storage.remove(path)
    for folder in sorted({path.parent for path in found if isinstance(path, Path)}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return sum(found.values())


def _is_ours(path: storage.Place) -> bool:
    return path.suffix == ".tar" or path.name.endswith((".index.parquet", ".tmp"))
