"""For mkdocs: adds the pages that reports/manual.py makes from the code."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
BESIDE = {"../README.md": "index.md", "../protocols/README.md": "protocol-files.md"}  # files of the repository -> pages


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add every page that is made."""
    sys.path.insert(0, str(ROOT))
    from reports import manual

    for name, text in manual.pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files outside docs/ lead to their pages here."""
    return re.sub(r"\]\((\.\./[^)#]+)\)", lambda match: f"]({BESIDE.get(match[1], match[1])})", markdown)
