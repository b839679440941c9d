"""Outputs that appear whole or not at all, and the lock that keeps two writers apart."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.types import DataError


@contextlib.contextmanager
def atomic(path: Path | str, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success flush it to disk and rename it, else remove it.

    The caller writes the temporary file by name. A reader sees the old file or the new one, never a part.
    With sync=False the caller flushes later, many files at once, before anything relies on them.
    What a killed writer of the same path left is taken over. Raises DataError when the folder cannot be written, the
    disk is full, or `path` is a folder, a device or a pipe, whose name a file would take.
    """
    path = Path(path)
    with ready(path.parent):
        if path.exists() and not path.is_file():
            what = "folder" if path.is_dir() else "device or a pipe"
            raise DataError(f"{path} is a {what}; name a file")
        handle, temporary = _temporary(path)
    renamed = False
    try:
        with writable(path.parent):
            yield temporary
            if sync:
                with open(temporary, "rb+") as written:
                    os.fsync(written.fileno())
            if (mode := os.fstat(handle).st_mode) != os.stat(temporary).st_mode:  # a library made the file anew
                os.chmod(temporary, stat.S_IMODE(mode))
            os.replace(temporary, path)
            renamed = True
            if sync:
                sync_folder(path.parent)
    finally:
        if not renamed:  # else the name may be another writer's already
            temporary.unlink(missing_ok=True)
        os.close(handle)


def _temporary(path: Path) -> tuple[int, Path]:
    """An empty file beside `path` that this process alone writes, locked for as long as the handle is open.

    The first free one of .NAME.tmp, .NAME.1.tmp, ...: the lock of a writer that was killed is free, so that its file is
    used again and nothing is left over.
    """
    number, mine = 0, None
    while True:
        name = path.with_name(f".{path.name}{f'.{number}' if number else ''}.tmp")
        number += 1
        if mine is not None and not name.exists():
            return mine
        handle = _alone(name)
        if handle is None:
            continue
        if mine is None:
            mine = handle, name
        else:  # left by one of several writers that were killed together
            name.unlink(missing_ok=True)
            os.close(handle)


def _alone(name: Path) -> int | None:
    """Open, lock and empty a file, made if need be; None if it is another's, or no file of ours to write."""
    try:
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR) or (error.errno == errno.EACCES and name.exists()):
            return None
        raise
    try:
        flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, name)
        if _is_still(handle, name):
            os.ftruncate(handle, 0)
            return handle
    except BlockingIOError:
        pass
    os.close(handle)
    return None


def flock(handle: int, how: int, path: Path) -> None:
    """fcntl.flock of the open file `path`; raises DataError where its file system has no locks (Lustre, some NFS)."""
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise
        raise DataError(
            f"{path.parent} is on a file system without locks ({error.strerror}; Lustre has them when mounted with "
            "-o flock); name a folder on another one, as a local disk"
        ) from None


def _is_still(handle: int, name: Path) -> bool:
    """Whether a name means the open file: whoever held its lock before may have renamed or removed it."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(name, follow_symlinks=False))
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn "permission denied", "read-only" and "disk full" below `folder` into one clear line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        said = refusal(error, folder)
        if said is None:
            raise
        raise DataError(said) from None


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[None]:
    """`writable`, with the folder made, for the first file in it: one that is not there then is one that may not be."""
    with writable(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield
        except FileNotFoundError as error:  # below /proc and the like
            raise DataError(f"{folder} takes no new files ({error.strerror}: {error.filename}); name another") from None


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)
_DAMAGED = ("corrupt database file", "could not read enough bytes from file")
_FULL_BYTES = 1 << 16  # that are left when a write fails for want of room


def refusal(error: BaseException, folder: Path | None = None) -> str | None:
    """One line for a full disk, a folder (if known) that takes nothing, a damaged database; None for any other error.

    DuckDB and safetensors raise errors of their own with the system's words in them; torch, NumPy and libsndfile do not
    say why they could not write, so there the disk is asked.
    """
    code, words = getattr(error, "errno", None), str(error).lower()
    if code is None and any(sign in words for sign in _DAMAGED):  # DuckDB meets a damaged block when it reads it
        return f"a DuckDB file is damaged ({' '.join(str(error).split())}); restore it, or remove it and make it anew"
    if code is None:
        code = next((c for c in (*_NO_ROOM, *_NO_RIGHT) if os.strerror(c).lower() in words), None)
    if code is None and folder is not None and _is_full(folder):
        code = errno.ENOSPC
    if code == errno.ENAMETOOLONG:
        return f"a path is longer than this system allows: {str(getattr(error, 'filename', None))[:200]}..."
    if code in (*_NO_RIGHT, *_NO_ROOM) and (folder is None or _elsewhere(error, folder)):
        which = getattr(error, "filename", None) or " ".join(str(error).split())
        return f"cannot go on: {which} ({os.strerror(code)}); mend that and run the same command again"
    if code in _NO_RIGHT:
        return f"{folder} is not writable ({os.strerror(code)}); pass another folder as DATA="
    if code in _NO_ROOM:
        return f"{folder} has no room left ({os.strerror(code)}); free space and run the same command again"
    if code in _NO_FOLDER and isinstance(error, OSError):
        return f"{folder} cannot be used as a folder ({error.strerror}: {error.filename})"
    return None


def _elsewhere(error: BaseException, folder: Path) -> bool:
    """Whether an error names a file that is neither below `folder` nor on the way to it: one that is read, say."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str | bytes):
        return False
    path, below = os.path.abspath(os.fsdecode(name)), os.path.abspath(folder)
    return os.path.commonpath([path, below]) not in (path, below)


