"""Which clips a shard takes, and in which order."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import small_corpus

from ingest import catalog
from shards import writer
from shards.tar import END_BYTES


@pytest.mark.parametrize("seed", range(6))
def test_a_shard_takes_clips_until_the_next_would_be_too_much(seed):
    """Against a loop over the clips, one at a time: sizes of 0.1 to 1.3 shards, groups of 1 to 60 clips."""
    random, limit = np.random.default_rng(seed), 10_000
    group = np.repeat(np.arange(12), random.integers(1, 60, 12))
    sizes = random.integers(1000, 13_000, group.size)
    table = pa.table({"language_group": [f"l{g // 4}" for g in group], "attack_group": [f"a{g % 4}" for g in group]})
    taken = None if seed % 2 else np.flatnonzero(random.random(group.size) < 0.6).astype(np.uint32)
    expected, filled = [], None
    for place, row in enumerate(range(group.size) if taken is None else taken):
        key = (f"l{group[row] // 4}", f"a{group[row] % 4}")
        same = expected and tuple(expected[-1][:2]) == key
        if not same or filled + sizes[row] > limit:
            expected.append([*key, expected[-1][2] + 1 if same else 0, place, place])
            filled = END_BYTES
        filled += sizes[row]
        expected[-1][4] = place + 1
    plan = writer.planned("tiny", table, sizes, audio_codec="pcm", max_bytes=limit, taken=taken)
    assert [list(span) for span in plan.spans] == expected and len(expected) > 12


def test_clips_are_planned_by_language_attack_and_id_as_their_bytes_sort(tmp_path):
    stems = ["b", "B", "a_b", "a-b", "a", "é", "e", "z", "10", "9"]
    rows = [
        (stem, "spoof" if i % 3 else "bonafide", ["A07", "a07"][i % 2] if i % 3 else None, [None, "zh", "en"][i % 3], 16000, "WAV")
        for i, stem in enumerate(stems)
    ]  # fmt: skip
    with catalog.connect(small_corpus.build(tmp_path, rows=rows) / "catalog.duckdb") as con:
        table = writer.clips(con, "tiny")
        assert con.execute("SELECT current_setting('disabled_optimizers')").fetchone() == ("",)
    found = list(zip(*(table[name].to_pylist() for name in ("language_group", "attack_group", "utt_id"))))
    assert len(found) == len(stems) and found == sorted(found, key=lambda row: [word.encode() for word in row])
    assert table["audio_hash"].to_pylist() == [
        hashlib.md5(Path(file).read_bytes()).hexdigest() for file in table["file"].to_pylist()
    ]
