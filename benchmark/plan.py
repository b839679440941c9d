"""What a request will cost before anything runs: cells, trainings, hours and bytes, from measured rates."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from benchmark import run as running
from benchmark.cells import Cell, Trials, draws_per_epoch
from benchmark.settings import Training

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


def plan(data: Path, cells: Sequence[Cell], on: Mapping[str, Trials]) -> list[Row]:
    """One row per detector, in the order of the cells."""
    rates, bytes_per_score = known_rates(data)
    rows = []
    for detector in dict.fromkeys(cell.detector for cell in cells):
        mine = [cell for cell in cells if cell.detector == detector]
        rows.append(_row(data, detector, mine, on, rates.get(detector, _NONE), bytes_per_score))
    return rows


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [asdict(row) for row in rows]


_NONE = Rate(None, None, None, "none")


def _row(
    data: Path, detector: str, cells: Sequence[Cell], on: Mapping[str, Trials], rate: Rate, bytes_per_score: float
) -> Row:
    todo = [cell for cell in cells if not running.done(data, cell)]
    groups: dict[str, list[Cell]] = {}
    for cell in todo:
        groups.setdefault(cell.train_key, []).append(cell)
    draws = scores = written = trainings = 0
    at_most = False
    for group in groups.values():
        first = group[0]
        rows = pa.concat_tables([on[c.protocol].rows.select(["role", "utt_id", "variant"]) for c in group])
        rows = rows.filter(pc.not_equal(rows["role"], "train"))
        scores += rows.group_by(["utt_id", "variant"]).aggregate([]).num_rows
        written += rows.num_rows
        if first.trained and not (running.model_folder(data, first) / "train.json").exists():
            trainings += 1
            most = epochs_at_most(detector, first.settings.training)
            at_most = at_most or (rate.epochs is None and most > 1)
            epochs = min(most, rate.epochs or most)
            draws += round(draws_per_epoch(on[first.protocol], first.settings.training) * epochs)
    hours = _hours(draws, scores, rate)
    model = BYTES_PER_PARAMETER * _parameters(detector) if trainings else 0
    size = round(written * bytes_per_score) + trainings * model
    done = len(cells) - len(todo)
    return Row(detector, len(cells), done, trainings, draws, scores, hours, size, rate.source, at_most)


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


def _parameters(detector: str) -> int:
    from benchmark import detectors

    return detectors.describe(detector)["parameters"]


def known_rates(data: Path) -> tuple[dict[str, Rate], float]:
    """Rates by detector, and bytes per score: from the results catalog at `data`, where it has them."""
    path = data / "results.duckdb"
    if not path.exists():
        return {}, BYTES_PER_SCORE
    with duckdb.connect(str(path), read_only=True) as con:
        tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        found = _measured(con) if "throughput" in tables else {}
        found |= _of_runs(con)
        files = con.execute(
            "SELECT path, trials FROM score_file WHERE trials > 0 ORDER BY trials DESC LIMIT 20"
        ).fetchall()
        sizes = [(data / path).stat().st_size / trials for path, trials in files if (data / path).exists()]
    return found, statistics.median(sizes) if sizes else BYTES_PER_SCORE


def _of_runs(con: duckdb.DuckDBPyConnection) -> dict[str, Rate]:
    columns = {name for name, *_ in con.execute("DESCRIBE run").fetchall()}
    if "train_draws" not in columns:
        return {}
    rows = con.execute("""
        SELECT detector, median(train_draws * epochs / train_s) FILTER (train_s > 0 AND train_draws > 0),
               median(scored_trials / score_s) FILTER (score_s > 0 AND scored_trials > 0),
               median(epochs) FILTER (trained AND train_draws > 0)
        FROM   run WHERE NOT "external" GROUP BY detector""").fetchall()
    return {detector: Rate(train, score, epochs, "runs") for detector, train, score, epochs in rows if score}


def _measured(con: duckdb.DuckDBPyConnection) -> dict[str, Rate]:
    query = "SELECT detector, train_per_s, score_per_s FROM throughput WHERE form = 'fast' ORDER BY device"
    rows = con.execute(query).fetchall()  # of several devices the last one counts
    return {detector: Rate(train, score, None, "throughput") for detector, train, score in rows}


def table(rows: Sequence[Row], *, jobs: int) -> list[str]:
    """The plan as lines of text; jobs: how many cells run at once."""
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
    cells, done = sum(row.cells for row in rows), sum(row.done for row in rows)
    lines.append(
        f"{cells} cells, {done} done, {cells - done} to run in {sum(row.trainings for row in rows)} trainings; "
        f"{sum(known):.2f} hours of one worker, {sum(known) / jobs:.2f} with {jobs} at once; "
        f"{sum(row.size_bytes for row in rows) / 1e6:.1f} MB"
    )
    unknown = [row.detector for row in rows if row.hours is None]
    if unknown:
        lines.append(
            f"not in the hours, for want of a measured rate: {', '.join(unknown)}; measure it: "
            f"python -m benchmark throughput --detector {' '.join(unknown)}"
        )
    return lines
