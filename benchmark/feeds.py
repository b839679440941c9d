"""What a training recipe asks of the loader beside crops of the clips; detectors declare it, nobody asks their name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmark.augment import TRANSFORMS
from benchmark.detectors._base import Detector

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True)
class Feed:
    """A detector's declarations, resolved.

    transform (TRANSFORM): what a whole training clip goes through before its crop, (wave, generator) -> wave.
    variants (VARIANTS): a plan of `shards.variant_plan`, whose codec and speed copies take the place of training
        clips; their pseudo labels become the int64 columns extra["compression"] and extra["speed"].
    reference (REFERENCE): a second utterance beside each trial: extra["reference"] (batch, sample) with zeros at the
        end, and extra["reference_given"] (batch,) bool, False where a trial has none.
    companions (COMPANIONS): further features of the training crop, extra[name].
    """

    transform: Transform | None = None
    variants: str | None = None
    reference: bool = False
    companions: Mapping[str, torch.nn.Module] = field(default_factory=dict)


def of(detector: Detector, *, train: bool) -> Feed:
    """What `detector` declares for training, or for scoring: there, only its reference counts."""
    from features import extractors

    if not train:
        return Feed(reference=detector.REFERENCE)
    return Feed(
        transform=None if detector.TRANSFORM is None else TRANSFORMS[detector.TRANSFORM],
        variants=detector.VARIANTS,
        reference=detector.REFERENCE,
        companions={name: extractors.get(feature, **params) for name, (feature, params) in detector.COMPANIONS.items()},
    )
