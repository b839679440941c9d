"""Outputs that appear whole or not at all, and the lock that keeps two writers apart."""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ingest.types import DataError


@contextlib.contextmanager
def atomic(path: Path | str, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success flush it to disk and rename it, else remove it.

    The caller writes the temporary file by name. A reader sees the old file or the new one, never a part.
    With sync=False the caller flushes later, many files at once, before anything relies on them.
    Raises DataError when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with writable(path.parent):
            yield temporary
            if sync:
                with open(temporary, "rb+") as written:
                    os.fsync(written.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
            if sync:
                sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


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
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DataError(f"{folder} is not writable ({error.strerror}); pass another folder as DATA=") from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DataError(
                f"{folder} has no room left ({error.strerror}); free space and run the same command again"
            ) from None
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise DataError(f"{folder} cannot be used as a folder ({error.strerror}: {error.filename})") from None
        raise


@contextlib.contextmanager
def lock(path: Path | str, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the file names its holder. A dead holder's lock is free at once.

    With wait=False a lock held by another process raises DataError naming the holder.
    """
    path = Path(path)
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            if not wait:
                raise DataError(f"{path.parent} is in use by {holder}; wait for it to end") from None
            print(f"waiting for {holder}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def sha256(path: Path | str) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inside(root: Path, relative: str) -> Path:
    """The path of `relative` below `root`; raises DataError if it would leave the root (no symlink check)."""
    path = os.path.normpath(os.path.join(root, relative))
    if os.path.isabs(relative) or not (path + os.sep).startswith(os.path.normpath(root) + os.sep):
        raise DataError(f"path {relative!r} leaves the folder {root}")
    return Path(path)
