"""The documentation as a site: every command and module is in it, it builds without a warning, it asks for nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import browser
import pytest

from reports import manual

ROOT = Path(__file__).parents[2]
LOADS = re.compile(
    r"""<(?:script|img|iframe|audio|video|source)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//"""
    r"""|@import|url\(["']?(?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_command_is_there():
    found = set(manual.commands())
    assert {("ingest",), ("ingest", "simulate"), ("shards", "vocals"), ("protocols", "audit"), ("features",)} <= found
    assert {("benchmark", "run"), ("benchmark", "detect"), ("reports", "sql"), ("ingest", "librisevoc")} <= found
    page = manual.commands_page()
    for words in found:
        said = page.split(f"{'#' * (len(words) + 1)} python -m {' '.join(words)}\n", 1)[1].split("\n```\n", 1)[0]
        assert "usage: python -m " + words[0] in said and "--help" in said, words
    assert "--calibrate-on" in page and "\x1b" not in page


def test_help_is_as_wide_wherever_it_is_made(monkeypatch):
    text = manual.help_text(("benchmark", "run"))
    monkeypatch.setenv("COLUMNS", "40")
    assert manual.help_text(("benchmark", "run")) == text
    assert os.environ["COLUMNS"] == "40"


def test_every_module_says_what_it_is_for():
    names = [name for package in manual.PACKAGES for name in manual.modules(package)]
    assert len(names) > 60 and "benchmark.metrics" in names and "ingest.types" in names
    assert [name for name in names if not manual.summary(name)] == []


def test_the_catalog_page_defines_the_tables():
    page = manual.catalog_page()
    for table in ("utterance", "corpus", "shard", "shard_member", "variant", "feature_shard"):
        assert re.search(rf"CREATE TABLE (IF NOT EXISTS )?{table} ", page), table


def test_it_builds_without_a_warning_and_shows_what_the_code_says(site):
    assert "official EER" in (site / "reference/benchmark.html").read_text()
    assert "--calibrate-on" in (site / "commands.html").read_text()
    assert 'id="benchmark.metrics.eer"' in (site / "reference/benchmark.html").read_text()
    assert 'data-md-type="toc" hidden' in (site / "catalog-schema.html").read_text()  # room for the comments
    assert not [*site.rglob("*.py"), *site.rglob("*.pyc")]  # nothing of docs/hooks.py


def test_no_page_loads_anything_from_elsewhere(site):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 20
    assert [(str(p.relative_to(site)), m[0]) for p in pages for m in LOADS.finditer(p.read_text())] == []


def test_a_browser_asks_for_files_only_and_finds_words_without_a_server(site, tmp_path):
    with browser.browser(tmp_path) as window:
        window.open(site / "index.html")
        window.click("label.md-header__button[for=__search]" if window.run(
            "return innerWidth < 960") else ".md-search__input")  # fmt: skip
        window.type(".md-search__input", "bootstrap")
        found = window.wait(
            "const done = arguments[0], end = Date.now() + 20000; (function look() {"
            "const all = [...document.querySelectorAll('.md-search-result__link')].map(a => a.href);"
            "all.length || Date.now() > end ? done(all) : setTimeout(look, 100) })()"
        )
        assert any("reference/benchmark.html" in address for address in found)
        window.open(site / "reference/benchmark.html")
        assert [address for address in window.requests() if re.match(r"(https?|wss?|ftp):", address)] == []
        assert window.console() == []
