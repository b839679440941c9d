"""CtrSVDD baseline on mel-frequency cepstra, AASIST's graphs behind them.

Zang et al., "CtrSVDD", Interspeech 2024, section 4.
"""

from benchmark.detectors._ctrsvdd import SpectralCtrSvdd


class Mfcc(SpectralCtrSvdd):
    """397 frames of 40 coefficients, 4 frames after the blocks."""

    FEATURE = "mfcc"
    COLUMNS = 40 * 4
    WEIGHTS = "mfcc_model_weights.pt (CtrSVDD2024_Baseline)"


build = Mfcc
