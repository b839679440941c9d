"""Files of a shard root: a folder of this machine, or an object store behind any fsspec URL.

A local file is a Path and is written and read as ever. `Remote` is joined and named like one; an object is put
whole from a temporary file, so nobody sees a part of it, and read by ranges of bytes.
"""

import contextlib
import hashlib
import inspect
import io
import os
import re
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ingest.files import atomic, sha256, writable
from ingest.types import DataError

READ_AHEAD_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20
WORD_S, LIMIT_S = 30, 1800  # without an answer: a line says what is waited for; an upload is given up
SLOW, SLOWEST = 1_000_000, 50_000  # bytes/s: what an upload may take longer until then
_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "adlfs", "azure", "fsspec", "urllib3",
            "httpx", "httpx2", "huggingface_hub")  # fmt: skip
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


@dataclass(frozen=True, slots=True, order=True)
class Remote:
    """An object, or a folder of objects, by its URL."""

    url: str

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.url.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """What follows the last slash."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """From the last dot of the name on."""
        return Path(self.name).suffix

    @property
    def parent(self) -> "Remote":
        """The folder it lies in."""
        return Remote(self.url.rstrip("/").rpartition("/")[0])

    def with_suffix(self, suffix: str) -> "Remote":
        """The object beside it with another ending."""
        return self.parent / Path(self.name).with_suffix(suffix).name


Place = Path | Remote


def place(text: str | Path) -> Place:
    """What a user names: a path or file:// URL is local (made absolute), any other scheme:// is remote.

    Raises DataError for an empty name, also behind the scheme (an unset variable gives both); for s3:/bucket with one
    slash, which is a folder's name; for memory://, which ends with the process; and for a URL with a password or a
    query. These are not quoted, as they may be secrets; stores read ?versionId= as no part of the name.
    """
    scheme, colon, rest = str(text).partition("://")
    if found := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", str(text)):
        raise DataError(f"{text} lacks a slash; write {found[1]}://..., or ./{text} for a folder of that name")
    if scheme == "memory" and colon:
        raise DataError(f"{text} is gone when the command ends; name a folder, or s3://, gs:// or az://")
    if not (rest.strip("/ ") if colon else str(text).strip()):
        raise DataError(f"{str(text)!r} names no place for shards; give a folder, or a URL such as s3://bucket/prefix")
    if colon and scheme not in ("file", "local"):
        host, known = rest.partition("/")[0], rest.partition("?")[0]
        if ":" in host.rpartition("@")[0]:
            known = f"{host.rpartition('@')[2]}/..."
        if known != rest:
            raise DataError(
                f"{scheme}://{known} was given with a password or a ?query, which the catalog would keep; leave it "
                "out: credentials belong into the environment"
            )
        return Remote(str(text).rstrip("/"))
    return Path(os.path.expanduser(rest if colon else text)).absolute()


@contextlib.contextmanager
def writing(where: Place) -> Iterator[Path]:
    """Yield the name of a local file to write; on success it becomes `where`, whole, else nothing does."""
    if isinstance(where, Path):
        with atomic(where, sync=False) as temporary:
            yield temporary
        return
    with _scratch(where.name) as temporary:
        yield temporary
        try:
            size = temporary.stat().st_size
            with _answering(where, size):
                store = _files(where)
                # aiohttp waits for ever for the leave to send (100 Continue), and for bytes to be taken
                limit = {"timeout": LIMIT_S + size / SLOWEST} if store.async_impl else {}
                store.put_file(str(temporary), where.url, **limit)
        except FileNotFoundError as error:
            raise DataError(
                f"{where.url} cannot be written ({' '.join(str(error).split())[:300]}); see that its bucket or "
                "container is there, and run the same command again"
            ) from None


def write_bytes(where: Place, data: bytes) -> None:
    """Make `where` of these bytes, whole or not at all."""
    with writing(where) as temporary:
        temporary.write_bytes(data)


def read_bytes(where: Place, start: int | None = None, stop: int | None = None) -> bytes:
    """The bytes start..stop (exclusive) of a file, or all; FileNotFoundError if it is absent."""
    if isinstance(where, Path) and start is None:
        return where.read_bytes()
    if isinstance(where, Path):
        with open(where, "rb") as file:
            return os.pread(file.fileno(), stop - start, start)
    with _answering(where):
        return _files(where).cat_file(where.url, start=start, end=stop)


@contextlib.contextmanager
def opened(where: Place) -> Iterator[BinaryIO]:
    """A file to read from the front to the end."""
    if isinstance(where, Path):
        with open(where, "rb") as file:
            yield file
        return
    with _answering(where):
        file = _files(where).open(where.url, "rb", block_size=READ_AHEAD_BYTES, cache_type="readahead")
    with file, io.BufferedReader(_Reading(where, file), _BUFFER_BYTES) as reading:
        yield reading


class _Reading(io.RawIOBase):
    """An open object whose store is asked for the next bytes, while what is done with them takes its time."""

    def __init__(self, where: Remote, file: Any):
        self._where, self._file = where, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, space: memoryview) -> int:
        with _answering(self._where):
            data = self._file.read(len(space))
        space[: len(data)] = data
        return len(data)


class Object:
    """An object of a store, read by ranges; on S3 only as long as it is the one that was opened.

    Raises FileNotFoundError if it is absent, DataError where it was put anew meanwhile: the catalog's rows of before
    mean other bytes then.
    tag: what the store calls its content; empty where it is not asked.
    """

    def __init__(self, where: Remote):
        self.where, self.tag = where, ""
        self._open()

    def _open(self) -> None:
        file = None
        if self.where.url.partition("://")[0] in ("s3", "s3a"):
            with _answering(self.where):
                file = _files(self.where).open(self.where.url, "rb", cache_type="none")
            if self.tag not in ("", file.details["ETag"]):
                raise _anew(self.where)
            self.tag = file.details["ETag"]
        self._file, self._process = file, os.getpid()

    def read(self, size: int, offset: int) -> bytes:
        """Bytes from `offset` on; fewer at the end."""
        if self._process != os.getpid():  # forked: its connections are the parent's
            self._open()
        if self._file is None:
            return read_bytes(self.where, offset, offset + size)
        with _answering(self.where):
            return self._file._fetch_range(offset, offset + size)  # asks for that tag alone


def _anew(where: Remote) -> DataError:
    return DataError(f"{where.url} was written anew since it was opened; run the same command again")


def stamp(where: Place) -> tuple[int, str]:
    """Bytes of a file, and the tag that a store gives its content (empty where it gives none).

    Raises FileNotFoundError if it is absent.
    """
    if isinstance(where, Path):
        return where.stat().st_size, ""
    with _answering(where):
        about = _files(where).info(where.url)
    return int(about["size"]), str(about.get("ETag") or about.get("etag") or about.get("md5Hash") or "").strip('"')


def digest(where: Place) -> str:
    """sha256 of a file's bytes; of an object all of them travel."""
    if isinstance(where, Path):
        return sha256(where)
    with opened(where) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(folder: Place) -> Iterator[tuple[Place, int]]:
    """Every file below a folder with its bytes; none if there is no such folder."""
    if isinstance(folder, Path):
        for path in (Path(parent, name) for parent, _, names in os.walk(folder) for name in names):
            try:
                about = path.stat()
            except (FileNotFoundError, NotADirectoryError):  # a writer renamed it meanwhile, or a link to nothing
                continue
            if stat.S_ISREG(about.st_mode):
                yield path, about.st_size
        return
    found = {}
    with _answering(folder), contextlib.suppress(FileNotFoundError):
        store = _files(folder)
        above = store._strip_protocol(folder.url)  # a store names objects without scheme, and Azure without account
        found = store.find(folder.url, detail=True)
    for name, about in found.items():
        yield folder / name.removeprefix(above).lstrip("/"), int(about["size"])


