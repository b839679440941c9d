"""WavLM Base, fine-tuned whole with one linear layer, as in the comparison of Zhang et al., Table II.

Chen et al., "WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing", arXiv 2110.13900.
"""

from benchmark.detectors.w2v2_ft import FineTuned


class FineTunedWavLm(FineTuned):
    """`FineTuned` on another backbone; 94,382,705 parameters."""

    ARCHITECTURE = "wavlm-base"
    PAPER = "Chen et al., arXiv 2110.13900; as a detector: Zhang et al., Table II"
    YEAR = 2022
    CITATION = "chen2022wavlm"
    WEIGHTS = "microsoft/wavlm-base (backbone; MIT)"
    EER = {
        "LibriSeVoc inner": 0.03, "WaveFake inner": 0.26, "DECRO-EN inner": 0.55, "DECRO-ZH inner": 0.41,
        "ASVspoof 2021 DF": 18.76,
    }  # fmt: skip


build = FineTunedWavLm
