"""Files that appear whole or not at all: what a killed writer left, two writers at once, a full disk."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
import street

from ingest import catalog, files
from ingest.types import DataError


def killed_while_writing(path):
    """A process that is killed inside atomic(path)."""
    code = "import os, sys; from ingest.files import atomic\nwith atomic(sys.argv[1]) as t: t.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=street.ROOT)
    assert done.returncode == -signal.SIGKILL


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_writer_left_is_used_again(tmp_path):
    path = tmp_path / "x.txt"
    killed_while_writing(path)
    assert names(tmp_path) == [".x.txt.tmp"]
    with files.atomic(path) as temporary:
        assert temporary.read_bytes() == b""
        temporary.write_text("whole")
    assert names(tmp_path) == ["x.txt"] and path.read_text() == "whole"


def test_two_writers_of_one_path_have_a_file_each(tmp_path):
    path = tmp_path / "x.txt"
    with files.atomic(path) as one:
        with files.atomic(path) as other:
            assert one != other
            one.write_text("one")
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one" and names(tmp_path) == ["x.txt"]


def test_what_several_killed_writers_left_goes(tmp_path):
    for name in (".x.txt.tmp", ".x.txt.1.tmp", ".x.txt.2.tmp"):
        (tmp_path / name).write_text("half")
    with files.atomic(tmp_path / "x.txt") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == ["x.txt"]


def test_a_link_that_lies_where_the_temporary_file_would_be_is_not_followed(tmp_path):
    (tmp_path / "other").write_text("kept")
    (tmp_path / ".x.txt.tmp").symlink_to(tmp_path / "other")
    with files.atomic(tmp_path / "x.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "other").read_text() == "kept" and not (tmp_path / "x.txt").is_symlink()


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["x.txt"]


@pytest.mark.parametrize(("mask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_files_are_for_whom_the_umask_lets(mask, mode, tmp_path):
    """Else a second user of a group's folder can neither take a lock nor write the catalog."""
    before = os.umask(mask)
    try:
        with files.atomic(tmp_path / "x.txt") as temporary:
            temporary.write_text("whole")
        with files.atomic(tmp_path / "y.txt") as temporary:  # as a library that writes a file of its own
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
        with files.lock(tmp_path / ".lock"):
            pass
        catalog.connect(tmp_path / "catalog.duckdb", read_only=False).close()
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("x.txt", "y.txt", ".lock", "catalog.duckdb", ".catalog.duckdb.lock"), mode
    )


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_one_line(code, tmp_path, monkeypatch):
    """Lustre without `-o flock`, NFS without its lock service: every command ended in a traceback."""

    def refuse(handle, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    for writer in (files.lock(tmp_path / ".lock"), files.atomic(tmp_path / "x.txt")):
        with pytest.raises(DataError, match=f"{tmp_path} is on a file system without locks"), writer:
            pass


def _write_often(path, letter):
    for _ in range(200):
        with files.atomic(path, sync=False) as temporary:
            temporary.write_text(letter * 1000)


def test_writers_at_the_same_time_never_mix(tmp_path):
    path = tmp_path / "x.txt"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(path, letter)) for letter in "abc"]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    assert [one.exitcode for one in writers] == [0, 0, 0]
    assert len(set(path.read_text())) == 1 and len(path.read_text()) == 1000 and names(tmp_path) == ["x.txt"]


class Foreign(Exception):
    """As DuckDB, safetensors and torch say it: no errno."""


@pytest.mark.parametrize(("error", "said"), [
    (OSError(errno.ENOSPC, "x"), "has no room left"),
    (OSError(errno.EROFS, "x"), "is not writable"),
    (Foreign('IO Error: Could not write file "a": No space left on device'), "has no room left"),
    (Foreign("I/O error: Permission denied (os error 13)"), "is not writable"),
])  # fmt: skip
def test_what_the_disk_refuses_is_one_line(error, said, tmp_path):
    with pytest.raises(DataError, match=said) as caught, files.writable(tmp_path):
        raise error
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert files.refusal(error).startswith("cannot go on")


def test_what_may_not_be_read_is_named_and_not_the_folder_that_is_written(tmp_path):
    """A tar of audio shut to this user was said to be a folder of features that cannot be written."""
    tar, out = tmp_path / "shards/a.tar", tmp_path / "features"
    with pytest.raises(DataError, match=r"cannot go on: .*shards/a\.tar \(Permission denied\)"), files.writable(out):
        raise PermissionError(errno.EACCES, "Permission denied", str(tar))
    for path in (out, out / "b.tar", tmp_path):
        with pytest.raises(DataError, match="features is not writable"), files.writable(out):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.mark.parametrize("sign", [
    "Corrupt database file: computed checksum 1 does\nnot match in block 2",
    'Could not read enough bytes from file "c.duckdb": attempted to read 262144\nbytes from location 3158016',
])  # fmt: skip
def test_a_damaged_database_is_one_line(sign):
    said = files.refusal(Foreign(f"IO Error: {sign}"))
    assert said.startswith("a DuckDB file is damaged") and "\n" not in said


def test_a_bug_stays_a_bug(tmp_path):
    with pytest.raises(Foreign, match="unexpected pos"), files.writable(tmp_path):
        raise Foreign("unexpected pos 576 vs 534")
    assert files.refusal(KeyError("errno")) is None


@pytest.mark.parametrize("begin", [files.atomic, files.lock])
def test_a_folder_that_takes_no_new_files_is_one_line(begin):
    for path in ("/proc/x.jsonl", "/proc/x/y.jsonl"):
        with pytest.raises(DataError, match=r"/proc.* takes no new files .*; name another"), begin(path):
            pass


def test_a_name_that_is_no_file_is_one_line_and_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    for path, what in ((tmp_path, "a folder"), ("", "a folder"), ("pipe", "a device or a pipe")):
        with pytest.raises(DataError, match=rf"is {what}.*; name a file"), files.atomic(path):
            pass
    assert names(tmp_path) == ["pipe"] and (tmp_path / "pipe").is_fifo()


def test_a_path_that_is_too_long_is_one_line_of_bearable_length(tmp_path):
    with pytest.raises(OSError) as error:
        (tmp_path / ("x" * 5000)).stat()
    said = files.refusal(error.value)
    assert "longer than this system allows" in said and len(said) < 300


def test_a_writer_that_does_not_say_why_fails_for_want_of_room_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 100, 0, 0, 9, 9, 9, 0, 255)))
    with pytest.raises(DataError, match="no room left"), files.writable(tmp_path):
        raise Foreign("unexpected pos 576 vs 534")
