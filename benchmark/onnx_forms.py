"""Operations that ONNX or its exporter lacks, in ones that it has: they stand in while a network is exported.

Front ends inside a network use complex transforms, views and NumPy; here the same values come from gathers and real
matrix products. `onnx_model.write` compares the scores of the result with those of the network itself.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.detectors._gmm import DiagonalMixture
from features.extractors import _spectrum
from features.extractors._base import Extractor

# Detectors that have no ONNX form, and why
WITHOUT = {
    "constant": "its score does not depend on the clip",
    "random_score": "its score is drawn by a hash of the samples",
    "w2v2_two_stage": "how many windows a clip has is read off its samples",
}


@contextlib.contextmanager
def portable(network: nn.Module) -> Iterator[None]:
    """Within it `network` computes the same in operations that can be exported; everything is as before after it."""
    with contextlib.ExitStack() as undo:
        for owner, name, form in _FORMS:
            undo.enter_context(_replaced(owner, name, form))
        for norm in network.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.weight is None:
                undo.callback(setattr, norm, "weight", None)
                undo.callback(setattr, norm, "bias", None)
                norm.weight = nn.Parameter(torch.ones_like(norm.running_mean), requires_grad=False)
                norm.bias = nn.Parameter(torch.zeros_like(norm.running_mean), requires_grad=False)
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, form: Any) -> Iterator[None]:
    own, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, form)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)  # it was inherited


def _extract(extractor: Extractor, wave: Tensor) -> Tensor:
    """All clips at once, and no question about their shape."""
    return extractor.over_batch(extractor.features(wave.float()))


def _unfold(x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Windows of the last axis as a gather: the exporter's own asks for a size that it does not know."""
    count = (int(x.shape[dim]) - size) // step + 1
    index = torch.arange(count)[:, None] * step + torch.arange(size)
    return x[..., index]


def _mirrored(wave: Tensor, half: int) -> Tensor:
    return torch.cat([wave[:, 1 : half + 1].flip(1), wave, wave[:, -half - 1 : -1].flip(1)], dim=1)


def _power(module: _spectrum.Power, wave: Tensor) -> Tensor:
    """The power spectrum from two real matrix products."""
    frames = module.frames(wave) * module.window
    time = torch.arange(len(module.window), dtype=torch.float64)
    angle = 2 * math.pi / module.n_fft * time[:, None] * torch.arange(module.bins, dtype=torch.float64)
    real, imaginary = (frames @ part.to(module.dtype) for part in (angle.cos(), angle.sin()))
    return (real.square() + imaginary.square()).float()


def _bank(module: _spectrum.Bank, power: Tensor) -> Tensor:
    return power @ module.weight


def _bels(power: Tensor, top_db: float | None, *, over: str = "clip") -> Tensor:
    level = power.clamp(min=1e-10).log10()
    if top_db is None:
        return level
    peak = level.amax() if over == "batch" else level.amax(dim=(-2, -1), keepdim=True)
    return torch.maximum(level, peak - top_db / 10)


def _adaptive_max(x: Tensor, size: Any, return_indices: bool = False) -> Tensor:
    """Window i of n over m values runs from floor(i m / n) to ceil((i + 1) m / n); one axis after the other."""
    for axis, n in ((2, int(size[0])), (3, int(size[1]))):
        m = int(x.shape[axis])
        bounds = [(i * m // n, -(-(i + 1) * m // n)) for i in range(n)]
        x = torch.cat([x.narrow(axis, low, high - low).amax(axis, keepdim=True) for low, high in bounds], dim=axis)
    return x


def _attention(
    module: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, *, need_weights: bool
) -> tuple[Tensor, None]:
    """(frame, batch, width) each, no mask: torch's own fixes the number of frames in the graph."""
    parts = zip((query, key, value), module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)
    heads = (nn.functional.linear(*part).unflatten(-1, (module.num_heads, -1)).permute(1, 2, 0, 3) for part in parts)
    q, k, v = heads
    weight = (q @ k.transpose(2, 3) / math.sqrt(module.head_dim)).softmax(-1)
    return module.out_proj((weight @ v).permute(2, 0, 1, 3).flatten(2)), None


_FORMS = (
    (Extractor, "extract", _extract),
    (torch.Tensor, "unfold", _unfold),
    (_spectrum, "mirrored", _mirrored),
    (_spectrum.Power, "forward", _power),
    (_spectrum.Bank, "forward", _bank),
    (_spectrum, "bels", _bels),
    (_spectrum, "log_", torch.log),
    (_spectrum, "log10_", torch.log10),
    (nn.MultiheadAttention, "forward", _attention),
    (nn.functional, "adaptive_max_pool2d", _adaptive_max),
    (DiagonalMixture, "log_likelihood", lambda mixture, frames: mixture.joint(frames).logsumexp(1)),  # all at once
)
