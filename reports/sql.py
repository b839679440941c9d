"""Read-only questions to the catalog and the results, with a time limit, in the form the asker wants."""

import json
import math
import re
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmark import card, finished, results
from ingest import catalog, versions
from ingest.cli import with_data
from ingest.files import atomic
from ingest.types import DataError

DATABASES = ("both", "results", "catalog")
FORMATS = ("table", "csv", "json", "markdown", "latex", "parquet")
DAY_S = 86_400.0
WAIT_S = 20.0  # for another process to finish writing
MEMORY = "4GiB"  # of one query
LARGEST_BYTES = 2 << 30  # of its rows
SHOWN_ROWS = 200  # of a table on the screen; the other formats give all
_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def connect(data: Path, db: str = "both") -> duckdb.DuckDBPyConnection:
    """A connection that can read DATA/results.duckdb (as `results`) and DATA/catalog.duckdb (as `catalog`).

    Tables of both are found without a prefix, those of the results first. Nothing can be written. Raises
    DataError when the database asked for does not exist yet.
    """
    finished.check(data)
    paths = {name: data / f"{name}.duckdb" for name in ("results", "catalog") if db in ("both", name)}
    there = {name: path for name, path in paths.items() if path.exists()}
    if not there:
        what = {"results": "python -m benchmark collect", "catalog": "python -m ingest CORPUS --root DIR"}
        name = "catalog" if db == "both" else db
        raise DataError(f"{paths[name]} does not exist; make it: {with_data(what[name], data)}")
    con = duckdb.connect()
    con.execute("SET enable_progress_bar = false")
    for name, path in there.items():
        attach(con, path, name)
    con.execute(f"SET search_path = '{','.join(f'{name}.main' for name in there)}'")
    return con


