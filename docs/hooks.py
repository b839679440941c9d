"""For mkdocs: adds the pages that reports/manual.py makes from the code."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add every page that is made."""
    sys.path.insert(0, str(ROOT))
    from reports import manual

    for name, text in manual.pages().items():
        files.append(File.generated(config, name, content=text))
    return files
