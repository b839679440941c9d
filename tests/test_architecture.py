"""The one-way street: no package imports one that lies further down."""

import ast
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ingest.cli import with_data

ROOT = Path(__file__).resolve().parents[1]
STREET = ("ingest", "protocols", "shards", "features", "benchmark", "reports")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


@pytest.mark.parametrize("package", STREET)
def test_imports_go_up_the_street(package):
    downstream = set(STREET[STREET.index(package) + 1 :])
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = [
        (str(p.relative_to(ROOT)), name) for p in files for name in imported(p) if name.split(".")[0] in downstream
    ]
    assert not wrong


def test_every_package_has_a_command_line():
    for package in STREET:
        assert (ROOT / package / "__main__.py").exists(), package


def test_an_installed_package_has_every_file_that_is_no_code():
    """`pip install '.[app]'` takes what the patterns of pyproject.toml name; the style sheet's neighbour was not there."""
    taken = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    files = [path for package in STREET for path in (ROOT / package).rglob("*") if path.is_file()]
    masks = ("*.py", "*.pyc", "README.md", *taken)
    assert not [str(path) for path in files if not any(fnmatch(path.name, mask) for mask in masks)]


def test_a_command_in_a_message_names_its_folder_as_a_shell_takes_it():
    """Of `--data my data` the half was taken: messages use ingest.cli.with_data, or shlex."""
    files = [path for package in STREET for path in (ROOT / package).rglob("*.py")]
    bare = re.compile(r"(?:--data |--root |DATA=|ROOT=)\{(?!shlex\.quote)")
    assert [str(path.relative_to(ROOT)) for path in files if bare.search(path.read_text())] == []
    assert shlex.split(with_data("python -m shards all", Path("my data"))) == (
        ["python", "-m", "shards", "all", "--data", "my data"]
    )
