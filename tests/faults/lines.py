"""A process of its own that answers lines: what keeps threads may not live in the process that forks commands."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


class Lines:
    """The asking side. first: the line that it says when it is ready."""

    def __init__(self, script: str, log: Path, env: Mapping[str, str]):
        self.log = open(log, "w")  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, **env}, start_new_session=True,
        )  # fmt: skip
        self.name = Path(script).stem
        self.first = self.process.stdout.readline().strip()

    def say(self, line: str) -> str:
        """What is answered to a line. Raises RuntimeError if nothing is."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise RuntimeError(f"{self.name}: {line}: {answer or 'it has ended'}")
        return answer[2:].strip()

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait(60)
        self.log.close()


def answered(answer: Callable[[str, str], str]) -> None:
    """The answering side: answer(word, rest) of every line on standard input until it is closed."""
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        print(f"ok {answer(word, rest)}", flush=True)
