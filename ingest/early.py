"""A signal while a command still imports what it needs: one line and the code, as later (`ingest.cli`).

Imports nothing but what the interpreter has loaded anyway, so that a command can call it before everything else.
"""

import os
import signal
from types import FrameType

LINE = "interrupted; run the same command again to go on"


def listen() -> None:
    """Let Ctrl-C and SIGTERM end this process with one line: nothing has begun yet that would need cleaning up."""
    for one in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(one) != signal.SIG_IGN:  # `nohup` and background jobs of a shell stay as they are
            signal.signal(one, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    os.write(2, f"{LINE}\n".encode())  # print() may hold the lock of stderr just now
    os._exit(128 + number)
