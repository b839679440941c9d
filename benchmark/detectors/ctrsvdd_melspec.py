"""CtrSVDD baseline on the mel power spectrogram (no logarithm), AASIST's graphs behind it.

Zang et al., "CtrSVDD", Interspeech 2024, section 4.
"""

from benchmark.detectors._ctrsvdd import SpectralCtrSvdd


class MelSpec(SpectralCtrSvdd):
    """401 frames of 80 bands, 4 frames after the blocks."""

    FEATURE = "logmel"
    COLUMNS = 80 * 4
    WEIGHTS = "melspec_model_weights.pt (CtrSVDD2024_Baseline)"


build = MelSpec
