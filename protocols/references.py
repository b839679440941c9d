"""The second utterance of a trial (reference-augmented training): seeded, so that a run can be repeated.

Drawn by md5 of the trial's utterance and a seed from the bona fide clips of the same speaker, corpus and
partition, never the trial itself; evaluation references are therefore an oracle enrolment.
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from protocols.statements import statements
from protocols.types import Reference


def add_reference(
    con: duckdb.DuckDBPyConnection, rows: pa.Table, reference: Reference | None, *,
    seed: int = 0, enrolled: Mapping[str, pa.Table] | None = None,
) -> pa.Table:  # fmt: skip
    """Append columns `reference` (an utt_id or NULL) and `reference_mode` to rows that have utt_id, corpus,
    speaker and partition. `seed` is added to the protocol's own: another seed, another draw.

    NULL where the mode is `zero` and where the speaker has no other bona fide clip (score those with a zero
    reference). Degraded modes name the clip that the reader then degrades.
    """
    mode = None if reference is None else reference.mode
    if mode in (None, "zero"):
        drawn = pa.nulls(len(rows), pa.string())
    else:
        drawn = _draw(con, rows, reference, seed, enrolled or {})
    modes = pa.repeat(pa.scalar(mode, pa.string()), len(rows))
    return rows.append_column("reference", drawn).append_column("reference_mode", modes)


def _draw(
    con: duckdb.DuckDBPyConnection, rows: pa.Table, reference: Reference, seed: int,
    enrolled: Mapping[str, pa.Table],
) -> pa.ChunkedArray:  # fmt: skip
    keys = rows.select(["utt_id", "corpus", "speaker", "partition"])
    con.register("trial", keys.append_column("row", pa.array(range(len(rows)), pa.int64())))
    name = {"mismatch": "other_speaker", "enrolled": "enrolled"}.get(reference.mode, "same_speaker")
    if name == "enrolled":
        con.register("enrolment", enrolled[reference.list])
    drawn = con.execute(statements()[name], {"seed": f"{reference.seed}:{seed}"}).to_arrow_table()
    return drawn["reference"]
