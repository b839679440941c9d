"""README.md says what the code does: its generated tables are current, its commands exist."""

import re

from reports import readme

TEXT = readme.README.read_text()


def test_the_generated_tables_are_current():
    assert readme.filled(TEXT) == TEXT, "run: make readme"


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
