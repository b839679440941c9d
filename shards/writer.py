"""Catalog and audio to tar shards: 16 kHz mono FLAC or PCM, one JSON of labels beside each clip.

Utterances are grouped by corpus, language, attack and variant and ordered by id; what falls into which shard
is decided from the catalog alone, before any audio is read, so shards can be written in any order, by any
number of processes, and again after a crash.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from joblib import cpu_count, delayed

from ingest import catalog, parallel
from ingest.files import atomic, lock
from ingest.progress import Progress
from ingest.types import DataError, nearest
from shards import index
from shards.clip import RATE_HZ, at_most_bytes, encoded
from shards.tar import END_BYTES, TarWriter

MAX_BYTES = 256 << 20
CLIPS_PER_JOB = 2000
FORMAT = 3  # raise it when the same input is to give other bytes
SCHEMA = Path(__file__).with_name("shard.sql")
LABELS = (
    "corpus", "partition", "label", "attack", "attack_raw", "source_id", "speaker", "language", "domain", "codec",
    "codec_class", "transmission", "vocoder", "source_corpus", "gender", "song", "condition", "trim",
)  # fmt: skip
_PLAN = f"""
    SELECT u.utt_id, {", ".join(f'u."{name}"' for name in LABELS)},
           f.path AS file, u.duration_s, m.size_bytes, m.mtime_ns, m.audio_hash,
           coalesce(m.container = 'FLAC' AND m.subtype = 'PCM_16' AND u.rate_hz = {RATE_HZ} AND u.channels = 1,
                    false) AS as_is,
           coalesce(m.subtype IN ('PCM_16', 'PCM_S8', 'PCM_U8') AND u.rate_hz = {RATE_HZ}, false) AS narrow,
           coalesce(u.language, 'und') AS language_group,
           CASE u.label WHEN 'bonafide' THEN 'bonafide' WHEN 'unknown' THEN 'unlabelled'
                ELSE regexp_replace(u.attack, '[^A-Za-z0-9_]+', '_', 'g') END AS attack_group
    FROM   utterance u
    JOIN   audio_file f USING (utt_id)
    LEFT   JOIN measurement m USING (utt_id)
    WHERE  u.corpus = ? AND u.audio_status = 'ok'
    ORDER  BY language_group, attack_group, u.utt_id
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar to write: where, of what group, and the catalog rows that go in, in order."""

    name: str
    corpus: str
    language: str
    attack: str
    variant: str
    audio_codec: str
    rows: tuple[dict[str, Any], ...]

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that the bytes depend on: labels, the content of the sources, the format."""
        places = ("file", "mtime_ns", "duration_s")
        rows = [{k: v for k, v in row.items() if k not in places} for row in self.rows]
        text = json.dumps([FORMAT, self.name, self.audio_codec, rows], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Plan:
    """The shards of a corpus: the rows of all as one Arrow table, and (language, attack, number, start, stop)."""

    corpus: str
    audio_codec: str
    table: pa.Table
    spans: Sequence[tuple[str, str, int, int, int]]

    @property
    def names(self) -> list[str]:
        """The file of each shard, below DATA/shards."""
        return [self._name(*span[:3]) for span in self.spans]

    def _name(self, language: str, attack: str, number: int) -> str:
        return f"{self.corpus}/{self.corpus}-{language}-{attack}-original-{number:06d}.tar"

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, number: int) -> Shard:
        language, attack, part, start, stop = self.spans[number]
        rows = tuple(self.table.slice(start, stop - start).to_pylist())
        name = self._name(language, attack, part)
        return Shard(name, self.corpus, language, attack, "original", self.audio_codec, rows)


