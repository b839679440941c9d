"""Miniature corpora with all their audio and counts of their own: what ingest takes without --partial."""

import json
from collections import Counter
from pathlib import Path

import miniatures
import numpy as np
import soundfile

from ingest import catalog, corpora, rows
from ingest.build import ingest_corpus


def noise(path: Path, number: int, *, seconds: float = 0.4, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """Write noise of a tenth of full scale, another for each number, in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.random.default_rng(number).standard_normal((int(seconds * rate_hz), channels)).clip(-5, 5)
    soundfile.write(path, wave, rate_hz)
    return path


def build(name: str, root: Path, **places: Path) -> Path:
    """The miniature of corpus `name` below root, with its audio and a marker that it is complete so."""
    miniatures.build(name, root)
    parsed = [row for table in corpora.get(name).tables(root, places) for row in _complete(table, name)]
    for number, row in enumerate(parsed):
        noise((places[row["place"]] if row["place"] else root) / row["path"], number)
    counts = Counter((row["partition"], row["label"]) for row in parsed)
    (root / ".siren-simulated").write_text(
        json.dumps({"counts": [[*key, n] for key, n in sorted(counts.items(), key=str)]})
    )
    return root


def ingest(name: str, root: Path, data: Path, **options) -> list[dict]:
    """Ingest in this process; returns the utterance rows."""
    ingest_corpus(name, root, data, jobs=1, **options)
    return query(data, f"SELECT * FROM utterance WHERE corpus = '{name}' ORDER BY utt_id")


def query(data: Path, sql: str) -> list[dict]:
    """The rows of a query on the catalog."""
    with catalog.connect(data / "catalog.duckdb") as con:
        return con.execute(sql).to_arrow_table().to_pylist()


def everything(data: Path) -> dict[str, list[dict]]:
    """All rows of all tables of the catalog, in an order of their own."""
    names = ("corpus", "place", "utterance", "measurement", "finding", "expected_count", "asv_score")
    return {name: query(data, f"FROM {name} ORDER BY ALL") for name in names}


def _complete(table, name: str) -> list[dict]:
    return rows.complete(table, corpora.get(name).corpus).to_pylist()
