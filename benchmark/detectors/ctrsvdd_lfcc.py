"""CtrSVDD baseline B01: AASIST's graphs on linear-frequency cepstra.

Zang et al., "CtrSVDD", Interspeech 2024, section 4. 60 coefficients of 20 filters: rows 20 to 59 of the cosine
transform are mirrored copies, kept for parity.
"""

from benchmark.detectors._ctrsvdd import SpectralCtrSvdd


class Lfcc(SpectralCtrSvdd):
    """376,210 parameters. 397 frames of 60 coefficients, 4 frames after the blocks."""

    FEATURE = "lfcc"
    COLUMNS = 60 * 4
    WEIGHTS = "lfcc_model_weights.pt (CtrSVDD2024_Baseline)"
    EER = {"CtrSVDD": 16.10, "CtrSVDD without A14": 12.03}


build = Lfcc