def plan(con: duckdb.DuckDBPyConnection, corpus: str, *, audio_codec: str, max_bytes: int = MAX_BYTES) -> Plan:
    """What goes into which shard, in the variant `original`; no shard is larger than max_bytes.

    A clip that alone exceeds max_bytes gets a shard of its own. Raises DataError if the corpus is not in the
    catalog or has no audio.
    """
    known = [name for (name,) in con.execute("SELECT corpus FROM corpus").fetchall()]
    if corpus not in known:
        if known:
            raise nearest(corpus, known, what="corpus in the catalog")
        raise DataError(f"the catalog holds no corpus; run: python -m ingest {corpus} --root DIR")
    table = con.execute(_PLAN, [corpus]).to_arrow_table()
    if not table.num_rows:
        raise DataError(f"{corpus}: no utterance has audio (see python -m ingest status); nothing to shard")
    sizes = at_most_bytes(table, audio_codec)
    groups = zip(table["language_group"].to_pylist(), table["attack_group"].to_pylist())
    spans: list[tuple[str, str, int, int, int]] = []
    here, number, start, taken = None, 0, 0, END_BYTES
    for row, (group, size) in enumerate(zip(groups, sizes)):
        if here is not None and (group != here or taken + size > max_bytes):
            spans.append((*here, number, start, row))
            number = number + 1 if group == here else 0
            start, taken = row, END_BYTES
        here, taken = group, taken + size
    spans.append((*here, number, start, table.num_rows))
    return Plan(corpus, audio_codec, table, spans)


def write_corpus(
    corpus: str, data: Path, *, audio_codec: str = "flac", max_bytes: int = MAX_BYTES,
    jobs: parallel.Jobs | None = None,
) -> dict[str, int]:  # fmt: skip
    """Write the shards of one corpus that are not there yet and enter them in the catalog.

    Every utterance with audio_status = 'ok' goes in. jobs: processes, or a Ray cluster; None takes as many
    processes as pay off.
    Returns counts: shards, written, members, size_bytes.
    Raises DataError if the corpus is unknown or has no audio, or a source is missing, damaged or not the file
    that was ingested; shards finished by then are kept and not written again.
    """
    folder = (data / "shards").absolute()
    with catalog.connect(data / "catalog.duckdb") as con:
        fingerprint = _fingerprint(con, corpus)
        planned = plan(con, corpus, audio_codec=audio_codec, max_bytes=max_bytes)
        entered = _entered(con, corpus, "original")
    with lock(folder / corpus / ".lock"):
        written = _write_all(planned, folder, entered, jobs)
        about = [index.read_about(folder / name) for name in planned.names]
        enter(data, corpus, "original", about, fingerprint)
    return {
        "shards": len(about), "written": written, "members": sum(a["members"] for a in about),
        "size_bytes": sum(a["size_bytes"] for a in about),
    }  # fmt: skip


