"""The waveform itself, for detectors that learn or carry their own front end."""

from torch import Tensor
from torchaudio.functional import resample

from features.extractors._base import Extractor, within

PRESETS: dict[str, dict] = {}


class Raw(Extractor):
    """Identity: (batch, sample) at 16 kHz in [-1, 1] stays (batch, sample), the same memory: a copy would cost every
    crop of a training a seventh of its time.

    rate_hz: the rate of the result, for networks made for another one (RawNet2-Voc: 24 kHz); above 8 kHz it is empty.
    """

    def __init__(self, *, rate_hz: int = 16_000):
        super().__init__()
        within(1, 192_000, rate_hz=rate_hz)
        self.dim, self.alone, self.to_hz = 1, False, rate_hz

    def clips_per_block(self, samples: int) -> int:
        """All that there are."""
        return 1 << 30

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, sample), unchanged at 16 kHz."""
        return wave if self.to_hz == 16_000 else resample(wave, 16_000, self.to_hz)


build = Raw
