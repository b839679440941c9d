"""What a feature costs before it is computed: bytes and minutes, from a rate measured here in a second."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from features import extractors
from ingest import catalog
from shards.writer import has_shards

_CLIP_S = 4.0
_MEASURE_S = 0.3
_OVERHEAD_BYTES = 2560  # of a clip: two tar headers, the .npy header, the labels, padding


@dataclass(frozen=True, slots=True)
class Cost:
    """One feature over some audio, by one process: bytes on disk as float32 and as float16, minutes of computing."""

    feature: str
    dim: int
    frames_per_s: float
    size_bytes: float
    half_bytes: float
    minutes: float


def audio_amount(data: Path, corpus: str | None) -> tuple[float, int, int]:
    """(seconds, clips, bytes of audio shards so far) of one corpus, or of all, in the catalog."""
    with catalog.connect(data / "catalog.duckdb") as con:
        seconds, clips = con.execute(
            "SELECT coalesce(sum(duration_s), 0), count(*) FROM utterance "
            "WHERE audio_status = 'ok' AND (?::VARCHAR IS NULL OR corpus = ?)", [corpus, corpus],
        ).fetchone()  # fmt: skip
        size_bytes = 0
        if has_shards(con):
            query = "SELECT coalesce(sum(size_bytes), 0) FROM shard WHERE ?::VARCHAR IS NULL OR corpus = ?"
            (size_bytes,) = con.execute(query, [corpus, corpus]).fetchone()
    return seconds, clips, int(size_bytes)


def cost(
    extractor: extractors.Extractor, feature: str, seconds: float, clips: int, *, device: str = "cpu"
) -> Cost:  # fmt: skip
    """The cost of one extractor on a device for `clips` utterances of `seconds` in all."""
    extractor = extractor.to(device)
    samples = int(_CLIP_S * extractor.rate_hz)
    wave = torch.from_numpy(np.random.default_rng(0).standard_normal((1, samples)).astype(np.float32) * 0.1)
    wave = wave.to(device)
    x = extractor.extract(wave).cpu()
    runs, started = 0, time.perf_counter()
    while runs < 2 or time.perf_counter() - started < _MEASURE_S:
        extractor.extract(wave).cpu()  # waits for the device
        runs += 1
    per_clip_s = (time.perf_counter() - started) / runs
    grows = extractor.extract(wave[:, : samples // 2]).shape[1] != x.shape[1]  # pooled over time it does not
    values = x.numel() * (seconds / _CLIP_S if grows else clips)
    overhead = _OVERHEAD_BYTES * clips
    return Cost(
        feature, extractor.dim, x.shape[1] / _CLIP_S, 4 * values + overhead, 2 * values + overhead,
        per_clip_s / _CLIP_S * seconds / 60,
    )  # fmt: skip
