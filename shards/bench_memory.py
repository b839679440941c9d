"""Peak memory of `python -m shards` and `python -m features` over many short clips, beside that over few."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from ingest import catalog

FEW, MANY, CLIP_S, SHARD_BYTES = 1_000, 20_000, 0.1, "1M"
COMMANDS = {
    "shards": ("shards", "bench", "--max-bytes", SHARD_BYTES, "--jobs", "1"),
    "features": ("features", "bench", "--feature", "logmel", "--jobs", "1"),
}
_COMMAND = """
import atexit, runpy, sys
from ingest import memory
atexit.register(lambda: print(memory.peak_bytes(), file=sys.stderr))
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""  # what `python -m` does, and then tells its peak


def rows(few: int = FEW, many: int = MANY) -> list[dict[str, Any]]:
    """One row a stage: MiB of its process over `many` clips and, as the limit, over `few`; reach: 1.1 times those.

    Both corpora have shards of the same size, so what grows is their number.
    """
    with tempfile.TemporaryDirectory() as folder:
        peaks = [_peaks(corpus(Path(folder) / str(clips), clips)) for clips in (few, many)]
    return [
        {"name": f"peak memory of {stage}, {many:,} clips, against {few:,}", "value": peaks[1][stage], "unit": "MiB",
         "limit": peaks[0][stage], "reach": f"<= {1.1 * peaks[0][stage]:.1f}"}
        for stage in COMMANDS
    ]  # fmt: skip


def corpus(folder: Path, clips: int) -> Path:
    """A catalog of so many clips of 0.1 s, alternately bona fide and spoof; returns the DATA folder."""
    root, data = folder / "bench", folder / "data"
    root.mkdir(parents=True)
    wave = (3000 * np.sin(np.arange(int(CLIP_S * 16_000)) * 0.2)).astype(np.int16)
    wave = wave + np.random.default_rng(0).integers(-300, 300, wave.size, dtype=np.int16)
    names = [f"c{i:06d}" for i in range(clips)]
    for number, name in enumerate(names):
        soundfile.write(root / f"{name}.flac", np.roll(wave, number), 16_000)
    stats = [os.stat(root / f"{name}.flac") for name in names]
    labels = ["bonafide" if i % 2 else "spoof" for i in range(clips)]
    table = pa.table({
        "utt_id": [f"bench/{name}" for name in names], "corpus": ["bench"] * clips, "label": labels,
        "path": [f"{name}.flac" for name in names], "attack": [None if w == "bonafide" else "vocoder" for w in labels],
        "source_id": names, "language": ["en"] * clips, "domain": ["speech"] * clips, "audio_present": [True] * clips,
        "audio_status": ["ok"] * clips, "duration_s": [CLIP_S] * clips, "rate_hz": [16_000] * clips,
        "channels": [1] * clips,
    })  # fmt: skip
    measured = pa.table({
        "utt_id": table["utt_id"], "corpus": table["corpus"], "size_bytes": [s.st_size for s in stats],
        "mtime_ns": [s.st_mtime_ns for s in stats], "container": ["FLAC"] * clips, "subtype": ["PCM_16"] * clips,
        "audio_hash": names,
    })  # fmt: skip
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute(
            "INSERT INTO corpus BY NAME SELECT 'bench' AS corpus, 'B' AS title, 'speech' AS domain, 'own' AS licence, "
            "'-' AS citation, ? AS root, false AS partial, true AS simulated, 'f0' AS fingerprint", [str(root)],
        )  # fmt: skip
        con.register("new_utterance", table)
        con.register("new_measurement", measured)
        con.execute("INSERT INTO utterance BY NAME SELECT * FROM new_utterance")
        con.execute("INSERT INTO measurement BY NAME SELECT * FROM new_measurement")
    return data


def _peaks(data: Path) -> dict[str, float]:
    """MiB of each command's process at its largest."""
    return {stage: _peak([*words, "--data", str(data)]) for stage, words in COMMANDS.items()}


def _peak(words: list[str]) -> float:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", _COMMAND, *words]
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with code {done.returncode}: {done.stderr}")
    return int(done.stderr.split()[-1]) / 2**20
