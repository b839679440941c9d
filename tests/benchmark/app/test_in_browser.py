"""The page in headless Chromium: upload, verdict, comparison, refusals; no address but its own, nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import browser
import numpy as np
import pytest
import soundfile

pytest.importorskip("gradio", reason="needs the extra sirenbench[app]")

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 120  # on a machine that is busy with other things
ANSWER = "const e = document.querySelector('#answer'); return e && e.innerText.includes(arguments[0]) && e.innerText"
THERE = "return document.querySelector(arguments[0]) !== null"
OPAQUE = """let e = document.querySelector('#answer [role=alert]');
    while (e && getComputedStyle(e).opacity === '1') e = e.parentElement;
    return e === null"""  # Gradio lets an answer fade in
INPUT, CLEAR = "#recording input[type=file]", "#recording button[aria-label=Clear]"


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser.browser(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """What the server takes for the folder of temporary files."""
    return tmp_path_factory.mktemp("temporary")


@contextlib.contextmanager
def serving(runs, temporary):
    """(address, process) of a server with these runs, 10 s, 1 MB and four verdicts a minute."""
    words = ["--run", *runs, "--port", 0, "--device", "cpu", "--max-seconds", 10, "--max-megabytes", 1, "--per-minute", 4, "--threads", 1]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "app", *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        yield address, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def page(window, made, temporary):
    """(address, process) of a server with two detectors."""
    with serving(made, temporary) as page:
        yield page


def until(window, script, *arguments):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := window.run(script, *arguments):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{arguments}: the page says {window.run('return document.body.innerText')}")


def opened(window, address):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            assert opener.open(address, timeout=10).status == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    window.open(address)
    until(window, THERE, INPUT)


def upload(window, path):
    until(window, THERE, INPUT)
    window.type(INPUT, str(path))


def choose(window, box, name):
    option = "return [...document.querySelectorAll('[role=option]')].find(e => e.textContent.includes(arguments[0]))"
    window.click(f"#{box} input")
    until(window, f"{option} !== undefined", name)
    window.run(
        f"({option.removeprefix('return ')}).dispatchEvent(new MouseEvent('mousedown', {{bubbles: true}}))", name
    )


def test_a_visit_from_upload_to_refusal(window, page, temporary, tmp_path):
    address, _ = page
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000 * 12)
    soundfile.write(tmp_path / "clip.wav", noise[:80_000], 16_000)
    soundfile.write(tmp_path / "long.flac", noise, 16_000)
    soundfile.write(tmp_path / "large.wav", np.tile(noise, 5), 16_000)
    window.requests(), window.console()
    opened(window, address)

    upload(window, tmp_path / "clip.wav")
    until(window, THERE, CLEAR)
    window.click("#judge")
    said = until(window, ANSWER, "hint for research")
    assert "clip.wav: 5.0 s" in said and "3 windows over 5.0 s" in said and "threshold" in said
    assert window.run("return document.querySelectorAll('#answer svg').length") == 1
    width = window.run("return document.querySelector('#answer svg').getBoundingClientRect().width")
    assert width > 300 and window.run("return document.documentElement.scrollWidth <= window.innerWidth")
    assert list(temporary.glob("siren-app-*/uploads/*/clip.wav"))

    choose(window, "second", "lfcc_lcnn")
    window.click("#judge")
    until(window, "return document.querySelectorAll('#answer .siren-result').length == 2")
    assert window.run("return document.querySelectorAll('#answer svg').length") == 3
    tops = window.run("return [...document.querySelectorAll('.siren-result')].map(e => e.getBoundingClientRect().top)")
    assert tops[0] == tops[1]

    window.click(CLEAR)
    until(window, THERE, INPUT)
    window.click("#example-1")
    until(window, THERE, CLEAR)
    window.click("#judge")
    until(window, ANSWER, "its-vocoder-copy.wav")
    assert window.console("SEVERE") == []

    opened(window, address)
    upload(window, tmp_path / "long.flac")
    until(window, THERE, CLEAR)
    window.click("#judge")
    until(window, ANSWER, "Lasts longer than 10 s, the most that this page takes")
    window.click("#judge")
    until(window, ANSWER, "More than 4 a minute: try again in")
    assert window.console("SEVERE") == []

    window.click(CLEAR)
    upload(window, tmp_path / "large.wav")
    until(window, "return document.body.innerText.includes('maximum allowed size of 1')")
    assert not list(temporary.glob("siren-app-*/uploads/*/large.wav"))
    asked = [found for found in window.requests() if not found.startswith(("data:", "blob:", "chrome:"))]
    assert len(asked) > 20 and all(found.startswith(f"{address}/") for found in asked)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_what_is_ours(window, page, dark):
    axe = pytest.importorskip("axe_core_python", reason="needs axe-core-python, in the dev group")
    address, _ = page
    window.dark(dark)
    opened(window, address)
    window.run((Path(axe.__file__).parent / "axe.min.js").read_text())
    script = "axe.run('#answer').then(r => arguments[0](r.violations.map(v => [v.id, v.nodes.map(n => n.html)])))"
    window.click("#judge")
    until(window, ANSWER, "first")
    until(window, OPAQUE)
    assert window.wait(script) == []
    window.click("#example-2")
    until(window, THERE, CLEAR)
    window.click("#judge")
    until(
        window, "return document.querySelector('#answer [role=alert]').innerText.includes(': ')"
    )  # or too many a minute
    until(window, OPAQUE)
    assert window.wait(script) == []
    window.dark(False)


def test_a_recording_of_the_microphone_is_judged(made, tmp_path):
    soundfile.write(tmp_path / "voice.wav", 0.3 * np.sin(0.2 * np.arange(16_000 * 20)), 16_000)
    flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
             f"--use-file-for-fake-audio-capture={tmp_path / 'voice.wav'}")  # fmt: skip
    with browser.browser(tmp_path / "profile", flags) as window, serving(made[:1], tmp_path) as (address, _):
        opened(window, address)
        window.click("#recording button[aria-label='Record audio']")
        until(window, THERE, "#recording .record-button")
        window.click("#recording .record-button")
        until(window, "return document.querySelector('#recording .stop-button').offsetParent !== null")
        time.sleep(2)
        window.click("#recording .stop-button")
        until(window, THERE, "#recording .play-pause-button")
        until(
            window, "return performance.getEntriesByType('resource').some(e => e.name.includes('/upload'))"
        )  # is sent
        window.click("#judge")
        said = until(window, ANSWER, "hint for research")
        assert "audio.wav: " in said and "1 channel" in said
        assert "silence" not in said and window.console("SEVERE") == []


def test_nothing_is_left_when_the_server_ends(page, temporary):
    _, process = page
    assert list(temporary.iterdir())
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert list(temporary.iterdir()) == []
