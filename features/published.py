"""What all published corpora cost before one of them is downloaded: clips from their counts, rates from the bench.

Bytes are arithmetic; hours come from docs/performance.md, which `make bench` measures on the machine at hand.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ingest import corpora
from ingest.types import Count, DataError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
CLIP_S = 4.0  # seconds a clip, where nothing was measured yet: `plan` knows better after ingest
PCM_BYTES_PER_S = 32_000  # 16 kHz, 16 bit; FLAC takes less
LOGMEL_BYTES_PER_S = 4 * 80 * 100  # float32, 80 bands, 100 frames a second
SHARDS = re.compile(r"\| shards \| decode, resample and shard as flac, two processes[^|]*\| ([\d.,e+]+) \| clips/s")
LOGMEL = re.compile(r"\| features \| logmel, one thread[^|]*\| ([\d.,e+]+) \| clips/s")
TABLE = re.compile(r"^\| corpus \| clips \|.*?^\| \*\*all\*\* \|[^\n]*$", re.MULTILINE | re.DOTALL)
SHARDS_CLIP_S, SHARDS_PROCESSES, LOGMEL_CLIP_S = 4.0, 2, 3.0  # what the bench measured with


@dataclass(frozen=True, slots=True)
class Cost:
    """One corpus as published: clips, hours of audio, bytes stored, hours of one CPU."""

    corpus: str
    clips: int
    audio_h: float
    shard_bytes: float
    logmel_bytes: float
    shards_cpu_h: float
    logmel_cpu_h: float


def measured_page() -> str:
    """The text of docs/performance.md. Raises DataError where Siren was installed without its documentation."""
    if not PAGE.exists():
        raise DataError("docs/performance.md is not there: an installed Siren has no documentation; run it in a clone")
    return PAGE.read_text()


def costs(page: str, *, clip_s: float = CLIP_S) -> list[Cost]:
    """The cost of every corpus. page: the text of docs/performance.md; DataError if a rate is not in it."""
    shards = _rate(page, SHARDS) * SHARDS_CLIP_S / SHARDS_PROCESSES  # seconds of audio a second of one CPU
    logmel = _rate(page, LOGMEL) * LOGMEL_CLIP_S
    found = []
    for name in corpora.names():
        clips = _clips(corpora.get(name).corpus.counts)
        audio_s = clips * clip_s
        found.append(Cost(
            name, clips, audio_s / 3600, audio_s * PCM_BYTES_PER_S, audio_s * LOGMEL_BYTES_PER_S,
            audio_s / shards / 3600, audio_s / logmel / 3600,
        ))  # fmt: skip
    return found


def markdown(found: list[Cost]) -> str:
    """The costs as a table, with a last row for all."""
    lines = ["| corpus | clips | hours | audio shards, GB | logmel, GB | shards, CPU h | logmel, CPU h |",
             "|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    names = ("clips", "audio_h", "shard_bytes", "logmel_bytes", "shards_cpu_h", "logmel_cpu_h")
    whole = Cost("**all**", *(sum(getattr(c, name) for c in found) for name in names))
    for c in [*found, whole]:
        lines.append(f"| {c.corpus} | {c.clips:,} | {c.audio_h:,.0f} | {c.shard_bytes / 1e9:.1f} | "
                     f"{c.logmel_bytes / 1e9:.1f} | {c.shards_cpu_h:.2f} | {c.logmel_cpu_h:.2f} |")  # fmt: skip
    return "\n".join(lines)


def up_to_date(text: str, page: str) -> str:
    """docs/cluster.md with the costs by the rates of `page`, the text of docs/performance.md."""
    return TABLE.sub(lambda _: markdown(costs(page)), text)


def _clips(counts: Iterable[Count]) -> int:
    """Rows of all partitions; one that is counted by groups alone is the sum over those of their first column."""
    plain = {(c.partition, c.label) for c in counts if c.group is None}
    first: dict[tuple, str] = {}
    for c in counts:
        if c.group is not None:
            first.setdefault((c.partition, c.label), c.group[0])
    return sum(
        c.rows for c in counts
        if (c.group is None) or ((c.partition, c.label) not in plain and first[c.partition, c.label] == c.group[0])
    )  # fmt: skip


def _rate(page: str, row: re.Pattern[str]) -> float:
    found = row.search(page)
    if found is None:
        raise DataError(f"docs/performance.md has no row like {row.pattern!r}; run: make bench")
    return float(found[1].replace(",", ""))
