"""Stored features by utterance, and the rule that says when they may stand in for those computed on the fly.

A stored matrix was computed from a whole clip. It equals what the extractor gives a detector only where the
detector reads whole clips too, nothing was done to the wave before, and the clip shared its batch with clips of its
own length alone (padding changes the last frames). That is scoring by detectors of whole utterances (LFCC and
CQCC mixture models, LFCC-LCNN) and their training batches of one length; crops are computed. Bits must agree too, so
the extractor must take clips one by one, on one CPU thread, as they were computed.
"""

import io
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import duckdb
import numpy as np

from features import extractors
from features.compute import FORMAT, has_features, stored_key
from features.extractors import Extractor
from ingest import catalog
from shards.members import Members


class FeatureReader(Members):
    """The matrices of one stored feature: `FeatureReader(data, recipe.folder).matrix(utt_id)`.

    source: the DATA folder or an open connection to its catalog; feature: its name in the catalog.
    """

    kind, table, shards = "features", "feature_member", "feature_shard"
    fresh = f"""m.shard IN (
            SELECT f.shard FROM feature_shard f JOIN feature e USING (feature) JOIN shard a ON a.shard = f.audio_shard
            WHERE f.fingerprint = sha256('[{FORMAT}, "' || e.key || '", "' || a.sha256 || '"]')
        ) AND NOT EXISTS (
            FROM shard_member a JOIN measurement k USING (utt_id)
            WHERE a.utt_id = m.utt_id AND a.variant = m.variant AND md5_number_upper(k.audio_hash) <> a.source
        )"""  # compute.fingerprint() of the shard that is there, and of what was ingested last
    columns: ClassVar[dict[str, tuple[str, type]]] = {"frames": ("m.frames", np.int64)}

    def __init__(self, source: Path | str | duckdb.DuckDBPyConnection, feature: str):
        super().__init__(source)
        self.feature, self.only = feature, ("m.feature = ?", (feature,))
        self.command = f"python -m features {{corpus}} --feature {feature.rpartition('-')[0]}"

    def _making(self, corpus: str, variant: str) -> str:
        words = [self.command.format(corpus=corpus)]
        row = self._asked("SELECT name, params, dtype FROM feature WHERE feature = ?", [self.feature])
        if row is not None:
            usual = extractors.get(row[0]).params if row[0] != "ssl" else {}
            given = {key: value for key, value in json.loads(row[1]).items() if usual.get(key, ...) != value}
            words += [f"--set {shlex.quote(f'{key}={_word(value)}')}" for key, value in given.items()]
            words += [f"--dtype {row[2]}"] * (row[2] != "float32")
        return " ".join([*words, *([f"--variant {variant}"] if variant != "original" else [])])

    def matrix(self, utt_id: str, variant: str = "original") -> np.ndarray:
        """(frame, dim) of a whole clip, float32 whatever it is stored as.

        Raises DataError naming the shard and what to run if it is not there or damaged.
        """
        row = self._row(utt_id, variant)
        data = self._read(row, int(self._index["offset"][row]), int(self._index["size"][row]), utt_id)
        try:
            array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        except ValueError as error:
            raise self._broken(row, utt_id, f"is no array ({error})") from None
        if len(array) != self._index["frames"][row]:
            raise self._broken(row, utt_id, f"has {len(array)} frames, not {self._index['frames'][row]}")
        return array.astype(np.float32, copy=False)

    def frames(self, utt_id: str, variant: str = "original") -> int:
        """Frames of a clip, from the index alone."""
        row = self._row(utt_id, variant)
        return int(self._index["frames"][row])

    def batch(self, utt_ids: Sequence[str], variants: Sequence[str]) -> np.ndarray | None:
        """(batch, frame, dim) of clips of one length; None if their frames differ: compute that batch."""
        matrices = [self.matrix(*clip) for clip in zip(utt_ids, variants, strict=True)]
        return np.stack(matrices) if len({len(matrix) for matrix in matrices}) == 1 else None

    def holds(self, utt_ids: Sequence[str], variants: Sequence[str]) -> bool:
        """Whether every one of these clips is stored."""
        return all(self.has(*clip) for clip in zip(utt_ids, variants, strict=True))


def _word(value: object) -> str:
    """A value as --set takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def stored(
    data: Path, extractor: Extractor, utt_ids: Sequence[str], variants: Sequence[str], *,
    samples: int | None, changed: bool, device: str = "cpu", threads: int = 1,
) -> FeatureReader | None:  # fmt: skip
    """The stored features of these clips, if they are what `extractor` would give; else None: compute on the fly.

    samples: the detector's input length, None where it reads whole clips; changed: whether a wave is changed first
    (augmented, coded anew); threads: of the CPU, for an extractor that would compute. Only float32 counts.
    """
    if samples is not None or changed or not extractor.alone or device != "cpu" or threads != 1:
        return None
    feature = f"{extractor.name}-{stored_key(extractor.key, 'float32', device)[:8]}"
    with catalog.connect(Path(data) / "catalog.duckdb") as con:
        if not has_features(con) or not con.execute("SELECT 1 FROM feature WHERE feature = ?", [feature]).fetchone():
            return None
    reader = FeatureReader(data, feature)
    return reader if reader.holds(utt_ids, variants) else None