def _write_all(planned: Plan, folder: Path, entered: Mapping[str, str], jobs: parallel.Jobs | None) -> int:
    sizes = [span[4] - span[3] for span in planned.spans]
    wanting = [
        i for i, shard in enumerate(planned)
        if not index.finished(folder / shard.name, shard.fingerprint, entered.get(shard.name))
    ]  # fmt: skip
    if jobs is None:  # starting a process costs as much as some hundred clips
        jobs = min(cpu_count(), 1 + sum(sizes[i] for i in wanting) // CLIPS_PER_JOB)
    tasks = (delayed(write_shard)(planned[i], folder) for i in wanting)
    each(tasks, what=f"shards {planned.corpus}", jobs=jobs, total=sum(sizes[i] for i in wanting))
    names = planned.names
    index.settle([folder / names[i] for i in wanting] + [folder / n for n in names if n not in entered])
    return len(wanting)


def each(tasks: Iterable[Any], *, what: str, jobs: parallel.Jobs, total: int, gpus: float = 0) -> None:
    """Run joblib tasks that return how many clips they did: one after the other, in processes, or on a cluster."""
    with Progress(what, total=total, unit="clip") as progress:
        for clips in parallel.results(tasks, jobs, what=what, gpus=gpus):
            progress.add(clips)


def write_shard(shard: Shard, folder: Path) -> int:
    """Write one shard and its index below `folder`; returns the number of clips."""
    path, fingerprint = folder / shard.name, shard.fingerprint
    members: list[tuple[str, int, int, int]] = []
    with atomic(path, sync=False) as temporary, TarWriter(temporary) as tar:
        for row in shard.rows:
            extension, data, samples = encoded(row, shard.audio_codec)
            member = f"{row['utt_id']}.{extension}"
            members.append((member, tar.add(member, data), len(data), samples))
            tar.add(f"{row['utt_id']}.json", label_json(row, shard.variant, samples))
    about = {
        "shard": shard.name, "corpus": shard.corpus, "language": shard.language, "attack": shard.attack,
        "variant": shard.variant, "audio_codec": shard.audio_codec, "members": len(members),
        "size_bytes": tar.size_bytes, "sha256": tar.sha256, "fingerprint": fingerprint,
    }  # fmt: skip
    member, offset, size, samples = zip(*members)
    table = pa.table({
        "utt_id": [row["utt_id"] for row in shard.rows], "variant": [shard.variant] * len(members),
        "shard": [shard.name] * len(members), "member": member, "offset": offset, "size": size, "samples": samples,
    })  # fmt: skip
    index.write_index(path, table, about)
    return len(members)


def label_json(row: dict[str, Any], variant: str, samples: int) -> bytes:
    """What the catalog says of an utterance, as the JSON beside its audio: words, never numbers, for labels."""
    known = {name: row[name] for name in ("utt_id", *LABELS) if row[name] is not None}
    known |= {"variant": variant, "samples": samples, "rate_hz": RATE_HZ}
    return json.dumps(known, sort_keys=True, ensure_ascii=False).encode()


def enter(data: Path, corpus: str, variant: str, about: Sequence[dict[str, Any]], fingerprint: str) -> None:
    """Replace the catalog's shard rows of one corpus and variant, in one transaction; nothing if they agree.

    fingerprint: the corpus as it was planned. Raises DataError if it was ingested anew meanwhile.
    """
    path, folder = data / "catalog.duckdb", data / "shards"
    with catalog.connect(path) as con:
        if _entered(con, corpus, variant) == {a["shard"]: a["sha256"] for a in about}:
            return
    with catalog.connect(path, read_only=False) as con:
        if _fingerprint(con, corpus) != fingerprint:
            raise DataError(f"{corpus} was ingested again while its shards were written; run this command again")
        con.execute(SCHEMA.read_text())
        columns = [name for name, *_ in con.execute("DESCRIBE shard").fetchall()]
        rows = pa.Table.from_pylist([{name: a[name] for name in columns} for a in about])
        con.register("new_shard", rows)
        con.begin()
        con.execute(
            "DELETE FROM shard_member WHERE shard IN (SELECT shard FROM shard WHERE corpus = ? AND variant = ?)",
            [corpus, variant],
        )
        con.execute("DELETE FROM shard WHERE corpus = ? AND variant = ?", [corpus, variant])
        con.execute("INSERT INTO shard BY NAME SELECT * FROM new_shard")
        files = [str(index.index_path(folder / a["shard"])) for a in about]
        con.execute("INSERT INTO shard_member BY NAME SELECT * FROM read_parquet(?)", [files])
        con.commit()


def _entered(con: duckdb.DuckDBPyConnection, corpus: str, variant: str) -> dict[str, str]:
    if not has_shards(con):
        return {}
    query = "SELECT shard, sha256 FROM shard WHERE corpus = ? AND variant = ?"
    return dict(con.execute(query, [corpus, variant]).fetchall())


def has_shards(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether this catalog has the tables of shard.sql."""
    query = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'shard_member'"
    return con.execute(query).fetchone()[0] > 0


def _fingerprint(con: duckdb.DuckDBPyConnection, corpus: str) -> str | None:
    row = con.execute("SELECT fingerprint FROM corpus WHERE corpus = ?", [corpus]).fetchone()
    return row[0] if row else None