def remove(where: Place) -> None:
    """Delete one file."""
    if isinstance(where, Path):
        where.unlink()
        return
    with _answering(where):
        _files(where).rm_file(where.url)


def _files(where: Remote) -> Any:
    """The fsspec file system of a URL; fsspec keeps one a process and knows when it was forked."""
    import fsspec

    scheme = where.url.partition("://")[0]
    try:  # asked beforehand: one of them that was never made whole prints a traceback when it is collected
        inspect.signature(fsspec.get_filesystem_class(scheme).__init__).bind(None, use_listings_cache=False)
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except TypeError:  # it asks for more than the URL says
        raise DataError(
            f"{where.url}: {scheme}:// cannot hold shards; name a folder, or s3://, gs:// or az://"
        ) from None
    except (ImportError, ValueError) as error:
        package = _PACKAGES.get(scheme)
        if package is None and not isinstance(error, ImportError):
            raise DataError(f"{where.url}: {scheme}:// is no kind of storage that fsspec knows") from None
        how = "'sirenbench[cloud]' (in a clone: pip install '.[cloud]')" if package == "s3fs" else package or scheme
        raise DataError(f"{where.url} needs the package {package or scheme}; run: pip install {how}") from None


@contextlib.contextmanager
def _answering(where: Remote, size: int = 0) -> Iterator[None]:
    """Turn what a store or the way to it refuses into one line; an absent object stays FileNotFoundError.

    While it does not answer a line says so, of `size` bytes that are sent later.
    """
    word_s = WORD_S + size / SLOW
    timer = threading.Timer(word_s, _say_waiting, (where, word_s))
    timer.daemon = True
    timer.start()
    try:
        yield
    except FileNotFoundError:
        if _has_bucket(where):
            raise
        raise DataError(f"{where.url}: there is no such bucket; make it, or name another --to") from None
    except DataError:
        raise
    except Exception as error:
        if type(error).__name__ == "FileExpired":  # of s3fs: its tag is another
            raise _anew(where) from None
        client = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError | NotImplementedError) and client not in _CLIENTS:
            raise
        silent = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        reason = " ".join((str(error) or silent).split())[:300]
        raise DataError(
            f"{where.url} cannot be reached or used ({reason}); what is finished is kept: see to the network, the "
            "address and the credentials, and run the same command again"
        ) from None
    finally:
        timer.cancel()


