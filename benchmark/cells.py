"""Cells of the benchmark: protocol x detector x seed, resolved to settings, training key and run id."""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

import protocols
from benchmark import detectors, settings
from benchmark.settings import Settings
from features import imports
from ingest import catalog
from ingest.types import DataError, nearest
from shards import root

ROOT = Path(__file__).resolve().parents[1]
DETECTORS = ROOT / "benchmark" / "detectors"
SCORE_COLUMNS = (
    "role", "subset", "utt_id", "label", "attack", "speaker", "corpus", "codec", "vocoder", "language",
    "variant", "domain", "partition", "codec_class", "transmission", "source_corpus", "gender", "trim", "duration_s",
)  # fmt: skip
# What decides every score beside the detector's own file and its feature; what these import counts too.
SHARED_SOURCES = ("benchmark/feeds.py", "benchmark/loader.py", "benchmark/score.py", "benchmark/train.py",
                  "benchmark/training.toml", "shards/noise.py", "shards/reader.py")  # fmt: skip
COPYING_SOURCES = ("shards/codecs.py", "shards/rate.py", "shards/variant_plan.py", "shards/variants.py")


@dataclass(frozen=True, slots=True)
class Trials:
    """One protocol on this catalog: its rows, and how complete they are."""

    protocol: Any
    rows: pa.Table  # SCORE_COLUMNS, domain, weight, reference
    missing: int  # trials left out because their audio is missing or corrupt
    partial: bool
    simulated: bool
    train_fingerprint: str  # of what train and dev are, and of what is heard of them
    fingerprint: str  # of all roles
    heard: str = ""  # of their audio alone

    def role(self, role: str) -> pa.Table:
        """The rows of one role: train, dev or test."""
        return self.rows.filter(pc.equal(self.rows["role"], role))


@dataclass(frozen=True, slots=True)
class Cell:
    """One run to be: everything that names it is in run_id and train_key."""

    protocol: str
    detector: str
    seed: int
    settings: Settings
    train_key: str  # cells with the same key share one training
    run_id: str
    trained: bool  # False: the weights are scored as they are
    code_version: str  # of the sources here: a node of a cluster has them in other folders


def trials(con: duckdb.DuckDBPyConnection, name: str, *, partial: bool = False, lists: Path | None = None) -> Trials:
    """The trials of protocol `name`, the user's or ours, on the catalog; lists: folder of the user's trial lists.

    Raises DataError naming a corpus that is not there, unless partial=True says that it is meant.
    """
    protocol = protocols.load(name, protocols.own(catalog.folder(con)))
    table = protocols.trials(con, protocol, partial=partial, lists=lists)
    rows, partial_corpus, simulated = _described(con, table, _PARTIAL)
    short = protocols.shortfalls(table)
    audio = heard(con, table)
    train, every = fingerprints(table, audio)
    return Trials(
        protocol=protocol,
        rows=rows,
        missing=sum(s.trials or 0 for s in short),
        partial=partial_corpus or bool(short),
        simulated=simulated,
        train_fingerprint=train,
        fingerprint=every,
        heard=audio[1],
    )


def tested(con: duckdb.DuckDBPyConnection, name: str, *, partial: bool = False) -> Trials:
    """The test trials of protocol `name`, whether their audio is here or not: whoever scored them had it.

    They are partial where the catalog lacks published rows of them. Raises DataError naming a corpus of the test that
    is not there, unless partial=True says that it is meant.
    """
    protocol = protocols.load(name, protocols.own(catalog.folder(con)))
    table = protocols.tested(con, protocol, partial=partial)
    rows, short, simulated = _described(con, table, _UNLISTED)
    return Trials(
        protocol=protocol,
        rows=rows,
        missing=0,
        partial=short or bool(protocols.shortfalls(table)),
        simulated=simulated,
        train_fingerprint="",  # nothing is trained
        fingerprint=protocols.fingerprint(table, roles=("test",)),
    )


_PARTIAL = "SELECT bool_or(partial) FROM corpus WHERE corpus IN (SELECT corpus FROM protocol_rows)"
_UNLISTED = """
    SELECT bool_or(expected <> found) FROM expected_count c
    WHERE grade <> 'U' AND EXISTS (FROM protocol_rows r WHERE r.corpus = c.corpus
                                   AND (c."partition" IS NULL OR c."partition" = r."partition"))"""


