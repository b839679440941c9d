"""Log-mel spectrogram: 80 bands, 25 ms Hann window, 10 ms hop at 16 kHz."""

from torch import Tensor

from features.extractors import _spectrum
from features.extractors._base import Extractor, within

PRESETS = {
    # detectors-b 8.1: 64 area-normalised mels of a 400-point FFT, dB, each clip standardised
    "uniaudio": {
        "n_fft": 400, "bands": 64, "low_hz": 20.0, "slaney_norm": True,
        "log": "db", "top_db": 80.0, "cmvn": True,
    },
    "ctrsvdd": {"win": 512, "log": "none"},  # detectors-b 11.2: mel power
}  # fmt: skip
LOGS = ("ln", "db", "none")


class LogMel(Extractor):
    """Power on the HTK mel scale, reflect-centred frames.

    log: `ln` is the natural log with floor 1e-10, `db` is 10 log10 limited to top_db below the peak of the
    clip (top_db_over=batch: of the batch, as torchaudio does), `none` the power. cmvn standardises each clip
    over frames and bands with a deviation of at least 1e-5.
    """

    def __init__(
        self, n_fft: int = 512, win: int = 400, hop: int = 160, bands: int = 80, low_hz: float = 0.0,
        high_hz: float = 8000.0, slaney_norm: bool = False, log: str = "ln", top_db: float | None = None,
        top_db_over: str = "clip", cmvn: bool = False,
    ):  # fmt: skip
        super().__init__()
        if log not in LOGS or top_db_over not in ("clip", "batch"):
            raise ValueError(f"log {log!r} is not in {LOGS} or top_db_over {top_db_over!r} not clip or batch")
        within(0, 1000, top_db=top_db)
        self.power = _spectrum.Power(n_fft, win, hop)
        self.bank = _spectrum.Bank(_spectrum.mel_bank(n_fft, bands, low_hz, high_hz, slaney_norm=slaney_norm))
        self.dim, self.min_samples = bands, self.power.min_samples
        self.log, self.top_db, self.cmvn, self.over = log, top_db, cmvn, top_db_over
        self.alone = top_db_over == "clip"

    def clips_per_block(self, samples: int) -> int:
        """What fills a processor's cache, or all clips if the peak is theirs."""
        return self.power.clips_per_block(samples) if self.alone else 1 << 30

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, band)."""
        x = self.bank(self.power(wave))
        if self.log == "ln":
            x = _spectrum.log_(x.clamp_(min=1e-10))
        elif self.log == "db":
            x = _spectrum.decibels(x, self.top_db, over=self.over)
        return _spectrum.standardise(x, 1e-5, add=False) if self.cmvn else x


build = LogMel
