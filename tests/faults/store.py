"""An S3 store on loopback that can be cut off: a server of the protocol, and a relay before it that hangs up.

python store.py is the server; `Store` starts it and speaks to it by lines: load, dump, cut, mend, traffic.
"""

import contextlib
import importlib.util
import socket
import threading
import time
from pathlib import Path

from lines import Lines, answered

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1"}  # fmt: skip
BUCKET = "bucket"


def usable() -> bool:
    """Whether the client and the server are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("s3fs", "moto", "flask"))


class Store(Lines):
    """The store, from the side of who disturbs it."""

    def __init__(self, base: Path):
        super().__init__(__file__, base / "store.log", KEYS)
        self.url = f"s3://{BUCKET}/siren"
        self.env = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.first}"}

    def load(self, folder: Path) -> None:
        """Make the bucket hold what a folder holds."""
        self.say(f"load {folder}")

    def dump(self, folder: Path) -> None:
        """Write the objects of the bucket below a folder."""
        self.say(f"dump {folder}")

    def cut(self, after_bytes: int) -> None:
        """Hang up, and take no call, once so many bytes more have gone either way."""
        self.say(f"cut {after_bytes}")

    def mend(self) -> None:
        """Answer again."""
        self.say("mend")

    def passed(self) -> int:
        """Bytes that have gone either way since the last call."""
        return int(self.say("traffic"))


class Relay:
    """Passes bytes between callers and the server until it is to hang up."""

    def __init__(self, inner: tuple[str, int]):
        self.inner, self.left, self.bytes = inner, None, 0
        self.lock, self.open = threading.Lock(), []
        self.listener = None
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Take calls, on the port of before."""
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def hang_up(self) -> None:
        """End every call and take no other."""
        listener, self.listener = self.listener, None
        for one in [*self.open, *([listener] if listener else [])]:
            for end in (lambda s=one: s.shutdown(socket.SHUT_RDWR), one.close):
                with contextlib.suppress(OSError):
                    end()
        self.open = []

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
                server = socket.create_connection(self.inner)
            except OSError:
                return
            self.open += [caller, server]
            for source, target in ((caller, server), (server, caller)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(4096):
                with self.lock:
                    self.bytes += len(data)
                    if self.left is not None:
                        self.left -= len(data)
                        if self.left < 0:
                            self.left = None
                            self.hang_up()
                            return
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.close()


def serve() -> None:
    """Answer lines on standard input until it is closed."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    inner = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{inner[0]}:{inner[1]}")
    client.create_bucket(Bucket=BUCKET)
    relay = Relay(inner)

    def answer(word: str, rest: str) -> str:
        if word == "load":
            _clear(client)
            for path in sorted(p for p in Path(rest).rglob("*") if p.is_file()):
                client.put_object(Bucket=BUCKET, Key=str(path.relative_to(rest)), Body=path.read_bytes())
        elif word == "dump":
            for key in _keys(client):
                path = Path(rest) / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        elif word == "cut":
            relay.left = int(rest)
        elif word == "mend":
            relay.left = None
            relay.hang_up()
            time.sleep(0.05)
            relay.listen()
        elif word == "traffic":
            passed, relay.bytes = relay.bytes, 0
            return str(passed)
        return ""

    print(relay.port, flush=True)
    answered(answer)
    server.stop()


def _keys(client) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [one["Key"] for page in pages for one in page.get("Contents", ())]


def _clear(client) -> None:
    for key in _keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)


if __name__ == "__main__":
    serve()