def _described(con: duckdb.DuckDBPyConnection, table: pa.Table, question: str) -> tuple[pa.Table, bool, bool]:
    """The trials with what the catalog tells of their utterances; the answer to `question`; are any simulated."""
    with catalog.registered(con, "protocol_rows", table):
        rows = con.sql(
            "SELECT r.* EXCLUDE (subset), coalesce(r.subset, r.role) AS subset, u.codec, u.vocoder, u.codec_class, "
            "u.transmission, u.source_corpus, u.gender, u.trim, u.duration_s "
            "FROM protocol_rows r JOIN utterance u USING (utt_id) ORDER BY r.role, r.subset, r.utt_id, r.variant"
        ).to_arrow_table()
        simulated = "SELECT bool_or(simulated) FROM corpus WHERE corpus IN (SELECT corpus FROM protocol_rows)"
        answers = [bool(con.sql(text).fetchone()[0]) for text in (question, simulated)]
    return rows, answers[0], answers[1]


def heard(con: duckdb.DuckDBPyConnection, table: pa.Table) -> tuple[str, str]:
    """What is heard in the trials of train and dev, and in those of all roles: the samples of their audio as ingested
    last, and how their variants were made."""
    with catalog.registered(con, "protocol_rows", table):
        samples = con.sql(_HEARD).fetchone()
        made = con.sql(_MADE).fetchone() if root.has_table(con, "variant") else (None, None)
    train, every = (f"{a}{f' {b}' if b else ''}" for a, b in zip(samples, made, strict=True))
    return train, every


def fingerprints(table: pa.Table, audio: tuple[str, str]) -> tuple[str, str]:
    """sha256 of the trials of train and dev, and of all roles, with what is `heard` in them."""
    listed = (protocols.fingerprint(table, roles) for roles in (("train", "dev"), ("train", "dev", "test")))
    train, every = (hashlib.sha256(f"{a} {b}".encode()).hexdigest() for a, b in zip(listed, audio, strict=True))
    return train, every


def refuse_changed(con: duckdb.DuckDBPyConnection, on: Trials) -> None:
    """Raise DataError if what is heard in these trials is no longer what it was when they were made: under their
    fingerprint, a run of other audio would be taken for one of theirs."""
    if heard(con, on.rows)[1] != on.heard:
        raise DataError(
            f"{on.protocol.name}: audio was ingested anew, or variants were made anew, since this command began; "
            "run it again"
        )


_HEARD = """
    WITH heard AS (
        SELECT utt_id, bool_or(role <> 'test') AS trained
        FROM (SELECT utt_id, role FROM protocol_rows UNION ALL SELECT reference, role FROM protocol_rows)
        GROUP BY utt_id)
    SELECT bit_xor(sample) FILTER (trained), bit_xor(sample)
    FROM (SELECT trained, md5_number(concat(utt_id, ' ', audio_hash)) AS sample
          FROM heard JOIN measurement USING (utt_id))"""
_MADE = """
    WITH used AS (
        SELECT corpus, variant, bool_or(role <> 'test') AS trained FROM protocol_rows GROUP BY corpus, variant)
    SELECT bit_xor(recipe) FILTER (trained), bit_xor(recipe)
    FROM (SELECT trained, md5_number(concat_ws(' ', corpus, variant, steps, seed, versions, recordings)) AS recipe
          FROM used JOIN variant USING (corpus, variant))"""


def resolve(
    found: Mapping[str, Trials], detectors: Sequence[str], seeds: Iterable[int], *,
    assignments: Mapping[str, Mapping[str, Any]], weights: str | None = None, trained: bool = True,
) -> list[Cell]:  # fmt: skip
    """Every cell of the grid, in a fixed order. weights: sha256 of the file to start from or score with."""

    @cache  # a network is laid out for it, and protocols of one clip length set a detector alike
    def settled(detector: str, clip: int | None) -> Settings:
        return settings.resolve(detector, assignments, clip=clip, weights=weights)

    cells = []
    for name, on in found.items():
        for detector in detectors:
            clip = on.protocol.clip if trained else None  # trained weights are scored at their own length
            for seed in seeds:
                cells.append(cell(name, on, settled(detector, clip), seed, trained))
    return cells


def cell(protocol: str, on: Trials, how: Settings, seed: int, trained: bool) -> Cell:
    """One cell; DataError if it is to be trained and the protocol has no training trials.

    What the protocol decides of a training beside its trials is in the settings (balance) and in the key as well.
    """
    if trained and how.training.balance == "protocol":
        how = replace(how, training=replace(how.training, balance=on.protocol.balance))
    code = code_version(how.detector, how.input["feature"])
    about = {"settings": how.as_json(), "seed": seed, "code": code}
    if read := _read_from(how.config):
        about["pretrained"] = read
    if trained:
        if not on.role("train").num_rows or not on.role("dev").num_rows:
            raise DataError(
                f"{protocol} has no training trials; score a trained detector on it: "
                f"python -m benchmark score --protocol {protocol} --detector {how.detector} --weights FILE"
            )
        about["train"] = on.train_fingerprint
        about["groups"] = {"weighed_by": on.protocol.train.weighed_by, "dev_mean_over": on.protocol.dev_mean_over}
    train_key = f"{how.detector}-s{seed}-{digest(about)}"
    run = digest({**about, "protocol": protocol, "trials": on.fingerprint})
    run_id = f"{protocol.replace('/', '-')}-{how.detector}-s{seed}-{run}"
    return Cell(protocol, how.detector, seed, how, train_key, run_id, trained, code)


