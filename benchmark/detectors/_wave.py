"""A front end that is a part of a network."""

import torch

from features import extractors
from features.extractors import Extractor


def front_end(feature: str, **params: object) -> Extractor:
    """A feature extractor as a part of a network; its constants stay out of the state dict.

    Made on the CPU even when the network is only laid out on the meta device, since its tables are computed.
    """
    with torch.device("cpu"):
        return extractors.get(feature, **params)
