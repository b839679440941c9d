"""What the rows of a corpus are held against: themselves, the published counts, the audio that is there."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest import corpora, scan
from ingest import rows as row_module
from ingest.types import ANY, Corpus, Count, DataError

SIMULATED = ".siren-simulated"
_NAMED = 6  # differences that one message names


@dataclass(frozen=True, slots=True)
class Compared:
    """One expected count and what was found."""

    expected: Count
    found: int

    @property
    def short(self) -> bool:
        """Whether the number differs from the expected one; a count of grade U is reported and never fails."""
        return self.expected.grade != "U" and self.found != self.expected.rows


def without_duplicates(table: pa.Table, corpus: Corpus) -> tuple[pa.Table, list[str]]:
    """Drop rows that say the same of the same utterance again, and note how many.

    Raises DataError naming both places if two rows of one utterance disagree in any column.
    """
    utt_id = table["utt_id"]
    rising = pc.all(pc.less(utt_id[:-1], utt_id[1:])).as_py()
    if rising or pc.count_distinct(utt_id).as_py() == table.num_rows:
        return table, []
    said = [name for name in table.column_names if name not in ("file", "line")]
    numbered = table.append_column("i", pa.array(np.arange(table.num_rows)))
    with duckdb.connect() as con:
        con.register("numbered", numbered)
        con.execute(
            "CREATE TABLE again AS SELECT *, first_value(i) OVER (PARTITION BY utt_id ORDER BY i) AS before "
            "FROM numbered WHERE utt_id IN (SELECT utt_id FROM numbered GROUP BY ALL HAVING count(*) > 1)"
        )
        differs = ", ".join(f"a.{_sql(name)} IS DISTINCT FROM b.{_sql(name)}" for name in said)
        faults = con.execute(
            f"SELECT b.i, a.i, [{differs}] AS differs FROM again a JOIN again b ON b.i = a.before "
            "WHERE a.i <> a.before AND list_contains(differs, true) ORDER BY a.i"
        ).fetchall()
        dropped = con.execute("SELECT i FROM again WHERE i <> before ORDER BY i").fetchnumpy()["i"]
    if faults:
        before, after, differences = faults[0]
        columns = [name for name, differs in zip(said, differences) if differs]
        told = ", ".join(
            f"{name} {table[name][before].as_py()!r} and {table[name][after].as_py()!r}" for name in columns
        )
        raise DataError(
            f"{corpus.name}: {row_module.where(table, after)}: {table['utt_id'][after].as_py()} again, but not "
            f"as in {row_module.where(table, before)}: {told} ({len(faults)} such rows)"
        )
    kept = np.ones(table.num_rows, bool)
    kept[dropped] = False
    first = int(dropped[0])
    note = (
        f"{dropped.size} rows repeat another row word for word and were dropped "
        f"(first: {row_module.where(table, first)}, {table['utt_id'][first].as_py()})"
    )
    return table.filter(pa.array(kept)), [note]


def expected_counts(corpus: Corpus, root: Path) -> tuple[tuple[Count, ...], bool]:
    """The counts that a complete copy has, and whether the copy at `root` is simulated (then: its own)."""
    below = (folder.parent for folder in sorted(root.glob(f"*/{SIMULATED}")))  # where the folder above fits as well
    own = (folder for folder in below if scan.is_root(corpus, folder))
    for folder in (root, *list(root.parents)[: scan.ABOVE], *own):
        marker = folder / SIMULATED
        if marker.is_file():
            try:
                said = json.loads(marker.read_text())["counts"]
                return tuple(Count(part, label, int(n), "simulated", "V") for part, label, n in said), True
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(f"{marker} is not what simulate writes ({error}); simulate again") from None
    return corpora.get(corpus.name).counts(root), False


def compare(table: pa.Table, counts: Iterable[Count]) -> list[Compared]:
    """How many rows there are for each expected count."""
    counts = list(counts)
    tallies = {columns: _tally(table, columns) for columns in {_group(count)[0] for count in counts}}
    return [Compared(count, _found(tallies[_group(count)[0]], count)) for count in counts]


def count_fault(corpus: Corpus, compared: Sequence[Compared]) -> str | None:
    """The differences to the published counts in one line, or None."""
    short = [one for one in compared if one.short]
    if not short:
        return None
    told = "; ".join(f"{_name(one.expected)} {one.found} instead of {one.expected.rows}" for one in short[:_NAMED])
    more = f"; and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
    sources = ", ".join(dict.fromkeys(one.expected.source for one in short[:_NAMED]))
    return f"{corpus.name}: rows differ from the published counts: {told}{more} (published in: {sources})"


def asv_faults(scores: pa.Table | None, counts: Mapping[tuple[str, str], int]) -> list[str]:
    """Where the verification scores that are there have another number of rows than the published ones."""
    if scores is None:
        return []
    found = Counter(zip(scores["partition"].to_pylist(), scores["key"].to_pylist()))
    there = {partition for partition, _ in found}
    return [
        f"{found[partition, key]} of {due} {key} verification scores of {partition}: min t-DCF would be another"
        for (partition, key), due in counts.items()
        if partition in there and found[partition, key] != due
    ]


def missing(table: pa.Table, present: np.ndarray, corpus: Corpus) -> list[tuple[str, str, str]]:
    """What audio is absent: (first path, what, cure) per partition and label."""
    absent = table.filter(pa.array(~present)).select(["partition", "label", "place", "path"])
    if not absent.num_rows:
        return []
    folders = "list(DISTINCT coalesce(place || '/', '') || regexp_replace(path, '[^/]*$', ''))"
    if set(pc.unique(absent["partition"]).to_pylist()) <= set(corpus.archives):
        folders = "[]"  # the partition says which archive; 600,000 folders need not be looked at
    with duckdb.connect() as con:
        con.register("absent", absent)
        con.register("everything", table.select(["partition", "label"]))
        groups = con.execute(f"""
            SELECT a."partition", a.label, n, total, first, folders FROM (
                SELECT "partition", label, count(*) AS n, min(path) AS first,
                       {folders} AS folders
                FROM absent GROUP BY "partition", label) AS a
            JOIN (SELECT "partition", label, count(*) AS total FROM everything GROUP BY ALL) AS e
              ON a.label = e.label AND a."partition" IS NOT DISTINCT FROM e."partition"
            ORDER BY a."partition" NULLS FIRST, a.label
        """).fetchall()
    told = []
    for partition, label, n, total, first, folders in groups:
        name = " ".join(word for word in (partition, label) if word)
        told.append((first, f"{n} of {total} {name}", _archives(corpus, partition, folders)))
    return told


def missing_fault(corpus: Corpus, root: Path, told: Sequence[tuple[str, str, str]], rows: int, n: int) -> str:
    """Missing audio in one line: how many, per partition and label, which first, where, and what to do."""
    parts = "; ".join(what for _, what, _ in told)
    first = told[0][0]
    cures = ", ".join(dict.fromkeys(cure for _, _, cure in told if cure))
    unpack = f"Unpack {cures} there, pass" if cures else "Pass"
    folder = os.path.dirname(first).split("/")[0] or "it"
    return (
        f"{corpus.name}: {n} of {rows} utterances have no audio ({parts}; first: "
        f"{Path(first).stem}, looked for {first} under {root}). {unpack} the folder that holds {folder} "
        "and the labels as --root (ROOT=), or add --partial (PARTIAL=1) to go on without them."
    )


def strangers_fault(
    corpus: Corpus, stems: pa.Array, found: Mapping[str, int], others: Mapping[str, pa.Array],
    like: Mapping[str, Sequence[str]],
) -> str | None:  # fmt: skip
    """Audio that belongs to another corpus, in one line, or None.

    stems: those of the extra files. found: partition of the protocol -> its rows that have a file. others: corpus
    -> all its stems, where its list is at hand. like: form of a stem (a value of Corpus.stems) -> other corpora
    that use it too. Stems of two lists coincide by chance, hence the halves; the audio of a partition without a
    protocol file is no stranger.
    """
    if not len(stems):
        return None
    for name, known in others.items():
        hits = pc.sum(pc.is_in(stems, value_set=known)).as_py() or 0
        if 2 * hits >= len(stems):
            return (
                f"{corpus.name}: {hits} of {len(stems)} audio files that its protocol does not name are in the "
                f"list of {name} (first: {stems[0].as_py()}); two corpora are mixed, keep their folders apart"
            )
    for form, names in like.items():
        here = [partition for partition, its in corpus.stems.items() if its == form and partition in found]
        matched = sum(found[partition] for partition in here)
        strange = stems.filter(pc.match_substring_regex(stems, f"^(?:{form})$"))
        if here and len(strange) >= 10 and len(strange) > matched:
            return (
                f"{corpus.name}: {len(strange)} audio files in its folders are not in its protocol, more than the "
                f"{matched} that are (first: {strange[0].as_py()}); this is the audio of {' or '.join(names)}"
            )
    return None


def misfit_attacks(table: pa.Table, corpus: Corpus) -> list[str]:
    """Attacks in a partition that the corpus publishes for other partitions only, with their number of rows."""
    told = []
    for partition, published in corpus.attacks.items():
        words = table["attack"].filter(pc.equal(table["partition"], partition)).drop_null()
        for count in pc.value_counts(words).to_pylist():
            if count["values"] in corpus.aliases and count["values"] not in published:
                told.append(
                    f"{count['counts']} rows of {partition} name attack {count['values']}, which is published for "
                    "other parts only: compare the protocol file with the published one"
                )
    return told


def new_words(table: pa.Table, corpus: Corpus) -> list[str]:
    """Published attack words without an alias, with their number of rows; kept as they are."""
    if not corpus.aliases:
        return []
    known = {*corpus.aliases, *corpus.aliases.values()}
    words = table["attack_raw"].filter(pc.equal(table["label"], "spoof"))
    tally = {count["values"]: count["counts"] for count in pc.value_counts(words).to_pylist()}
    return [
        f"attack word {word!r} has no canonical one and is kept ({n} rows)"
        for word, n in sorted(tally.items(), key=lambda item: str(item[0]))
        if word is not None and word not in known
    ]


def _tally(table: pa.Table, columns: tuple[str, ...]) -> list[tuple]:
    names = ", ".join(_sql(name) for name in ("partition", "label", *columns))
    with duckdb.connect() as con:
        con.register("rows", table.select(["partition", "label", *columns]))
        return con.execute(f"SELECT count(*), {names} FROM rows GROUP BY ALL").fetchall()


def _group(count: Count) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A group may name several columns: ("attack,language", "melgan,en")."""
    if count.group is None:
        return (), ()
    columns, values = count.group
    return tuple(columns.split(",")), tuple(values.split(","))


def _found(tally: list[tuple], count: Count) -> int:
    _, values = _group(count)
    return sum(
        n
        for n, partition, label, *group in tally
        if count.label in (label, ANY) and count.partition in (None, partition) and tuple(group) == values
    )


def _name(count: Count) -> str:
    return " ".join(word for word in (count.partition, *_group(count)[1], count.label) if word)


def _archives(corpus: Corpus, partition: str | None, folders: Sequence[str]) -> str:
    words = {word for folder in folders for word in folder.split("/")} | {partition}
    return ", ".join(dict.fromkeys(what for key, what in sorted(corpus.archives.items()) if key in words))


def _sql(name: str) -> str:
    return f'"{name}"'
