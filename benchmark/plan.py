"""What a request will cost before anything runs: cells, trainings, hours and bytes, from measured rates."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from benchmark import run as running
from benchmark.cells import Cell, Trials, draws_per_epoch
from benchmark.settings import Training
from ingest import catalog
from ingest.cli import with_data

BYTES_PER_SCORE = 24  # a row of scores.parquet with its words, compressed; measured rows of this catalog come first
BYTES_PER_PARAMETER = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a detector trained and scored. epochs: median of the runs that ended, None if none did."""

    train_utt_s: float | None  # with the look at dev after every epoch
    score_utt_s: float | None
    epochs: float | None
    source: str  # runs: earlier runs of this catalog; throughput: python -m benchmark throughput; none


@dataclass(frozen=True, slots=True)
class Known:
    """The rate of a detector with so many parameters on clips of so many samples (None: whole), trained within a limit
    of epochs; without parameters, what `throughput` measured with the paper's settings."""

    detector: str
    parameters: int | None
    samples: int | None
    limit: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Row:
    """One detector's share of the plan; hours are None where no rate is known."""

    detector: str
    cells: int
    done: int
    trainings: int  # still to do
    train_utterances: int  # draws of all epochs
    score_utterances: int
    hours: float | None  # of one worker
    size_bytes: int
    rate: str
    at_most: bool  # no run tells how many epochs it takes: all that the settings allow are counted
    fitted: bool = False  # its training is no descent: `throughput` measures none, a run does


def plan(data: Path, cells: Sequence[Cell], on: Mapping[str, Trials]) -> list[Row]:
    """One row per detector, in the order of the cells."""
    rates, bytes_per_score = known_rates(data)
    rows = []
    for detector in dict.fromkeys(cell.detector for cell in cells):
        mine = [cell for cell in cells if cell.detector == detector]
        rows.append(_row(data, detector, mine, on, rates.get(detector, []), bytes_per_score))
    return rows


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [asdict(row) for row in rows]


_NONE = Rate(None, None, None, "none")


