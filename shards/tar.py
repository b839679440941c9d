"""Tar archives whose bytes depend on names and contents alone: no time, no user, no order of their own."""

import hashlib
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

BLOCK = 512
END_BYTES = 2 * BLOCK  # an archive ends with two empty blocks
_CHUNK_BYTES = 1 << 20
_ZEROS = bytes(BLOCK)
# mode 0644, uid 0, gid 0, then size; mtime 0; eight blanks where the checksum goes; type 0; ustar 00
_BEFORE = b"0000644\0" + b"0000000\0" * 2
_AFTER = b"ustar\x0000" + bytes(247)
_FIXED = sum(_BEFORE) + sum(b"00000000000\0") + 8 * 0x20 + ord("0") + sum(_AFTER)


class TarWriter:
    """Write members one after the other and hash the archive on the way, in a thread of its own.

    with TarWriter(path) as tar: offset = tar.add("a/b.flac", data). Afterwards: tar.size_bytes, tar.sha256.
    Two buffers take turns: one fills while the other is hashed, and neither is ever allocated again.
    """

    def __init__(self, path: Path | str):
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by __exit__
        self._hash, self._hasher = hashlib.sha256(), ThreadPoolExecutor(1)
        self._hashing: Future | None = None
        self._buffer, self._other = (memoryview(bytearray(_CHUNK_BYTES)) for _ in range(2))
        self._filled = 0
        self.size_bytes, self.sha256 = 0, ""

    def add(self, name: str, data: bytes | bytearray | memoryview) -> int:
        """Append one member; returns the offset of its first byte in the archive."""
        size = len(data)
        self._append(header(name, size))
        offset = self.size_bytes + self._filled
        self._append(data)
        self._append(_ZEROS[: -size % BLOCK])
        return offset

    def _append(self, data: bytes | bytearray | memoryview) -> None:
        size, start = len(data), 0
        while size - start >= _CHUNK_BYTES - self._filled:  # fill up, write, go on
            room = _CHUNK_BYTES - self._filled
            self._buffer[self._filled :] = data[start : start + room]
            self._filled, start = _CHUNK_BYTES, start + room
            self._flush()
        if start:
            data = data[start:]
        self._buffer[self._filled : self._filled + size - start] = data
        self._filled += size - start

    def _flush(self) -> None:
        chunk = self._buffer[: self._filled]
        if self._hashing is not None:
            self._hashing.result()  # the other buffer is free from here on
        self._hashing = self._hasher.submit(self._hash.update, chunk)
        rest = chunk
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size_bytes += len(chunk)
        self._buffer, self._other, self._filled = self._other, self._buffer, 0

    def __enter__(self) -> "TarWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._append(bytes(END_BYTES))
                self._flush()
                self._hashing.result()
                self.sha256 = self._hash.hexdigest()
        finally:
            self._hasher.shutdown()
            self._file.close()


def header(name: str, size: int) -> bytes:
    """The header block(s) of a regular file: POSIX ustar, with a pax record where the name is too long."""
    encoded = name.encode()
    if len(encoded) > 100 or size >= 1 << 33 or not name.isascii():
        entry = tarfile.TarInfo(name)
        entry.size = size
        return entry.tobuf(tarfile.PAX_FORMAT)
    digits = b"%011o\0" % size
    checksum = sum(encoded) + sum(digits) + _FIXED
    return (
        encoded + bytes(100 - len(encoded)) + _BEFORE + digits + b"00000000000\0"
        + b"%06o\0 " % checksum + b"0" + bytes(100) + _AFTER
    )  # fmt: skip


def member_bytes(name: str, size: int) -> int:
    """How many bytes of an archive one member takes, header and padding included."""
    return len(header(name, size)) + size + -size % BLOCK
