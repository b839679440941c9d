"""results.duckdb -> DATA/reports/site: static pages that open from a file, ask for nothing, and are the same again.

A page per detector, protocol and run. Every table is a query that stands below it. Plots are drawn per protocol and
detector; a run has its own learning curves only while no more than RUN_PLOTS runs are shown. Rows of runs are read in
one pass, so that memory does not grow with their number.
"""

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmark import finished
from ingest.files import atomic, lock
from reports import cite, figures, leaderboard, pages, plots, sql
from reports.figures import Plot
from reports.pages import Addresses

RUN_PLOTS = 60  # runs with learning curves of their own
OVERFULL = 20_000  # attack cells beyond which pages of runs leave them to their protocol
COLUMNS = """SELECT column_name, comment FROM duckdb_columns()
    WHERE database_name = 'results' AND table_name = 'run' ORDER BY column_index"""


def write(data: Path) -> Path:
    """Write DATA/reports/site, and remove pages of runs that are gone; returns its index.html.

    Raises DataError when no run has finished.
    """
    finished.check(data)
    with lock(data / "reports" / ".lock"):
        return _write(data, data / "reports" / "site")


def _write(data: Path, folder: Path) -> Path:
    written = set()
    with figures.opened(data) as con:
        for name, content in Site(con, data).all():
            path = folder / name
            written.add(path)
            encoded = content.encode()
            if not (path.is_file() and path.read_bytes() == encoded):
                with atomic(path, sync=False) as temporary:
                    temporary.write_bytes(encoded)
    for path in folder.rglob("*"):
        if path.is_file() and path not in written:
            path.unlink()
    return folder / "index.html"


