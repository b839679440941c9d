"""Random access to the members of tars: where each lies is read once from the catalog, then one read a member."""

import collections
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import duckdb
import numpy as np

from ingest import catalog
from ingest.cli import with_data
from ingest.types import DataError
from shards import index, root, storage
from shards.storage import Place, Remote

_OPEN_FILES = 256
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)


class Members:
    """Members of all tars of one kind, by utterance and variant.

    source: the DATA folder, or an open connection to its catalog. The member index is read on first use and
    kept as a few numbers a member. Safe to share between threads, to fork, and to pickle into a worker process.
    """

    kind: ClassVar[str]  # the folder of the tars below the root
    table: ClassVar[str]  # of the catalog, one row a member
    shards: ClassVar[str]  # of the catalog, one row a tar
    fresh: ClassVar[str]  # SQL: whether a member m is of the audio that was ingested last
    columns: ClassVar[dict[str, tuple[str, type]]]  # of the index beside key, offset, size and shard: SQL and type
    command = "python -m shards {corpus}"  # what writes a tar again
    only: tuple[str, tuple] = ("true", ())  # which rows of the table, as SQL and its parameters

    def __init__(self, source: Path | str | duckdb.DuckDBPyConnection):
        self._con = None
        if isinstance(source, duckdb.DuckDBPyConnection):
            self._con = source
            (path,) = source.execute(
                "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
            ).fetchone()
            source = Path(path).parent
        self.data = Path(source)
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._index: dict[str, np.ndarray] | None = None
        self._shards: list[str] = []
        self._sha256: list[str | None] = []  # of each shard
        self._known: dict[int, tuple] = {}  # shard -> the state of its file when it was the one of the catalog
        self._folder: Place | None = None
        self._files: collections.OrderedDict[int, OpenFile | _Object] = collections.OrderedDict()

    def close(self) -> None:
        """Forget the open shards; the reader stays usable."""
        with self._lock:
            self._files.clear()

    def __enter__(self) -> "Members":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict:
        self._load()
        return {name: value for name, value in vars(self).items() if name not in ("_con", "_lock", "_turn", "_files")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, _con=None, _files=collections.OrderedDict())
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def _load(self) -> None:
        with self._lock:
            if self._index is not None:
                return
            con = self._con or catalog.connect(self.data / "catalog.duckdb")
            try:
                where, values = self.only
                if has_column(con, "shard_member", "source"):
                    where = f"{where} AND {self.fresh}"
                rows = con.execute(
                    f"""SELECT md5_number_upper(m.utt_id || chr(10) || m.variant) AS key, m."offset", m.size,
                               dense_rank() OVER (ORDER BY m.shard) - 1 AS shard,
                               {", ".join(f"{sql} AS {name}" for name, (sql, _) in self.columns.items())}
                        FROM {self.table} m WHERE {where} ORDER BY key""", list(values),
                ).fetchnumpy()  # fmt: skip
                names = (
                    f"SELECT shard, sha256 FROM (SELECT DISTINCT shard FROM {self.table} m WHERE {where}) "
                    f"LEFT JOIN {self.shards} USING (shard) ORDER BY shard"
                )
                named = con.execute(names, list(values)).fetchall()
                self._shards, self._sha256 = ([row[i] for row in named] for i in (0, 1))
                self._folder = root.root(con, self.data) / self.kind
            except duckdb.CatalogException:
                raise DataError(
                    f"{self.data / 'catalog.duckdb'} has no {self.kind}; run: "
                    + with_data(self.command.format(corpus="CORPUS"), self.data)
                ) from None
            finally:
                if self._con is None:
                    con.close()
            types = {"key": np.uint64, "offset": np.int64, "size": np.int64, "shard": np.int32}
            types |= {name: kind for name, (_, kind) in self.columns.items()}
            found = {name: np.ascontiguousarray(rows[name], dtype=kind) for name, kind in types.items()}
            twice = np.flatnonzero(found["key"][1:] == found["key"][:-1])
            if len(twice):
                raise DataError(
                    f"{self.data / 'catalog.duckdb'} names {len(twice)} clips twice, the first in "
                    f"{self._shards[found['shard'][twice[0]]]}: it is damaged; move it away, ingest again, then run "
                    f"{self.command.format(corpus='CORPUS')}; shards that are sound are kept"
                )
            self._index = found

    def has(self, utt_id: str, variant: str = "original") -> bool:
        """Whether a tar holds it."""
        return self._place(utt_id, variant) is not None

    def rows(self, utt_ids: Sequence[str], variants: Sequence[str]) -> np.ndarray:
        """int64 (clip,) numbers of several clips in the index, looked up at once; what a subclass reads them by.

        Raises DataError naming the first that no tar holds.
        """
        if self._index is None:
            self._load()
        digests = b"".join(_digest(*clip) for clip in zip(utt_ids, variants, strict=True))
        key, keys = np.frombuffer(digests, "<u8"), self._index["key"]
        rows = keys.searchsorted(key)
        absent = np.flatnonzero(keys[np.minimum(rows, len(keys) - 1)] != key) if len(keys) else range(len(key))
        if len(absent):
            raise self._absent(utt_ids[absent[0]], variants[absent[0]])
        return rows

    def _place(self, utt_id: str, variant: str) -> int | None:
        if self._index is None:
            self._load()
        key, keys = np.uint64(int.from_bytes(_digest(utt_id, variant), "little")), self._index["key"]
        row = int(keys.searchsorted(key))
        return None if row == len(keys) or keys[row] != key else row

    def _row(self, utt_id: str, variant: str) -> int:
        row = self._place(utt_id, variant)
        if row is None:
            raise self._absent(utt_id, variant)
        return row

    def _making(self, corpus: str, variant: str) -> str:
        """The command that writes the members of a corpus in a variant."""
        return self.command.format(corpus=corpus)

    def _absent(self, utt_id: str, variant: str) -> DataError:
        command = with_data(self._making(utt_id.split("/")[0], variant), self.data)
        where, values = self.only
        there = f"SELECT 1 FROM {self.table} m WHERE {where} AND m.utt_id = ? AND m.variant = ?"
        if self._asked(there, [*values, utt_id, variant]):
            return DataError(
                f"{utt_id} was ingested anew with other audio than its shard of variant {variant!r} was made of; "
                f"run: {command}"
            )
        return DataError(
            f"{utt_id} is in no shard of variant {variant!r}; run: {command} (and see python -m ingest status)"
        )

    def _asked(self, query: str, values: Sequence[object]) -> tuple | None:
        """One row of the catalog, for what an error says."""
        con = self._con or catalog.connect(self.data / "catalog.duckdb")
        try:
            return con.execute(query, list(values)).fetchone()
        finally:
            if self._con is None:
                con.close()

    def _again(self, number: int) -> str:
        """The command that writes a tar again."""
        name = self._shards[number]
        row = self._asked(f"SELECT corpus, variant FROM {self.shards} WHERE shard = ?", [name])
        return with_data(self._making(*row or (Path(name).parent.name, "original")), self.data)

    def _read(self, row: int, offset: int, size: int, utt_id: str) -> bytes:
        number = int(self._index["shard"][row])
        try:
            data = self._file(number).read(size, offset)
        except FileNotFoundError:
            raise self._gone(number, "no such object") from None
        if len(data) != size:
            raise self._broken(row, utt_id, f"ends before byte {offset + size}")
        return data

    def _read_into(self, row: int, offset: int, space: memoryview, utt_id: str) -> None:
        """The bytes from `offset` on that fill `space`, without a copy where the system can."""
        number = int(self._index["shard"][row])
        try:
            size = self._file(number).read_into(space, offset)
        except FileNotFoundError:
            raise self._gone(number, "no such object") from None
        if size != len(space):
            raise self._broken(row, utt_id, f"ends before byte {offset + len(space)}")

    def _file(self, number: int) -> "OpenFile | _Object":
        return self._files.get(number) or self._open(number)

    def _open(self, number: int) -> "OpenFile | _Object":
        path = self._folder / self._shards[number]
        try:
            file = _Object(path) if isinstance(path, Remote) else OpenFile(path)
            self._check(number, path, file.state)
        except OSError as error:
            raise self._gone(number, error.strerror or "no such object") from None
        with self._lock:
            self._files[number] = file
            while len(self._files) > _OPEN_FILES:  # closed when its last reader lets go of it
                self._files.popitem(last=False)
        return file

    def _check(self, number: int, path: Place, state: tuple) -> None:
        """Raise DataError if a tar is not the one that the rows are of: they would mean other bytes, of PCM noise.

        Once for each state of its file: the index is read for it.
        """
        if self._known.get(number) == state:
            return
        if self._sha256[number] and not index.is_of(path, self._sha256[number]):
            raise DataError(
                f"shard {path} is not the one of the catalog: a command that writes it anew is still busy, or was "
                f"killed; let it end, or run: {self._again(number)}"
            )
        self._known[number] = state

    def _gone(self, number: int, reason: str) -> DataError:
        path = self._folder / self._shards[number]
        return DataError(f"shard {path} cannot be opened ({reason}); write it again: {self._again(number)}")

    def _broken(self, row: int, utt_id: str, what: str) -> DataError:
        number = int(self._index["shard"][row])
        path = self._folder / self._shards[number]
        return DataError(f"shard {path} is damaged: {utt_id} {what}; remove it and run: {self._again(number)}")


