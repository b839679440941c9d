"""One corpus into the catalog: find it, parse it, hold it against its counts and its audio, measure, commit.

Everything is checked before anything is written, and one transaction at the end replaces the rows of the corpus.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest import audio, catalog, checks, corpora, measure, parallel, scan, sweep
from ingest import rows as row_module
from ingest.files import lock, ready, utf8
from ingest.types import Corpus, DataError

FINDING = pa.schema([("corpus", pa.string()), ("kind", pa.string()), ("path", pa.string()), ("detail", pa.string())])
MEASURED = [name for name in measure.SCHEMA.names if name not in ("file", "fault", "duration_s", "rate_hz", "channels")]
TO_UTTERANCE = ["duration_s", "rate_hz", "channels"]


@dataclass(frozen=True, slots=True)
class Report:
    """What an ingest did: files are those of rows; extra and duplicates are in no row."""

    corpus: str
    root: Path
    rows: int
    present: int
    corrupt: int
    extra: int
    partial: bool
    simulated: bool
    notes: tuple[str, ...]


def ingest_corpus(
    name: str,
    root: Path | str,
    data: Path | str,
    *,
    places: Mapping[str, Path] | None = None,
    partial: bool = False,
    jobs: int | None = None,
) -> Report:
    """Replace the rows of corpus `name` in DATA/catalog.duckdb by what lies at `root`.

    places: the user's folders for Corpus.places. partial: accept counts other than the published ones, absent
    and undecodable audio; the corpus is then marked partial. jobs: processes that measure audio, default one
    per core. Raises DataError, with the catalog as it was, for whatever the corpus or its copy has wrong.
    """
    source, data = corpora.get(name), Path(data)
    corpus = source.corpus
    places = _places(corpus, places or {})
    root = scan.find_root(corpus, Path(root))
    print(f"{name}: root {root}", flush=True)
    table, notes = _parsed(source, root, places)
    counts, simulated = checks.expected_counts(corpus, root)
    compared = checks.compare(table, counts)
    scores = source.asv_scores(root)
    asv_faults = [] if simulated else checks.asv_faults(scores, source.asv_counts)
    notes += asv_faults
    files = scan.index(root, corpus.audio, places)
    matched = scan.match(table, files, corpus)
    _refuse_wrong_audio(corpus, root, data, table, files, matched)
    absent = checks.missing(table, matched.file >= 0, corpus)
    if not partial:
        _refuse_incomplete(corpus, root, places, table, compared, absent, files, matched)
        if asv_faults:
            raise DataError(f"{name}: {'; '.join(asv_faults)}. Take the published files, or add --partial (PARTIAL=1).")
    with ready(data):
        pass
    with lock(data / "ingest" / f"{name}.lock"):
        measured = _measure(name, root, places, files, matched, data, jobs or parallel.cores())
        table = _with_audio(table, files, matched, measured, _roots(root, places))
        faults = measured.filter(pc.is_valid(measured["fault"])).sort_by("file")
        if faults.num_rows and not partial:
            raise DataError(_corrupt_fault(corpus, faults, matched))
        extra = files.take(matched.extra)["path"].to_pylist()
        noticed = findings(
            corpus,
            [
                *(("note", None, note) for note in (*notes, *matched.notes)),
                *missing_findings(absent),
                *corrupt_findings(table["path"], measured["fault"].take(table["measured"])),
                *extra_findings(extra),
            ],
        )
        lacking = absent or faults.num_rows or asv_faults or any(one.short for one in compared)
        short = bool(lacking) or (not simulated and source.incomplete(root))
        _commit(
            data, corpus, root, places, table, measured, noticed, compared, scores, short=short, simulated=simulated
        )
        sweep.forget(data / "ingest" / name)
    present = int((matched.file >= 0).sum())
    told = (*notes, *matched.notes)
    return Report(name, root, table.num_rows, present, faults.num_rows, len(extra), short, simulated, told)


def _places(corpus: Corpus, places: Mapping[str, Path]) -> dict[str, Path]:
    found = {}
    for place, folder in places.items():
        if place not in corpus.places:
            raise DataError(f"{corpus.name} has no place {place!r}; known: {', '.join(corpus.places) or 'none'}")
        found[place] = utf8(Path(os.path.abspath(os.path.expanduser(folder))))
        if not found[place].is_dir():
            raise DataError(f"{corpus.name}: {found[place]} ({place.upper()}=) is not a folder")
    return found


def _parsed(source: corpora.Source, root: Path, places: Mapping[str, Path]) -> tuple[pa.Table, list[str]]:
    tables = [row_module.complete(table, source.corpus) for table in source.tables(root, places)]
    if not sum(table.num_rows for table in tables):
        raise DataError(f"{source.corpus.name}: {root} has the right folders and no row in them; unpack it again")
    table, notes = checks.without_duplicates(pa.concat_tables(tables), source.corpus)
    unknown = pc.sum(pc.equal(table["label"], "unknown")).as_py()
    if unknown:
        notes.append(f"{unknown} rows have the label unknown: kept, and in no protocol")
    words = (*checks.new_words(table, source.corpus), *checks.misfit_attacks(table, source.corpus))
    return table, [*notes, *words, *source.notes(root)]


def _refuse_wrong_audio(
    corpus: Corpus, root: Path, data: Path, table: pa.Table, files: pa.Table, matched: scan.Match
) -> None:
    elsewhere = scan.misplaced(table, files, root, corpus, matched)
    if elsewhere is not None:
        raise DataError(f"{corpus.name}: the missing audio {elsewhere}")
    extra = files.take(matched.extra)
    stems = scan.stems(extra.filter(pa.array(scan.is_audio(extra["path"])))["path"])
    if corpus.stem_unique and len(stems):
        others, like = _other_lists(corpus, root, data)
        present = table["partition"].filter(pa.array(matched.file >= 0)).to_pylist()
        found = dict.fromkeys(table["partition"].unique().to_pylist(), 0) | Counter(present)
        fault = checks.strangers_fault(corpus, stems, found, others, like)
        if fault:
            raise DataError(fault)


def _other_lists(corpus: Corpus, root: Path, data: Path) -> tuple[dict[str, pa.Array], dict[str, list[str]]]:
    """The stems of every other corpus whose list is in the catalog or beside the root; stem form -> who has it too."""
    lists, like = {}, {}
    for name in corpora.names():
        other = corpora.get(name).corpus
        if name == corpus.name or not other.stem_unique:
            continue
        shared = set(other.stems.values()) & set(corpus.stems.values())
        for form in sorted(shared):
            like.setdefault(form, []).append(name)
        stems = _stems_in_catalog(data, name)
        near = next((folder for folder in (root, root.parent) if scan.is_root(other, folder)), None)
        if stems is None and near is not None and shared:
            try:
                stems = scan.stems(pa.concat_tables(corpora.get(name).tables(near), promote_options="default")["path"])
            except DataError:
                continue
        if stems is not None:
            lists[name] = stems
    return lists, like


def _stems_in_catalog(data: Path, name: str) -> pa.Array | None:
    if not (data / "catalog.duckdb").exists():
        return None
    with catalog.connect(data / "catalog.duckdb") as con:
        paths = con.execute("SELECT path FROM utterance WHERE corpus = ?", [name]).to_arrow_table()["path"]
    return scan.stems(paths) if len(paths) else None


def _refuse_incomplete(
    corpus: Corpus, root: Path, places: Mapping[str, Path], table: pa.Table, compared: list[checks.Compared],
    absent: list[tuple[str, str, str]], files: pa.Table, matched: scan.Match,
) -> None:  # fmt: skip
    fault = checks.count_fault(corpus, compared)
    if fault:
        elsewhere = [f"--{place} DIR ({place.upper()}=)" for place in corpus.places if place not in places]
        named = f", name what lies elsewhere with {' and '.join(elsewhere)}" if elsewhere else ""
        raise DataError(
            f"{fault}. Take the complete protocol files and audio under {root}{named}, or add --partial (PARTIAL=1) "
            "if this is meant."
        )
    if absent:
        gone = int((matched.file < 0).sum())
        fault = checks.missing_fault(corpus, root, absent, table.num_rows, gone)
        if corpus.stem_unique and (alike := scan.namesakes(table, files, root, matched)):
            due = root / os.path.dirname(absent[0][0])
            fault += f" {alike[0]} files of these names lie in {alike[1]}; if they are these, move them to {due}."
        raise DataError(fault)


def _roots(root: Path, places: Mapping[str, Path]) -> dict[str | None, str]:
    return {None: str(root), **{place: str(folder) for place, folder in places.items()}}


def absolute(files: pa.Table, roots: Mapping[str | None, str]) -> pa.ChunkedArray:
    """The path on this machine of each file (place, path); roots: place -> folder, None -> corpus root."""
    if len(roots) == 1:
        return pc.binary_join_element_wise(pa.scalar(roots[None]), files["path"], "/")
    root = pa.array([roots[place] for place in files["place"].to_pylist()], pa.string())
    return pc.binary_join_element_wise(pa.chunked_array([root]), files["path"], "/")


def _measure(
    name: str, root: Path, places: Mapping[str, Path], files: pa.Table, matched: scan.Match, data: Path, jobs: int
) -> pa.Table:
    """measure.SCHEMA of every file that a row has; what the catalog knows of unchanged files is taken over."""
    used = files.take(matched.file[matched.file >= 0])
    used = used.append_column("file", absolute(used, _roots(root, places)))
    known = _known(data, name)
    fresh = pc.invert(pc.is_in(sweep.stamp(used), value_set=sweep.stamp(known).combine_chunks()))
    kept = known.filter(pc.is_in(sweep.stamp(known), value_set=sweep.stamp(used).combine_chunks()))
    swept = sweep.sweep(used.filter(fresh), data / "ingest" / name, jobs=jobs, what=f"{name}: measure")
    return pa.concat_tables([kept, swept])


def _known(data: Path, name: str) -> pa.Table:
    """measure.SCHEMA of the files of a corpus that the catalog has measured; those that do not decode left out."""
    path = data / "catalog.duckdb"
    if not path.exists():
        return measure.SCHEMA.empty_table()
    columns = ", ".join(f"u.{n}" if n in TO_UTTERANCE else f"m.{n}" for n in measure.SCHEMA.names[4:])
    with catalog.connect(path) as con:
        table = con.execute(
            f"SELECT f.path AS file, m.size_bytes, m.mtime_ns, NULL::VARCHAR AS fault, {columns} "
            "FROM measurement m JOIN utterance u USING (utt_id) JOIN audio_file f USING (utt_id) "
            "WHERE u.corpus = ? AND u.audio_status = 'ok'",
            [name],
        ).to_arrow_table()
    return table.cast(measure.SCHEMA)


def _with_audio(
    table: pa.Table, files: pa.Table, matched: scan.Match, measured: pa.Table, roots: Mapping[str | None, str]
) -> pa.Table:
    """The rows with the path of the file that was found, what the file says, and `measured` (its row there)."""
    present = matched.file >= 0
    if not present.any():
        nothing = pa.nulls(table.num_rows, pa.int64())
        return table.append_column("measured", nothing)
    file = pa.array(matched.file, mask=~present)
    where = pc.index_in(absolute(files, roots), value_set=measured["file"].combine_chunks()).combine_chunks()
    index = pc.take(where, file)
    faulty = pc.is_valid(pc.take(measured["fault"].combine_chunks(), index))
    status = pc.if_else(pa.array(present), pc.if_else(faulty, "corrupt", "ok"), "missing")
    said = {
        "path": pc.coalesce(pc.take(files["path"].combine_chunks(), file), table["path"]),
        "audio_present": pa.array(present), "audio_status": status,
        **{name: pc.take(measured[name].combine_chunks(), index) for name in TO_UTTERANCE},
    }  # fmt: skip
    columns = {name: said.get(name, table[name]) for name in table.column_names}
    return pa.table({**columns, "measured": index.cast(pa.int64())})


def _corrupt_fault(corpus: Corpus, faults: pa.Table, matched: scan.Match) -> str:
    first, reason = faults["file"][0].as_py(), faults["fault"][0].as_py()
    return (
        f"{corpus.name}: {faults.num_rows} of {int((matched.file >= 0).sum())} audio files do not decode "
        f"(first: {first}: {reason}). Fetch them again, or add --partial (PARTIAL=1) to go on without them."
    )


def findings(corpus: Corpus, rows: Iterable[tuple[str, str | None, str]]) -> pa.Table:
    """Rows (kind, path, detail) as they enter table finding."""
    return pa.Table.from_pylist([dict(zip(FINDING.names, (corpus.name, *row))) for row in rows], schema=FINDING)


def missing_findings(absent: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """What checks.missing() tells, as rows (kind, path, detail)."""
    return [("missing", first, f"{what}; unpack {cure}" if cure else what) for first, what, cure in absent]


def extra_findings(paths: Iterable[str]) -> list[tuple[str, str, str]]:
    """Files that are in no row, as rows (kind, path, detail)."""
    return [("extra", path, "in no protocol file") for path in paths]


def corrupt_findings(paths: pa.ChunkedArray, faults: pa.ChunkedArray) -> list[tuple[str, str, str]]:
    """Files whose fault is not null, as rows (kind, path, detail) in the order of their paths."""
    faulty = pc.is_valid(faults)
    both = zip(paths.filter(faulty).to_pylist(), faults.filter(faulty).to_pylist())
    return sorted(("corrupt", path, fault) for path, fault in both)


def _commit(
    data: Path, corpus: Corpus, root: Path, places: Mapping[str, Path], table: pa.Table, measured: pa.Table,
    noticed: pa.Table, compared: list[checks.Compared], scores: pa.Table | None, *, short: bool, simulated: bool,
) -> None:  # fmt: skip
    utterances = table.select(row_module.UTTERANCE_COLUMNS)
    have = table.filter(pc.is_valid(table["measured"])).select(["utt_id", "corpus", "measured"])
    rows = measured.select(MEASURED).take(have["measured"].combine_chunks())
    measurements = pa.table({"utt_id": have["utt_id"], "corpus": have["corpus"], **dict(zip(MEASURED, rows.columns))})
    counts = [
        (corpus.name, c.expected.partition, *(c.expected.group or (None, None)), c.expected.label, c.expected.rows,
         c.found, c.expected.grade, c.expected.source)
        for c in compared
    ]  # fmt: skip
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("SET threads = 1")  # two of them fight over the primary key and take three times as long
        con.execute("BEGIN")
        replace(con, "utterance", utterances, corpus.name)
        replace(con, "measurement", measurements, corpus.name)
        for name in ("corpus", "place", "finding", "expected_count", "asv_score"):
            con.execute(f"DELETE FROM {name} WHERE corpus = ?", [corpus.name])
        insert(con, "finding", noticed)
        if counts:
            con.executemany(f"INSERT INTO expected_count VALUES ({', '.join('?' * 9)})", counts)
        if scores is not None:
            name = pa.repeat(pa.scalar(corpus.name), scores.num_rows)
            insert(con, "asv_score", scores.append_column("corpus", name))
        for place, folder in places.items():
            con.execute("INSERT INTO place VALUES (?, ?, ?)", [corpus.name, place, str(folder)])
        con.execute(
            "INSERT INTO corpus VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [corpus.name, corpus.title, corpus.domain, corpus.licence, corpus.citation, str(root), short, simulated,
             fingerprint(utterances)],
        )  # fmt: skip
        for tool, version in audio.tools().items():
            con.execute("INSERT OR REPLACE INTO tool VALUES (?, ?)", [tool, version])
        con.execute("COMMIT")


def replace(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, corpus: str) -> None:
    """Make the rows of one corpus in a table keyed by utt_id equal to `rows`.

    Rows are replaced in place and only those that are gone are deleted: DuckDB takes half a minute to delete
    600,000 rows from a table with a primary key, and 0.4 s to replace them.
    """
    con.register("fresh", rows)
    old = con.execute(f"SELECT count(*) FROM {name} WHERE corpus = ?", [corpus]).fetchone()[0]
    if old:
        con.execute(f"DELETE FROM {name} WHERE corpus = ? AND utt_id NOT IN (SELECT utt_id FROM fresh)", [corpus])
    con.execute(f"INSERT {'OR REPLACE' if old else ''} INTO {name} BY NAME SELECT * FROM fresh")
    con.unregister("fresh")


def insert(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Append rows to a table, columns by name."""
    con.register("fresh", rows)
    con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM fresh")
    con.unregister("fresh")


