"""Protocol and catalog -> trial rows: predicates, lists, limits, weights and references, in one fixed order."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest import catalog
from ingest.types import DataError
from protocols import lists as trial_lists
from protocols.references import add_reference
from protocols.statements import statements
from protocols.types import Part, Protocol, Role

SCHEMA = pa.schema([
    ("role", pa.string()), ("subset", pa.string()), ("utt_id", pa.string()), ("label", pa.string()),
    ("corpus", pa.string()), ("attack", pa.string()), ("speaker", pa.string()), ("language", pa.string()),
    ("domain", pa.string()), ("partition", pa.string()), ("variant", pa.string()), ("weight", pa.float64()),
    ("reference", pa.string()), ("reference_mode", pa.string()),
])  # fmt: skip
_NOTES = b"siren.shortfall"
# A stem is what a list of file names can give; the catalog keeps the path.
_LISTED = {
    "utt_id": "utt_id", "source_id": "source_id",
    "stem": r"regexp_extract(path, '([^/]*?)(\.[^./]*)?$', 1)", "speaker": "coalesce(speaker, '')",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Trials that a protocol names and the table lacks. label, trials None: whatever the corpus or list would give.

    `why` is a sentence part: "audio missing or corrupt", "corpus asvspoof5 not ingested", ...
    """

    role: str
    subset: str | None
    label: str | None
    trials: int | None
    why: str


def trials(
    con: duckdb.DuckDBPyConnection, protocol: Protocol, *, partial: bool = False,
    lists: Path | None = None, seed: int = 0,
) -> pa.Table:  # fmt: skip
    """One row per trial with SCHEMA's columns, sorted by role, subset, utterance and variant.

    Only utterances whose audio is there enter; `shortfalls(table)` tells what was left out. A corpus that is not
    in the catalog is an error, with partial=True a shortfall. `lists` is the folder of the user's trial lists
    (default: `lists` beside the catalog), `seed` redraws references. weight is the relative chance to be drawn,
    mean 1 in each role or subset.
    Raises DataError for a role without trials of one label, a test utterance that is also in train or dev, a dev
    utterance that is also in train, and an utterance that two parts of a role select.
    """
    absent = absent_corpora(con, protocol)
    if absent and not partial:
        rest = " (or run on what is there with --partial)" if _runs_without(protocol.roles, absent) else ""
        raise DataError(
            f"{protocol.name} needs {', '.join(absent)}, not in this catalog; ingest it first: "
            f"python -m ingest {absent[0]} --root DIR{rest}"
        )
    rows, found = select(con, protocol, lists=lists, seed=seed)
    found += _not_ingested(protocol.roles, absent)
    _refuse_overlaps(rows, protocol)
    _refuse_empty(rows, protocol, found)
    return _noted(rows, found)


def tested(
    con: duckdb.DuckDBPyConnection, protocol: Protocol, *, partial: bool = False, lists: Path | None = None
) -> pa.Table:
    """The test trials as the protocol names them, with or without their audio, for scores that others made of it.

    Columns and order as of `trials`, without references. A corpus of the test that is not in the catalog is an error,
    with partial=True a shortfall; train and dev do not count.
    """
    roles = sorted((role for role in protocol.roles if role.role == "test"), key=lambda role: role.subset or "")
    absent = [name for name in absent_corpora(con, protocol) if any(name in role.needs for role in roles)]
    if absent and not partial:
        rest = " (or go on without it: --partial)" if _runs_without(roles, absent) else ""
        raise DataError(
            f"the test of {protocol.name} needs {', '.join(absent)}, not in this catalog; ingest it first, its lists "
            f"will do: python -m ingest {absent[0]} --root DIR --partial{rest}"
        )
    with con.cursor() as cursor:
        _register_lists(cursor, protocol, folders(con, protocol, lists), roots(con, protocol), _lists_of(roles))
        tables = [_tested(cursor, role) for role in roles]
        other = [short for role, rows in zip(roles, tables) for short in _other_lists(cursor, role, rows["label"])]
    return _noted(pa.concat_tables(tables), _not_ingested(roles, absent) + other)


def _runs_without(roles: Sequence[Role], absent: Sequence[str]) -> bool:
    """Whether train, dev and a part of test keep a corpus that is there."""
    bare = [role for role in roles if role.needs and role.needs <= set(absent)]
    tests = [role for role in roles if role.role == "test"]
    return all(role.role == "test" for role in bare) and len(bare) < len(tests)


def _not_ingested(roles: Sequence[Role], absent: Sequence[str]) -> list[Shortfall]:
    return [
        Shortfall(role.role, role.subset, None, None, f"corpus {corpus} not ingested")
        for role in roles for corpus in sorted(role.needs & set(absent))
    ]  # fmt: skip


