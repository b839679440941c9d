"""A taste of the fuzzing: the same inputs each time, some for every target."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
import run
from targets import TARGETS

from ingest.types import DataError


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_mutations_end_in_a_result_or_one_line(name):
    inputs, findings = run.fuzz(name, seconds=2, most=200)
    assert inputs and not findings


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_seeds_themselves_are_read(name, tmp_path):
    """Else the fuzzing would only ever see the first check of a parser."""
    for number, seed in enumerate(TARGETS[name].seeds):
        path = tmp_path / f"{number}{TARGETS[name].suffix}"
        path.write_bytes(seed)
        if name == "run_json" and number:  # a record without what collect needs
            with pytest.raises(DataError, match="has no 'protocol'"):
                TARGETS[name].check(path)
        else:
            TARGETS[name].check(path)


def test_inputs_are_the_same_on_every_machine():
    assert run.mutated((b"abcdefgh",), 3) == run.mutated((b"abcdefgh",), 3)
    assert len({run.mutated((b"abcd\0efgh",), n) for n in range(50)}) > 40


def test_words_and_numbers_are_exchanged_whole():
    """So that what has a grammar stays in it: many of the inputs made from a record are JSON."""
    seed = b'{"seed": 7, "config": {"lr": 0.5}, "metrics": ["eer"], "trained": true}'
    found = [run.mutated((seed,), number) for number in range(400)]
    whole = [data for data in found if readable(data)]
    assert len(whole) > 80
    assert any(b'"seed": null' in data for data in whole) and any(b"[]" in data for data in whole)
    assert run.mutated((bytes(range(256)),), 5) != run.mutated((bytes(range(256)),), 6)


def readable(data):
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def test_a_finding_is_counted_and_kept(tmp_path, monkeypatch):
    import targets

    monkeypatch.setitem(TARGETS, "broken", targets.Target(".x", (b"a",), lambda _: 1 / 0))
    assert run.fuzz("broken", seconds=5, most=3, keep=tmp_path) == (3, 3)
    assert "ZeroDivisionError" in (tmp_path / "broken-0.why.txt").read_text()


def test_an_input_that_ends_the_process_or_takes_its_memory_is_a_finding(tmp_path, monkeypatch):
    import os

    import targets

    def check(path):
        if b"x" in path.read_bytes():
            os.kill(os.getpid(), 9)
        bytearray(run.MEMORY_BYTES)

    monkeypatch.setitem(TARGETS, "broken", targets.Target(".bin", (b"x" * 64, b"abcdefgh" * 8), check))
    inputs, findings = run.apart("broken", seconds=1.0, keep=tmp_path)
    assert inputs == findings > 2
    said = " ".join(path.read_text() for path in tmp_path.glob("*.why.txt"))
    assert "the process ended with -9" in said and "MemoryError" in said


def test_a_slow_input_is_a_finding(monkeypatch):
    import targets

    monkeypatch.setattr(run, "SLOW_S", 0.01)
    monkeypatch.setitem(TARGETS, "slow", targets.Target(".x", (b"a",), lambda _: sum(range(3_000_000))))
    assert run.fuzz("slow", seconds=20, most=1) == (1, 1)


BROKEN = """
import sys
sys.path[:0] = sys.argv[1:3]
import guided, targets
from pathlib import Path

def check(path):
    assert path.read_bytes() != path.read_bytes(), "broken"

targets.TARGETS["broken"] = targets.Target(".bin", (b"abcd",), check)
guided.lead("broken", targets.TARGETS["broken"], seconds=1, seed=0, keep=Path(sys.argv[3]), told=Path(sys.argv[3], "told"))
"""
needs_atheris = pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris has no package here")


@needs_atheris
def test_a_led_target_keeps_one_finding_for_each_place(tmp_path):
    folder = Path(run.__file__).parent
    words = [sys.executable, "-c", BROKEN, str(folder.parents[1]), str(folder), str(tmp_path)]
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    counts = json.loads((tmp_path / "told").read_text())
    assert counts["findings"] == 1 and counts["inputs"] > 10
    assert "AssertionError: broken" in (tmp_path / "broken-0-1.why.txt").read_text()


@needs_atheris
def test_inputs_that_take_a_new_branch_are_changed_further(tmp_path):
    script, told = Path(run.__file__).with_name("guided.py"), tmp_path / "told.json"
    words = [sys.executable, script, "predicate", "--seconds", "2", "--keep", tmp_path / "findings", "--told", told]
    environment = {**os.environ, "PYTHONPATH": str(run.ROOT)}
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    assert len(list((tmp_path / "corpus").iterdir())) > len(TARGETS["predicate"].seeds)
    assert json.loads(told.read_text())["inputs"] > 100 and not list((tmp_path / "findings").iterdir())


@needs_atheris
def test_a_led_target_that_ends_its_process_is_started_again(tmp_path, monkeypatch):
    program = tmp_path / "guided.py"
    program.write_text("import os, sys; open(sys.argv[sys.argv.index('--told') + 1], 'w').write("
                       "'{\"inputs\": 7, \"findings\": 0}'); os.kill(os.getpid(), 11)")  # fmt: skip
    monkeypatch.setattr(run, "__file__", str(tmp_path / "run.py"))
    inputs, findings = run.led("predicate", seconds=0.5)
    assert findings > 1 and inputs == 7 * findings
