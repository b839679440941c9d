"""Singing with the same voice: notes of a scale, vibrato, portamento; and an accompaniment for it."""

import dataclasses

import numpy as np

from ingest.simulate.seeds import generator
from ingest.simulate.syllables import LANGUAGES, VOWELS, syllable
from ingest.simulate.voice import CONTROL_HZ, Sounds, Speaker, add_consonant, add_pause, synthesize

SCALES = {  # semitones above the tonic
    "zh": (0, 2, 4, 7, 9),
    "ja": (0, 2, 3, 5, 7, 8, 10),
    "fa": (0, 1, 4, 5, 7, 8, 10),
}
MAJOR = (0, 2, 4, 5, 7, 9, 11)


def sing(who: Speaker, language: str, seconds: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A dry sung phrase: (sample,) float64 of arbitrary level, about `seconds` long."""
    scale, words = SCALES.get(language, MAJOR), LANGUAGES[language]
    beat_s = rng.uniform(0.28, 0.42)
    sounds = Sounds.empty()
    add_pause(sounds, rng.uniform(0.05, 0.2), rng, breath=False)
    degree, vibrato = int(rng.integers(len(scale))), []
    while sounds.end_s < seconds - 0.5:
        made = syllable(words, rng)
        for name in made.onset:
            add_consonant(sounds, name, 0.7)
        length_s = max(beat_s * rng.choice([0.5, 1, 1, 2], p=[0.2, 0.35, 0.3, 0.15]) - 0.06, 0.1)
        degree = int(np.clip(degree + rng.integers(-2, 3), 0, len(scale) + 2))
        pitch = scale[degree % len(scale)] + 12 * (degree // len(scale))
        vibrato.append((sounds.end_s, length_s, rng.uniform(5.0, 6.6), rng.uniform(0.25, 0.7)))
        for part in range(2):
            target = VOWELS[made.vowels[min(part, len(made.vowels) - 1)]]
            sounds.add(length_s / 2, target, voicing=1.0, semitone=pitch)
        for name in made.coda[:1]:
            add_consonant(sounds, name, 0.5)
        if rng.random() < 0.15 and sounds.end_s < seconds - 1.0:
            add_pause(sounds, rng.uniform(0.25, 0.4), rng, breath=True)
    sounds.add(0.08, sounds.formants[-1], voicing=0.3)
    add_pause(sounds, rng.uniform(0.08, 0.2), rng, breath=False)
    singer = dataclasses.replace(who, f0_hz=tonic_hz(who), jitter=0.5 * who.jitter, shimmer=0.6 * who.shimmer)
    wobble = _vibrato(vibrato, int(sounds.end_s * CONTROL_HZ) + 1)
    return synthesize(sounds, singer, rate_hz, rng, pitch_smooth_s=0.045, vibrato=wobble, drift=0.12)


def tonic_hz(who: Speaker) -> float:
    """The keynote that suits a voice: a semitone of the tempered scale, a third above its speaking pitch."""
    return float(440 * 2 ** (round(12 * np.log2(1.25 * who.f0_hz / 440)) / 12))


def _vibrato(notes: list[tuple[float, float, float, float]], frames: int) -> np.ndarray:
    """Semitones per control frame; sets in after 0.15 s of a note."""
    out, time = np.zeros(frames), np.arange(frames) / CONTROL_HZ
    for start_s, length_s, rate_hz, depth in notes:
        inside = (time >= start_s) & (time < start_s + length_s)
        since = time[inside] - start_s
        out[inside] += depth * np.clip((since - 0.15) / 0.2, 0, 1) * np.sin(2 * np.pi * rate_hz * since)
    return out


def accompaniment(who: Speaker, language: str, samples: int, rate_hz: int, *key: object) -> np.ndarray:
    """Chords, bass and drum in the singer's key: (2, sample) float64, left and right."""
    rng = generator("accompaniment", *key)
    scale, tonic = SCALES.get(language, MAJOR), tonic_hz(who)
    beat = int(rng.uniform(0.28, 0.42) * rate_hz)
    time = np.arange(4 * beat) / rate_hz
    out = np.zeros((2, samples + 4 * beat))
    side = rng.uniform(0.2, 0.8)
    for number, start in enumerate(range(0, samples, beat)):
        if number % 4 == 0:
            root = int(rng.integers(len(scale)))
        degree = (root + 2 * (number % 4)) % len(scale)
        plucked = _pluck(tonic * 2 ** (scale[degree] / 12), time, rng)
        bass = _pluck(tonic / 4 * 2 ** (scale[root] / 12), time, rng) if number % 2 == 0 else 0.0
        drum = _drum(number, beat, rate_hz, rng)
        part = slice(start, start + 4 * beat)
        out[0, part] += (1 - side) * plucked + 0.5 * bass
        out[1, part] += side * plucked + 0.5 * bass
        out[:, start : start + beat] += drum
    return out[:, :samples]


def _pluck(hz: float, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A decaying string: harmonics that fade faster the higher they are."""
    out = np.zeros_like(time)
    for harmonic in range(1, 9):
        if harmonic * hz > 7000:
            break
        stretched = hz * harmonic * np.sqrt(1 + 0.0004 * harmonic**2)
        out += (
            np.exp(-time * (1.5 + 1.2 * harmonic))
            / harmonic
            * np.sin(2 * np.pi * stretched * time + rng.uniform(0, 2 * np.pi))
        )
    return out * np.minimum(time / 0.004, 1)


def _drum(number: int, beat: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(beat) / rate_hz
    if number % 4 == 0:
        return 0.9 * np.exp(-time * 18) * np.sin(2 * np.pi * (50 * time + 6 * (1 - np.exp(-time * 30))))
    hat = np.diff(rng.normal(size=beat), prepend=0.0)
    return (0.25 if number % 4 == 2 else 0.1) * np.exp(-time * (20 if number % 4 == 2 else 60)) * hat