def _read_from(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """setting -> hashes of the pretrained weights that it names: a path alone says not what lies there."""
    words = {key: word for key, word in config.items() if isinstance(word, str)}
    if not words:
        return {}
    from benchmark.detectors import _pretrained  # imports torch

    words = {key: word for key, word in words.items() if word != _pretrained.RANDOM}
    return {key: found for key, word in words.items() if (found := _pretrained.hashes(word))}


def score_keys(rows: pa.Table, *, paired: bool) -> list[tuple]:
    """What the score of each trial hangs on: utterance and variant; its reference too where the detector hears one."""
    names = ("utt_id", "variant", "reference", "reference_mode") if paired else ("utt_id", "variant")
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def scored_together(on: Trials, *, paired: bool) -> Iterator[tuple[tuple, pa.Table]]:
    """What shares its batches when a cell is scored: dev, then each test subset, less the trials of those before it.

    (`score_keys`, the rows of those trials), each trial once. The last bits of a score hang on the batch that it was
    computed in. So that they hang on nothing but the cell, whatever else is scored by the same command or was by one
    that was killed, the batches are the cell's own, and cells share only what both would score together anyway.
    """
    before: set[tuple] = set()
    dev, test = on.role("dev"), on.role("test")
    subsets = (test.filter(pc.equal(test["subset"], name)) for name in pc.unique(test["subset"]).to_pylist())
    for rows in (dev, *subsets):
        new = {key: row for row, key in enumerate(score_keys(rows, paired=paired)) if key not in before}
        before |= new.keys()
        if new:
            yield tuple(new), rows.take(list(new.values()))


def draws_per_epoch(on: Trials, how: settings.Training) -> int:
    """Utterances that one epoch of a cell's training reads: all train trials, the smaller class up to the larger."""
    train = on.role("train")
    number = train.num_rows
    if how.balance == "oversample" and number:
        bonafide = pc.sum(pc.equal(train["label"], "bonafide")).as_py()
        number = 2 * max(bonafide, number - bonafide)
    return min(number, how.draws or number)


def digest(value: Any) -> str:
    """12 hex digits that name a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def code_version(detector: str, feature: str) -> str:
    """Hash of the sources that decide this detector's scores: a change in any of them makes new runs."""
    hashed = hashlib.sha256()
    for path in sorted(sources(detector, feature), key=lambda path: (not path.is_relative_to(ROOT), path)):
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        hashed.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return hashed.hexdigest()[:16]


def sources(detector: str, feature: str) -> set[Path]:
    """The detector's file, its feature's, the loader, the training loop, and what of `benchmark` and `features`, and
    of modules that are not installed (a folder on PYTHONPATH), they import, directly or not; every feature that a
    detector's file names in quotes, as its network or its recipe may compute it; where it learns from copies of clips
    their plan, and what makes them. Raises DataError with the nearest names if there is no such feature."""
    plan = detectors.get(detector).VARIANTS
    own = (imports.file(DETECTORS / detector), imports.file(ROOT / "features" / "extractors" / feature))
    if own[1] is None:
        from features import extractors

        raise nearest(feature, extractors.names(), what=f"feature of {detector}")
    copies = (*COPYING_SOURCES, f"shards/plans/{plan}.toml") if plan else ()
    pending, found = [*own, *(ROOT / path for path in (*SHARED_SOURCES, *copies))], set()
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += imports.of(path) if path.suffix == ".py" else []
            pending += _named_features(path) if path.parent == DETECTORS and path.name != "_base.py" else []
    return found


def outside() -> list[Path]:
    """The files outside Siren's packages that any of its detectors or features imports, directly or not."""
    folders = (DETECTORS, ROOT / "features" / "extractors")
    pending, found = [path for folder in folders for path in folder.rglob("*.py")], set()
    while pending:
        here = {path for path in imports.of(pending.pop()) if not imports.in_packages(path)}
        pending += here - found
        found |= here
    return sorted(found)


@cache
def _named_features(path: Path) -> tuple[Path, ...]:
    """The files of the features whose names stand in a source as words of their own."""
    from features import extractors  # imports torch, as whatever asks for sources does

    words = {node.value for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Constant)}
    return tuple(ROOT / f"features/extractors/{name}.py" for name in extractors.names() if name in words)
