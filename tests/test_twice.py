"""Two of the same command at once: the second waits and names the first, or says who is at work; then it ends well."""

import importlib
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import small_corpus
import street

from ingest import catalog, files
from ingest.types import DataError
from shards import gc, writer

HOLDER = f"process {os.getpid()} on {socket.gethostname()}"
WAITING = {  # the lock below the street's folder, and the command that takes it
    "ingest simulate": ("corpora/.lock", ("ingest", "simulate", "--out", "{base}/corpora", "--corpora", "librisevoc")),
    "ingest": ("data/ingest/librisevoc.lock", ("ingest", "librisevoc", "--root", "{base}/corpora/librisevoc", "--jobs", "1")),
    "ingest verify": ("data/ingest/decro.lock", ("ingest", "verify", "decro", "--jobs", "1")),
    "shards": ("data/shards/librisevoc/.lock", ("shards", "librisevoc", "--jobs", "1")),
    "benchmark shortcuts": ("data/shortcuts.lock", ("benchmark", "shortcuts", "--protocol", "inner/librisevoc")),
    "benchmark collect": ("data/results.lock", ("benchmark", "collect")),
    "reports leaderboard": ("data/reports/.lock", ("reports", "leaderboard")),
    "reports site": ("data/reports/.lock", ("reports", "site")),
}  # fmt: skip


@pytest.mark.parametrize("name", WAITING)
def test_the_second_waits_for_the_first_and_names_it(made, name, capsys):
    base = made[1].parent
    place, words = WAITING[name]
    words = [word.format(base=base) for word in words[1:]] + ["--data", str(made[1])]
    main, ended, said = importlib.import_module(f"{WAITING[name][1][0]}.__main__").main, [], ""
    second = threading.Thread(target=lambda: ended.append(main(words) or 0))
    with files.lock(base / place):
        second.start()
        deadline = time.monotonic() + 120
        while f"waiting for {HOLDER}" not in said and second.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
            said += capsys.readouterr().out
        assert f"waiting for {HOLDER}" in said and second.is_alive() and not ended
    second.join(300)
    assert ended == [0]


@pytest.fixture
def tiny(tmp_path):
    data = small_corpus.build(tmp_path)
    writer.write_corpus("tiny", data, jobs=1)
    return data


def test_gc_leaves_alone_what_somebody_is_writing(tiny):
    fresh = tiny / "shards/tiny/tiny-en-new-original-000000.tar"  # finished, and not yet in the catalog
    fresh.write_bytes(b"new")
    with files.lock(tiny / "shards/tiny/.lock"), pytest.raises(DataError, match=f"in use by {HOLDER}"):
        gc.remove(tiny)
    assert fresh.exists()
    assert list(gc.remove(tiny)) == [fresh] and not fresh.exists()


def test_a_catalog_in_use_names_its_holder(tiny):
    path = tiny / "catalog.duckdb"
    code = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    writing = subprocess.Popen([sys.executable, "-c", code, str(path)], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, cwd=street.ROOT)  # fmt: skip
    assert writing.stdout.readline() == "up\n"
    with pytest.raises(DataError, match=rf"in use by process {writing.pid} \(python\S*\) on \S+; wait"):
        catalog.connect(path, wait_s=0.3)
    writing.communicate()
    catalog.connect(path, wait_s=5).close()


def test_a_lock_that_is_not_kept_is_gone_and_still_excludes(tmp_path):
    """Many processes take it in turn, and each removes it: never two at once."""
    code = (
        "import sys, os, time; from pathlib import Path; from ingest.files import lock\nhere = Path(sys.argv[1])\n"
        "for _ in range(60):\n    with lock(here / '.lock', keep=False):\n"
        "        os.close(os.open(here / 'inside', os.O_CREAT | os.O_EXCL)); time.sleep(0.001); os.unlink(here / 'inside')\n"
    )
    several = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=street.ROOT, stdout=subprocess.DEVNULL)
               for _ in range(3)]  # fmt: skip
    assert [one.wait(120) for one in several] == [0, 0, 0]
    assert not list(tmp_path.iterdir())


def test_the_words_of_duckdb_that_name_nobody():
    assert catalog.holder("IO Error: Could not set lock on file") == "another process"


def test_a_damaged_catalog_is_not_taken_for_one_in_use(tiny):
    """Its message speaks of a block, which holds the word lock: that was waited for, a minute long."""
    path = tiny / "catalog.duckdb"
    data = bytearray(path.read_bytes())
    data[4096 + 100 : 12_000] = bytes(12_000 - 4196)
    path.write_bytes(bytes(data))
    started = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be read|can be read"):
        catalog.connect(path, wait_s=30)
    assert time.monotonic() - started < 20
