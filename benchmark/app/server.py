"""The page on a port of this machine: its own folder for everything temporary, and nothing left when it ends."""

import contextlib
import fcntl
import importlib.util
import ipaddress
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.app.limits import Limits
from benchmark.app.shelf import Shelf
from ingest.types import DataError

PREFIX, LOCK, UPLOADS = "siren-app-", "lock", "uploads"
EVERY_S = 60.0  # what is too old is looked for
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
OFFLINE = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_OFFLINE": "1",
           "GRADIO_SHARE": "False", "GRADIO_MCP_SERVER": "False", "GRADIO_SSR_MODE": "False"}  # fmt: skip


def check_installed() -> None:
    """DataError naming the extra if Gradio is not here."""
    if importlib.util.find_spec("gradio") is None:
        raise DataError("the web demo needs Gradio: pip install sirenbench[app]")


def serve(shelf: Shelf, limits: Limits, *, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. port 0: a free one. Raises DataError if the address cannot be had."""
    with bound(host, port) as listening, scratch() as folder, _ended_by_signals(), _emptied(folder / UPLOADS):
        import uvicorn

        address = listening.getsockname()[:2]
        made = application(shelf, limits, folder, hosts=_names(address[0]))
        if (warned := warning(address[0])) is not None:
            print(warned, file=sys.stderr)
        print(f"http://{_url_host(address[0])}:{address[1]}", flush=True)
        config = uvicorn.Config(
            made, log_level="warning", access_log=False, proxy_headers=False, server_header=False,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def application(shelf: Shelf, limits: Limits, folder: Path, *, hosts: set[str] | None) -> Any:
    """The ASGI application: Gradio behind the gate. folder: for uploads, caches and examples."""
    os.environ.update(OFFLINE)
    uploads = folder / UPLOADS
    uploads.mkdir(exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = str(uploads)  # also of what is not yet, or never, whole
    import gradio as gr
    from fastapi import FastAPI

    from benchmark.app import examples, page
    from benchmark.app.gate import Gate

    made = page.blocks(page.Judge(shelf, limits), examples.write(folder / "examples"))
    outer = FastAPI(openapi_url=None)
    gr.mount_gradio_app(
        outer, made, path="/", max_file_size=limits.size_bytes, show_error=False, footer_links=[], run_history=False,
        ssr_mode=False, mcp_server=False, pwa=False, enable_monitoring=False, allowed_paths=[str(folder / "examples")],
        theme=gr.themes.Default(primary_hue="blue", font=FONTS, font_mono=MONO),
        css_paths=[Path(__file__).with_name("style.css")],
    )  # fmt: skip
    return Gate(outer, limits=limits, folder=folder, hosts=hosts)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A private folder that is removed at the end; those that killed servers left behind are removed first."""
    _sweep()
    folder, was = Path(tempfile.mkdtemp(prefix=PREFIX)), tempfile.tempdir
    try:
        with open(folder / LOCK, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield folder
    finally:
        tempfile.tempdir = was
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with open(folder / LOCK) as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held as long as its server lives
                shutil.rmtree(folder)


def bound(host: str, port: int) -> socket.socket:
    """A socket at the address, not yet listening. port 0: a free one. Raises DataError if it cannot be had."""
    reason: object = "a port is a number from 0 to 65535"
    if 0 <= port <= 65_535:
        try:
            family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            found = socket.socket(family, kind, number)
            try:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                found.bind(address)
                return found
            except OSError:
                found.close()
                raise
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
    raise DataError(f"--host {host} --port {port}: {reason}; name another, --port 0 takes a free one")


def expire(folder: Path, age_s: float) -> None:
    """Remove the files below a folder, and the empty folders, that were last changed more than age_s seconds ago."""
    oldest = time.time() - age_s
    with contextlib.suppress(FileNotFoundError):  # one went while the others were listed: the next time, then
        found = [(path, path.lstat()) for path in sorted(folder.rglob("*"), reverse=True)]  # contents before folders
        for path, about in found:
            with contextlib.suppress(OSError):  # a folder that is not empty
                if about.st_mtime < oldest:
                    path.rmdir() if stat.S_ISDIR(about.st_mode) else path.unlink()


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """Remove what is too old, as long as the server runs."""
    from benchmark.app.page import KEPT_S

    ended = threading.Event()

    def look() -> None:
        while not ended.wait(EVERY_S):
            expire(folder, KEPT_S)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def warning(host: str) -> str | None:
    """What whoever starts the page has to know of an address; None for those of this machine alone."""
    if ipaddress.ip_address(host).is_loopback:
        return None
    return (
        f"everybody who reaches {host} can use this page and upload files to it; it asks for no password and its "
        "connection is not encrypted"
    )


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the server as Ctrl-C does, so that its folder goes with it."""

    def end(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _names(host: str) -> set[str] | None:
    """The names under which a page for this machine is asked for; a page of another site cannot pose as one of them."""
    return {"localhost", "127.0.0.1", "[::1]", _url_host(host)} if warning(host) is None else None
