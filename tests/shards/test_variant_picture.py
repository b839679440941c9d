"""The picture of the documentation: drawn from what the project makes, small enough to ship."""

import sys

import numpy as np
import pytest

from ingest.types import DataError
from shards import variant_picture


def test_the_picture_is_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(variant_picture, "WORDS", ("original", "mp3-32k", "speed-50", "white-10db", "alaw"))
    assert variant_picture.main([str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_matplotlib_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DataError, match="needs matplotlib"):
        variant_picture.picture(tmp_path / "x.png")


def test_the_shipped_picture_is_small():
    assert 50_000 < variant_picture.PAGE.stat().st_size < 400_000


def test_a_tone_stands_at_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)
    level = variant_picture.spectrogram_db(tone)
    assert level.shape == (201, 96) and set(level.argmax(0)) == {25} and level.max() == 0
