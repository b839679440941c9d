"""Multiply-accumulates against the references' own counts (golden_summary.json) and the comparison paper's table."""

import pytest

from benchmark.detectors._macs import macs

# detector, settings, samples; model and key of the golden summary; front-end and head products counted there, not here
COUNTS = [
    ("aasist", {}, 64_600, "AASIST", "macs_64600", 0),
    ("aasist", {}, 48_000, "AASIST", "macs_48000", 0),
    ("aasist_l", {}, 64_600, "AASIST-L", "macs_64600", 0),
    ("rawnet2", {}, 64_600, "RawNet2", "macs_64600", 0),
    ("rawnet2", {}, 48_000, "RawNet2", "macs_48000", 0),
    ("rawnet2_voc", {}, 64_000, "RawNet2-Voc", "macs_96000", 0),
    ("rawgat_st", {}, 64_600, "RawGAT-ST-mul", "macs_64600", 0),
    ("rawgat_st", {"fusion": "cat"}, 64_600, "RawGAT-ST-cat", "macs_64600", 0),
    ("rawgat_st", {"layout": "clovaai"}, 64_600, "RawGAT-ST-clovaai", "macs_64600", 0),
    ("rawgat_st_s", {}, 48_000, "RawGAT-ST-S", "macs_48000", 0),
    ("rawnet2_s", {}, 48_000, "RawNet2-S", "macs_48000", 0),
    ("rawnet2_voc_s", {}, 48_000, "RawNet2-Voc-S", "macs_48000", 7 * 1024),  # the vocoder head
    ("lfcc_lcnn_s", {}, 48_000, "LCNN-S", "macs_48000", 0),
    ("lfcc_lcnn", {}, 64_600, "LFCC-LCNN-2021", "macs_64600_without_lstm", 404 * (256 * 20 + 20 * 20)),
    ("asdg", {}, 48_000, "ASDG-S", "macs_48000", 301 * (201 * 128 + 128 * 80)),
]


@pytest.mark.parametrize(("name", "config", "samples", "model", "key", "outside"), COUNTS)
def test_counts_are_the_references(golden, name, config, samples, model, key, outside):
    assert macs(name, samples=samples, **config) == golden.summary[model][key] - outside


def test_the_comparison_papers_table():
    """Table IX in units of 10^9: LCNN 0.25, RawGAT 13.68, AASIST 7.10."""
    counts = [macs("lfcc_lcnn_s"), macs("rawgat_st_s"), macs("aasist", samples=48_000, outputs=1)]
    assert [count / 1e9 for count in counts] == pytest.approx([0.25, 13.68, 7.10], abs=0.006)
