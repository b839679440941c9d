"""The words of the catalog as types: Corpus, Utterance, and the error that tells a user what to do."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

LABELS = ("bonafide", "spoof", "unknown")
ANY = "any"  # in a Count: rows of all labels
DOMAINS = ("speech", "singing")

# The accepted spellings of each label, lower case. Beside them `unknown` is a label too; any other word is an error.
LABEL_WORDS = {
    "bonafide": "bonafide", "bona-fide": "bonafide", "real": "bonafide", "genuine": "bonafide",
    "spoof": "spoof", "deepfake": "spoof", "fake": "spoof",
}  # fmt: skip


class DataError(Exception):
    """Bad data or wrong usage: one line that says who, how many, which first, where and what to do.

    `ingest.cli.run` prints it without a traceback and ends with exit code 2.
    """


@dataclass(frozen=True, slots=True)
class Utterance:
    """One published audio file; the twin of table `utterance` in `schema.sql` (a test compares the two).

    `path` is relative to the corpus root, or to the folder of `place` where that is not None, with forward
    slashes. Columns a corpus does not publish are None.
    """

    utt_id: str
    corpus: str
    partition: str | None
    place: str | None
    path: str
    label: str
    attack: str | None
    attack_raw: str | None
    source_id: str
    sentence: str | None
    speaker: str | None
    language: str | None
    domain: str
    codec: str | None
    codec_class: str | None
    transmission: str | None
    vocoder: str | None
    source_corpus: str | None
    gender: str | None
    song: str | None
    condition: str | None
    trim: str | None
    audio_present: bool
    audio_status: str
    duration_s: float | None
    rate_hz: int | None
    channels: int | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows of one label, or of ANY, the complete corpus has in one partition (and group, where given).

    grade is that of `corpora.md`: V counted, S stated, A arithmetic, U unverified (never fails an ingest).
    `group` is a (column, value) pair of the catalog that narrows the partition, e.g. ("language", "en").
    """

    partition: str | None
    label: str
    rows: int
    source: str
    grade: str = "S"
    group: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is known of a corpus before any of its files is read; the constant of every parser file.

    Raises DataError for another domain than speech or singing, for a word where a tuple of words is due, and for a
    count of a label that there is not.
    """

    name: str
    title: str
    domain: str  # one of DOMAINS
    licence: str
    citation: str
    counts: tuple[Count, ...]
    markers: tuple[str, ...]  # globs below ROOT, alternatives joined by "|"; all must match for a folder to be the root
    audio: tuple[str, ...]  # globs of folders below the root that hold audio
    rate_hz: int | None  # nominal rate; None where it differs by folder (see rates) or is undocumented
    stem_unique: bool = False  # a stem names one file in the whole corpus, whatever folder it lies in
    aliases: Mapping[str, str] = field(default_factory=dict)  # published attack word -> canonical word
    stems: Mapping[str, str] = field(default_factory=dict)  # partition -> regular expression of its stems
    attacks: Mapping[str, Sequence[str]] = field(default_factory=dict)  # partition -> attacks published for it
    archives: Mapping[str, str] = field(default_factory=dict)  # partition or folder -> download to unpack
    labels: str = ""  # the download that holds the labels, where it is not that of the audio
    rates: Mapping[str, int] = field(default_factory=dict)  # SQL condition on utterances -> their nominal rate in Hz
    places: tuple[str, ...] = ()  # names of folders that the user may keep outside the root

    def __post_init__(self) -> None:
        if self.domain not in DOMAINS:
            raise DataError(f"{self.name}: CORPUS has the domain {self.domain!r}; it is one of {', '.join(DOMAINS)}")
        for name in ("counts", "markers", "audio", "places"):
            if not isinstance(value := getattr(self, name), Sequence) or isinstance(value, str):
                raise DataError(f"{self.name}: {name} of CORPUS is a tuple, not {value!r}; write {name}=({value!r},)")
        for count in self.counts:
            if count.label not in (*LABELS, ANY):
                known = ", ".join((*LABELS, ANY))
                raise DataError(f"{self.name}: CORPUS counts rows of the label {count.label!r}; it is one of {known}")


SHOWN = 50  # names in one line: all detectors, not all runs of a large table


def nearest(word: str, known: Iterable[str], *, what: str) -> DataError:
    """The error for an unknown name, with the nearest known ones in any case: raise nearest(word, names, what="x")."""
    known = sorted(known)
    folded = {name.casefold(): name for name in known}
    close = [folded[name] for name in difflib.get_close_matches(word.casefold(), folded, n=3, cutoff=0.5)]
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known[:SHOWN])}{more}"
    return DataError(f"unknown {what} {word!r}; {hint}")
