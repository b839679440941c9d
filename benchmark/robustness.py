"""A finished run's test through codecs, speeds, noise and rooms: no training, one subset per variant."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmark import cells as grid
from benchmark import devices, distribution, finished, record, recorded
from benchmark import run as running
from benchmark.cells import Cell, Trials
from benchmark.settings import Settings
from ingest import catalog
from ingest.cli import with_data
from ingest.files import inside, lock
from ingest.types import DataError
from shards import reader, variant_plan, variants, writer

ORIGINAL, VOCALS = "original", "vocals"


def score(data: Path, run_id: str, words: Sequence[str], machine: running.Machine, *, lists: Path | None = None) -> str:
    """Score the test of the run `run_id` once per variant; returns the id of the run that this makes.

    words: variants; empty: every one that the shards hold for the whole test. Test utterances count once, however many
    subsets they are in; `original` is scored as well, and dev stays as it was, so that thresholds do not move.
    Those that are only tested as something else (vocals) are left out, which is said. Raises DataError if there is no
    such run, no test utterance is left, or a variant has no shards for one.
    """
    about = _record(data, run_id)
    with catalog.connect(data / "catalog.duckdb") as con:
        on = grid.trials(con, about["protocol"], partial=about["partial"], lists=lists)
        test = _once(on.role("test"), about["protocol"])
        if not writer.has_shards(con):
            raise DataError(f"{data} has no shards; run: {with_data('python -m shards all', data)}")
        words = list(dict.fromkeys([ORIGINAL, *(words or _complete(con, test, data))]))
        _refuse_missing(con, test, words, data)
        through = _through(con, on, test, words)
    cell = _cell(run_id, about, through, words)
    inside(data / "models", cell.train_key)  # a record can come from anywhere
    with lock(running.model_folder(data, cell) / "lock"):
        if not running.done(data, cell):
            _score(data, cell, through, machine)
    return cell.run_id


def _record(data: Path, run_id: str) -> dict[str, Any]:
    folder = finished.folder(data, run_id)
    about = recorded.run(folder)
    if not about.get("trained") or "input" not in (about.get("config") or {}):
        raise DataError(f"{run_id} was not trained here; robustness needs a run of python -m benchmark run")
    recorded.need(folder, about, ("protocol", "partial", "seed", "train_key"))
    return about


def _once(rows: pa.Table, protocol: str) -> pa.Table:
    """One row of every utterance in its original form, of which variants are copies; says which have none.

    The first one, where there are references the one with a reference as in training: not cut short, not another's.
    Raises DataError if none has.
    """
    tested = pc.count_distinct(rows["utt_id"]).as_py()
    rows = rows.filter(pc.equal(rows["variant"], ORIGINAL))
    lacking = tested - pc.count_distinct(rows["utt_id"]).as_py()
    said = f"{lacking} of {tested} test utterances of {protocol} are not tested in their original form"
    if not rows.num_rows:
        raise DataError(f"{said}; variants are copies of that, so name a run of another protocol")
    if lacking:
        print(f"{said}; they are left out", file=sys.stderr)
    rows = rows.take(pc.sort_indices(pc.fill_null(pc.not_equal(rows["reference_mode"], "real"), True)))  # stable
    first = rows.append_column("row", pa.array(range(rows.num_rows))).group_by("utt_id").aggregate([("row", "min")])
    return rows.take(first["row_min"].sort())


def _complete(con: Any, test: pa.Table, data: Path) -> list[str]:
    """The variants of which the shards hold every test utterance."""
    query = "SELECT variant, count(*) FROM shard_member JOIN tested USING (utt_id) GROUP BY ALL ORDER BY ALL"
    with catalog.registered(con, "tested", test.select(["utt_id"])):
        rows = con.sql(query).fetchall()
    words = [word for word, number in rows if number == test.num_rows and word not in (ORIGINAL, VOCALS)]
    if not words:
        raise DataError(
            "no variant holds the whole test; make some: "
            + with_data("python -m shards variants CORPUS --plan robustness", data)
        )
    return words


def _refuse_missing(con: Any, test: pa.Table, words: Sequence[str], data: Path) -> None:
    query = (
        "SELECT count(*), min(utt_id), min(corpus) FROM tested ANTI JOIN "
        "(SELECT utt_id FROM shard_member WHERE variant = ?) USING (utt_id)"
    )
    with catalog.registered(con, "tested", test.select(["utt_id", "corpus"])):
        found = {word: con.execute(query, [word]).fetchone() for word in words}
    for word, (number, first, corpus) in found.items():
        if number:
            variants.parse(word)  # refuses what is no variant
            raise DataError(
                f"{number} of {test.num_rows} test utterances have no {word} copy (first: {first}); make them: "
                + _making(corpus, word, data)
            )


def _making(corpus: str, word: str, data: Path) -> str:
    """What makes a variant of every clip: a plan of ours that asks for it, else one of the user's."""
    command = with_data(reader.making(corpus, word), data)
    if any(word in use.words for use in variant_plan.cached("robustness").uses):
        return command.replace("--plan PLAN", "--plan robustness")
    return f"{command}, PLAN a file of yours that asks for it (docs/variants.md)" if "PLAN" in command else command