def has_column(con: duckdb.DuckDBPyConnection, table: str, column: str) -> bool:
    """Whether a table of this catalog has that column; older catalogs lack some."""
    query = "SELECT 1 FROM information_schema.columns WHERE table_name = ? AND column_name = ?"
    return con.execute(query, [table, column]).fetchone() is not None


class OpenFile:
    """An open file that closes itself when nobody holds it any more."""

    def __init__(self, path: Path):
        self.handle = os.open(path, os.O_RDONLY)

    @property
    def state(self) -> tuple:
        """Another one for another file, or another content, of that name."""
        about = os.fstat(self.handle)
        return about.st_ino, about.st_size, about.st_mtime_ns

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self.handle, size, offset)

    def read_into(self, space: memoryview, offset: int) -> int:
        return os.preadv(self.handle, [space], offset)

    def in_memory(self, space: memoryview, offset: int) -> bool:
        """Fill `space` if the system has those bytes in memory; whether it did. It never waits for a disk."""
        try:
            return os.preadv(self.handle, [space], offset, _NO_WAIT) == len(space)
        except OSError:  # a disk would have to be waited for, or the file system cannot tell
            return False

    def __del__(self):
        if hasattr(self, "handle"):
            os.close(self.handle)


def ask(spans: Sequence[tuple[OpenFile, int, int]]) -> None:
    """Let the system begin to fetch bytes that will be read: file, offset and size of each span."""
    if hasattr(os, "posix_fadvise"):
        for file, offset, size in spans:
            os.posix_fadvise(file.handle, offset, size, os.POSIX_FADV_WILLNEED)


class _Object(storage.Object):
    """An object of a store, read by ranges."""

    @property
    def state(self) -> tuple:
        """Another one for another content, where the store tells."""
        return (self.tag,)

    def read_into(self, space: memoryview, offset: int) -> int:
        data = self.read(len(space), offset)
        space[: len(data)] = data
        return len(data)


def _digest(utt_id: str, variant: str) -> bytes:
    """The key of a clip, as the catalog's md5_number_upper() gives it, in little-endian bytes."""
    return hashlib.md5(f"{utt_id}\n{variant}".encode(), usedforsecurity=False).digest()[:8]
