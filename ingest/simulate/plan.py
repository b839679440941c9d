"""What a simulated corpus consists of: takes (recordings of a voice), the files made from them, and texts."""

from dataclasses import dataclass, field

# One step from a recording to a file: its word and its settings, e.g. ("griffin_lim", (("hop", 256),)).
Step = tuple[str, tuple[tuple[str, object], ...]]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one of the user's recordings, in seconds."""

    file: str
    start_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Take:
    """One recording of one speaker or singer; corpus and key name it, so that corpora can share it."""

    corpus: str
    key: str
    speaker: str
    gender: str  # F | M
    language: str
    rate_hz: int
    domain: str = "speech"
    channel: str = "studio"  # studio | web
    segment: Segment | None = None  # the user's recording that stands in for the synthetic voice


@dataclass(frozen=True, slots=True)
class File:
    """One audio file: its path below the corpus folder, the take it comes from, and the steps in between."""

    path: str
    take: Take
    steps: tuple[Step, ...] = ()


@dataclass(slots=True)
class Layout:
    """A whole corpus: audio files, text files by path, and {(partition or None, label): rows to be found}."""

    files: list[File] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    counts: dict[tuple[str | None, str], int] = field(default_factory=dict)

    def count(self, partition: str | None, label: str, rows: int = 1) -> None:
        """Expect `rows` more rows of this label in this partition."""
        self.counts[partition, label] = self.counts.get((partition, label), 0) + rows


def step(word: str, **settings: object) -> Step:
    """A step as a hashable value."""
    return word, tuple(sorted(settings.items()))
