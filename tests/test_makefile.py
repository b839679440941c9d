"""The set-up removes no folder but its own."""

import shutil
import subprocess

import pytest
import street

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