def _noted(rows: pa.Table, found: Sequence[Shortfall]) -> pa.Table:
    notes = json.dumps([[s.role, s.subset, s.label, s.trials, s.why] for s in found]).encode()
    return rows.replace_schema_metadata({_NOTES: notes})


def _tested(cursor: duckdb.DuckDBPyConnection, role: Role) -> pa.Table:
    rows = pa.concat_tables(_part(cursor, part, index) for index, part in enumerate(role.parts))
    rows = rows.append_column("weight", pa.array(np.ones(len(rows))))
    return _columns(role, _sorted(add_reference(cursor, rows, None)))


def shortfalls(table: pa.Table) -> list[Shortfall]:
    """What `trials` left out of this table (the schema carries it through filters and slices)."""
    notes = (table.schema.metadata or {}).get(_NOTES, b"[]")
    return [Shortfall(*row) for row in json.loads(notes)]


def counts(table: pa.Table) -> dict[tuple[str, str | None], tuple[int, int]]:
    """(role, subset) -> (bona fide, spoof) trials."""
    grouped = table.group_by(["role", "subset", "label"]).aggregate([([], "count_all")])
    found: dict[tuple[str, str | None], list[int]] = {}
    for row in grouped.to_pylist():
        found.setdefault((row["role"], row["subset"]), [0, 0])[row["label"] == "spoof"] = row["count_all"]
    return {key: (value[0], value[1]) for key, value in sorted(found.items(), key=str)}


def fingerprint(table: pa.Table, roles: Sequence[str] = ("train", "dev")) -> str:
    """Hex sha256 of the trials of these roles: equal for protocols that can share one training.

    What a detector can learn from beside the label (attack, speaker, language, ...) counts in train and dev only.
    """
    kept = table.filter(pc.is_in(table["role"], pa.array(roles)))
    columns = ["role", "subset", "utt_id", "label", "variant", "weight", "reference", "reference_mode"]
    texts = [pc.cast(kept[name], pa.string()) for name in columns]
    tested, nothing = pc.equal(kept["role"], "test"), pa.scalar(None, pa.string())
    texts += [pc.if_else(tested, nothing, kept[name]) for name in ("corpus", "attack", "speaker", "language", "domain")]
    lines = pc.binary_join_element_wise(*texts, "\t", null_handling="replace", null_replacement="\\N")
    digest = hashlib.sha256()
    for chunk in lines.chunks if isinstance(lines, pa.ChunkedArray) else [lines]:
        digest.update("".join(f"{line}\n" for line in chunk.to_pylist()).encode())
    return digest.hexdigest()


