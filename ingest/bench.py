"""How fast ingest is: python -m ingest.bench prints name, value, unit, limit and whether it is reached.

Material is made here: protocol lines in the official 13 columns, and noise in FLAC. Times are of this machine;
"one core" figures run in one process with one thread.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROWS, MORE_ROWS = 611_829, 2_000_000
FILES, SECONDS, RATE_HZ = 1_000, 4.0, 16_000
UNCHANGED = 100_000
_SOURCES = {  # source -> attack, vocoder, task, team, gender pair, language of a plausible row
    "asvspoof": ("A{:02}", "traditional_vocoder", "-", "-", "-", "-"),
    "vcc2018": ("HUB-D{:02}", "neural_vocoder_autoregressive", "HUB", "D01", "MF", "-"),
    "vcc2020": ("Task1-team{:02}", "neural_vocoder_nonautoregressive", "Task1", "team20", "FF", "E"),
}
_CODECS = ("nocodec", "low_mp3", "high_mp3", "low_m4a", "high_m4a", "low_ogg", "high_ogg", "mp3m4a", "oggm4a")


def rows() -> list[dict[str, Any]]:
    """Run every measurement: dictionaries of name, value, unit, limit (what stands beside it), reach (">= 800")."""
    with tempfile.TemporaryDirectory(prefix="siren-bench-") as folder:
        return [*_protocol(Path(folder)), *_audio(Path(folder)), *_verify(Path(folder))]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the measurements as a table."""
    parser = argparse.ArgumentParser(prog="python -m ingest.bench", description=__doc__.splitlines()[0])
    parser.parse_args(argv)
    print(f"{'measurement':<58} {'value':>10}  {'unit':<18} {'reach':<10} beside")
    for row in rows():
        print(f"{row['name']:<58} {row['value']:>10.2f}  {row['unit']:<18} {row['reach']:<10} {row['limit']}")
    return 0


def _row(name: str, value: float, unit: str, reach: str = "", *, beside: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "limit": beside, "reach": reach}


def _protocol(folder: Path) -> list[dict]:
    """Parse, check and commit keys of the 2021 DF kind, each in a process of its own: time and memory."""
    found = []
    for count, most_s, most_mib in ((ROWS, "<= 3", ""), (MORE_ROWS, "<= 12", "<= 1536")):
        root = folder / f"df{count}"
        _write_key(root / "keys/DF/CM/trial_metadata.txt", count)
        runs = [_ingest_in_process(root, folder / f"data{count}-{n}") for n in range(3)]
        seconds, peak_mib = statistics.median(s for s, _ in runs), max(mib for _, mib in runs)
        found.append(_row(f"{count:,} trial rows parsed, checked, committed", seconds, "s", most_s))
        found.append(_row(f"{count:,} trial rows: peak memory", peak_mib, "MiB", most_mib))
    return found


def _write_key(path: Path, count: int) -> None:
    generator = random.Random(0)
    path.parent.mkdir(parents=True)
    with open(path, "w") as file:
        for number in range(count):
            source, (attack, vocoder, *rest) = generator.choice(list(_SOURCES.items()))
            attack = attack.format(generator.randrange(7, 20))
            spoof = number % 36 > 0
            said = (
                f"LA_{generator.randrange(100):04} DF_E_{2_000_000 + number:07} {generator.choice(_CODECS)} {source} "
                f"{attack if spoof else '-'} {'spoof' if spoof else 'bonafide'} notrim eval "
                f"{vocoder if spoof else 'bonafide'} {' '.join(rest) if spoof else '- - - -'}\n"
            )
            file.write(said)


