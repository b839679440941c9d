"""Commands as forked processes of one server per session (fork_server.py), started when the first is asked for.

For tests that look at what a command does. Where the start itself matters (signals during imports, several processes
under torchrun, the street's first run), `subprocess` starts Python as a user does.
"""

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ingest.files import lock

ROOT = Path(__file__).resolve().parents[1]


class Process:
    """A running `python -m WORDS`: its pid, and its exit code once it has ended."""

    def __init__(self, address: Path, words, *, environment, files, folder=ROOT, session=False):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(str(address))
        asked = {"words": [*map(str, words)], "folder": str(folder), "environment": environment, "session": session}
        said = json.dumps(asked).encode()
        socket.send_fds(self.connection, [len(said).to_bytes(4, "big")], files)
        self.connection.sendall(said)
        self.pid = self._answer()
        self.returncode = None

    def wait(self, timeout=None):
        """The exit code; minus the number of the signal that ended it. TimeoutError when it takes longer."""
        if self.returncode is None:
            if not select.select([self.connection], [], [], timeout)[0]:
                raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
            self.returncode = self._answer()
            self.connection.close()
        return self.returncode

    def kill(self):
        """SIGKILL to it and, where it has a session of its own, to all that it started; the exit code."""
        ended = select.select([self.connection], [], [], 0)[0]
        for kill in (os.killpg,) if ended else (os.killpg, os.kill):  # the session begins a moment after the process
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)
        return self.wait(60)

    def _answer(self):
        return int.from_bytes(self.connection.recv(4, socket.MSG_WAITALL), "big", signed=True)


def run(words, *, environment, timeout=600, folder=ROOT) -> subprocess.CompletedProcess:
    """Run python -m WORDS to its end; output as text."""
    with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        files = [nothing.fileno(), out.fileno(), err.fileno()]
        process = Process(server(), words, environment=environment, files=files, folder=folder, session=True)
        try:
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            raise
        out.seek(0), err.seek(0)
        return subprocess.CompletedProcess([*words], code, out.read(), err.read())


@functools.cache
def server() -> Path:
    """Where the server of this session listens; the first of the session's workers to ask starts it."""
    worker = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    owner = os.getppid() if worker else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"siren-tests-{(worker or str(owner))[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with lock(folder / "lock", keep=False):
        if not (folder / "s").exists():
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            process = start(folder / "s", ROOT, owner, environment)
            if owner == os.getpid():  # other workers of a session may still need it: it notices the session's end
                atexit.register(stop, process, folder)
    return folder / "s"


def stop(process: subprocess.Popen, folder: Path) -> None:
    """End a server; nothing of it stays."""
    process.terminate()
    process.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


def start(address: Path, folder: Path, owner: int, environment) -> subprocess.Popen:
    """Start a server that works in `folder` until `owner` ends; returns when it answers."""
    words = [sys.executable, str(ROOT / "tests" / "fork_server.py"), str(address), str(owner)]
    process = subprocess.Popen(words, cwd=folder, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not address.exists():
        assert process.poll() is None and time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.05)
    return process
