"""The process behind the `python` of doc_shell.Clone: imports everything once, forks for every command."""

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path

sys.path.insert(0, os.getcwd())  # the clone, whose files a page may add to


def preload() -> None:
    """Import what commands import: libraries and the modules of all stages."""
    for name in (
        "torch",
        "torchaudio",
        "duckdb",
        "pyarrow.csv",
        "pyarrow.parquet",
        "soundfile",
        "scipy.signal",
        "joblib",
    ):
        importlib.import_module(name)
    from reports import manual

    for package in manual.PACKAGES:
        for name in manual.modules(package):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def answer(connection: socket.socket) -> None:
    """Run the command that a shim asks for, in a child with the shim's files, folder and environment."""
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    said = b""
    while len(said) < int.from_bytes(size, "big"):
        said += connection.recv(1 << 16)
    asked = json.loads(said)
    if os.fork() == 0:
        for number, file in enumerate(files):
            os.dup2(file, number)
        code = run(asked)
        connection.sendall(str(code).encode())
        os._exit(code)
    for file in files:
        os.close(file)
    connection.close()


def run(asked: dict) -> int:
    """The exit code of `python -m WORDS`; its traceback goes to standard error."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})  # one process per command: no workers
    sys.argv = ["python", *asked["words"][1:]]
    if "DOC_PARSE_ONLY" in os.environ:
        from ingest.cli import Parser

        Parser.parse_args = parsed
    try:
        runpy.run_module(asked["words"][0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def parsed(parser, words=None, namespace=None):
    """Parser.parse_args that ends the command when its words were accepted."""
    super(type(parser), parser).parse_args(words, namespace)
    sys.exit(0)


def reap(*_) -> None:
    """Take leave of the children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(address: Path) -> None:
    preload()
    signal.signal(signal.SIGCHLD, reap)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(address.with_suffix(".new")))
    server.listen()
    server.settimeout(2)
    parent = os.getppid()
    address.with_suffix(".new").rename(address)
    while os.getppid() == parent:  # a killed test leaves nobody waiting here
        with contextlib.suppress(TimeoutError):
            connection, _ = server.accept()
            answer(connection)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
