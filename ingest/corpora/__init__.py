"""The corpora: one parser file each, and the file name is the registration.

A parser file `ingest/corpora/<name>.py` states

- `CORPUS`, an ingest.types.Corpus whose name is the file name;
- `tables(root)`, a generator of Arrow tables of rows as described in ingest/rows.py; if CORPUS.places is not
  empty it is `tables(root, places)`, with places a mapping from place to the folder the user named;
- optionally `asv_scores(root)`, an Arrow table (partition, attack, key, score, perhaps codec) or None, and
  `ASV_COUNTS`, how many rows of each (partition, key) are published; `counts(root)`, where the published counts hold
  for some layouts only; `notes(root)`, what a reader should know of this copy; `incomplete(root)`, whether this copy
  lacks something that neither the counts nor absent audio show.

Files whose names begin with an underscore are shared by several parsers and are no corpus.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pyarrow as pa

from ingest import rows
from ingest.types import Corpus, Count, DataError, Utterance, nearest


@dataclass(frozen=True, slots=True)
class Source:
    """One corpus: what is known of it beforehand, and its files as rows."""

    module: ModuleType

    @property
    def corpus(self) -> Corpus:
        """What is known of the corpus before any of its files is read."""
        return self.module.CORPUS

    def tables(self, root: Path, places: Mapping[str, Path] | None = None) -> Iterator[pa.Table]:
        """The rows of the protocol files below `root`, as the parser gives them; see ingest/rows.py."""
        if self.corpus.places:
            yield from self.module.tables(Path(root), places or {})
        else:
            yield from self.module.tables(Path(root))

    def utterances(self, root: Path, places: Mapping[str, Path] | None = None) -> Iterator[Utterance]:
        """The rows as objects, checked one by one, before any audio was looked for."""
        for table in self.tables(root, places):
            complete = rows.complete(table, self.corpus)
            for row in complete.select(rows.UTTERANCE_COLUMNS).to_pylist():
                yield Utterance(**row)

    def asv_scores(self, root: Path) -> pa.Table | None:
        """The organisers' speaker verification scores (partition, attack, key, score), where shipped."""
        read = getattr(self.module, "asv_scores", None)
        return read(Path(root)) if read else None

    @property
    def asv_counts(self) -> Mapping[tuple[str, str], int]:
        """The published rows of asv_scores() of each partition and key, where they are known."""
        return getattr(self.module, "ASV_COUNTS", {})

    def counts(self, root: Path) -> tuple[Count, ...]:
        """The published counts that a complete copy of the layout at `root` has."""
        hold = getattr(self.module, "counts", None)
        return hold(Path(root)) if hold else self.corpus.counts

    def notes(self, root: Path) -> list[str]:
        """What a reader should know of the copy at `root`: the version of its key, how complete it is."""
        tell = getattr(self.module, "notes", None)
        return tell(Path(root)) if tell else []

    def incomplete(self, root: Path) -> bool:
        """Whether the copy at `root` lacks something that is no absent row, so that it is partial."""
        lacks = getattr(self.module, "incomplete", None)
        return bool(lacks and lacks(Path(root)))


def names() -> list[str]:
    """The names of all corpora, in alphabetical order."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted(file.stem for file in files)


def get(name: str) -> Source:
    """The corpus of this name; raises DataError if there is none (with the nearest), or if its file names another or
    lacks one of the two names that every parser has."""
    if name not in names():
        raise nearest(name, names(), what="corpus")
    source = Source(importlib.import_module(f"ingest.corpora.{name}"))
    for due in ("CORPUS", "tables"):
        if not hasattr(source.module, due):
            raise DataError(f"ingest/corpora/{name}.py defines no {due}; docs/add-a-corpus.md shows such a file")
    if source.corpus.name != name:  # a copied file: its rows would take the place of the other corpus's
        raise DataError(
            f"ingest/corpora/{name}.py: CORPUS has the name {source.corpus.name!r}, but a corpus is named "
            f"as its file; write name={name!r}"
        )
    return source
