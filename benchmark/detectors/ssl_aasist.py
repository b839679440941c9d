"""XLS-R 300M with AASIST's graphs, fine-tuned whole.

Tak et al., "Automatic speaker verification spoofing and deepfake detection using wav2vec 2.0 and data augmentation",
Odyssey 2022, arXiv 2202.12233. The raw wave goes in, as in the public code, although the backbone was trained on
normalised input.
"""

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from benchmark.detectors import _ssl
from benchmark.detectors._base import Detector, Input
from benchmark.detectors._graph import GraphReadOut, attention_map
from benchmark.detectors._losses import weighted_cross_entropy
from benchmark.detectors._residual import aasist_encoder
from ingest.types import nearest

RAWBOOST = {"LA": "rawboost_5", "DF": "rawboost_3"}
BANDS = 42  # rows of the pooled map: 128 / 3


class SslAasist(GraphReadOut, Detector):
    """447,242 parameters behind the backbone.

    weights: a local copy of XLS-R 300M (hub folder, xlsr2_300m.pt or wav2vec2_xlsr_300m.pth), "random", or None for
    the caches. recipe: the augmentation of training, LA (RawBoost 5) or DF (RawBoost 3). small: a tiny backbone with
    random weights, for tests. `load_weights` takes best_SSL_model_LA.pth and best_SSL_model_DF.pth.
    """

    INPUT = Input(feature="raw", samples=64_600, train_crop="first", test_crop="first", fixed=True)
    PAPER = "Tak et al., arXiv 2202.12233, sections 3 and 4"
    YEAR = 2022
    CITATION = "tak2022ssl"
    TRAINING = {
        "optimizer": "adam", "lr": 1e-6, "weight_decay": 1e-4, "batch_size": 14, "epochs": 100, "selection": "loss",
        "patience": 0, "stop_above": 0.0, "balance": "none",
    }  # fmt: skip
    WEIGHTS = "best_SSL_model_LA.pth, best_SSL_model_DF.pth; xlsr2_300m.pt (backbone; MIT)"
    EER = {"ASVspoof 2021 LA": 0.82, "ASVspoof 2021 DF": 2.85}
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "small": True}
    CLASS_WEIGHTS = (0.1, 0.9)  # spoof, bona fide
    OWN_DEV_LOSS = True  # of two logits, of which the score is one

    def __init__(self, *, weights: str | None = None, recipe: str = "LA", small: bool = False) -> None:
        Detector.__init__(self)
        if recipe not in RAWBOOST:
            raise nearest(str(recipe), RAWBOOST, what="recipe of ssl_aasist")
        self.TRANSFORM = RAWBOOST[recipe]
        self._add_layers(weights, small=small, detector="ssl_aasist")

    def _add_layers(self, weights: str | None, *, small: bool, detector: str) -> None:
        self.ssl_model = _ssl.Backbone("xls-r-300m", weights, detector=detector, small=small, config=_ssl.STILL)
        self.LL = nn.Linear(self.ssl_model.width, 128)
        self.first_bn = nn.BatchNorm2d(1)
        self.first_bn1 = nn.BatchNorm2d(64)
        self.encoder = aasist_encoder(pool=1)
        self.attention = attention_map()
        self.add_graph(spectral_nodes=BANDS, ratios=(0.5, 0.5, 0.5))

    def encode(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, frame, width) -> (batch, 64, 42, frame / 3): the map before its last batch norm."""
        x = self.LL(features).transpose(1, 2).unsqueeze(1)
        x = functional.max_pool2d(x, 3)
        return self.encoder(functional.selu(self.first_bn(x)))

    def back_end(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, frame, width) -> embedding (batch, 160), logits (batch, 2)."""
        x = functional.selu(self.first_bn1(self.encode(features)))
        weight = self.attention(x)
        spectral = (x * weight.softmax(3)).sum(3).transpose(1, 2)
        temporal = (x * weight.softmax(2)).sum(2).transpose(1, 2)
        return self.graph(spectral, temporal)

    def embed(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, 64600) -> embedding (batch, 160), logits (batch, 2)."""
        return self.back_end(self.ssl_model(wave))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 64600) wave at 16 kHz, not normalised -> (batch,) logit of bona fide."""
        return self.embed(x)[1][:, 1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy, weighted 0.1 for spoof and 0.9 for bona fide."""
        return weighted_cross_entropy(self.embed(batch.x)[1], batch.target, self.CLASS_WEIGHTS)

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """fairseq's names of the backbone to ours; what only its pre-training used is left out."""
        return _ssl.nested(state, "ssl_model.model.", self.state_dict())


build = SslAasist
