"""The level at which a network hears a clip, as `Input.level` names it; every road from a file to a network takes it.

"as_is": as stored. "clip_peak": the whole clip is divided by its largest magnitude, then cut. "crop_peak": what was cut
is divided by its own. Silence stays silence.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # heavy, and settings must stay light
    from torch import Tensor

SAID = {  # what a reader of `feature` is told of it
    "as_is": "", "clip_peak": ", the clip divided by its peak before it is cut",
    "crop_peak": ", what is cut divided by its own peak",
}  # fmt: skip
LEVELS = tuple(SAID)


def of_clip(wave: np.ndarray, level: str) -> np.ndarray:
    """(sample,) float32, a whole clip, before it is cut."""
    return wave / divisor(np.abs(wave).max(initial=0)) if level == "clip_peak" else wave


def of_crops(waves: "Tensor", level: str) -> "Tensor":
    """(batch, sample), each row what was cut from a clip; filling changes no peak."""
    if level != "crop_peak":
        return waves
    peak = waves.abs().amax(1, keepdim=True)
    return waves / peak.where(peak > 0, 1)


def divisor(peak: float) -> float:
    """What samples of this peak are divided by: 1 for silence."""
    return float(peak) or 1.0
