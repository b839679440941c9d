"""How fast codec variants are made: by one process, by two, and by two runs of the ffmpeg program per clip."""

import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import delayed

from ingest import audio, parallel, turns
from shards import variants

CLIPS, SECONDS, ROUNDS = 36, 3, 5
TASKS = 3  # of each codec
# Word -> what the ffmpeg program is told, and the suffix of its file; the slowest first, as shards are handed out.
PROGRAM = {
    "mp3-32k": ("-c:a libmp3lame -b:a 32k", "mp3"), "aac-32k": ("-c:a aac -b:a 32k", "mp4"),
    "opus-32k": ("-c:a libopus -b:a 32k", "ogg"),
    "amr-12k2": ("-c:a libopencore_amrnb -b:a 12.2k -ar 8000", "amr"),
    "vorbis-q3": ("-c:a libvorbis -q:a 3", "ogg"), "g722": ("-c:a g722", "wav"),
    "alaw": ("-c:a pcm_alaw -ar 8000", "wav"), "ulaw": ("-c:a pcm_mulaw -ar 8000", "wav"),
}  # fmt: skip
_RAW = ("-f", "f32le", "-ac", "1", "-ar", "16000")


def rows() -> list[dict[str, Any]]:
    """One row a comparison: value and limit in the same unit, reach = least value / limit; medians."""
    clips = _clips()
    tasks = [delayed(_all)(clips[i::TASKS], word) for word in PROGRAM for i in range(TASKS)]
    with tempfile.TemporaryDirectory() as folder:
        timed = turns.in_turns({
            "one": partial(_run, tasks, 1), "two": partial(_run, tasks, 2),
            "program": lambda: len([_by_program(clip, word, Path(folder)) for word in PROGRAM for clip in clips]),
        }, ROUNDS)  # fmt: skip
    codecs = f"{len(PROGRAM)} codecs there and back, clips of {SECONDS} s"
    row, against = partial(timed.row, unit="clips/s"), "against two ffmpeg processes per clip"
    return [
        row(f"{codecs}, two workers, {against}", "two", "program", reach=5),
        row(f"{codecs}, one process, {against}", "one", "program", reach=None),
        row("codec variants by two workers, against one", "two", "one", reach=1.8),
    ]


def _run(tasks: list[parallel.Task], jobs: int) -> int:
    return sum(parallel.results(tasks, jobs, what="bench", batch=1))


def _all(clips: list[np.ndarray], word: str) -> int:
    return len([variants.apply(clip, word) for clip in clips])


def _by_program(clip: np.ndarray, word: str, folder: Path) -> bytes:
    """The ffmpeg program run twice: into a file, and back."""
    options, suffix = PROGRAM[word]
    program, path = [audio.ffmpeg(), "-v", "error", "-y"], folder / f"x.{suffix}"
    subprocess.run([*program, *_RAW, "-i", "-", *options.split(), str(path)], input=clip.tobytes(), check=True)
    return subprocess.run([*program, "-i", str(path), *_RAW, "-"], capture_output=True, check=True).stdout


def _clips() -> list[np.ndarray]:
    """Buzzes in noise, as busy for a codec as speech: float32 (sample,)."""
    random, t = np.random.default_rng(0), np.arange(16_000 * SECONDS) / 16_000
    clips = []
    for i in range(CLIPS):
        buzz = sum(np.cos(2 * np.pi * k * (110 + 5 * i) * t + k) / k for k in range(1, 30))
        wave = buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)) + 0.1 * random.standard_normal(t.size)
        clips.append((0.1 * wave).astype(np.float32))
    return clips
