"""The gate in front of Gradio: what the page needs comes through, everything else is one line."""

import asyncio
import json

import pytest

pytest.importorskip("starlette")

from benchmark.app import gate, limits, server

HOST = {"host": "127.0.0.1:7860"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own" / "uploads").mkdir(parents=True)
    (tmp_path / "own" / "uploads" / "a.wav").write_bytes(b"x" * 1000)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "own" / "link").symlink_to(tmp_path / "secret")
    return tmp_path / "own"


def ask(folder, method, path, *, headers=HOST, body=b"", hosts=("127.0.0.1", "localhost"), gated=None, **own):
    """(status, headers, body) of an application that answers 200 and what it was sent."""

    async def inner(scope, receive, send):
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    made = gated or gate.Gate(inner, limits=limits.Limits(**own), folder=folder, hosts=hosts and set(hosts))
    made.app = inner
    told = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        told.append(message)

    if method == "POST" and "content-length" not in headers:
        headers = {**headers, "content-length": str(len(body))}
    pairs = [(k.encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs, "client": ("127.0.0.1", 1)}
    asyncio.run(made(scope, receive, send))
    return told[0]["status"], dict(told[0]["headers"]), told[1]["body"]


@pytest.mark.parametrize("path", [
    "/", "/config", "/config/", "/theme.css", "/assets/index.js", "/static/img/logo.svg", "/gradio_api/queue/data",
    "/gradio_api/heartbeat/abc",
])  # fmt: skip
def test_the_page_comes_through_and_may_load_nothing_from_elsewhere(folder, path):
    status, headers, _ = ask(folder, "GET", path)
    policy = headers[b"content-security-policy"].decode()
    assert status == 200 and "default-src 'self'" in policy and "http" not in policy and "*" not in policy


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/gradio_api/proxy=http://example.org/"), ("GET", "/gradio_api/file=http://example.org/a.wav"),
    ("GET", "/gradio_api/file=/etc/passwd"), ("GET", "/gradio_api/file=../secret"), ("GET", "/gradio_api/deep_link"),
    ("GET", "/gradio_api/file=%2Fetc%2Fpasswd"), ("GET", "/gradio_api/file=\0"), ("GET", "/monitoring"), ("GET", "/docs"),
    ("GET", "/gradio_api/runs"), ("POST", "/gradio_api/run/predict"), ("POST", "/gradio_api/call/asked"),
    ("POST", "/gradio_api/api/asked"), ("POST", "/gradio_api/component_server"), ("POST", "/gradio_api/vibe-edit"),
    ("POST", "/gradio_api/process_recording"), ("POST", "/login"), ("PUT", "/gradio_api/upload"), ("DELETE", "/"),
    ("POST", "/gradio_api/stream/x"),
])  # fmt: skip
def test_the_rest_of_gradio_is_not_there(folder, method, path):
    assert ask(folder, method, path)[0] == 404


def test_files_are_those_of_the_own_folder(folder):
    assert ask(folder, "GET", f"/gradio_api/file={folder}/uploads/a.wav")[0] == 200
    for path in (f"{folder}/link", f"{folder}/uploads/../../secret", f"{folder}/uploads/%2e%2e/%2e%2e/secret"):
        assert ask(folder, "GET", f"/gradio_api/file={path}")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""])
def test_another_name_for_this_machine_is_refused(folder, host):
    assert ask(folder, "GET", "/", headers={"host": host})[0] == 403
    assert ask(folder, "GET", "/", headers={"host": host}, hosts=None)[0] == 200


def test_the_names_of_a_loopback_address_are_checked_and_no_others():
    assert server._names("127.0.0.1") == {"localhost", "127.0.0.1", "[::1]"}
    assert server._names("0.0.0.0") is None
    assert (
        gate._host("[::1]:7860") == "[::1]"
        and gate._host("[::1]") == "[::1]"
        and gate._host("localhost") == "localhost"
    )


