"""A small data folder with a catalog and finished runs, whose metrics can be worked out by hand."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark import results
from ingest import catalog

# subset -> (bona fide scores, {attack: spoof scores}); the bona fide are shared by both subsets
GOOD = {
    "easy": ([3.0, 2.0, 1.0, 0.5], {"melgan": [-1.0, -2.0]}),
    "hard": ([3.0, 2.0, 1.0, 0.5], {"wavenet": [0.75, -3.0]}),
}
WEAK = {
    "easy": ([3.0, 2.0, 1.0, -1.5], {"melgan": [-1.0, -2.0]}),
    "hard": ([3.0, 2.0, 1.0, -1.5], {"wavenet": [1.5, 2.5]}),
}
DEV = ([2.0, 1.0], {"melgan": [0.0, -1.0]})


def score_table(test: dict, dev: tuple = DEV) -> pa.Table:
    rows = []
    for role, subset, (bonafide, spoof) in [("dev", "dev", dev), *(("test", *item) for item in test.items())]:
        rows += [_row(role, subset, f"{role}_b{k}", "bonafide", None, s) for k, s in enumerate(bonafide)]
        rows += [
            _row(role, subset, f"{role}_{attack}{k}", "spoof", attack, s)
            for attack, scores in spoof.items() for k, s in enumerate(scores)
        ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def _row(role, subset, stem, label, attack, score):
    return {
        "role": role, "subset": subset, "utt_id": f"librisevoc/{stem}", "label": label, "attack": attack,
        "speaker": None, "corpus": "librisevoc", "codec": None, "vocoder": None, "language": "en",
        "variant": "original", "score": score,
    }  # fmt: skip


def add_run(data: Path, detector: str, table: pa.Table, **facts) -> str:
    """Write the files of a finished run as the runner leaves them; returns the run_id."""
    about = {
        "detector": detector, "protocol": "cross_method/librisevoc", "scenario": "cross_method", "seed": 0,
        "title": "two seen vocoders to two others", "metrics": ["auc", "eer"],
        "averages": {"average": ["easy", "hard"]}, "pooled": {"pooled": ["easy", "hard"]}, "config": {"lr": 0.1},
        "trained": True, "simulated": False, "partial": False, "missing_trials": 0, "parameters": 1000,
        "train_s": 2.5, "score_s": 0.5, "best_epoch": 3, "epochs": 4, "device": "a processor",
        "finished_at": "2025-01-02T03:04:05Z", "versions": {"python": "3.11"}, **facts,
    }  # fmt: skip
    run_id = f"{about['protocol'].replace('/', '-')}-{detector}-s{about['seed']}-{about.get('suffix', 'abc')}"
    folder = data / "scores" / run_id
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "scores.parquet")
    pq.write_table(
        pa.table({"epoch": [1, 2], "name": ["loss", "loss"], "value": [0.5, 0.25]}), folder / "curve.parquet"
    )
    (folder / "asv.json").write_text(json.dumps(about.pop("asv", {})))
    (folder / "run.json").write_text(json.dumps({"run_id": run_id, **about}))
    return run_id


def make(data: Path) -> None:
    """Three runs of two detectors, one failed run, and a catalog with the utterances they scored."""
    add_run(data, "lfcc_gmm", score_table(GOOD))
    add_run(data, "lfcc_gmm", score_table(WEAK), seed=1)
    add_run(data, "mean_pool", score_table(WEAK))
    add_run(
        data, "mean_pool", score_table({"eval": GOOD["easy"]}), protocol="inner/librisevoc", scenario="inner",
        averages={}, pooled={}, title="six vocoders",
    )  # fmt: skip
    failed = data / "scores" / "inner-librisevoc-aasist-s0-abc"
    failed.mkdir()
    about = {"detector": "aasist", "protocol": "inner/librisevoc", "seed": 0, "reason": "out of memory"}
    (failed / "failed.json").write_text(json.dumps(about))
    make_catalog(data)


def make_catalog(data: Path) -> None:
    """A catalog of the scored utterances, one of them without audio."""
    table = score_table(GOOD)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute(
            "INSERT INTO corpus VALUES ('librisevoc', 'LibriSeVoc', 'speech', 'CC BY 4.0', 'Sun et al.', '/nowhere', "
            "false, false, 'f')"
        )
        con.register("scored", table)
        con.execute("""
            INSERT INTO utterance BY NAME
            SELECT DISTINCT utt_id, corpus, CASE role WHEN 'dev' THEN 'dev' ELSE 'test' END AS "partition",
                   split_part(utt_id, '/', 2) || '.wav' AS path, label, attack, attack AS attack_raw, utt_id AS source_id,
                   language, 'speech' AS domain, true AS audio_present, 'ok' AS audio_status, 1.5 AS duration_s,
                   24000 AS rate_hz, 1 AS channels FROM scored""")
        con.execute("""
            INSERT INTO utterance BY NAME
            SELECT 'librisevoc/gone' AS utt_id, 'librisevoc' AS corpus, 'gone.wav' AS path, 'bonafide' AS label,
                   'gone' AS source_id, 'speech' AS domain, false AS audio_present, 'missing' AS audio_status""")
        con.execute("INSERT INTO finding VALUES ('librisevoc', 'missing', 'gone.wav', 'not on disk')")


def collected(folder: Path) -> Path:
    """The folder with its runs made and their results collected."""
    make(folder)
    results.collect(folder)
    return folder


def ask(data: Path, query: str) -> list[tuple]:
    """Rows of the results of a folder."""
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
        return con.sql(query).fetchall()
