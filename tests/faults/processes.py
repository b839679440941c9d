"""Commands in processes of their own, started within milliseconds: forked from this one, which has imported everything.

A fork keeps the calling thread only. Arrow and DuckDB start more as soon as they are used, so that whatever uses them
goes through `apart`, and this process never has any at work.
"""

import atexit
import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
HEAVY = (
    "duckdb", "pyarrow.parquet", "pyarrow.csv", "soundfile", "av", "joblib", "torch", "torch._dynamo", "torchaudio", "safetensors.torch",
    "scipy.signal", "scipy.stats", "sklearn.ensemble", "matplotlib.figure", "matplotlib.backends.backend_svg",
    "ingest.__main__", "ingest.build", "ingest.simulate", "shards.__main__", "shards.writer", "shards.variant_writer",
    "shards.codecs", "shards.noise", "features.__main__", "features.compute", "features.extractors.logmel",
    "benchmark.__main__", "benchmark.run", "benchmark.train", "benchmark.results", "benchmark.request",
    "benchmark.shortcuts", "benchmark.inference", "benchmark.detectors.mean_pool", "benchmark.detectors.lfcc_gmm",
    "reports.__main__", "reports.leaderboard", "reports.figures", "reports.site", "reports.latent",
)  # fmt: skip
OPTIONAL = ("demucs.htdemucs", "shards.vocals", "s3fs")


def warm() -> None:
    """Import what commands import, once."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path.insert(0, str(ROOT))
    for name in HEAVY:
        importlib.import_module(name)
    for name in OPTIONAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a command runs under: environment, largest file it may write, user, seconds its clock is off."""

    env: dict[str, str]
    largest_bytes: int | None = None
    uid: int | None = None
    clock_s: float = 0.0


@dataclass(slots=True)
class Running:
    """A command at work, leader of its process group."""

    pid: int
    words: tuple[str, ...]
    out: Path
    err: Path
    code: int | None = None

    def wait(self, timeout_s: float = 180.0) -> int:
        """The exit code, negative for a signal. A command that does not end is killed and counts as hung: -1000."""
        deadline = time.monotonic() + timeout_s
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                self.kill(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.code = -1000
            else:
                time.sleep(0.005)
        return self.code

    def ended(self) -> bool:
        """Whether it is over by now."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def kill(self, number: int) -> None:
        """Send a signal to the command and all its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def workers(self) -> list[int]:
        """Process ids of joblib's workers (beside them runs a process that only keeps the names of their semaphores)."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [int(w) for w in children if b"popen_loky" in Path(f"/proc/{w}/cmdline").read_bytes()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    @property
    def said(self) -> str:
        """Standard error."""
        return self.err.read_text(errors="replace") if self.err.exists() else ""


def start(words: Sequence[str], where: Path, name: str, conditions: Conditions) -> Running:
    """Start `python -m WORDS` with its output in where/NAME.out and where/NAME.err."""
    out, err = where / f"{name}.out", where / f"{name}.err"
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        with contextlib.suppress(PermissionError):  # it may have led a group of its own for long
            os.setpgid(pid, pid)
        return Running(pid, tuple(words), out, err)
    code = 70
    try:
        os.setpgid(0, 0)
        _redirect(out, err)
        _under(conditions)
        code = _run(words)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect(out: Path, err: Path) -> None:
    for target, path in ((1, out), (2, err)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, target)
        os.close(handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def _under(conditions: Conditions) -> None:
    os.chdir(ROOT)
    os.environ.update(conditions.env)
    importlib.import_module("tempfile").tempdir = None  # TMPDIR is another now
    if conditions.largest_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (conditions.largest_bytes, conditions.largest_bytes))
    if conditions.uid is not None:
        os.setgroups([])
        os.setgid(conditions.uid)
        os.setuid(conditions.uid)
    if conditions.clock_s:
        set_clock(conditions.clock_s)


def set_clock(off_s: float) -> None:
    """Put Python's clock forward or back: everything in this code base that asks for the date asks `time`."""
    real, real_ns = time.time, time.time_ns
    gmtime, localtime, strftime = time.gmtime, time.localtime, time.strftime
    time.time = lambda: real() + off_s
    time.time_ns = lambda: real_ns() + int(off_s * 1e9)
    time.gmtime = lambda seconds=None: gmtime(time.time() if seconds is None else seconds)
    time.localtime = lambda seconds=None: localtime(time.time() if seconds is None else seconds)
    time.strftime = lambda form, t=None: strftime(form, time.localtime() if t is None else t)


def _run(words: Sequence[str]) -> int:
    from ingest import cli

    sys.argv = [f"{words[0]}/__main__.py", *words[1:]]
    main = importlib.import_module(f"{words[0]}.__main__").main
    try:
        cli.run(main, list(words[1:]))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:  # as the interpreter would
        traceback.print_exc()
        return 1
    finally:  # as the interpreter ends: threads first, then what was registered
        threading._shutdown()
        atexit._run_exitfuncs()
    return 0


def apart(function: Callable[..., Any], *args: object) -> Any:
    """What function(*args) returns, as JSON has it, from a process of its own."""
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(read)
        try:
            answer = {"answer": function(*args)}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(write, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    told = json.loads(text) if text else {"error": "it said nothing"}
    if "error" in told:
        raise RuntimeError(told["error"])
    return told["answer"]
