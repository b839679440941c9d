"""Two runs on the same trials: by how much their EERs differ, and whether these trials can tell them apart."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmark.bootstrap import paired_difference, usable_clusters
from benchmark.metrics import eer
from benchmark.results import read_scores
from benchmark.trained import run_folder
from ingest.types import DataError

KEYS = ("subset", "utt_id", "variant", "label")
COLUMNS = {
    "subset": pa.string(), "first_eer": pa.float64(), "second_eer": pa.float64(), "difference": pa.float64(),
    "ci_low": pa.float64(), "ci_high": pa.float64(), "p_first_better": pa.float64(), "ci_method": pa.string(),
    "n_bonafide": pa.int64(), "n_spoof": pa.int64(),
}  # fmt: skip


def compare(data: Path, first: str, second: str, *, replicates: int = 1000) -> tuple[pa.Table, list[str]]:
    """A row per test subset that both runs scored, and remarks on what only one of them has, which is left out.

    difference: EER of the first minus EER of the second, both official; its interval draws the same speakers (trials,
    where not every one has a speaker) for both. An interval that holds 0: these trials do not separate the two.
    Raises DataError for an unknown run, and for runs without a common subset of both classes.
    """
    tables = [_trials(run_folder(data, run) / "scores.parquet") for run in (first, second)]
    both = tables[0].join(tables[1].select([*KEYS, "score"]), list(KEYS), join_type="inner", right_suffix="_second")
    both = both.sort_by([(name, "ascending") for name in KEYS])
    rows, remarks = [], []
    for subset in sorted({word for table in tables for word in table["subset"].unique().to_pylist()}):
        part = both.filter(pc.equal(both["subset"], subset))
        left_out = [t.filter(pc.equal(t["subset"], subset)).num_rows - part.num_rows for t in tables]
        if any(left_out):
            remarks.append(
                f"{subset}: trials of one run only are left out ({left_out[0]} of first, {left_out[1]} of second)"
            )
        labels = part["label"].unique().to_pylist()
        if lacking := [said for said, word in (("bona fide", "bonafide"), ("spoof", "spoof")) if word not in labels]:
            remarks.append(
                f"{subset}: not compared, as no {' and no '.join(lacking)} trial of it was scored by both runs"
            )
        else:
            rows.append(_row(subset, part, replicates))
    if not rows:
        raise DataError(f"{first} and {second} scored no common test subset with bona fide and spoof trials")
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()}), remarks


def _trials(path: Path) -> pa.Table:
    """Test rows with words as strings: KEYS, score, speaker (with its corpus, NULL where unknown)."""
    table = read_scores(path)
    table = table.filter(pc.equal(table["role"].cast(pa.string()), "test"))

    def words(name: str, absent: str | None) -> pa.ChunkedArray | pa.Array:
        if name in table.column_names:
            return pc.fill_null(table[name].cast(pa.string()), absent) if absent else table[name].cast(pa.string())
        return pa.array([absent] * table.num_rows, pa.string())

    speaker = pc.binary_join_element_wise(words("corpus", "-"), words("speaker", None), "/")
    columns = {name: words(name, "-") for name in KEYS}
    return pa.table({**columns, "score": table["score"].cast(pa.float64()), "speaker": speaker})


def _row(subset: str, part: pa.Table, replicates: int) -> dict:
    genuine = np.array(part["label"].to_pylist()) == "bonafide"
    scores = [part[name].to_numpy() for name in ("score", "score_second")]
    first, second = ((values[genuine], values[~genuine]) for values in scores)
    names = np.array(part["speaker"].to_pylist(), object)
    speakers = (names[genuine], names[~genuine])
    if usable_clusters(speakers):
        speakers = tuple(np.unique(names.astype(str), return_inverse=True)[1][where] for where in (genuine, ~genuine))
    else:
        speakers = None
    rates = [eer(*values)[0] for values in (first, second)]
    found = paired_difference(first, second, clusters=speakers, replicates=replicates)
    return {
        "subset": subset, "first_eer": rates[0], "second_eer": rates[1], "difference": found.value,
        "ci_low": found.low, "ci_high": found.high, "p_first_better": found.p_first_better, "ci_method": found.method,
        "n_bonafide": int(genuine.sum()), "n_spoof": int((~genuine).sum()),
    }  # fmt: skip
