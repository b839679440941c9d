"""A second command that meets the lock of a first one: it must wait, name the holder, and then end well."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest import files

HOLDER = f"process {os.getpid()} on {socket.gethostname()}"


def can_write(catalog: Path) -> bool:
    """Whether another process could write a DuckDB file now."""
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).close()"
    return subprocess.run([sys.executable, "-c", code, str(catalog)], capture_output=True).returncode == 0


def second(place: Path, call: Callable[[], object], capsys: Any) -> object:
    """What `call` returns that must wait as long as `place` is locked, and say for whom."""
    ended, said = [], ""
    thread = threading.Thread(target=lambda: ended.append(call()))
    with files.lock(place):
        thread.start()
        deadline = time.monotonic() + 120
        while f"waiting for {HOLDER}" not in said and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
            out, err = capsys.readouterr()
            said += err
            assert "waiting for" not in out, "it may be JSON"
        assert f"waiting for {HOLDER}" in said and thread.is_alive() and not ended
    thread.join(300)
    assert len(ended) == 1, "the second raised an error or did not end"
    return ended[0]
