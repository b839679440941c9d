"""A data folder with a finished run of a small detector, made in a second: catalog, shards, weights, scores."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import small_corpus
import torch
from safetensors.torch import save_file

from benchmark import cells, detectors, settings
from benchmark.loader import Loader
from benchmark.score import score
from features import extractors
from ingest import catalog, measure
from shards import writer
from shards.reader import Reader

PROTOCOL = "inner/librisevoc"
COLUMNS = ("role", "subset", "utt_id", "label", "attack", "speaker", "corpus", "language", "variant", "gender",
           "duration_s")  # fmt: skip
ATTACKS = ("diffwave", "melgan", "parallel_wavegan", "wavegrad", "wavenet", "wavernn")


def rows(each=12):
    """So many bona fide clips and as many of each vocoder, at 16 and 24 kHz."""
    found = [(f"b{i:03d}", "bonafide", None, "en", 24_000 if i % 2 else 16_000, "WAV") for i in range(5 * each)]
    return found + [
        (f"{a}{i:03d}", "spoof", a, "en", 24_000 if i % 2 else 16_000, "WAV") for a in ATTACKS for i in range(each)
    ]


def make(folder: Path, detector: str = "mean_pool", *, own: dict | None = None, each: int = 12, train: int = 60) -> str:
    """Write folder/data; returns the run id. own: settings of the detector; train: steps of plain gradient descent."""
    data = small_corpus.build(folder, corpus="librisevoc", rows=rows(each))
    _measure(data)
    writer.write_corpus("librisevoc", data, jobs=1)
    with catalog.connect(data / "catalog.duckdb") as con:
        on = cells.trials(con, PROTOCOL, partial=True)
    how = settings.resolve(detector, {"": own or {}}, clip=48_000, weights=None)
    torch.manual_seed(0)
    network = detectors.build(detector, **{**detectors.get(detector).OFFLINE, **how.config})
    if train:
        _train(network, _loader(data, on.role("train"), how), train)
    scored = pa.concat_tables([on.role("dev"), on.role("test")])
    values = score(network, _loader(data, scored, how))
    run_id, key = f"inner-librisevoc-{detector}-s0-abc", f"{detector}-s0-abc"
    (data / "models" / key).mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, data / "models" / key / "model.safetensors")
    where = data / "scores" / run_id
    where.mkdir(parents=True)
    pq.write_table(scored.select(COLUMNS).append_column("score", pa.array(values)), where / "scores.parquet")
    about = {
        "run_id": run_id, "detector": detector, "protocol": PROTOCOL, "scenario": "inner", "seed": 0, "train_key": key,
        "title": on.protocol.title, "metrics": list(on.protocol.metrics), "averages": {}, "pooled": {}, "trained": True,
        "config": dataclasses.asdict(how), "simulated": True, "partial": True, "missing_trials": 0,
        "train_fingerprint": on.train_fingerprint, "trials_fingerprint": on.fingerprint, "finished_at": "2026-01-02T03:04:05Z",
        "code_version": cells.code_version(detector, how.input["feature"]),
    }  # fmt: skip
    (where / "run.json").write_text(json.dumps(about))
    return run_id


def clips(data: Path) -> dict[str, str]:
    """utt_id -> file of every clip."""
    with catalog.connect(data / "catalog.duckdb") as con:
        return dict(con.sql("SELECT utt_id, path FROM audio_file ORDER BY utt_id").fetchall())


def scores(data: Path, run_id: str, role: str | None = None) -> dict[str, float]:
    """utt_id -> score of a run, of one role or of all."""
    table = pq.read_table(data / "scores" / run_id / "scores.parquet")
    if role is not None:
        table = table.filter(pc.equal(table["role"], role))
    return dict(zip(table["utt_id"].to_pylist(), table["score"].to_pylist()))


def _loader(data, rows, how):
    extractor = extractors.get(how.input["feature"], **how.input["params"])
    return Loader(Reader(data), rows, how.input, extractor, batch_size=16, seed=0, train=False)


def _train(network, loader, steps):
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    batches = list(loader.epoch())
    for step in range(steps):
        network.train()
        optimizer.zero_grad()
        network.loss(batches[step % len(batches)]).backward()
        optimizer.step()
    network.eval()


def _measure(data):
    """The measurements that ingest would have made."""
    found = clips(data)
    names = [
        name for name in measure.SCHEMA.names if name not in ("file", "fault", "duration_s", "rate_hz", "channels")
    ]
    table = [{"utt_id": u, "corpus": "librisevoc", **{n: v for n, v in measure.measure(p).items() if n in names}}
             for u, p in found.items()]  # fmt: skip
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("DELETE FROM measurement")
        con.register("measured", pa.Table.from_pylist(table))
        con.execute("INSERT INTO measurement BY NAME SELECT * FROM measured")


def tone(seconds: float, rate_hz: int = 16_000) -> np.ndarray:
    """float64 (sample,): one long steady note with overtones."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return sum(0.2 / k * np.sin(2 * np.pi * 220 * k * t) for k in range(1, 6))
