"""Labels that something else in the catalog contradicts: other columns, folders, other corpora, the sound itself."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import duckdb

from protocols.blocks import label_blocks
from protocols.statements import statements


@dataclass(frozen=True, slots=True)
class Doubt:
    """Rows whose labels are contradicted. utt_ids: those rows, None where only their number is known."""

    kind: str  # label_columns | label_folder | label_elsewhere | label_block
    corpora: tuple[str, ...]
    rows: int
    detail: str
    utt_ids: frozenset[str] | None = None


def doubts(con: duckdb.DuckDBPyConnection, corpora: Collection[str] | None = None) -> list[Doubt]:
    """What contradicts the labels of these corpora (None: of all in the catalog)."""
    there = [name for (name,) in con.execute("SELECT corpus FROM corpus ORDER BY corpus").fetchall()]
    chosen = there if corpora is None else [name for name in there if name in corpora]
    found = [*_columns(con), *_folders(con), *_elsewhere(con)]
    for corpus in chosen:
        for block in label_blocks(con, corpus):
            found.append(Doubt("label_block", (corpus,), len(block.utt_ids), block.detail, block.utt_ids))
    return [doubt for doubt in found if set(doubt.corpora) & set(chosen)]


def _columns(con: duckdb.DuckDBPyConnection) -> Iterator[Doubt]:
    for corpus, rows, first in con.execute(statements("audit.sql")["other_columns"]).fetchall():
        detail = f"{rows} bona fide rows of {corpus} name an attack or a vocoder (first: {first}); ingest it again"
        yield Doubt("label_columns", (corpus,), rows, detail)


def _folders(con: duckdb.DuckDBPyConnection) -> Iterator[Doubt]:
    for corpus, folder, bonafide, spoof, first in con.execute(statements("audit.sql")["folders"]).fetchall():
        detail = (
            f"{folder} of {corpus} holds {bonafide} bona fide and {spoof} spoof rows (first of the fewer: {first}), "
            "while its other folders hold one label each; ingest it again"
        )
        yield Doubt("label_folder", (corpus,), min(bonafide, spoof), detail)


def _elsewhere(con: duckdb.DuckDBPyConnection) -> Iterator[Doubt]:
    for genuine, made, clips, first, second in con.execute(statements("audit.sql")["other_labels"]).fetchall():
        detail = f"{clips} clips are bona fide in {genuine} and spoof in {made} (first: {first} = {second})"
        yield Doubt("label_elsewhere", tuple(sorted({genuine, made})), clips, detail)