def _through(con: Any, on: Trials, test: pa.Table, words: Sequence[str]) -> Trials:
    """The protocol with one test subset per variant; its fingerprint tells copies that were made anew otherwise."""
    rows = [pa.concat_tables([on.role("train"), on.role("dev")])]
    for word in words:
        column = pa.array([word] * test.num_rows, pa.string())
        copy = test.set_column(test.column_names.index("variant"), "variant", column)
        rows.append(copy.set_column(copy.column_names.index("subset"), "subset", column).cast(test.schema))
    name = f"{finished.ROBUSTNESS}/{on.protocol.name.replace('/', '-')}"
    protocol = replace(
        on.protocol, name=name, scenario=finished.ROBUSTNESS,
        title=f"{on.protocol.title}: codecs, speeds, noise, rooms",
        averages={"average": tuple(words[1:])}, pooled={}, metrics=("eer", "auc"),
    )  # fmt: skip
    every = pa.concat_tables(rows)
    audio = grid.heard(con, every)
    return replace(on, protocol=protocol, rows=every, fingerprint=grid.fingerprints(every, audio)[1], heard=audio[1])


def _cell(run_id: str, about: dict[str, Any], through: Trials, words: Sequence[str]) -> Cell:
    how = Settings.from_json(about["config"])
    code = grid.code_version(how.detector, how.input["feature"])
    name = f"{finished.ROBUSTNESS}-{run_id}-{grid.digest([run_id, code, through.fingerprint, *words])}"
    return Cell(about["protocol"], how.detector, about["seed"], how, about["train_key"], name, True, code)


def _score(data: Path, cell: Cell, on: Trials, machine: running.Machine) -> None:
    from shards.reader import Reader

    work = running.Work(data, data, {cell.protocol: on}, machine, None)
    if not (running.model_folder(data, cell) / "train.json").exists():
        raise DataError(f"{running.model_folder(data, cell)} holds no trained weights; run the cell again")
    with Reader(data) as reader, devices.taken(machine.device) as device:
        detector, training = running.final_detector(work, cell, reader, device, distribution.ALONE)
        started = time.perf_counter()
        columns, number = running.scores_of(detector, cell, on, reader, device, {}, distribution.ALONE)
        costs = {"score_s": time.perf_counter() - started, "scored_trials": number}
        facts = running.facts_of(cell, {**training, **costs}, detector, device, running.model_folder(data, cell))
        running.refuse_changed(data, [on], wait_s=running.SCORED_WAIT_S)
        record.write_run(
            data, data, cell.run_id, on, columns.pop("score"), curve=[], facts=facts, paired=detector.REFERENCE,
            diagnosed=columns,
        )  # fmt: skip