class Site:
    """The pages of one results catalog, opened by `figures.opened`."""

    def __init__(self, con: duckdb.DuckDBPyConnection, data: Path):
        self.con, self.data = con, data
        self.queries = {**leaderboard.statements(), **leaderboard.statements("site.sql")}
        self.markdown = leaderboard.Page(con)
        self._asked: tuple[str, pa.Table] = ("", pa.table({}))
        self.protocols, self.entries, self.runs = (
            Addresses(
                folder, [str(row[0]) for row in con.execute(f"SELECT DISTINCT {column} FROM current_run").fetchall()]
            )
            for folder, column in (("protocol", "protocol"), ("detector", "entry"), ("run", "run_id"))
        )

    def all(self) -> Iterator[tuple[str, str]]:
        """(path below the site, HTML), one page at a time."""
        yield self._index()
        yield self._list("protocols", "Protocols")
        yield self._list("detectors", "Detectors")
        drawn = [self._figure(plot) for plot in figures.of_all(self.con)]
        nothing = pages.paragraph("Nothing to draw yet: figures of the whole compare several detectors or protocols.")
        yield "figures.html", pages.page("Figures", drawn or [nothing], at="figures.html")
        for protocol in self.protocols.of:
            yield self._protocol(protocol)
        for entry in self.entries.of:
            yield self._detector(entry)
        yield from self._runs()

    def _links(self, up: str) -> dict[str, pages.Link]:
        entry = self.entries.link(up)
        return {
            "protocol": self.protocols.link(up), "run": self.runs.link(up),
            "detector": lambda name: entry(name) or entry(name.rpartition(" #")[0]),
        }  # fmt: skip

    def _table(
        self, name: str, caption: str, *, up: str = "../", id: str = "", filters: tuple = (), **values: str
    ) -> str:
        query = self._sql(name, **values)
        rows = self.con.execute(query).to_arrow_table()
        return pages.table(rows, query, caption, links=self._links(up), name=id, filters=filters)

    def _sql(self, name: str, **values: str) -> str:
        quoted = {k: sql.escaped(v) if k in ("protocol", "entry") else v for k, v in values.items()}
        return self.queries[name].format(**quoted)

    def _figure(self, plot: Plot) -> str:
        if plot.query != self._asked[0]:  # the figures of a protocol share one
            self._asked = (plot.query, self.con.execute(plot.query).to_arrow_table())
        rows = self._asked[1]
        few = 0 < rows.num_rows <= pages.LONGEST
        beside = pages.table(rows, plot.query, plot.title, sortable=False) if few else pages.asked(plot.query)
        return pages.figure(plots.svg(plot.draw(), plot.name), plot.name, plot.title, plot.text, beside)

    def _banner(self) -> str:
        simulated, partial = self.markdown.simulated_and_partial()
        told = []
        if simulated:
            told.append(
                f"Simulated data: {simulated} protocols were trained or scored on corpora that Siren made itself. "
                "Their figures show that the pipeline works; they say nothing about real speech."
            )
        if partial:
            told.append(
                f"Partial data: {partial} protocols lack some of their trials and do not compare with whole ones."
            )
        if mixed := self.markdown.mixed():
            told.append(
                f"Mixed trials: protocols with runs on trials that are not the same: {mixed}. {leaderboard.MIXED}"
            )
        return "".join(pages.paragraph(words, note=True) for words in told)

    def _index(self) -> tuple[str, str]:
        filters = ("protocol", "scenario", "data")
        table = self._table("index", "EER by detector and protocol", up="", id="leaderboard", filters=filters)
        words = (
            "EER by the official ASVspoof convention, in percent, lower is better; the median over seeds, with the "
            "95 % bootstrap interval of the run nearest to it (without any error: up to the exact bound for so many "
            "trials). ≈ rank is the best rank whose EER the interval holds: these trials do not separate the two. The "
            "seed range is worst minus best. Choose a column's heading to sort."
        )
        return "index.html", pages.page("Leaderboard", [self._banner(), pages.paragraph(words), table], at="index.html")

    def _list(self, name: str, title: str) -> tuple[str, str]:
        table = self._table(name, title, up="", id=name, filters=("scenario", "data"))
        return f"{name}.html", pages.page(title, [table], at=f"{name}.html")

    def _protocol(self, protocol: str) -> tuple[str, str]:
        title, partial, simulated = self.con.execute(
            "SELECT min(title), bool_or(partial), bool_or(simulated) FROM current_run WHERE protocol = ?",
            [protocol],
        ).fetchone()
        flags = " and ".join(word for word, on in (("simulated", simulated), ("partial", partial)) if on)
        parts = [
            pages.paragraph(title or ""),
            pages.paragraph(f"Its data are {flags}." if flags else "", note=True),
            *(pages.paragraph(line) for line in (*cite.known(protocol), *self.markdown.licences(protocol))),
            self._table("protocol", "EER, median over seeds", protocol=protocol),
            self._configurations("protocol", protocol),
            self._table("versions", f"Mixed trials, the latest first. {leaderboard.MIXED}", protocol=protocol),
            self._subsets(protocol),
        ]
        parts += [self._figure(plot) for plot in figures.of_protocol(self.con, self.data, protocol)]
        for name, caption in _PROTOCOL_TABLES.items():
            parts.append(self._table(name, caption, protocol=protocol))
        parts.append(self._table("runs_of_protocol", "Runs", protocol=protocol))
        return self.protocols.of[protocol], pages.page(protocol, parts, at=self.protocols.of[protocol])

    def _subsets(self, protocol: str) -> str:
        caption = "EER % by subset, median over seeds"
        return "".join(
            self._table("subsets", caption, protocol=protocol, columns=columns)
            for columns in self.markdown.subset_columns(protocol)
        )

    def _configurations(self, column: str, of: str) -> str:
        return self._table("configurations", "What # stands for", where=f"{column} = {sql.quoted(of)}")

    def _detector(self, entry: str) -> tuple[str, str]:
        parts = [self._table("detector", "EER by protocol: median, lowest and highest over seeds", entry=entry)]
        parts.append(self._configurations("entry", entry))
        parts += [self._figure(plot) for plot in figures.of_detector(self.con, entry)]
        parts.append(self._diagnostics(entry))
        parts.append(self._table("runs_of_detector", "Runs", entry=entry))
        return self.entries.of[entry], pages.page(entry, parts, at=self.entries.of[entry])

    def _diagnostics(self, entry: str) -> str:
        """What a detector tells of its inside, a column each; nothing for one that does not."""
        named = self.con.execute(
            "SELECT DISTINCT name, meaning FROM diagnostic JOIN current_run USING (run_id) "
            "WHERE entry = ? ORDER BY name",
            [entry],
        ).fetchall()
        if not named:
            return ""
        columns = ", ".join(
            f"coalesce(format('{{:.3f}}', median(value) FILTER (name = {sql.quoted(name)})), '') AS {sql.column(name)}"
            for name, _ in named
        )
        words = "; ".join(f"{name}: {meaning}" for name, meaning in named)
        return pages.paragraph(f"{words}.") + self._table("diagnostics", _INSIDE, entry=entry, columns=columns)

    def _runs(self) -> Iterator[tuple[str, str]]:
        comments = dict(self.con.execute(COLUMNS).fetchall())
        results = _Grouped(self.con, self._run_sql("results"))
        cells = self.con.execute("SELECT count(*) FROM breakdown WHERE factor = 'attack'").fetchone()[0]
        attacks = _Grouped(self.con, self._run_sql("attacks")) if cells <= OVERFULL else None
        about = _reader(self.con)
        about.execute("SELECT * FROM results.run WHERE run_id IN (SELECT run_id FROM current_run) ORDER BY run_id")
        names = [column[0] for column in about.description]
        curves = len(self.runs.of) <= RUN_PLOTS
        while batch := about.fetchmany(256):
            for row in batch:
                facts = dict(zip(names, row))
                run = facts["run_id"]
                parts = [self._provenance(facts, comments)]
                for rows, caption in ((results, "Results"), (attacks, "EER by attack")):
                    if rows is not None and (found := rows.of(run)):
                        query = self._run_sql(rows.name, run)
                        parts.append(
                            pages.bare_table(rows.names, rows.numeric, found, query, caption, links={}, sortable=False)
                        )
                if curves:
                    parts += [self._figure(plot) for plot in _learning(self.con, run)]
                else:
                    parts.append(pages.paragraph("Learning curves: see the page of the detector."))
                yield self.runs.of[run], pages.page(run, parts, at=self.runs.of[run], script=False)

    def _provenance(self, facts: dict[str, Any], comments: dict[str, str]) -> str:
        query = f"SELECT * FROM run WHERE run_id = {sql.quoted(facts['run_id'])}"
        links = self._links("../")
        rows = [(name, value, comments.get(name)) for name, value in facts.items() if value is not None]
        body = "".join(
            f"<tr><th scope=row>{pages.text(name)}</th><td class=long>{_fact(name, value, links)}</td>"
            f"<td>{pages.text(words)}</td></tr>\n"
            for name, value, words in rows
        )
        return (
            "<div class=wide tabindex=0 role=region aria-label=Provenance><table><caption>Provenance</caption>"
            "<thead><tr><th scope=col>column</th><th scope=col>value</th><th scope=col>meaning</th></tr></thead>"
            f"<tbody>{body}</tbody></table></div>\n{pages.asked(query)}"
        )

    def _run_sql(self, name: str, run: str | None = None) -> str:
        """The query of one run, or of all current runs with run_id as the first column."""
        if run is None:
            which = "run_id IN (SELECT run_id FROM current_run)"
            return self.queries[name].format(one="run_id,", where=f"WHERE {which}", which=f"{which} AND")
        which = f"run_id = {sql.quoted(run)}"
        return self.queries[name].format(one="", where=f"WHERE {which}", which=f"{which} AND")


