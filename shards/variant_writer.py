"""Variants of a corpus as shards: what its plans ask for, made from the sources, entered with how it was made."""

import dataclasses
import importlib.metadata
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from ingest import catalog, corpora, parallel
from ingest.audio import OTHER_PYAV
from ingest.types import DataError, nearest
from shards import clip, codecs, root, variant_plan, variants, writer
from shards.noise import Recordings
from shards.variant_plan import VariantPlan

CLIPS_PER_JOB = 200  # a codec takes some ten times as long as a copy
_TABLES = ("variant", "variant_plan")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the clips of one variant are made; seed: None where nothing is drawn."""

    word: str
    seed: int | None
    noises: Recordings | None = None
    rooms: Recordings | None = None

    def waves(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[np.ndarray]:
        """float32 (sample,) at 16 kHz for each catalog row, in order."""
        for row in rows:
            wave, seed = clip.wave(row), f"{self.seed}/{row['utt_id']}"
            try:
                made = variants.apply(wave, self.word, seed=seed, noises=self.noises, rooms=self.rooms)
            except DataError as error:
                raise DataError(f"{row['corpus']}: {row['utt_id']} as {self.word}: {error}") from None
            yield made

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever the samples depend on beside the source, as JSON has it: the row of table `variant`."""
        recordings = {"noises": self.noises, "rooms": self.rooms}
        return {
            "steps": described(self.word), "seed": self.seed, "versions": versions(self.word),
            "recordings": {name: own.sha256 for name, own in recordings.items() if own is not None},
        }  # fmt: skip


class Rows(NamedTuple):
    """A corpus's rows of table `variant` by word, without vocals, and of table `variant_plan` by plan."""

    variants: dict[str, tuple]
    plans: dict[str, tuple]


def described(word: str) -> list[dict[str, Any]]:
    """The steps of a variant with every parameter, as JSON has it."""
    steps = []
    for step in variants.parse(word):
        given = dict(step.parameters)
        if "codec" in given:
            given = {name: value for name, value in dataclasses.asdict(given["codec"]).items() if value is not None}
        steps.append({"step": step.word, "stage": step.stage, **given})
    return steps


def versions(word: str) -> dict[str, str]:
    """Name -> version of the libraries that the samples of a variant depend on."""
    names, found = {"numpy"}, {}
    for step in variants.parse(word):
        if step.stage == "codec" and step.word != "phone":
            found |= codecs.versions()
        if step.stage == "speed" or step.word == "phone" or getattr(step.parameters.get("codec"), "resamples", False):
            names.add("torchaudio")
        if step.stage == "room" or step.word == "phone":
            names.add("scipy")
    return dict(sorted((found | {name: importlib.metadata.version(name) for name in names}).items()))