def _say_waiting(where: Remote, seconds: float) -> None:
    print(f"waiting for {where.url} for {seconds:.0f} s; the way to the store is slow, or it does not answer",
          file=sys.stderr, flush=True)  # fmt: skip


def _has_bucket(where: Remote) -> bool:
    if where.url.partition("://")[0] not in ("s3", "s3a", "gs", "gcs"):
        return True
    bucket = Remote("/".join(where.url.split("/")[:3]))
    try:
        return _files(bucket).exists(bucket.url)
    except Exception:  # who may write objects need not be allowed to see the bucket
        return True


@contextlib.contextmanager
def _scratch(name: str) -> Iterator[Path]:
    """A temporary file named after its process; those of this machine's processes that are gone are removed first."""
    folder = Path(tempfile.gettempdir()) / f"siren-{os.getuid()}-{socket.gethostname()}"  # others may see TMPDIR
    with writable(folder):
        folder.mkdir(exist_ok=True, mode=0o700)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise DataError(f"{folder} belongs to somebody else; set TMPDIR to a folder of your own")
        for left in folder.iterdir():
            if not Path(f"/proc/{left.name.partition('-')[0]}").exists() and Path("/proc/self").exists():
                left.unlink(missing_ok=True)
        handle, path = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=f"-{name}", dir=folder)
        os.close(handle)
    try:
        with writable(folder):
            yield Path(path)
    finally:
        Path(path).unlink(missing_ok=True)
