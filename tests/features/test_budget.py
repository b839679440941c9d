"""The cost of a feature before it is computed."""

import pytest

from features import budget, extractors


@pytest.mark.parametrize("clip_s", [0.5, 200])
def test_pooled_embeddings_take_the_same_for_clips_of_any_length(clip_s):
    """They were counted by the second: those of songs at fifty times their bytes."""
    extractor = extractors.get("ssl", weights="random", pool="mean_std")
    found = budget.cost(extractor, "ssl", 100 * clip_s, 100)
    assert found.size_bytes == 100 * (4 * extractor.dim + 2560)
    assert found.half_bytes == 100 * (2 * extractor.dim + 2560)  # the tar's headers are none the smaller


def test_bytes_of_frames_grow_with_the_clips():
    short, long = (budget.cost(extractors.get("logmel"), "logmel", 100 * s, 100).size_bytes for s in (4, 8))
    assert long - short == pytest.approx(100 * 4 * 100 * 4 * 80, rel=0.01)
