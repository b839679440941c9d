"""How fast shards are written and read, beside tar, a bare decoder with resampler, and bare preads."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from joblib import delayed

from ingest import catalog, memory, parallel, turns
from shards import index, writer
from shards.reader import Reader

CLIPS, SPANS, SPAN_SAMPLES, ROUNDS = 400, 2000, 48_000, 15


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

    def megabytes(work: Callable[[], Any]) -> float:
        work()
        return size / 1e6

    timed = turns.in_turns({
        "ours": partial(megabytes, lambda: writer.write_shard(shard, folder / "out")),
        "tar": partial(megabytes, lambda: subprocess.run(tar, check=True)),
    }, 2 * ROUNDS, after=partial(_remove, folder / "out", peer_tar))  # fmt: skip
    what = "pass-through FLAC into a shard, one process, against tar cf"
    return timed.row(what, "ours", "tar", unit="MB/s", reach=0.8)


def _resampled(folder: Path, sources: list[Path], audio_codec: str) -> dict[str, Any]:
    """24 kHz WAV decoded, resampled and written into two shards by two processes, and not written."""
    halves = [sources[::2], sources[1::2]]
    shards = [one_shard(half, as_is=False, number=i, audio_codec=audio_codec) for i, half in enumerate(halves)]
    writing = [delayed(writer.write_shard)(shard, folder / "out") for shard in shards]
    decoding = [delayed(_decode_all)(half) for half in halves]
    calls = {"ours": partial(_by_two, writing, len(sources)), "decoding": partial(_by_two, decoding, len(sources))}
    timed = turns.in_turns(calls, ROUNDS, after=partial(_remove, folder / "out"))
    what = f"decode, resample and shard as {audio_codec}, two processes, against decode and resample alone"
    return timed.row(what, "ours", "decoding", unit="clips/s", reach=0.85)


def _remove(*made: Path) -> None:
    """Take away what a call made: replacing a file waits for the disk, which nothing does the first time."""
    for path in made:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _by_two(tasks: list[parallel.Task], clips: int) -> int:
    for _ in parallel.results(tasks, 2, what="bench", batch=1):
        pass
    return clips


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
        timed = turns.in_turns({
            "ours": lambda: len([reader.span(utt_id, start, start + SPAN_SAMPLES) for utt_id, start in chosen]),
            "pread": lambda: len([os.pread(handle, 2 * SPAN_SAMPLES, offsets[u] + 44 + 2 * s) for u, s in chosen]),
        }, ROUNDS)  # fmt: skip
    finally:
        os.close(handle)
    what = "random 3 s spans of PCM shards as float32, against bare pread"
    return timed.row(what, "ours", "pread", unit="spans/s", reach=0.25)


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
