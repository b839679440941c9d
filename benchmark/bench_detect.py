"""How fast single recordings are judged, and in how much memory, on all cores of this machine."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from benchmark import detectors
from ingest.parallel import cores

SECONDS, LONG_S = 60, 3600
CASES = (("lfcc_lcnn", 30.0), ("aasist", 3.0))  # detector, times real time asked for
_CHILD = """
import json, sys, time
from benchmark.inference import DeepfakeDetector
from ingest import memory
weights, name, path, warm = sys.argv[1:]
detector = DeepfakeDetector(weights, detector=name)
detector.predict(warm)
started = time.perf_counter()
verdict = detector.predict(path)
print(json.dumps({"s": time.perf_counter() - started, "duration_s": verdict.duration_s, "windows": len(verdict.windows),
                  "peak_mib": memory.peak_bytes() / 2**20}))
"""


def rows() -> list[dict[str, Any]]:
    """One dict per figure: name, value, unit, reach. Each file is judged by a process of its own."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, reach in CASES:
            weights = Path(folder) / f"{name}.pt"
            torch.manual_seed(0)
            torch.save(detectors.build(name).state_dict(), weights)
            told = judged(weights, name, Path(folder), SECONDS)
            found.append({
                "name": f"detect with {name}, {SECONDS} s of 44.1 kHz FLAC, half overlapping windows",
                "value": told["duration_s"] / told["s"], "unit": "times real time", "reach": f">= {reach:g}",
            })  # fmt: skip
        for name, _ in CASES:
            told = judged(Path(folder) / f"{name}.pt", name, Path(folder), LONG_S)
            found.append({"name": f"detect with {name}, {LONG_S // 3600} hour: peak memory", "value": told["peak_mib"],
                          "unit": "MiB", "reach": "<= 1024"})  # fmt: skip
    return found


def judged(weights: Path, name: str, folder: Path, seconds: int) -> dict[str, float]:
    """Seconds, windows and peak memory in MiB of judging one recording of noise, after a short one to warm up."""
    path, warm = folder / f"{seconds}.flac", folder / "warm.flac"
    for file, length in ((path, seconds), (warm, 5)):
        if not file.exists():
            noise(file, length)
    words = [sys.executable, "-c", _CHILD, str(weights), name, str(path), str(warm)]
    threads = str(cores())
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(root)}
    said = subprocess.run(words, capture_output=True, text=True, check=True, cwd=root, env=environment).stdout
    return json.loads(said.splitlines()[-1])


def noise(path: Path, seconds: int, rate_hz: int = 44_100) -> None:
    """Write so many seconds of quiet noise, a minute at a time."""
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16") as file:
        for start in range(0, seconds, 60):
            file.write(0.05 * random.standard_normal(min(60, seconds - start) * rate_hz))