def fingerprint(utterances: pa.Table) -> str:
    """sha256 over the utterance rows in the order of their utt_id, column by column."""
    utt_id = utterances["utt_id"]
    if not pc.all(pc.less(utt_id[:-1], utt_id[1:])).as_py():
        utterances = utterances.sort_by("utt_id")
    digest = hashlib.sha256()
    for name in row_module.UTTERANCE_COLUMNS:
        column = utterances[name].combine_chunks()
        digest.update(f"{name}:".encode())
        if column.null_count == len(column):
            continue
        if name in row_module.OWN_WORD:  # lengths and letters
            ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
            digest.update(np.diff(ends))
            digest.update(memoryview(column.buffers()[2])[ends[0] : ends[-1]])
        elif pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
            _hash_words(digest, column)
        else:
            digest.update(pc.is_valid(column).to_numpy(zero_copy_only=False))
            digest.update(pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False))
    return digest.hexdigest()


def _hash_words(digest: "hashlib._Hash", column: pa.Array) -> None:
    """The words that occur, in alphabetical order, and the number of its word for each row (null: -1)."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    index = pc.fill_null(coded.indices, -1).to_numpy()
    words = coded.dictionary.to_pylist()
    occur = np.bincount(index + 1, minlength=len(words) + 1)[1:] > 0
    order = sorted({word for word, occurs in zip(words, occur) if occurs})
    number = np.array([-1, *(order.index(word) if occurs else -1 for word, occurs in zip(words, occur))], np.int32)
    digest.update("\n".join(order).encode())
    digest.update(number[index + 1])
