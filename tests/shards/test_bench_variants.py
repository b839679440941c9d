"""The bench of variants runs and gives complete rows; what it measures is for a quiet machine."""

from shards import bench_variants, variants


def test_every_row_is_complete(monkeypatch):
    monkeypatch.setattr(bench_variants, "CLIPS", 4)
    monkeypatch.setattr(bench_variants, "SECONDS", 1)
    monkeypatch.setattr(bench_variants, "ROUNDS", 1)
    rows = bench_variants.rows()
    assert len(rows) == 3
    for row in rows:
        assert (
            set(row) == {"name", "value", "unit", "limit", "ratio", "reach"} and row["value"] > 0 and row["limit"] > 0
        )


def test_the_words_are_variants():
    assert all(variants.parse(word) for word in bench_variants.PROGRAM)