def _is_full(folder: Path) -> bool:
    try:
        about = os.statvfs(folder)
    except OSError:
        return False
    return about.f_blocks > 0 and about.f_bavail * about.f_frsize < _FULL_BYTES


@contextlib.contextmanager
def lock(path: Path | str, *, wait: bool = True, keep: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the file names its holder. A dead holder's lock is free at once.

    With wait=False a lock held by another process raises DataError naming the holder. keep=False removes the file at
    the end: for folders of the user's.
    """
    path = Path(path)
    while True:
        with _locked(path, wait=wait) as handle:
            if not _is_still(handle, path):  # its holder has removed it: what is there now is another's
                continue
            with writable(path.parent):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            try:
                yield
            finally:
                if not keep:
                    path.unlink(missing_ok=True)
            return


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[int]:
    with ready(path.parent):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            if not wait:
                raise DataError(f"{path.parent} is in use by {holder}; wait for it to end") from None
            print(f"waiting for {holder}", file=sys.stderr, flush=True)  # standard output may be JSON
            flock(handle, fcntl.LOCK_EX, path)
        yield handle
    finally:
        os.close(handle)


def sha256(path: Path | str) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_config(path: Path) -> dict[str, Any]:
    """The config.json of a published model's folder. Raises DataError if it is no JSON object."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); download the model's folder again") from None
    if not isinstance(values, dict):
        raise DataError(f"{path} is no configuration of a model; download the model's folder again")
    return values


def refuse_packed(path: Path) -> None:
    """Raise DataError for a weight file of PyTorch whose parts unpack to more than the file: PyTorch packs none."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return  # what it is instead, its reader says
    if unpacked > path.stat().st_size:
        said = f"its parts unpack to {unpacked} bytes, the file has {path.stat().st_size}"
        raise DataError(f"{path} cannot be read as a weight file: {said}")


def refuse_damaged(path: Path) -> None:
    """Raise DataError for a weight file of PyTorch with a part that is not what was written, by its own checksum.

    PyTorch does not look at it: a flipped bit is another weight. Parts without one pass.
    """
    name = ""
    unknown = (ValueError, NotImplementedError, EOFError, RuntimeError)  # archives that torch.load refuses in its words
    with contextlib.suppress(*unknown), open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            return  # what it is instead, its reader says
        try:
            with zipfile.ZipFile(file) as archive:
                for part in archive.infolist():
                    if part.CRC and part.compress_type == zipfile.ZIP_STORED:
                        name = part.filename
                        with archive.open(part) as content:
                            while content.read(1 << 20):
                                pass
        except zipfile.BadZipFile as error:
            if name:
                raise DataError(f"{path} is damaged ({error}); copy or download it again") from None


def utf8(path: Path) -> Path:
    """The path as it is; raises DataError for one that is not UTF-8, which neither Arrow nor DuckDB can hold."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise DataError(f"{shown}: the path is not in UTF-8; rename it, or pass a symbolic link to it") from None
    return path


def below(folder: Path) -> Iterator[Path]:
    """The files below a folder: links followed, each folder once, hidden files and folders left out.

    Raises DataError for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")

    seen = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        about = os.stat(place)
        if (about.st_dev, about.st_ino) in seen:  # a link to where we have been
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in names if not name.startswith("."))


def inside(root: Path, relative: str) -> Path:
    """The path of `relative` below `root`; raises DataError if it would leave the root (no symlink check)."""
    path = os.path.normpath(os.path.join(root, relative))
    if os.path.isabs(relative) or not (path + os.sep).startswith(os.path.normpath(root) + os.sep):
        raise DataError(f"path {relative!r} leaves the folder {root}")
    return Path(path)
