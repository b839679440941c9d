"""What detectors do to a wave before their own front end."""

import torch

from features import extractors
from features.extractors import Extractor


def peak_normalised(wave: torch.Tensor) -> torch.Tensor:
    """(batch, sample) with each row divided by its largest magnitude; a silent row stays as it is."""
    peak = wave.abs().amax(1, keepdim=True)
    return wave / torch.where(peak > 0, peak, 1)


def front_end(feature: str, **params: object) -> Extractor:
    """A feature extractor as a part of a network; its constants stay out of the state dict.

    Made on the CPU even when the network is only laid out on the meta device, since its tables are computed.
    """
    with torch.device("cpu"):
        return extractors.get(feature, **params)
