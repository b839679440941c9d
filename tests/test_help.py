"""The help of every command: what it does, and examples of its own that its parser takes."""

import importlib
import re
import shlex

import pytest

from ingest import cli
from ingest.cli import Parser

PACKAGES = ("ingest", "protocols", "shards", "features", "benchmark", "reports")


class Parsed(Exception):
    """The words were taken."""


@pytest.fixture
def parsing(monkeypatch):
    """Commands end when their words are parsed."""
    parse = Parser.parse_args

    def parsed(self, argv=None):
        parse(self, argv)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parsed)


def helped(package, words, capsys):
    main = importlib.import_module(f"{package}.__main__").main
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0
    return capsys.readouterr().out


def commands(package, capsys):
    """The words of each command that has a help of its own, the package's first."""
    overview = helped(package, [], capsys)
    if package == "shards":
        return [[], ["variants"], ["vocals"]]
    listed = overview.partition("COMMAND")[2] if package != "features" else ""
    names = re.findall(r"^ {2,4}([a-z][a-z-]+)(?= {2,}|$)", listed.partition("options:")[0], re.MULTILINE)
    return [[], *([name] for name in names)]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_command_says_what_it_does_and_shows_itself(package, capsys):
    found = commands(package, capsys)
    assert (
        len(found) >= {"ingest": 7, "protocols": 4, "shards": 3, "features": 1, "benchmark": 15, "reports": 14}[package]
    )
    for words in found:
        text, prog = helped(package, words, capsys), " ".join(["python -m", package, *words])
        usage, about, *_ = text.split("\n\n")
        assert usage.startswith("usage: ") and not about.startswith(("options:", "positional")), f"{prog}: {about}"
        shown = re.split(r"^examples?:\n", text, flags=re.MULTILINE)[1].splitlines()
        own = [line for line in shown if f"{prog} " in f"{line} "]
        assert own and (not words or len(own) == sum("python -m" in line for line in shown)), f"{prog}: {shown}"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_example_is_taken_by_the_parser(package, capsys, parsing):
    main, seen = importlib.import_module(f"{package}.__main__").main, 0
    for words in commands(package, capsys):
        text = re.split(r"^examples?:\n", helped(package, words, capsys), flags=re.MULTILINE)[1]
        for line in re.sub(r" *\\\n +", " ", text).splitlines():
            if "python -m" not in line:
                continue
            said = line.partition("python -m")[2]
            said = re.split(r" {2,}| [|>] ", said.strip())[0]  # what is said of it, where its output goes
            called = shlex.split(said)
            assert called[0] == package
            with pytest.raises(Parsed):
                main(called[1:])
            seen += 1
    assert seen >= 4


def test_the_examples_of_other_commands_are_left_out():
    text = "examples:\n  python -m x one --a \\\n    --b\n  python -m x two\n  cat y | python -m x one -\n"
    assert cli._own_examples(text, "python -m x one") == text.replace("  python -m x two\n", "").rstrip("\n")
    assert cli._own_examples(text, "python -m x three") == text
    assert cli._own_examples(text, "python -m x") == text.rstrip("\n")
