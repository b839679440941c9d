"""How fast codec variants are made: by one process, by two, and by two runs of the ffmpeg program per clip."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from joblib import delayed

from ingest import audio, parallel
from shards import variants

CLIPS, SECONDS, ROUNDS = 36, 3, 3
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
    one, two, program = _seconds(clips)
    count, codecs = CLIPS * len(PROGRAM), f"{len(PROGRAM)} codecs there and back, clips of {SECONDS} s"
    peer = {"unit": "clips/s", "limit": count / program}
    return [
        {"name": f"{codecs}, two workers, against two ffmpeg processes per clip", "value": count / two, **peer,
         "reach": 5},
        {"name": f"{codecs}, one process, against two ffmpeg processes per clip", "value": count / one, **peer,
         "reach": None},
        {"name": "codec variants by two workers, against one", "value": count / two, "unit": "clips/s",
         "limit": count / one, "reach": 1.8},
    ]  # fmt: skip


def _seconds(clips: list[np.ndarray]) -> tuple[float, float, float]:
    """Median seconds for every codec on every clip: one process, two, and the program; taking turns."""
    spent: tuple[list[float], ...] = ([], [], [])
    tasks = [delayed(_all)(clips[i::TASKS], word) for word in PROGRAM for i in range(TASKS)]
    with tempfile.TemporaryDirectory() as folder:
        calls: tuple[Callable[[], Any], ...] = (
            lambda: list(parallel.results(tasks, 1, what="bench")),
            lambda: list(parallel.results(tasks, 2, what="bench", batch=1)),
            lambda: [_by_program(clip, word, Path(folder)) for word in PROGRAM for clip in clips],
        )
        for turn in range(ROUNDS + 1):
            for call, times in zip(calls, spent, strict=True):
                started = time.perf_counter()
                call()
                if turn:  # one unmeasured round
                    times.append(time.perf_counter() - started)
    return median(spent[0]), median(spent[1]), median(spent[2])


def _all(clips: list[np.ndarray], word: str) -> int:
    return sum(variants.apply(clip, word).size for clip in clips)


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
