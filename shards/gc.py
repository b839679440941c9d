"""Garbage collection: files of this catalog's corpora below the shard root that no row of the catalog names."""

import contextlib
import re
import shlex
from pathlib import Path

from ingest import catalog
from ingest.cli import with_data
from ingest.files import lock
from ingest.types import DataError
from shards import storage
from shards.index import index_path
from shards.root import TABLES, has_table, is_ours, named, root

_FILE = r"\1-[^/]+-\d{6,}\.(?:tar|index\.parquet)"  # CORPUS-LANGUAGE-ATTACK-VARIANT-000000.tar, its index
_OURS = re.compile(rf"(?:shards|features/[^/]+-[0-9a-f]{{8}})/([^/]+)/(?:{_FILE}|\.{_FILE}(?:\.\d+)?\.tmp)")


def unnamed(data: Path) -> dict[storage.Place, int]:
    """Tars, indexes and left-over temporary files that the catalog does not name, sorted, with their bytes.

    Only files that our commands name so, of corpora that the catalog knows: others lie there for somebody else.
    Raises DataError if there is no catalog (without one, everything would look unnamed), or the root is not this
    catalog's own.
    """
    with catalog.connect(data / "catalog.duckdb") as con:
        top = root(con, data)
        tars = [top / kind / name for kind, name, _ in named(con)]
        tables = ["corpus", *(table for table in TABLES.values() if has_table(con, table))]
        query = " UNION ".join(f"SELECT corpus FROM {table}" for table in tables)
        corpora = {corpus for (corpus,) in con.execute(query).fetchall()}
    if not is_ours(data, top):
        raise DataError(
            f"{top} bears no mark of a catalog, so others may keep shards there; if none does, run: "
            f"{with_data('python -m shards gc', data)} --to {shlex.quote(str(top))}"
        )
    known = {*tars, *map(index_path, tars)}
    found = {}
    for path, size in (one for kind in TABLES for one in storage.files(top / kind)):
        ours = _OURS.fullmatch(_below(path, top))
        if ours and ours[1] in corpora and path not in known:
            found[path] = size
    return {path: found[path] for path in sorted(found)}


def remove(data: Path) -> dict[storage.Place, int]:
    """Delete what `unnamed` finds, and the folders that become empty; returns what is gone, with its bytes.

    A file that is about to be named looks like one that is not: raises DataError, with nothing deleted, while a process
    writes into one of the folders.
    """
    with catalog.connect(data / "catalog.duckdb") as con:
        top = root(con, data)
    with contextlib.ExitStack() as alone:
        folders = {path.parent for path in unnamed(data)}
        for folder in sorted(folders):  # shards/CORPUS or features/FEATURE/CORPUS, whose lock below DATA a writer holds
            alone.enter_context(lock(data / _below(folder, top) / ".lock", wait=False, keep=False))
        found = {path: size for path, size in unnamed(data).items() if path.parent in folders}
        for path in found:
            storage.remove(path)
    for folder in sorted({path.parent for path in found if isinstance(path, Path)}, reverse=True):
        with contextlib.suppress(OSError):  # others lie there
            folder.rmdir()
    return found


def _below(path: storage.Place, top: storage.Place) -> str:
    return str(path)[len(str(top)) :].strip("/")
