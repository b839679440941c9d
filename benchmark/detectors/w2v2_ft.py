"""wav2vec 2.0 Base, fine-tuned whole with one linear layer, as in the comparison of Zhang et al., Table II.

Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", arXiv 2006.11477.
Fine-tuning everything at 1e-4 without warm-up is what the comparison did and looks unstable (33.60 % in its Table VI);
the grid ablation/w2v2_ft_learning_rate sets it beside `lr=1e-5`.
"""

import torch
from torch import nn

from benchmark.detectors._base import Detector, Input
from benchmark.detectors._recipes import COMPARISON
from benchmark.detectors._ssl import Backbone


class FineTuned(Detector):
    """Mean over time of the backbone's last hidden state, then one linear layer; every parameter is trained.

    94,372,481 parameters. weights: a local copy of the backbone (folder or file), "random", or None for the hub
    cache. small: a tiny configuration with random weights, for tests.
    """

    ARCHITECTURE = "wav2vec2-base-960h"
    INPUT = Input(feature="raw", samples=48_000, train_crop="random", test_crop="middle")
    PAPER = "Baevski et al., arXiv 2006.11477; as a detector: Zhang et al., Table II"
    YEAR = 2020
    CITATION = "baevski2020wav2vec2"
    TRAINING = {**COMPARISON, "weight_decay": 1e-5, "batch_size": 128}
    WEIGHTS = "facebook/wav2vec2-base-960h (backbone; Apache-2.0)"
    EER = {
        "LibriSeVoc inner": 0.09, "WaveFake inner": 0.44, "DECRO-EN inner": 0.47, "DECRO-ZH inner": 0.43,
        "ASVspoof 2021 DF": 33.60,
    }  # fmt: skip
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "small": True}

    def __init__(self, *, weights: str | None = None, small: bool = False) -> None:
        super().__init__()
        self.ssl_model = Backbone(self.ARCHITECTURE, weights, detector=_id(type(self)), small=small)
        self.head = nn.Linear(self.ssl_model.width, 1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave at 16 kHz, not normalised -> (batch,) logit of bona fide."""
        return self.head(self.ssl_model(x).mean(1)).squeeze(1)


def _id(cls: type) -> str:
    return cls.__module__.rpartition(".")[2]


build = FineTuned
