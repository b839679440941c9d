"""Variants of a corpus as shards: what its plans ask for, made from the sources, entered with how it was made."""

import dataclasses
import importlib.metadata
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest import catalog, parallel
from ingest.types import DataError
from shards import clip, codecs, variant_plan, variants, writer
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
            yield variants.apply(
                clip.wave(row), self.word, seed=f"{self.seed}/{row['utt_id']}", noises=self.noises, rooms=self.rooms
            )

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever the samples depend on beside the source, as JSON has it: the row of table `variant`."""
        recordings = {"noises": self.noises, "rooms": self.rooms}
        return {
            "steps": described(self.word), "seed": self.seed, "versions": versions(self.word),
            "recordings": {name: own.sha256 for name, own in recordings.items() if own is not None},
        }  # fmt: skip


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
    corpus: str, data: Path, plan: VariantPlan, *, noises: Recordings | None = None, rooms: Recordings | None = None,
    audio_codec: str = "flac", max_bytes: int = writer.MAX_BYTES, jobs: parallel.Jobs | None = None,
    remove: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Write the variants that a plan gives a corpus and enter them; remove: take the plan's variants out instead.

    A variant holds what all plans of the corpus ask of it, so plans may share words; with remove, the rows that no
    other plan asks for leave the catalog (`python -m shards gc` then removes the files). Whatever is finished is
    not written again. Returns counts: variants, shards, written, members, size_bytes.
    Raises DataError as writer.write_corpus does, for an encoder that is not there, for recordings that are not
    given, and where two plans ask for the same noise with different seeds.
    """
    with catalog.connect(data / "catalog.duckdb") as con:
        corpus_fingerprint = writer.corpus_fingerprint(con, corpus)
        table = writer.clips(con, corpus)
        plans = _entered_plans(con, corpus)
        if remove and plan.name not in plans:
            raise DataError(f"{corpus} has no variants of a plan {plan.name}; its plans: {', '.join(plans) or 'none'}")
        after = {name: p for name, p in plans.items() if name != plan.name} | ({} if remove else {plan.name: plan})
        asked = _rows_by_word(con, corpus, table, after)
        moved = [p for p in (plans.get(plan.name), after.get(plan.name)) if p]  # the plan as it was, as it is to be
        touched = sorted({word for p in moved for word in _rows_by_word(con, corpus, table, {p.name: p})})
        recorded = _recorded(con, corpus)
    recipes = {word: _recipe(word, after, asked, noises, rooms) for word in touched if word in asked}
    _check_encoders(recipes, plan.name)
    planned = [
        writer.planned(corpus, table, _at_most_bytes(table, word), audio_codec=audio_codec, max_bytes=max_bytes,
                       variant=word, recipe=recipe, taken=np.frombuffer(asked[word], np.uint32))
        for word, recipe in recipes.items()
    ]  # fmt: skip
    rows = _catalog_rows(corpus, recipes, after)
    same = recorded == ({**{w: r for w, r in recorded[0].items() if w not in touched}, **rows[0]}, rows[1])

    def enter_rows(con: duckdb.DuckDBPyConnection) -> None:
        record(con, corpus, touched, list(rows[0].values()), list(rows[1].values()))

    about, written = writer.write_plans(
        corpus, data, planned, corpus_fingerprint, what=f"variants {corpus}", clips_per_job=CLIPS_PER_JOB, jobs=jobs,
        also=None if same else enter_rows, gone=[word for word in touched if word not in recipes],
    )  # fmt: skip
    return {
        "variants": len(recipes), "shards": len(about), "written": written,
        "members": sum(a["members"] for a in about), "size_bytes": sum(a["size_bytes"] for a in about),
    }  # fmt: skip


def _entered_plans(con: duckdb.DuckDBPyConnection, corpus: str) -> dict[str, VariantPlan]:
    if not writer.has_table(con, "variant_plan"):
        return {}
    query = 'SELECT plan, "text", seed FROM variant_plan WHERE corpus = ? ORDER BY plan'
    found = con.execute(query, [corpus]).fetchall()
    return {name: variant_plan.parse(text, name, seed=seed) for name, text, seed in found}


def _rows_by_word(
    con: duckdb.DuckDBPyConnection, corpus: str, table: pa.Table, plans: Mapping[str, VariantPlan]
) -> dict[str, array]:
    """Word -> the rows of the table that any of the plans wants in it, ascending."""
    holds = {name: [_holds(con, corpus, use.where) for use in plan.uses] for name, plan in plans.items()}
    found: dict[str, array] = {}
    for row, utt_id in enumerate(table["utt_id"].to_pylist() if plans else ()):
        words: set[str] = set()
        for name, plan in plans.items():
            words.update(plan.words(utt_id, [which is None or utt_id in which for which in holds[name]]))
        for word in words:
            found.setdefault(word, array("I")).append(row)
    return dict(sorted(found.items()))


def _holds(con: duckdb.DuckDBPyConnection, corpus: str, where: str | None) -> set[str] | None:
    """The clips of a corpus for which a predicate holds; None: all."""
    if where is None:
        return None
    query = f"SELECT utt_id FROM trial_pool WHERE corpus = ? AND ({where})"
    return {utt_id for (utt_id,) in con.execute(query, [corpus]).fetchall()}


def _recipe(
    word: str, plans: Mapping[str, VariantPlan], asked: Mapping[str, array],
    noises: Recordings | None, rooms: Recordings | None,
) -> Recipe:  # fmt: skip
    steps = variants.parse(word)
    if not any(step.stage in ("noise", "room") for step in steps):
        return Recipe(word, None)
    seeds = {plan.seed: name for name, plan in plans.items() if _may_give(plan, word)}
    if len(seeds) > 1:
        raise DataError(
            f"variant {word}: the plans {' and '.join(sorted(seeds.values()))} ask for it with the seeds "
            f"{' and '.join(map(str, sorted(seeds)))}; give them the same --seed, or remove one: --remove"
        )
    own = {"noises": noises if any(s.word.startswith("noise-") for s in steps) else None,
           "rooms": rooms if any(s.word == "room" for s in steps) else None}  # fmt: skip
    return Recipe(word, next(iter(seeds)), **own)


def _may_give(plan: VariantPlan, word: str) -> bool:
    return any(
        word in use.words or (use.factors and set(word.split("_")) <= {w for table in use.factors for w, _ in table})
        for use in plan.uses
    )


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
            f"{importlib.metadata.version('av')} brings it lacks (first: {word} needs {encoder}); leave them out"
        )


def _at_most_bytes(table: pa.Table, word: str) -> np.ndarray:
    samples = np.ceil(table["duration_s"].to_numpy() * clip.RATE_HZ) + 1
    return clip.at_most_bytes_made(np.ceil(samples * (variants.length(word, 10_000) / 10_000 + 1e-3)))


def _catalog_rows(
    corpus: str, recipes: Mapping[str, Recipe], plans: Mapping[str, VariantPlan]
) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """The rows of the tables variant and variant_plan, by word and by plan."""
    made = {word: catalog_row(corpus, word, recipe.identity) for word, recipe in recipes.items()}
    return made, {name: (corpus, name, plan.text, plan.seed) for name, plan in plans.items()}


def _recorded(con: duckdb.DuckDBPyConnection, corpus: str) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """What the catalog has of the rows of _catalog_rows."""
    rows = []
    for name in _TABLES:
        there = writer.has_table(con, name)
        found = con.execute(f"FROM {name} WHERE corpus = ?", [corpus]).fetchall() if there else []
        rows.append({row[1]: row for row in found})
    return rows[0], rows[1]


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
