"""Reference-augmented training: a test utterance attends to a bona fide one of the same speaker.

Staněk et al., "RAT: Reference-Augmented Training for ASV Anti-Spoofing", arXiv 2606.10908: XLS-R 300M, one attention
block shared by its 24 layers, mean pooling, a small classifier. The published system scores as well with a zero
reference as with a real one.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from benchmark.detectors import _ssl
from benchmark.detectors._base import Detector, Input
from ingest.types import DataError, nearest

REFERENCES = ("real", "zero", "silence", "self", "none")
COMBINATIONS = ("attention", "difference", "concatenation")
NORMS = ("utterance", "batch")
TRAIN_SAMPLES = 64_000
FRAME = 400  # samples: what one frame of the backbone hears
EPSILON = 1e-5


class Rat(Detector):
    """13,254,402 parameters behind the backbone.

    reference: "real" (in training another clip of the speaker, drawn anew at each read; when scoring the one that the
    trial names, and the zero reference where it names none), "zero" (zeros after the norm: attention then adds a
    constant), "silence" (a zero wave through the backbone), "self" (the utterance itself), "none" (no block: pooling
    and classifier only).
    combine: "attention", or for comparison the difference or the concatenation of the two pooled embeddings.
    norm: the wave's layer norm per utterance, or over the whole "batch" as the torchaudio bundle has it, which makes
    scores depend on batch mates. mask_padding: leave the zeros after a clip out of the pooling when scoring.
    weights: a local copy of XLS-R 300M (wav2vec2_xlsr_300m.pth or a hub folder), "random", or None for the caches.
    small: a tiny backbone with random weights, for tests.
    """

    INPUT = Input(
        feature="raw", samples=None, train_samples=TRAIN_SAMPLES, train_crop="first", test_crop="first", short="zero",
        fixed=True,
    )  # fmt: skip
    PAPER = "Staněk et al., RAT, arXiv 2606.10908, sections Method and Experiments"
    YEAR = 2026
    CITATION = "stanek2026rat"
    TRANSFORM = "rat_set"
    TRAINING = {
        "optimizer": "adam", "weight_decay": 0.0, "batch_size": 6, "selection": "eer", "patience": 0, "stop_above": 0.0,
        "precision": "bfloat16", "balance": "classes",
        "phases": [
            {"name": "block and classifier", "epochs": 20, "lr": 1e-3,
             "trainable": ["preattn_ln.", "attn.", "attn_mlp.", "final_ln.", "classifier."]},
            {"name": "everything", "epochs": 20, "lr": 1e-6, "trainable": []},
        ],
    }  # fmt: skip
    WEIGHTS = "the published RAT state dict; wav2vec2_xlsr_300m.pth (backbone; MIT)"
    EER = {"ASVspoof 5 open": 2.57}
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "small": True, "reference": "zero"}

    def __init__(
        self, *, weights: str | None = None, reference: str = "real", combine: str = "attention",
        norm: str = "utterance", mask_padding: bool = True, small: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        for value, known, what in (
            (reference, REFERENCES, "reference"), (combine, COMBINATIONS, "combine"), (norm, NORMS, "norm"),
        ):  # fmt: skip
            if value not in known:
                raise nearest(str(value), known, what=f"{what} of rat")
        self.reference, self.combine, self.norm, self.mask_padding = reference, combine, norm, mask_padding
        self.extractor = _ssl.Backbone(
            "xls-r-300m", weights, detector="rat", small=small, mask=False, config=_ssl.STILL
        )
        width = self.extractor.width
        if self.attends:
            self.preattn_ln, self.final_ln = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attn = nn.MultiheadAttention(width, 4)
            self.attn_mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        elif reference in ("zero", "none") and combine != "attention":
            raise DataError(
                f"rat: combine={combine} compares embeddings, and reference={reference} has none; use silence"
            )
        self.classifier = _classifier(2 * width if combine == "concatenation" else width)
        self.REFERENCE = reference == "real"
        self.TRAINING = self._training()

    @property
    def attends(self) -> bool:
        """Does the attention block exist?"""
        return self.reference != "none" and self.combine == "attention"

    def _training(self) -> dict[str, Any]:
        first, second = self.TRAINING["phases"]
        if not self.attends:
            first = {**first, "name": "classifier", "trainable": ["classifier."]}
        return {**self.TRAINING, "phases": [first, second]}

    def layers(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave -> (layer, batch, frame, width) raw outputs of the transformer layers.

        A wave too short for one frame is followed by zeros.
        """
        return self.extractor.layer_outputs(functional.pad(self.normalised(wave), (0, max(0, FRAME - wave.shape[1]))))

    def normalised(self, wave: torch.Tensor) -> torch.Tensor:
        """Zero mean and unit variance: per utterance without the zeros that fill it up, or over the whole batch."""
        if self.norm == "batch":
            return functional.layer_norm(wave, wave.shape)
        inside = sounding(wave)
        count = inside.sum(1, keepdim=True)
        mean = (wave * inside).sum(1, keepdim=True) / count
        variance = ((wave - mean).square() * inside).sum(1, keepdim=True) / count
        return (wave - mean) / (variance + EPSILON).sqrt() * inside

    def attend(
        self, test: torch.Tensor, reference: torch.Tensor | None, given: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(layer, batch, frame, width) test and reference -> the block's output, shaped as test.

        Each layer is attended to alone, with shared weights; frames may differ in number. None = zero reference;
        given: (batch,) bool, False for the rows that have the zero reference.
        """
        layers, batch = test.shape[:2]
        x = test.flatten(0, 1).transpose(0, 1)  # (frame, layer x batch, width)
        query = self.preattn_ln(x)
        if reference is None:
            key = torch.zeros_like(query)
        else:
            key = self.preattn_ln(reference)
            key = key if given is None else key * given[:, None, None]  # zeros of any length weigh the same
            key = key.flatten(0, 1).transpose(0, 1)
        attended, _ = self.attn(query, key, key, need_weights=False)
        y = self.final_ln(x + attended + self.attn_mlp(query))
        return y.transpose(0, 1).unflatten(0, (layers, batch))

    def pooled(self, layers: torch.Tensor, inside: torch.Tensor | None = None) -> torch.Tensor:
        """(layer, batch, frame, width) -> (batch, width), mean over layers and over the frames that are `inside`."""
        if inside is None:
            return layers.mean((0, 2))
        share = inside.to(layers.dtype) / inside.sum(1, keepdim=True)
        return torch.einsum("lbtd,bt->bd", layers, share) / len(layers)

    def logits(
        self, wave: torch.Tensor, reference: torch.Tensor | None = None, given: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, sample) test and reference waves -> (batch, 2), order bona fide, spoof.

        given: (batch,) bool, the rows that have a reference; None = all, where there are references.
        """
        reference = None if given is not None and not given.any() else reference
        test = self.layers(wave)
        inside = self._frames_inside(wave, test.shape[2])
        if self.reference == "none":
            return self.classifier(self.pooled(test, inside))
        other = self._reference(wave, test, reference)
        if self.attends:
            return self.classifier(self.pooled(self.attend(test, other, given), inside))
        if other is None or (given is not None and not given.all()):
            raise DataError(
                f"rat: combine={self.combine} needs a reference for every trial: score it on a protocol with references"
            )
        one, two = self.pooled(test, inside), self.pooled(other)
        return self.classifier(one - two if self.combine == "difference" else torch.cat([one, two], 1))

    def score(
        self, x: torch.Tensor, reference: torch.Tensor | None = None, given: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, sample) waves -> (batch,) logit[bona fide] - logit[spoof]; reference: waves or None."""
        logits = self.logits(x, reference, given)
        return logits[:, 0] - logits[:, 1]

    def score_batch(self, batch: Batch) -> torch.Tensor:
        """(batch,) scores; a trial without a reference is scored with the zero reference."""
        return self.score(batch.x, batch.extra.get("reference"), batch.extra.get("reference_given"))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy on the first 64,000 samples of both channels, class 1 = spoof."""
        reference = batch.extra.get("reference")
        if self.reference == "real" and reference is None:
            raise DataError(
                "rat trains with a bona fide utterance of the same speaker beside every trial, and the batch has no "
                "reference: feed it through benchmark.loader, or set reference=zero, self or none"
            )
        cut = None if reference is None else first(reference)
        return functional.cross_entropy(self.logits(first(batch.x), cut), 1 - batch.target)

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Names of the published file, with torchaudio's backbone, to ours."""
        heads = ("preattn_ln.", "attn.", "attn_mlp.", "final_ln.", "classifier.")
        backbone = {key: value for key, value in state.items() if not key.startswith(heads)}
        own = {key: value for key, value in state.items() if key.startswith(heads)}
        if not backbone:
            return own
        named = _ssl.to_transformers(backbone)
        kept = {key: v for key, v in named.items() if not key.startswith((*_ssl.BESIDE, _ssl.MASK))}
        return {**own, **{f"extractor.model.{key}": value for key, value in kept.items()}}

    def _reference(self, wave: torch.Tensor, test: torch.Tensor, reference: torch.Tensor | None) -> torch.Tensor | None:
        if self.reference == "self":
            return test
        if self.reference == "silence":
            return self.layers(torch.zeros_like(wave))
        if self.reference == "zero" or reference is None:
            return None
        return self.layers(reference)

    def _frames_inside(self, wave: torch.Tensor, frames: int) -> torch.Tensor | None:
        """(batch, frame) bool: frames before the zeros that fill a clip up; None when all count."""
        if self.training or not self.mask_padding:
            return None
        share = sounding(wave).sum(1, keepdim=True) / wave.shape[1]
        return torch.arange(frames, device=wave.device) < (share * frames).ceil().clamp(min=1)


def sounding(wave: torch.Tensor) -> torch.Tensor:
    """(batch, sample) bool: the samples before the zeros at the end; all of a row that is zero throughout."""
    from_here_on = wave.flip(1).abs().cumsum(1).flip(1) > 0
    return from_here_on | ~from_here_on.any(1, keepdim=True)


def first(wave: torch.Tensor) -> torch.Tensor:
    """(batch, sample) -> (batch, 64000): cut, or followed by zeros."""
    return functional.pad(wave[:, :TRAIN_SAMPLES], (0, max(0, TRAIN_SAMPLES - wave.shape[1])))


def _classifier(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, 512), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 2),
    )  # fmt: skip


build = Rat
