"""Mel-frequency cepstral coefficients: 40 of 80 mel bands in dB, 25 ms Hann window, 10 ms hop."""

from torch import Tensor

from features.extractors import _spectrum
from features.extractors._base import Extractor, counts, within

PRESETS = {
    "uniaudio": {
        "n_fft": 400,
        "bands": 128,
        "low_hz": 20.0,
        "slaney_norm": True,
        "cmvn": True,
    },  # detectors-b 8.1
    "ctrsvdd": {"win": 512, "bands": 128, "centre": "none"},  # detectors-b 11.2
}


class Mfcc(Extractor):
    """Orthonormal DCT-II of mel power in dB, limited to top_db below the peak of the clip.

    top_db_over=batch takes the peak of the whole batch, as torchaudio does. cmvn standardises each clip over
    frames and coefficients with a deviation of at least 1e-5.
    """

    def __init__(
        self, coefficients: int = 40, n_fft: int = 512, win: int = 400, hop: int = 160, bands: int = 80,
        low_hz: float = 0.0, high_hz: float = 8000.0, slaney_norm: bool = False, centre: str = "reflect",
        top_db: float | None = 80.0, top_db_over: str = "clip", cmvn: bool = False,
    ):  # fmt: skip
        super().__init__()
        counts(bands=bands)
        within(1, bands, coefficients=coefficients)
        within(0, 1000, top_db=top_db)
        if top_db_over not in ("clip", "batch"):
            raise ValueError(f"top_db_over {top_db_over!r} is not clip or batch")
        self.power = _spectrum.Power(n_fft, win, hop, centre=centre)
        self.bank = _spectrum.Bank(_spectrum.mel_bank(n_fft, bands, low_hz, high_hz, slaney_norm=slaney_norm))
        self.dct = _spectrum.Bank(10 * _spectrum.dct(bands, coefficients))  # of bels
        self.dim, self.min_samples = coefficients, self.power.min_samples
        self.top_db, self.over, self.cmvn = top_db, top_db_over, cmvn
        self.alone = top_db_over == "clip"

    def clips_per_block(self, samples: int) -> int:
        """What fills a processor's cache, or all clips if the peak is theirs."""
        return self.power.clips_per_block(samples) if self.alone else 1 << 30

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, coefficient)."""
        x = self.dct(_spectrum.bels(self.bank(self.power(wave)), self.top_db, over=self.over))
        return _spectrum.standardise(x, 1e-5, add=False) if self.cmvn else x


build = Mfcc