def _row(
    data: Path, detector: str, cells: Sequence[Cell], on: Mapping[str, Trials], rates: Sequence[Known],
    bytes_per_score: float,
) -> Row:  # fmt: skip
    from benchmark import detectors

    todo = [cell for cell in cells if not running.done(data, cell)]
    groups: dict[str, list[Cell]] = {}
    for cell in todo:
        groups.setdefault(cell.train_key, []).append(cell)
    parts = [_part(data, group, on, rates, bytes_per_score) for group in groups.values()]
    hours = [part.hours for part in parts]
    sources = dict.fromkeys(part.source for part in parts)
    return Row(
        detector, len(cells), len(cells) - len(todo),
        trainings=sum(part.trains for part in parts),
        train_utterances=sum(part.drawn for part in parts),
        score_utterances=sum(part.heard for part in parts),
        hours=None if None in hours else sum(hours, 0.0),
        size_bytes=sum(part.size_bytes for part in parts),
        rate=", ".join(sources) or (rates[0].rate if rates else _NONE).source,
        at_most=any(part.at_most for part in parts),
        fitted=hasattr(detectors.get(detector), "fit"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Part:
    """What one training costs with the cells that share it; the words are those of `Row`."""

    trains: bool  # False: it is done, or weights are given
    drawn: int
    heard: int
    hours: float | None
    size_bytes: int
    source: str
    at_most: bool


def _part(
    data: Path, group: Sequence[Cell], on: Mapping[str, Trials], rates: Sequence[Known], bytes_per_score: float
) -> _Part:
    first = group[0]
    how, trials = first.settings.training, on[first.protocol]
    parameters = _parameters(first, trials)
    rate = fitting(rates, parameters, first.settings.input["samples"], _limit(asdict(how)))
    rows = pa.concat_tables([on[c.protocol].rows.select(["role", "utt_id", "variant"]) for c in group])
    rows = rows.filter(pc.not_equal(rows["role"], "train"))
    heard, drawn, at_most = rows.group_by(["utt_id", "variant"]).aggregate([]).num_rows, 0, False
    size = round(rows.num_rows * bytes_per_score)
    trains = first.trained and not (running.model_folder(data, first) / "train.json").exists()
    if trains:
        size += BYTES_PER_PARAMETER * parameters
        most = epochs_at_most(first.detector, how)
        at_most = rate.epochs is None and most > 1
        drawn = round(draws_per_epoch(trials, how) * min(most, rate.epochs or most))
    return _Part(trains, drawn, heard, _hours(drawn, heard, rate), size, rate.source, at_most)


def fitting(rates: Sequence[Known], parameters: int, samples: int | None, limit: str) -> Rate:
    """The rate of runs on clips of that length by a network of about that size, else what `throughput` measured.

    Only runs of the same limit tell how many epochs a training takes.
    """
    near = [one for one in rates if one.samples == samples and _alike(one.parameters, parameters)]
    if near:
        best = min(near, key=lambda one: (one.limit != limit, abs(one.parameters - parameters)))
        return best.rate if best.limit == limit else replace(best.rate, epochs=None)
    return next((one.rate for one in rates if one.parameters is None), _NONE)


def _limit(training: Mapping[str, Any]) -> str:
    """The epochs that the settings of a training allow, in all its phases."""
    return json.dumps([training.get("epochs"), training.get("phases")], sort_keys=True)


def _alike(one: int | None, other: int) -> bool:
    """Whether two networks are of one configuration, or nearly: heads differ with the attacks that they are for."""
    return one is not None and abs(one - other) <= 0.1 * other


def _hours(draws: int, scores: int, rate: Rate) -> float | None:
    if (draws and not rate.train_utt_s) or (scores and not rate.score_utt_s):
        return None
    return ((draws / rate.train_utt_s if draws else 0.0) + (scores / rate.score_utt_s if scores else 0.0)) / 3600


def epochs_at_most(detector: str, how: Training) -> int:
    """Epochs that the settings allow over all phases; 1 for a detector that is not trained by gradient."""
    from benchmark import detectors

    if hasattr(detectors.get(detector), "fit"):
        return 1
    return sum(phase.get("epochs", how.epochs) for phase in how.phases or [{}])


def _parameters(cell: Cell, on: Trials) -> int:
    """Of the network that the cell's settings make."""
    attacks = pc.drop_null(on.role("train")["attack"]).unique().to_pylist()
    return _counted(cell.detector, json.dumps(cell.settings.config, sort_keys=True), tuple(sorted(attacks)))


@cache
def _counted(detector: str, config: str, attacks: tuple[str, ...]) -> int:
    import torch

    from benchmark import detectors

    words = {"attacks": list(attacks)} if "attacks" in detectors.settings(detector) else {}
    with torch.device("meta"):
        return detectors.build(
            detector, **{**detectors.get(detector).OFFLINE, **words, **json.loads(config)}
        ).parameter_count


def known_rates(data: Path) -> tuple[dict[str, list[Known]], float]:
    """Rates by detector, and bytes per score: from the results catalog at `data`, where it has them."""
    path = data / "results.duckdb"
    if not path.exists():
        return {}, BYTES_PER_SCORE
    with catalog.opened(path) as con:
        tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        found: dict[str, list[Known]] = {}
        for known in (*_of_runs(con), *(_measured(con) if "throughput" in tables else ())):
            found.setdefault(known.detector, []).append(known)
        files = con.execute(
            "SELECT path, trials FROM score_file WHERE trials > 0 ORDER BY trials DESC LIMIT 20"
        ).fetchall()
        sizes = [(data / path).stat().st_size / trials for path, trials in files if (data / path).exists()]
    return found, statistics.median(sizes) if sizes else BYTES_PER_SCORE


def _of_runs(con: duckdb.DuckDBPyConnection) -> list[Known]:
    columns = {name for name, *_ in con.execute("DESCRIBE run").fetchall()}
    if "train_draws" not in columns:
        return []
    rows = con.execute("""
        SELECT detector, parameters, TRY_CAST(config ->> '$.input.samples' AS BIGINT) AS samples,
               config ->> '$.training' AS training,
               median(train_draws * epochs / train_s) FILTER (train_s > 0 AND train_draws > 0),
               median(scored_trials / score_s) FILTER (score_s > 0 AND scored_trials > 0) AS score,
               median(epochs) FILTER (trained AND train_draws > 0)
        FROM   run WHERE NOT "external" AND parameters IS NOT NULL AND training IS NOT NULL
        GROUP  BY detector, parameters, samples, training HAVING score IS NOT NULL
        ORDER  BY detector, parameters, samples, training""").fetchall()
    return [
        Known(detector, parameters, samples, _limit(json.loads(training)), Rate(train, score, epochs, "runs"))
        for detector, parameters, samples, training, train, score, epochs in rows
    ]


def _measured(con: duckdb.DuckDBPyConnection) -> list[Known]:
    query = "SELECT detector, train_per_s, score_per_s FROM throughput WHERE form = 'fast' ORDER BY device"
    rows = con.execute(query).fetchall()
    rates = {name: Rate(train, score, None, "throughput") for name, train, score in rows}  # of several devices the last
    return [Known(name, None, None, "", rate) for name, rate in rates.items()]


def table(rows: Sequence[Row], *, jobs: int, data: Path) -> list[str]:
    """The plan as lines of text; jobs: how many cells run at once; data: where a rate that is measured is kept."""
    lines = [
        f"{'detector':22s} {'cells':>6s} {'done':>6s} {'trainings':>9s} {'train utt':>12s} {'score utt':>12s} "
        f"{'hours':>9s} {'MB':>9s}  rate"
    ]
    for row in rows:
        hours = "unknown" if row.hours is None else f"{'<=' if row.at_most and row.trainings else ''}{row.hours:.2f}"
        lines.append(
            f"{row.detector:22s} {row.cells:>6d} {row.done:>6d} {row.trainings:>9d} {row.train_utterances:>12,d} "
            f"{row.score_utterances:>12,d} {hours:>9s} {row.size_bytes / 1e6:>9.1f}  {row.rate}"
        )
    known = [row.hours for row in rows if row.hours is not None]
    unknown = [row for row in rows if row.hours is None]
    cells, done = sum(row.cells for row in rows), sum(row.done for row in rows)
    hours = f"{sum(known):.2f} hours of one worker, {sum(known) / jobs:.2f} with {jobs} at once"
    if unknown:
        hours = f"{hours}, and those that are not known" if known else "hours not known"
    lines.append(
        f"{cells} cells, {done} done, {cells - done} to run in {sum(row.trainings for row in rows)} trainings; "
        f"{hours}; {sum(row.size_bytes for row in rows) / 1e6:.1f} MB"
    )
    if fitted := [row.detector for row in unknown if row.fitted and row.trainings]:
        lines.append(
            f"not in the hours, for want of a run: {', '.join(fitted)}; each is fitted, not trained by gradient, "
            "and the first run that ends tells its rate"
        )
    if unknown := [row.detector for row in unknown if row.detector not in fitted]:
        lines.append(
            f"not in the hours, for want of a measured rate: {', '.join(unknown)}; measure it: "
            + with_data(f"python -m benchmark throughput --detector {' '.join(unknown)}", data)
        )
    return lines
