"""Sounds and syllables of the simulated languages, and a speech or song score made of them.

Formant targets are rounded averages of adult male vowels as phonetics textbooks print them (Peterson and Barney
1952 for English); a speaker scales them. The words have no meaning: what differs between the languages is the
inventory, the syllable shape, the rhythm and the tune.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Consonant:
    """How a consonant is made.

    kind: plosive | affricate | fricative | nasal | approximant. locus_hz: formants aimed at while it lasts.
    band_hz: frequencies of its burst or hiss. level: of that noise. voiced: the folds vibrate meanwhile.
    """

    kind: str
    locus_hz: tuple[float, float, float]
    band_hz: tuple[float, float] = (500.0, 1500.0)
    level: float = 0.5
    voiced: bool = False
    length_s: float = 0.07


CONSONANTS = {
    "p": Consonant("plosive", (300, 850, 2200), (400, 1600), 0.5),
    "t": Consonant("plosive", (300, 1750, 2700), (3200, 6800), 0.6),
    "k": Consonant("plosive", (300, 2000, 2500), (1500, 3000), 0.6),
    "b": Consonant("plosive", (250, 850, 2200), (400, 1600), 0.25, True, 0.055),
    "d": Consonant("plosive", (250, 1750, 2700), (3000, 6500), 0.3, True, 0.05),
    "g": Consonant("plosive", (250, 2000, 2500), (1400, 2900), 0.3, True, 0.055),
    "f": Consonant("fricative", (340, 1100, 2200), (1500, 7200), 0.22, False, 0.09),
    "s": Consonant("fricative", (320, 1500, 2600), (4200, 7700), 0.5, False, 0.1),
    "sh": Consonant("fricative", (300, 1800, 2600), (2300, 5600), 0.5, False, 0.1),
    "x": Consonant("fricative", (280, 2300, 3000), (3100, 6900), 0.45, False, 0.1),
    "h": Consonant("fricative", (500, 1500, 2500), (600, 3200), 0.22, False, 0.06),
    "v": Consonant("fricative", (280, 1100, 2200), (1500, 6500), 0.1, True, 0.06),
    "z": Consonant("fricative", (280, 1500, 2600), (4200, 7600), 0.25, True, 0.075),
    "ch": Consonant("affricate", (300, 1800, 2600), (2300, 5800), 0.5, False, 0.12),
    "c": Consonant("affricate", (300, 1500, 2600), (4200, 7600), 0.45, False, 0.12),
    "j": Consonant("affricate", (260, 1900, 2700), (2300, 5800), 0.3, True, 0.09),
    "m": Consonant("nasal", (260, 1000, 2200), voiced=True, length_s=0.07),
    "n": Consonant("nasal", (260, 1500, 2500), voiced=True, length_s=0.065),
    "ng": Consonant("nasal", (270, 1900, 2400), voiced=True, length_s=0.08),
    "l": Consonant("approximant", (350, 1200, 2700), voiced=True, length_s=0.06),
    "r": Consonant("approximant", (350, 1250, 1600), voiced=True, length_s=0.06),
    "w": Consonant("approximant", (320, 700, 2200), voiced=True, length_s=0.06),
    "y": Consonant("approximant", (280, 2200, 3000), voiced=True, length_s=0.055),
    "ɾ": Consonant("approximant", (320, 1500, 2500), voiced=True, length_s=0.03),
}

VOWELS = {
    "i": (280, 2250, 2950), "ɪ": (390, 1990, 2550), "e": (460, 1950, 2550), "ɛ": (540, 1830, 2480),
    "æ": (660, 1720, 2410), "a": (740, 1250, 2500), "ɑ": (720, 1090, 2440), "ɔ": (570, 850, 2410),
    "o": (460, 830, 2450), "ʊ": (440, 1020, 2240), "u": (310, 870, 2240), "ʌ": (630, 1190, 2390),
    "ə": (500, 1450, 2500), "ɝ": (490, 1350, 1690), "ɯ": (340, 1250, 2300), "ü": (290, 1950, 2250),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Language:
    """What a language's syllables look like. tune: stress | pitch_accent | tone; vowels may be pairs (glides)."""

    onsets: tuple[str, ...]
    vowels: tuple[tuple[str, ...], ...]
    codas: tuple[str, ...]
    coda_share: float
    tune: str
    syllable_s: tuple[float, float]  # vowel length of a weak and a strong syllable


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _vowels(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(word) for word in text.split())


