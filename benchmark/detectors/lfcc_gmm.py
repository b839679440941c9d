"""LFCC-GMM: two Gaussian mixtures on LFCC frames; a baseline of ASVspoof 2019 and 2021.

Yamagishi et al., "ASVspoof 2021: accelerating progress in spoofed and deepfake speech detection", arXiv 2109.00537,
section 4 (baseline B02), after Sahidullah et al., Interspeech 2015.
"""

from ._base import Input
from ._gmm import GaussianMixtures


class LfccGmm(GaussianMixtures):
    """57 LFCC up to 4 kHz; 512 components, ten iterations, every spoof utterance. Settings: `GaussianMixtures`."""

    INPUT = Input(feature="lfcc", params={"preset": "asvspoof2021_gmm"}, samples=None, short="none")
    PAPER = "Yamagishi et al., arXiv 2109.00537, section 4 (ASVspoof 2021 baseline B02)"
    YEAR = 2021
    CITATION = "yamagishi2021asvspoof"
    EER = {"ASVspoof 2021 LA": 19.30, "ASVspoof 2021 DF": 25.25}
    NAME = "lfcc_gmm"

    def __init__(self, *, dim: int = 57, **config):
        super().__init__(dim=dim, **config)


build = LfccGmm
