"""Grad-CAM (Selvaraju et al., 2017): which places of its input moved a convolutional detector towards its answer.

A map is the output of one convolutional stage, its channels weighted by the mean gradient of the score and added up,
negative sums taken as none. A detector names its stages in MAPS; else the stage is its last convolution that still has
places in time, apart from attention weights. Detectors whose convolutions only feed a transformer have none.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

ATTENTION = "att"  # modules whose convolutions compute weights for other maps: attention, attention.3, att5


class NoMap(Exception):
    """The detector has no map; the message says why, as the end of a sentence."""


def maps(network: Any, x: torch.Tensor, *, towards: str = "spoof") -> dict[str, np.ndarray]:
    """Stage -> (batch, bin, frame) for features (batch, frame, bin), (batch, 1, step) for waves (batch, sample).

    In [0, 1], 1 = most for `towards` ("spoof" or "bonafide") in that input; all 0 where nothing speaks for it. A step
    is an equal share of the wave. network: a detector in evaluation mode. Raises NoMap where it has no such map.
    """
    fast = network.fast
    network.take_form(fast=False)  # the quick forms do not call their modules one by one
    try:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # it has no backward of scoring LSTMs
            stages = _stages(network)
            with _kept(stages) as kept:
                score = network.score(x.clone().requires_grad_()).sum()
            axes = _time_axes(network, x, stages, kept)
            names = [name for name in kept if name in axes]
            if not names:
                raise NoMap("its convolutions hear pieces or repetitions, not places of the recording")
            names = names if network.MAPS else names[-1:]
            sign = -1 if towards == "spoof" else 1
            gradients = torch.autograd.grad(sign * score, [kept[name] for name in names], allow_unused=True)
    finally:
        network.take_form(fast=fast)
    found = {
        name: _map(kept[name].detach(), gradient, axes[name], x).cpu().numpy()
        for name, gradient in zip(names, gradients)
        if gradient is not None
    }
    if not found:
        raise NoMap("no gradient of its score reaches a convolution")
    return found


def _stages(network: Any) -> dict[str, nn.Module]:
    modules = dict(network.named_modules())
    if network.MAPS:
        return {word: modules[name] for word, name in network.MAPS.items() if name in modules}
    backbones = [name + "." for name, module in modules.items() if hasattr(module, "config")]
    convolutions = {name: m for name, m in modules.items() if isinstance(m, nn.Conv1d | nn.Conv2d)}
    own = {name: m for name, m in convolutions.items() if not name.startswith(tuple(backbones))}
    if not own:
        raise NoMap("its convolutions only feed a transformer" if convolutions else "its network has no convolution")
    return {n: m for n, m in own.items() if not any(part.startswith(ATTENTION) for part in n.split("."))}


@contextlib.contextmanager
def _kept(stages: Mapping[str, nn.Module]) -> Iterator[dict[str, torch.Tensor]]:
    """The outputs of the stages of the passes inside, in the order in which they were last called."""
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        kept.pop(name, None)
        kept[name] = output

    hooks = [
        stage.register_forward_hook(lambda module, inputs, output, name=name: keep(name, output))
        for name, stage in stages.items()
    ]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _time_axes(
    network: Any, x: torch.Tensor, stages: Mapping[str, nn.Module], whole: Mapping[str, torch.Tensor]
) -> dict[str, int]:
    """Which axis of each output is time: the one that shrinks when the input ends earlier.

    Networks of one length only refuse that: there the later one of two axes on which a silent end makes a change.
    """
    ends = x.shape[1] * 3 // 4
    with torch.no_grad(), _kept(stages) as cut, contextlib.suppress(RuntimeError, ValueError, IndexError):
        network.score(x[:, :ends])  # may also fail behind the convolutions
    if cut:
        shrunk = {name: _shrunk(whole[name], output) for name, output in cut.items() if name in whole}
        return {name: axes[0] for name, axes in shrunk.items() if len(axes) == 1}
    silent = x.clone()
    silent[:, ends:] = 0
    with torch.no_grad(), _kept(stages) as changed:
        network.score(silent)
    return {name: _latest(output.detach() - changed[name]) for name, output in whole.items()}


def _shrunk(whole: torch.Tensor, cut: torch.Tensor) -> list[int]:
    return [axis for axis in range(2, whole.dim()) if whole.shape[axis] > cut.shape[axis]]


def _latest(change: torch.Tensor) -> int:
    """The axis from 2 on along which the centre of the change lies nearest to the end."""
    centres = {}
    for axis in range(2, change.dim()):
        size = change.shape[axis]
        along = change.abs().double().movedim(axis, 0).reshape(size, -1).sum(1)
        at = torch.arange(size, device=along.device)
        centres[axis] = float((along * at).sum() / along.sum().clamp(min=1e-30) / max(size - 1, 1))
    return max(centres, key=centres.get)


def _map(output: torch.Tensor, gradient: torch.Tensor, time: int, x: torch.Tensor) -> torch.Tensor:
    places = tuple(range(2, output.dim()))
    weighted = functional.relu((gradient.mean(places, keepdim=True) * output).sum(1, keepdim=True))
    if output.dim() == 3:
        weighted = weighted.unsqueeze(2)  # (batch, 1, 1, step)
    elif time == 2:
        weighted = weighted.transpose(2, 3)  # (batch, 1, other, step)
    if x.dim() == 2:
        full = weighted.mean(2)
    else:
        size = (x.shape[2], x.shape[1])
        full = functional.interpolate(weighted, size=size, mode="bilinear", align_corners=False)[:, 0]
    top = full.amax((1, 2), keepdim=True)
    return full / torch.where(top > 0, top, torch.ones_like(top))
