"""The set-up removes no folder but its own, and what is typed is what is done."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess

import pytest
import street
from packaging.markers import Marker

# `make test` is a make itself, and what it leaves for those below it makes them say where they are
ALONE = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.mark.parametrize(("name", "goes"), [("notes.txt", False), (".siren", True)])
def test_a_folder_that_setup_did_not_make_is_kept(tmp_path, name, goes):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_text("x")
    python = tmp_path / "python"  # of the right version, but unable to make an environment
    python.write_text('#!/bin/sh\n[ "$1" = -c ]\n')
    python.chmod(0o755)
    words = ["make", "setup", f"VENV={tmp_path / 'own'}", f"BASE_PYTHON={python}"]
    done = subprocess.run(words, cwd=street.ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and (tmp_path / "own").exists() != goes
    assert ("holds something that make setup did not put there" in done.stderr) != goes


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_two_at_once_set_up_one_environment(tmp_path):
    """The second removed what the first was just making."""
    python, own, made = tmp_path / "python", tmp_path / "own", tmp_path / "made"
    python.write_text(
        f'#!/bin/sh\n[ "$2" = venv ] || exit 0\necho x >> {made}\nmkdir -p {own}/bin; sleep 1\n'
        f"cp $0 {own}/bin/python && cp $0 {own}/bin/uv && sleep 1\n"
    )
    python.chmod(0o755)
    words = ["make", "setup", f"VENV={own}", f"BASE_PYTHON={python}"]
    both = [subprocess.Popen(words, cwd=street.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(2)]  # fmt: skip
    said = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert made.read_text() == "x\n" and any("waiting for another make" in words for words in said)


def test_the_environment_is_that_of_its_lock_where_shasum_counts(tmp_path):
    """macOS: without sha256sum every lock had the same environment, and each make said that it is not there."""
    for name in ("bash", "cat", "cut", "make"):
        (tmp_path / name).symlink_to(shutil.which(name))
    (tmp_path / "shasum").write_text(f'#!/bin/sh\n[ "$*" = "-a 256" ] && exec {shutil.which("sha256sum")}\n')
    (tmp_path / "shasum").chmod(0o755)
    words = ["make", "-n", "leaderboard", "VENV=own"]
    done = subprocess.run(words, cwd=street.ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert f"test -e own/ready-{lock_hash()} " in done.stdout and not done.stderr


@pytest.mark.parametrize("platform", [("linux", "x86_64"), ("darwin", "arm64")])
def test_every_python_that_siren_takes_has_the_same_packages(platform):
    """For 3.12 the lock named a PyAV without the AMR encoder, where `make demo` died, and another NumPy and SciPy."""
    lock = (street.ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^(\S+==\S+)(?: ; (.+))? \\$", lock, re.M)
    machine = dict(zip(("sys_platform", "platform_machine"), platform))
    locked = []
    for version in ("3.11.0", "3.11.14", "3.12.0", "3.12.12"):
        python = {"python_full_version": version, "python_version": version[:4], "implementation_version": version}
        locked.append({pin for pin, marker in pins if not marker or Marker(marker).evaluate(python | machine)})
    assert len(locked[0]) > 100 and locked == [locked[0]] * 4


def lock_hash():
    locks = b"".join((street.ROOT / name).read_bytes() for name in ("requirements.lock", "requirements-setup.lock"))
    return hashlib.sha256(locks).hexdigest()[:16]


@pytest.mark.parametrize(("word", "partial"), [("1", True), ("yes", True), ("0", False), ("no", False), ("", False)])
def test_partial_is_what_its_word_says(word, partial):
    words = ["make", "-n", "librisevoc", "ROOT=x", f"PARTIAL={word}"]
    said = subprocess.run(words, cwd=street.ROOT, capture_output=True, text=True).stdout
    assert ("--partial" in said) == partial and "ingest librisevoc" in said


@pytest.mark.parametrize(("word", "folder"), [("", "data/demo"), ("x y", "x y/demo")])
def test_data_without_a_value_is_the_default(word, folder):
    words = ["make", "-n", "demo", f"DATA={word}"]
    said = subprocess.run(words, cwd=street.ROOT, capture_output=True, text=True).stdout
    assert f'--data "{folder}"' in said


def test_what_the_demo_tells_to_type_can_be_typed(tmp_path):
    """The folder stood there as it is: of a name with a blank the half was taken, and a quote ended the shell's line."""
    bin_ = tmp_path / "own" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").write_text("""#!/bin/sh\nprintf '%s\\n' "$@"\n""")
    (bin_ / "python").chmod(0o755)
    (tmp_path / "own" / f"ready-{lock_hash()}").touch()
    own = f"VENV={tmp_path / 'own'}"
    words = ["make", "demo", own, "DATA=it's mine"]
    done = subprocess.run(words, cwd=street.ROOT, env=ALONE, capture_output=True, text=True)
    assert "\nRead it's mine/demo/reports/leaderboard.md; ask: make sql" in done.stdout, done.stderr
    typed = [*shlex.split(done.stdout.rpartition("; ask: ")[2]), own]
    done = subprocess.run(typed, cwd=street.ROOT, env=ALONE, capture_output=True, text=True)
    assert "--data\nit's mine/demo\n" in done.stdout, done.stderr


@pytest.mark.parametrize("word", ["PROTOCOL=inner/librisevoc", "PARTAIL=1", "root=x"])
def test_a_misspelt_variable_is_refused(word):
    """Without its protocol `make benchmark` runs all of them."""
    done = subprocess.run(["make", "-n", "benchmark", word], cwd=street.ROOT, env=ALONE, capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert f"make knows no {word.partition('=')[0]}, but BASE_PYTHON" in done.stderr


@pytest.mark.parametrize("given", [["Q=%s"], []])
def test_a_query_reaches_its_program_as_it_was_typed(tmp_path, given):
    """The $ of a regular expression began a variable of make."""
    query = "SELECT '$1', '$(shell id)' -- 'wav$|flac$' #"
    bin_ = tmp_path / "own" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").write_text("""#!/bin/sh\nprintf '%s|%s' "$4" "$PYTHONHASHSEED"\n""")
    (bin_ / "python").chmod(0o755)
    (tmp_path / "own" / f"ready-{lock_hash()}").touch()
    words = ["make", "sql", f"VENV={tmp_path / 'own'}", *(word % query for word in given)]
    environment = ALONE | ({} if given else {"Q": query})
    done = subprocess.run(words, cwd=street.ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{query}|0", done.stderr
