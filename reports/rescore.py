"""Every metric of a score file that somebody else made, and its row on the leaderboard.

With a protocol the file is checked against the catalog's trial list and becomes an external run; without one
the labels written in the file are believed and nothing is stored.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmark import finished, recorded
from benchmark.measure import Measured, Result, measure
from benchmark.results import collect
from benchmark.verifier import asv_file, cell_rates
from ingest import catalog
from ingest.files import atomic, lock
from ingest.types import DataError
from reports import sasv, score_files

ASKED = ("min_dcf", "act_dcf", "cllr")
TANDEM = ("min_tdcf_2019", "min_tdcf_2021")
COLUMNS = (
    "subset", "factor", "level", "metric", "value", "ci_low", "ci_high", "ci_method", "n_bonafide", "n_spoof", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rescored:
    """The rows as one table, what was remarkable about the file, and the run that was stored (None: none).

    scores: the trials with their scores, as measured.
    """

    table: pa.Table
    remarks: list[str]
    run_id: str | None
    scores: pa.Table


def rescore(
    path: Path, *, data: Path, protocol: str | None = None, sign: float = 1.0, name: str | None = None,
    asv: Path | None = None, partial: bool = False, source: str | None = None, replicates: int = 1000,
) -> Rescored:  # fmt: skip
    """Measure a score file; with `protocol`, store it below DATA/scores as an external run.

    sign: -1 for files in which higher means more fake. asv: a file of speaker verification scores (`source label
    score`, or with a header that names columns, codec among them) for min t-DCF, where no protocol gives them.
    partial: trials without a score are left out instead of refused. Raises DataError for missing, duplicate or
    unknown trials, for labels that disagree, and for a protocol that tests a clip in several forms.
    """
    scores = score_files.read(path, sign=sign)
    if protocol is None:
        table = _believed(path, scores)
        given = _asv_of(asv, table) if asv else sasv.rates(table)
        asked = (*ASKED, *(TANDEM if asv else TANDEM[1:] if given else ()))
        measured = measure(path.name, table, asked=asked, asv=given, replicates=replicates, threads=2)
        rows = _rows(measured, sasv.rows(table, replicates=replicates))
        return Rescored(rows, [*score_files.remarks(scores), *_notes(rows)], None, table)
    if asv:
        raise DataError("--asv is for files without a protocol; with one the catalog's ASV scores are used")
    return _external(
        path, scores, data=data, protocol=protocol, name=name, partial=partial, source=source or path.name,
        replicates=replicates, sign=sign,
    )  # fmt: skip


def _believed(path: Path, scores: pa.Table) -> pa.Table:
    if "label" not in scores.column_names:
        raise DataError(f"{path} has no labels; name the protocol it was made for: --protocol NAME")
    if {"asv_label", "speaker"} <= set(scores.column_names):  # a clip is tried against several speakers
        speaker = pc.coalesce(scores["speaker"], pa.scalar("-"))
        scores = scores.set_column(0, "file", pc.binary_join_element_wise(speaker, scores["file"], " "))
    counted = scores.group_by("file").aggregate([([], "count_all")])
    if counted.num_rows < scores.num_rows:
        twice = counted.filter(pc.greater(counted["count_all"], 1))
        raise DataError(f"{path}: {twice.num_rows} files occur more than once (first: {twice['file'][0]})")
    words = {"role": "test"} if "subset" in scores.column_names else {"role": "test", "subset": "all"}
    for column in ("label", "subset"):
        if column in scores.column_names and scores[column].null_count:
            first = scores.filter(pc.is_null(scores[column]))["file"][0]
            cure = "name their protocol: --protocol NAME" if column == "label" else "leave the column out"
            raise DataError(
                f"{path}: {scores[column].null_count} rows have no {column} (first: {first}); fill them in, or {cure}"
            )
    for column, word in words.items():
        scores = scores.append_column(column, pa.array([word] * scores.num_rows))
    if "attack" in scores.column_names:
        attack = pc.if_else(pc.equal(scores["label"], "bonafide"), None, scores["attack"])
        scores = scores.set_column(scores.column_names.index("attack"), "attack", attack)
    return scores.rename_columns(["utt_id" if c == "file" else c for c in scores.column_names])


def _asv_of(path: Path, table: pa.Table) -> dict[str, dict[str, dict[str, float]]]:
    """ASV rates of every subset: of all its trials, of each attack, and where the file names codecs of their cells."""
    asv = score_files.verification(path)
    found = {}
    for subset in table["subset"].unique().to_pylist():
        of = {name: values[np.isin(asv["subset"], [subset, ""])] for name, values in asv.items()}
        spoof = of["key"] == "spoof"
        scored = table.filter(pc.equal(table["subset"], subset))
        attacks, codecs = sorted(set(of["attack"][spoof])), sorted(set(of["codec"]) - {""})
        codecs = _scored(scored, "codec", codecs)
        attacks = _scored(scored.filter(pc.equal(scored["label"], "spoof")), "attack", attacks)
        rates = cell_rates(*(of[name] for name in ("key", "attack", "codec", "score")), attacks, codecs)
        if "" not in rates:
            lacking = next(word for word in sasv.CLASSES if not (of["key"] == word).any())
            raise DataError(f"{path}: no ASV {lacking} scores in {subset}; labels are target, nontarget and spoof")
        found[subset] = rates
    return found


def _scored(scores: pa.Table, column: str, words: list[str]) -> list[str]:
    """Those of the words that the scores are of; all of them where one of these does not say which."""
    there = set(scores[column].unique().to_pylist()) if column in scores.column_names else {None}
    return words if None in there else [word for word in words if word in there] or words


def _external(
    path: Path, scores: pa.Table, *, data: Path, protocol: str, name: str | None, partial: bool, source: str,
    replicates: int, sign: float,
) -> Rescored:  # fmt: skip
    """Check the scores against the trials of a protocol, measure them, and store them as an external run."""
    from benchmark import cells

    with catalog.connect(data / "catalog.duckdb") as con:
        on = cells.tested(con, protocol, partial=partial)
        _one_form_each(protocol, _heard(on))
        trials = on.role("test").select(list(cells.SCORE_COLUMNS))
        table, missing, remarks = match(path, scores, trials, _file_names(con, trials), partial=partial)
        asv = asv_file(con, table, on.protocol.metrics)
    detector = score_files.slug(name or path.name.split(".")[0])
    facts = {
        "protocol": protocol, "scenario": on.protocol.scenario, "title": on.protocol.title, "detector": detector,
        "metrics": list(on.protocol.metrics), "averages": _lists(on.protocol.averages),
        "pooled": _lists(on.protocol.pooled), "external": True, "trained": False, "seed": None, "config": {},
        "simulated": on.simulated, "partial": bool(on.partial or missing), "missing_trials": on.missing + missing,
        "trials_fingerprint": on.fingerprint, "source": source, "sign": int(sign),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip
    digest = hashlib.sha256(path.read_bytes() + repr((protocol, detector, on.fingerprint)).encode()).hexdigest()[:12]
    named = f"{protocol.replace('/', '-')}-{detector}-external-"
    run_id = named + digest
    measured = measure(
        run_id, table, asked=on.protocol.metrics, averages=on.protocol.averages, pooled=on.protocol.pooled,
        asv=asv, replicates=replicates, threads=2,
    )  # fmt: skip
    _store(data, run_id, table, {"asv.json": asv, "run.json": {"run_id": run_id, **facts}})
    collect(data)
    remarks += _beside(data, named, run_id, source)
    if {"asv_score", "sasv_score"} & set(scores.column_names):
        remarks.append("verification scores are not used with a protocol; without --protocol they give a-DCF and t-EER")
    rows = _rows(measured)
    return Rescored(rows, [*score_files.remarks(scores), *remarks, *_notes(rows)], run_id, table)


def _store(data: Path, run_id: str, table: pa.Table, records: Mapping[str, Any]) -> None:
    """Write the files of an external run; records: JSON by file name, run.json last."""
    folder = data / "scores" / run_id
    with lock(data / "scores" / f".{run_id}.lock", keep=False):
        with atomic(folder / "scores.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
        for file, value in records.items():
            with atomic(folder / file) as temporary:
                temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _beside(data: Path, named: str, run_id: str, source: str) -> list[str]:
    """What becomes of other external runs of the detector on this protocol, whose ids begin with `named`."""
    remarks = []
    for other in finished.names(data):
        if not other.startswith(named) or other == run_id:
            continue
        if recorded.run(data / "scores" / other).get("source") == source:
            remarks.append(f"stands on the leaderboard in the place of {other}; --name tells detectors apart")
        else:
            remarks.append(f"counts beside {other} as one more run of the same detector; --name tells detectors apart")
    return remarks


def _heard(on: Any) -> set[tuple]:
    """Each test clip as it is heard: utterance, variant, and how its subset chooses a reference."""
    rows = on.role("test")
    reference = {role.subset or role.role: role.reference for role in on.protocol.roles if role.role == "test"}
    chosen = [reference[subset] for subset in rows["subset"].to_pylist()]
    return set(zip(rows["utt_id"].to_pylist(), rows["variant"].to_pylist(), chosen, strict=True))


def _one_form_each(protocol: str, heard: set[tuple]) -> None:
    """Raise DataError where a test clip is heard in several forms: a file has one score for it."""
    forms = Counter(utt_id for utt_id, *_ in heard)
    several = sorted(utt_id for utt_id, count in forms.items() if count > 1)
    if several:
        raise DataError(
            f"{protocol} tests {len(several)} clips in several forms, by variant or reference (first: {several[0]}); "
            "one score cannot be that of all; name a protocol that tests each clip once"
        )


def _lists(groups: Mapping[str, Any]) -> dict[str, list[str]]:
    return {key: list(value) for key, value in groups.items()}


def _file_names(con: Any, trials: pa.Table) -> pa.Table:
    """utt_id and path, without suffix, of the trials and of what else in the catalog has the file name of one."""
    with catalog.registered(con, "trial_ids", trials.select(["utt_id"])):
        return con.sql(r"""
            WITH named AS (
                SELECT utt_id, regexp_replace(path, '\.[^./]*$', '') AS path,
                       regexp_extract(path, '([^/]*?)(\.[^./]*)?$', 1) AS stem, utt_id IN (FROM trial_ids) AS tested
                FROM   utterance
            )
            SELECT utt_id, path FROM named WHERE tested OR stem IN (SELECT stem FROM named WHERE tested) ORDER BY utt_id
            """).to_arrow_table()


def match(
    path: Path, scores: pa.Table, trials: pa.Table, names: pa.Table, *, partial: bool
) -> tuple[pa.Table, int, list[str]]:
    """Give every trial its score: (trials with a column score, trials left out, remarks).

    A file name means the utterance with that id, or with that path or stem where these are unique in the
    protocol; folders before the path do not count, and of clips that share a stem the path may lack its first ones.
    names: utt_id and path (without suffix) of the trials, and of other utterances whose scores are not theirs.
    """
    label = dict(zip(trials["utt_id"].to_pylist(), trials["label"].to_pylist()))
    score, unknown, several, again = _score_of(path, scores, label, names)
    if not score and not several:
        told = [f"none of its {scores.num_rows} files is a test trial of this protocol (first: {unknown[0]})"]
        raise DataError(f"{path}: {'; '.join([*told, *score_files.remarks(scores)])}")
    remarks = []
    if unknown:
        remarks.append(f"{len(unknown)} files are not test trials of this protocol (first: {unknown[0]})")
    if several:
        cure = "write them with their folders, or as the catalog's ids"
        remarks.append(f"{len(several)} names are of several trials each (first: {several[0]}): {cure}")
    lacking = [u for u in label if u not in score]
    if lacking:
        said = f"{len(lacking)} of {len(label)} test trials have no score (first: {min(lacking)})"
        if not (partial and score):
            partly = ["add --partial to go on without them"] if score else []
            raise DataError(f"{path}: {'; '.join([said, *remarks, *partly])}")
        remarks.append(said)
    if again:
        remarks.append(f"{again} trials occur more than once, each time with the same score")
    values = pa.array([score.get(u) for u in trials["utt_id"].to_pylist()], pa.float64())
    return trials.append_column("score", values).filter(pc.is_valid(values)), len(lacking), remarks


def _score_of(
    path: Path, scores: pa.Table, label: Mapping[str, str], names: pa.Table
) -> tuple[dict[str, float], list[str], list[str], int]:
    """utt_id -> score, the files that are no trial, those of several, and how many trials occur again.

    label: of each trial. Raises DataError for a trial with two scores, and for labels that are not those of the trials.
    """
    place = _places(names, set(label))
    score: dict[str, float] = {}
    unknown, several, disagree, again = [], [], [], 0
    said = scores["label"].to_pylist() if "label" in scores.column_names else None
    for k, (file, value) in enumerate(zip(scores["file"].to_pylist(), scores["score"].to_pylist())):
        word = file.replace("\\", "/")  # Windows writes paths with it
        while word not in place and "/" in word:
            word = word.partition("/")[2]
        utt_id = place.get(word)
        if not utt_id:
            (unknown if utt_id is None else several).append(file)
            continue
        again += utt_id in score
        if score.setdefault(utt_id, value) != value:
            raise DataError(f"{path}: {file} has two scores, {score[utt_id]} and {value}")
        if said and said[k] not in (None, label[utt_id]):
            disagree.append(file)
    if disagree:
        told = [f"{len(disagree)} labels disagree with the catalog (first: {disagree[0]})"]
        raise DataError(f"{path}: {'; '.join([*told, *score_files.remarks(scores)])}")
    return score, unknown, several, again


def _places(names: pa.Table, tested: set[str]) -> dict[str, str | None]:
    """utt_id, path and stem -> utt_id; "": of several, None: of an utterance that is not tested.

    Of clips that share a stem also the path without its first folders: the last one tells them apart.
    """
    found: dict[str, str | None] = dict(zip(tested, tested))
    several, others = set(), []
    paths = names["path"].to_pylist()
    stems = [path.rpartition("/")[2] for path in paths]
    clips = Counter(stems)
    for utt_id, path, stem in zip(names["utt_id"].to_pylist(), paths, stems):
        ends = _ends(path) if clips[stem] > 1 else [path]
        if utt_id not in tested:
            others += [utt_id, *ends]
            continue
        for word in (*ends, stem, utt_id.rpartition("/")[2]):  # paths: two corpora can share one
            if found.setdefault(word, utt_id) != utt_id:
                several.add(word)
    found |= dict.fromkeys(several - tested, "")
    for word in others:
        if "/" in word:
            found.setdefault(word, None)
    return found


def _ends(path: str) -> list[str]:
    """a/b/c -> a/b/c, b/c: the path and what it is below each of its folders, but for the last."""
    folders = path.split("/")
    return ["/".join(folders[k:]) for k in range(max(len(folders) - 1, 1))]


def _notes(rows: pa.Table) -> list[str]:
    """What is suspicious about the scores: the notes of the EERs of whole subsets."""
    return [
        f"{row['subset']}: {row['note']}"
        for row in rows.to_pylist()
        if row["metric"] == "eer" and row["factor"] is None and row["value"] is not None and row["note"]
    ]


def _rows(measured: Measured, more: Sequence[Result] = ()) -> pa.Table:
    tested = [r for r in measured.results if r.role == "test"]
    rows = [{"factor": None, "level": None, **_as_dict(r)} for r in (*tested, *more)]
    rows += [_as_dict(b) for b in measured.breakdowns]
    for row in rows:
        if row.get("factor_2"):
            row["factor"] = f"{row['factor']} x {row['factor_2']}"
            row["level"] = f"{row['level']} x {row['level_2']}"
    kinds = {"value": pa.float64(), "ci_low": pa.float64(), "ci_high": pa.float64(), "n_bonafide": pa.int64(),
             "n_spoof": pa.int64()}  # fmt: skip
    return pa.table({c: pa.array([row[c] for row in rows], kinds.get(c, pa.string())) for c in COLUMNS})


def _as_dict(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row).__slots__}
