"""How fast shards are written and read, beside tar, a bare decoder with resampler, and bare preads."""

import collections
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from joblib import delayed

from ingest import catalog, memory, parallel
from shards import index, writer
from shards.reader import Reader

CLIPS, SPANS, SPAN_SAMPLES, ROUNDS = 400, 2000, 48_000, 9


def rows() -> list[dict[str, Any]]:
    """One row a comparison: value and limit in the same unit, reach = least value / limit; medians.

    This process keeps freed memory, as `python -m shards` does.
    """
    memory.keep_freed()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        wav = source_files(root / "wav", 24_000, "wav")
        return [_pass_through(root), _resampled(root, wav, "pcm"), _resampled(root, wav, "flac"), _random_spans(root)]


def _pass_through(folder: Path) -> dict[str, Any]:
    """16 kHz FLAC copied into one shard by one process, and by tar."""
    sources = source_files(folder / "flac", 16_000, "flac")
    size = sum(path.stat().st_size for path in sources)
    shard = one_shard(sources, as_is=True)
    names = folder / "names.txt"
    names.write_text("\n".join(str(path.relative_to(folder)) for path in sources))
    peer_tar = folder / "peer.tar"
    tar = ["tar", "cf", str(peer_tar), "-C", str(folder), "-T", str(names)]

    ours, peer = _seconds(
        lambda: writer.write_shard(shard, folder / "out"), lambda: subprocess.run(tar, check=True),
        before=partial(_afresh, folder / "out", peer_tar),
    )  # fmt: skip
    return {"name": "pass-through FLAC into a shard, one process, against tar cf", "value": size / ours / 1e6,
            "unit": "MB/s", "limit": size / peer / 1e6, "reach": 0.8}  # fmt: skip


def _resampled(folder: Path, sources: list[Path], audio_codec: str) -> dict[str, Any]:
    """24 kHz WAV decoded, resampled and written into two shards by two processes, and not written."""
    halves = [sources[::2], sources[1::2]]
    shards = [one_shard(half, as_is=False, number=i, audio_codec=audio_codec) for i, half in enumerate(halves)]
    writing = [delayed(writer.write_shard)(shard, folder / "out") for shard in shards]
    decoding = [delayed(_decode_all)(half) for half in halves]
    calls = (partial(_by_two, tasks) for tasks in (writing, decoding))
    ours, peer = _seconds(*calls, before=partial(_afresh, folder / "out"))
    return {"name": f"decode, resample and shard as {audio_codec}, two processes, against decode and resample alone",
            "value": len(sources) / ours, "unit": "clips/s", "limit": len(sources) / peer, "reach": 0.85}  # fmt: skip


def _afresh(*made: Path) -> None:
    """Take away what the last round made: replacing a file waits for the disk, which nothing does the first time."""
    for path in made:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _by_two(tasks: list[parallel.Task]) -> None:
    collections.deque(parallel.results(tasks, 2, what="bench", batch=1), maxlen=0)


def _random_spans(folder: Path) -> dict[str, Any]:
    """3 s spans as float32 from a PCM shard in random order, and the same bytes by bare pread."""
    sources = source_files(folder / "pcm", 16_000, "wav")
    shard = one_shard(sources, as_is=False, audio_codec="pcm")
    writer.write_shard(shard, folder / "data" / "shards")
    with catalog.connect(folder / "data" / "catalog.duckdb", read_only=False) as con:
        con.execute(writer.SCHEMA.read_text())
        index.insert_members(con, "shard_member", [folder / "data" / "shards" / shard.name])
        offsets = dict(con.execute('SELECT utt_id, "offset" FROM shard_member').fetchall())
    random = np.random.default_rng(0)
    chosen = [(shard.rows[i]["utt_id"], int(s)) for i, s in zip(
        random.integers(0, CLIPS, SPANS), random.integers(0, 16_000, SPANS))]  # fmt: skip
    reader = Reader(folder / "data")
    handle = os.open(folder / "data" / "shards" / shard.name, os.O_RDONLY)
    try:
        ours, peer = _seconds(
            lambda: [reader.span(utt_id, start, start + SPAN_SAMPLES) for utt_id, start in chosen],
            lambda: [os.pread(handle, 2 * SPAN_SAMPLES, offsets[u] + 44 + 2 * start) for u, start in chosen],
        )
    finally:
        os.close(handle)
    return {"name": "random 3 s spans of PCM shards as float32, against bare pread", "value": SPANS / ours,
            "unit": "spans/s", "limit": SPANS / peer, "reach": 0.25}  # fmt: skip


def _seconds(
    ours: Callable[[], Any], peer: Callable[[], Any], *, before: Callable[[], Any] = lambda: None
) -> tuple[float, float]:
    """Median seconds of each, taking turns after one unmeasured round; `before` each round is not measured."""
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS + 1):
        before()
        for call, times in zip((ours, peer), spent):
            started = time.perf_counter()
            call()
            if turn:
                times.append(time.perf_counter() - started)
    return statistics.median(spent[0]), statistics.median(spent[1])


def source_files(folder: Path, rate_hz: int, extension: str) -> list[Path]:
    """CLIPS files of 4 s: noise that falls off with frequency; as FLAC 17 kB a second at 16 kHz, as speech is."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = [folder / f"c{i:04d}.{extension}" for i in range(CLIPS)]
    for path in paths:
        wave = np.convolve(random.standard_normal(4 * rate_hz + 11), np.hanning(12), "valid")
        soundfile.write(path, 0.02 * wave, rate_hz, subtype="PCM_16")
    return paths


def one_shard(paths: list[Path], *, as_is: bool, number: int = 0, audio_codec: str = "flac") -> writer.Shard:
    """A shard of these files as the catalog would plan it; as_is: FLAC at 16 kHz that is copied."""
    labels = dict.fromkeys(writer.LABELS) | {"corpus": "bench", "label": "bonafide", "domain": "speech"}
    rows = []
    for path in paths:
        stat = path.stat()
        rows.append(labels | {
            "utt_id": f"bench/{path.stem}", "file": str(path), "size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns,
            "as_is": as_is, "source_id": path.stem,
        })  # fmt: skip
    name = f"bench/bench-en-bonafide-original-{number:06d}.tar"
    return writer.Shard(name, "bench", "en", "bonafide", "original", audio_codec, tuple(rows))


def _decode_all(paths: list[Path]) -> None:
    import torch
    import torchaudio

    for path in paths:
        wave, rate_hz = soundfile.read(path, dtype="float32")
        torchaudio.functional.resample(torch.from_numpy(wave), rate_hz, 16_000)
