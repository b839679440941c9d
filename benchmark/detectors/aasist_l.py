"""AASIST-L: AASIST with 85,306 parameters.

Jung et al., arXiv 2110.01200, section 3.4 and Table 2: narrower encoder and graphs, other pool ratios.
"""

from .aasist import Aasist


class AasistL(Aasist):
    """The light form of `Aasist`; settings are the same."""

    WEIGHTS = "AASIST-L.pth (clovaai release, MIT)"
    EER = {"ASVspoof 2019 LA": 0.99}
    CHANNELS = (32, 32, 24, 24, 24, 24)
    DIMS = (24, 32)
    RATIOS = (0.4, 0.5, 0.7)


build = AasistL
