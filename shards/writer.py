"""Catalog and audio to tar shards: 16 kHz mono FLAC or PCM, one JSON of labels beside each clip.

Utterances are grouped by corpus, language, attack and variant and ordered by id; what falls into which shard
is decided from the catalog alone, before any audio is read, so shards can be written in any order, by any
number of processes, and again after a crash.
"""

import hashlib
import json
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import duckdb
import numpy as np
import pyarrow as pa
from joblib import cpu_count, delayed

from ingest import catalog, parallel
from ingest.files import lock
from ingest.progress import Progress
from ingest.types import DataError
from shards import index, root, storage
from shards.clip import RATE_HZ, at_most_bytes, encode, encoded
from shards.storage import Place
from shards.tar import END_BYTES, TarWriter

MAX_BYTES = 256 << 20
CLIPS_PER_JOB = 2000
FORMAT = 3  # raise it when the same input is to give other bytes
SCHEMA = root.SCHEMA
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


class Recipe(Protocol):
    """How the clips of a variant are made of their sources."""

    def waves(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[np.ndarray]:
        """float32 (sample,) at 16 kHz for each catalog row, in order."""

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever the samples depend on beside the sources, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar to write: where, of what group, and the catalog rows that go in, in order.

    recipe: None for the variant `original`, whose clips are the sources themselves.
    """

    name: str
    corpus: str
    language: str
    attack: str
    variant: str
    audio_codec: str
    rows: tuple[dict[str, Any], ...]
    recipe: Recipe | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that the bytes depend on: labels, the content of the sources, the format."""
        places = ("file", "mtime_ns", "duration_s")
        rows = [{k: v for k, v in row.items() if k not in places} for row in self.rows]
        made = [] if self.recipe is None else [self.recipe.identity]
        text = json.dumps([FORMAT, self.name, self.audio_codec, rows, *made], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Span(NamedTuple):
    """The rows start..stop (exclusive) that go into shard `number` of one language and attack."""

    language: str
    attack: str
    number: int
    start: int
    stop: int

    @property
    def clips(self) -> int:
        """How many rows these are."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Plan:
    """The shards of one variant of a corpus: rows as one Arrow table, and a span of them for each shard.

    taken: which rows of the table, where not all; the spans count these.
    """

    corpus: str
    audio_codec: str
    table: pa.Table
    spans: Sequence[Span]
    variant: str = "original"
    recipe: Recipe | None = None
    taken: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """The file of each shard, below DATA/shards."""
        return [self._name(span) for span in self.spans]

    def _name(self, span: Span) -> str:
        return f"{self.corpus}/{self.corpus}-{span.language}-{span.attack}-{self.variant}-{span.number:06d}.tar"

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, number: int) -> Shard:
        span = self.spans[number]
        if self.taken is None:
            rows = self.table.slice(span.start, span.clips)
        else:
            rows = self.table.take(self.taken[span.start : span.stop])
        return Shard(self._name(span), self.corpus, span.language, span.attack, self.variant, self.audio_codec,
                     tuple(rows.to_pylist()), self.recipe)  # fmt: skip


def plan(con: duckdb.DuckDBPyConnection, corpus: str, *, audio_codec: str, max_bytes: int = MAX_BYTES) -> Plan:
    """What goes into which shard, in the variant `original`; no shard is larger than max_bytes.

    A clip that alone exceeds max_bytes gets a shard of its own. Raises DataError if the corpus is not in the
    catalog or has no audio.
    """
    table = clips(con, corpus)
    return planned(corpus, table, at_most_bytes(table, audio_codec), audio_codec=audio_codec, max_bytes=max_bytes)


def clips(con: duckdb.DuckDBPyConnection, corpus: str, *, at_least: int = 1) -> pa.Table:
    """The clips of a corpus that have audio, in the order of the shards. Raises DataError as plan() does."""
    catalog.check_known(con, corpus)
    table = _rows(con, corpus)
    if table.num_rows < at_least:
        raise DataError(f"{corpus}: no utterance has audio (see python -m ingest status); nothing to shard")
    return table


def _rows(con: duckdb.DuckDBPyConnection, corpus: str) -> pa.Table:
    """What _PLAN finds, with the narrow sides of its joins in the hash tables, as it is written.

    DuckDB would put the utterances there, which it takes for fewer than they are: a fifth of them for each condition.
    """
    con.execute("SET disabled_optimizers = 'build_side_probe_side'")
    try:
        return con.execute(_PLAN, [corpus]).to_arrow_table()
    finally:
        con.execute("RESET disabled_optimizers")


def planned(
    corpus: str, table: pa.Table, sizes: np.ndarray, *, audio_codec: str, max_bytes: int,
    variant: str = "original", recipe: Recipe | None = None, taken: np.ndarray | None = None,
) -> Plan:  # fmt: skip
    """Shards of at most max_bytes of rows of clips(); sizes: bytes of tar that no row exceeds; taken: which."""
    spans: list[Span] = []
    for language, attack, first, stop in _groups(table, taken):
        total = np.cumsum(sizes[first:stop] if taken is None else sizes[taken[first:stop]])
        number, start = 0, 0
        while start < stop - first:
            room = max_bytes - END_BYTES + (total[start - 1] if start else 0)
            end = max(int(total.searchsorted(room, side="right")), start + 1)
            spans.append(Span(language, attack, number, first + start, first + end))
            number, start = number + 1, end
    return Plan(corpus, audio_codec, table, spans, variant, recipe, taken)


def _groups(table: pa.Table, taken: np.ndarray | None) -> Iterator[tuple[str, str, int, int]]:
    """Language, attack, first and last + 1 row of every run of rows of one group; few numbers a row, no objects."""
    language, attack = (
        table[name].combine_chunks().dictionary_encode() for name in ("language_group", "attack_group")
    )  # fmt: skip
    many = len(attack.dictionary)
    group = language.indices.to_numpy().astype(np.int64) * many + attack.indices.to_numpy()
    group = group if taken is None else group[taken]
    starts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist()] if len(group) else []
    for first, stop in zip(starts, [*starts[1:], len(group)], strict=True) if starts else ():
        at = divmod(int(group[first]), many)
        yield language.dictionary[at[0]].as_py(), attack.dictionary[at[1]].as_py(), first, stop


def write_corpus(
    corpus: str, data: Path, *, audio_codec: str = "flac", max_bytes: int = MAX_BYTES,
    jobs: parallel.Jobs | None = None,
) -> dict[str, int]:  # fmt: skip
    """Write the shards of one corpus that are not there yet and enter them in the catalog.

    Every utterance with audio_status = 'ok' goes in; without any (--partial) the corpus loses the shards of before.
    jobs: processes, or a Ray cluster; None takes as many processes as pay off.
    Returns counts: shards, written, members, size_bytes.
    Raises DataError if the corpus is unknown, or a source is missing, damaged or not the file that was ingested;
    shards finished by then are kept and not written again.
    """
    with catalog.connect(data / "catalog.duckdb") as con:
        fingerprint, table = corpus_fingerprint(con, corpus), clips(con, corpus, at_least=0)
    sizes = at_most_bytes(table, audio_codec)
    whole = planned(corpus, table, sizes, audio_codec=audio_codec, max_bytes=max_bytes)
    return write_plans(corpus, data, [whole], fingerprint, what=f"shards {corpus}", jobs=jobs)


def write_plans(
    corpus: str, data: Path, plans: Sequence[Plan], fingerprint: str | None, *, what: str,
    jobs: parallel.Jobs | None = None, clips_per_job: int = CLIPS_PER_JOB, gpus: float = 0,
    gone: Sequence[str] = (), check: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
    also: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
) -> dict[str, int]:  # fmt: skip
    """Write the shards of some variants of a corpus that are not there yet, and enter all of them.

    fingerprint: the corpus as it was planned; gone: variants that leave the catalog; check and also: as `enter` has
    them. Returns counts: shards, written, members, size_bytes.
    """
    root.claim(data)
    with catalog.connect(data / "catalog.duckdb") as con:
        entered = {variant: _entered(con, corpus, variant) for variant in [p.variant for p in plans] + list(gone)}
        place = root.root(con, data)
    folder = place / "shards"
    with lock(data / "shards" / corpus / ".lock"):
        written = _write_all(plans, folder, entered, what, jobs, clips_per_job, gpus)
        about = {p.variant: [index.read_about(folder / name) for name in p.names] for p in plans}
        with_gone = about | {variant: [] for variant in gone}
        enter(data, corpus, with_gone, fingerprint, place=place, check=check, also=also)
    of_all = [a for shards in about.values() for a in shards]
    return {
        "shards": len(of_all), "written": written, "members": sum(a["members"] for a in of_all),
        "size_bytes": sum(a["size_bytes"] for a in of_all),
    }  # fmt: skip


def _write_all(
    plans: Sequence[Plan], folder: Place, entered: Mapping[str, Mapping[str, tuple[str, str]]], what: str,
    jobs: parallel.Jobs | None, clips_per_job: int, gpus: float,
) -> int:  # fmt: skip
    digests = {variant: {name: digest for name, (digest, _) in there.items()} for variant, there in entered.items()}
    wanting = [
        (whole, i, made_of) for whole in plans for i, shard in enumerate(whole)
        if not index.finished(
            folder / shard.name, made_of := shard.fingerprint, digests[whole.variant].get(shard.name)
        )
    ]  # fmt: skip
    clips = [whole.spans[i].clips for whole, i, _ in wanting]
    wanting = [wanting[at] for at in np.argsort(clips, kind="stable")[::-1]]  # the last to end is then a small one
    total = sum(clips)
    if jobs is None:  # starting a process costs as much as some hundred clips
        jobs = min(cpu_count(), 1 + total // clips_per_job)
    tasks = (delayed(write_shard)(whole[i], folder, made_of) for whole, i, made_of in wanting)
    each(tasks, what=what, jobs=jobs, total=total, gpus=gpus, place=folder.parent)
    names = {whole.variant: whole.names for whole in plans}
    fresh = {names[whole.variant][i] for whole, i, _ in wanting}
    fresh.update(name for variant, shards in names.items() for name in shards if name not in entered[variant])
    index.settle([folder / name for name in sorted(fresh)])
    return len(wanting)


def each(tasks: Iterable[Any], *, what: str, jobs: parallel.Jobs, total: int, place: Place, gpus: float = 0) -> None:
    """Run joblib tasks that return how many clips they did: one after the other, in processes, or on a cluster.

    place: the root that they write below. Each is handed out alone: small shards in batches leave one worker idle while
    another has the last batch.
    """
    with Progress(what, total=total, unit="clip") as progress:
        for clips in parallel.results(tasks, jobs, what=what, gpus=gpus, batch=1, seen=root.sign(place)):
            progress.add(clips)


def write_shard(shard: Shard, folder: Place, planned: str | None = None) -> int:
    """Write one shard and its index below `folder`; returns the number of clips.

    planned: the fingerprint that it has for who asks for it. Raises DataError if it is another one here.
    """
    path, fingerprint = folder / shard.name, shard.fingerprint
    if planned not in (None, fingerprint):
        raise made_otherwise(shard.name)
    members: list[tuple[str, int, int, int]] = []
    with storage.writing(path) as temporary, TarWriter(temporary) as tar:
        for row, (extension, data, samples) in zip(shard.rows, _encoded(shard), strict=True):
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
        "source": pa.array([_source(row) for row in shard.rows], pa.uint64()),
    })  # fmt: skip
    index.write_index(path, table, about)
    return len(members)


def made_otherwise(name: str) -> DataError:
    """The error for a shard that this process would make otherwise than the command that asks for it."""
    return DataError(
        f"{socket.gethostname()} would make {name} otherwise than the command that asks for it: it has other versions "
        "of packages, or other weights at the same path; make them the same on all nodes (docs/cluster.md)"
    )


def _source(row: dict[str, Any]) -> int | None:
    """The audio that a clip is made of, as md5_number_upper() of its hash gives it; None if it was never measured."""
    found = row.get("audio_hash")
    return found and int.from_bytes(hashlib.md5(found.encode(), usedforsecurity=False).digest()[:8], "little")


def _encoded(shard: Shard) -> Iterator[tuple[str, bytes, int]]:
    """Extension, bytes and length in samples of each member."""
    if shard.recipe is None:
        yield from (encoded(row, shard.audio_codec) for row in shard.rows)
    else:
        yield from ((*encode(wave, shard.audio_codec), len(wave)) for wave in shard.recipe.waves(shard.rows))


def label_json(row: dict[str, Any], variant: str, samples: int) -> bytes:
    """What the catalog says of an utterance, as the JSON beside its audio: words, never numbers, for labels."""
    known = {name: row[name] for name in ("utt_id", *LABELS) if row[name] is not None}
    known |= {"variant": variant, "samples": samples, "rate_hz": RATE_HZ}
    return json.dumps(known, sort_keys=True, ensure_ascii=False).encode()


def enter(
    data: Path, corpus: str, about: Mapping[str, Sequence[dict[str, Any]]], fingerprint: str | None, *,
    place: storage.Place, check: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
    also: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
) -> None:  # fmt: skip
    """Replace the catalog's shard rows of some variants of a corpus, in one transaction; nothing if they agree.

    about: variant -> what the indexes of its shards say; one without shards leaves with its features. fingerprint: the
    corpus as it was planned. check: raises what forbids to enter anything, if it found it. also: what else changes in
    this transaction. place: the root that they lie below.
    Raises DataError if the corpus was ingested anew meanwhile, or another root was chosen.
    """
    path = data / "catalog.duckdb"
    with catalog.connect(path) as con:
        new = {
            variant: shards for variant, shards in about.items()
            if _entered(con, corpus, variant) != {a["shard"]: (a["sha256"], a["fingerprint"]) for a in shards}
        }  # fmt: skip
    if not new and also is None:
        return
    with catalog.connect(path, read_only=False) as con:
        if corpus_fingerprint(con, corpus) != fingerprint:
            raise DataError(f"{corpus} was ingested again while its shards were written; run this command again")
        root.check_still(con, data, place)
        if check is not None:
            check(con)
        con.execute(SCHEMA.read_text())
        con.begin()
        columns = [name for name, *_ in con.execute("DESCRIBE shard").fetchall()]
        for variant, shards in new.items():
            con.execute(
                "DELETE FROM shard_member WHERE shard IN (SELECT shard FROM shard WHERE corpus = ? AND variant = ?)",
                [corpus, variant],
            )
            con.execute("DELETE FROM shard WHERE corpus = ? AND variant = ?", [corpus, variant])
            if shards:
                con.register("new_shard", pa.Table.from_pylist([{name: a[name] for name in columns} for a in shards]))
                con.execute("INSERT INTO shard BY NAME SELECT * FROM new_shard")
                index.insert_members(con, "shard_member", [place / "shards" / a["shard"] for a in shards])
            elif root.has_table(con, "feature_shard"):  # nobody reads the features of audio that is gone
                theirs = "FROM feature_shard WHERE corpus = ? AND variant = ?"
                con.execute(f"DELETE FROM feature_member WHERE shard IN (SELECT shard {theirs})", [corpus, variant])
                con.execute(f"DELETE {theirs}", [corpus, variant])
        if also is not None:
            also(con)
        con.commit()


def _entered(con: duckdb.DuckDBPyConnection, corpus: str, variant: str) -> dict[str, tuple[str, str]]:
    """Shard -> sha256 and fingerprint."""
    if not has_shards(con):
        return {}
    query = "SELECT shard, sha256, fingerprint FROM shard WHERE corpus = ? AND variant = ?"
    return {shard: (digest, made_of) for shard, digest, made_of in con.execute(query, [corpus, variant]).fetchall()}


def has_shards(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether this catalog has the tables of shard.sql."""
    return root.has_table(con, "shard_member")


def corpus_fingerprint(con: duckdb.DuckDBPyConnection, corpus: str) -> str | None:
    """What the catalog says that a corpus was made from; None if it does not know the corpus."""
    row = con.execute("SELECT fingerprint FROM corpus WHERE corpus = ?", [corpus]).fetchone()
    return row[0] if row else None