def write_variants(
    corpus: str, data: Path, plan: VariantPlan | str, *, noises: Recordings | None = None,
    rooms: Recordings | None = None, audio_codec: str = "flac", max_bytes: int = writer.MAX_BYTES,
    jobs: parallel.Jobs | None = None, remove: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Write the variants that a plan gives a corpus and enter them.

    remove: take the plan's variants out instead; then the name of the plan is enough, for the catalog has its text.

    A variant holds what all plans of the corpus ask of it, so plans may share words; with remove, the rows that no
    other plan asks for leave the catalog (`python -m shards gc` then removes the files). Whatever is finished is
    not written again; a word that the plan drops and others ask of the same clips is left as it is; one that no plan
    asks for any more, as the clips that had drawn it are gone, leaves. A plan that asks nothing of the corpus is not
    entered; one that was taken out before, is out.
    Returns counts: asked (words of this plan), variants, shards, written, members, size_bytes.
    Raises DataError as writer.write_corpus does, for an encoder that is not there, for recordings that are not
    given, where two plans ask for the same noise with different seeds, for a corpus in the plan that nobody knows,
    and with nothing entered where another command changed the plans of the corpus meanwhile.
    """
    name = plan if isinstance(plan, str) else plan.name
    new = {} if remove else {name: plan}
    with catalog.connect(data / "catalog.duckdb") as con:
        corpus_fingerprint = writer.corpus_fingerprint(con, corpus)
        table = writer.clips(con, corpus)
        recorded = _recorded(con, corpus)
        was = recorded.plans.get(name)
        if remove and was is None and corpus in root.taken_out(con, "plan", name):
            return dict.fromkeys(("asked", "variants", "shards", "written", "members", "size_bytes"), 0)
        if remove and was is None:
            known = ", ".join(recorded.plans) or "none"
            raise DataError(f"{corpus} has no variants of a plan {name}; its plans: {known}")
        for mine in new.values():
            _check_corpora(con, mine)
        after = {other: _entered_plan(row) for other, row in recorded.plans.items() if other != name} | new
        wants = {asker: _rows_by_word(con, corpus, table, p) for asker, p in after.items()}
        own = wants.get(name, {})
        if not own:
            after.pop(name, None)
        asked = _together(wants.values())
        touched = {*own} | (recorded.variants.keys() - asked.keys())  # its clips have gone, say
        if was and was != _plan_rows(corpus, new).get(name):
            before = _rows_before(con, corpus, table, was, default=recorded.variants)
            touched |= {word for word, rows in before.items() if not np.isin(rows, asked.get(word, ())).all()}
        shards = _entered_shards(con, corpus, touched)
    recipes = {word: _recipe(word, after, wants, noises, rooms) for word in sorted(touched) if word in asked}
    _check_encoders(recipes, name)
    planned = [
        writer.planned(corpus, table, _at_most_bytes(table, word), audio_codec=audio_codec, max_bytes=max_bytes,
                       variant=word, recipe=recipe, taken=asked[word])
        for word, recipe in recipes.items()
    ]  # fmt: skip
    made = {word: catalog_row(corpus, word, recipe.identity) for word, recipe in recipes.items()}
    left = {word: row for word, row in recorded.variants.items() if word not in touched}
    due = Rows(left | made, _plan_rows(corpus, after))
    same = recorded == due and shards == {
        (name, p.audio_codec, span.clips) for p in planned for name, span in zip(p.names, p.spans)
    }

    def unchanged(con: duckdb.DuckDBPyConnection) -> None:
        if _recorded(con, corpus) not in (recorded, due):  # due: the same command, run twice at the same time
            raise DataError(f"plans of {corpus} changed meanwhile; run this command again")

    def enter_rows(con: duckdb.DuckDBPyConnection) -> None:
        record(con, corpus, sorted(touched), list(made.values()), list(due.plans.values()))
        if remove:
            root.take_out(con, "plan", corpus, name)

    done = writer.write_plans(
        corpus, data, planned, corpus_fingerprint, what=f"variants {corpus}", clips_per_job=CLIPS_PER_JOB, jobs=jobs,
        check=unchanged, also=None if same else enter_rows, gone=sorted(touched.difference(recipes)),
    )  # fmt: skip
    return {"asked": len(own), "variants": len(recipes), **done}


def entered_plans(data: Path) -> dict[str, list[str]]:
    """Corpus -> the names of its plans, sorted, for every corpus of the catalog."""
    found: dict[str, list[str]] = {corpus: [] for corpus in catalog.ingested(data)}
    with catalog.connect(data / "catalog.duckdb") as con:
        for corpus, names in found.items():
            names += sorted(_recorded(con, corpus).plans)
    return found


def _entered_plan(row: tuple) -> VariantPlan:
    corpus, name, text, seed = row
    try:
        return variant_plan.parse(text, name, seed=seed)
    except DataError as error:  # an older Siren took it
        out = f"python -m shards variants {corpus} --plan {name} --remove"
        raise DataError(f"{error}; it stands so in the catalog, take it out: {out}") from None


def _rows_before(
    con: duckdb.DuckDBPyConnection, corpus: str, table: pa.Table, row: tuple, *, default: Iterable[str]
) -> dict[str, np.ndarray]:
    """What _rows_by_word gave for a plan as it was entered; default: for one that would be refused today, all words
    that there are, of every clip."""
    try:
        return _rows_by_word(con, corpus, table, _entered_plan(row))
    except DataError:
        return dict.fromkeys(default, np.arange(table.num_rows, dtype=np.uint32))


def _check_corpora(con: duckdb.DuckDBPyConnection, plan: VariantPlan) -> None:
    known = {*corpora.names(), *(name for (name,) in con.execute("SELECT corpus FROM corpus").fetchall())}
    for number, use in enumerate(plan.uses, start=1):
        for key, given in (("corpora", use.corpora or ()), ("except", use.shut_out)):
            for corpus in sorted(given):
                if corpus not in known:
                    raise DataError(f"plan {plan.name} [[use]] {number} {key}: {nearest(corpus, known, what='corpus')}")


def _entered_shards(con: duckdb.DuckDBPyConnection, corpus: str, words: Iterable[str]) -> set[tuple[str, str, int]]:
    """Name, audio codec and number of members of the shards of some variants that the catalog has."""
    if not writer.has_shards(con):
        return set()
    query = (
        "SELECT shard, audio_codec, members FROM shard WHERE corpus = ? AND variant IN (SELECT unnest(?::VARCHAR[]))"
    )
    return set(con.execute(query, [corpus, list(words)]).fetchall())


def _rows_by_word(
    con: duckdb.DuckDBPyConnection, corpus: str, table: pa.Table, plan: VariantPlan
) -> dict[str, np.ndarray]:
    """Word -> the rows of the table that the plan wants in it, uint32, ascending."""
    if not any(use.wants(corpus) for use in plan.uses):
        return {}
    holds = [_holds(con, corpus, plan, number) for number in range(len(plan.uses))]
    found: dict[str, array] = {}
    for row, utt_id in enumerate(table["utt_id"].to_pylist()):
        for word in plan.words(utt_id, [which is None or utt_id in which for which in holds]):
            found.setdefault(word, array("I")).append(row)
    return {word: np.frombuffer(rows, np.uint32) for word, rows in found.items()}


def _together(wants: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Word -> the rows that any of the plans wants in it."""
    found: dict[str, np.ndarray] = {}
    for words in wants:
        for word, rows in words.items():
            found[word] = np.union1d(found[word], rows) if word in found else rows
    return found


def _holds(con: duckdb.DuckDBPyConnection, corpus: str, plan: VariantPlan, number: int) -> set[str] | None:
    """The clips of a corpus for which the predicate of a plan's [[use]] holds; None: all, or none is asked for."""
    use = plan.uses[number]
    if use.where is None or not use.wants(corpus):
        return None
    query = f"SELECT utt_id FROM trial_pool WHERE corpus = ? AND ({use.where})"
    try:
        return {utt_id for (utt_id,) in con.execute(query, [corpus]).fetchall()}
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"plan {plan.name} [[use]] {number + 1} where, on {corpus}: {reason}: {use.where}") from None


