"""python -m ingest as users meet it: one clear line, exit codes 0, 1 and 2."""

import os
import subprocess
import sys

import pytest
import whole_corpus

from ingest.__main__ import main
from ingest.types import DataError

LA = "asvspoof2019_la"


def run(*words):
    command = [sys.executable, "-m", "ingest", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return done.returncode, done.stdout, done.stderr


def test_ingest_status_and_verify_of_a_complete_corpus(tmp_path, capsys):
    root, data = whole_corpus.build(LA, tmp_path / "corpus"), str(tmp_path / "data")
    assert main([LA, "--root", str(root), "--data", data, "--jobs", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{LA}: root {root}",
        f"{LA}: 6 utterances in {data}/catalog.duckdb, 6 with audio (0 of them corrupt), 0 extra files; simulated, "
        "see python -m ingest status",
    ]
    assert main(["status", "--data", data]) == 0
    assert main(["verify", LA, "--deep", "--jobs", "1", "--data", data]) == 0
    next(root.rglob("*.flac")).unlink()
    assert main(["verify", "--data", data]) == 1
    assert main(["status", "--data", data, "--json"]) == 1


def test_bad_input_is_one_line_and_code_2(tmp_path):
    root = whole_corpus.build(LA, tmp_path / "corpus")
    protocol = next(root.rglob("*eval.trl.txt"))
    good = protocol.read_text()
    protocol.write_text(good + "LA_0039 LA_E_2834764 - A11\n")
    code, _, error = run(LA, "--root", root, "--data", tmp_path / "data")
    assert code == 2 and error.count("\n") == 1
    assert f"{protocol} line 3: 4 fields where 5" in error
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["asvspoof2019"], "unknown corpus or command 'asvspoof2019'; did you mean asvspoof2019_la"),
        (["statsu"], "did you mean status"),
        ([LA, "--root", "/nowhere"], "/nowhere does not exist"),
    ],
)
def test_wrong_usage_is_named(words, message, tmp_path):
    with pytest.raises(DataError, match=message):
        main([*words, "--data", str(tmp_path)])


@pytest.mark.parametrize("command", ["verify", "rebuild-ctrsvdd", "singfake-media"])
@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1000000000000"])
def test_jobs_are_a_number_of_processes(command, jobs, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--jobs", jobs])
    assert caught.value.code == 2
    assert f"argument --jobs: takes a whole number of at least 1, not {jobs!r}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--flag"], [LA], [LA, "--root", "x", "--rot", "y"]])
def test_wrong_options_end_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", [[], [LA], ["status"], ["verify"], ["simulate"]])
def test_help_has_an_example(command, capsys):
    try:
        assert main([*command, "--help"]) == 0
    except SystemExit as ended:
        assert ended.code == 0
    assert "example" in capsys.readouterr().out


def test_all_takes_the_originals_that_lie_elsewhere(tmp_path, capsys):
    """As `make all-corpora LJSPEECH=` hands them on."""
    root = whole_corpus.build("wavefake", tmp_path / "corpora" / "wavefake")
    (root / "real_audio/LJSpeech-1.1").rename(root.parent / "lj")
    (root.parent / "WaveFake\n").mkdir()
    words = ["all", "--root", str(root.parent), "--data", str(tmp_path / "data"), "--partial", "--jobs", "1"]
    assert main([*words, "--ljspeech", str(root.parent / "lj")]) == 0
    said = capsys.readouterr().out
    assert ", 7 with audio (0 of them corrupt), 0 extra files" in said
    assert "passed over, as they have no corpus's name: WaveFake; rename or link what is one\n" in said
