"""results.duckdb -> leaderboard.md: every table is a query of leaderboard.sql, printed with the SQL that made it.

No time, path or machine of the writing enters the page, and every query has an order: the same results give
the same bytes.
"""

import re
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmark import card, finished
from benchmark.results import collect
from ingest.files import atomic, lock
from reports import cite, sql

WIDEST = 16  # subsets in one table; more go on in the next one


def statements(file: str = "leaderboard.sql") -> dict[str, str]:
    """Name -> SQL of leaderboard.sql, or of another file beside it."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    parts = re.split(r"(?m)^-- name: (\w+)\n", text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def write(data: Path) -> Path:
    """Write DATA/reports/leaderboard.md, and beside it costs.md; returns the path of the first.

    Runs that were not yet collected are collected first. Raises DataError when there is nothing to show.
    """
    finished.check(data)
    if any((data / "scores").glob("*/*.json")):
        collect(data)
    with lock(data / "reports" / ".lock"):
        with sql.connect(data, "results") as con:
            if (data / "catalog.duckdb").exists():
                sql.attach(con, data / "catalog.duckdb", "catalog")
            settle(con)
            pages = {"leaderboard.md": Page(con).text(), "costs.md": Page(con).costs()}
        for name, page in pages.items():
            with atomic(data / "reports" / name) as temporary:
                temporary.write_text(page, encoding="utf-8")
    return data / "reports" / "leaderboard.md"


def settle(con: duckdb.DuckDBPyConnection) -> None:
    """Compute the views that most queries start from once, as temporary tables of the same names."""
    for view in ("current_run", "standing", "leaderboard", "headline", "seeds"):
        con.execute(f"CREATE TEMP TABLE {view} AS FROM results.main.{view}")


class Page:
    """The page, from an open results catalog (and the catalog attached as `catalog`, where there is one)."""

    def __init__(self, con: duckdb.DuckDBPyConnection):
        self.con, self.queries = con, statements()

    def text(self) -> str:
        """All of leaderboard.md."""
        runs = self._rows("SELECT count(*), count(DISTINCT detector), count(DISTINCT protocol) FROM current_run")[0]
        parts = ["# Leaderboard\n", self._banner(), _HOW]
        if not runs[0]:
            return "\n".join([*parts, "No run has finished yet: `python -m benchmark run`.\n"])
        counted = zip(runs, ("run", "detector", "protocol"))
        said = [f"{number} {word}{'s' * (number != 1)}" for number, word in counted]
        parts += [f"{said[0]} of {said[1]} on {said[2]}.\n", *self._overview()]
        for protocol, title in self._rows("SELECT protocol, min(title) FROM current_run GROUP BY 1 ORDER BY 1"):
            parts += self._protocol(protocol, title)
        ran = "SELECT * FROM grid WHERE grid IN (SELECT grid FROM grid_figure) ORDER BY grid"
        for grid, title, source, note in self._rows(ran):
            parts += self._grid(grid, title, f"{source}. {note[:1].upper()}{note[1:]}".rstrip(". ") + ".")
        parts += self._end()
        return "\n".join(part for part in parts if part)

    def costs(self) -> str:
        """All of costs.md: clock times, which differ from run to run, are kept off the leaderboard."""
        words = (
            "# Costs\n\nMedians over seeds, measured when the runs ran; one row per detector and protocol. Real-time "
            "factor: seconds of scoring per second of audio that the detector hears: its fixed length, or the clip.\n"
        )
        beside = (
            "As `python -m benchmark throughput` measured here; published: Zhang et al., Table IX, on a GTX 4090 in "
            "batches of 32 clips of 48,000 samples.\n"
        )
        parts = [words, self._table("costs"), self._optional("## Beside Table IX\n", beside, "complexity")]
        return "\n".join(part for part in parts if part)

    def _rows(self, query: str) -> list[tuple]:
        return self.con.sql(query).fetchall()

    def simulated_and_partial(self) -> tuple[int, int]:
        """How many protocols were trained or scored on simulated corpora, and how many lack some of their trials."""
        return self._rows(
            "SELECT count(DISTINCT protocol) FILTER (simulated), count(DISTINCT protocol) FILTER (partial) "
            "FROM current_run"
        )[0]

    def mixed(self) -> int:
        """How many protocols have runs on trials that are not the same."""
        return self._rows(
            'SELECT count(*) FROM (SELECT protocol FROM current_run WHERE NOT "external" GROUP BY protocol '
            "HAVING count(DISTINCT trials_fingerprint) > 1)"
        )[0][0]

    def _banner(self) -> str:
        simulated, partial = self.simulated_and_partial()
        mixed, lines = self.mixed(), []
        if simulated:
            lines.append(
                f"> **Simulated data.** Protocols trained or scored on corpora that Siren made itself: {simulated}. "
                "Their figures show that the pipeline works; they say nothing about real speech.\n"
            )
        if partial:
            lines.append(
                f"> **Partial data.** Protocols that lack some of their trials: {partial}. Their figures do not "
                "compare with complete ones.\n"
            )
        if mixed:
            lines.append(
                f"> **Mixed trials.** Protocols with runs on trials that are not the same: {mixed}. {MIXED} Their "
                "sections name them.\n"
            )
        return "\n".join(lines)

    def _overview(self) -> list[str]:
        scenarios = [row[0] for row in self._rows("SELECT DISTINCT scenario FROM current_run ORDER BY 1")]
        columns = ", ".join(
            f"coalesce(format('{{:.2f}}', 100 * avg(eer) FILTER (scenario = {sql.quoted(s)})), '') AS {sql.column(s)}"
            for s in scenarios
        )
        return [
            "## Overview\n",
            "EER in percent by scenario: median over seeds, then mean over the protocols of the scenario. Detectors "
            "that ran more protocols stand first; only means over the same protocols compare; robustness is in its "
            "own column alone. Where a detector ran a protocol with several configurations, the one with the fewest "
            "changed settings stands for it (of these the one with the most runs); the others are in the protocol's "
            "table. The interval of the mean over all protocols is the mean of theirs. GMAC and real-time factor "
            "(seconds of scoring per second of audio) are those of `python -m benchmark throughput`, where it was run; "
            "what runs themselves cost differs from time to time and is in [costs.md](costs.md).\n",
            self._table("overview", columns=columns, speeds=_SPEEDS if self._rows("FROM throughput LIMIT 1") else ""),
            self._optional(
                "### Averages over protocols\n",
                "Averages that papers print over several protocols, beside the same of detectors that ran all of them. "
                "Published figures are quotations.\n",
                "across",
            ),
            self._optional(
                "### What a leak is worth\n",
                "A published division that leaks, and its twin without the leak: medians over seeds.\n",
                "twins",
            ),
            self._optional(
                "### Shortcut floor\n",
                "What duration, silence, level or file format alone can tell: tie-safe EER of the best single "
                "property, turned the way that separates train, or of a small tree on all.\n",
                "floor",
            ),
        ]

    def subset_columns(self, protocol: str) -> list[str]:
        """The columns of each table `subsets`, together all subsets; none for a protocol with one subset."""
        subsets = self._rows(
            f"SELECT DISTINCT subset, kind FROM leaderboard WHERE protocol = {sql.quoted(protocol)} AND metric = 'eer' "
            "ORDER BY kind <> 'subset', kind, subset"
        )
        if len(subsets) < 2:
            return []
        columns = [
            f"coalesce(format('{{:.2f}}', 100 * max(median) FILTER (subset = {sql.quoted(s)})), '') AS {sql.column(s)}"
            for s, _ in subsets
        ]
        tables = -(-len(columns) // WIDEST)
        each = -(-len(columns) // tables)
        return [", ".join(columns[first : first + each]) for first in range(0, len(columns), each)]

    def licences(self, protocol: str) -> list[str]:
        """Sentences: the licences of the protocol's corpora, and of weights that its runs started from."""
        data = cite.licences(protocol)
        started = self._rows(
            "SELECT DISTINCT detector FROM current_run WHERE (NOT trained OR backbone_sha256 IS NOT NULL "
            "OR (config ->> 'weights') IS NOT NULL) "
            f'AND NOT "external" AND protocol = {sql.quoted(protocol)} ORDER BY 1'
        )
        weights = "; ".join(f"{name}: {told}" for (name,) in started if (told := cite.weights_of(name)))
        lines = [f"Data: {data}." if data else "Data: licences not known, the protocol is not among Siren's own."]
        return lines + ([f"Weights that runs started from: {weights}."] if weights else [])

    def _protocol(self, protocol: str, title: str | None) -> list[str]:
        columns = self.subset_columns(protocol)
        tables = "\n".join(self._table("subsets", protocol=protocol, columns=some) for some in columns)
        return [
            f"## {card.plain(protocol)}\n",
            f"{card.plain(title)}\n" if title else "",
            *(f"{card.plain(line)}\n" for line in cite.known(protocol)),
            "".join(f"{line}\n\n" for line in self.licences(protocol)).rstrip("\n") + "\n",
            self._table("protocol", protocol=protocol),
            self._optional("", "What `#` stands for\n", "configurations", where=f"protocol = {sql.quoted(protocol)}"),
            self._optional("", f"**Mixed trials**, the latest first. {MIXED}\n", "versions", protocol=protocol),
            self._optional(
                "", "Single seeds move the mean here; the median stands for the detector\n", "moved", protocol=protocol
            ),
            f"EER % by subset, median over seeds\n\n{tables}" if tables else "",
            self._optional("", "Other metrics, median over seeds\n", "metrics", protocol=protocol),
            self._optional(
                "", "Published beside measured. Published figures are quotations.\n", "compared", protocol=protocol
            ),
            self._optional(
                "",
                "**Shortcut**: in these test subsets one property, without any synthesis heard, is above 0.75 AUC\n",
                "shortcuts",
                protocol=protocol,
            ),
            self._optional("", "Look twice at these scores\n", "flagged", protocol=protocol),
        ]

    def _grid(self, grid: str, title: str, words: str) -> list[str]:
        columns = self._rows(f'SELECT DISTINCT "column" FROM grid_column WHERE grid = {sql.quoted(grid)} ORDER BY 1')

        def shown(form: str, factor: str) -> str:
            return ", ".join(
                f"coalesce(format('{form}', {factor}max({value}) FILTER (\"column\" = {sql.quoted(column)})), '') "
                f"AS {sql.column(name)}"
                for (column,) in columns
                for value, name in (("median", column), ("published", f"{column}, published"))
            )

        return [
            f"## {card.plain(grid)}\n",
            f"{card.plain(title)}. {card.plain(words)}\n",
            self._table("grid", grid=grid, columns=shown("{:.2f}", "100 * ")),
            self._optional(
                "",
                "What the detector tells of its inside: means over test trials, median over seeds\n",
                "grid_diagnostics",
                grid=grid,
                columns=shown("{:.3f}", ""),
            ),
        ]

    def _end(self) -> list[str]:
        parts = [self._optional("## Failed runs\n", "", "failures")]
        if self._rows("SELECT count(*) FROM duckdb_databases() WHERE database_name = 'catalog'")[0][0]:
            parts.append(self._optional("## Corpora\n", "", "corpora"))
        return parts

    def _optional(self, heading: str, words: str, name: str, **values: str) -> str:
        """Heading, words and table, or nothing when the table is empty."""
        table = self._run(name, **values)
        if not table.num_rows:
            return ""
        return "\n".join(part for part in (heading, words, self._rendered(table, name, **values)) if part)

    def _table(self, name: str, **values: str) -> str:
        return self._rendered(self._run(name, **values), name, **values)

    def _run(self, name: str, **values: str) -> pa.Table:
        return self.con.execute(self._sql(name, **values)).to_arrow_table()

    def _sql(self, name: str, **values: str) -> str:
        values = {key: sql.escaped(v) if key in ("protocol", "grid") else v for key, v in values.items()}
        return self.queries[name].format(**values)

    def _rendered(self, table: pa.Table, name: str, **values: str) -> str:
        query = self._sql(name, **values)
        longest = max(map(len, re.findall("`+", query)), default=0)
        mark = "`" * max(3, longest + 1)  # no name in the query ends the block
        return f"{sql.markdown(table)}\n<details><summary>SQL</summary>\n\n{mark}sql\n{query}\n{mark}\n\n</details>\n"


MIXED = (
    "Labels, audio or copies were changed between these runs, so they do not compare: repeat the earlier ones with "
    "python -m benchmark run."
)
_SPEEDS = """,
       coalesce(format('{:.2f}', any_value(gmac)), '') AS "GMAC",
       coalesce(format('{:.4f}', any_value(real_time_factor)), '') AS "real-time factor\""""
_HOW = (
    "EER by the official ASVspoof convention, in percent, lower is better. Test was scored once, from the weights that "
    "were best on dev. Intervals are 95 % bootstrap intervals, over speakers where the corpus names them, else over "
    "trials; without any error they end at the exact bound for so many trials. That of an average is the mean of its "
    "parts' intervals, which is on the wide side. With several seeds the median stands for the detector, beside it "
    "mean ± deviation and range, and the interval is that of the run nearest to the median. `≈ rank` is the best rank "
    "whose EER the interval holds: these trials do not separate the two. A figure is `average` (mean over subsets) or "
    "`pooled` only where its subset says so.\n"
)
