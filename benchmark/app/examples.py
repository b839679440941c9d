"""Clips to try the page with, made by the project's own voice, song and vocoders: nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
SECONDS = 7.0
SEED = 20


def write(folder: Path) -> dict[str, Path]:
    """Write the clips as WAV; returns words -> file, the same bytes every time."""
    from ingest.simulate.render import encoded

    folder.mkdir(parents=True, exist_ok=True)
    voice = _recorded("F", "en", "speech")
    copied = _copied(voice)
    clips = {
        "a voice": voice,
        "its vocoder copy": copied,
        "copied from 3 s on": _spliced(voice, copied, start_s=3.0),
        "singing": _recorded("M", "zh", "singing"),
    }
    made = {}
    for words, wave in clips.items():
        made[words] = folder / f"{words.replace(' ', '-')}.wav"
        made[words].write_bytes(encoded(np.round(wave * 32767).astype(np.int16), RATE_HZ, "WAV"))
    return made


def _recorded(gender: str, language: str, domain: str) -> np.ndarray:
    """(sample,) float32: a simulated speaker or singer in a simulated room."""
    from ingest.simulate.room import place, record
    from ingest.simulate.seeds import generator
    from ingest.simulate.singing import sing
    from ingest.simulate.voice import speak, speaker

    rng = generator("app", domain, SEED)
    voice: Callable[..., np.ndarray] = sing if domain == "singing" else speak
    dry = voice(speaker(f"app-{gender}", gender, SEED), language, SECONDS, RATE_HZ, rng)
    return record(dry, place("studio", "app", gender, SEED), RATE_HZ, rng)


def _copied(wave: np.ndarray) -> np.ndarray:
    """The wave through mel bands and back, as neural vocoders are fed."""
    from ingest.simulate.seeds import generator
    from ingest.simulate.vocoders import copy

    return copy(wave, RATE_HZ, generator("app", "copy", SEED), "griffin_lim", mels=80, iterations=14)


def _spliced(first: np.ndarray, second: np.ndarray, *, start_s: float) -> np.ndarray:
    """The first wave up to start_s, then the second, cross-faded over 20 ms."""
    fade = np.clip((np.arange(first.size) / RATE_HZ - start_s) / 0.02, 0, 1).astype(np.float32)
    return (1 - fade) * first + fade * second
