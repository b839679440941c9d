"""The commands card and datasheet of python -m reports."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from ingest.cli import add_data
from ingest.files import atomic

EXAMPLES = """examples:
  python -m reports card inner-librisevoc-aasist-s0-0123456789ab --output card.md
  python -m reports datasheet librisevoc decro
"""


def add(commands: Any) -> None:
    """Add both commands to the subparsers of `python -m reports`."""
    one = commands.add_parser("card", help="the model card of a run, as Markdown", epilog=EXAMPLES)
    one.add_argument("run", metavar="RUN", help="a finished run of a detector")
    sheet = commands.add_parser("datasheet", help="the datasheet of the catalog, as Markdown", epilog=EXAMPLES)
    sheet.add_argument("corpora", nargs="*", metavar="CORPUS", help="default: all of the catalog")
    for command in (one, sheet):
        add_data(command)
        command.add_argument("--output", type=Path, metavar="FILE", help="write there instead of the screen")


def card(arguments: Namespace) -> int:
    """Print or write a model card."""
    from reports import cards

    return _give(cards.model(arguments.data, arguments.run), arguments.output)


def datasheet(arguments: Namespace) -> int:
    """Print or write a datasheet."""
    from reports import cards

    return _give(cards.datasheet(arguments.data, arguments.corpora), arguments.output)


def _give(text: str, output: Path | None) -> int:
    if output is None:
        print(text, end="")
    else:
        with atomic(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return 0
