"""SingFake baseline: pre-activation ResNet18 on cepstra, one-class softmax.

Zang et al., "SingFake: Singing Voice Deepfake Detection", ICASSP 2024, arXiv 2309.07525, section 4, after Zhang et
al., "One-class learning towards synthetic voice spoofing detection", arXiv 2010.13995.
"""

import torch

from benchmark.batch import Batch
from benchmark.detectors import _pretrained, singfake_aasist
from benchmark.detectors._base import Detector, Input
from benchmark.detectors._losses import OcSoftmax
from benchmark.detectors._resnet import PreActivationResNet18
from benchmark.detectors._wave import front_end


class LfccResNet(Detector):
    """12,450,290 parameters and the direction of the one-class softmax.

    Each clip has peak level before it is cut, as published. width: channels of the first stage.
    """

    INPUT = Input(feature="raw", samples=64_000, train_crop="random", test_crop="first", level="clip_peak", fixed=True)
    PAPER = singfake_aasist.PAPER
    YEAR = 2024
    CITATION = "zang2024singfake"
    TRAINING = {
        "optimizer": "adam", "lr": 3e-4, "weight_decay": 5e-4, "batch_size": 8, "epochs": 100, "selection": "loss",
        "patience": 50, "min_delta": 0.0, "stop_above": 0.0, "balance": "none", "drop_last": False,
        "schedule": {"name": "step", "every": 20, "factor": 0.5},
    }  # fmt: skip
    SMALL = {"width": 8}
    OWN_DEV_LOSS = True  # of cosines, which are no logits
    CHANNELS_LAST = True
    FEATURE = "lfcc"
    FOLDS = (3,)  # 60 coefficients are 3 rows before conv5
    UNUSED = ("resnet.conv6.", "resnet.bn6.")  # in published files, not in the network

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.feature = front_end(self.FEATURE, preset="singfake")
        self.resnet = PreActivationResNet18(self.FOLDS, width=width)
        self.oc_softmax = OcSoftmax(self.resnet.fc.out_features)

    def arrange(self, feature: torch.Tensor) -> torch.Tensor:
        """(batch, frame, coefficient) -> (batch, 1, coefficient, frame)."""
        return feature.transpose(1, 2).unsqueeze(1)

    def embed(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, 64000) -> embedding (batch, 256), the two linear values that the loss does not use."""
        return self.resnet(self.arrange(self.feature.extract(wave)))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 64000) wave at 16 kHz -> (batch,) cosine with the direction of bona fide, in [-1, 1]."""
        return self.oc_softmax.score(self.embed(x)[0])

    def loss(self, batch: Batch) -> torch.Tensor:
        """One-class softmax, margins 0.5 and 0.2, scale 20."""
        return self.oc_softmax(self.embed(batch.x)[0], batch.target)

    def parameter_groups(self, weight_decay: float) -> list[dict]:
        """Groups for the optimiser: as published, the direction of bona fide has plain descent and does not decay."""
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        own = [p for name, p in trained.items() if name == "oc_softmax.center"]
        rest = [p for name, p in trained.items() if name != "oc_softmax.center"]
        groups = [{"params": rest}, {"params": own, "plain": True, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A file of the network alone gets its prefix (it lacks the direction); layers that nothing uses go."""
        if "conv1.weight" in state:
            state = {f"resnet.{key}": value for key, value in state.items()}
        return _pretrained.rename(state, {"loss.": "oc_softmax."}, drop=self.UNUSED)


build = LfccResNet
