"""Linear-frequency cepstral coefficients in the settings of the published detectors."""

import torch
from torch import Tensor

from features.extractors import _spectrum
from features.extractors._base import Extractor, counts, within

_LCNN = {
    "n_fft": 1024, "win": 320, "hop": 160, "window": "hamming", "centre": "zero", "pre_emphasis": 0.97,
    "filters": 20, "coefficients": 20, "log_floor": 1.1920929e-7, "delta": 1.0,
}  # fmt: skip
_DECIBEL = {
    "window": "hann", "hop": 160, "log": "db", "delta": 0.0, "high_hz": 8000.0, "bins": 0, "double": False,
}  # fmt: skip
PRESETS = {
    "asvspoof2021_gmm": {},  # detectors-a 3.1, the MATLAB baseline of the LA and DF tracks
    "asvspoof2021_gmm_pa": {"high_hz": 8000.0, "bins": 0},
    # detectors-a 3.1, the Python port in the same repository: other filter edges, frames and deltas
    "asvspoof2021_gmm_python": {"centre": "whole", "edges": "bins", "coefficients": 20, "delta": 1.0},
    "asvspoof2019_gmm": {
        "n_fft": 512, "win": 320, "hop": 160, "bins": 0, "high_hz": 8000.0, "filters": 20, "coefficients": 20,
    },
    # detectors-a 4.1: the 2021 code keeps 256 of 513 bins and stretches them over 0..4000 Hz
    "lcnn2021": {**_LCNN, "bins": 256, "high_hz": 4000.0, "energy": True, "double": False},
    "lcnn_fft512": {**_LCNN, "n_fft": 512, "bins": 0, "high_hz": 8000.0, "energy": True},
    # detectors-a 9 and 10: torchaudio's LFCC
    "lcnn_s": {
        **_DECIBEL, "n_fft": 400, "win": 400, "centre": "none", "filters": 128, "coefficients": 60,
    },
    "asdg_s": {
        **_DECIBEL, "n_fft": 400, "win": 400, "centre": "reflect", "filters": 128, "coefficients": 80,
    },
    # detectors-b 10 and 11.2
    "singfake": {**_LCNN, "n_fft": 512, "bins": 0, "high_hz": 8000.0},
    "ctrsvdd": {
        **_DECIBEL, "n_fft": 512, "win": 512, "centre": "none", "filters": 20, "coefficients": 60,
    },
}  # fmt: skip


class Lfcc(Extractor):
    """Cosine transform of the log power in linearly spaced triangles, then deltas.

    Defaults: 57 values = 19 static (index 0 included), 19 delta, 19 double delta over 0-4,000 Hz, 30 ms
    symmetric Hamming, 15 ms hop, log10, as the MATLAB baseline of ASVspoof 2021 computes them.
    bins: how many FFT bins are kept and spread over 0..high_hz (0 = all). edges: of the triangles, `exact` or on whole
    `bins`. log: `log10` of (energy +
    log_floor), or `db` limited to top_db below the clip's peak. energy: coefficient 0 becomes the log of the
    mean power. delta: factor of x[t+1] - x[t-1], 0 for static coefficients only. double: transform in
    float64 as MATLAB does; with a log floor of 2e-16, float32 noise would show in bands without energy, and over the
    whole band it shows in the fourth decimal with any.
    """

    def __init__(
        self, n_fft: int = 1024, win: int = 480, hop: int = 240, window: str = "hamming_symmetric",
        centre: str = "partial", pre_emphasis: float = 0.0, bins: int = 257, high_hz: float = 4000.0,
        filters: int = 70, coefficients: int = 19, log: str = "log10",
        log_floor: float = 2.220446049250313e-16, top_db: float = 80.0, energy: bool = False,
        delta: float = 0.5, double: bool = True, edges: str = "exact",
    ):  # fmt: skip
        super().__init__()
        if log not in ("log10", "db"):
            raise ValueError(f"log {log!r} is not log10 or db")
        if edges not in ("exact", "bins"):
            raise ValueError(f"edges {edges!r} is not exact or bins")
        counts(filters=filters, coefficients=coefficients)
        within(1, self.rate_hz // 2, high_hz=high_hz)
        within(*_spectrum.FLOORS, log_floor=log_floor)
        within(0, 1, pre_emphasis=pre_emphasis)
        within(0, 1000, top_db=top_db, delta=delta)
        self.power = _spectrum.Power(n_fft, win, hop, window=window, centre=centre, bins=bins or None, double=double)
        exact = edges == "exact"
        self.bank = _spectrum.Bank(
            _spectrum.linear_bank(self.power.bins, high_hz, filters) if exact
            else _spectrum.snapped_bank(self.power.bins, n_fft, high_hz, filters)
        )  # fmt: skip
        scale = 10 if log == "db" else 1
        self.dct = _spectrum.Bank(scale * _spectrum.dct(filters, coefficients))
        self.dim = coefficients * (3 if delta else 1)
        self.min_samples = self.power.min_samples
        self.factor, self.log, self.log_floor, self.top_db = pre_emphasis, log, log_floor, top_db
        self.energy, self.delta = energy, delta

    def clips_per_block(self, samples: int) -> int:
        """What fills a processor's cache."""
        return self.power.clips_per_block(samples)

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, coefficient)."""
        if self.factor:
            wave = _spectrum.pre_emphasis(wave, self.factor)
        power = self.power(wave)
        bands = self.bank(power)
        level = _spectrum.bels(bands, self.top_db) if self.log == "db" else _spectrum.log10_(bands.add_(self.log_floor))
        static = self.dct(level)
        if self.energy:
            static[..., 0] = _spectrum.log10_((power.sum(-1) / self.power.n_fft).add_(self.log_floor))
        if not self.delta:
            return static
        delta = _spectrum.difference(static, self.delta)
        return torch.cat([static, delta, _spectrum.difference(delta, self.delta)], dim=-1)


build = Lfcc
