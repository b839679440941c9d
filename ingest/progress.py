"""Progress with rate and ETA: a bar on a terminal, a plain line every few seconds otherwise."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY_S = 10.0


class Progress:
    """Counts work done: with Progress("probe", total=120, unit="file") as progress: progress.add()."""

    def __init__(self, what: str, *, total: int | None, unit: str):
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self._started = self._said = time.monotonic()
        terminal = sys.stderr.isatty()
        self._bar = tqdm(desc=what, total=total, unit=unit, dynamic_ncols=True) if terminal else None

    def add(self, n: int = 1) -> None:
        """Count n more units as done, and say so if it is time to."""
        self.done += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self._said >= LINE_EVERY_S:
            self._said = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Print a line of the command's own output, to stdout; a bar on the same terminal makes room for it."""
        if self._bar is not None:
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
        else:
            print(line, flush=True)

    def _line(self) -> str:
        spent = time.monotonic() - self._started
        rate = self.done / spent if spent else 0.0
        of = f" of {self.total}" if self.total else ""
        eta = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        return f"{self.what}: {self.done}{of} {self.unit}, {rate:.1f} {self.unit}/s{eta}"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._said > self._started:  # it took long enough to have said something
            print(self._line(), file=sys.stderr, flush=True)


def track(items: Iterable[T], what: str, *, total: int | None = None, unit: str = "item") -> Iterator[T]:
    """Iterate over items, counting each when the next one is asked for."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    with Progress(what, total=total, unit=unit) as progress:
        for item in items:
            yield item
            progress.add()
