"""The root below which shards/ and features/ lie: DATA, or what `--to` named, remembered in the catalog.

A root belongs to one catalog: outside DATA it bears a mark with the id that is kept in DATA.
"""

import socket
import uuid
from pathlib import Path

import duckdb

from ingest import catalog
from ingest.files import atomic, lock
from ingest.types import DataError
from shards import index, storage

SCHEMA = Path(__file__).with_name("shard.sql")
MARK, ID = ".siren-root", ".siren-id"  # in the root; in DATA
TABLES = {"shards": "shard", "features": "feature_shard"}  # folder below the root -> table of its tars


def root(con: duckdb.DuckDBPyConnection, data: Path) -> storage.Place:
    """The root of a catalog; DATA unless another was chosen."""
    row = con.execute("FROM storage").fetchone() if has_table(con, "storage") else None
    return storage.place(row[0]) if row else Path(data).absolute()


def check_still(con: duckdb.DuckDBPyConnection, data: Path, before: storage.Place) -> None:
    """Raise DataError if another root was chosen while tars were written below the one of before."""
    now = root(con, data)
    if str(now) != str(before):
        raise DataError(f"another command chose {now} in place of {before} meanwhile (--to); run this command again")


def folder(data: Path, kind: str) -> storage.Place:
    """Where the tars of one kind lie: `shards` or `features`."""
    with catalog.connect(data / "catalog.duckdb") as con:
        return root(con, data) / kind


def named(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """(kind, name below its folder, sha256) of every tar that the catalog names."""
    return [
        (kind, *row)
        for kind, table in TABLES.items() if has_table(con, table)
        for row in con.execute(f"SELECT shard, sha256 FROM {table} ORDER BY shard").fetchall()
    ]  # fmt: skip


def choose(data: Path, to: str) -> None:
    """Make `to` the root from now on; it bears this catalog's mark then, which also proves that it can be written.

    Raises DataError if it belongs to another catalog, or tars that the catalog names are not there: they are to be
    copied first.
    """
    path, new = data / "catalog.duckdb", storage.place(to)
    with catalog.connect(path) as con:
        known = named(con)
        old = root(con, data)
    is_ours(data, new)
    same = str(old) == str(new)
    absent = [] if same else [f"{kind}/{name}" for kind, name, sha256 in known if not _there(new / kind / name, sha256)]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(known)} tars of {path} are not below {new} (first: {absent[0]}); copy shards/ and "
            f"features/ of {old} there, with the .index.parquet files, and run this command again"
        )
    _mark(data, new)
    if same:
        return
    with catalog.connect(path, read_only=False) as con:
        con.execute(SCHEMA.read_text())
        con.begin()
        con.execute("DELETE FROM storage")
        if str(new) != str(Path(data).absolute()):
            con.execute("INSERT INTO storage VALUES (?)", [str(new)])
        con.commit()


def claim(data: Path) -> None:
    """Mark the root of a catalog as its own; DATA needs no mark. Raises DataError if it is another's."""
    with catalog.connect(data / "catalog.duckdb") as con:
        top = root(con, data)
    _mark(data, top)


def is_ours(data: Path, top: storage.Place) -> bool:
    """Whether a root is DATA or bears the mark of its catalog. Raises DataError if it belongs to another catalog."""
    try:
        mark = storage.read_bytes(top / MARK).decode(errors="replace").split()
    except (FileNotFoundError, NotADirectoryError):
        other = top / "catalog.duckdb"
        if not isinstance(other, Path) or not other.exists():
            return False
        if other.samefile(data / "catalog.duckdb"):
            return True
        raise DataError(f"{top} is the DATA of another catalog; name another --to, such as {top}/more") from None
    id_file = Path(data) / ID
    if id_file.exists() and mark[:1] == id_file.read_text().split():
        return True
    raise DataError(
        f"{top} belongs to another catalog ({' '.join(mark[1:])}); name another --to, such as {top}/more, or, if that "
        f"catalog is no more, remove {top / MARK} and run this command again"
    )


def sign(top: storage.Place) -> Path | None:
    """A file by which a local root is known: its mark, or the catalog of DATA; None for a store."""
    if not isinstance(top, Path):
        return None
    mark = top / MARK
    return mark if mark.exists() else top / "catalog.duckdb"


def _mark(data: Path, top: storage.Place) -> None:
    if is_ours(data, top):
        return
    id_file = Path(data) / ID
    with lock(id_file.with_name(f"{ID}.lock"), keep=False):
        if not id_file.exists():
            with atomic(id_file) as temporary:
                temporary.write_text(f"{uuid.uuid4().hex}\n")
    about = f"{id_file.read_text().strip()} {Path(data).absolute()} on {socket.gethostname()}\n"
    storage.write_bytes(top / MARK, about.encode())
    if not is_ours(data, top):
        raise DataError(f"{top} does not keep what is written there; name another --to")


def _there(tar: storage.Place, sha256: str) -> bool:
    about = index.read_about(tar)
    try:
        return about is not None and about["sha256"] == sha256 and storage.stamp(tar)[0] == about["size_bytes"]
    except FileNotFoundError:
        return False


def has_table(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether a catalog has a table of that name."""
    query = "SELECT count(*) FROM information_schema.tables WHERE table_name = ?"
    return con.execute(query, [table]).fetchone()[0] > 0


def take_out(con: duckdb.DuckDBPyConnection, what: str, corpus: str, name: str) -> None:
    """Keep in a catalog with the tables of SCHEMA that a `plan` or a `feature` was removed."""
    con.execute("INSERT OR IGNORE INTO taken_out VALUES (?, ?, ?)", [what, corpus, name])


def taken_out(con: duckdb.DuckDBPyConnection, what: str, name: str) -> set[str]:
    """The corpora that a plan was removed from; of a feature the empty word."""
    if not has_table(con, "taken_out"):
        return set()
    query = "SELECT corpus FROM taken_out WHERE what = ? AND name = ?"
    return {corpus for (corpus,) in con.execute(query, [what, name]).fetchall()}
