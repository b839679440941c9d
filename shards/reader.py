"""Random access to the clips in the shards: one pread a clip, from any thread or process."""

import collections
import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import soundfile

from ingest import catalog
from ingest.types import DataError
from shards import root, storage
from shards.storage import Place, Remote

_OPEN_FILES = 256
_WAV_HEAD_BYTES = 44
_INDEX = """
    SELECT md5_number_upper(m.utt_id || chr(10) || m.variant) AS key, m."offset", m.size, m.samples,
           dense_rank() OVER (ORDER BY m.shard) - 1 AS shard,
           CASE WHEN m.member LIKE '%.wav' THEN (m.size - 44) // m.samples ELSE 0 END AS width
    FROM   shard_member m
    ORDER  BY key
"""


class Reader:
    """The clips of all shards by utterance and variant.

    source: the DATA folder, or an open connection to its catalog. The member index is read on first use and
    kept as six numbers a clip. Safe to share between threads, to fork, and to pickle into a worker process.
    """

    def __init__(self, source: Path | str | duckdb.DuckDBPyConnection):
        self._con = None
        if isinstance(source, duckdb.DuckDBPyConnection):
            self._con = source
            (path,) = source.execute(
                "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
            ).fetchone()
            source = Path(path).parent
        self.data = Path(source)
        self._lock = threading.Lock()
        self._index: dict[str, np.ndarray] | None = None
        self._shards: list[str] = []
        self._folder: Place | None = None
        self._files: collections.OrderedDict[int, _File | _Object] = collections.OrderedDict()

    def wave(self, utt_id: str, variant: str = "original") -> np.ndarray:
        """float32 (sample,) at 16 kHz, full scale 1. Raises DataError naming the shard and what to run."""
        row = self._row(utt_id, variant)
        index = self._index
        offset, size, samples, width = (int(index[k][row]) for k in ("offset", "size", "samples", "width"))
        if width:
            return self._pcm(row, offset + _WAV_HEAD_BYTES, samples, width, utt_id)
        return self._decoded(row, self._read(row, offset, size, utt_id), samples, utt_id)

    def span(self, utt_id: str, start: int, stop: int, variant: str = "original") -> np.ndarray:
        """Samples start..stop (exclusive) of a clip; from a PCM shard only their bytes are read.

        Raises DataError if the clip is shorter than stop.
        """
        row = self._row(utt_id, variant)
        index = self._index
        offset, samples, width = (int(index[k][row]) for k in ("offset", "samples", "width"))
        if not 0 <= start < stop <= samples:
            raise DataError(f"{utt_id} ({variant}) has {samples} samples; {start}..{stop} do not lie within")
        if not width:  # FLAC
            return self.wave(utt_id, variant)[start:stop]
        return self._pcm(row, offset + _WAV_HEAD_BYTES + width * start, stop - start, width, utt_id)

    def waves(self, utt_ids: Sequence[str], variant: str = "original") -> list[np.ndarray]:
        """The clips of several utterances, in the order asked for, read in the order of the disk."""
        rows = [self._row(utt_id, variant) for utt_id in utt_ids]
        place = sorted(range(len(rows)), key=lambda i: (self._index["shard"][rows[i]], self._index["offset"][rows[i]]))
        waves: dict[int, np.ndarray] = {i: self.wave(utt_ids[i], variant) for i in place}
        return [waves[i] for i in range(len(rows))]

    def length(self, utt_id: str, variant: str = "original") -> int:
        """Samples at 16 kHz, from the index alone."""
        return int(self.lengths([utt_id], variant)[0])

    def lengths(self, utt_ids: Sequence[str], variant: str = "original") -> np.ndarray:
        """Samples of several utterances, int64 (utterance,), from the index alone."""
        rows = [self._row(utt_id, variant) for utt_id in utt_ids]
        return self._index["samples"][rows].astype(np.int64)

    def close(self) -> None:
        """Forget the open shards; the reader stays usable."""
        with self._lock:
            self._files.clear()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict:
        self._load()
        return {"data": self.data, "_index": self._index, "_shards": self._shards, "_folder": self._folder}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["data"])
        self._index, self._shards, self._folder = state["_index"], state["_shards"], state["_folder"]

    def _load(self) -> None:
        with self._lock:
            if self._index is not None:
                return
            con = self._con or catalog.connect(self.data / "catalog.duckdb")
            try:
                table = con.execute(_INDEX).fetchnumpy()
                shards = con.execute("SELECT DISTINCT shard FROM shard_member ORDER BY shard").fetchall()
                self._folder = root.root(con, self.data) / "shards"
            except duckdb.CatalogException:
                raise DataError(
                    f"{self.data / 'catalog.duckdb'} has no shards; run: python -m shards CORPUS --data {self.data}"
                ) from None
            finally:
                if self._con is None:
                    con.close()
            self._shards = [name for (name,) in shards]
            types = {
                "key": np.uint64,
                "offset": np.int64,
                "size": np.int64,
                "samples": np.int64,
                "shard": np.int32,
                "width": np.int8,
            }
            self._index = {name: np.ascontiguousarray(table[name], dtype=kind) for name, kind in types.items()}

    def _row(self, utt_id: str, variant: str) -> int:
        if self._index is None:
            self._load()
        digest = hashlib.md5(f"{utt_id}\n{variant}".encode(), usedforsecurity=False).digest()
        key, keys = np.uint64(int.from_bytes(digest[:8], "little")), self._index["key"]
        row = int(keys.searchsorted(key))
        if row == len(keys) or keys[row] != key:
            corpus = utt_id.split("/")[0]
            raise DataError(
                f"{utt_id} is in no shard of variant {variant!r}; "
                f"run: python -m shards {corpus} --data {self.data} (and see python -m ingest status)"
            )
        return row

    def _read(self, row: int, offset: int, size: int, utt_id: str) -> bytes:
        number = int(self._index["shard"][row])
        file = self._files.get(number) or self._open(number)
        try:
            data = file.read(size, offset)
        except FileNotFoundError:
            raise self._gone(number, "no such object") from None
        if len(data) != size:
            raise self._broken(row, utt_id, f"ends before byte {offset + size}")
        return data

    def _pcm(self, row: int, offset: int, samples: int, width: int, utt_id: str) -> np.ndarray:
        data = self._read(row, offset, width * samples, utt_id)
        if width == 4:
            return np.frombuffer(data, "<f4").astype(np.float32)
        return np.multiply(np.frombuffer(data, "<i2"), np.float32(1 / 32768), dtype=np.float32)

    def _open(self, number: int) -> "_File | _Object":
        path = self._folder / self._shards[number]
        try:
            file = _Object(path) if isinstance(path, Remote) else _File(path)
        except OSError as error:
            raise self._gone(number, error.strerror) from None
        with self._lock:
            self._files[number] = file
            while len(self._files) > _OPEN_FILES:  # closed when its last reader lets go of it
                self._files.popitem(last=False)
        return file

    def _decoded(self, row: int, data: bytes, samples: int, utt_id: str) -> np.ndarray:
        try:
            wave, _ = soundfile.read(io.BytesIO(data), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise self._broken(row, utt_id, f"does not decode ({error.error_string})") from None
        if wave.shape != (samples,):
            raise self._broken(row, utt_id, f"decodes to {wave.shape}, not {samples} samples")
        return wave

    def _gone(self, number: int, reason: str) -> DataError:
        path = self._folder / self._shards[number]
        return DataError(
            f"shard {path} cannot be opened ({reason}); "
            f"write it again: python -m shards {path.parent.name} --data {self.data}"
        )

    def _broken(self, row: int, utt_id: str, what: str) -> DataError:
        path = self._folder / self._shards[int(self._index["shard"][row])]
        return DataError(
            f"shard {path} is damaged: {utt_id} {what}; "
            f"remove it and run: python -m shards {path.parent.name} --data {self.data}"
        )


class _File:
    """An open file that closes itself when nobody holds it any more."""

    def __init__(self, path: Path):
        self.handle = os.open(path, os.O_RDONLY)

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self.handle, size, offset)

    def __del__(self):
        if hasattr(self, "handle"):
            os.close(self.handle)


