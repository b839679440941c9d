"""CQCC-GMM: two Gaussian mixtures on constant-Q cepstra; a baseline of ASVspoof 2017, 2019 and 2021.

Yamagishi et al., "ASVspoof 2021: accelerating progress in spoofed and deepfake speech detection", arXiv 2109.00537,
section 4 (baseline B01), after Todisco et al., Odyssey 2016.
"""

from dataclasses import replace

from ingest.types import nearest

from ._base import Input
from ._gmm import GaussianMixtures

PRESETS = {"asvspoof2021": 60, "asvspoof2019": 90}  # values per frame


class CqccGmm(GaussianMixtures):
    """60 CQCC up to 4 kHz; 512 components, ten iterations, every tenth spoof utterance, as the baseline trains.

    preset: the front end of 2021 or of 2019 (96 bins per octave up to 8 kHz, 90 values). Others:
    `GaussianMixtures`.
    """

    INPUT = Input(feature="cqcc", params={"preset": "asvspoof2021"}, samples=None, short="none")
    PAPER = "Yamagishi et al., arXiv 2109.00537, section 4 (ASVspoof 2021 baseline B01)"
    YEAR = 2021
    CITATION = "yamagishi2021asvspoof"
    EER = {"ASVspoof 2021 LA": 15.62, "ASVspoof 2021 DF": 25.56}
    NAME = "cqcc_gmm"

    def __init__(self, *, preset: str = "asvspoof2021", spoof_every: int = 10, **config):
        if preset not in PRESETS:
            raise nearest(str(preset), PRESETS, what="preset of cqcc_gmm")
        super().__init__(dim=PRESETS[preset], spoof_every=spoof_every, **config)
        self.input = replace(self.INPUT, params={"preset": preset})


build = CqccGmm