def attach(con: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    """Attach the results or the catalog read-only. An older catalog is brought up to date; a newer file is a DataError.

    So are older results: they are made anew from the score files.
    """
    newest = {"results": results.SCHEMA_VERSION, "catalog": catalog.SCHEMA_VERSION}[name]
    _attach(con, path, name)
    found = _version(con, path, name)
    versions.refuse_newer(found, newest, path)
    if found < newest and name == "catalog":
        con.execute(f"DETACH {name}")
        catalog.connect(path).close()
        _attach(con, path, name)
    elif found < newest:
        again = with_data("python -m benchmark collect", path.parent)
        raise DataError(f"{path} has schema version {found}, this code reads {newest}; make it anew: {again}")


def _version(con: duckdb.DuckDBPyConnection, path: Path, name: str) -> int:
    try:
        found = con.execute(f"SELECT max(schema_version) FROM {name}.main.meta").fetchone()[0]
    except duckdb.CatalogException:
        found = 1 if name == "results" else None
    if found is None:
        raise DataError(f"{path} is not a Siren database")
    return found


def _attach(con: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    """Attach a file read-only; one that is being written is waited for."""
    began, said = time.monotonic(), False
    while True:
        try:
            con.execute(f"ATTACH {quoted(path)} AS {name} (READ_ONLY)")
            return
        except duckdb.Error as error:
            if not catalog.is_held(str(error)):
                raise DataError(f"{path} cannot be read ({_first_line(error)})") from None
            if time.monotonic() > began + WAIT_S:
                by = catalog.holder(str(error))
                raise DataError(f"{path} is being written by {by}; wait for it to end") from None
            said = catalog.wait(str(error), began, said)


def quoted(text: Path | str) -> str:
    """A text as SQL takes it between single quotes."""
    return "'" + escaped(str(text)) + "'"


def escaped(text: str) -> str:
    """What stands between the quotes of a text in SQL."""
    return text.replace("'", "''")


def column(text: str) -> str:
    """A column's name as SQL takes it, whatever it holds."""
    return '"' + text.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines[:4] if not line.startswith(("LINE", "^"))]
    return " ".join(told) or type(error).__name__


def query(data: Path, text: str, *, db: str = "both", timeout_s: float = 60.0) -> pa.Table:
    """The rows of one read-only query.

    `score` in the query is every score of every run (read from the Parquet files). Raises DataError, one line,
    for a query that is wrong, writes, reads other files, or takes longer than timeout_s seconds (a day at most).
    """
    if not 0 < timeout_s <= DAY_S:
        raise DataError(f"--timeout {timeout_s:g} is not a number of seconds above 0 and up to {DAY_S:g}")
    with connect(data, db) as con:
        _only_reads(con, text)
        if re.search(r"(?i)\bscore\b", text) and any((data / "scores").glob("*/scores.parquet")) and db != "catalog":
            con.execute(f"CREATE TEMP VIEW score AS FROM scores({quoted(_literal(data))})")
        _confine(con, data)
        late = threading.Event()

        def stop() -> None:
            late.set()
            con.interrupt()

        timer = threading.Timer(timeout_s, stop)
        timer.start()
        try:
            return _rows(con, text, late)
        except (duckdb.Error, OSError) as error:  # OSError: from the reader, once rows have begun to come
            if late.is_set():
                raise DataError(f"the query was stopped after {timeout_s:g} s; narrow it or pass --timeout") from None
            if isinstance(error, duckdb.InterruptException):
                raise
            raise DataError(f"query: {_first_line(error)}") from None
        finally:
            timer.cancel()


def _literal(data: Path) -> str:
    """The folder's path as a glob that matches it alone."""
    return re.sub(r"([*?[])", r"[\1]", str(data))


def _confine(con: duckdb.DuckDBPyConnection, data: Path) -> None:
    """From here on a query reads no file but the scores, and takes no more than MEMORY."""
    names = (str((data / "scores").resolve()), f"{data}/scores", f"{_literal(data)}/scores")
    con.execute(f"SET allowed_directories = [{', '.join(map(quoted, names))}]")
    con.execute(f"SET memory_limit = '{MEMORY}'")
    con.execute("SET temp_directory = ''")  # a query that does not fit fails; it fills no disk
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def _rows(con: duckdb.DuckDBPyConnection, text: str, late: threading.Event) -> pa.Table:
    """The rows of a query, asked once more where DuckDB says that it was interrupted and nobody did."""
    try:
        return _bounded(con.execute(text).to_arrow_reader(65_536))
    except OSError as error:  # of a late row: now and then DuckDB tells that it stopped, and not for what
        if late.is_set() or not str(error).startswith("INTERRUPT Error"):
            raise
        return _bounded(con.execute(text).to_arrow_reader(65_536))


def _bounded(batches: pa.RecordBatchReader) -> pa.Table:
    kept, size = [], 0
    for batch in batches:
        kept.append(batch)
        size += batch.nbytes
        if size > LARGEST_BYTES:
            raise DataError(f"the rows of this query take over {LARGEST_BYTES >> 30} GiB; add a LIMIT or aggregate")
    table = pa.Table.from_batches(kept, batches.schema)
    table = table.rename_columns(_apart(table.column_names))
    for k, field in enumerate(table.schema):
        if pa.types.is_interval(field.type):  # neither CSV nor Parquet has a place for months, days and seconds
            table = table.set_column(k, field.name, pa.array(map(_spell, table.column(k).to_pylist()), pa.string()))
    return table


def _apart(names: list[str]) -> list[str]:
    """Column names, a repeated one numbered: two columns of a join are not one."""
    found: list[str] = []
    for name in names:
        tries = (name, *(f"{name}_{k}" for k in range(1, len(names) + 1)))
        found.append(next(one for one in tries if one not in found and (one == name or one not in names)))
    return found


def _spell(interval: Any) -> str | None:
    """An interval in words: 14 months 3 days 04:05:06."""
    if interval is None:
        return None
    months, days, nanoseconds = interval
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" + (f".{rest // 1000:06}" if rest else "")
    parts = [f"{months} months"] * bool(months) + [f"{days} days"] * bool(days)
    return " ".join([*parts, *([f"{'-' * (nanoseconds < 0)}{clock}"] if nanoseconds or not parts else [])])


def _only_reads(con: duckdb.DuckDBPyConnection, text: str) -> None:
    """Refuse whatever is not one query. (DuckDB splits a PIVOT into CREATE TYPE, without a text, and SELECT.)"""
    try:
        statements = con.extract_statements(text)
    except duckdb.Error as error:
        raise DataError(f"query: {_first_line(error)}") from None
    kinds = [s.type for s in statements if s.type != duckdb.StatementType.CREATE or s.query.strip()]
    if len(kinds) != 1 or kinds[0] not in _READS:
        found = ", ".join(s.type.name for s in statements) or "nothing"
        raise DataError(f"query: one SELECT is expected, found {found}; the databases are read-only")
    if kinds[0] == duckdb.StatementType.EXPLAIN:
        inner = re.sub(r"(?is)^\s*explain(\s+analyze)?(\s*\([^)]*\))?", "", text)
        _only_reads(con, inner)


def write(table: pa.Table, form: str, output: Path | None) -> None:
    """Print the table, or write it to a file that appears whole or not at all."""
    if form not in FORMATS:
        raise DataError(f"format {form!r}; known: {', '.join(FORMATS)}")
    content = _RENDER[form](table)
    if output is not None:
        with atomic(output) as temporary:
            temporary.write_bytes(content)
    elif form == "parquet" and sys.stdout.isatty():
        raise DataError("Parquet is not text; pass --output FILE or redirect it")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def cell(value: Any) -> str:
    """A value as text: floats with six significant digits, NULL as nothing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def markdown(table: pa.Table) -> str:
    """A GitHub table; numbers to the right. No cell is markup, a link or an image."""
    right = numeric(table)
    rows = [[card.plain(cell(v)) for v in row.values()] for row in table.to_pylist()]
    head = [card.plain(name) for name in table.column_names]
    lines = [head, ["--:" if r else "---" for r in right], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(table: pa.Table) -> str:
    """A LaTeX tabular with booktabs rules; numbers to the right."""
    align = "".join("r" if right else "l" for right in numeric(table))
    rows = [" & ".join(_tex(cell(v)) for v in row.values()) + r" \\" for row in table.to_pylist()]
    head = " & ".join(_tex(name) for name in table.column_names) + r" \\"
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    line = " ".join(text.splitlines())  # an empty line ends a paragraph, which no cell can hold
    return "".join(words.get(c, rf"\{c}" if c in "&%$#_{}" else c) for c in line)


def numeric(table: pa.Table) -> list[bool]:
    """Which columns hold numbers, as numbers or formatted."""
    return [
        pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type)
        or (pa.types.is_string(f.type) and _all_numbers(table[f.name].to_pylist()))
        for f in table.schema
    ]  # fmt: skip


def _all_numbers(texts: list[str | None]) -> bool:
    there = [text for text in texts if text and text != "not run"]
    return bool(there) and all(re.fullmatch(r"[-+]?[\d,]*\.?\d+", text) for text in there)


def _aligned(table: pa.Table) -> bytes:
    rows = [[" ".join(cell(v).splitlines()) for v in row.values()] for row in table.slice(0, SHOWN_ROWS).to_pylist()]
    head = table.column_names
    width = [max(map(len, column)) for column in zip(head, *rows)]
    right = numeric(table)
    lines = [head, ["-" * w for w in width], *rows]
    text = "".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, width, right)).rstrip() + "\n"
        for line in lines
    )
    more = table.num_rows - len(rows)
    text += f"... {more} more rows; --format csv gives all\n" if more > 0 else ""
    return text.encode()


def _json(table: pa.Table) -> bytes:
    rows = [{k: _plain(v) for k, v in row.items()} for row in table.to_pylist()]
    return (json.dumps(rows, indent=1, ensure_ascii=False, default=str) + "\n").encode()


def _plain(value: Any) -> Any:
    """A value as JSON has it: no NaN, and of DuckDB's sums and decimals the number."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _csv(table: pa.Table) -> bytes:
    for k, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            text = [None if v is None else json.dumps(_plain(v), default=str) for v in table.column(k).to_pylist()]
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            text = [v and inert(v) for v in table.column(k).to_pylist()]
        else:
            continue
        table = table.set_column(k, field.name, pa.array(text, pa.string()))
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(quoting_style="needed"))
    return sink.getvalue().to_pybytes()


def inert(text: str) -> str:
    """Text that a spreadsheet would take for a formula, marked as text; numbers and a lone sign stay as they are."""
    formula = len(text) > 1 and text[0] in "=+-@\t\r" and not re.fullmatch(r"[-+][\d.,]+(e[-+]?\d+)?%?", text)
    return f"'{text}" if formula else text


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


_RENDER: dict[str, Callable[[pa.Table], bytes]] = {
    "table": _aligned, "csv": _csv, "json": _json, "markdown": lambda t: markdown(t).encode(),
    "latex": lambda t: latex(t).encode(), "parquet": _parquet,
}  # fmt: skip
