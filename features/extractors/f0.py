"""Fundamental frequency by YIN (de Cheveigné and Kawahara, JASA 2002), 0 where a frame is not periodic."""

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

from features.extractors._base import Extractor, band, counts, within

PRESETS = {
    "sfatnet": {},  # detectors-b 6: frame t on sample 250 t, as the frames of logspec's sfatnet preset
    # the authors' setting: 192 frames of 48,000 samples from a stride of 0.01513 s without padding, by torch-yin
    "sfatnet_authors": {
        "hop": 242, "low_hz": 20.0, "high_hz": 9000.0, "centre": False, "interpolate": False, "window": "frame",
    },
}  # fmt: skip
BLOCK = 128  # frames: what is made of them stays in a processor's cache
EPSILON = torch.finfo(torch.float64).eps


class F0(Extractor):
    """Pitch in Hz per frame, (batch, frame, 1).

    The difference function of equation 6 over a window of one longest period, its cumulative mean (equation
    8), the first dip below `threshold` between the periods of high_hz and low_hz, and a parabola through
    the dip (interpolate). A frame without such a dip gives 0. centre puts frame t on sample t * hop; else
    frames start at t * hop and only whole ones are kept. window: `fixed`, or `frame`, the form of torch-yin: all that
    a lag leaves of a frame of two longest periods, and lags from two above the shortest to one below the longest.
    """

    def __init__(
        self, hop: int = 250, low_hz: float = 50.0, high_hz: float = 550.0, threshold: float = 0.1,
        centre: bool = True, interpolate: bool = True, window: str = "fixed",
    ):  # fmt: skip
        super().__init__()
        counts(hop=hop)
        band(low_hz, high_hz, lowest=1, highest=self.rate_hz)
        within(0, 1, threshold=threshold)
        if window not in ("fixed", "frame"):
            raise ValueError(f"window {window!r} is not fixed or frame")
        self.shortest = max(int(self.rate_hz / high_hz), 1)  # lags, in samples
        self.longest = math.ceil(self.rate_hz / low_hz)
        self.shrinking = window == "frame"
        self.span = 2 * self.longest + (0 if self.shrinking else 2)  # window and lags; neighbours of the last dip
        self.hop, self.threshold, self.centre, self.interpolate = hop, threshold, centre, interpolate
        self.dim = 1
        self.min_samples = 1 if centre else 2 * self.longest

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, 1) Hz."""
        frames = self._frames(wave.double())
        blocks = frames.split(BLOCK if wave.device.type == "cpu" else frames.shape[1], dim=1)
        return torch.cat([self._hz(block) for block in blocks], dim=1)[..., None].float()

    def _hz(self, frames: Tensor) -> Tensor:
        """(batch, frame, span) -> (batch, frame)."""
        aperiodicity = self._aperiodicity(frames)
        low, high = (self.shortest + 2, self.longest - 1) if self.shrinking else (self.shortest, self.longest)
        lag = torch.arange(low, high + 1, device=frames.device)
        inside, after = aperiodicity[..., low : high + 1], aperiodicity[..., low + 1 : high + 2]
        crossed = (inside < self.threshold).cumsum(-1) > 0  # from the first lag below the threshold on
        bottom = crossed & (inside <= after)
        if self.shrinking:
            bottom[..., -1] = crossed[..., -1]
        dip = lag[bottom.int().argmax(-1)]
        period = dip.double()
        if self.interpolate:
            left, mid, right = (aperiodicity.gather(-1, (dip + d).clamp(min=0)[..., None])[..., 0] for d in (-1, 0, 1))
            bend = left - 2 * mid + right
            shift = torch.where(bend > 0, 0.5 * (left - right) / bend, 0.0)
            period = period + shift.clamp(-0.5, 0.5)
        return torch.where(bottom.any(-1), self.rate_hz / period, 0.0)

    def _frames(self, wave: Tensor) -> Tensor:
        if self.centre:
            count = 1 + (wave.shape[1] - 1) // self.hop
            wave = F.pad(wave, (self.longest, self.longest + self.hop + 2))
        else:
            count = 1 + (wave.shape[1] - 2 * self.longest) // self.hop
            wave = F.pad(wave, (0, 2))
        return wave.unfold(-1, self.span, self.hop)[:, :count]

    def _aperiodicity(self, frames: Tensor) -> Tensor:
        """(…, span) -> (…, longest + 2): cumulative mean normalised difference at each lag."""
        window = self.longest
        # no lag of a fixed window reaches beyond the span; those of the whole frame must not come round
        size = next_fast_len(self.span + (window + 2 if self.shrinking else 0), real=True)
        head = torch.fft.rfft(frames if self.shrinking else frames[..., :window], n=size)
        spectrum = head.conj_physical_().mul_(torch.fft.rfft(frames, n=size))
        correlation = torch.fft.irfft(spectrum, n=size)[..., : window + 2]
        so_far = frames.new_zeros(*frames.shape[:-1], self.span + 1)
        torch.cumsum(frames.square(), -1, out=so_far[..., 1:])
        if self.shrinking:
            energy = so_far[..., -1:] - so_far[..., : window + 2]
            other = so_far[..., window - 1 :].flip(-1)
        else:
            energy = so_far[..., window : 2 * window + 2] - so_far[..., : window + 2]
            other = energy[..., :1]
        difference = torch.sub(other + energy, correlation, alpha=2)
        rounding = EPSILON * self.span * so_far[..., -1:]  # of sums of so many squares: less is no difference
        difference.masked_fill_(difference < rounding, 0)
        lag = torch.arange(1, window + 2, dtype=frames.dtype, device=frames.device)
        mean = difference[..., 1:].cumsum(-1) / lag
        silent = energy[..., :1] < 1e-10
        ratio = torch.ones_like(difference)  # that of lag 0 is 1
        torch.div(difference[..., 1:], mean, out=ratio[..., 1:])
        ratio[..., 1:].masked_fill_(silent | (mean <= 0), 1.0)
        return ratio


build = F0
