"""A source-filter voice: glottal pulses and noise through moving formants (Klatt 1980; Fant's source model).

`speak` gives a dry voice. The control tracks have CONTROL_HZ frames a second; the filter is updated at each.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, lfilter, resample_poly, sosfilt

from ingest.simulate.seeds import generator
from ingest.simulate.syllables import CONSONANTS, LANGUAGES, VOWELS, Syllable, syllable

CONTROL_HZ = 200


@dataclass(frozen=True, slots=True)
class Speaker:
    """What stays the same from clip to clip of one person."""

    f0_hz: float
    tract: float  # formants of this speaker over those of an average man
    formant_shift: tuple[float, ...]  # personal deviation of each formant
    open_quotient: float
    tilt: float  # 0 bright .. 1 dark
    breath: float  # aspiration noise over voicing
    jitter: float
    shimmer: float
    rate: float  # speaking rate, 1 = average
    range_: float  # liveliness of the tune


def speaker(name: str, gender: str, *key: object) -> Speaker:
    """The speaker of this name; the same name and key give the same person."""
    rng = generator("speaker", name, *key)
    woman = gender == "F"
    return Speaker(
        f0_hz=float(rng.normal(205, 22) if woman else rng.normal(118, 16)),
        tract=float((1.16 if woman else 1.0) * rng.normal(1, 0.035)),
        formant_shift=tuple(rng.normal(1, 0.03, 5)),
        open_quotient=float(rng.uniform(0.55, 0.75)),
        tilt=float(rng.uniform(0.1, 0.9)),
        breath=float(rng.uniform(0.02, 0.09)),
        jitter=float(rng.uniform(0.004, 0.012)),
        shimmer=float(rng.uniform(0.02, 0.07)),
        rate=float(rng.uniform(0.9, 1.15)),
        range_=float(rng.uniform(0.7, 1.3)),
    )


@dataclass(slots=True)
class Sounds:
    """A score, sound by sound; every list has one entry per sound but `hiss` (start_s, length_s, band, level)."""

    length_s: list[float]
    formants: list[tuple[float, float, float]]
    voicing: list[float]
    aspiration: list[float]
    nasal: list[float]
    semitone: list[float]
    hiss: list[tuple[float, float, tuple[float, float], float]]

    @classmethod
    def empty(cls) -> "Sounds":
        return cls([], [], [], [], [], [], [])

    @property
    def end_s(self) -> float:
        return sum(self.length_s)

    def add(
        self,
        length_s: float,
        formants: tuple[float, float, float],
        *,
        voicing: float = 0.0,
        aspiration: float = 0.0,
        nasal: float = 0.0,
        semitone: float | None = None,
    ) -> None:
        """Append one sound; without a pitch the tune goes on."""
        self.length_s.append(length_s)
        self.formants.append(formants)
        self.voicing.append(voicing)
        self.aspiration.append(aspiration)
        self.nasal.append(nasal)
        self.semitone.append(semitone if semitone is not None else (self.semitone[-1] if self.semitone else 0.0))

    def noise(self, length_s: float, band_hz: tuple[float, float], level: float) -> None:
        """A hiss or burst that starts now."""
        self.hiss.append((self.end_s, length_s, band_hz, level))


REST = (500.0, 1500.0, 2500.0)


def add_pause(sounds: Sounds, length_s: float, rng: np.random.Generator, *, breath: bool) -> None:
    """Silence, with an audible intake of air in its middle if `breath`."""
    if not breath or length_s < 0.22:
        sounds.add(length_s, REST)
        return
    sounds.add(0.3 * length_s, REST)
    sounds.add(0.5 * length_s, REST, aspiration=float(rng.uniform(0.04, 0.1)))
    sounds.add(0.2 * length_s, REST)


def add_consonant(sounds: Sounds, name: str, level: float) -> None:
    """The sounds of one consonant."""
    made = CONSONANTS[name]
    murmur = 0.18 if made.voiced else 0.0
    if made.kind == "nasal":
        sounds.add(made.length_s, made.locus_hz, voicing=0.5 * level, nasal=1.0)
    elif made.kind == "approximant":
        sounds.add(made.length_s, made.locus_hz, voicing=0.6 * level)
    elif made.kind == "fricative":
        sounds.noise(made.length_s, made.band_hz, made.level * level)
        aspiration = 0.25 * level if name == "h" else 0.0
        sounds.add(made.length_s, made.locus_hz, voicing=2 * murmur * level, aspiration=aspiration)
    else:  # closure, release, and for the voiceless ones a puff of air
        sounds.add(made.length_s * 0.75, made.locus_hz, voicing=murmur * level)
        hiss_s = 0.012 if made.kind == "plosive" else 0.06
        sounds.noise(hiss_s, made.band_hz, made.level * level)
        aspiration = 0.0 if made.voiced else 0.2 * level
        sounds.add(hiss_s if made.voiced else hiss_s + 0.025, made.locus_hz, aspiration=aspiration)


def add_syllable(sounds: Sounds, one: Syllable, base: float, scale: float) -> None:
    """One spoken syllable; `base` semitones is where the phrase's melody stands."""
    for name in one.onset:
        add_consonant(sounds, name, one.level)
    parts = 3
    for part in range(parts):
        target = VOWELS[one.vowels[min(part * len(one.vowels) // parts, len(one.vowels) - 1)]]
        pitch = base + scale * one.tune[part]
        sounds.add(one.vowel_s / parts, target, voicing=one.level, semitone=pitch)
    for name in one.coda:
        add_consonant(sounds, name, 0.7 * one.level)


def sentence(who: Speaker, language: str, seconds: float, rng: np.random.Generator) -> Sounds:
    """Phrases of random syllables until about `seconds` are full."""
    sounds, words = Sounds.empty(), LANGUAGES[language]
    add_pause(sounds, rng.uniform(0.06, 0.25), rng, breath=False)
    left, top = int(rng.integers(4, 9)), rng.uniform(0, 2)
    while sounds.end_s < seconds - 0.45:
        made = syllable(words, rng)
        made = Syllable(made.onset, made.vowels, made.coda, made.vowel_s / who.rate, made.tune, made.level)
        add_syllable(sounds, made, top, who.range_)
        top -= rng.uniform(0.1, 0.6)  # declination
        left -= 1
        if left == 0 and sounds.end_s < seconds - 1.0:
            add_pause(sounds, rng.uniform(0.12, 0.4), rng, breath=rng.random() < 0.6)
            left, top = int(rng.integers(4, 9)), rng.uniform(0, 2)
    sounds.add(rng.uniform(0.05, 0.1), sounds.formants[-1], voicing=0.25)
    add_pause(sounds, rng.uniform(0.08, 0.25), rng, breath=False)
    return sounds


def speak(who: Speaker, language: str, seconds: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A dry spoken utterance: (sample,) float64 of arbitrary level."""
    sounds = sentence(who, language, seconds, rng)
    return synthesize(sounds, who, rate_hz, rng, pitch_smooth_s=0.03)


def synthesize(
    sounds: Sounds,
    who: Speaker,
    rate_hz: int,
    rng: np.random.Generator,
    *,
    pitch_smooth_s: float,
    vibrato: np.ndarray | None = None,
    drift: float = 0.35,
) -> np.ndarray:
    """Sounds -> waveform. vibrato: semitones per control frame to add to the smoothed tune."""
    frames = int(sounds.end_s * CONTROL_HZ)
    index = np.searchsorted(np.cumsum(sounds.length_s), (np.arange(frames) + 0.5) / CONTROL_HZ)
    index = np.minimum(index, len(sounds.length_s) - 1)

    def track(values: list, smooth_s: float) -> np.ndarray:
        return gaussian_filter1d(np.asarray(values, float)[index], smooth_s * CONTROL_HZ, axis=0, mode="nearest")

    semitone = track(sounds.semitone, pitch_smooth_s)
    semitone += gaussian_filter1d(rng.normal(size=frames), 12) * drift * 5
    if vibrato is not None:
        semitone += vibrato[:frames]
    f0 = who.f0_hz * 2 ** (semitone / 12)
    formants = track(sounds.formants, 0.017) * who.tract * np.array(who.formant_shift[:3])
    source = glottis(f0, who, rate_hz, rng)
    samples = source.shape[1]

    def at_samples(values: np.ndarray) -> np.ndarray:
        return np.interp(np.arange(samples) * CONTROL_HZ / rate_hz, np.arange(frames), values)

    pulses, openness = source
    # turbulence is loudest below a few kHz; white, it would fill the band above 8 kHz
    air = 1.4 * sosfilt(butter(2, 4000, fs=rate_hz, output="sos"), rng.normal(size=samples))
    voicing = at_samples(track(sounds.voicing, 0.012))
    excitation = pulses * voicing
    excitation += air * (who.breath * voicing * (0.3 + openness) + 0.5 * at_samples(track(sounds.aspiration, 0.01)))
    voice = tract_filter(excitation, formants, track(sounds.nasal, 0.008), who, rate_hz)
    return voice / max(np.percentile(np.abs(voice), 99.7), 1e-9) + hisses(sounds, samples, rate_hz, rng)


def glottis(f0: np.ndarray, who: Speaker, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """(2, sample): the derivative of the glottal flow, and how open the glottis is (0..1).

    Rosenberg's flow pulse with a rounded closure, each period with its own length, height and open quotient;
    made at twice the rate so that the sharp closure does not alias.
    """
    rate2 = 2 * rate_hz
    samples = int(len(f0) / CONTROL_HZ * rate2)
    pitch = np.interp(np.arange(samples) * CONTROL_HZ / rate2, np.arange(len(f0)), f0)
    cycle = np.floor(np.cumsum(pitch) / rate2).astype(int)
    cycles = int(cycle[-1]) + 2
    pitch = pitch * (1 + who.jitter * rng.normal(size=cycles))[cycle]
    phase = np.cumsum(pitch) / rate2 + rng.random()
    cycle = np.minimum(np.floor(phase).astype(int), cycles - 1)
    phase = phase - np.floor(phase)
    opened = np.clip(who.open_quotient + 0.02 * rng.normal(size=cycles), 0.4, 0.9)[cycle]
    rise = 0.66 * opened
    fall = opened - rise
    flow_rise = 0.5 * (1 - np.cos(np.pi * phase / rise))
    flow_fall = np.cos(0.5 * np.pi * (phase - rise) / fall)
    flow = np.where(phase < rise, flow_rise, np.where(phase < opened, flow_fall, 0.0))
    flow *= (1 + who.shimmer * rng.normal(size=cycles))[cycle]
    smooth = gaussian_filter1d(flow, rate2 * (0.00002 + 0.00005 * who.tilt))
    derivative = np.diff(smooth, prepend=smooth[:1]) * rate2 / np.maximum(pitch, 1.0) / 6
    return resample_poly(np.stack([derivative, flow]), 1, 2, axis=1)


def tract_filter(
    excitation: np.ndarray, formants: np.ndarray, nasal: np.ndarray, who: Speaker, rate_hz: int
) -> np.ndarray:
    """A cascade of resonators: three moving formants, then fixed higher ones up to the Nyquist frequency."""
    frames = len(formants)
    moving = resonators(np.clip(formants, 120, 0.45 * rate_hz), rate_hz, damped=1 + 1.6 * nasal[:, None])
    numerator, denominator = moving[:, :, 0].prod(axis=1)[:, None], moving[:, 0, 3:]
    for number in range(1, moving.shape[1]):  # multiply the three quadratics of every frame
        product = np.zeros((frames, denominator.shape[1] + 2))
        for power in range(3):
            product[:, power : power + denominator.shape[1]] += denominator * moving[:, number, 3 + power, None]
        denominator = product
    edges = np.minimum((np.arange(frames + 1) * rate_hz) // CONTROL_HZ, len(excitation))
    edges[-1] = len(excitation)
    # Each frame starts from the last output samples, not from the old filter's inner state: no clicks.
    order = denominator.shape[1] - 1
    carry = np.zeros((frames, order, order))
    for row in range(order):
        carry[:, row, : order - row] = -denominator[:, row + 1 :]
    out = np.zeros(order + len(excitation))
    for frame in range(frames):
        start, stop = edges[frame], edges[frame + 1]
        if stop > start:
            state = carry[frame] @ out[start : start + order][::-1]
            part, _ = lfilter(numerator[frame], denominator[frame], excitation[start:stop], zi=state)
            out[order + start : order + stop] = part
    out = out[order:]
    fixed = np.arange(3500, 0.46 * rate_hz / who.tract, 1000) * who.tract
    personal = np.array(who.formant_shift[3:])[: len(fixed)]
    fixed[: len(personal)] *= personal
    return sosfilt(resonators(np.minimum(fixed, 0.48 * rate_hz), rate_hz), out)


def resonators(centre_hz: np.ndarray, rate_hz: int, damped: np.ndarray | float = 1.0) -> np.ndarray:
    """(..., 6) second-order sections of unity gain at 0 Hz; bandwidths grow with frequency as in speech."""
    width = damped * (45 + 0.03 * centre_hz + 0.000012 * centre_hz**2)
    radius = np.exp(-np.pi * width / rate_hz)
    sections = np.zeros((*centre_hz.shape, 6))
    sections[..., 3] = 1
    sections[..., 4] = -2 * radius * np.cos(2 * np.pi * centre_hz / rate_hz)
    sections[..., 5] = radius**2
    sections[..., 0] = sections[..., 3:].sum(axis=-1)
    return sections


@lru_cache(maxsize=256)
def _hiss_filter(low_hz: float, high_hz: float, rate_hz: int) -> np.ndarray:
    return butter(2, (low_hz, min(high_hz, 0.47 * rate_hz)), "bandpass", fs=rate_hz, output="sos")


def hisses(sounds: Sounds, samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The frication noise and bursts of a score."""
    out = np.zeros(samples)
    for start_s, length_s, (low_hz, high_hz), level in sounds.hiss:
        start = int((start_s - 0.004) * rate_hz)
        length = min(int((length_s + 0.012) * rate_hz), samples - max(start, 0))
        if length < 16 or start < 0:
            continue
        stretch = rng.uniform(0.93, 1.1)
        if rate_hz > 20_000:  # the hiss of s and sh goes on above the band of telephone-age phonetics
            high_hz *= 1.35
        noise = sosfilt(_hiss_filter(round(low_hz * stretch, -1), round(high_hz * stretch, -1), rate_hz),
                        rng.normal(size=length))  # fmt: skip
        shape = np.sin(np.pi * np.linspace(0, 1, length)) ** (0.5 if length_s > 0.03 else 0.25)
        out[start : start + length] += 0.25 * level * shape * noise
    return out
