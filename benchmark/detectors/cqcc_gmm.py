"""CQCC-GMM: two Gaussian mixtures on constant-Q cepstra; a baseline of ASVspoof 2017, 2019 and 2021.

Yamagishi et al., "ASVspoof 2021: accelerating progress in spoofed and deepfake speech detection", arXiv 2109.00537,
section 4 (baseline B01), after Todisco et al., Odyssey 2016.
"""

from ._base import Input
from ._gmm import GaussianMixtures


class CqccGmm(GaussianMixtures):
    """60 CQCC up to 4 kHz; 512 components, ten iterations, every tenth spoof utterance, as the baseline trains."""

    INPUT = Input(feature="cqcc", params={"preset": "asvspoof2021"}, samples=None, short="none")
    PAPER = "Yamagishi et al., arXiv 2109.00537, section 4 (ASVspoof 2021 baseline B01)"
    YEAR = 2021
    CITATION = "yamagishi2021asvspoof"
    EER = {"ASVspoof 2021 LA": 15.62, "ASVspoof 2021 DF": 25.56}
    NAME = "cqcc_gmm"

    def __init__(self, *, dim: int = 60, spoof_every: int = 10, **config):
        super().__init__(dim=dim, spoof_every=spoof_every, **config)


build = CqccGmm
