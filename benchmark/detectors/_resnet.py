"""Residual networks over one-channel maps: ResNet18, the bottleneck of ResNeXt, and the pre-activation ResNet18.

The names of the parameters are those of the public checkpoints (conv1, bn1, layer1.0.conv1, ..., downsample.0).
"""

import torch
from torch import nn
from torch.nn import functional

from features.extractors._base import counts


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2016, figure 5 left)."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(channels_in, channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(self.bn2(self.conv2(y)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, grouped 3x3, 1x1 to four times `planes` channels (Xie et al. 2017, ResNeXt)."""

    EXPANSION = 4

    def __init__(
        self, channels_in: int, planes: int, stride: int = 1, *, groups: int = 32, group_width: int = 4
    ) -> None:
        super().__init__()
        width, channels = planes * group_width // 64 * groups, planes * self.EXPANSION
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(channels_in, channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(self.bn3(self.conv3(y)) + shortcut)


def _shortcut(channels_in: int, channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels_in == channels:
        return None
    return nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


def basic_layer(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    """One stage of ResNet18: two basic blocks, the first with the stride."""
    return nn.Sequential(BasicBlock(channels_in, channels, stride), BasicBlock(channels, channels))


class ResNet18(nn.Module):
    """ResNet18 without its classifier on a map of one channel: (batch, 1, height, width) -> (batch, 8 * width).

    11,170,240 parameters at width 64. `width` is the number of channels of the first stage; a smaller one is for tests.
    """

    def __init__(self, width: int = 64, channels_in: int = 1) -> None:
        super().__init__()
        counts(width=width)
        self.conv1 = nn.Conv2d(channels_in, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = basic_layer(width, width, 1)
        self.layer2 = basic_layer(width, 2 * width, 2)
        self.layer3 = basic_layer(2 * width, 4 * width, 2)
        self.layer4 = basic_layer(4 * width, 8 * width, 2)
        init_convolutions(self)

    def trunk(self, x: torch.Tensor) -> torch.Tensor:
        """The map after the third stage: (batch, 4 * width, height / 16, width / 16), rounded up."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        return self.layer3(self.layer2(self.layer1(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer4(self.trunk(x)).mean((2, 3))


def init_convolutions(module: nn.Module) -> None:
    """He normal initialisation by fan-out of every convolution (He et al. 2015), in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


class PreActivationBlock(nn.Module):
    """Batch norm and ReLU before each 3x3 convolution; the shortcut sees the activated input (He et al. 2016b)."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = functional.relu(self.bn1(x))
        shortcut = self.shortcut(active) if hasattr(self, "shortcut") else x
        y = self.conv1(active)
        return self.conv2(functional.relu(self.bn2(y))) + shortcut


class AttentiveStatistics(nn.Module):
    """Weights softmax_t(tanh(x . w)); the weighted sum, and the deviation over time of the weighted frames.

    (batch, frame, channel) -> (batch, 2 * channel). In the public code noise of deviation 1e-5 keeps the deviation
    off zero; here it is added in training only, so that a score does not depend on chance.
    """

    NOISE = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.att_weights = nn.Parameter(torch.empty(1, channels))
        nn.init.kaiming_uniform_(self.att_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = torch.tanh(x @ self.att_weights.T).softmax(1)  # (batch, frame, 1)
        weighted = x * weight
        spread = weighted + self.NOISE * torch.randn_like(weighted) if self.training else weighted
        return torch.cat([weighted.sum(1), spread.std(1)], 1)


class PreActivationResNet18(nn.Module):
    """The back end of the SingFake ResNet baselines (Zang et al. 2024): (batch, 1, height, width) -> 256 and 2 values.

    conv1 (9, 3) with stride (3, 1), four pre-activation stages, then convolutions that fold the height to one row:
    `folds` are their heights, (3,) for 60 LFCC and (11, 7) for a map of 401 rows. Attentive pooling over the width.
    12,450,290 parameters with folds (3,) and width 64.
    """

    def __init__(self, folds: tuple[int, ...] = (3,), *, width: int = 64, embedding: int = 256) -> None:
        super().__init__()
        counts(width=width)
        self.conv1 = nn.Conv2d(1, 16, (9, 3), (3, 1), (1, 1), bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        channels = [16, width, 2 * width, 4 * width, 8 * width]
        for stage, stride in enumerate((1, 2, 2, 2)):
            blocks = (
                PreActivationBlock(channels[stage], channels[stage + 1], stride),
                PreActivationBlock(channels[stage + 1], channels[stage + 1]),
            )
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        folded = 4 * width
        for number, height in enumerate(folds, start=5):
            first = number == 5  # in the public code the second one has a bias and no padding
            shape = (8 * width if first else folded, folded, (height, 3), 1, (0, int(first)))
            setattr(self, f"conv{number}", nn.Conv2d(*shape, bias=not first))
            setattr(self, f"bn{number}", nn.BatchNorm2d(folded))
        self.folds = len(folds)
        self.fc = nn.Linear(2 * folded, embedding)
        self.fc_mu = nn.Linear(embedding, 2)  # unused by OC-Softmax; part of the public checkpoints
        self.attention = AttentiveStatistics(folded)
        init_convolutions(self)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """-> embedding (batch, 256) and the two linear values (batch, 2) that OC-Softmax does not use."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        for number in range(5, 5 + self.folds):
            x = functional.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)))
        embedding = self.fc(self.attention(x.squeeze(2).transpose(1, 2)))
        return embedding, self.fc_mu(embedding)
