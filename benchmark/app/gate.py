"""What is let through to Gradio: the few addresses that the page needs, from the page's own host, within the limits.

Gradio's server can do more than a demo needs: fetch addresses that a request names, forward requests, run named
functions. None of it is reached. The browser is told to load nothing from elsewhere.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect

from benchmark.app.limits import Limiter, Limits, too_large, too_many
from ingest.cli import printable

READ = {
    "/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/gradio_api/info",
    "/gradio_api/app_id", "/gradio_api/queue/data", "/gradio_api/upload_progress", "/gradio_api/startup-events",
    "/gradio_api/theme.css",
}  # fmt: skip
READ_BELOW = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/")
FILES, UPLOAD, ASK = "/gradio_api/file=", "/gradio_api/upload", "/gradio_api/queue/join"
WRITTEN = {UPLOAD, ASK, "/gradio_api/cancel", "/gradio_api/reset"}
BODY_BYTES = 65_536  # of a request that is no upload, and what a form adds to its file
KEPT_FILES = 20  # of the largest allowed, uploaded and not yet removed
HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}

Message = MutableMapping[str, Any]
Receive, Send = Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]


class Gate:
    """ASGI in front of the page. folder: where uploads lie; hosts: names in the Host header, None = any."""

    def __init__(self, app: Any, *, limits: Limits, folder: Path, hosts: set[str] | None):
        self.app, self.limits, self.folder, self.hosts = app, limits, folder.resolve(), hosts
        self.uploads = Limiter(limits.per_minute)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self.refusal(scope["method"], scope["path"], headers, _visitor(scope))
        if refused is None and scope["path"].rstrip("/") == ASK:
            body = await _body(receive)
            refused = (400, "This request is not one of the page's.") if not self._own(body) else None
            receive = _again(body, receive)
        if refused is not None:
            await _answer(send, *refused)
            return
        try:
            await self.app(scope, receive, _with_headers(send))
        except ClientDisconnect:  # a visitor who goes away in the middle is no error of ours
            pass
        except Exception as error:  # what Gradio's server does not understand: it has answered 500
            said = f"{_visitor(scope)}: {scope['method']} {scope['path']}: {type(error).__name__}: {error}"
            print(printable(said[:300]), file=sys.stderr)

    def refusal(self, method: str, path: str, headers: dict[str, str], visitor: str) -> tuple[int, str] | None:
        """(status, line) of a request that goes no further, None for one that does."""
        if self.hosts is not None and _host(headers.get("host", "")) not in self.hosts:
            return 403, "This page is served to its own machine only."
        if _foreign(method, path, headers):
            return 403, "This page answers to no other."
        if method in ("GET", "HEAD"):
            return None if self._readable(path) else (404, "There is nothing here.")
        bare = path.rstrip("/")
        if method != "POST" or bare not in WRITTEN:
            return 404, "There is nothing here."
        size, most = headers.get("content-length", ""), BODY_BYTES
        if "transfer-encoding" in headers:  # a body in chunks is as long as it likes, whatever else is said
            return 411, "The request does not say how long it is."
        if bare == UPLOAD:
            most += self.limits.size_bytes
        if not size.isdecimal():
            return 411, "The request does not say how long it is."
        if int(size) > most:
            return 413, too_large(self.limits)
        return self._uploaded(visitor) if bare == UPLOAD else None

    def _uploaded(self, visitor: str) -> tuple[int, str] | None:
        wait_s = self.uploads.wait_s(visitor)
        if wait_s:
            return 429, too_many(self.limits.per_minute, wait_s)
        kept = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        if kept > KEPT_FILES * self.limits.size_bytes:
            return 507, "There is no room for more uploads at the moment: try again in ten minutes."
        return None

    def _readable(self, path: str) -> bool:
        if path.startswith(FILES):
            return self._inside(path.removeprefix(FILES))
        return path in READ or path.rstrip("/") in READ or path.startswith(READ_BELOW)

    def _inside(self, name: object) -> bool:
        if not isinstance(name, str) or "\0" in name:
            return False
        whole = os.path.realpath(unquote(name))
        return os.path.isabs(unquote(name)) and Path(whole).is_relative_to(self.folder)

    def _own(self, body: bytes) -> bool:
        """Whether a request to judge names no file but those uploaded here: Gradio would fetch addresses."""
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            return False
        waiting = [asked]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                if "path" in value and value["path"] is not None and not self._inside(value["path"]):
                    return False
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value
        return isinstance(asked, dict)


def _visitor(scope: Message) -> str:
    return scope["client"][0] if scope.get("client") else "unknown"


def _foreign(method: str, path: str, headers: dict[str, str]) -> bool:
    """Whether another site's page asks: a browser says so, also where it would keep the answer from that page.

    Browsers tell the site that asks (Fetch Metadata) to pages on this machine or encrypted ones, whatever name a proxy
    has for them; to others the origin of what is no plain reading. Whoever follows a link comes from another site, too.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        visits = method in ("GET", "HEAD") and path == "/" and headers.get("sec-fetch-mode") == "navigate"
        return site not in ("same-origin", "none") and not visits
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    return header.rsplit(":", 1)[0] if not header.endswith("]") else header


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while size <= BODY_BYTES:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
        await send(message)

    return sending


async def _answer(send: Send, status: int, line: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    send = _with_headers(send)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": line.encode()})