def absent_corpora(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> list[str]:
    """The corpora that the protocol names and the catalog lacks, sorted."""
    there = {row[0] for row in con.execute("SELECT corpus FROM corpus").fetchall()}
    return sorted(protocol.needs - there)


def obstacles(con: duckdb.DuckDBPyConnection, protocol: Protocol, lists: Path | None = None) -> list[str]:
    """What is missing to run the protocol: corpora to ingest and trial lists to supply, empty if nothing."""
    places = folders(con, protocol, lists), roots(con, protocol)
    return [
        *(f"corpus {corpus}" for corpus in absent_corpora(con, protocol)),
        *(f"list {entry.file}" for entry in protocol.lists.values() if not trial_lists.there(entry, *places)),
    ]


def select(
    con: duckdb.DuckDBPyConnection, protocol: Protocol, *, lists: Path | None = None, seed: int = 0
) -> tuple[pa.Table, list[Shortfall]]:
    """The trial rows and what has no audio, refusing nothing: what `show` and the audit look at."""
    tables, found = [], []
    with con.cursor() as cursor:
        places = folders(con, protocol, lists), roots(con, protocol)
        listed = _register_lists(cursor, protocol, *places, protocol.lists)
        strange = _strange_entries(cursor, protocol)
        for role in protocol.roles:
            rows = pa.concat_tables(_part(cursor, part, index) for index, part in enumerate(role.parts))
            kept = rows.filter(pc.equal(rows["audio_status"], "ok"))
            found += _without_audio(role, rows)
            found += [
                Shortfall(role.role, role.subset, None, None, strange[n]) for n in _lists_of([role]) if n in strange
            ]
            found += _other_lists(cursor, role, rows["label"])
            kept = kept.append_column("weight", pa.array(_weights(role, kept)))
            kept = add_reference(cursor, kept, role.reference, seed=seed, enrolled=listed)
            tables.append(((role.role, role.subset or ""), _columns(role, _sorted(kept))))
    return pa.concat_tables(table for _, table in sorted(tables, key=lambda item: item[0])), found


def folders(con: duckdb.DuckDBPyConnection, protocol: Protocol, lists: Path | None) -> list[Path]:
    """Where lists are looked for: the given folder, `lists` beside the catalog, the protocol's own folder."""
    data = catalog.folder(con)
    beside = [data / "lists"] if data else []
    return [*([lists] if lists else []), *beside, protocol.path.parent]


def roots(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> list[Path]:
    """The folders of the corpora that the protocol names, which may bring its lists; sorted by corpus."""
    query = "SELECT root FROM corpus WHERE list_contains(?, corpus) ORDER BY corpus"
    return [Path(root) for (root,) in con.execute(query, [sorted(protocol.needs)]).fetchall() if root]


def _lists_of(roles: Iterable[Role]) -> list[str]:
    """The lists that the trials of these roles have to be in, or must not be in."""
    parts = (part for role in roles for part in role.parts)
    return list(dict.fromkeys(name for part in parts for name, _ in (*part.within, *part.outside)))


def _register_lists(
    cursor: duckdb.DuckDBPyConnection, protocol: Protocol, places: Sequence[Path], corpora: Sequence[Path],
    names: Iterable[str],
) -> dict[str, pa.Table]:  # fmt: skip
    """Make these lists of the protocol views `list_<name>`; enrolment lists come back as tables."""
    enrolled = {}
    for name in names:
        entry = protocol.lists[name]
        path = trial_lists.find(entry, places, corpora, protocol.name)
        if entry.members is not None:
            enrolled[name] = trial_lists.enrolment(entry, path)
        else:
            cursor.register(f"list_{name}", pa.table({"key": trial_lists.values(entry, path)}))
    return enrolled


def _part(cursor: duckdb.DuckDBPyConnection, part: Part, index: int) -> pa.Table:
    condition = "\n  AND ".join(f"({text})" for text in _conditions(part))
    if part.limit is None:
        query = statements()["part"].format(condition=condition)
    else:
        by = f'"{part.limit.by}"' if part.limit.by else "NULL"
        query = statements()["limited_part"].format(
            condition=condition, by=by, seed=part.limit.seed,
            cap_bonafide=_cap(part.limit.bonafide), cap_spoof=_cap(part.limit.spoof),
        )  # fmt: skip
    rows = cursor.execute(query).to_arrow_table()
    rows = rows.append_column("part", pa.array(np.full(len(rows), index)))
    return rows.append_column("variant", pa.repeat(part.variant, len(rows)))


def _sorted(rows: pa.Table) -> pa.Table:
    """By utterance and variant; a table that comes in that order, as most do, is not copied."""
    utt_id = rows["utt_id"].combine_chunks()
    if pc.all(pc.less(utt_id[:-1], utt_id[1:])).as_py() is not False:
        return rows
    return rows.sort_by([("utt_id", "ascending"), ("variant", "ascending")])


def _conditions(part: Part) -> list[str]:
    by_label = [
        f"label = '{label}'" + (f" AND ({text})" if text is not None else "")
        for label, text in (("bonafide", part.bonafide), ("spoof", part.spoof))
    ]
    floor = part.min_duration_s
    return [
        *part.where,
        f"({by_label[0]}) OR ({by_label[1]})",
        *(f"{_LISTED[kind]} IN (SELECT key FROM list_{name})" for name, kind in part.within),
        *(f"{_LISTED[kind]} NOT IN (SELECT key FROM list_{name})" for name, kind in part.outside),
        *([f"duration_s IS NULL OR duration_s >= {float(floor)}"] if floor is not None else []),
    ]


def _cap(limit: int | float | str | None) -> str:
    """The largest row number that a limit keeps, as SQL."""
    if limit is None:
        return "in_group"
    if isinstance(limit, str):
        return f"all_{limit}"
    return str(limit) if isinstance(limit, int) else f"round({limit} * in_group)"


def _weights(role: Role, rows: pa.Table) -> np.ndarray:
    """Relative chance of each row to be drawn, mean 1: values by their share, groups of `equal` alike."""
    if len(rows) == 0 or (role.shares is None and not role.equal):
        return np.ones(len(rows))
    of_value, value = np.ones(len(rows)), np.zeros(len(rows), int)
    if role.shares is not None:
        column, shares = role.shares
        words, value = _codes(rows[column])
        for word in words:
            if word not in shares:
                raise DataError(f"{role.label}: {column} {word!r} has no share; shares are for {', '.join(shares)}")
        of_value = np.array([shares[word] for word in words])[value]
    keys = [value, *(_codes(rows[column])[1] for column in role.equal)]
    groups, cell = np.unique(np.stack(keys), axis=1, return_inverse=True)
    mass = of_value / np.bincount(groups[0])[value] / np.bincount(cell)[cell]
    return mass * len(rows) / mass.sum()


def _codes(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The values of the column (null as "None") and for each row the number of its value."""
    coded = pc.fill_null(column.combine_chunks(), "None").dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy()


def _columns(role: Role, rows: pa.Table) -> pa.Table:
    """The part's rows under SCHEMA, with the role and subset they are trials of."""
    fixed = {"role": role.role, "subset": role.subset}
    columns = [
        pa.repeat(pa.scalar(fixed[field.name], field.type), len(rows)) if field.name in fixed
        else pc.cast(rows[field.name], field.type)
        for field in SCHEMA
    ]  # fmt: skip
    return pa.table(columns, schema=SCHEMA)


def _without_audio(role: Role, rows: pa.Table) -> list[Shortfall]:
    lost = rows.filter(pc.not_equal(rows["audio_status"], "ok"))
    return [
        Shortfall(role.role, role.subset, label, n, "audio missing or corrupt")
        for label in ("bonafide", "spoof")
        if (n := pc.sum(pc.equal(lost["label"], label)).as_py())
    ]


def _strange_entries(cursor: duckdb.DuckDBPyConnection, protocol: Protocol) -> dict[str, str]:
    """List -> how many of its entries name nothing in the protocol's corpora, for lists that select or shut out.

    Conditions may name no corpus (`language = 'en'`): then any of the catalog will do.
    """
    used = {listed for role in protocol.roles for part in role.parts for listed in (*part.within, *part.outside)}
    found = {}
    for kind in sorted({kind for _, kind in used}):
        names = sorted(name for name, its in used if its == kind)
        entries = " UNION ALL ".join(f"SELECT '{name}' AS list, key FROM list_{name}" for name in names)
        strange = cursor.execute(
            "SELECT list, count(*) FILTER (known.key IS NULL), count(*), min(entry.key) FILTER (known.key IS NULL) "
            f"FROM ({entries}) AS entry LEFT JOIN (SELECT DISTINCT {_LISTED[kind]} AS key FROM utterance "
            "WHERE len($1) = 0 OR list_contains($1, corpus)) AS known USING (key) GROUP BY list",
            [sorted(protocol.needs)],
        ).fetchall()
        for name, lost, all_, first in strange:
            if lost:
                file = protocol.lists[name].file
                found[name] = f"{lost} of {all_} entries of {file} name no utterance of this catalog (first: {first})"
    return found


def _other_lists(cursor: duckdb.DuckDBPyConnection, role: Role, label: pa.ChunkedArray) -> list[Shortfall]:
    """That lists give whole corpora another number of trials than the protocol states: cut, or of another version.

    label: of all rows that the role selects, with or without audio.
    """
    if role.count is None or not role.count.exact or not any(part.within or part.outside for part in role.parts):
        return []
    given = tuple(pc.sum(pc.equal(label, word)).as_py() or 0 for word in ("bonafide", "spoof"))
    stated = role.count.bonafide, role.count.spoof
    whole = {corpus for (corpus,) in cursor.execute(statements()["whole_corpora"]).fetchall()}
    if given == stated or not role.needs or not role.needs <= whole:
        return []
    why = "its lists give {:,} bona fide and {:,} spoof trials, stated are {:,} and {:,}: take the complete lists"
    return [Shortfall(role.role, role.subset, None, None, why.format(*given, *stated))]


def _refuse_overlaps(rows: pa.Table, protocol: Protocol) -> None:
    checks = {
        "shared_with_test": (rows, "test utterances are also in train or dev"),
        "shared_with_dev": (rows.filter(pc.not_equal(rows["role"], "test")), "dev utterances are also in train"),
        "twice": (_of_several_parts(rows, protocol), "utterances are selected twice for one role"),
    }
    con = duckdb.connect()
    for name, (trial, what) in checks.items():
        con.register("trial", trial.select(["role", "subset", "utt_id", "variant"]))
        number, first = con.execute(statements()[name]).fetchone()
        if number:
            raise DataError(
                f"{protocol.name}: {number} {what} (first: {first}); correct the predicates in {protocol.path}"
            )


def _of_several_parts(rows: pa.Table, protocol: Protocol) -> pa.Table:
    """The trials of roles that are selected in more than one part: one part cannot select a row twice."""
    labels = [role.label for role in protocol.roles if len(role.parts) > 1]
    label = pc.binary_join_element_wise(rows["role"], rows["subset"], ".", null_handling="skip")
    return rows.filter(pc.is_in(label, pa.array(labels, pa.string())))


def _refuse_empty(rows: pa.Table, protocol: Protocol, found: Sequence[Shortfall]) -> None:
    there = counts(rows)
    for role in (role for role in (protocol.train, protocol.dev) if role.parts):
        for label, number in zip(("bonafide", "spoof"), there.get((role.role, None), (0, 0))):
            if number == 0:
                lost = sum(s.trials or 0 for s in found if s.role == role.role and s.label == label)
                raise DataError(
                    f"{protocol.name}: no {label} trial for {role.role} in this catalog ({lost} named ones have no "
                    f"audio); see what is there with: python -m protocols show {protocol.name}"
                )
