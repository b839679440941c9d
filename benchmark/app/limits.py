"""What one visitor of the page may ask for."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

VISITORS = 4096  # addresses that are remembered
MEGABYTE = 1 << 20  # as Gradio counts, whose page tells visitors the size


@dataclass(frozen=True, slots=True)
class Limits:
    """seconds: longest recording; size_bytes: largest file; per_minute: uploads, and verdicts, of one address."""

    seconds: float = 120.0
    size_bytes: int = 20 * MEGABYTE
    per_minute: int = 20

    @property
    def size(self) -> str:
        """The largest file in words."""
        return f"{self.size_bytes / MEGABYTE:g} MB"

    @property
    def words(self) -> str:
        """The limits as one line for the page."""
        return (
            f"up to {self.size} and {self.seconds:g} s a file, "
            f"{self.per_minute} {'file' if self.per_minute == 1 else 'files'} a minute"
        )


class Limiter:
    """At most `per_minute` events of each visitor within any 60 seconds."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic):
        self.per_minute, self._clock = per_minute, clock
        self._seen: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, visitor: str) -> float:
        """0.0 if the visitor may go on, which counts as one event; else in how many seconds to try again."""
        with self._lock:
            now = self._clock()
            times = self._seen.pop(visitor, deque())
            while times and times[0] <= now - 60:
                times.popleft()
            self._seen[visitor] = times  # the last in the order of the dictionary
            if len(self._seen) > VISITORS:
                del self._seen[next(iter(self._seen))]
            if len(times) >= self.per_minute:
                return times[0] + 60 - now
            times.append(now)
            return 0.0


def too_large(limits: Limits) -> str:
    """The line for a file over the limit."""
    return f"Larger than {limits.size}, the most that this page takes."


def too_many(per_minute: int, wait_s: float) -> str:
    """The line for a visitor who asks too often."""
    return f"More than {per_minute} a minute: try again in {max(1, round(wait_s))} s."
