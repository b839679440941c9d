"""How a command ends: one line and a code for Ctrl-C, SIGTERM and what the disk refuses; a bug keeps its traceback."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import street

from ingest import cli
from ingest.cli import whole
from ingest.types import DataError

WAITING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us with it ignored
from ingest.cli import run
def main(_):
    print("up", flush=True)
    {body}
run(main, [])
"""


def started(body):
    process = subprocess.Popen([sys.executable, "-c", WAITING.format(body=body)], cwd=street.ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == "up\n"
    return process


BODIES = {
    "sleeping": "time.sleep(60)",
    "in a query": "import duckdb; print('q', flush=True); duckdb.sql('SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b').fetchall()",
    "turned into another error": "\n    try: print('in', flush=True); time.sleep(60)\n    except BaseException: raise RuntimeError('Query interrupted')",
    "swallowed": "\n    import ingest.cli; ingest.cli.PATIENCE_S = 1\n    try: print('in', flush=True); time.sleep(60)\n    except BaseException: time.sleep(60)",
    "with workers": "import joblib\n    for _ in joblib.Parallel(2, return_as='generator_unordered')(joblib.delayed(time.sleep)(0.2) for _ in range(500)): print('w', flush=True)",
    "in a finaliser": "\n    class Late:\n        def __del__(self): time.sleep(60)\n    Late()\n    time.sleep(60)",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_one_line(number, code, body):
    process = started(BODIES[body])
    if body in ("in a query", "swallowed", "turned into another error", "with workers"):
        process.stdout.readline()
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert said == "interrupted; run the same command again to go on\n"


def test_a_second_signal_ends_it_at_once():
    process = started(
        "\n    try:\n        print('in', flush=True)\n        time.sleep(60)\n    finally:\n        print('cleaning', flush=True)\n        time.sleep(60)"
    )
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT and not said


@pytest.mark.parametrize(("error", "code", "lines"), [
    ("OSError(28, 'No space left on device', '/x/y')", 2, 1),
    ("RuntimeError('Could not write file: No space left on device')", 2, 1),
    ("PermissionError(13, 'Permission denied', '/x/y')", 2, 1),
    ("KeyError('a bug')", 1, 5),
])  # fmt: skip
def test_what_the_disk_refuses_is_one_line_and_a_bug_is_not(error, code, lines):
    process = started(f"raise {error}")
    _, said = process.communicate(timeout=30)
    assert process.returncode == code and (len(said.splitlines()) == 1) == (lines == 1)
    assert ("Traceback" in said) == (code == 1)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_nowhere(tmp_path, closed):
    """And the files that a command opens do not get the number of one, into which libraries print."""
    body = f"""
    import os
    with open({str(tmp_path / "x")!r}, "w") as file:
        print("out"), print("err", file=sys.stderr), os.write(1, b"one"), os.write(2, b"two")
        file.write(f"{{file.fileno() > 2}} {{sys.stdin.read()!r}}")
    """
    code = WAITING.replace('print("up", flush=True)', "pass").format(body=body)
    done = subprocess.run(["bash", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code], cwd=street.ROOT,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)  # fmt: skip
    assert (done.returncode, (tmp_path / "x").read_text()) == (0, "True ''")
    assert (done.stdout == "") == (">&-" in closed.split()) and "Traceback" not in done.stderr


def test_what_the_encoding_of_the_output_lacks_is_escaped():
    code = WAITING.replace('print("up", flush=True)', "pass").format(body="print('h\\xf6he')")
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], cwd=street.ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "h\\xf6he\n", "")


def test_a_user_without_a_name_has_one():
    """`docker run --user 1234`: PyTorch, asked for the first network, failed with a KeyError of pwd."""
    code = (
        "import os, pwd\ndef nobody(uid): raise KeyError(uid)\npwd.getpwuid = nobody\n"
        "from ingest.cli import run\n"
        "def main(argv):\n    import getpass\n    print(getpass.getuser())\nrun(main, [])\n"
    )
    names = {"LOGNAME", "USER", "LNAME", "USERNAME"}
    env = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run([sys.executable, "-c", code], cwd=street.ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"uid{os.getuid()}\n"), done.stderr


def test_numbers_of_options_are_whole_and_bounded():
    assert [whole(12)(text) for text in ("1", "12", " 7 ")] == [1, 12, 7]
    for text in ("0", "13", "-1", "1.0", "", "x", "9" * 5000):
        with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 12"):
            whole(12)(text)


IMPORTING = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name in ("argparse", "duckdb", "numpy", "pyarrow"):
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("package", ["ingest", "protocols", "shards", "features", "benchmark", "reports"])
def test_a_signal_in_the_middle_of_the_imports_is_one_line(tmp_path, package, number, code):
    """The first import that takes long is held up; `sitecustomize` is what Python imports before anything of ours."""
    (tmp_path / "sitecustomize.py").write_text(IMPORTING)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-m", package, "--help"], cwd=street.ROOT, env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said.splitlines()[-1]) == (code, "interrupted; run the same command again to go on")
    assert "Traceback" not in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("end", ["", "; sys.exit(2)", "; from ingest.types import DataError; raise DataError('x')"])
def test_a_signal_after_the_work_is_one_line(number, code, end):
    process = started(f"import atexit; atexit.register(lambda: (print('out', flush=True), time.sleep(60))){end}")
    assert process.stdout.readline() == "out\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.splitlines()[-1]) == (code, "interrupted; run the same command again to go on")
    assert "Traceback" not in said


def test_the_folder_of_data_may_begin_with_the_home(monkeypatch):
    """A shell leaves `make DATA=~/x` as it is."""
    parser = cli.Parser()
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.setenv("DATA", "~/made")
    cli.add_data(parser)
    assert parser.parse_args([]).data == Path("/home/x/made")
    assert parser.parse_args(["--data", "~/y"]).data == Path("/home/x/y")
    assert parser.parse_args(["--data", "~no-such-user/y"]).data == Path("~no-such-user/y")


def test_the_folder_of_data_is_not_empty(monkeypatch, capsys):
    """`--data "$SCRATCH"` of a variable without a value would be the folder at hand."""
    monkeypatch.setenv("DATA", "")
    parser = cli.Parser()
    cli.add_data(parser)
    assert parser.parse_args([]).data == Path("data")
    with pytest.raises(SystemExit):
        parser.parse_args(["--data", ""])
    assert "--data: is empty" in capsys.readouterr().err


def test_the_folder_of_data_is_in_utf8():
    parser = cli.Parser()
    cli.add_data(parser)
    with pytest.raises(DataError, match=r"d\\xe9: the path is not in UTF-8"):
        parser.parse_args(["--data", os.fsdecode(b"d\xe9")])


def test_the_folder_of_data_has_no_question_mark(tmp_path, monkeypatch, capsys):
    parser = cli.Parser()
    cli.add_data(parser)
    (tmp_path / "a?").mkdir()
    monkeypatch.chdir(tmp_path / "a?")
    for text in ("what?", "here"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--data", text])
        assert "has a ? in its path, which DuckDB cannot have; name another folder" in capsys.readouterr().err
