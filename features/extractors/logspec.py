"""Log power spectrogram: 257 bins; 257 frames of a 3 s clip at the default hop of 187 samples."""

from torch import Tensor

from features.extractors import _spectrum
from features.extractors._base import Extractor, within

PRESETS = {
    "fd_add": {"norm": "clip"},  # detectors-b 7.1: Wav2CLIP encoder, per-clip standardisation
    "wav2clip": {"hop": 353, "norm": "clip"},  # detectors-b 4, scores do not depend on batch mates
    "wav2clip_batch": {"hop": 353, "norm": "batch"},  # as the reference code normalises
    "sfatnet": {"n_fft": 511, "hop": 250, "pre_emphasis": 0.97},  # detectors-b 6: 256 bins, 192 frames of 3 s
    "singfake": {"hop": 160, "log": False, "normalised": True},  # detectors-b 10: power, not its logarithm
    "ctrsvdd": {"hop": 160, "log": False, "normalised": True},  # detectors-b 11.2
}
NORMS = ("none", "clip", "batch")


class LogSpec(Extractor):
    """Natural log of (power + floor) of a periodic Hann STFT, reflect-centred frames, n_fft // 2 + 1 bins.

    norm: `clip` standardises each clip over frames and bins (unbiased deviation + 1e-9), `batch` the whole
    batch at once. pre_emphasis reflects one sample on the left. log=False gives the power itself.
    """

    def __init__(
        self, n_fft: int = 512, hop: int = 187, floor: float = 1e-7, norm: str = "none",
        pre_emphasis: float = 0.0, normalised: bool = False, log: bool = True,
    ):  # fmt: skip
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r} is not one of {', '.join(NORMS)}")
        within(*_spectrum.FLOORS, floor=floor)
        within(0, 1, pre_emphasis=pre_emphasis)
        self.power = _spectrum.Power(n_fft, n_fft, hop, normalised=normalised)
        self.dim, self.min_samples = self.power.bins, self.power.min_samples
        self.floor, self.norm, self.factor, self.log, self.alone = floor, norm, pre_emphasis, log, norm != "batch"

    def clips_per_block(self, samples: int) -> int:
        """What fills a processor's cache."""
        return self.power.clips_per_block(samples)

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, bin)."""
        if self.factor:
            wave = _spectrum.pre_emphasis(wave, self.factor, reflect=True)
        x = self.power(wave)
        if self.log:
            x = _spectrum.log_(x.add_(self.floor))
        return _spectrum.standardise(x, 1e-9, add=True) if self.norm == "clip" else x

    def over_batch(self, x: Tensor) -> Tensor:
        """norm=batch: one mean and deviation for all clips, as Wav2CLIP's own code does."""
        if self.norm != "batch":
            return x
        return _spectrum.standardise(x.flatten(0, 1)[None], 1e-9, add=True).view_as(x)


build = LogSpec