class _Object:
    """An object of a store, read by ranges."""

    def __init__(self, url: Remote):
        self.url = url

    def read(self, size: int, offset: int) -> bytes:
        return storage.read_bytes(self.url, offset, offset + size)


def clips(tar: Place, *, data: Path, members: int) -> Iterator[tuple[str, np.ndarray, bytes]]:
    """The samples of one audio shard in order: utt_id, float32 (sample,), and its labels as JSON bytes.

    members: how many there should be. Raises DataError naming the shard and what to run if it is damaged.
    """
    again = f"remove it and run: python -m shards {tar.parent.name} --data {data}"
    try:
        with storage.opened(tar) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            entries, found = iter(archive), 0
            for found, entry in enumerate(entries, start=1):  # noqa: B007 - counted
                audio, labels = archive.extractfile(entry).read(), archive.extractfile(next(entries)).read()
                wave, _ = soundfile.read(io.BytesIO(audio), dtype="float32")
                yield entry.name.rsplit(".", 1)[0], wave, labels
        if found != members:
            raise EOFError(f"{found} of {members} clips are there")
    except FileNotFoundError:
        raise DataError(f"shard {tar} is missing; run: python -m shards {tar.parent.name} --data {data}") from None
    except (tarfile.TarError, soundfile.LibsndfileError, StopIteration, RuntimeError, EOFError) as error:
        raise DataError(f"shard {tar} is damaged ({error}); {again}") from None
