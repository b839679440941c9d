"""Garbage collection: files under DATA/shards and DATA/features that no row of the catalog names."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from ingest import catalog
from shards.index import index_path

_TABLES = {"shards": ("shard", "shard"), "features": ("feature_shard", "shard")}  # folder -> table, column


def unnamed(data: Path) -> list[Path]:
    """Tars, indexes and left-over temporary files that the catalog does not name, sorted.

    Raises DataError if there is no catalog: without one, everything would look unnamed.
    """
    with catalog.connect(data / "catalog.duckdb") as con:
        named = {path for folder in _TABLES for path in _named(con, data / folder, *_TABLES[folder])}
    made = (p for folder in _TABLES for p in (data / folder).rglob("*") if p.is_file() and _is_ours(p))
    return sorted(path for path in made if path not in named)


def remove(paths: list[Path]) -> int:
    """Delete the files and the folders that become empty; returns the bytes freed."""
    freed = 0
    for path in paths:
        freed += path.stat().st_size
        path.unlink()
    for folder in sorted({path.parent for path in paths}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return freed


def _named(con: duckdb.DuckDBPyConnection, folder: Path, table: str, column: str) -> Iterator[Path]:
    exists = "SELECT count(*) FROM information_schema.tables WHERE table_name = ?"
    if con.execute(exists, [table]).fetchone()[0]:
        for (name,) in con.execute(f'SELECT "{column}" FROM {table}').fetchall():
            yield folder / name
            yield index_path(folder / name)


def _is_ours(path: Path) -> bool:
    return path.suffix == ".tar" or path.name.endswith((".index.parquet", ".tmp"))