class _Grouped:
    """Rows ordered by their first column, a run, given out run by run."""

    def __init__(self, con: duckdb.DuckDBPyConnection, query: str):
        self.name = "attacks" if "breakdown" in query else "results"
        cursor = _reader(con)
        cursor.execute(query)
        self.names = [column[0] for column in cursor.description][1:]
        self.numeric = [name not in ("role", "subset", "kind", "attack", "note") for name in self.names]
        rows = itertools.chain.from_iterable(iter(functools.partial(cursor.fetchmany, 4096), []))
        self._groups = itertools.groupby(rows, key=lambda row: row[0])
        self._next = next(self._groups, None)

    def of(self, run: str) -> list[tuple]:
        """The rows of a run, without its name; runs must be asked for in order."""
        while self._next is not None and self._next[0] < run:
            self._next = next(self._groups, None)
        if self._next is None or self._next[0] != run:
            return []
        found = [row[1:] for row in self._next[1]]
        self._next = next(self._groups, None)
        return found


def _reader(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A second connection, whose rows can be taken while the first one answers other questions."""
    reader = con.cursor()
    reader.execute("SET search_path = 'results.main'")
    return reader


def _fact(name: str, value: Any, links: dict[str, pages.Link]) -> str:
    address = (
        links["protocol"](value) if name == "protocol" else links["detector"](value) if name == "detector" else None
    )
    return f'<a href="{pages.text(address)}">{pages.text(value)}</a>' if address else pages.text(value)


def _learning(con: duckdb.DuckDBPyConnection, run: str) -> Iterator[Plot]:
    query = f"SELECT name, epoch, value FROM curve WHERE run_id = {sql.quoted(run)} ORDER BY name, epoch"
    series: dict[str, list[tuple[float, float]]] = {}
    for name, epoch, value in con.execute(query).fetchall():
        if value is not None:
            series.setdefault(name, []).append((epoch, value))
    if any(len(points) > 1 for points in series.values()):
        ends = "; ".join(f"{name} ends at {points[-1][1]:.4g}" for name, points in series.items())
        yield Plot("curves", "Learning curves", f"{ends}.", query, functools.partial(plots.curves, series, y="value"))


_INSIDE = "What it tells of its inside: means over test trials, median over seeds"
_PROTOCOL_TABLES = {
    "metrics": "Other metrics, median over seeds",
    "compared": "Published beside measured; published figures are quotations",
    "moved": "Single seeds move the mean here; the median stands for the detector",
    "shortcuts": "Shortcuts: subsets in which one property alone is above 0.75 AUC",
    "flagged": "Look twice at these scores",
}
