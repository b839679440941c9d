"""wav2vec 2.0 Base in two stages: the head alone, then the top two layers with it.

"This work" of the two-stage fine-tuning study on ASVspoof 2019 LA: 4 s windows, mean pooling, one linear layer of
1,538 parameters; stage 2 also trains 14.18 M of the backbone at 1e-5. Where the study is silent the choice is named in
a comment.
"""

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from benchmark.detectors._base import RATE_HZ, Detector, Input
from benchmark.detectors._losses import weighted_cross_entropy
from benchmark.detectors._ssl import Backbone
from ingest.types import DataError

WINDOW = 4 * RATE_HZ
SHORTEST = RATE_HZ  # a last window shorter than 1 s is dropped unless it is the only one (our choice)
AT_ONCE = 64  # windows through the backbone at once when scoring
CLASSES = ("spoof", "bonafide")  # the order of the softmax


class TwoStage(Detector):
    """Mean over time of the last hidden state of each 4 s window, then Linear 768 -> 2.

    An utterance is cut into windows without overlap; a shorter last one is followed by zeros. Its score is the mean
    log-odds of its windows (the study averages probabilities, which saturate). In training each window is a sample
    with the label of its utterance. Every window is scaled to zero mean and unit variance.
    weights: a local copy of the backbone (folder or file), "random", or None for the hub cache. small: a tiny
    configuration for tests. class_weights: (spoof, bona fide) of the cross entropy; none by default.
    """

    INPUT = Input(
        feature="raw", samples=None, train_samples=WINDOW, windows=True, train_crop="first", test_crop="first",
        short="none", fixed=True,
    )  # fmt: skip
    PAPER = "two-stage fine-tuning of wav2vec 2.0 on ASVspoof 2019 LA, sections Method and Training"
    YEAR = 2025
    CITATION = "baevski2020wav2vec2"
    WEIGHTS = "facebook/wav2vec2-base (backbone; Apache-2.0)"
    EER = {"ASVspoof 2019 LA dev": 0.69, "ASVspoof 2019 LA": 5.55, "ASVspoof 2021 LA": 9.09, "WaveFake": 29.4}
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "small": True}

    def __init__(
        self, *, weights: str | None = None, small: bool = False, class_weights: tuple[float, float] | None = None
    ) -> None:
        super().__init__()
        if class_weights is not None and len(class_weights) != 2:
            raise DataError(f"w2v2_two_stage: class_weights are two numbers (spoof, bona fide), not {class_weights!r}")
        # Layer drop would at times skip the only layers that stage 2 trains
        self.ssl_model = Backbone(
            "wav2vec2-base", weights, detector="w2v2_two_stage", small=small, config={"layerdrop": 0.0}
        )
        self.head = nn.Linear(self.ssl_model.width, len(CLASSES))
        self.class_weights = class_weights
        self.TRAINING = self._training()

    def _training(self) -> dict:
        """Stages of the study; optimiser, decay, warm-up, clipping and batch are our choice.

        A batch is 64 windows: about 532 steps per epoch on the training part, as the study counts. Stage 2 trains in
        float16 where the machine has it.
        """
        top = range(self.ssl_model.layers - 2, self.ssl_model.layers)
        layers = [f"ssl_model.model.encoder.layers.{number}." for number in top]
        warm = {"name": "warmup_linear", "warmup": 0.1}
        return {
            "optimizer": "adamw", "weight_decay": 0.01, "batch_size": 64, "clip_norm": 1.0, "selection": "eer",
            "patience": 0, "stop_above": 0.0, "balance": "none",
            "phases": [
                {"name": "head", "epochs": 10, "lr": 1e-3, "trainable": ["head."], "schedule": "constant"},
                {
                    "name": "top layers", "epochs": 10, "lr": 1e-5, "schedule": warm, "precision": "half",
                    "trainable": ["head.", *layers, "ssl_model.model.encoder.layer_norm."],
                },
            ],
        }  # fmt: skip

    def logits(self, windows: torch.Tensor) -> torch.Tensor:
        """(window, 64000) -> (window, 2), order spoof, bona fide."""
        return self.head(self.ssl_model(standardised(windows)).mean(1))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) whole utterances -> (batch,) mean over windows of logit[bona fide] - logit[spoof]."""
        windows, row = split(x)
        logits = torch.cat([self.logits(part) for part in windows.split(AT_ONCE)])
        odds = (logits[:, 1] - logits[:, 0]).float()
        total = odds.new_zeros(len(x)).index_add_(0, row, odds)
        return total / torch.bincount(row, minlength=len(x))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy over all windows of the batch."""
        windows, row = split(batch.x)
        logits, target = self.logits(windows), batch.target[row]
        if self.class_weights is None:
            return functional.cross_entropy(logits, target)
        return weighted_cross_entropy(logits, target, self.class_weights)


def split(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, sample) -> windows (window, 64000) and the row that each came from.

    The zeros that fill a batch up to its longest utterance are not part of an utterance: trailing ones are cut first.
    """
    windows, rows = [], []
    for row, wave in enumerate(x):
        sounding = wave.nonzero()
        length = int(sounding[-1]) + 1 if len(sounding) else wave.shape[0]
        parts = list(wave[:length].split(WINDOW))
        if len(parts) > 1 and len(parts[-1]) < SHORTEST:
            parts.pop()
        windows += [functional.pad(part, (0, WINDOW - len(part))) for part in parts]
        rows += [row] * len(parts)
    return torch.stack(windows), torch.tensor(rows, device=x.device)


def standardised(windows: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance per window."""
    centred = windows - windows.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()


build = TwoStage
