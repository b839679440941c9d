"""The light CNN on cepstral maps: convolutions with max-feature-map, shared by three detectors.

Layers after Lavrentyeva et al., arXiv 1904.05576, Table 2, as the ASVspoof 2021 baseline sets them.
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from features import extractors
from features.extractors._spectrum import dct


def front_end(preset: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The constants of an LFCC preset that published state dicts carry.

    Filter bank (bin, band), cosine transform (band, coefficient), window (sample); float32 on the CPU.
    """
    with torch.device("cpu"):
        extractor = extractors.get("lfcc", preset=preset)
        transform = dct(extractor.params["filters"], extractor.params["coefficients"])
    return extractor.bank.weight, transform.float(), extractor.power.window.float()


class MaxFeatureMap(nn.Module):
    """The larger of the two halves of the second axis: out[c] = max(in[c], in[c + C / 2])."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 2 c, ...) -> (batch, c, ...)."""
        return torch.maximum(*x.chunk(2, dim=1))


# (channels of the convolution, its kernel, what follows the max-feature-map)
LAYERS = (
    (64, 5, "pool"),
    (64, 1, "norm"),
    (96, 3, "pool norm"),
    (96, 1, "norm"),
    (128, 3, "pool"),
    (128, 1, "norm"),
    (64, 3, "norm"),
    (64, 1, "norm"),
    (64, 3, "last pool"),
)


def lcnn_layers(
    *, affine: bool, last_pool: Callable[[], nn.Module] = lambda: nn.MaxPool2d(2)
) -> Iterator[tuple[str, nn.Module]]:
    """(kind, layer) in order; kind is conv, mfm, maxpool or batchnorm. Input one channel, output 32.

    affine: whether the batch norms have a gain and a bias of their own. last_pool: makes the layer after the last
    convolution.
    """
    channels = 1
    for wide, kernel, after in LAYERS:
        yield "conv", nn.Conv2d(channels, wide, kernel, padding=kernel // 2)
        yield "mfm", MaxFeatureMap()
        channels = wide // 2
        if after == "last pool":
            yield "maxpool", last_pool()
        elif "pool" in after:
            yield "maxpool", nn.MaxPool2d(2)
        if "norm" in after:
            yield "batchnorm", nn.BatchNorm2d(channels, affine=affine)


def add_numbered(module: nn.Module, layers: Iterator[tuple[str, nn.Module]]) -> list[str]:
    """Register the layers as conv1, mfm2, maxpool3, conv4 ... and return the names in order."""
    names = []
    for number, (kind, layer) in enumerate(layers, start=1):
        module.add_module(f"{kind}{number}", layer)
        names.append(f"{kind}{number}")
    return names
