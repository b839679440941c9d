"""Which figures the results catalog gives, each with the query behind it and its content in words.

python -m reports figures writes them all to DATA/reports/figures/ as SVG and PNG; the site shows the same ones.
Where many detectors ran, a plot holds the TOP best of its protocol: beyond that lines cannot be told apart.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from benchmark import breakdowns, finished
from benchmark.results import collect
from ingest import catalog
from ingest.cli import with_data
from ingest.files import lock
from ingest.types import DataError
from reports import leaderboard, plots, sql

TOP = 8  # detectors in one plot
LEVELS = 24  # bars, rows or columns in one plot
TRIALS = 200_000  # of a run in one plot; of a longer subset every n-th trial is drawn
FACTORS = {"attack": "attack", "codec": "codec"}
KINDS = (
    "transfer", "heat", "cost", "grid", "det", "scores", "reliability", *FACTORS.values(), "learning", "tsne",
    "gradcam", "gates",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plot:
    """name: of its files. title and text: what it shows, in words, for who cannot see it. query: the rows behind it."""

    name: str
    title: str
    text: str
    query: str
    draw: Callable[[], Figure]


def write(data: Path) -> list[str]:
    """Draw every figure of the stored runs into DATA/reports/figures/; one line per file pair or reason why not.

    Those of earlier calls that it no longer draws, as their runs are gone, are removed. Raises DataError when no run
    has finished.
    """
    from reports import latent

    finished.check(data)
    folder, drawn, lines = data / "reports" / "figures", set(), []
    with lock(data / "reports" / ".lock"), opened(data) as con:
        for plot in every(con, data):
            plots.write(plot.draw(), folder / plot.name)
            drawn.add(plot.name)
            lines.append(f"{plot.name}: {plot.title}")
        for name, figure in latent.every(con, data):
            if isinstance(figure, str):
                lines.append(f"{name}: not drawn, {figure}")
            else:
                plots.write(figure, folder / name)
                drawn.add(name)
                lines.append(f"{name}: drawn")
        for path in sorted(folder.glob("*.svg")) + sorted(folder.glob("*.png")):
            if path.stem not in drawn and path.stem.split("-")[0] in KINDS:
                path.unlink()
                lines.append(f"{path.name}: removed, nothing stored gives it any more")
    return lines


def opened(data: Path) -> duckdb.DuckDBPyConnection:
    """The results catalog, collected anew where runs came in, with its views computed once.

    Raises DataError when no run has finished.
    """
    if any((data / "scores").glob("*/*.json")):
        collect(data)
    if not (data / "results.duckdb").exists():
        raise DataError(f"{data} holds no finished run; {with_data('python -m benchmark run', data)}")
    if (data / "catalog.duckdb").exists():
        catalog.connect(data / "catalog.duckdb").close()  # that of a newer Siren is refused before anything is drawn
    con = sql.connect(data, "results")  # without the catalog: others can ingest while figures are drawn
    leaderboard.settle(con)
    if not con.execute("SELECT count(*) FROM current_run").fetchone()[0]:
        raise DataError(f"{data} holds no finished run; {with_data('python -m benchmark run', data)}")
    return con


def every(con: duckdb.DuckDBPyConnection, data: Path) -> Iterator[Plot]:
    """The figures of the whole, then of each protocol, then of each detector."""
    yield from of_all(con)
    for (protocol,) in con.execute("SELECT DISTINCT protocol FROM current_run ORDER BY 1").fetchall():
        yield from of_protocol(con, data, protocol)
    for (entry,) in con.execute("SELECT DISTINCT entry FROM current_run ORDER BY 1").fetchall():
        yield from of_detector(con, entry)


def of_all(con: duckdb.DuckDBPyConnection) -> Iterator[Plot]:
    """Heat maps of train and test corpora and of protocols and subsets, cost against EER, ablation bars."""
    for heat in (
        _heat(con, _TRANSFER, "transfer", "Train corpus against test corpus"),
        _heat(con, _PROTOCOLS, "heat", "Training protocol against test subset"),
    ):
        if heat:
            yield heat
    for name, column, words in _COSTS:
        query = _COST.format(column=column)
        points = con.execute(query).fetchall()
        if len(points) > 1:
            cheapest, most = min(points, key=lambda p: p[1]), max(p[3] for p in points)
            best = min((p for p in points if p[3] == most), key=lambda p: p[2])
            text = f"{len(points)} detectors; cheapest is {cheapest[0]}, lowest EER has {best[0]}"
            if any(p[3] < most for p in points):
                text += f" of those with a mean over {most} protocols. Means over other protocols do not compare"
            text += "."
            if len(points) > plots.FEW:
                text += " Named: those that no cheaper one undercuts."
            named = [(p[0] if p[3] == most else f"{p[0]} ({p[3]} of {most} protocols)", *p[1:3]) for p in points]
            title = f"EER against {words}"
            yield Plot(f"cost-{name}", title, text, query, functools.partial(plots.scatter, named, x=words))
    for grid, title in con.execute(
        "SELECT grid, title FROM grid WHERE grid IN (SELECT grid FROM grid_figure) ORDER BY 1"
    ).fetchall():
        yield _grid(con, grid, title)


def of_protocol(con: duckdb.DuckDBPyConnection, data: Path, protocol: str) -> Iterator[Plot]:
    """DET curves, score histogram of the best, reliability, bars by attack and by codec."""
    slug = _slug(protocol)
    query = _BEST.format(protocol=sql.escaped(protocol))
    best = [_Best(*row) for row in con.execute(query).fetchall()]
    scored = {b.entry: (b, s) for b in best if (s := scores(data, b.run_id, b.parts.split("|"))) is not None}
    if scored:
        names = ", ".join(f"{b.entry} {100 * b.eer:.2f} %" for b, _ in scored.values())
        title = f"DET curves, {protocol}"
        curves = {name: thinned(s) for name, (_, s) in scored.items()}
        text = f"EER of the runs nearest to the median: {names}."
        if any("|" in b.parts for b, _ in scored.values()):
            text += " Scores of all test subsets are drawn together."
        yield Plot(f"det-{slug}", title, text, query,
                   functools.partial(plots.det, curves))  # fmt: skip
        name, (first, both) = next(iter(scored.items()))
        whose = name if first.seed is None else f"{name}, seed {first.seed}"
        text = (
            f"{whose}: {both[0].size:,} bona fide with mean score {both[0].mean():.2f}, "
            f"{both[1].size:,} spoof with mean score {both[1].mean():.2f}."
        )
        yield Plot(f"scores-{slug}", f"Scores of {name}, {protocol}", text, query,
                   functools.partial(plots.histogram, *curves[name], threshold=first.dev_threshold))  # fmt: skip
        calibrated = {
            name: ratios for name, (b, s) in scored.items() if (ratios := _ratios(data, b.run_id, curves[name]))
        }
        if calibrated:
            text = "Scores turned into probabilities on dev; the diagonal is ideal. " + "; ".join(
                f"{name} predicts {_gap(r):.1f} points off on average" for name, r in calibrated.items()
            )
            yield Plot(f"reliability-{slug}", f"Reliability of calibrated scores, {protocol}", f"{text}.", query,
                       functools.partial(plots.reliability, calibrated))  # fmt: skip
    for factor, word in FACTORS.items():
        yield from _bars(con, protocol, factor, word, [b.entry for b in best[:4]])


def of_detector(con: duckdb.DuckDBPyConnection, entry: str) -> Iterator[Plot]:
    """Heat map over what it was trained and tested on, and the learning curves of its last trainings."""
    slug = _slug(entry)
    if not entry.startswith("shortcut_"):
        heat = _heat(con, _TRANSFER, f"transfer-{slug}", f"{entry}: train corpus against test corpus", entry)
        heat = heat or _heat(con, _PROTOCOLS, f"heat-{slug}", f"{entry}: training protocol against test subset", entry)
        if heat:
            yield heat
    query = _CURVES.format(entry=sql.escaped(entry))
    rows = con.execute(query).fetchall()
    series: dict[str, list[tuple[float, float]]] = {}
    for name, epoch, value in rows:
        series.setdefault(name, []).append((epoch, 100 * value))
    if any(len(points) > 1 for points in series.values()):
        ends = "; ".join(f"{name} ends at {points[-1][1]:.2f} %" for name, points in series.items())
        yield Plot(f"learning-{slug}", f"Dev EER by epoch, {entry}", f"{ends}.", query,
                   functools.partial(plots.curves, series, y="dev EER %"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Best:
    entry: str
    run_id: str
    seed: int | None
    eer: float
    subset: str
    dev_threshold: float | None
    parts: str


def scores(data: Path, run_id: str, parts: list[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """(bona fide, spoof) test scores of the named subsets, each clip and variant once; None without both classes."""
    path = data / "scores" / run_id / "scores.parquet"
    if not path.exists():
        return None
    try:
        named = [c for c in ("utt_id", "variant") if c in pq.read_schema(path).names] if len(parts) > 1 else []
        table = pq.read_table(
            path, columns=["subset", "label", "score", *named], read_dictionary=["label"],
            filters=[("role", "=", "test"), ("subset", "in", parts)],
        )  # fmt: skip
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({error}); delete {path.parent} and run the cell again") from None
    if named:
        table = table.group_by([*named, "label"], use_threads=False).aggregate([("score", "min")])
        table = table.rename_columns([*named, "label", "score"])
    label, score = breakdowns.encode(table["label"]), table["score"].to_numpy()
    bonafide, spoof = (np.sort(score[label.among([word])]) for word in ("bonafide", "spoof"))
    return (bonafide, spoof) if bonafide.size and spoof.size else None


def thinned(both: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of more than TRIALS sorted scores of a class every n-th: curves of them look the same."""
    return tuple(values[:: -(-values.size // TRIALS) or 1] for values in both)


def _ratios(data: Path, run_id: str, both: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    from benchmark.trained import on_dev

    calibration, _ = on_dev(data / "scores" / run_id / "scores.parquet", source=run_id)
    return None if calibration is None else (calibration.llr(both[0]), calibration.llr(both[1]))


def _gap(ratios: tuple[np.ndarray, np.ndarray]) -> float:
    """How far predicted and observed shares of bona fide lie apart in the mean over trials, in points."""
    predicted, observed, share = plots.reliability_points(*ratios)
    return float(100 * np.abs(predicted - observed) @ share)


@dataclass(frozen=True, slots=True)
class _Heat:
    """What a heat map is of: the names of its rows and columns, and its query."""

    rows: str
    columns: str
    query: str


def _heat(
    con: duckdb.DuckDBPyConnection, of: _Heat, name: str, title: str, entry: str | None = None
) -> Plot | None:  # fmt: skip
    only = f"AND entry = {sql.quoted(entry)}" if entry else "AND NOT starts_with(detector, 'shortcut_')"
    query = of.query.format(only=only)
    found = con.execute(query).fetchall()
    rows, columns = (sorted({cell[k] for cell in found}) for k in (0, 1))
    if len(found) < 2 or (entry and len(rows) < 2):
        return None
    over = "seeds" if entry else "detectors and seeds"
    text = f"{len(rows)} {of.rows} by {len(columns)} {of.columns}, median over {over}"
    columns = _common(found, columns)
    rows = [row for row in rows[:LEVELS] if any(cell[0] == row and cell[1] in columns for cell in found)]
    values = np.full((len(rows), len(columns)), np.nan)
    for row, column, value in found:
        if row in rows and column in columns:
            values[rows.index(row), columns.index(column)] = value
    low, high = min(found, key=lambda c: c[2]), max(found, key=lambda c: c[2])
    text += f"; lowest {low[0]} on {low[1]}, {low[2]:.2f} %, highest {high[0]} on {high[1]}, {high[2]:.2f} %."
    if len(columns) < len({c[1] for c in found}) or len(rows) < len({c[0] for c in found}):
        text += f" Drawn: {len(rows)} {of.rows} and the {len(columns)} {of.columns} that most of them share."
    return Plot(name, title, text, query, functools.partial(plots.heat, rows, columns, values))


def _common(cells: list[tuple], columns: list[str]) -> list[str]:
    count = {column: sum(cell[1] == column for cell in cells) for column in columns}
    return sorted(sorted(columns, key=lambda c: (-count[c], c))[:LEVELS])


def _bars(con: duckdb.DuckDBPyConnection, protocol: str, factor: str, word: str, entries: list[str]) -> Iterator[Plot]:
    query = _CELLS.format(protocol=sql.escaped(protocol), factor=factor, entries=", ".join(map(sql.quoted, entries)))
    rows = con.execute(query).fetchall() if entries else []
    levels = list(dict.fromkeys(row[0] for row in rows))
    if len(levels) < 2:
        return
    found = {(level, entry): value for level, entry, value, _ in rows}
    series = {entry: [found.get((level, entry)) for level in levels[:LEVELS]] for entry in entries}
    series = {entry: values for entry, values in series.items() if any(v is not None for v in values)}
    known = [row for row in rows if row[2] is not None]
    if not known:
        return
    worst = max(known, key=lambda row: row[2])
    text = f"{len(levels)} levels, {len(series)} detector{'s' * (len(series) > 1)}; "
    text += f"hardest is {worst[0]} for {worst[1]}, {worst[2]:.2f} %. Each in the subset with the most trials of it."
    text += f" Drawn: the first {LEVELS}." if len(levels) > LEVELS else ""
    yield Plot(f"{word}-{_slug(protocol)}", f"EER by {word}, {protocol}", text, query,
               functools.partial(plots.bars, levels[:LEVELS], series))  # fmt: skip


def _grid(con: duckdb.DuckDBPyConnection, grid: str, title: str) -> Plot:
    query = _GRID.format(grid=sql.escaped(grid))
    rows = con.execute(query).fetchall()
    levels = list(dict.fromkeys(row[0] for row in rows))
    columns = list(dict.fromkeys(row[1] for row in rows))
    found = {(level, column): (median, published) for level, column, median, published in rows}
    series = {c: [found.get((level, c), (None, None))[0] for level in levels] for c in columns}
    marks = {c: [found.get((level, c), (None, None))[1] for level in levels] for c in columns}
    text = "; ".join(f"{level}, {column}: {value:.2f} %" for level, column, value, _ in rows if value is not None)
    return Plot(f"grid-{_slug(grid)}", title, f"{text}.", query,
                functools.partial(plots.bars, levels, series, marks=marks))  # fmt: skip


def _slug(name: str) -> str:
    """A part of a file's name and of an element's id, whatever a run calls its protocol or detector."""
    return "".join(c if c.isalnum() or c == "_" else "-" for c in name)[:100]


_PROTOCOLS = _Heat(
    "protocols",
    "test subsets",
    """SELECT protocol, subset, round(100 * median(median), 2) AS "EER %"
FROM   seeds SEMI JOIN (FROM standing WHERE trained) here USING (entry, protocol, config_id)
WHERE  metric = 'eer' AND kind = 'subset' AND median IS NOT NULL {only}
GROUP  BY protocol, subset
ORDER  BY protocol, subset""",
)
_TRANSFER = _Heat(
    "train corpora",
    "test corpora",
    """SELECT train, test, round(100 * median(eer), 2) AS "EER %"
FROM   transfer SEMI JOIN standing USING (run_id)
WHERE  eer IS NOT NULL {only}
GROUP  BY train, test
ORDER  BY train, test""",
)
_COSTS = (("parameters", "parameters", "parameters"), ("scoring", "1000 * score_s / nullif(trials, 0)", "ms per trial"))
_COST = """WITH costs AS (
    SELECT entry, median({column}) AS cost
    FROM   cost
    WHERE  NOT starts_with(detector, 'shortcut_') AND run_id IN (SELECT run_id FROM standing)
    GROUP  BY entry
), entries AS (
    SELECT entry, protocol, median(value) AS eer
    FROM   headline
    WHERE  metric = 'eer' AND scenario <> 'robustness' AND run_id IN (SELECT run_id FROM standing)
    GROUP  BY ALL
)
SELECT entry AS detector, round(any_value(cost), 4) AS cost, round(100 * avg(eer), 2) AS "EER %",
       count(*) AS protocols
FROM   costs JOIN entries USING (entry)
WHERE  cost > 0 AND eer IS NOT NULL
GROUP  BY entry
ORDER  BY entry"""
_BEST = f"""WITH runs AS (
    SELECT h.entry, h.run_id, h.seed, h.value, h.subset, h.kind, r.dev_threshold,
           median(h.value) OVER (PARTITION BY h.entry) AS middle
    FROM   headline h JOIN current_run r USING (run_id)
    WHERE  h.protocol = '{{protocol}}' AND h.metric = 'eer' AND h.value IS NOT NULL
           AND NOT starts_with(h.detector, 'shortcut_') AND h.run_id IN (SELECT run_id FROM standing)
), nearest AS (
    SELECT entry, run_id, seed, value, subset, kind, dev_threshold, middle
    FROM   runs
    QUALIFY row_number() OVER (PARTITION BY entry ORDER BY abs(value - middle), seed, run_id) = 1
)
SELECT entry AS detector, run_id AS run, seed, value AS eer, subset, dev_threshold,
       CASE WHEN kind = 'subset' THEN subset ELSE (
           SELECT string_agg(DISTINCT l.subset, '|' ORDER BY l.subset) FROM leaderboard l
           WHERE l.run_id = n.run_id AND l.kind = 'subset') END AS parts
FROM   nearest n
ORDER  BY middle, entry
LIMIT  {TOP}"""
_CELLS = """WITH cells AS (  -- of the subsets that hold a level the one with the most trials of it
    SELECT r.entry, b.level, b.value, b.n_spoof
    FROM   breakdown b JOIN standing r USING (run_id)
    WHERE  r.protocol = '{protocol}' AND b.factor = '{factor}' AND b.factor_2 IS NULL AND b.metric = 'eer'
           AND r.entry IN ({entries})
    QUALIFY row_number() OVER (PARTITION BY run_id, b.level
                               ORDER BY b.value IS NULL, b.n_spoof DESC, b.n_bonafide DESC, b.subset) = 1
)
SELECT level, entry AS detector, round(100 * median(value), 2) AS "EER %", max(n_spoof) AS spoofs
FROM   cells
GROUP  BY level, entry
ORDER  BY level, entry"""
_CURVES = f"""WITH last AS (
    SELECT run_id, protocol, seed
    FROM   standing
    WHERE  entry = '{{entry}}'
    QUALIFY row_number() OVER (PARTITION BY train_key ORDER BY protocol, seed, run_id) = 1
    ORDER  BY protocol, seed, run_id
    LIMIT  {TOP}
)
SELECT protocol || ' s' || coalesce(seed::VARCHAR, '-') AS run, epoch, any_value(value) AS dev_eer
FROM   curve JOIN last USING (run_id)
WHERE  name = 'dev_eer' AND value IS NOT NULL
GROUP  BY ALL
ORDER  BY run, epoch"""
_GRID = """SELECT level, "column", round(100 * median, 2) AS "EER %", round(100 * published, 2) AS "published %"
FROM   grid_figure
WHERE  grid = '{grid}' AND metric = 'eer'
ORDER  BY position, "column\""""
