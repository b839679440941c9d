"""A command of the fork server is what Python started for it alone would be: output, exit code, traceback, signal."""

import os
import signal
import time

import forks
import pytest
import street


@pytest.mark.parametrize("words", [
    ("protocols", "list"),
    ("protocols", "show", "inner/librisevox"),
    ("benchmark", "run", "--no-such-option"),
    ("features", "--help"),
], ids=" ".join)  # fmt: skip
def test_it_says_and_ends_as_a_started_one(words):
    forked, started = (street.call(*words, check=False, start=start) for start in (forks.run, street.started))
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)
    assert forked.stdout or forked.returncode == 2


def module(folder, body):
    (folder / "own.py").write_text(body)
    return ["own"]


def ended(folder, words, out, **more):
    """The started process of a module that lies in `folder`; both its outputs go to the file `out`."""
    with open(os.devnull) as nothing, open(out, "w") as file:
        files = [nothing.fileno(), file.fileno(), file.fileno()]
        return forks.Process(forks.server(), words, environment={"OWN": "1"}, files=files, folder=folder, **more)


def test_a_bug_keeps_its_traceback_and_the_way_out_is_gone_to_its_end(tmp_path):
    body = (
        "import atexit, os\natexit.register(print, 'left', dict(os.environ), os.getcwd())\nraise RuntimeError('ours')"
    )
    assert ended(tmp_path, module(tmp_path, body), tmp_path / "out").wait(60) == 1
    said = (tmp_path / "out").read_text()
    assert "Traceback (most recent call last)" in said and "RuntimeError: ours" in said
    assert f"left {{'OWN': '1'}} {tmp_path}" in said


def test_a_kill_is_a_kill_of_the_whole_session(tmp_path):
    body = ("import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "print('up', flush=True)\ntime.sleep(60)")  # fmt: skip
    process = ended(tmp_path, module(tmp_path, body), tmp_path / "out", session=True)
    while not (tmp_path / "out").read_text():
        time.sleep(0.01)
    assert os.getpgid(process.pid) == process.pid
    assert process.kill() == -signal.SIGKILL
    until = time.monotonic() + 10
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, 0)
            time.sleep(0.01)


def test_a_kill_of_what_has_ended_finds_its_exit_code(tmp_path):
    process = ended(tmp_path, module(tmp_path, "raise SystemExit(3)"), tmp_path / "out", session=True)
    until = time.monotonic() + 10
    while os.path.exists(f"/proc/{process.pid}") and time.monotonic() < until:
        time.sleep(0.01)
    assert process.kill() == 3


def test_what_takes_too_long_is_ended(tmp_path):
    with pytest.raises(TimeoutError):
        forks.run(["http.server", "--bind", "127.0.0.1", "0"], environment=dict(os.environ), timeout=0.3)
