"""The user's own recordings as bona fide clips: cut into stretches and dealt out to the takes of all corpora."""

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping
from math import gcd
from pathlib import Path

import av
import numpy as np
import soundfile
from scipy.signal import resample_poly

from ingest import confined
from ingest.files import sha256
from ingest.simulate.plan import Layout, Segment, Take
from ingest.simulate.room import limited, rms
from ingest.simulate.seeds import generator
from ingest.types import DataError

AUDIO = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".webm", ".mp4")
SHORTEST_S, LONGEST_S = 1.0, 4.5
SINGING_NOTE = "speech recordings stand in for singing"


def assign(layouts: Mapping[str, Layout], speech: Path, seed: int) -> dict[str, str]:
    """Give every take of the layouts a segment of the recordings below `speech`; changes the layouts.

    Speakers get folders of recordings in turn, and their takes the segments of that folder in turn, so that no
    stretch is used twice while there are enough. Returns what the markers shall say: the sha256 over names and
    content of the recordings in use. Raises DataError if `speech` holds no usable recording.
    """
    voices = _voices(speech, seed)
    takes = sorted(
        {file.take for plan in layouts.values() for file in plan.files}, key=lambda take: (take.corpus, take.key)
    )
    by_speaker: dict[tuple[str, str], list[Take]] = defaultdict(list)
    for take in takes:
        by_speaker[take.corpus, take.speaker].append(take)
    dealt: dict[Take, Segment] = {}
    used: dict[int, int] = defaultdict(int)
    for number, mine in enumerate(by_speaker.values()):
        voice = number % len(voices)
        for take in mine:
            dealt[take] = voices[voice][used[voice] % len(voices[voice])]
            used[voice] += 1
    for plan in layouts.values():
        plan.files = [
            dataclasses.replace(file, take=dataclasses.replace(file.take, segment=dealt[file.take]))
            for file in plan.files
        ]
    content = hashlib.sha256()
    for file in sorted({segment.file for segment in dealt.values()}):
        line = f"{Path(file).relative_to(speech.resolve()).as_posix()} {sha256(file)}\n"
        content.update(line.encode(errors="surrogateescape"))
    return {"speech": content.hexdigest(), "singing": SINGING_NOTE}


def _voices(speech: Path, seed: int) -> list[list[Segment]]:
    """Segments of all recordings, one list per folder, in an order that depends on the seed."""
    if not speech.is_dir():
        raise DataError(f"--speech {speech} is not a folder; name one that holds recordings")
    files = sorted(path for path in speech.resolve().rglob("*") if path.suffix.lower() in AUDIO and path.is_file())
    folders: dict[Path, list[Segment]] = defaultdict(list)
    for path in files:
        folders[path.parent] += segments(path, duration_s(path), seed)
    voices = [found for found in folders.values() if found]
    if not voices:
        raise DataError(
            f"--speech {speech} holds no recording of at least {SHORTEST_S:g} s that can be read "
            f"({len(files)} audio files seen); put WAV, FLAC, MP3, ... of speech there"
        )
    for found in voices:
        generator(seed, "voice", Path(found[0].file).parent.relative_to(speech.resolve())).shuffle(found)
    return voices


def duration_s(path: Path) -> float:
    """Length of a recording by its header; 0 where neither libsndfile nor FFmpeg can read it."""
    try:
        return float(soundfile.info(os.fsencode(path)).duration)
    except soundfile.LibsndfileError:
        pass
    try:
        with confined.open_media(path) as container:
            if not container.streams.audio:
                return 0.0
            return float(container.duration or 0) / 1e6
    except (av.FFmpegError, OSError):
        return 0.0


def segments(path: Path, length_s: float, seed: int) -> list[Segment]:
    """Consecutive stretches of 1.8 to 4.5 s; a recording shorter than that is one stretch, below 1 s none."""
    rng = generator(seed, "segments", path.name)
    found, start = [], 0.0
    while length_s - start >= SHORTEST_S:
        wanted = min(float(rng.uniform(1.8, LONGEST_S if rng.random() < 0.2 else 3.0)), length_s - start)
        found.append(Segment(str(path), start, wanted))
        start += wanted
    return found


def cut(segment: Segment, rate_hz: int) -> np.ndarray:
    """(sample,) float32 mono at rate_hz, of ordinary loudness."""
    wave, original_hz = _read(segment)
    common = gcd(original_hz, rate_hz)
    if original_hz != rate_hz:
        wave = resample_poly(wave, rate_hz // common, original_hz // common)
    return limited(wave * max(1.0, 0.04 / max(rms(wave), 1e-3))).astype(np.float32)


def _read(segment: Segment) -> tuple[np.ndarray, int]:
    try:
        with soundfile.SoundFile(os.fsencode(segment.file)) as file:
            file.seek(int(segment.start_s * file.samplerate))
            wave = file.read(int(segment.length_s * file.samplerate), dtype="float32", always_2d=True)
            rate_hz = file.samplerate
    except soundfile.LibsndfileError:
        wave, rate_hz = _read_with_ffmpeg(segment)
    if len(wave) < 0.5 * rate_hz:
        raise DataError(f"--speech: {segment.file} ends before {segment.start_s + 0.5:.1f} s; remove it or repair it")
    return wave.mean(axis=1), rate_hz


def _read_with_ffmpeg(segment: Segment) -> tuple[np.ndarray, int]:
    try:
        with confined.open_media(segment.file) as container:
            rate_hz = container.streams.audio[0].rate
            to_float = av.AudioResampler(format="fltp", layout="mono", rate=rate_hz)
            parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in to_float.resample(frame)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise DataError(f"--speech: {segment.file} cannot be decoded ({error}); remove it or repair it") from None
    wave = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    start = int(segment.start_s * rate_hz)
    return wave[start : start + int(segment.length_s * rate_hz), None], rate_hz
