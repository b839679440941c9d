"""Score files in the layouts that the official evaluation packages read."""

from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from benchmark import finished
from benchmark.results import read_scores
from ingest.files import atomic
from ingest.types import DataError, nearest

LAYOUTS = ("asvspoof2019", "asvspoof2021", "asvspoof5", "ctrsvdd")
# The 2021 package ends itself unless every line of its key, in all phases, has a score.
WHOLE_KEY = {"asvspoof2021_la": 181_566, "asvspoof2021_df": 611_829}


def export(data: Path, run_id: str, layout: str, output: Path) -> list[str]:
    """Write the test scores of a run, each utterance once, sorted by file name; returns remarks.

    asvspoof2019: `file attack label score`; asvspoof2021 and ctrsvdd: `file score`; asvspoof5: the header
    `filename` TAB `cm-score`, then both. Raises DataError for an unknown run and for file names that two
    utterances share.
    """
    if layout not in LAYOUTS:
        raise nearest(layout, LAYOUTS, what="layout")
    table = read_scores(finished.folder(data, run_id) / "scores.parquet")
    table = table.filter(pc.equal(table["role"].cast(pa.string()), "test"))
    with duckdb.connect() as con:
        con.register("scores", table)
        rows = con.sql(
            "SELECT DISTINCT regexp_extract(utt_id, '[^/]*$') AS file, coalesce(attack, '-') AS attack, label, score, "
            "corpus FROM scores ORDER BY file, score"
        ).fetchall()
    files = [row[0] for row in rows]
    twice = next((a for a, b in pairwise(files) if a == b), None)
    if twice is not None:
        raise DataError(
            f"{run_id}: file name {twice} stands for two test utterances; this layout cannot tell them apart"
        )
    with atomic(output) as temporary:
        temporary.write_text("".join(_lines(rows, layout)), encoding="utf-8")
    wanted = {WHOLE_KEY[row[4]] for row in rows if row[4] in WHOLE_KEY}
    if layout == "asvspoof2021" and wanted and len(rows) < max(wanted):
        return [f"{len(rows)} scores; the official package wants all {max(wanted)} of its key, progress and hidden too"]
    return []


def _lines(rows: list[tuple], layout: str) -> list[str]:
    if layout == "asvspoof2019":
        return [f"{file} {attack} {label} {score!r}\n" for file, attack, label, score, _ in rows]
    if layout == "asvspoof5":
        return ["filename\tcm-score\n", *(f"{file}\t{score!r}\n" for file, _, _, score, _ in rows)]
    return [f"{file} {score!r}\n" for file, _, _, score, _ in rows]
