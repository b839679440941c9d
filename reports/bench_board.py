"""How long the leaderboard and the site take from thousands of runs, and a question, and a rescored score file.

The runs are copies of one that was measured: 40 detectors, 42 protocols, 3 seeds, every value moved a little. Their
score files are links to one, so that 100 million stored scores fit anywhere.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark import results
from ingest import memory
from reports import leaderboard, site, sql
from reports.rescore import rescore

DETECTORS, PROTOCOLS, SEEDS, TRIALS = 40, 42, 3, 20_000
SCENARIOS = ("inner", "cross_method", "cross_dataset", "official")
RESCORED = (7_355, 63_882)  # bona fide and spoof of ASVspoof 2019 LA
QUERY = "SELECT entry, scenario, avg(value) FROM leaderboard WHERE metric = 'eer' GROUP BY ALL ORDER BY ALL"


def rows() -> list[dict]:
    """One dict per figure, as in the other benches; seconds are those of the clock, CPU seconds stand beside them."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        runs = make(data)
        told = f"{runs:,} runs, {runs * TRIALS / 1e6:.0f} million stored scores"
        board, board_cpu = _taken(lambda: leaderboard.write(data))
        pages, pages_cpu = _taken(lambda: site.write(data))
        peak_gib = memory.peak_bytes() / 2**30
        asked = _taken(lambda: sql.query(data, QUERY))[0]
        file = _score_file(data)
        rescore(file, data=data)  # imports
        one, one_cpu = _taken(lambda: rescore(file, data=data))
    both = board + pages
    return [
        _row(f"leaderboard and site, {told}", both, "s", f"CPU: {board_cpu + pages_cpu:.1f} s", "<= 60"),
        _row("leaderboard of them", board, "s", f"CPU: {board_cpu:.1f} s", None),
        _row("peak memory of both", peak_gib, "GiB", None, "<= 2"),
        _row("EER by detector and scenario in SQL", asked, "s", None, "<= 1"),
        _row("rescore 71,237 scores, 1,000 replicates", one, "s", f"CPU: {one_cpu:.2f} s", "<= 1"),
    ]


def _row(name: str, value: float, unit: str, limit: str | None, reach: str | None) -> dict:
    return {"name": name, "value": value, "unit": unit, "limit": limit, "reach": reach}


def _taken(call: Callable[[], object]) -> tuple[float, float]:
    """(seconds of the clock, seconds of all threads' CPU)."""
    start, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - cpu


def make(data: Path, *, detectors: int = DETECTORS, protocols: int = PROTOCOLS, seeds: int = SEEDS) -> int:
    """Fill DATA with results and score files of detectors x protocols x seeds runs; returns their number."""
    first = data / "scores" / "first"
    first.mkdir(parents=True)
    pq.write_table(_scores(np.random.default_rng(0)), first / "scores.parquet", compression="zstd")
    about = {"detector": "d", "protocol": "inner/p", "scenario": "inner", "title": "six attacks", "seed": 0,
             "config": {"lr": 0.1}, "parameters": 1000, "train_s": 2.0, "score_s": 1.0, "best_epoch": 3, "epochs": 9,
             "finished_at": "2025-01-02T03:04:05Z", "metrics": ["min_dcf", "cllr"]}  # fmt: skip
    (first / "run.json").write_text(json.dumps(about))
    pq.write_table(
        pa.table({"epoch": range(10), "name": ["dev_eer"] * 10, "value": [1 / (e + 2) for e in range(10)]}),
        first / "curve.parquet",
    )
    results.collect(data, replicates=20)
    (first / "run.json").unlink()  # a copy below has its scores; nothing is to be collected again
    number = detectors * protocols * seeds
    with duckdb.connect(str(data / "results.duckdb")) as con:
        _copy(con, number, detectors, protocols)
    for k in range(number):
        folder = data / "scores" / f"run-{k:05d}"
        folder.mkdir()
        os.link(first / "scores.parquet", folder / "scores.parquet")
    return number


def _scores(rng: np.random.Generator) -> pa.Table:
    place = np.arange(TRIALS)
    label = np.where(place % 5 == 0, "bonafide", "spoof")
    attack = [None if word == "bonafide" else f"A{7 + k % 6:02d}" for k, word in zip(place, label)]
    dev = place % 10 == 1
    return pa.table({
        "role": np.where(dev, "dev", "test"), "subset": np.where(dev, "dev", np.where(place % 2, "eval", "other")),
        "utt_id": [f"corpus/u{k:06d}" for k in place], "label": label, "attack": attack,
        "score": rng.normal(np.where(label == "bonafide", 1.5, 0.0), 1),
    })  # fmt: skip


def _copy(con: duckdb.DuckDBPyConnection, number: int, detectors: int, protocols: int) -> None:
    """Turn the one run of the tables into `number` runs."""
    scenario = f"{list(SCENARIOS)}[1 + (k // {detectors}) % {protocols} % {len(SCENARIOS)}]"
    own = {
        "run_id": "'run-' || lpad(k::VARCHAR, 5, '0')", "train_key": "'t' || k", "scenario": scenario,
        "detector": f"'detector_' || (k % {detectors})", "seed": f"k // {detectors * protocols}",
        "protocol": f"{scenario} || '/p' || ((k // {detectors}) % {protocols})",
        "parameters": f"1000 * (1 + k % {detectors})", "score_s": f"0.1 * (1 + k % {detectors})",
        "path": "'scores/run-' || lpad(k::VARCHAR, 5, '0') || '/scores.parquet'",
        **{c: f"least(1, greatest(0, {c} + (hash(k) % 1000) / 5000.0 - 0.1))" for c in ("value", "ci_low", "ci_high")},
    }  # fmt: skip
    tables = ("run", "score_file", "tested", "result", "breakdown", "curve")  # the others refer to the first
    for table in reversed(tables):
        con.execute(f"CREATE TEMP TABLE one_{table} AS FROM {table}")
        con.execute(f"DELETE FROM {table}")
    con.execute("CHECKPOINT")
    for table in tables:
        columns = [row[0] for row in con.execute(f"DESCRIBE {table}").fetchall()]
        chosen = ", ".join(f'{own[c]} AS "{c}"' if c in own else f'"{c}"' for c in columns)
        con.execute(f"INSERT INTO {table} BY NAME SELECT {chosen} FROM one_{table}, range({number}) r(k) ORDER BY k")


def _score_file(data: Path) -> Path:
    """A score file as large as that of ASVspoof 2019 LA, with its attacks."""
    rng = np.random.default_rng(1)
    lines = [f"LA_E_{k:07d} - bonafide {score!r}\n" for k, score in enumerate(rng.normal(2, 1, RESCORED[0]).tolist())]
    lines += [
        f"LA_E_{k + RESCORED[0]:07d} A{7 + k % 13:02d} spoof {score!r}\n"
        for k, score in enumerate(rng.normal(0, 1, RESCORED[1]).tolist())
    ]
    path = data / "scores.txt"
    path.write_text("".join(lines))
    return path
