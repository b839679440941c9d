"""LFCC-GMM: two Gaussian mixtures on LFCC frames; a baseline of ASVspoof 2019 and 2021.

Yamagishi et al., "ASVspoof 2021: accelerating progress in spoofed and deepfake speech detection", arXiv 2109.00537,
section 4 (baseline B02), after Sahidullah et al., Interspeech 2015.
"""

from dataclasses import replace

from ingest.types import nearest

from ._base import Input
from ._gmm import GaussianMixtures

PRESETS = {
    "asvspoof2021_gmm": 57,
    "asvspoof2021_gmm_pa": 57,
    "asvspoof2021_gmm_python": 60,
    "asvspoof2019_gmm": 60,
}  # values per frame


class LfccGmm(GaussianMixtures):
    """57 LFCC up to 4 kHz; 512 components, ten iterations, every spoof utterance.

    preset: the front end, of the 2021 tracks LA and DF, of PA (up to 8 kHz), of that repository's Python port, or of
    2019. spoof_every: as in `GaussianMixtures`; None = 10 for PA, whose baseline trains so, else 1. Others: there.
    """

    INPUT = Input(feature="lfcc", params={"preset": "asvspoof2021_gmm"}, samples=None, short="none")
    PAPER = "Yamagishi et al., arXiv 2109.00537, section 4 (ASVspoof 2021 baseline B02)"
    YEAR = 2021
    CITATION = "yamagishi2021asvspoof"
    EER = {"ASVspoof 2021 LA": 19.30, "ASVspoof 2021 DF": 25.25}
    NAME = "lfcc_gmm"

    def __init__(self, *, preset: str = "asvspoof2021_gmm", spoof_every: int | None = None, **config):
        if preset not in PRESETS:
            raise nearest(str(preset), PRESETS, what="preset of lfcc_gmm")
        if spoof_every is None:
            spoof_every = 10 if preset == "asvspoof2021_gmm_pa" else 1
        super().__init__(dim=PRESETS[preset], spoof_every=spoof_every, **config)
        self.input = replace(self.INPUT, params={"preset": preset})


build = LfccGmm
