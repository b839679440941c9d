"""A disk that is full, a target that takes nothing, a source that changes while it is read: one line, nothing half."""

import os
import resource
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_corpus
import soundfile
import street

from ingest import audio, catalog, parallel
from ingest.types import DataError
from shards import bench_memory, clip, writer
from shards.__main__ import main


@pytest.fixture
def data(tmp_path):
    return small_corpus.build(tmp_path)


def half_written(data):
    return [path for path in data.rglob("*") if path.name.endswith((".tmp", ".tar"))]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_is_one_line_and_nothing_is_half_written(data, jobs):
    """No file may grow beyond 8 kB: the kernel refuses the write as it does on a full disk."""
    done = subprocess.run(
        [sys.executable, "-m", "shards", "tiny", "--jobs", jobs, "--data", str(data)], cwd=street.ROOT, text=True,
        env=street.environment(), capture_output=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "has no room left" in done.stderr.splitlines()[-1] and "run the same command again" in done.stderr
    assert not list(data.rglob("*.tar"))
    assert jobs == "2" or not half_written(data)  # joblib kills the other worker: its temporary file stays for gc
    assert writer.write_corpus("tiny", data)["written"] == 5
    main(["gc", "--data", str(data)])
    assert len(half_written(data)) == 5


def test_a_target_that_takes_nothing_is_one_line(data):
    with pytest.raises(DataError, match=r"^/sys/\S* is not writable"):
        main(["tiny", "--data", str(data), "--to", "/sys/siren", "--jobs", "1"])


@pytest.mark.parametrize("column", ["utt_id", "offset", "samples"])
def test_an_index_with_turned_bits_is_one_line_not_other_rows(data, column):
    """Entered anew, as after the catalog was lost: a clip had another name or another place, or there was a traceback."""
    writer.write_corpus("tiny", data, jobs=1)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("DELETE FROM shard_member; DELETE FROM shard")
    path = next((data / "shards").rglob("*melgan*.index.parquet"))
    content, about = bytearray(path.read_bytes()), pq.read_metadata(path)
    chunk = about.row_group(0).column(about.schema.names.index(column))
    content[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 64
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"^index \S+\.index\.parquet is damaged .*; remove it and run the same command"
    ):
        writer.write_corpus("tiny", data, jobs=1)
    path.unlink()
    assert writer.write_corpus("tiny", data, jobs=1)["written"] == 1


def test_shards_that_a_node_wrote_elsewhere_are_one_line(data, tmp_path, monkeypatch):
    """A cluster whose nodes have DATA on a disk of their own: a traceback, when all was done."""
    asked = []
    monkeypatch.setattr(parallel, "_on_ray", lambda tasks, *rest: asked.append(rest[-1]) or iter([1]))
    more = ["--data", str(data), "--backend", "ray", "--address", "h:1"]
    for to in ([], ["--to", str(tmp_path / "root")]):
        with pytest.raises(DataError, match=r"000000\.tar has been written, and is not there; on a cluster"):
            main(["tiny", *more, *to])
    assert asked == [data / "catalog.duckdb", tmp_path / "root/.siren-root"]


def test_a_source_that_changes_while_it_is_read_is_one_line(data, tmp_path, monkeypatch):
    whole = audio.mono16k

    def read_then_touched(path, *rest):
        wave = whole(path, *rest)
        if str(path).endswith("s2.wav"):
            os.utime(path, ns=(1, 1))
        return wave

    monkeypatch.setattr(audio, "mono16k", read_then_touched)
    with pytest.raises(DataError, match=r"s2\.wav \(tiny/s2\) has changed since ingest.*python -m ingest tiny"):
        main(["tiny", "--data", str(data), "--jobs", "1"])
    assert not [path for path in half_written(data) if "melgan" in path.name]


@pytest.mark.parametrize(("change", "ingested", "said"), [
    ("grows", True, r"has changed since ingest \(\d+ bytes then, \d+ now\)"),
    ("shrinks", True, "has changed since ingest"),
    ("grows", False, r"changed while it was read \(\d+ bytes, then \d+\)"),
    ("shrinks", False, r"changed while it was read \(\d+ bytes, then \d+\)"),
])  # fmt: skip
def test_a_file_that_changes_while_it_is_copied_is_one_line(tmp_path, monkeypatch, change, ingested, said):
    """Copied byte for byte, with and without what ingest measured of it; its time of change is put back."""
    path, read = tmp_path / "c.flac", os.read
    soundfile.write(path, np.zeros(16_000, np.int16), 16_000)
    stat = path.stat()
    row = {"utt_id": "tiny/c", "corpus": "tiny", "file": str(path), "as_is": True, "mtime_ns": stat.st_mtime_ns,
           "size_bytes": stat.st_size if ingested else None}  # fmt: skip

    def change_then_read(handle, size):
        os.truncate(path, stat.st_size + (10 if change == "grows" else -10))
        os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
        return read(handle, size)

    assert clip.encoded(row, "flac")[0] == "flac"
    monkeypatch.setattr(clip.os, "read", change_then_read)
    with pytest.raises(DataError, match=said) as error:
        clip.encoded(row, "flac")
    assert "\n" not in str(error.value) and "tiny/c" in str(error.value)


def test_the_memory_bench_gives_both_stages():
    rows = bench_memory.rows(few=20, many=40)
    assert [row["name"].split(",")[0] for row in rows] == ["peak memory of shards", "peak memory of features"]
    assert all(20 < row["limit"] < 4000 and row["value"] < 1.2 * row["limit"] for row in rows)
