"""CtrSVDD baseline on the power spectrogram (no logarithm), AASIST's graphs behind it.

Zang et al., "CtrSVDD", Interspeech 2024, section 4.
"""

from benchmark.detectors._ctrsvdd import SpectralCtrSvdd


class Spec(SpectralCtrSvdd):
    """401 frames of 257 bins, 4 frames after the blocks."""

    FEATURE = "logspec"
    COLUMNS = 257 * 4
    WEIGHTS = "spec_model_weights.pt (CtrSVDD2024_Baseline)"


build = Spec
