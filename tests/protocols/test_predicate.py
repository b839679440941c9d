"""Conditions of protocols: which corpora they ask for."""

import pytest

from protocols import predicate


@pytest.mark.parametrize(("text", "wanted", "refused"), [
    ("corpus = 'decro' AND fold < 0.5", {"decro"}, set()),
    ("corpus IN ('decro', NULL) OR corpus = 'wavefake'", {"decro", "wavefake"}, set()),
    ("corpus <> 'decro' AND label = 'spoof'", set(), {"decro"}),
    ("NOT (corpus = 'decro')", set(), {"decro"}),  # which DuckDB reads as <>
    ("corpus = NULL", set(), set()),
    ("corpus <> NULL AND fold < NULL", set(), set()),
    ("NULL IS NOT NULL AND attack BETWEEN NULL AND 'b'", set(), set()),
])  # fmt: skip
def test_the_corpora_of_a_condition(text, wanted, refused):
    """A comparison with NULL holds for no row and asks for nothing."""
    assert predicate.check(text, "a test") == (wanted, refused)
