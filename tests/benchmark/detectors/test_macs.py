"""Multiply-accumulates against the references' own counts (golden_summary.json) and the comparison paper's table."""

import pytest

from benchmark.detectors._macs import macs

# detector, settings, samples; model and key of the golden summary; products counted there, not here
COUNTS = [
    ("aasist", {}, 64_600, "AASIST", "macs_64600", 0),
    ("aasist", {}, 48_000, "AASIST", "macs_48000", 0),
    ("aasist_l", {}, 64_600, "AASIST-L", "macs_64600", 0),
    ("aasist_l", {}, 48_000, "AASIST-L", "macs_48000", 0),
    ("rawnet2", {}, 64_600, "RawNet2", "macs_64600", 0),
    ("rawnet2", {}, 48_000, "RawNet2", "macs_48000", 0),
    ("rawnet2_voc", {}, 64_000, "RawNet2-Voc", "macs_96000", 0),
    ("rawgat_st", {"fusion": "add"}, 64_600, "RawGAT-ST-add", "macs_64600", 0),
    ("rawgat_st", {}, 64_600, "RawGAT-ST-mul", "macs_64600", 0),
    ("rawgat_st", {"fusion": "cat"}, 64_600, "RawGAT-ST-cat", "macs_64600", 0),
    ("rawgat_st", {"layout": "clovaai"}, 64_600, "RawGAT-ST-clovaai", "macs_64600", 0),
    ("rawgat_st_s", {}, 48_000, "RawGAT-ST-S", "macs_48000", 0),
    ("rawnet2_s", {}, 48_000, "RawNet2-S", "macs_48000", 0),
    ("rawnet2_voc_s", {}, 48_000, "RawNet2-Voc-S", "macs_48000", 7 * 1024),  # the vocoder head
    ("lfcc_lcnn_s", {}, 48_000, "LCNN-S", "macs_48000", 0),
    ("lfcc_lcnn", {}, 64_600, "LFCC-LCNN-2021", "macs_64600_without_lstm", 0),
    ("lfcc_lcnn", {}, 48_000, "LFCC-LCNN-2021", "macs_48000_without_lstm", 0),
    ("asdg", {}, 48_000, "ASDG-S", "macs_48000", 0),
]


@pytest.mark.parametrize(("name", "config", "samples", "model", "key", "outside"), COUNTS)
def test_counts_are_the_references(golden, name, config, samples, model, key, outside):
    assert macs(name, samples=samples, **config) == golden.summary[model][key] - outside


def test_the_comparison_papers_table():
    """Table IX in units of 10^9: LCNN 0.25, RawGAT 13.68, AASIST 7.10, ASDG 0.34."""
    counts = [macs("lfcc_lcnn_s"), macs("rawgat_st_s"), macs("aasist", samples=48_000, outputs=1), macs("asdg")]
    assert [count / 1e9 for count in counts] == pytest.approx([0.25, 13.68, 7.10, 0.34], abs=0.006)


def test_the_comparison_papers_rawnet2_is_counted_without_its_gru():
    """1.19 in Table IX. Behind the blocks 48,000 samples are 21 steps; three layers of 1,024 units, the first of 128."""
    gru = 21 * 3 * 1024 * ((128 + 1024) + 2 * (1024 + 1024))
    for name in ("rawnet2_s", "rawnet2_voc_s"):
        assert (macs(name) - gru) / 1e9 == pytest.approx(1.1997, abs=1e-3)
