"""Sixteen real clips, eight of each class, and the check that a detector can learn them by heart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
import torch
from shared_data import shared

from benchmark import level
from benchmark.batch import Batch, targets
from benchmark.metrics import eer
from features import extractors

PER_CLASS = 8


def waves(samples: int, how: str = "as_is") -> tuple[torch.Tensor, list[str], list[str]]:
    """(16, samples) at 16 kHz, middle crop, short clips tiled, at a level (benchmark.level); labels and names. DECRO English, training part."""
    rows = shared("corpora", "mini-decro", "en_train.txt").read_text().split("\n")
    found: dict[str, list[str]] = {"bonafide": [], "spoof": []}
    for row in rows:
        if row.strip():
            _, name, *_, label = row.split()
            found[label].append(name)
    names = [name for label in ("bonafide", "spoof") for name in sorted(found[label])[:PER_CLASS]]
    clips = []
    for name in names:
        wave, rate_hz = soundfile.read(shared("corpora", "mini-decro", "en_train", f"{name}.wav"), dtype="float32")
        assert rate_hz == 16_000
        clips.append(middle(level.of_clip(wave, how), samples))
    labels = ["bonafide"] * PER_CLASS + ["spoof"] * PER_CLASS
    return level.of_crops(torch.from_numpy(np.stack(clips)), how), labels, names


def middle(wave: np.ndarray, samples: int) -> np.ndarray:
    """The middle `samples` of a wave, tiled first where it is shorter."""
    wave = np.tile(wave, -(-samples // wave.size))
    start = (wave.size - samples) // 2
    return wave[start : start + samples]


def batch(detector: torch.nn.Module, *, samples: int | None = None, extra: Mapping[str, Any] | None = None) -> Batch:
    """The sixteen clips as `detector` is fed with them; `samples` replaces the input length."""
    spec = detector.input
    clips, labels, names = waves(samples or spec.samples or 48_000, spec.level)
    attacks = [None if label == "bonafide" else "ab"[i % 2] for i, label in enumerate(labels)]
    x = extractors.get(spec.feature, **spec.params).extract(clips)
    return Batch(x, targets(labels), names, {"attack": attacks, **(extra or {})})


def training_eer(detector: torch.nn.Module, data: Batch) -> float:
    detector.eval()
    with torch.inference_mode():
        scores = detector.score(data.x).double().numpy()
    real = data.target.numpy() == 1
    return eer(scores[real], scores[~real])[0]


def steps_to_learn(detector: torch.nn.Module, data: Batch, *, lr: float, at_most: int, every: int = 5) -> int | None:
    """How many steps of Adam bring the training EER to 0; None if `at_most` do not."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([p for p in detector.parameters() if p.requires_grad], lr=lr)
    for step in range(1, at_most + 1):
        detector.train()
        optimizer.zero_grad()
        detector.loss(data).backward()
        optimizer.step()
        if step % every == 0 and training_eer(detector, data) == 0:
            return step
    return None


def with_gradient(detector: torch.nn.Module, loss: torch.Tensor) -> set[str]:
    """The names of the parameters that `loss` gives a gradient other than zero."""
    detector.zero_grad(set_to_none=True)
    loss.backward()
    return {name for name, p in detector.named_parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)}