def _ingest_in_process(root: Path, data: Path) -> tuple[float, float]:
    """Seconds from parsing to commit, and peak MiB, of a process pinned to one core; imports not counted."""
    code = (
        "import os, sys, time\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import pyarrow; pyarrow.set_cpu_count(1)\n"
        "from ingest import build, corpora, memory\n"
        "corpora.get('asvspoof2021_df').corpus\n"
        "begin = time.perf_counter()\n"
        f"build.ingest_corpus('asvspoof2021_df', {str(root)!r}, {str(data)!r}, partial=True)\n"
        "print(time.perf_counter() - begin, memory.peak_bytes() / 2**20)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, peak_mib = done.stdout.split()[-2:]
    return float(seconds), float(peak_mib)


def _audio(folder: Path) -> list[dict]:
    from ingest import audio, measure, parallel, sweep

    paths = _write_audio(folder / "audio")
    headers = len(paths) / _timed(lambda: [audio.header(path) for path in paths])
    decoding = FILES * SECONDS / _timed(lambda: [soundfile.read(path, dtype="float32") for path in paths])
    measuring = FILES * SECONDS / _timed(lambda: measure.measure_all(paths))
    table = _listing(paths * 8)
    one = _timed(lambda: sweep.sweep(table, folder / "one", jobs=1, what="bench"))
    sweep.sweep(table.slice(0, 65), folder / "warm", jobs=2, what="bench")  # starts the two processes
    two = _timed(lambda: sweep.sweep(table, folder / "two", jobs=2, what="bench"))
    both = ">= 1.7" if parallel.cores() > 1 else ""
    return [
        _row("headers read, one core", headers, "files/s", ">= 5000"),
        _row(
            "FLAC measured, one core", measuring, "times real time", ">= 800", beside=f"decoding alone {decoding:.0f}"
        ),
        _row("measuring with two processes, against one", one / two, "times", both),
    ]


def _write_audio(folder: Path) -> list[str]:
    """Speech-like levels matter to FLAC: noise under a slow envelope, falling towards high frequencies."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    samples = int(SECONDS * RATE_HZ)
    paths = []
    for number in range(FILES):
        noise = np.cumsum(generator.standard_normal(samples))
        noise -= np.convolve(noise, np.ones(64) / 64, "same")
        envelope = np.abs(np.sin(np.arange(samples) * (2 + number % 5) / RATE_HZ)) ** 2
        path = folder / f"{number:04}.flac"
        soundfile.write(path, 0.02 * noise * envelope, RATE_HZ, subtype="PCM_16")
        paths.append(str(path))
    return paths


def _listing(paths: Sequence[str]):
    import pyarrow as pa

    stats = [os.stat(path) for path in paths]
    return pa.table(
        {
            "file": list(paths), "size_bytes": [stat.st_size for stat in stats],
            "mtime_ns": [stat.st_mtime_ns for stat in stats],
        }
    )  # fmt: skip


def _verify(folder: Path) -> list[dict]:
    """A corpus of many very short files, ingested once; then looked at again with nothing changed."""
    from ingest import build, verify

    root = folder / "wild"
    audio = root / "release_in_the_wild"
    audio.mkdir(parents=True)
    soundfile.write(folder / "short.wav", np.random.default_rng(0).standard_normal(160) * 0.1, RATE_HZ)
    content = (folder / "short.wav").read_bytes()
    lines = ["file,speaker,label"]
    for number in range(UNCHANGED):
        (audio / f"{number}.wav").write_bytes(content)
        lines.append(f"{number}.wav,Speaker {number % 50},{'spoof' if number % 3 else 'bona-fide'}")
    (audio / "meta.csv").write_text("\n".join(lines))
    ingest_s = _timed(lambda: build.ingest_corpus("in_the_wild", root, folder / "wild-data", partial=True))
    verify_s = _timed(lambda: verify.verify("in_the_wild", folder / "wild-data"))
    return [
        _row(f"{UNCHANGED:,} very short files ingested", UNCHANGED / ingest_s, "files/s"),
        _row(f"{UNCHANGED:,} unchanged files verified", verify_s, "s", "<= 10"),
    ]


def _timed(work) -> float:  # noqa: ANN001
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
