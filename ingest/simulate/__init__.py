"""Corpora that we make ourselves: a small version of each of the ten, in its official layout.

    simulate(out, *, seed=0, corpora=None, speech=None, jobs=None) -> {corpus: Made}

`out` gets one folder per corpus, named by its corpus word: out/asvspoof2019_la, out/wavefake, ...; that folder
is what `python -m ingest CORPUS --root out/CORPUS` takes. Bona fide clips come from a source-filter voice (or
from the user's own recordings, `speech`); spoofs are copy synthesis of those clips by signal-processing
vocoders; codec columns are real encoder-decoder passes. Same seed, same bytes, whatever the number of jobs.

Every corpus root holds `.siren-simulated`, a JSON object with the rows that ingest must find:
    {"counts": [[partition or null, label, rows], ...], "seed": 0, "recipe": 1, "speech": null or sha256, ...}
A corpus whose marker already says the same is left alone. A folder without a marker is never touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARKER = ".siren-simulated"


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one corpus: its folder, audio files, bytes on disk, and whether it was made just now."""

    root: Path
    files: int
    size_bytes: int
    made: bool


def names() -> list[str]:
    """The corpora that can be simulated: one file each in `layouts/`."""
    return sorted(path.stem for path in (Path(__file__).parent / "layouts").glob("[a-z]*.py"))


def simulate(
    out: Path | str,
    *,
    seed: int = 0,
    corpora: Sequence[str] | None = None,
    speech: Path | str | None = None,
    jobs: int | None = None,
) -> dict[str, Made]:
    """Write the simulated corpora below `out`; see the module's text for what they are.

    seed: any integer. corpora: which of names(), default all. speech: a folder of the user's recordings
    (any audio, at least 1 s each) to use as bona fide. jobs: processes, default one per core.
    Raises DataError for an unknown corpus, an unusable `speech` or `out`, and a folder that is not ours.
    """
    from ingest.simulate.make import make

    return make(Path(out), seed=seed, corpora=corpora, speech=Path(speech) if speech else None, jobs=jobs)
