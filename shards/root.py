"""The root below which shards/ and features/ lie: DATA, or what `--to` named, remembered in the catalog."""

from pathlib import Path

import duckdb

from ingest import catalog
from ingest.types import DataError
from shards import index, storage

SCHEMA = Path(__file__).with_name("shard.sql")
TABLES = {"shards": "shard", "features": "feature_shard"}  # folder below the root -> table of its tars


def root(con: duckdb.DuckDBPyConnection, data: Path) -> storage.Place:
    """The root of a catalog; DATA unless another was chosen."""
    row = con.execute("FROM storage").fetchone() if _has(con, "storage") else None
    return storage.place(row[0]) if row else Path(data).absolute()


def folder(data: Path, kind: str) -> storage.Place:
    """Where the tars of one kind lie: `shards` or `features`."""
    with catalog.connect(data / "catalog.duckdb") as con:
        return root(con, data) / kind


def named(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """(kind, name below its folder, sha256) of every tar that the catalog names."""
    return [
        (kind, *row)
        for kind, table in TABLES.items() if _has(con, table)
        for row in con.execute(f"SELECT shard, sha256 FROM {table} ORDER BY shard").fetchall()
    ]  # fmt: skip


def choose(data: Path, to: str) -> None:
    """Make `to` the root from now on.

    Raises DataError if tars that the catalog names are not there: they are to be copied first.
    """
    path, new = data / "catalog.duckdb", storage.place(to)
    with catalog.connect(path) as con:
        if str(root(con, data)) == str(new):
            return
        known = named(con)
        old = root(con, data)
    absent = [f"{kind}/{name}" for kind, name, sha256 in known if not _there(new / kind / name, sha256)]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(known)} tars of {path} are not below {new} (first: {absent[0]}); copy shards/ and "
            f"features/ of {old} there, with the .index.parquet files, and run this command again"
        )
    with catalog.connect(path, read_only=False) as con:
        con.execute(SCHEMA.read_text())
        con.begin()
        con.execute("DELETE FROM storage")
        if str(new) != str(Path(data).absolute()):
            con.execute("INSERT INTO storage VALUES (?)", [str(new)])
        con.commit()


def _there(tar: storage.Place, sha256: str) -> bool:
    about = index.read_about(tar)
    try:
        return about is not None and about["sha256"] == sha256 and storage.stamp(tar)[0] == about["size_bytes"]
    except FileNotFoundError:
        return False


def _has(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    query = "SELECT count(*) FROM information_schema.tables WHERE table_name = ?"
    return con.execute(query, [table]).fetchone()[0] > 0
