"""The benches run and give complete rows; what they measure is for a quiet machine."""

import math

import features.bench
import shards.bench


def uncompiled(*given, **_):
    """A decorator of numba, with or without arguments, that leaves the function as it is."""
    return given[0] if given and callable(given[0]) else lambda function: function


def check(rows):
    assert rows
    for row in rows:
        assert set(row) == {"name", "value", "unit", "limit", "ratio", "reach"}
        assert row["value"] > 0 and row["limit"] > 0 and math.isfinite(row["value"] / row["limit"])


def test_shards(monkeypatch):
    monkeypatch.setattr(shards.bench, "CLIPS", 4)
    monkeypatch.setattr(shards.bench, "SPANS", 10)
    monkeypatch.setattr(shards.bench, "ROUNDS", 1)
    check(shards.bench.rows())


def test_features(monkeypatch):
    import numba

    # librosa has a dozen functions compiled when it is imported first, 20 s in a new environment; none is called here
    for name in ("guvectorize", "jit", "stencil", "vectorize"):
        monkeypatch.setattr(numba, name, uncompiled)
    monkeypatch.setattr(features.bench, "CLIPS", 2)
    monkeypatch.setattr(features.bench, "ROUNDS", 1)
    rows = features.bench.rows()
    check(rows)
    assert {row["name"].split(",")[0] for row in rows} == {
        "logspec", "logmel", "mfcc", "lfcc of lcnn_s", "lfcc of ctrsvdd", "lfcc of lcnn2021",
    }  # fmt: skip