def _recipe(
    word: str, plans: Mapping[str, VariantPlan], wants: Mapping[str, Mapping[str, np.ndarray]],
    noises: Recordings | None, rooms: Recordings | None,
) -> Recipe:  # fmt: skip
    steps = variants.parse(word)
    if not any(step.stage in ("noise", "room") for step in steps):
        return Recipe(word, None)
    seeds = {plan.seed: name for name, plan in plans.items() if word in wants[name]}
    if len(seeds) > 1:
        raise DataError(
            f"variant {word}: the plans {' and '.join(sorted(seeds.values()))} ask for it with the seeds "
            f"{' and '.join(map(str, sorted(seeds)))}; give them the same --seed, or remove one: --remove"
        )
    own = {"noises": noises if any(s.word.startswith("noise-") for s in steps) else None,
           "rooms": rooms if any(s.word == "room" for s in steps) else None}  # fmt: skip
    return Recipe(word, next(iter(seeds)), **own)


def _check_encoders(recipes: Mapping[str, Recipe], plan: str) -> None:
    absent: dict[str, str] = {}
    for word, recipe in recipes.items():
        for step in variants.parse(word):
            codec = step.parameters.get("codec")
            if codec is not None and not codecs.available(codec):
                absent[word] = codec.encoder
            if step.word == "room" and recipe.rooms is None:
                raise DataError(f"variant {word}: pass a folder of impulse responses: --rooms DIR")
            if step.word.startswith("noise-") and recipe.noises is None:
                raise DataError(f"variant {word}: pass a folder of noise recordings: --noises DIR")
    if absent:
        word, encoder = next(iter(absent.items()))
        raise DataError(
            f"{len(absent)} variants of plan {plan} need encoders that FFmpeg as PyAV "
            f"{importlib.metadata.version('av')} brings it lacks (first: {word} needs {encoder}); leave them out of "
            f"the plan, or {OTHER_PYAV}"
        )


def _at_most_bytes(table: pa.Table, word: str) -> np.ndarray:
    longer = variants.length(word, 10_000) / 10_000 + 1e-3
    return clip.at_most_bytes_made(np.ceil(clip.at_most_samples(table) * longer), table)


def _plan_rows(corpus: str, plans: Mapping[str, VariantPlan]) -> dict[str, tuple]:
    return {name: (corpus, name, plan.text, plan.seed) for name, plan in plans.items()}


def _recorded(con: duckdb.DuckDBPyConnection, corpus: str) -> Rows:
    """What the catalog has of a corpus."""
    rows = []
    for name in _TABLES:
        there = root.has_table(con, name)
        found = con.execute(f"FROM {name} WHERE corpus = ?", [corpus]).fetchall() if there else []
        rows.append({row[1]: row for row in sorted(found) if (name, row[1]) != ("variant", "vocals")})
    return Rows(*rows)


def catalog_row(corpus: str, word: str, identity: Mapping[str, Any]) -> tuple:
    """The row of table `variant` for a recipe's identity."""
    steps, made_with, own = (json.dumps(identity[k], sort_keys=True) for k in ("steps", "versions", "recordings"))
    try:
        compression, speed = variants.labels(word)
    except DataError:
        compression = speed = None
    return corpus, word, steps, compression, speed, identity["seed"], made_with, own


def record(
    con: duckdb.DuckDBPyConnection, corpus: str, touched: Sequence[str], made: Sequence[tuple],
    plans: Sequence[tuple] | None = None,
) -> None:  # fmt: skip
    """Replace a corpus's rows of table variant for the words `touched`, and of variant_plan where plans are given."""
    con.execute("DELETE FROM variant WHERE corpus = ? AND variant IN (SELECT unnest(?::VARCHAR[]))", [corpus, touched])
    if plans is not None:
        con.execute("DELETE FROM variant_plan WHERE corpus = ?", [corpus])
    for name, new in zip(_TABLES, (made, plans or ())):
        for row in new:
            con.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)
