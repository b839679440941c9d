"""Pages of the documentation that the code writes: commands, the catalog, protocol files, the Python reference.

They are made when the site is built (docs/hooks.py) and are in no commit, so they cannot be out of date.
"""

import contextlib
import importlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ingest", "protocols", "shards", "features", "benchmark", "reports")
COLUMNS = 88  # width of the help texts
SCHEMAS = ("ingest/schema.sql", "protocols/trials.sql", "shards/shard.sql", "features/feature.sql")
EXTRA = {"features": ("features.extractors",), "benchmark": ("benchmark.detectors", "benchmark.detectors._base")}


def pages() -> dict[str, str]:
    """File name below docs/ -> Markdown, of every page that is made."""
    made = {f"reference/{package}.md": reference_page(package) for package in PACKAGES}
    return made | {
        "commands.md": commands_page(), "catalog-schema.md": catalog_page(), "protocol-files.md": protocol_files_page(),
        "reference/index.md": reference_index(),
    }  # fmt: skip


def commands() -> Iterator[tuple[str, ...]]:
    """Every command as the words after `python -m`, packages before their commands."""
    for package in PACKAGES:
        yield (package,)
        for name in _commands_of(package):
            yield (package, name)


def help_text(words: tuple[str, ...]) -> str:
    """What `python -m WORDS --help` prints, COLUMNS wide."""
    main = importlib.import_module(f"{words[0]}.__main__").main
    before, said = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = str(COLUMNS)
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*words[1:], "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return said.getvalue()


def commands_page() -> str:
    """docs/commands.md: the help of every command; examples that all commands of a package share stand once."""
    parts = [_COMMANDS]
    for words in commands():
        text = help_text(words)
        if len(words) > 1:
            text = text.removesuffix(_examples(help_text(words[:1])))
        parts.append(f"{'#' * (len(words) + 1)} python -m {' '.join(words)}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def _commands_of(package: str) -> list[str]:
    module = importlib.import_module(f"{package}.__main__")
    if isinstance(getattr(module, "COMMANDS", None), dict):  # packages whose first word may also be a corpus
        return [*module.COMMANDS, *(["librisevoc"] if package == "ingest" else [])]
    listed = re.search(r"^  COMMAND\n((?:    .*\n)+)", help_text((package,)), re.MULTILINE)
    return re.findall(r"^    (\S+)", listed[1], re.MULTILINE) if listed else []


def _examples(text: str) -> str:
    """The examples at the end of a help text, or nothing."""
    return text[text.index("\nexamples:") :] if "\nexamples:" in text else ""


def catalog_page() -> str:
    """docs/catalog-schema.md: the definitions of the tables and views themselves."""
    parts = [_CATALOG]
    for name in SCHEMAS:
        parts.append(f"## {name}\n\n```sql\n{(ROOT / name).read_text().strip()}\n```\n")
    return "\n".join(parts)


def protocol_files_page() -> str:
    """docs/protocol-files.md: protocols/README.md."""
    return (ROOT / "protocols" / "README.md").read_text()


def modules(package: str) -> list[str]:
    """The public modules of a package; command lines and the parts of `make bench` are left out."""
    files = sorted((ROOT / package).glob("[!_]*.py"))
    found = [f"{package}.{file.stem}" for file in files]
    return [name for name in found if not re.search(r"\.bench(_|$)|_cli$", name)] + [*EXTRA.get(package, ())]


def summary(module: str) -> str:
    """The first line of a module's docstring, read without importing it."""
    path = ROOT / module.replace(".", "/")
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    said = re.match(r'"""(.+?)(?:"""|\n\n|\Z)', text, re.DOTALL)
    return " ".join(said[1].split()) if said else ""


def reference_page(package: str) -> str:
    """docs/reference/PACKAGE.md: every public module, filled in by mkdocstrings from its docstrings."""
    return "\n\n".join([f"# {package}", *(f"::: {name}" for name in modules(package))]) + "\n"


def reference_index() -> str:
    """docs/reference/index.md: what each module is for."""
    parts = [_REFERENCE]
    for package in PACKAGES:
        rows = "\n".join(f"| [`{name}`]({package}.md#{name}) | {summary(name)} |" for name in modules(package))
        parts.append(f"## {package}\n\n| module | what |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


_COMMANDS = """# Commands

What `--help` prints. Every command takes its folder from `--data`, else from `$DATA`, else it is `data`; it ends with
0 when all is done, 1 when something fell short, and 2 after one line that says what is wrong.
"""
_CATALOG = """---
hide: [toc]
---
# The catalog

The tables and views of `catalog.duckdb`; the comments say what a column means. Ask it with
`python -m reports sql --db catalog "..."`.
"""
_REFERENCE = """# Python reference

Every stage is a package; imports go one way, `ingest <- protocols <- shards <- features <- benchmark <- reports`.
"""
