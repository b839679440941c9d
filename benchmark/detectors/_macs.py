"""How many multiply-accumulates one clip costs a detector, counted as the literature's tables count them."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark import detectors
from features import extractors


def macs(name: str, *, samples: int | None = None, **config: Any) -> int:
    """Multiply-accumulates of scoring one clip of `samples` (default: the detector's own length, else 64,600).

    PyTorch's count halved, on the plain form: convolutions, matrix products and GRUs. LSTMs are not counted, nor is the
    feature extractor, but for the filter bank and cosine transform where the published network carries them. Nothing is
    computed but shapes, unless an operation has no shape-only form.
    """
    cls = detectors.get(name)
    with torch.device("meta"):
        model = detectors.build(name, **{**cls.OFFLINE, **config})
    extractor = extractors.get(model.input.feature, **model.input.params)
    x = extractor.extract(torch.zeros(1, samples or model.input.samples or 64_600))
    try:
        return _count(model.to("meta"), x.to("meta"))
    except (RuntimeError, NotImplementedError):  # e.g. a value is looked at, which a shape does not have
        return _count(detectors.build(name, **{**cls.OFFLINE, **config}), x)


def _count(model: nn.Module, x: torch.Tensor) -> int:
    model.eval().requires_grad_(False)
    model.fast = False
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)  # called, so that the counter learns the names of its layers
    root, counts = type(model).__name__, counter.get_flop_counts()
    recurrent = [f"{root}.{key}" for key, module in model.named_modules() if isinstance(module, nn.LSTM)]
    left_out = sum(sum(counts[key].values()) for key in recurrent if key in counts)
    carried = x.shape[1] * sum(getattr(module, "products", 0) for module in model.modules())
    return (counter.get_total_flops() - left_out) // 2 + carried
