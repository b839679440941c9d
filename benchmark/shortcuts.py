"""Shortcut probes: what duration, silence, loudness or band width alone can tell, without hearing any synthesis.

Each property that ingest measured becomes a score, and a small gradient-boosted tree uses all of them. A detector
that does not beat these rows of the leaderboard has not been shown to have learned anything about synthesis.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmark import cells as grid
from benchmark import metrics, record
from benchmark.cells import Trials
from ingest import catalog
from ingest.types import DataError

NUMBERS = (
    "duration_s", "leading_silence_s", "trailing_silence_s", "loudness_db", "peak", "dc", "noise_floor_db",
    "bandwidth_hz", "edge_db", "tilt_db_per_octave", "zero_crossing_hz", "clipped_share", "rate_hz", "channels",
    "bitrate_bps",
)  # fmt: skip
WORDS = ("container", "subtype")
PREFIX = "shortcut_"


def names() -> list[str]:
    """The probes' names as they stand in the leaderboard."""
    return [PREFIX + name for name in (*NUMBERS, *WORDS, "tree")]


def run(data: Path, on: Mapping[str, Trials], *, seed: int = 0) -> tuple[int, list[str]]:
    """Score every probe on every protocol; returns how many runs were made (not skipped), and all run ids.

    Each protocol has training trials. The catalog is open only while it is read: others can ingest meanwhile. Raises
    DataError if that changed what is heard in the trials.
    """
    made, every = 0, []
    for protocol, trials in on.items():
        with catalog.connect(data / "catalog.duckdb") as con:
            grid.refuse_changed(con, trials)
            measured = _fingerprint(con, trials)
            pending = {probe: _run_id(protocol, probe, trials, measured, seed) for probe in names()}
            every += pending.values()
            pending = {p: i for p, i in pending.items() if not (record.folder(data, i) / "run.json").exists()}
            if not pending:
                continue
            properties = _properties(con, trials)
        started = time.perf_counter()
        scored = probe_scores(trials.role("train"), properties, seed=seed)
        seconds = time.perf_counter() - started
        index = _index(properties)
        keys = set(zip(trials.rows["utt_id"].to_pylist(), trials.rows["variant"].to_pylist(), strict=True))
        for probe, run_id in pending.items():
            scores = {key: scored[probe][index[key[0]]] for key in keys}
            record.write_run(data, data, run_id, trials, scores, curve=[], facts=_facts(probe, seed, seconds))
        made += len(pending)
    return made, every


def _run_id(protocol: str, probe: str, trials: Trials, measured: str, seed: int) -> str:
    code = Path(__file__).read_text()
    about = {"code": code, "trials": trials.fingerprint, "measured": measured, "probe": probe, "seed": seed}
    digest = grid.digest(about)
    return f"{protocol.replace('/', '-')}-{probe}-s{seed}-{digest}"


def _facts(probe: str, seed: int, seconds: float) -> dict[str, Any]:
    return {
        "detector": probe, "seed": seed, "config": {"probe": probe}, "trained": True, "train_key": probe,
        "code_version": grid.digest(Path(__file__).read_text()), "parameters": 0, "device": record.device_name("cpu"),
        "train_s": seconds, "score_s": 0.0, "best_epoch": None, "epochs": 0,
    }  # fmt: skip


def _properties(con: duckdb.DuckDBPyConnection, trials: Trials) -> pa.Table:
    """utt_id and its properties, for every utterance of the protocol, in no order."""
    rows = _asked(con, trials, "*")
    if not rows.num_rows:
        raise DataError(f"{trials.protocol.name}: no measured utterances; ingest the corpora again")
    return rows


def _fingerprint(con: duckdb.DuckDBPyConnection, trials: Trials) -> str:
    """Of every property of every utterance: the same samples in another file, or measured otherwise, have others."""
    return str(_asked(con, trials, "bit_xor(md5_number(properties::VARCHAR))")[0][0].as_py())


def _asked(con: duckdb.DuckDBPyConnection, trials: Trials, what: str) -> pa.Table:
    with catalog.registered(con, "wanted", pa.table({"utt_id": pa.compute.unique(trials.rows["utt_id"])})):
        measured = con.sql("SELECT * FROM measurement LIMIT 0").columns
        columns = [f"m.{name}" if name in measured else f"u.{name}" for name in (*NUMBERS, *WORDS)]
        return con.sql(
            f"SELECT {what} FROM (SELECT u.utt_id, {', '.join(columns)} FROM wanted JOIN utterance u USING (utt_id) "
            "LEFT JOIN measurement m USING (utt_id)) AS properties"
        ).to_arrow_table()


def probe_scores(train: pa.Table, properties: pa.Table, *, seed: int) -> dict[str, np.ndarray]:
    """Scores of every probe for every utterance: probe -> float64 (utterance,), as the rows of `properties` lie.

    train: the training trials (utt_id, label). A number is a score as it is or negated, whichever separates train
    better; a word scores the smoothed share of bona fide trials that carry it in train; a missing value takes the
    training median. Test trials decide nothing.
    """
    index = _index(properties)
    rows = np.array([index[utt_id] for utt_id in train["utt_id"].to_pylist()])
    bonafide = pa.compute.equal(train["label"], "bonafide").to_numpy()
    columns = [_number(properties[name], rows) for name in NUMBERS]
    columns += [_word(properties[name], rows, bonafide) for name in WORDS]
    scores = {}
    for name, values in zip((*NUMBERS, *WORDS), columns, strict=True):
        known = values[rows]
        sign = -1.0 if metrics.auc(known[bonafide], known[~bonafide]) < 0.5 else 1.0
        scores[PREFIX + name] = sign * values
    scores[PREFIX + "tree"] = _tree(np.stack(columns, axis=1), rows, bonafide, seed)
    return scores


def _index(properties: pa.Table) -> dict[str, int]:
    """utt_id -> its row."""
    return {utt_id: row for row, utt_id in enumerate(properties["utt_id"].to_pylist())}


def _number(values: pa.ChunkedArray, train: np.ndarray) -> np.ndarray:
    column = values.cast(pa.float64()).to_numpy()  # a missing one is NaN
    known = column[train][np.isfinite(column[train])]
    return np.where(np.isfinite(column), column, np.median(known) if known.size else 0.0)


def _word(values: pa.ChunkedArray, train: np.ndarray, bonafide: np.ndarray) -> np.ndarray:
    coded = values.cast(pa.string()).fill_null("").combine_chunks().dictionary_encode().indices.to_numpy()
    scores = np.full(coded.size, 0.5)
    for code in np.unique(coded[train]):
        seen = bonafide[coded[train] == code]
        scores[coded == code] = (seen.sum() + 1) / (seen.size + 2)
    return scores


def _tree(columns: np.ndarray, train: np.ndarray, bonafide: np.ndarray, seed: int) -> np.ndarray:
    """Log-odds of 100 boosted trees of depth 3, classes weighted equally."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    tree = HistGradientBoostingClassifier(
        max_iter=100, max_depth=3, learning_rate=0.1, min_samples_leaf=5, early_stopping=False,
        class_weight="balanced", random_state=seed,
    )  # fmt: skip
    tree.fit(columns[train], bonafide)
    return tree.decision_function(columns)