@pytest.mark.parametrize(("said", "upload", "visit"), [
    ({"origin": "http://evil.example"}, 403, 403), ({"origin": "null"}, 403, 403), ({"origin": "http://127.0.0.1:3000"}, 403, 403),
    ({"origin": "http://127.0.0.1:7860.evil.example"}, 403, 403), ({"origin": "http://127.0.0.1:7860"}, 200, 200),
    ({"sec-fetch-site": "cross-site"}, 403, 403), ({"sec-fetch-site": "same-site"}, 403, 403),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403, 200),  # a link to the page
    ({"sec-fetch-site": "same-origin", "origin": "https://the-name-at-a-proxy"}, 200, 200), ({"sec-fetch-site": "none"}, 200, 200),
])  # fmt: skip
def test_the_page_of_another_site_is_refused(folder, said, upload, visit):
    assert ask(folder, "POST", "/gradio_api/upload", headers={**HOST, **said})[0] == upload
    assert ask(folder, "GET", "/", headers={**HOST, **said})[0] == visit
    assert ask(folder, "GET", "/config", headers={**HOST, **said})[0] == upload


def join(folder, data, **named):
    return ask(
        folder, "POST", "/gradio_api/queue/join", body=json.dumps({"data": data, "fn_index": 0}).encode(), **named
    )


def test_a_request_names_own_files_only_because_gradio_would_fetch_others(folder):
    own = {"path": f"{folder}/uploads/a.wav", "url": "http://127.0.0.1:7860/x", "meta": {"_type": "gradio.FileData"}}
    status, _, body = join(folder, [own, "a", "b"])
    assert status == 200 and json.loads(body)["data"][0] == own
    assert join(folder, [None, "a", "b"])[0] == 200
    for path in ("http://169.254.169.254/latest", "https://example.org/a.wav", "/etc/passwd", "relative.wav", ["x"], 7,
                 f"{folder}/link", "file:///etc/passwd"):  # fmt: skip
        assert join(folder, [{**own, "path": path}])[0] == 400, path
        assert join(folder, [[{"deep": [{"path": path}]}]])[0] == 400, path
    for body in (b"", b"[]", b"{", b'"x"', b"[" * 60_000):
        assert ask(folder, "POST", "/gradio_api/queue/join", body=body)[0] == 400


def test_sizes_are_known_beforehand_and_bounded(folder):
    for path, most in (("/gradio_api/upload", 2_000_000 + gate.BODY_BYTES), ("/gradio_api/cancel", gate.BODY_BYTES)):
        for length, wanted in ((most, 200), (most + 1, 413), ("", 411), ("-1", 411), ("1e3", 411)):
            headers = {**HOST, "content-length": str(length)}
            status, _, body = ask(folder, "POST", path, headers=headers, size_bytes=2_000_000)
            assert status == wanted, (path, length)
            assert status == 200 or b"\n" not in body


def test_a_body_in_chunks_is_refused_whatever_length_it_states(folder):
    for path in ("/gradio_api/upload", "/gradio_api/queue/join"):
        for headers in ({"content-length": "10", "transfer-encoding": "chunked"}, {"transfer-encoding": "identity"}):
            assert ask(folder, "POST", path, headers={**HOST, **headers})[0] == 411


def test_uploads_are_counted_and_the_room_for_them_is_bounded(folder):
    gated = gate.Gate(None, limits=limits.Limits(per_minute=2), folder=folder, hosts=None)
    status = [ask(folder, "POST", "/gradio_api/upload", gated=gated) for _ in range(3)]
    assert [s for s, _, _ in status] == [200, 200, 429] and b"More than 2 a minute" in status[2][2]
    (folder / "uploads" / "b").write_bytes(b"x" * 2100)
    assert ask(folder, "POST", "/gradio_api/upload", size_bytes=100)[0] == 507


def test_what_gradio_does_not_understand_is_a_line(folder, capsys):
    async def lost(scope, receive, send):
        raise KeyError("9999\x1b[31m")

    made = gate.Gate(lost, limits=limits.Limits(), folder=folder, hosts=None)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("127.0.0.1", 1)}
    asyncio.run(made(scope, None, None))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("127.0.0.1: GET /: KeyError: ") and "\x1b" not in line


def test_a_visitor_who_goes_away_is_no_error(folder):
    from starlette.requests import ClientDisconnect

    async def gone(scope, receive, send):
        raise ClientDisconnect

    made = gate.Gate(gone, limits=limits.Limits(), folder=folder, hosts=None)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": None}
    asyncio.run(made(scope, None, None))
