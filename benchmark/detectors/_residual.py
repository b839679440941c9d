"""Residual blocks: on filter x time maps (AASIST, RawGAT-ST) and on time alone (RawNet2)."""

import torch
from torch import nn
from torch.nn import functional

from . import _tiles, _tiles_training


class ResidualBlock2d(nn.Module):
    """Two convolutions (2, 3) around one BatchNorm and SELU, a shortcut, and max pooling over time.

    Every block but the first owns a `bn1` whose SELU output the published networks discard: it is in the
    state dict, its statistics follow the data in training, and nothing else depends on it. Undoing that
    breaks published weights.

    shortcut: a convolution (1, 3) where the channel count changes, the identity elsewhere; with
    broadcast=True (the first block of the official RawGAT-ST) the one input channel is added to every output
    channel. spare: also own the unused `conv_1` that every later block of the official RawGAT-ST holds;
    `conv1` is then called `conv_1` in the first block. pool: factor over time (1 = none).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        first: bool = False,
        broadcast: bool = False,
        spare: bool = False,
        pool: int = 3,
    ):
        super().__init__()
        self.first_name = "conv_1" if first and spare else "conv1"
        if not first:
            self.bn1 = nn.BatchNorm2d(channels_in)
        setattr(self, self.first_name, nn.Conv2d(channels_in, channels_out, (2, 3), padding=(1, 1)))
        if spare and not first:
            self.conv_1 = nn.Conv2d(1, channels_out, (2, 3), padding=(1, 1))
        self.selu = nn.SELU()
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, (2, 3), padding=(0, 1))
        if channels_in != channels_out and not broadcast:
            self.conv_downsample = nn.Conv2d(channels_in, channels_out, (1, 3), padding=(0, 1))
        self.pool = nn.MaxPool2d((1, pool)) if pool > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels_in, filter, time) -> (batch, channels_out, filter, time // pool)."""
        if self.training and hasattr(self, "bn1"):
            with torch.no_grad():
                self.bn1(x)  # for its statistics only
        y = getattr(self, self.first_name)(x)  # one filter row more
        y = self.conv2(self.selu(self.bn2(y)))
        shortcut = self.conv_downsample(x) if hasattr(self, "conv_downsample") else x
        return self.pool(y + shortcut)


def aasist_encoder(channels: tuple[int, ...] = (32, 32, 64, 64, 64, 64), *, pool: int = 3) -> nn.Sequential:
    """The blocks of AASIST's encoder, named `0.0`, `1.0` ... as in its state dict; input one channel."""
    blocks = []
    for index, (before, after) in enumerate(zip((1, *channels), channels)):
        blocks.append(nn.Sequential(ResidualBlock2d(before, after, first=index == 0, pool=pool)))
    return nn.Sequential(*blocks)


def run_encoder(blocks: nn.Sequential, x: torch.Tensor, *, fast: bool) -> torch.Tensor:
    """blocks(x), for a sequence of `ResidualBlock2d`; fast: tile by tile where that can be done."""
    if fast and _tiles.usable(x):
        if blocks.training:
            return _tiles_training.encode(blocks, x)
        if not torch.is_grad_enabled():
            return _tiles.encode(blocks, x)
    return blocks(x)


class ResidualBlock1d(nn.Module):
    """RawNet2's block on a filter bank's output: two convolutions of 3, a shortcut, max pooling by 3.

    pre_activation=False is the ASVspoof 2021 baseline: `bn1` and its LeakyReLU are computed and discarded, as in
    `ResidualBlock2d`. True is the block as RawNet2 describes it (the comparison paper's variant), with the
    feature map scaling inside the block.
    """

    SLOPE = 0.3

    def __init__(self, channels_in: int, channels_out: int, *, first: bool = False, pre_activation: bool = False):
        super().__init__()
        self.pre_activation = pre_activation
        if not first:
            self.bn1 = nn.BatchNorm1d(channels_in)
        self.conv1 = nn.Conv1d(channels_in, channels_out, 3, padding=1)
        self.bn2 = nn.BatchNorm1d(channels_out)
        self.conv2 = nn.Conv1d(channels_out, channels_out, 3, padding=1)
        if channels_in != channels_out:
            self.conv_downsample = nn.Conv1d(channels_in, channels_out, 1)
        if pre_activation:
            self.frm = FeatureMapScaling(channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels_in, time) -> (batch, channels_out, time // 3)."""
        y = x
        if hasattr(self, "bn1"):
            if self.pre_activation:
                y = functional.leaky_relu(self.bn1(x), self.SLOPE)
            elif self.training:
                with torch.no_grad():
                    self.bn1(x)  # for its statistics only
        y = self.conv2(functional.leaky_relu(self.bn2(self.conv1(y)), self.SLOPE))
        shortcut = self.conv_downsample(x) if hasattr(self, "conv_downsample") else x
        y = functional.max_pool1d(y + shortcut, 3)
        return self.frm(y) if self.pre_activation else y


class FeatureMapScaling(nn.Module):
    """x s + s with s = sigmoid(Linear(mean over time)): scale and shift by the same value per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channel, time) -> the same shape."""
        return scale_feature_maps(x, self.fc)


def scale_feature_maps(x: torch.Tensor, fc: nn.Module) -> torch.Tensor:
    """(batch, channel, time) -> x s + s, s = sigmoid(fc(mean over time)); RawNet2, arXiv 2011.01108, section 3."""
    scale = torch.sigmoid(fc(x.mean(2))).unsqueeze(2)
    return x * scale + scale
