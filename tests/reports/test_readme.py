"""README.md says what the code does: its generated tables are current, its commands exist."""

import re

import made_results
import pytest

from benchmark import detectors, throughput
from ingest.types import DataError
from reports import readme
from reports.__main__ import main
from reports.leaderboard import write

TEXT = readme.README.read_text()


def test_the_generated_tables_are_current():
    assert readme.filled(TEXT) == TEXT, "run: make readme"


def test_the_detectors_page_is_current():
    assert readme.DETECTORS.read_text() == readme.detectors_page(), "run: make readme"


def test_the_table_shows_the_committed_figures():
    figures = throughput.table()
    assert set(figures) <= set(detectors.names())
    assert all(float(row["score_per_s"]) > 0 for row in figures.values() if row["score_per_s"])
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| `aasist` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["raw, 64,600", "297,866", "9.56"]  # the reference's own count of operations
    assert cells[4:6] == ["0.83 (ASVspoof 2019 LA)", "AASIST.pth"]
    assert cells[6:] == [figures["aasist"]["train_per_s"], figures["aasist"]["score_per_s"]]
    assert figures["aasist"]["device"] in TEXT


def test_the_page_of_the_corpora_names_what_to_unpack():
    page = (readme.README.parent / "docs" / "corpora.md").read_text()
    for name in readme.corpora.names():
        corpus = readme.corpora.get(name).corpus
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        named = [re.match(r"[\w.-]+", archive)[0] for archive in corpus.archives.values()]
        assert [a for a in named if "." in a and f"`{a}`" not in row] == [], name
        assert not corpus.labels.endswith(".gz") or f"`{corpus.labels}`" in row


def test_songs_are_called_songs():
    assert "| `singfake` | SingFake (songs) | 704 | 776 |" in TEXT


def test_the_first_command_is_within_thirty_lines():
    assert "make demo" in "\n".join(TEXT.splitlines()[:30])


def test_every_make_target_named_exists():
    makefile = (readme.README.parent / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) | set(readme.corpora.names())
    named = set(re.findall(r"^make ([a-z0-9_]+)", TEXT, re.MULTILINE))
    assert named and named <= targets


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert all((readme.README.parent / link).exists() for link in links if "://" not in link)


def test_it_shows_the_head_of_a_leaderboard(tmp_path):
    made_results.make(tmp_path)
    page = write(tmp_path).read_text()
    told = readme.head(page)
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert rows == [line for line in page.split("## Overview")[1].splitlines() if line.startswith("|")][: len(rows)]
    assert len(rows) == 4 and "The whole table" in told and "≈ rank" in rows[0] and "`≈ rank`: the best" in told
    (there,) = readme.LEADERBOARD.findall(TEXT)
    fixed = {"rank", "≈ rank", "detector", "mean", "95 % interval", "parameters"}
    assert fixed <= {cell.strip() for cell in there.split("\n| rank", 1)[1].splitlines()[0].split("|")} | {"rank"}
    with pytest.raises(DataError, match="no overview"):
        readme.head("# Leaderboard\n")


@pytest.mark.parametrize("command", ["readme", "schema", "bench"])
def test_an_installed_siren_has_no_pages_to_write(command, monkeypatch, tmp_path):
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    with pytest.raises(DataError, match="run it in a clone"):
        main([command])
