"""How fast detectors score and train, beside the plainest faithful form of each in the same run.

48,000 samples at batch 4, float32, one CPU thread. The plain form is the network as published, operation by operation:
whole maps, and the batch norm and SELU of the residual blocks that are computed and thrown away.
"""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors._base import Detector
from benchmark.detectors._residual import ResidualBlock1d, ResidualBlock2d
from features import extractors

SAMPLES, CLIPS = 48_000, 4
# detector, settings, least gain in scoring and in training (1 = not slower, within the noise of the clock)
CASES = (
    ("aasist", {"samples": SAMPLES}, 2.0, 1.3),
    ("rawgat_st_s", {}, 2.0, 1.3),
    ("rawnet2", {"samples": SAMPLES}, 1.0, 1.0),
    ("lfcc_lcnn", {}, 1.0, 1.0),
)


def dead_step(block: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """The first norm and activation of a published block, whose result goes nowhere."""
    if hasattr(block, "bn1") and not getattr(block, "pre_activation", False):
        # in training the block itself computes the norm, for its statistics
        y = inputs[0] if block.training else block.bn1(inputs[0])
        (functional.selu if isinstance(block, ResidualBlock2d) else functional.leaky_relu)(y)


@contextmanager
def plain(model: Detector) -> Iterator[Detector]:
    """The model in its plain form."""
    blocks = [m for m in model.modules() if isinstance(m, ResidualBlock1d | ResidualBlock2d)]
    hooks = [block.register_forward_pre_hook(dead_step) for block in blocks]
    before, model.fast = model.fast, False
    yield model
    model.fast = before
    for hook in hooks:
        hook.remove()


def least_s(call: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of some calls after one to warm up, in seconds of this process."""
    call()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def seconds(model: Detector, batch: Batch) -> tuple[float, float]:
    """Seconds to score the batch, and to train on it once (loss, gradients, Adam)."""
    optimizer = torch.optim.Adam(p for p in model.parameters() if p.requires_grad)

    def score() -> None:
        with torch.inference_mode():
            model.eval().score(batch.x)

    def train() -> None:
        optimizer.zero_grad()
        model.train().loss(batch).backward()
        optimizer.step()

    return least_s(score), least_s(train)


def rows() -> list[dict]:
    """One dict per figure: name, value, unit, limit (the plain form's), reach (least value / limit)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    for name, config, *reach in CASES:
        torch.manual_seed(0)
        model = detectors.build(name, **config)
        extractor = extractors.get(model.input.feature, **model.input.params)
        x = extractor.extract(0.1 * torch.randn(CLIPS, SAMPLES))
        batch = Batch(x, torch.tensor([0, 1] * (CLIPS // 2)), [str(i) for i in range(CLIPS)])
        fresh = copy.deepcopy(model)  # the steps of one measurement must not change the numbers of the other
        with plain(model):
            slow = seconds(model, batch)
        for what, before, after, least in zip(("scoring", "training"), slow, seconds(fresh, batch), reach):
            found.append(
                {
                    "name": f"{name} {what}, {SAMPLES} samples, 1 thread",
                    "value": CLIPS / after,
                    "unit": "utterances/s",
                    "limit": CLIPS / before,  # the plain form, in the same unit
                    "reach": least if least > 1 else 0.95,  # never slower, but for the noise of the clock
                }
            )
    torch.set_num_threads(threads)
    return found
