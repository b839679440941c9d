"""Model cards and datasheets, from SQL: python -m reports card RUN, python -m reports datasheet.

The datasheet's questions follow Gebru et al., Datasheets for Datasets, 2018: what a catalog holds, from where, under
which licence, how it divides, and what ingest found wrong with it.
"""

from pathlib import Path

import duckdb

from benchmark import card, trained
from ingest import catalog
from ingest.types import DataError, nearest

_CORPORA = """
    SELECT c.title AS corpus, c.licence, c.domain, count(u.utt_id) AS utterances,
           count(u.utt_id) FILTER (u.audio_status = 'ok') AS "with audio",
           round(sum(u.duration_s) FILTER (u.audio_status = 'ok') / 3600, 2) AS hours,
           CASE WHEN c.simulated THEN 'simulated' WHEN c.partial THEN 'partial' ELSE 'complete' END AS state
    FROM corpus c LEFT JOIN utterance u USING (corpus) WHERE c.corpus IN (FROM unnest($corpora))
    GROUP BY ALL ORDER BY c.title"""
_COUNTS = """
    SELECT coalesce("partition", '(none)') AS "partition", label, count(*) AS utterances,
           nullif(count(DISTINCT speaker), 0) AS speakers, nullif(count(DISTINCT attack), 0) AS attacks,
           round(median(duration_s), 2) AS "median s", round(max(duration_s), 1) AS "longest s"
    FROM utterance WHERE corpus = $corpus GROUP BY ALL ORDER BY ALL"""
_BY = """
    SELECT coalesce({factor}::VARCHAR, CASE WHEN '{factor}' = 'attack' AND label = 'bonafide' THEN '(bona fide)'
                                            ELSE '(not given)' END) AS "{factor}",
           count(*) FILTER (label = 'bonafide') AS "bona fide",
           count(*) FILTER (label = 'spoof') AS spoof, count(*) FILTER (label = 'unknown') AS unknown
    FROM utterance WHERE corpus = $corpus GROUP BY ALL ORDER BY ALL LIMIT 60"""
_FINDINGS = """
    SELECT kind, count(*) AS count, min(detail) AS first
    FROM finding WHERE corpus = $corpus GROUP BY kind ORDER BY kind"""
_EXPECTED = """
    SELECT coalesce("partition", '(all)') AS "partition", label, sum(expected)::BIGINT AS published,
           sum(found)::BIGINT AS found
    FROM expected_count WHERE corpus = $corpus AND group_column IS NULL AND expected <> found
    GROUP BY ALL ORDER BY ALL"""
FACTORS = ("language", "gender", "attack", "codec", "rate_hz", "channels")


def model(data: Path, run: str) -> str:
    """The model card of a finished run, as Markdown. Raises DataError for an unknown run or one without a detector."""
    return card.model(trained.run_folder(data, run).parents[1], trained.from_run(data, run))


def datasheet(data: Path, only: list[str] | None = None) -> str:
    """The datasheet of DATA's catalog, or of some of its corpora, as Markdown. Raises DataError for an unknown one."""
    with catalog.connect(data / "catalog.duckdb") as con:
        known = [name for (name,) in con.execute("SELECT corpus FROM corpus ORDER BY corpus").fetchall()]
        for name in only or ():
            if name not in known:
                raise nearest(name, known, what="corpus in the catalog")
        if not known:
            raise DataError(f"{data / 'catalog.duckdb'} holds no corpus; run: python -m ingest CORPUS --root DIR")
        chosen = [name for name in known if not only or name in only]
        parts = [_HEAD, f"## Corpora\n\n{_table(con, _CORPORA, {'corpora': chosen})}"]
        parts += [_corpus(con, name) for name in chosen]
    return "\n\n".join(parts) + "\n"


def _corpus(con: duckdb.DuckDBPyConnection, name: str) -> str:
    title, licence, citation, fingerprint = con.execute(
        "SELECT title, licence, citation, fingerprint FROM corpus WHERE corpus = ?", [name]
    ).fetchone()
    values = {"corpus": name}
    parts = [f"## {title}\n\nLicence: {licence}. Cite: {citation}. Fingerprint of its rows: `{fingerprint}`.",
             f"### Composition\n\n{_table(con, _COUNTS, values)}"]  # fmt: skip
    absent = []
    for factor in FACTORS:
        levels = con.execute(f"SELECT count(DISTINCT {factor}) FROM utterance WHERE corpus = ?", [name]).fetchone()[0]
        if levels:
            parts.append(f"### By {factor}\n\n{_table(con, _BY.format(factor=factor), values)}")
        else:
            absent.append(factor)
    if absent:
        parts.append(f"Not given by this corpus: {', '.join(absent)}.")
    wrong = _table(con, _EXPECTED, values)
    parts.append("### Against the published counts\n\n" + (wrong or "Every published count that was checked is met."))
    found = _table(con, _FINDINGS, values)
    parts.append("### What ingest noticed\n\n" + (found or "Nothing."))
    return "\n\n".join(parts)


def _table(con: duckdb.DuckDBPyConnection, query: str, values: dict) -> str:
    found = con.execute(query, values)
    names, rows = [column[0] for column in found.description], found.fetchall()
    return card.table(names, rows) if rows else ""


_HEAD = (
    "# Datasheet\n\n"
    "What this catalog holds, by its own tables. The audio is that of the corpora as their authors published it; Siren "
    "changes and redistributes none of it. Labels are the published ones; what they do not say is not guessed. The "
    "licences bind whoever uses the audio or a detector trained on it. People speak in these recordings: speakers are "
    "pseudonyms where the corpus gives them so, and nobody may be identified from them."
)
