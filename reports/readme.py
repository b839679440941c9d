"""The README's tables, written from the code that they describe: corpora and detectors."""

import re
from pathlib import Path

from ingest import corpora
from ingest.files import atomic

README = Path(__file__).resolve().parents[1] / "README.md"


def corpora_table() -> str:
    """One row per corpus: target, title, published counts of bona fide and spoof, licence."""
    lines = ["| target | corpus | bona fide | spoof | licence |", "|---|---|---|---|---|"]
    for name in corpora.names():
        corpus = corpora.get(name).corpus
        total = {word: sum(c.rows for c in corpus.counts if c.label == word) for word in ("bonafide", "spoof")}
        cells = (f"`{name}`", corpus.title, f"{total['bonafide']:,}", f"{total['spoof']:,}", corpus.licence)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def detectors_table() -> str:
    """One row per detector: id, input, parameters, published weights that load, source."""
    from benchmark import detectors

    lines = ["| id | input | parameters | published weights | source |", "|---|---|---|---|---|"]
    for name in detectors.names():
        about = detectors.describe(name)
        samples = about["input"].samples
        length = f"{samples:,} samples" if samples else "whole utterance"
        cells = (f"`{name}`", f"{about['input'].feature}, {length}", f"{about['parameters']:,}",
                 about["weights"] or "", about["paper"])  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """The README with every generated part replaced by what the code says now."""
    for name, table in (("corpora", corpora_table), ("detectors", detectors_table)):
        part = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
        text, found = part.subn(lambda _: f"<!-- {name} -->\n{table()}\n<!-- /{name} -->", text)  # noqa: B023
        if found != 1:
            raise ValueError(f"README.md must hold one part <!-- {name} --> ... <!-- /{name} -->, has {found}")
    return text


def write() -> None:
    """Bring README.md up to date."""
    text = filled(README.read_text())
    with atomic(README) as temporary:
        temporary.write_text(text)
