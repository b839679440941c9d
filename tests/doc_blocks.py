"""Fenced blocks of Markdown pages, and the commands in them.

A shell block runs, unless the line before it is `<!-- not run: REASON -->`; then its commands are only parsed.
`<!-- files of: add-a-corpus.md -->` anywhere on a page puts the files that another page shows in their places first.
A block with `title="PATH"` is the file PATH of the clone.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

SHELL = ("sh", "bash", "shell", "console")
_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]*) -->\n)?^(?P<dent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=dent)```$",
    re.M | re.S,
)
_STAGES = ("ingest", "protocols", "shards", "features", "benchmark", "reports")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    title: str | None
    body: str
    why: str | None  # it is not run

    @property
    def is_shell(self) -> bool:
        return self.language in SHELL

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text, found = page.read_text(), []
    for match in _FENCE.finditer(text):
        info, title = match["info"].strip(), re.search(r'title="([^"]+)"', match["info"])
        body = re.sub(rf"^{match['dent']}", "", match["body"], flags=re.M)
        line = text.count("\n", 0, match.start("info")) + 1
        found.append(Block(page, line, info.split(" ")[0], title and title[1], body, match["why"]))
    assert text.count("\n```") + text.startswith("```") == 2 * len(found), f"{page.name}: a fence is not closed"
    return found


def borrowed(page: Path) -> list[Path]:
    """The pages whose files this page needs."""
    words = re.findall(r"^<!-- files of: (.*) -->$", page.read_text(), re.M)
    return [page.with_name(name) for name in " ".join(words).split()]


def stage_calls(script: str) -> list[list[str]]:
    """The words after `-m` of every call of a stage in a shell script: ["benchmark", "run", "--seed", "0"]."""
    calls = []
    for words in _commands(script):
        for at, word in enumerate(words[:-1]):
            if word == "-m" and words[at + 1] in _STAGES:
                calls.append(words[at + 1 :])
    return calls


def make_calls(script: str) -> list[list[str]]:
    """The words of every call of make."""
    return [words for words in _commands(script) if words[0] == "make"]


def _commands(script: str) -> list[list[str]]:
    """The words of each command; operators and line ends separate them, a quoted word may go on in the next line."""
    found, line = [], ""
    for part in script.replace("\\\n", " ").splitlines():
        line += part + "\n"
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        try:
            words = list(lexer)
        except ValueError:  # a quote is open
            continue
        line, command = "", []
        for word in [*words, ";"]:
            if set(word) <= set(";|&<>()"):
                found.append(command)
                command = []
            else:
                command.append(word)
    return [command for command in found if command]
