"""The one-way street: no package imports one that lies further down."""

import ast
from pathlib import Path

import pytest

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
