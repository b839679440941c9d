"""A process that imports everything once and forks for every command: `python -m WORDS` without its seconds of imports.

A command is a process of its own, with the files, folder and environment that were asked for; it ends as Python does,
by its own exit code, traceback or signal. Only the interpreter and what it would import are there already.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from pathlib import Path

LIBRARIES = ("torch", "torch._dynamo", "torchaudio", "accelerate", "duckdb", "pandas", "pyarrow.csv", "pyarrow.parquet",
             "safetensors.torch", "soundfile", "scipy.signal", "sklearn.ensemble", "matplotlib.figure", "joblib")  # fmt: skip


def preload() -> None:
    """Import what commands import: libraries and the modules of all stages."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from reports import manual

    for package in manual.PACKAGES:
        for name in manual.modules(package):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all that is shared


def serve(address: Path, owner: int) -> dict | None:
    """Answer at `address` for as long as process `owner` lives; in a child: return what it is asked to do."""
    noticed, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(address.with_suffix(".new")))
    server.listen(64)
    address.with_suffix(".new").rename(address)
    running: dict[int, socket.socket] = {}
    while _lives(owner):  # a killed test leaves nobody waiting here
        ready, _, _ = select.select([server, noticed], [], [], 1)
        if noticed in ready:
            os.read(noticed, 4096)
            _tell(running)
        if server in ready:
            connection, _ = server.accept()
            asked = _received(connection)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (connection, server, *running.values()):
                    one.close()
                os.close(noticed), os.close(wake)
                return asked
            for file in asked["files"]:
                os.close(file)
            running[pid] = connection
            with contextlib.suppress(OSError):
                connection.sendall(pid.to_bytes(4, "big", signed=True))
    address.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        address.parent.rmdir()
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _received(connection: socket.socket) -> dict:
    """What a client asks for: words, folder, environment, and the numbers of its standard files here."""
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    said = b""
    while len(said) < int.from_bytes(size, "big"):
        said += connection.recv(1 << 16)
    return {**json.loads(said), "files": files}


def _tell(running: dict[int, socket.socket]) -> None:
    """Send the exit codes of the children that have ended (-9: killed by signal 9) to who asked for them."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            with running.pop(found[0]) as connection, contextlib.suppress(OSError):
                connection.sendall(os.waitstatus_to_exitcode(found[1]).to_bytes(4, "big", signed=True))


def run(asked: dict) -> None:
    """Be `python -m WORDS`."""
    if asked.get("session"):
        os.setsid()
    for number, file in enumerate(asked["files"]):
        os.dup2(file, number)
        os.close(file)
    # the server's own streams remember whether its files could be sought in, which these perhaps cannot
    sys.stdout = open(1, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
    os.chdir(asked["folder"])
    sys.path[0] = asked["folder"]
    os.environ.clear()
    os.environ.update(asked["environment"])
    if asked.get("one_processor"):  # one process per command: no workers
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})
    sys.argv = ["python", *asked["words"][1:]]
    if "DOC_PARSE_ONLY" in os.environ:
        from ingest.cli import Parser

        Parser.parse_args = parsed
    leave(ended(asked["words"][0]))


def ended(module: str) -> int:
    """The exit code of a module that was run as a script; a traceback goes to standard error."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def leave(code: int) -> None:
    """End as multiprocessing ends its forks: what libraries of the server hold is not this process's to take down."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def parsed(parser, words=None, namespace=None):
    """Parser.parse_args that ends the command when its words were accepted."""
    super(type(parser), parser).parse_args(words, namespace)
    sys.exit(0)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # the project or a clone of it, whose files a page may add to
    preload()
    work = serve(Path(sys.argv[1]), int(sys.argv[2]))
    if work is not None:
        run(work)
