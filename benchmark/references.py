"""The second utterance of a trial: drawn anew at each read in training, named by the trial when scoring.

Reference-augmented training (detectors/rat.py): training pairs every trial with a bona fide clip of its speaker among
the training trials; a test trial carries its reference and what is done to it, which the protocol says.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.augment import RATE_HZ
from ingest import audio, catalog
from ingest.types import DataError
from shards.members import Members
from shards.noise import add_at_snr

SAME_SPEAKER = ("corpus", "partition", "speaker")
LONGEST = {"1s": RATE_HZ, "3s": 3 * RATE_HZ}  # modes that cut a reference: samples


class Pool:
    """Which training trials can stand beside which: the bona fide ones of the same corpus, partition and speaker.

    rows: the training trials. `usable` (row,) bool tells which have one; a trial without speaker or whose speaker has
    no bona fide clip has none. Raises DataError if no trial has one.
    """

    def __init__(self, rows: pa.Table):
        columns = [rows[name].to_pylist() for name in SAME_SPEAKER if name in rows.column_names]
        if "speaker" not in rows.column_names:
            columns = [[None] * len(rows)]
        self.speaker = list(zip(*columns, strict=True))
        self.clips: dict[tuple, list[int]] = {}
        for row, (speaker, label) in enumerate(zip(self.speaker, rows["label"].to_pylist(), strict=True)):
            if label == "bonafide" and speaker[-1] is not None:
                self.clips.setdefault(speaker, []).append(row)
        self.usable = np.array([speaker in self.clips for speaker in self.speaker], bool)
        if not self.usable.any():
            raise DataError(
                f"none of the {len(rows)} training trials has a bona fide clip of its speaker beside it: train on a "
                "protocol whose catalog names speakers, or set reference=zero, self or none"
            )

    def draw(self, row: int, generator: np.random.Generator) -> int:
        """A clip of the row's speaker; the row itself only where there is no other."""
        clips = self.clips[self.speaker[row]]
        others = [clip for clip in clips if clip != row] or clips
        return others[int(generator.integers(len(others)))]


class Enrolled:
    """Enrolment clips, which are no trials and so in no shard: decoded from the files that ingest found as extra.

    data: the folder of the catalog; names: CORPUS/STEM of each. Their corpus has to lie where it was ingested.
    """

    def __init__(self, data: Path, names: Collection[str]):
        stem = r"regexp_extract(f.path, '([^/]*?)(\.[^./]*)?$', 1)"
        with catalog.connect(data / "catalog.duckdb") as con:
            found = con.execute(
                f"SELECT concat(f.corpus, '/', {stem}), min(c.root || '/' || f.path) "
                "FROM finding f JOIN corpus c USING (corpus) WHERE f.kind = 'extra' GROUP BY ALL"
            ).fetchall()
        self.paths = {name: path for name, path in found if name in names}
        self._lengths: dict[str, int] = {}

    def length(self, name: str, variant: str = "original") -> int:
        """Samples at 16 kHz."""
        if name not in self._lengths:
            self._lengths[name] = self.wave(name).size
        return self._lengths[name]

    def wave(self, name: str, variant: str = "original") -> np.ndarray:
        """float32 (sample,) at 16 kHz; enrolment has no copies, it is the original beside every variant of a trial."""
        try:
            return audio.mono16k(self.paths[name])
        except (OSError, audio.Unreadable) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise DataError(
                f"{self.paths[name]}, enrolled for trials here, cannot be read ({reason}); put it back, or run: "
                f"python -m ingest {name.split('/')[0]} --root DIR"
            ) from None


def enrolled(reader: Members, named: Sequence[tuple[str, str] | None]) -> Enrolled | None:
    """Where the enrolment clips among the named references are read from; None if the reader has all of them."""
    names = {name for name, mode in filter(None, named) if mode == "enrolled"}
    outside = {name for name in names if not reader.has(name)}
    return Enrolled(reader.data, outside) if outside else None


def degraded(wave: np.ndarray, mode: str, generator: np.random.Generator) -> np.ndarray:
    """A reference as a protocol's reference mode changes it: (sample,) float32 at 16 kHz.

    real, mismatch, enrolled: as it is; 1s, 3s: its first seconds; silence: zeros; noise: white noise of its power;
    snr10, snr20: with white noise that many dB below it. Raises DataError for an unknown mode.
    """
    if mode in ("real", "mismatch", "enrolled"):
        return wave
    changes: dict[str, Callable[[], np.ndarray]] = {
        **{mode: lambda longest=longest: wave[:longest] for mode, longest in LONGEST.items()},
        "silence": lambda: np.zeros_like(wave),
        "noise": lambda: _of_power(generator.standard_normal(wave.size), wave),
        "snr10": lambda: add_at_snr(wave, generator.standard_normal(wave.size), 10.0),
        "snr20": lambda: add_at_snr(wave, generator.standard_normal(wave.size), 20.0),
    }
    if mode not in changes:
        raise DataError(f"unknown reference mode {mode!r}; known: real, mismatch, enrolled, {', '.join(changes)}")
    return changes[mode]()


def _of_power(noise: np.ndarray, wave: np.ndarray) -> np.ndarray:
    return (noise * (np.linalg.norm(wave) / np.linalg.norm(noise))).astype(np.float32)


def stacked(waves: Sequence[np.ndarray | None], length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """References of a batch as (batch, sample), followed by zeros, and (batch,) bool: which rows have one.

    length: samples; None = the longest. A row without a reference is all zeros.
    """
    given = np.array([wave is not None for wave in waves])
    longest = length or max((wave.size for wave in waves if wave is not None), default=1)
    filled = np.zeros((len(waves), longest), np.float32)
    for row, wave in enumerate(waves):
        if wave is not None:
            filled[row, : min(wave.size, longest)] = wave[:longest]
    return filled, given