LANGUAGES = {
    "en": Language(
        _words("p t k b d g f s sh h v z ch j m n l r w y st pl kr tr sl gr"),
        _vowels("i ɪ ɛ æ ɑ ɔ ʊ u ʌ ə ɝ eɪ aɪ oʊ aʊ"), _words("t k d s z n m ng l f v"), 0.5, "stress", (0.06, 0.15),
    ),
    "ja": Language(
        _words("k s t n h m y ɾ w g z d b p sh ch f ky ɾy"), _vowels("a i ɯ e o"), _words("n"), 0.12,
        "pitch_accent", (0.085, 0.095),
    ),
    "zh": Language(
        _words("p t k b d g f s sh x h ch c j m n l r"),
        _vowels("a i u ü o ə aɪ aʊ eɪ oʊ iɛ ua uo üɛ"), _words("n ng"), 0.3, "tone", (0.12, 0.17),
    ),
    "de": Language(
        _words("p t k b d g f s sh h v z c m n l r y sht shp kn"), _vowels("i ɪ e ɛ a ɔ o u ʊ ü ə aɪ aʊ"),
        _words("t k s n m ng l f x ch"), 0.55, "stress", (0.06, 0.14),
    ),
    "fi": Language(
        _words("p t k s h m n l ɾ v y"), _vowels("i e æ a o u ü aɪ eɪ uo"), _words("n s t l"), 0.3, "stress",
        (0.075, 0.1),
    ),
    "fa": Language(
        _words("p t k b d g f s sh h v z ch j m n l r y x"), _vowels("i e æ ɑ o u"), _words("n m r s sh z t d"), 0.45,
        "stress", (0.08, 0.13),
    ),
}  # fmt: skip

SECOND = {"st": "t", "pl": "l", "kr": "r", "tr": "r", "sl": "l", "gr": "r", "ky": "y", "ɾy": "y", "sht": "t",
          "shp": "p", "kn": "n"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Syllable:
    """onset and coda consonants, vowel targets, vowel length, semitones of its tune at start, middle, end."""

    onset: tuple[str, ...]
    vowels: tuple[str, ...]
    coda: tuple[str, ...]
    vowel_s: float
    tune: tuple[float, float, float]
    level: float


def syllable(language: Language, rng: np.random.Generator) -> Syllable:
    """One random syllable with its length and tune."""
    onset = language.onsets[rng.integers(len(language.onsets))] if rng.random() > 0.1 else ""
    vowels = language.vowels[rng.integers(len(language.vowels))]
    coda = language.codas[rng.integers(len(language.codas))] if rng.random() < language.coda_share else ""
    strong = rng.random() < 0.45
    weak_s, strong_s = language.syllable_s
    vowel_s = (strong_s if strong else weak_s) * rng.lognormal(0, 0.15) * (1.25 if len(vowels) > 1 else 1.0)
    return Syllable(
        cluster(onset), vowels, cluster(coda), vowel_s, _tune(language.tune, strong, rng),
        float((1.0 if strong else 0.75) * rng.lognormal(0, 0.12)),
    )  # fmt: skip


def cluster(word: str) -> tuple[str, ...]:
    """The consonants of an onset or coda: `st` -> ("s", "t"), `sh` -> ("sh",)."""
    if not word:
        return ()
    second = SECOND.get(word)
    return (word[: len(word) - len(second)], second) if second else (word,)


def _tune(kind: str, strong: bool, rng: np.random.Generator) -> tuple[float, float, float]:
    if kind == "tone":  # the four tones of Mandarin, in semitones around the speaker's middle
        tones = ((4.5, 4.5, 4.3), (-1.0, 0.5, 3.5), (-1.5, -4.0, -2.0), (5.0, 1.0, -3.5))
        return tones[rng.integers(4)]
    if kind == "pitch_accent":  # high or low mora
        return (2.5, 2.5, 2.0) if strong else (-1.5, -1.5, -1.8)
    peak = rng.uniform(1.5, 4.5) if strong else rng.uniform(-1.0, 0.5)
    return (0.3 * peak, peak, 0.2 * peak)
