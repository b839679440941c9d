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
        self._told = 0  # done when a line was printed last
        self._started = self._said = time.monotonic()
        terminal = sys.stderr.isatty()
        self._bar = tqdm(desc=what, total=total, unit=unit, dynamic_ncols=True) if terminal else None

    def add(self, n: int = 1) -> None:
        """Count n more units as done, and say so if it is time to."""
        self.done += n
        if self._bar is not None:
            self._bar.update(n)
        elif self.done and time.monotonic() - self._said >= LINE_EVERY_S:
            self._tell()

    def say(self, line: str) -> None:
        """Print a line of the command's own output, to stdout; a bar on the same terminal makes room for it."""
        if self._bar is not None:
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
        else:
            print(line, flush=True)

    def _tell(self) -> None:
        self._said, self._told = time.monotonic(), self.done
        print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        """train: 40 of 120 batch, 2.5 s/batch, 03:20 left. The rate is the mean since the start."""
        spent = time.monotonic() - self._started
        of = f" of {self.total}" if self.total else ""
        pace = (
            f"{self.done / spent:.1f} {self.unit}/s" if self.done > spent else f"{spent / self.done:.1f} s/{self.unit}"
        )
        left_s = max(0, (self.total or 0) - self.done) * spent / self.done
        eta = f", {tqdm.format_interval(left_s)} left" if self.total else ""
        return f"{self.what}: {self.done}{of} {self.unit}, {pace}{eta}"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._told and self._told != self.done:  # it took long enough to have said something
            self._tell()


def track(items: Iterable[T], what: str, *, total: int | None = None, unit: str = "item") -> Iterator[T]:
    """Iterate over items, counting each when the next one is asked for."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    with Progress(what, total=total, unit=unit) as progress:
        for item in items:
            yield item
            progress.add()
