"""Score files -> results.duckdb: one DuckDB file that holds every metric of every run and opens by itself.

The file is rebuilt whole and renamed into place, so a reader never sees a part of it. A run whose files have
not changed since the last time keeps its rows; the rest is measured again, in parallel.
"""

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmark import breakdowns, recorded, throughput
from benchmark.breakdowns import TRIAL_FACTORS
from benchmark.measure import Measured, measure, once
from ingest import catalog, parallel, versions
from ingest.files import atomic, lock
from ingest.progress import Progress
from ingest.types import DataError

REPLICATES = 200
SCHEMA_VERSION = 6  # of results.sql; 1 had no meta, 2 no tested, 3 no diagnostic, 4 no run.backbone, 5 no standing
MOST_CORPORA = 3  # of a subset that are named; of more only the number
FILES = ("run.json", "scores.parquet", "curve.parquet", "asv.json")
NEEDED = ("role", "subset", "utt_id", "label", "score")
WORDS = ("role", "subset", "label", "attack", "vocoder", *TRIAL_FACTORS)  # read as dictionaries
_HERE = Path(__file__).parent
_MEASURING = (
    "ranked.py", "metrics.py", "tdcf.py", "resampling.py", "bootstrap.py", "breakdowns.py", "measure.py",
    "results.sql", "results.py", "published.csv", "published_runs.csv",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Collected:
    """What `collect` did: runs in the catalog, and how many of them were measured now."""

    runs: int
    measured: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What a results catalog is made of; `kept` are the runs whose rows it has already."""

    folders: list[Path]
    signatures: dict[str, str]
    kept: set[str]
    new: list[Path]
    failures: list[tuple]
    grids: dict[str, list[tuple]]
    current: bool


@dataclass(frozen=True, slots=True)
class _Rows:
    """One run as Arrow tables, ready to be inserted."""

    run: pa.Table
    score_file: pa.Table
    tested: pa.Table
    result: pa.Table
    breakdown: pa.Table
    diagnostic: pa.Table
    curve: pa.Table


def collect(data: Path, *, replicates: int = REPLICATES, jobs: int | None = None) -> Collected:
    """Rebuild DATA/results.duckdb from every finished run below DATA/scores.

    A catalog that holds just these runs is left as it is, to the byte. replicates: bootstrap replicates per
    interval. jobs: processes (default: one per core). Raises DataError naming the run whose files cannot be used.
    """
    path = data / "results.duckdb"
    if not os.access(data, os.W_OK) and (found := _found(data, replicates)).current:  # somebody else's, good as it is
        return Collected(len(found.folders), 0)
    with lock(data / "results.lock"):
        for left in data.glob(".results.duckdb.*"):  # of a killed process: nobody else writes under this lock
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        _keep_older(path)
        found = _found(data, replicates)
        if found.current:
            return Collected(len(found.folders), 0)
        with catalog.created(path) as con:
            con.execute("SET enable_progress_bar = false")
            con.execute("BEGIN")
            con.execute((_HERE / "results.sql").read_text())
            con.execute("INSERT INTO meta VALUES (?)", [SCHEMA_VERSION])
            _published(con)
            if found.failures:
                con.executemany("INSERT INTO failure VALUES (?, ?, ?, ?, ?)", found.failures)
            for name, rows in found.grids.items():
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    con.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
            con.execute("COMMIT")
            _insert(con, _measured(found, replicates, jobs), path if found.kept else None, found.kept)
    return Collected(len(found.folders), len(found.new))


def _found(data: Path, replicates: int) -> _Found:
    """The finished runs below DATA/scores, and what is told beside them. DataError if a catalog of runs has none."""
    path = data / "results.duckdb"
    folders = sorted(p.parent for p in (data / "scores").glob("*/run.json"))
    signatures, previous = {f.name: signature(f, replicates) for f in folders}, _previous(path)
    if previous and not folders:
        raise DataError(f"{data / 'scores'} holds no run; {path}, which has {len(previous)}, is left as it is")
    kept = {run for run, old in previous.items() if signatures.get(run) == old}
    new = [f for f in folders if f.name not in kept]
    failures, grids = _failures(data), {**_grids(data), "throughput": _throughput(data)}
    current = bool(folders) and not new and _current(path, set(signatures), failures, grids)
    return _Found(folders, signatures, kept, new, failures, grids, current)


def replaced(data: Path, asked: Sequence[str]) -> list[str]:
    """Which of these runs have no place on the leaderboard, as one of the same settings ended later."""
    with catalog.opened(data / "results.duckdb") as con:
        rows = con.execute(
            "SELECT run_id FROM run SEMI JOIN unnest(?::VARCHAR[]) AS asked(run_id) USING (run_id) "
            "ANTI JOIN current_run USING (run_id) ORDER BY run_id", [list(asked)]
        )  # fmt: skip
        return [run_id for (run_id,) in rows.fetchall()]


def _keep_older(path: Path) -> None:
    """Copy results of an older layout before they are made anew; DataError if a newer Siren made them."""
    if not path.exists():
        return
    try:
        with duckdb.connect(str(path), read_only=True) as con:
            tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            found = versions.version(con, path) if "meta" in tables else 1
    except duckdb.Error:
        return  # not a database: it is made anew
    versions.refuse_newer(found, SCHEMA_VERSION, path)
    if found < SCHEMA_VERSION and not (copy := versions.backup(path, found)).exists():
        with atomic(copy) as temporary:
            shutil.copyfile(path, temporary)


@functools.cache
def _code() -> str:
    digest = hashlib.sha256()
    for name in _MEASURING:
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()[:16]


def signature(folder: Path, replicates: int) -> str:
    """Changes whenever the rows of this run could."""
    stats = [(folder / name).stat() if (folder / name).exists() else None for name in FILES]
    files = [(s.st_size, s.st_mtime_ns) if s else None for s in stats]
    return hashlib.sha256(repr((_code(), replicates, files)).encode()).hexdigest()[:32]


def _previous(path: Path) -> dict[str, str]:
    """run_id -> signature in the present results catalog; empty if there is none that this code can read."""
    if not path.exists():
        return {}
    try:
        with duckdb.connect(str(path), read_only=True) as con:
            return dict(con.execute("SELECT run_id, signature FROM score_file").fetchall())
    except duckdb.Error:
        return {}


def _measured(found: _Found, replicates: int, jobs: int | None) -> Iterator[_Rows]:
    total = len(found.new)
    jobs = min(jobs or parallel.cores(), max(total // 4, 1))
    tasks = ((_run, (f, found.signatures[f.name], replicates), {}) for f in found.new)
    done = parallel.results(tasks, jobs, what="results", ordered=True, batch="auto" if jobs > 1 else 1)
    with Progress("results", total=total, unit="run") as progress:
        for rows in done:
            progress.add()
            yield rows


def _run(folder: Path, sign: str, replicates: int) -> _Rows:
    about = recorded.run(folder, needed=("detector", "protocol", "scenario"))
    asv = recorded.asv(folder)
    table = read_scores(folder / "scores.parquet")
    measured = measure(
        folder.name, table, asked=about.get("metrics") or (), averages=about.get("averages"),
        pooled=about.get("pooled"), asv=asv, diagnostics=about.get("diagnostics"), replicates=replicates,
    )  # fmt: skip
    path = f"scores/{folder.name}/scores.parquet"
    file = {"run_id": folder.name, "path": path, "trials": table.num_rows, "signature": sign}
    return _Rows(
        run=_arrow("run", [SimpleNamespace(**_run_row(folder.name, about, measured))]),
        score_file=_arrow("score_file", [SimpleNamespace(**file)]),
        tested=_tested(folder.name, table, about.get("pooled") or {}),
        result=_arrow("result", measured.results),
        breakdown=_arrow("breakdown", measured.breakdowns),
        diagnostic=_arrow("diagnostic", measured.diagnostics),
        curve=_curve(folder),
    )


def _tested(run_id: str, table: pa.Table, pooled: Mapping[str, Sequence[str]]) -> pa.Table:
    """Rows of `tested`: which corpora the trials of each subset and pool come from, and how long they are."""
    there = [name for name in ("corpus", "language") if name in table.column_names]
    sums = [([], "count_all"), *([("duration_s", "sum")] if "duration_s" in table.column_names else [])]
    groups = table.group_by(["role", "subset", *there], use_threads=False).aggregate(sums).to_pylist()
    test, subset = breakdowns.encode(table["role"]).among(["test"]), breakdowns.encode(table["subset"])
    for name, members in pooled.items():
        part = table.filter(pa.array(once(table, test & subset.among(members))))
        of_pool = part.group_by(["role", *there], use_threads=False).aggregate(sums).to_pylist()
        groups += [row | {"subset": name} for row in of_pool]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in groups:
        found.setdefault((row["role"], row["subset"]), []).append(row)
    rows = []
    for (role, subset), parts in sorted(found.items()):
        heard = {(p["corpus"], p.get("language")) for p in parts if p.get("corpus")}
        names = [
            " ".join([corpus, "/".join(sorted(word for c, word in heard if c == corpus and word))]).strip()
            for corpus in sorted({corpus for corpus, _ in heard})
        ]
        corpora = " + ".join(names) if len(names) <= MOST_CORPORA else f"{len(names)} corpora"
        seconds = [p.get("duration_s_sum") for p in parts]
        rows.append(SimpleNamespace(
            run_id=run_id, role=role, subset=subset, corpora=corpora or None, trials=sum(p["count_all"] for p in parts),
            audio_s=None if None in seconds else float(sum(seconds)),
        ))  # fmt: skip
    return _arrow("tested", rows)


def read_scores(path: Path) -> pa.Table:
    """A score file with its words as dictionaries; raises DataError if it lacks a column or cannot be read."""
    try:
        names = pq.read_schema(path).names
        table = pq.read_table(path, read_dictionary=[n for n in WORDS if n in names])
        table.validate(full=True)  # a damaged file can hold words without a place in their dictionary
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a name that is no UTF-8
        raise DataError(f"{path} cannot be read ({error}); delete {path.parent} and run the cell again") from None
    lacking = [name for name in NEEDED if name not in names]
    if lacking:
        raise DataError(f"{path} has no column {lacking[0]!r}; a score file needs {', '.join(NEEDED)}")
    return table.unify_dictionaries()


_KINDS = {
    "VARCHAR": pa.string(), "JSON": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(),
}  # fmt: skip


@functools.cache
def columns(table: str) -> dict[str, str]:
    """Column -> SQL type of one table of results.sql."""
    return dict(row[:2] for row in _schema().execute(f"DESCRIBE {table}").fetchall())


@functools.cache
def _schema() -> duckdb.DuckDBPyConnection:
    """An empty results catalog in memory."""
    con = duckdb.connect()
    con.execute("BEGIN; " + (_HERE / "results.sql").read_text() + "; COMMIT")
    return con


def _arrow(table: str, rows: Sequence[Any]) -> pa.Table:
    """Objects whose attributes are the columns of `table`."""
    return pa.table(
        {name: pa.array([getattr(row, name) for row in rows], _KINDS[kind]) for name, kind in columns(table).items()}
    )


def _run_row(run_id: str, about: Mapping[str, Any], measured: Measured) -> dict[str, Any]:
    row = {name: about.get(name) for name in columns("run")}
    for name, kind in columns("run").items():
        if kind == "JSON" and row[name] is not None:
            row[name] = json.dumps(row[name], sort_keys=True)
    row |= {name: bool(row[name]) for name in ("external", "simulated", "partial")}
    row["trained"] = bool(about.get("trained", True))
    row["missing_trials"] = row["missing_trials"] or 0
    return row | {"run_id": run_id, "dev_eer": measured.dev_eer, "dev_threshold": measured.dev_threshold}


def _curve(folder: Path) -> pa.Table:
    empty = _arrow("curve", [])
    if not (folder / "curve.parquet").exists():
        return empty
    try:
        points = pq.read_table(folder / "curve.parquet", columns=["epoch", "name", "value"])
        points.validate(full=True)  # a damaged file can hold words that are no UTF-8
        run_id = pa.array([folder.name] * points.num_rows, pa.string())
        return points.add_column(0, "run_id", run_id).cast(empty.schema)
    except (OSError, ValueError, pa.ArrowException) as error:
        where = folder / "curve.parquet"
        raise DataError(f"{where} cannot be read ({error}); delete {folder} and run the cell again") from None


def _insert(con: duckdb.DuckDBPyConnection, rows: Iterator[_Rows], old: Path | None, kept: set[str]) -> None:
    """Insert new and kept rows in an order that does not depend on which is which."""
    gathered: dict[str, list[pa.Table]] = {f.name: [] for f in fields(_Rows)}
    for one in rows:
        for name, tables in gathered.items():
            tables.append(getattr(one, name))
    if old is not None:
        escaped = str(old).replace("'", "''")
        con.execute(f"ATTACH '{escaped}' AS old (READ_ONLY)")
        con.register("kept", pa.table({"run_id": sorted(kept)}))
    for name, tables in gathered.items():
        sources = []
        if tables:
            con.register("fresh", pa.concat_tables(tables))
            sources.append("SELECT * FROM fresh")
        if old is not None:
            sources.append(f"SELECT * FROM old.{name} WHERE run_id IN (FROM kept)")
        if sources:
            con.execute(f"INSERT INTO {name} BY NAME FROM ({' UNION ALL BY NAME '.join(sources)}) ORDER BY ALL")
            gathered[name] = []
    if old is not None:
        con.execute("DETACH old")


def _published(con: duckdb.DuckDBPyConnection) -> None:
    """Quoted figures; percentages become fractions, so that they stand beside ours."""
    figures = pa.csv.read_csv(_HERE / "published.csv")
    runs = pa.csv.read_csv(_HERE / "published_runs.csv")
    con.register("figures", figures)
    con.register("runs", runs)
    con.execute("""
        INSERT INTO published BY NAME
        SELECT source, "table", detector, setting, protocol, nullif(subset, '') AS subset,
               regexp_replace(metric, '_pct$', '') AS metric,
               CASE WHEN metric LIKE '%\\_pct' ESCAPE '\\' THEN value / 100 ELSE value END AS value
        FROM figures""")
    con.execute("""
        INSERT INTO published_run BY NAME
        SELECT detector, run, label, protocol, subset, metric, value / 100 AS value
        FROM (UNPIVOT (SELECT detector, run, label, protocol, subset, eer_pct AS eer, auc_pct AS auc FROM runs)
              ON eer, auc INTO NAME metric VALUE value)""")
    for table in ("published", "published_run"):  # they were measured on the authors' recordings, ours are drawn anew
        con.execute(
            f"INSERT INTO {table} SELECT * REPLACE (protocol || '_published' AS protocol) FROM {table} "
            "WHERE protocol IN ('inner/librisevoc', 'inner/wavefake')"
        )
    con.unregister("figures")
    con.unregister("runs")


def _failures(data: Path) -> list[tuple]:
    """Rows of table `failure`: cells that left a reason and no result."""
    found = []
    for path in sorted((data / "scores").glob("*/failed.json")):
        if not (path.parent / "run.json").exists() and (failed := recorded.failure(path.parent)):
            found.append((path.parent.name, *(failed[k] for k in ("detector", "protocol", "seed", "reason"))))
    return found


def _grids(data: Path) -> dict[str, list[tuple]]:
    """Rows of the tables of grids, from what `run --grid` left."""
    rows: dict[str, list[tuple]] = {"grid": [], "grid_run": [], "grid_column": []}
    for path in sorted((data / "grids").rglob("*.json")):
        about = recorded.grid(path)
        name, order = about["grid"], about["order"]
        rows["grid"].append((name, about.get("title"), about.get("source"), about.get("note")))
        rows["grid_run"] += [(name, level, order.index(level), run) for level, run in about["levels"] if level in order]
        rows["grid_column"] += [(name, column, *place) for column, place in sorted(about["columns"].items())]
    return {name: sorted(found) for name, found in rows.items()}


def _throughput(data: Path) -> list[tuple]:
    """Rows of the table `throughput`, from what `python -m benchmark throughput` left."""
    return sorted(astuple(row) for row in throughput.stored(data))


def _current(path: Path, runs: set[str], failures: Sequence[tuple], grids: Mapping[str, list[tuple]]) -> bool:
    """Whether the present results catalog holds exactly these runs, failures and grids: then it stays as it is."""
    with duckdb.connect(str(path), read_only=True) as con:
        there = {row[0] for row in con.execute("SELECT run_id FROM run").fetchall()}
        same = all(con.execute(f"FROM {name} ORDER BY ALL").fetchall() == rows for name, rows in grids.items())
        return same and there == runs and con.execute("FROM failure ORDER BY run_id").fetchall() == list(failures)
