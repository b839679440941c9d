"""Feature decomposition with synthesizer feature augmentation (FD-ADD).

Zhang et al., "Robust AI-Synthesized Speech Detection Using Feature Decomposition Learning and Synthesizer Feature
Augmentation", section IV. A ResNet18 trunk feeds two copies of its last stage: the content stream, which must not
know the synthesizer and learns speed and compression instead, and the synthesizer stream, which names it.
Every term of equation 14 can be switched. The defaults are the paper's, except that what it does not
mention but the public code has (feature norm, standardised input, dropout, weight norm, SpecAugment) is on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from benchmark.augment import spec_augment
from benchmark.batch import Batch
from benchmark.detectors import _decomposition as terms
from benchmark.detectors import _pretrained
from benchmark.detectors._base import Input
from benchmark.detectors._losses import focal
from benchmark.detectors._recipes import COMPARISON
from benchmark.detectors._resnet import ResNet18, basic_layer, init_convolutions
from features.extractors._base import within
from ingest.types import DataError, nearest

LIBRISEVOC = ("diffwave", "melgan", "parallel_wavegan", "wavegrad", "wavenet", "wavernn")
COMPRESSIONS, SPEEDS = 10, 16  # none and 3 codecs x 3 bit rates; speeds 0.5 to 2.0 in steps of 0.1
F0_POINTS, F0_HIGHEST_HZ = 192, 9000.0  # of the F0 objective: pitch every 15 ms, as a share of the highest
RENAMED = {"audio_encoder.": "feature_model.model.", "audio_transform.": "transform."}
CHOICES = {
    "streams": ("both", "content", "synthesizer", "single"),
    "blending": ("style", "noise_only", "none"),
    "pseudo_labels": ("speed_compression", "f0", "none"),
    "synthesizer_contrastive": ("cosine", "authors", "none"),
    "decay": ("selective", "all"),
    "mask_axes": ("named", "authors"),
}


class NormedLinear(nn.Module):
    """A linear layer without bias whose rows have a learned length each (weight normalisation, Salimans 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        weight = nn.Linear(inputs, outputs, bias=False).weight.detach()
        self.weight_g = nn.Parameter(weight.norm(dim=1, keepdim=True))
        self.weight_v = nn.Parameter(weight.clone())

    def weight(self) -> torch.Tensor:
        """(outputs, inputs)."""
        return self.weight_g * functional.normalize(self.weight_v, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight())


class Streams(nn.Module):
    """The trunk and the two copies of its last stage; names as in the public checkpoints."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = ResNet18(width)
        self.layer4_copy = basic_layer(4 * width, 8 * width, 2)
        init_convolutions(self.layer4_copy)
        self.layer4_copy.load_state_dict(self.model.layer4.state_dict())


@dataclass(frozen=True, slots=True)
class Features:
    """Outputs of the network before its heads; a stream that is switched off is None."""

    hidden: torch.Tensor  # (batch, 256, height, width), the main stream
    content: torch.Tensor | None  # (batch, 512)
    synthesizer: torch.Tensor | None  # (batch, 512)


class FdAdd(_pretrained.Pretrained):
    """19,581,922 parameters with six synthesizers.

    attacks: the synthesizers of the training split, in the order of their labels 1, 2, ... (0 = bona fide).
    weights: path of Wav2CLIP.pt (both copies of the last stage start from it), or "random".
    streams: both; one of them alone, or `single`, equation 15. b0 to b3: weights of equation 14 (augmentation,
    synthesizer, content, contrastive). shuffle, blending (style | noise_only | none, noise_only is what the public
    code does), eta: the feature augmentation. adversarial, pseudo_labels (speed_compression | f0 | none): the
    content stream's objectives, f0 the comparison of Table XII; frozen_statistics keeps the adversarial pass from
    updating batch norms a second time. synthesizer_contrastive: cosine, the public code's form (authors) or none;
    alpha_synthesizer, alpha_class: margins of the two contrastive terms. label_smoothing: of the cross entropies that
    name synthesizer, speed and compression; focal_gamma, focal_alpha: of the loss on shuffled features. feature_norm:
    length that features are scaled to, 0 = not. standardise: each clip's spectrogram.
    mask, mask_axes: SpecAugment in training; the public code swaps time and frequency. decay: weight decay 1e-5 on
    convolution weights only, or 0.01 on `all` as the paper states. width: channels of the first stage.

    In training the batch supplies extra["attack"] (words) and, for the pseudo labels, extra["speed"] and
    extra["compression"]; without pseudo labels nothing is done to the clips.
    """

    INPUT = Input(
        feature="logspec", params={"preset": "fd_add"}, samples=48_000, train_crop="random", test_crop="middle"
    )
    PAPER = "Zhang et al., Robust AI-Synthesized Speech Detection, section IV"
    YEAR = 2025
    CITATION = "zhang2025fdadd"
    WEIGHTS = "Wav2CLIP.pt (pretrained trunk; release v0.1.0-alpha, MIT)"
    EER = {
        "LibriSeVoc inner": 0.43, "WaveFake inner": 0.07, "DECRO-EN inner": 0.21, "DECRO-ZH inner": 0.45,
        "ASVspoof 2021 DF": 14.79,
    }  # fmt: skip
    VARIANTS = "fd_add"  # which have its pseudo-labels; a configuration without these has no copies
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "width": 8, "attacks": ("a", "b"), "pseudo_labels": "none"}
    FILES = ("Wav2CLIP.pt",)
    HEADS = ("cls_",)
    IGNORED = ("transform.", "image_transform.")
    CHANNELS_LAST = True
    MAPS = {"content": "feature_model.model.layer4", "synthesizer": "feature_model.layer4_copy"}

    def __init__(
        self, *, attacks: Sequence[str] = LIBRISEVOC, weights: str | None = None, streams: str = "both",
        b0: float = 1.0, b1: float = 0.5, b2: float = 0.5, b3: float = 0.5, shuffle: bool = True,
        blending: str = "style", eta: float = 0.1, adversarial: bool = True, frozen_statistics: bool = False,
        pseudo_labels: str = "speed_compression", synthesizer_contrastive: str = "cosine",
        alpha_synthesizer: float = 0.4, alpha_class: float = 0.4, label_smoothing: float = 0.0,
        focal_gamma: float = 2.0, focal_alpha: float = 0.25, feature_norm: float = 10.0, dropout: float = 0.1,
        standardise: bool = True, mask: bool = True, mask_axes: str = "named", decay: str = "selective",
        width: int = 64,
    ) -> None:  # fmt: skip
        super().__init__()
        chosen = {
            "streams": streams, "blending": blending, "pseudo_labels": pseudo_labels, "decay": decay,
            "synthesizer_contrastive": synthesizer_contrastive, "mask_axes": mask_axes,
        }  # fmt: skip
        within(0, 1, label_smoothing=label_smoothing, focal_alpha=focal_alpha, dropout=dropout)
        within(0, math.inf, b0=b0, b1=b1, b2=b2, b3=b3, eta=eta, alpha_synthesizer=alpha_synthesizer,
               alpha_class=alpha_class, focal_gamma=focal_gamma, feature_norm=feature_norm)  # fmt: skip
        for key, value in chosen.items():
            if value not in CHOICES[key]:
                raise nearest(str(value), CHOICES[key], what=f"{key} of fd_add")
        self.streams, self.blending, self.shuffle, self.eta = streams, blending, shuffle, eta
        self.b0, self.b1, self.b2, self.b3 = b0, b1, b2, b3
        self.adversarial, self.frozen_statistics = adversarial, frozen_statistics
        self.pseudo_labels, self.synthesizer_contrastive = pseudo_labels, synthesizer_contrastive
        self.alpha_synthesizer, self.alpha_class = alpha_synthesizer, alpha_class
        self.label_smoothing, self.focal_gamma, self.focal_alpha = label_smoothing, focal_gamma, focal_alpha
        self.feature_norm, self.dropout = feature_norm, dropout
        self.mask, self.mask_axes, self.decay = mask, mask_axes, decay
        self.labels = {attack: label for label, attack in enumerate(attacks, start=1)}
        self.input = replace(self.INPUT, params={"preset": "fd_add", "norm": "clip" if standardise else "none"})
        # Section V-A; the public code selects on the sum of AUC and accuracy and stops above 0.998
        self.TRAINING = {
            **COMPARISON, "batch_size": 128, "weight_decay": 1e-5 if decay == "selective" else 0.01,
            "stop_above": 0.998,
        }  # fmt: skip
        self.VARIANTS = type(self).VARIANTS if pseudo_labels == "speed_compression" and self.has_content else None
        dim = 8 * width
        self.feature_model = Streams(width)
        self.cls_final = nn.Sequential(NormedLinear(2 * dim if streams == "both" else dim, 1))
        if self.has_synthesizer:
            self.cls_voc = NormedLinear(dim, len(self.labels) + 1)
        if self.has_content and pseudo_labels == "f0":
            self.cls_f0 = NormedLinear(dim, F0_POINTS)
            self.COMPANIONS = {"f0": ("f0", {"preset": "sfatnet_authors"})}
        elif self.has_content:
            self.cls_speed = NormedLinear(dim, SPEEDS)
            self.cls_compression = NormedLinear(dim, COMPRESSIONS)
        if streams in ("content", "single"):
            del self.feature_model.layer4_copy
        elif streams == "synthesizer":
            del self.feature_model.model.layer4
        self.start_from(weights, detector="fd_add")

    @property
    def has_content(self) -> bool:
        """Does the content stream with its heads exist?"""
        return self.streams in ("both", "content")

    @property
    def has_synthesizer(self) -> bool:
        """Does the synthesizer stream with its head exist?"""
        return self.streams in ("both", "synthesizer")

    def features(self, x: torch.Tensor) -> Features:
        """(batch, frame, bin) standardised log power -> the features of every stream, not blended."""
        model = self.feature_model
        hidden = model.model.trunk(x.transpose(1, 2).unsqueeze(1))
        content = self.pool(model.model.layer4(hidden)) if self.streams != "synthesizer" else None
        return Features(hidden, content, self.pool(model.layer4_copy(hidden)) if self.has_synthesizer else None)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channel, height, width) -> (batch, channel), scaled to `feature_norm`."""
        pooled = x.mean((2, 3))
        return self.feature_norm * functional.normalize(pooled, dim=1) if self.feature_norm else pooled

    def classify(self, *features: torch.Tensor | None) -> torch.Tensor:
        """The streams' features, content first -> (batch,) logit of bona fide."""
        present = [feature for feature in features if feature is not None]
        return self.cls_final(self._drop(torch.cat(present, 1))).squeeze(1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, bin) standardised log power -> (batch,) logit of bona fide."""
        features = self.features(x)
        return self.classify(features.content, features.synthesizer)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Equation 14: the sum of `losses`, each with its weight; equation 15 for the single stream."""
        return sum(weight * value for weight, value in self.losses(batch).values())

    def losses(self, batch: Batch) -> dict[str, tuple[float, torch.Tensor]]:
        """Every term that is switched on: name -> (weight, value)."""
        x, target = batch.x, batch.target
        if self.mask and self.training:
            x = spec_augment(x, swapped=self.mask_axes == "authors")
        features = self.features(x)
        content, synthesizer = features.content, features.synthesizer
        blended = [self._blend(z, target) for z in (content, synthesizer)]
        found = {"class": (1.0, self._real(self.classify(*blended), target))}
        joint = torch.cat([z for z in (content, synthesizer) if z is not None], 1)
        found["class_contrastive"] = (self.b3, terms.contrastive(joint, target, alpha=self.alpha_class))
        if self.streams == "single":
            return found
        if self.shuffle and self.streams == "both":
            found["augmentation"] = (self.b0, self._shuffled(*blended, target))
        if self.has_synthesizer:
            found |= self._synthesizer_losses(synthesizer, self.synthesizer_labels(batch))
        if self.has_content:
            found |= self._content_losses(content, batch)
        if self.adversarial and self.streams == "both":
            found["adversarial"] = (self.b2, self.adversarial_loss(features.hidden))
        return found

    def _synthesizer_losses(self, feature: torch.Tensor, label: torch.Tensor) -> dict:
        found = {"synthesizer": (self.b1, self._entropy(self.cls_voc(self._drop(feature)), label))}
        if self.synthesizer_contrastive == "cosine":
            value = terms.contrastive(feature, label, alpha=self.alpha_synthesizer)
            found["synthesizer_contrastive"] = (0.5 * self.b1, value)
        elif self.synthesizer_contrastive == "authors":
            found["synthesizer_contrastive"] = (0.5 * self.b1, terms.contrastive_of_authors(feature, label))
        return found

    def _content_losses(self, feature: torch.Tensor, batch: Batch) -> dict:
        if self.pseudo_labels == "none":
            return {}
        if self.pseudo_labels == "f0":
            return {"f0": (self.b2, f0_error(self.cls_f0(self._drop(feature)), _column(batch, "f0")))}
        heads = {"speed": self.cls_speed, "compression": self.cls_compression}
        return {
            name: (self.b2, self._entropy(head(self._drop(feature)), _column(batch, name).long()))
            for name, head in heads.items()
        }

    def adversarial_loss(self, hidden: torch.Tensor) -> torch.Tensor:
        """Equation 9, whose gradient reaches the content stream's last stage and nothing else.

        The content feature is computed anew from the detached output of the main stream, and the synthesizer head
        is applied with detached weights; a gradient reversal would train that head on content features too.
        """
        stage = self.feature_model.model.layer4
        training = stage.training
        if self.frozen_statistics:
            stage.eval()
        content = self.pool(stage(hidden.detach()))
        stage.train(training)
        return terms.against_uniform(functional.linear(self._drop(content), self.cls_voc.weight().detach()))

    def synthesizer_labels(self, batch: Batch) -> torch.Tensor:
        """(batch,) int64: 0 for bona fide, else the number of the attack among those trained on."""
        words = batch.extra.get("attack")
        if words is None:
            raise DataError("fd_add needs the attack of every training trial (extra column attack)")
        unknown = sorted({str(w) for w, t in zip(words, batch.target.tolist()) if not t and w not in self.labels})
        if unknown:
            raise DataError(
                f"fd_add: {len(unknown)} attacks of the training trials are not in its setting attacks "
                f"(first: {unknown[0]}; known: {', '.join(self.labels)})"
            )
        labels = [0 if t else self.labels[w] for w, t in zip(words, batch.target.tolist())]
        return torch.tensor(labels, device=batch.target.device)

    def parameter_groups(self, weight_decay: float) -> list[dict]:
        """Groups for the optimiser: with decay=selective only weights of convolutions decay (as in the public code)."""
        trained = [(key, p) for key, p in self.named_parameters() if p.requires_grad]
        if self.decay == "all":
            return [{"params": [p for _, p in trained], "weight_decay": weight_decay}]
        convolutions = {
            f"{name}.weight" for name, module in self.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)
        }
        return [
            {"params": [p for key, p in trained if key in convolutions], "weight_decay": weight_decay},
            {"params": [p for key, p in trained if key not in convolutions], "weight_decay": 0.0},
        ]

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Names of Wav2CLIP.pt to ours, its last stage for both streams; windows are not weights."""
        copies = any(key.startswith("audio_encoder.") for key in state)
        state = _pretrained.rename(state, RENAMED)
        if copies and self.has_synthesizer:
            source = _pretrained.under(state, "feature_model.model.layer4.")
            state |= {f"feature_model.layer4_copy.{key}": value for key, value in source.items()}
        gone = ("feature_model.model.layer4.",) if self.streams == "synthesizer" else ()
        windows = ("feature_model.spectrogram.", "feature_model.model.spectrogram.")
        return _pretrained.rename(state, {}, drop=(*windows, *gone))

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, self.dropout, self.training)

    def _entropy(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, label, label_smoothing=self.label_smoothing)

    @staticmethod
    def _real(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(logits, target.float())

    def _blend(self, feature: torch.Tensor | None, target: torch.Tensor) -> torch.Tensor | None:
        if feature is None or self.blending == "none" or not self.training:
            return feature
        return terms.augment(feature, target, style=self.blending == "style", eta=self.eta)

    def _shuffled(self, content: torch.Tensor, synthesizer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Equations 12 and 13: content of one row with the synthesizer of another; real only if both are."""
        order = torch.randperm(len(target), device=target.device)
        logits = self.classify(content, synthesizer[order])
        return focal(logits, target * target[order], gamma=self.focal_gamma, alpha=self.focal_alpha)


def f0_error(predicted: torch.Tensor, hz: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the pitch as a share of 9,000 Hz: (batch, point), (batch, point, 1) Hz, 0 = unvoiced.

    The paper names the objective; its form is that of the public code.
    """
    return functional.mse_loss(predicted, hz.squeeze(2) / F0_HIGHEST_HZ)


def _column(batch: Batch, name: str) -> torch.Tensor:
    if name not in batch.extra:
        raise DataError(
            f"fd_add trains its content stream on {name} and the batch has none: feed it through benchmark.loader, or "
            "set pseudo_labels=none"
        )
    return torch.as_tensor(batch.extra[name], device=batch.target.device)


build = FdAdd
