"""How fast crops come ready for the device, beside the usual loader; and what the harness adds to a bare network."""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
import torch

from benchmark import detectors, score, timing
from benchmark.loader import Loader, crop_start
from features import extractors
from ingest import catalog, memory, turns
from shards import bench as shard_bench
from shards import index, writer
from shards.reader import Reader

CLIPS, SAMPLES, BATCH, WORKERS, ROUNDS = 400, 48_000, 32, 2, 9
EPOCHS = 8  # of ours in a round: one takes less than the time slices of whatever else runs here
STEP, SCORED = ("lfcc_lcnn", 8, 24), ("aasist", 4, 16)  # detector, batch, clips an epoch


def rows() -> list[dict[str, Any]]:
    """One row a comparison: value and limit in clips/s, reach = least value / limit; medians of rounds in turns."""
    memory.keep_freed()  # as every run of the benchmark does
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            loose, data = _material(Path(folder))
            with Reader(data) as reader:
                return [*_crops(reader, loose), _training(reader), _scoring(reader)]
    finally:
        torch.set_num_threads(threads)


class Loose(torch.utils.data.Dataset):
    """The reference loader of the published baselines: soundfile on loose FLAC, tile or crop."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        wave, _ = soundfile.read(self.paths[i], dtype="float32")
        if len(wave) < SAMPLES:
            wave = np.tile(wave, -(-SAMPLES // len(wave)))
        start = np.random.randint(0, len(wave) - SAMPLES + 1)
        return torch.from_numpy(wave[start : start + SAMPLES]), i % 2


def _crops(reader: Reader, loose: list[Path]) -> list[dict[str, Any]]:
    """Crops as floats for a processor; and as the host leaves them for a GPU, which meta stands for here: samples of
    16 bits, which the GPU scales."""
    here, device = (
        _loader(reader, "raw", {}, SAMPLES, BATCH, CLIPS, train=True, workers=WORKERS, device=device)
        for device in ("cpu", "meta")
    )
    peer = torch.utils.data.DataLoader(
        Loose(loose), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=True
    )
    places, shard = _places(reader, here), os.open(next((reader.data / "shards").rglob("*.tar")), os.O_RDONLY)
    timed = turns.in_turns({
        "device": lambda: sum(len(c["x"]) for epoch in range(EPOCHS) for _, c in device.ready(epoch)),
        "processor": lambda: sum(len(b.x) for epoch in range(EPOCHS) for b in here.epoch(epoch)),
        "loose": lambda: sum(len(x) for x, _ in peer),
        "pread": lambda: len([len(os.pread(shard, 2 * SAMPLES, place)) for _ in range(EPOCHS) for place in places]),
    }, ROUNDS)  # fmt: skip
    os.close(shard)
    what = f"3 s crops of PCM shards, {WORKERS} workers"
    gpu, cpu = f"{what}, 16 bits ready for a GPU, against", f"{what}, floats ready for a CPU, against"
    reference, bare = "soundfile on loose FLAC and DataLoader", "bare pread of the same spans"
    row = partial(timed.row, unit="clips/s")
    return [
        row(f"{gpu} {reference}", "device", "loose", reach=15),
        row(f"{gpu} {bare}", "device", "pread", reach=0.25),
        row(f"{cpu} {reference}", "processor", "loose", reach=15),
        row(f"{cpu} {bare}", "processor", "pread", reach=None),
    ]


def _places(reader: Reader, loader: Loader) -> list[int]:
    """Byte offsets of the crops of an epoch in the one shard there is."""
    draws = [draw for batch in loader.plan(0) for draw in batch]
    rows = reader.rows([loader.utt_id[draw.row] for draw in draws], ["original"] * len(draws))
    surplus = reader.samples(rows) - SAMPLES
    starts = [crop_start(SAMPLES + more, SAMPLES, crop="random", u=d.u) for d, more in zip(draws, surplus.tolist())]
    return (reader._index["offset"][rows] + 44 + 2 * np.array(starts)).tolist()


def _training(reader: Reader) -> dict[str, Any]:
    """Training steps on batches from the loader, which reads and extracts, and on one batch kept in memory."""
    name, batch_size, clips = STEP
    model = detectors.build(name)
    spec = model.input
    loader = _loader(reader, spec.feature, spec.params, spec.samples, batch_size, clips, train=True, workers=WORKERS)
    optimizer = torch.optim.Adam(model.parameters())
    kept = next(iter(loader.epoch()))

    def step(batch: Any) -> int:
        optimizer.zero_grad()
        model.train().loss(batch).backward()
        optimizer.step()
        return len(batch.x)

    timed = turns.in_turns({
        "ours": lambda: sum(step(batch) for batch in loader.epoch()),
        "peer": lambda: sum(step(kept) for _ in range(clips // batch_size)),
    }, ROUNDS)  # fmt: skip
    what = f"{name} training through the loader, against the same step on one batch in memory"
    return timed.row(what, "ours", "peer", unit="clips/s", reach=0.95)


def _scoring(reader: Reader) -> dict[str, Any]:
    """`benchmark.score` over a role, and the bare network on its batches."""
    name, batch_size, clips = SCORED
    model = detectors.build(name).eval()
    spec = model.input
    loader = _loader(reader, spec.feature, spec.params, SAMPLES, batch_size, clips, train=False, workers=WORKERS)
    batch = timing.material(model, batch_size, samples=SAMPLES)

    def bare() -> int:
        with torch.inference_mode():
            return sum(len(model.score_batch(batch)) for _ in range(clips // batch_size))

    timed = turns.in_turns({"ours": lambda: len(score.score(model, loader)), "peer": bare}, ROUNDS)
    what = f"{name} scoring from shards to scores, against the bare network"
    return timed.row(what, "ours", "peer", unit="clips/s", reach=0.95)


def _loader(
    reader: Reader, feature: str, params: dict, samples: int | None, batch: int, clips: int, **how: Any
) -> Loader:
    labels = ["bonafide" if i % 2 else "spoof" for i in range(clips)]
    table = pa.table({"utt_id": [f"bench/c{i:04d}" for i in range(clips)], "label": labels})
    spec = {"feature": feature, "params": dict(params), "samples": samples, "train_crop": "random",
            "test_crop": "first", "short": "repeat"}  # fmt: skip
    extractor = extractors.get(feature, **params)
    return Loader(reader, table, spec, extractor, batch_size=batch, seed=0, drop_last=True, **how)


def _material(folder: Path) -> tuple[list[Path], Path]:
    """Loose FLAC files, and a DATA folder with the same clips in one PCM shard."""
    loose = shard_bench.source_files(folder / "flac", 16_000, "flac")[:CLIPS]
    shard, shards = shard_bench.one_shard(loose, as_is=True, audio_codec="pcm"), folder / "data" / "shards"
    writer.write_shard(shard, shards)
    with catalog.connect(folder / "data" / "catalog.duckdb", read_only=False) as con:
        con.execute(writer.SCHEMA.read_text())
        files = [str(index.index_path(shards / shard.name))]
        con.execute("INSERT INTO shard_member BY NAME SELECT * FROM read_parquet(?)", [files])
    return loose, folder / "data"
