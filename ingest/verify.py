"""Look at the audio of a corpus again: what changed on disk, and what is wrong with what is there.

A file whose size and modification time are those of the catalog is not decoded again, unless asked. What is
found enters the catalog in one transaction, as a new ingest of those files would.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest import build, catalog, checks, corpora, parallel, scan, status, sweep
from ingest import rows as row_module
from ingest.files import lock
from ingest.types import Corpus, DataError

# extensions of a format -> its containers as libsndfile and FFmpeg call them
FORMATS = {
    (".wav",): ("WAV", "WAVEX", "RF64", "wav", "w64", "W64"), (".flac",): ("FLAC", "flac"),
    (".mp3",): ("MP3", "MPEG", "mp3"), (".ogg", ".oga", ".opus"): ("OGG", "ogg"),
}  # fmt: skip
SILENT_PEAK = 1e-3  # full scale = 1: 60 dB below
CANCELLED_DB = -80.0  # of the mean of the channels, re full scale
CLIPPED_SHARE = 1e-3
NARROW = 0.7  # of the Nyquist frequency, and
EDGE_DB = 36.0  # of fall within half an octave: 98 % of speech brought from 8 to 16 kHz, 1 % of other speech
NARROW_SHARE = 0.05  # fewer than this share of a group are no finding
COMMON_FORMATS = 0.5  # share of files of the rarer label that must have a format which the other label has too
WIDE_CODECS = ("none", "nocodec")  # other codec words explain a narrow band


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of thing that is wrong with a corpus."""

    kind: str
    count: int
    first: str
    cure: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one corpus: files seen, files decoded again, problems, and the files of no row."""

    corpus: str
    files: int
    decoded: int
    problems: tuple[Problem, ...]
    extra: int
    first_extra: str | None


def main(data: Path, names: Sequence[str], *, deep: bool, jobs: int | None, as_json: bool) -> int:
    """Verify the corpora (all if `names` is empty) and print the findings; returns 1 if there are any.

    Raises DataError at the end, after the findings of the others, for those that cannot be looked at.
    """
    with catalog.connect(Path(data) / "catalog.duckdb") as con:
        names = status.chosen(con, names)
    verdicts, refused = [], []
    for name in names:
        try:
            verdicts.append(verify(name, Path(data), deep=deep, jobs=jobs))
        except DataError as error:
            if len(names) == 1:
                raise
            refused.append(str(error))
    bad = any(verdict.problems for verdict in verdicts)
    if as_json:
        told = {"ok": not (bad or refused), "corpora": [asdict(verdict) for verdict in verdicts]}
        print(json.dumps(told, indent=2))
    else:
        for verdict in verdicts:
            said = f"problems: {len(verdict.problems)}" if verdict.problems else "nothing wrong"
            print(f"{verdict.corpus}: {verdict.files} files, {verdict.decoded} decoded, {said}")
            for one in verdict.problems:
                print(f"  {one.kind}: {one.count} (first: {one.first}); {one.cure}")
            if verdict.extra:
                print(f"  extra: {verdict.extra} (first: {verdict.first_extra}); no rows: ingest again if they are due")
    if refused:
        raise DataError(f"{len(refused)} of {len(names)} corpora not verified: {'; '.join(refused)}")
    return int(bad)


def verify(name: str, data: Path, *, deep: bool = False, jobs: int | None = None) -> Verdict:
    """Look at the files of one corpus of the catalog again; deep: decode them all.

    Raises DataError if the folder of the corpus is not there, say because a disk is not mounted, or its parser is gone.
    """
    if name not in corpora.names():
        raise DataError(f"{name}: ingest/corpora/{name}.py, its parser, is not there; put it back")
    corpus = corpora.get(name).corpus
    with lock(data / "ingest" / f"{name}.lock"):
        with catalog.connect(data / "catalog.duckdb") as con:
            roots = _roots(con, name)
            known = _known(con, name)
        places = {place: Path(folder) for place, folder in roots.items() if place is not None}
        root = Path(roots[None])
        files = scan.index(root, corpus.audio, places)
        due = _due(known, corpora.get(name), root, places)
        matched = scan.match(due, files, corpus)
        present = matched.file >= 0
        stale = _stale(known, files, matched, deep=deep)
        again = files.take(matched.file[stale])
        again = again.append_column("file", build.absolute(again, roots))
        swept = sweep.sweep(again, data / "ingest" / name, jobs=jobs or parallel.cores(), what=f"{name}: verify")
        gone = ~present & known["audio_present"].to_numpy(zero_copy_only=False).astype(bool)
        changed = _changed(known, stale, again, swept) if stale.any() else []
        if stale.any() or gone.any():
            _update(data, corpus, root, known, due, matched, stale, gone, again, swept)
        extra = files.take(matched.extra)["path"].to_pylist()
        _keep_extra(data, corpus, extra)
        sweep.forget(data / "ingest" / name)
    with catalog.connect(data / "catalog.duckdb") as con:
        found = [*problems(con, corpus), *changed]
    return Verdict(name, int(present.sum()), swept.num_rows, tuple(found), len(extra), extra[0] if extra else None)


def problems(con: duckdb.DuckDBPyConnection, corpus: Corpus) -> list[Problem]:
    """What the catalog knows to be wrong with the audio of a corpus, one entry per kind."""
    name = corpus.name
    again = "fetch these files again, then: python -m ingest verify"
    found = [
        _counted(con, name, "missing", "audio_status = 'missing'", "python -m ingest status names the archives"),
        _counted(con, name, "truncated", "fault LIKE 'truncated%'", again),
        _counted(con, name, "unreadable", "audio_status = 'corrupt' AND fault NOT LIKE 'truncated%'", again),
        *_wrong_rates(con, corpus),
        _counted(con, name, "silent", f"peak < {SILENT_PEAK}", "listen to them; fetch them again if they should speak"),
        _counted(
            con, name, "cancelled", f"channels > 1 AND peak >= {SILENT_PEAK} AND loudness_db < {CANCELLED_DB}",
            "their channels are the same but for the sign, and the mean of them, which is what detectors hear, is "
            "silent: fetch them again, or keep one channel",
        ),
        _counted(
            con, name, "clipped", f"clipped_share > {CLIPPED_SHARE}",
            "samples at full scale: compare with the published file; a conversion may have raised the level",
        ),
        _counted(
            con, name, "other_format", _other_format(),
            "the name says another format than the content has (it is decoded as what it is): these files were "
            "converted or renamed; take the originals",
        ),
        _duplicates(con, name),
        *_narrow(con, name),
        *_formats(con, name),
    ]  # fmt: skip
    return [one for one in found if one is not None]


def _roots(con: duckdb.DuckDBPyConnection, name: str) -> dict[str | None, str]:
    (root,) = con.execute("SELECT root FROM corpus WHERE corpus = ?", [name]).fetchone()
    places = con.execute("SELECT place, root FROM place WHERE corpus = ?", [name]).fetchall()
    for folder in (root, *(place for _, place in places)):
        if not os.path.isdir(folder):
            raise DataError(f"{name}: {folder} is not there; mount the disk, or ingest from where it lies now")
    return {None: root, **dict(places)}


def _known(con: duckdb.DuckDBPyConnection, name: str) -> pa.Table:
    columns = ", ".join(f'u."{column}"' for column in row_module.UTTERANCE_COLUMNS)
    return con.execute(
        f"SELECT {columns}, m.size_bytes, m.mtime_ns, m.audio_hash FROM utterance u "
        "LEFT JOIN measurement m USING (utt_id) WHERE u.corpus = ? ORDER BY u.utt_id",
        [name],
    ).to_arrow_table()


def _due(known: pa.Table, source: corpora.Source, root: Path, places: Mapping[str, Path]) -> pa.Table:
    """The rows with the paths at which a new ingest would look for their files, where its lists still tell them."""
    try:
        listed = pa.concat_tables(
            pa.table({name: pc.cast(table[name], pa.string()) for name in ("utt_id", "path")})
            for table in source.tables(root, places)
        )
    except DataError:
        return known
    where = pc.index_in(known["utt_id"], value_set=listed["utt_id"].combine_chunks())
    path = pc.coalesce(pc.take(listed["path"], where), known["path"])
    return known.set_column(known.column_names.index("path"), "path", path)


def _stale(known: pa.Table, files: pa.Table, matched: scan.Match, *, deep: bool) -> np.ndarray:
    """Which rows have a file that must be decoded: all with deep, else those that the catalog does not know so."""
    present = matched.file >= 0
    if deep or not files.num_rows:
        return present
    file = np.where(present, matched.file, 0)
    same = present.copy()
    for name in ("size_bytes", "mtime_ns"):
        before = pc.fill_null(known[name], -1).to_numpy()
        same &= files[name].to_numpy()[file] == before
    here = pc.equal(files["path"].take(file), known["path"]).to_numpy(zero_copy_only=False)
    return present & ~(same & here.astype(bool))  # a renamed file keeps its size and time


def _update(
    data: Path, corpus: Corpus, root: Path, known: pa.Table, due: pa.Table, matched: scan.Match,
    stale: np.ndarray, gone: np.ndarray, again: pa.Table, swept: pa.Table,
) -> None:  # fmt: skip
    """Store what was measured again and what is gone, as a new ingest of those files would."""
    old = known.filter(pa.array(stale)).select(["utt_id", "corpus"])
    where = pc.index_in(again["file"], value_set=swept["file"].combine_chunks()).combine_chunks()
    rows = swept.take(where)
    fresh = pa.table(
        {
            "utt_id": old["utt_id"], "path": again["path"],
            "audio_status": pc.if_else(pc.is_valid(rows["fault"]), "corrupt", "ok"),
            **{name: rows[name] for name in build.TO_UTTERANCE},
        }
    )  # fmt: skip
    measurements = pa.table(
        {"utt_id": old["utt_id"], "corpus": old["corpus"], **{name: rows[name] for name in build.MEASURED}}
    )
    lost = due.filter(pa.array(gone)).select(["utt_id", "path"])
    before = known.filter(pa.array(stale | gone)).select(["path"])
    absent = checks.missing(due, matched.file >= 0, corpus)
    noticed = build.findings(
        corpus, [*build.missing_findings(absent), *build.corrupt_findings(again["path"], rows["fault"])]
    )
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("BEGIN")
        con.register("again", fresh)
        con.register("lost", lost)
        con.register("before", before)
        con.execute(
            "UPDATE utterance SET audio_present = true, path = again.path, audio_status = again.audio_status, "
            "duration_s = again.duration_s, rate_hz = again.rate_hz, channels = again.channels "
            "FROM again WHERE utterance.utt_id = again.utt_id"
        )
        con.execute(
            "UPDATE utterance SET audio_present = false, audio_status = 'missing', path = lost.path, "
            "duration_s = NULL, rate_hz = NULL, channels = NULL FROM lost WHERE utterance.utt_id = lost.utt_id"
        )
        con.execute("DELETE FROM measurement WHERE utt_id IN (SELECT utt_id FROM lost)")
        con.register("measured", measurements)
        con.execute("INSERT OR REPLACE INTO measurement BY NAME SELECT * FROM measured")
        con.execute(
            "DELETE FROM finding WHERE corpus = ? AND (kind = 'missing' OR kind = 'corrupt' AND (path IN "
            "(SELECT path FROM again) OR path IN (SELECT path FROM before)))",
            [corpus.name],
        )
        build.insert(con, "finding", noticed)
        _restate(con, corpus, root)
        con.execute("COMMIT")


def _restate(con: duckdb.DuckDBPyConnection, corpus: Corpus, root: Path) -> None:
    """Bring what table `corpus` says of the rows, whether they are partial and their fingerprint, up to date."""
    short = con.execute(
        "SELECT EXISTS (FROM utterance WHERE corpus = $1 AND audio_status <> 'ok') OR "
        "EXISTS (FROM expected_count WHERE corpus = $1 AND grade <> 'U' AND expected <> found)",
        [corpus.name],
    ).fetchone()[0]
    columns = ", ".join(f'"{name}"' for name in row_module.UTTERANCE_COLUMNS)
    utterances = con.execute(f"SELECT {columns} FROM utterance WHERE corpus = ?", [corpus.name]).to_arrow_table()
    con.execute(
        "UPDATE corpus SET partial = ?, fingerprint = ? WHERE corpus = ?",
        [short or _lacks_more(con, corpora.get(corpus.name), root), build.fingerprint(utterances), corpus.name],
    )


def _lacks_more(con: duckdb.DuckDBPyConnection, source: corpora.Source, root: Path) -> bool:
    """Whether the copy lacks what no row tells: songs, verification scores."""
    (simulated,) = con.execute("SELECT simulated FROM corpus WHERE corpus = ?", [source.corpus.name]).fetchone()
    if simulated:
        return False
    return bool(checks.asv_faults(source.asv_scores(root), source.asv_counts)) or source.incomplete(root)


def _keep_extra(data: Path, corpus: Corpus, paths: Sequence[str]) -> None:
    """Let the catalog know the files of no row as they are now, where they are not as they were."""
    known = "SELECT path FROM finding WHERE corpus = ? AND kind = 'extra' ORDER BY rowid"
    with catalog.connect(data / "catalog.duckdb") as con:
        before = [path for (path,) in con.execute(known, [corpus.name]).fetchall()]
    if before != paths:
        with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
            con.execute("BEGIN")
            con.execute("DELETE FROM finding WHERE corpus = ? AND kind = 'extra'", [corpus.name])
            build.insert(con, "finding", build.findings(corpus, build.extra_findings(paths)))
            con.execute("COMMIT")


def _changed(known: pa.Table, stale: np.ndarray, again: pa.Table, swept: pa.Table) -> list[Problem]:
    """Files with other samples than the catalog had of them: replaced, or with the size and time of before, which a
    failing disk or a hidden edit leaves."""
    before = known.filter(pa.array(stale))
    now = swept.take(pc.index_in(again["file"], value_set=swept["file"].combine_chunks()).combine_chunks())
    same = pc.fill_null(pc.and_(*(pc.equal(before[name], now[name]) for name in ("size_bytes", "mtime_ns"))), False)
    other = pc.not_equal(before["audio_hash"], now["audio_hash"])  # null where one of them does not decode
    unseen = pc.and_(same, pc.not_equal(before["audio_hash"], pc.fill_null(now["audio_hash"], "none")))
    found = [
        ("changed", pc.and_(pc.invert(same), other),
         "other samples than before, which the catalog has now: fetch the files again if that was not meant, else make "
         "the shards anew"),
        ("changed_unseen", unseen,
         "the samples changed, size and time did not: check the disk and fetch the files again"),
    ]  # fmt: skip
    paths = {kind: again.filter(pc.fill_null(which, False))["path"] for kind, which, _ in found}
    return [
        Problem(kind, len(paths[kind]), pc.min(paths[kind]).as_py(), cure)
        for kind, _, cure in found
        if len(paths[kind])
    ]


def _wrong_rates(con: duckdb.DuckDBPyConnection, corpus: Corpus) -> list[Problem | None]:
    """Files of another rate than they are published at, per published rate."""
    rates = {"true": corpus.rate_hz} if corpus.rate_hz else corpus.rates
    return [
        _counted(
            con, corpus.name, "wrong_rate", f"rate_hz <> {rate_hz} AND ({which})",
            f"they are published at {rate_hz} Hz: these files were converted; take the originals",
        )
        for which, rate_hz in rates.items()
    ]  # fmt: skip


def _counted(con: duckdb.DuckDBPyConnection, name: str, kind: str, condition: str, cure: str) -> Problem | None:
    count, first = con.execute(
        "SELECT count(*), min(path) FROM (SELECT u.path, u.label, u.attack, u.language, u.audio_status, "
        r"u.rate_hz, u.channels, m.*, lower(regexp_extract(u.path, '\.[^./]*$')) AS suffix, "
        "coalesce(f.detail, '') AS fault FROM utterance u LEFT JOIN measurement m USING (utt_id) "
        "LEFT JOIN finding f ON f.corpus = u.corpus AND f.kind = 'corrupt' AND f.path = u.path "
        f"WHERE u.corpus = ?) WHERE {condition}",
        [name],
    ).fetchone()
    return Problem(kind, count, first, cure) if count else None


def _other_format() -> str:
    """SQL: the container is none of those that the extension of the path stands for."""
    known = " ".join(
        f"WHEN suffix IN ({_words(suffixes)}) THEN container NOT IN ({_words(containers)})"
        for suffixes, containers in FORMATS.items()
    )
    return f"CASE {known} ELSE false END"


def _words(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _duplicates(con: duckdb.DuckDBPyConnection, name: str) -> Problem | None:
    groups = con.execute(
        "SELECT list(path ORDER BY path), count(DISTINCT label) FROM utterance JOIN measurement m USING (utt_id) "
        "WHERE m.corpus = ? AND audio_hash IS NOT NULL GROUP BY audio_hash HAVING count(*) > 1 ORDER BY min(path)",
        [name],
    ).fetchall()
    if not groups:
        return None
    both = sum(labels > 1 for _, labels in groups)
    more = f", {both} of them under both labels" if both else ""
    copies = sum(len(paths) - 1 for paths, _ in groups)
    return Problem(
        "duplicate_audio", copies, " = ".join(groups[0][0][:2]),
        f"the same samples under several names ({len(groups)} recordings{more}): compare with the published files",
    )  # fmt: skip


def _narrow(con: duckdb.DuckDBPyConnection, name: str) -> list[Problem]:
    """Material whose band ends in an edge far below half its rate, as upsampled material does."""
    groups = con.execute(f"""
        SELECT "partition", label, count(*) FILTER (narrow), count(*), min(path) FILTER (narrow) FROM (
            SELECT "partition", label, path, bandwidth_hz < {NARROW} * rate_hz / 2 AND edge_db > {EDGE_DB}
                   AS narrow
            FROM utterance JOIN measurement m USING (utt_id)
            WHERE m.corpus = ? AND audio_status = 'ok' AND (codec IS NULL OR codec IN ({_words(WIDE_CODECS)})))
        GROUP BY ALL HAVING count(*) FILTER (narrow) >= greatest(2, {NARROW_SHARE} * count(*)) ORDER BY ALL
    """, [name]).fetchall()  # fmt: skip
    return [
        Problem(
            "narrow_band", count, first,
            f"{count} of {total} {' '.join(word for word in (partition, label) if word)} files have nothing above "
            f"{NARROW:.0%} of half their rate: upsampled or low-passed material; take the published files",
        )
        for partition, label, count, total, first in groups
    ]  # fmt: skip


def _formats(con: duckdb.DuckDBPyConnection, name: str) -> list[Problem]:
    """Rate, bit depth or channels that tell the labels of a partition apart."""
    found = con.execute("""
        WITH f AS (SELECT coalesce("partition", 'all') AS part, label, path,
                          concat(rate_hz, ' Hz ', container, ' ', subtype, ' ', channels, ' channels') AS format
                   FROM utterance JOIN measurement m USING (utt_id) WHERE m.corpus = ? AND audio_status = 'ok'),
             n AS (SELECT part, label, format, count(*) / sum(count(*)) OVER (PARTITION BY part, label) AS share
                   FROM f GROUP BY part, label, format),
             b AS (FROM n WHERE label = 'bonafide'), s AS (FROM n WHERE label = 'spoof')
        SELECT coalesce(b.part, s.part) AS part, sum(least(coalesce(b.share, 0), coalesce(s.share, 0))) AS common,
               arg_max(coalesce(b.format, s.format), coalesce(b.share, 0)) AS genuine,
               arg_max(coalesce(s.format, b.format), coalesce(s.share, 0)) AS made
        FROM b FULL JOIN s ON b.part = s.part AND b.format = s.format
        GROUP BY 1 HAVING sum(coalesce(b.share, 0)) > 0 AND sum(coalesce(s.share, 0)) > 0 ORDER BY 1
    """, [name]).fetchall()  # fmt: skip
    return [
        Problem(
            "format_tells_label", 1, part,
            f"{1 - common:.0%} of the files have a format that the other label lacks (bona fide {genuine}, spoof "
            f"{made}): one label was converted; take the published files",
        )
        for part, common, genuine, made in found
        if common < COMMON_FORMATS
    ]  # fmt: skip
