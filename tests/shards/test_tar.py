"""The archives are what tar and Python's tarfile read, byte for byte the same each time."""

import hashlib
import subprocess
import tarfile

import pytest

from shards.tar import TarWriter, header, member_bytes

FILES = [
    ("a.json", b"{}"),
    ("x/y/b.flac", bytes(range(256)) * 5),
    ("c.wav", b""),
    ("d", b"z" * 512),
    ("n" * 140 + ".flac", b"long"),
    ("é.json", b"1"),
]


def write(path):
    with TarWriter(path) as tar:
        offsets = [tar.add(name, data) for name, data in FILES]
    return tar, offsets


def test_tarfile_reads_back_what_was_written(tmp_path):
    tar, offsets = write(tmp_path / "a.tar")
    raw = (tmp_path / "a.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        entries = archive.getmembers()
        assert [e.name for e in entries] == [name for name, _ in FILES]
        assert [e.offset_data for e in entries] == offsets
        assert [archive.extractfile(e).read() for e in entries] == [data for _, data in FILES]
        assert {(e.mtime, e.uid, e.gid, e.uname, e.mode) for e in entries} == {(0, 0, 0, "", 0o644)}
    assert [raw[o : o + len(d)] for o, (_, d) in zip(offsets, FILES)] == [d for _, d in FILES]
    assert tar.size_bytes == len(raw) == sum(member_bytes(n, len(d)) for n, d in FILES) + 1024
    assert tar.sha256 == hashlib.sha256(raw).hexdigest()


def test_the_tar_program_accepts_it(tmp_path):
    write(tmp_path / "a.tar")
    done = subprocess.run(["tar", "tf", tmp_path / "a.tar"], capture_output=True, text=True)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(FILES)


def test_the_short_header_is_the_one_of_tarfile():
    entry = tarfile.TarInfo("corpus/some_clip.flac")
    entry.size = 123_456
    assert header(entry.name, entry.size) == entry.tobuf(tarfile.USTAR_FORMAT)


def test_a_failed_write_has_no_end(tmp_path):
    with pytest.raises(RuntimeError), TarWriter(tmp_path / "a.tar") as tar:
        tar.add("a", b"1")
        raise RuntimeError
    assert tar.sha256 == ""
