"""What every `python -m <stage>` shares: --data, exit codes 0 / 1 / 2, and errors in one line."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ingest.types import DataError


class Parser(argparse.ArgumentParser):
    """An argument parser whose help keeps its examples as written and whose errors are one line, exit 2."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data DIR: the folder that holds everything made (catalog, shards, scores, reports)."""
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("DATA", "data")), metavar="DIR",
        help="folder for everything that is made (default: $DATA, else data)",
    )  # fmt: skip


def printable(text: str) -> str:
    """One line without control characters: what a file from outside is quoted with must not steer the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(text.split()))


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> None:
    """Call main(argv) and end the process with its exit code.

    main returns 0 or None (done) or 1 (something fell short). DataError becomes one line on stderr and
    code 2; any other exception is a bug of ours and keeps its traceback.
    """
    try:
        code = main(argv) or 0
        sys.stdout.flush()
    except DataError as error:
        print(printable(str(error)), file=sys.stderr)
        code = 2
    except BrokenPipeError:  # the reader of our output went away: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        code = 130
    sys.exit(code)
