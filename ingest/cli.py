"""What every `python -m <stage>` shares: --data, exit codes 0 / 1 / 2, and errors in one line."""

import argparse
import getpass
import io
import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ingest import early
from ingest.files import refusal, utf8
from ingest.types import DataError

THREADS = 1024  # the most that a machine is asked for


class _Commands(argparse._SubParsersAction):
    """Commands whose own help begins with the line that stands for them in the list."""

    def add_parser(self, name: str, **kwargs) -> argparse.ArgumentParser:
        kwargs.setdefault("description", kwargs.get("help"))
        return super().add_parser(name, **kwargs)


class Parser(argparse.ArgumentParser):
    """An argument parser whose help keeps its examples as written and whose errors are one line, exit 2.

    Commands may share a text of examples: the help of each shows its own.
    """

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self.register("action", "parsers", _Commands)

    def format_help(self) -> str:
        """The help, as argparse makes it."""
        shared = self.epilog
        self.epilog = shared and _own_examples(shared, self.prog)
        try:
            return super().format_help()
        finally:
            self.epilog = shared

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _own_examples(text: str, prog: str) -> str:
    """The text without the examples of other commands; all of it where the command has none."""
    kept, keeping, goes_on, found = [], True, False, False
    for line in text.splitlines():
        if line.startswith(" ") and not goes_on:
            keeping = f"{prog} " in f"{line} "
            found = found or keeping
        if keeping or not line.startswith(" "):
            kept.append(line)
        goes_on = line.endswith("\\")
    return "\n".join(kept) if found else text


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data DIR: the folder that holds everything made (catalog, shards, scores, reports)."""
    parser.add_argument(
        "--data", type=_folder, default=os.environ.get("DATA") or "data", metavar="DIR",
        help="folder for everything that is made (default: $DATA, else data)",
    )  # fmt: skip


def with_data(command: str, data: Path) -> str:
    """The command on the catalog below `data`, as a shell takes it: a folder's name may hold blanks."""
    return f"{command} --data {shlex.quote(str(data))}"


def _folder(text: str) -> Path:
    """A folder; `make DATA=~/x` hands on the ~ that some shells leave as it is."""
    if not text:
        raise argparse.ArgumentTypeError("is empty: the variable that it came from has no value?")
    folder = utf8(Path(os.path.expanduser(text)))
    if "?" in os.path.abspath(folder):  # DuckDB would write its log beside another name
        where = os.path.abspath(folder)
        raise argparse.ArgumentTypeError(f"{where} has a ? in its path, which DuckDB cannot have; name another folder")
    return folder


def whole(most: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from 1 to `most`."""

    def number(text: str) -> int:
        if not text.strip().isdecimal() or len(text) > 100 or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"takes a whole number from 1 to {most}, not {text[:100]!r}")
        return int(text)

    return number


def printable(text: str) -> str:
    """One line without control characters: what a file from outside is quoted with must not steer the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(text.split()))


class Terminated(KeyboardInterrupt):
    """SIGTERM: as Ctrl-C, what is half done is cleaned up and the process ends with one line."""


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> None:
    """Call main(argv) and end the process with its exit code.

    main returns 0 or None (done) or 1 (something fell short). DataError becomes one line on stderr and
    code 2, as does a disk that is full or a folder that takes nothing; Ctrl-C and SIGTERM one line and code 130 or 143;
    any other exception is a bug of ours and keeps its traceback.
    """
    ended: list[int] = []
    code: int | str | None
    _open_streams()
    _name_user()
    _listen(ended)
    # what joblib says of the tasks that an interrupted command drops
    warnings.filterwarnings("ignore", r"\d+ tasks (which|have been)", UserWarning)
    try:
        code = main(argv) or 0
        sys.stdout.flush()
    except DataError as error:
        print(printable(str(error)), file=sys.stderr)
        code = 2
    except SystemExit as end:  # argparse: --help, or a word that it does not know
        code = end.code
    except BrokenPipeError:  # the reader of our output went away: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (KeyboardInterrupt, Exception) as error:
        if ended or isinstance(error, KeyboardInterrupt):  # DuckDB and others turn the signal into errors of their own
            print(early.LINE, file=sys.stderr)
            code = 128 + (ended or [signal.SIGINT])[0]
        elif (said := refusal(error)) is not None:
            print(printable(said), file=sys.stderr)
            code = 2
        else:
            raise
    if not ended and threading.current_thread() is threading.main_thread():
        early.listen()  # what is left to do at exit is no work of the command's
    sys.exit(code)


def _open_streams() -> None:
    """Let everything be printed: to nowhere where a stream is closed (`>&-`), as \\xf6 what its encoding lacks.

    Of a closed stream the number goes to the next file that is opened, so nowhere is opened first.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # stderr is so anyway
        sys.stdout.reconfigure(errors="backslashreplace")


def _name_user() -> None:
    """Give a user without a name (a container's `--user 1234`) one, for the folder that PyTorch calls after them."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid{os.getuid()}"


PATIENCE_S = 10.0  # for what a command cleans up when it is interrupted


def _leave(code: int) -> None:
    print(early.LINE, file=sys.stderr, flush=True)
    os._exit(code)


def _listen(ended: list[int]) -> None:
    """Note the first SIGINT or SIGTERM in `ended` and raise it as KeyboardInterrupt; a second one ends at once."""

    def first(number: int, _: object) -> None:
        ended.append(number)
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_DFL)
        late = threading.Timer(PATIENCE_S, _leave, [128 + number])  # a library may have swallowed the exception
        late.daemon = True
        late.start()
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def unraisable(about: "sys.UnraisableHookArgs") -> None:
        if isinstance(about.exc_value, KeyboardInterrupt):  # it came in a finaliser: nobody else would hear of it
            _leave(128 + (ended or [signal.SIGINT])[0])
        sys.__unraisablehook__(about)

    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(one) != signal.SIG_IGN:  # `nohup` and background jobs of a shell stay as they are
                signal.signal(one, first)
        sys.unraisablehook = unraisable
