"""SingFake baseline: pre-activation ResNet18 on the power spectrogram, one-class softmax.

Zang et al., "SingFake: Singing Voice Deepfake Detection", ICASSP 2024, arXiv 2309.07525, section 4.
"""

import torch

from benchmark.detectors.singfake_lfcc_resnet import LfccResNet


class SpecResNet(LfccResNet):
    """As `LfccResNet`, but the map lies on its side: 401 frames high, 257 bins wide, folded by two convolutions."""

    FEATURE = "logspec"
    FOLDS = (11, 7)  # 401 frames are 17 rows before conv5
    UNUSED = ()

    def arrange(self, feature: torch.Tensor) -> torch.Tensor:
        """(batch, frame, bin) -> (batch, 1, frame, bin): time is the height axis, as published."""
        return feature.unsqueeze(1)


build = SpecResNet
