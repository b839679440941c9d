"""How long one detector takes to score and to train on a batch, in its quick form and in the plainest faithful one."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from benchmark import detectors, feeds, record
from benchmark.batch import Batch
from benchmark.cells import code_version
from benchmark.detectors._base import Detector
from benchmark.detectors._macs import macs
from benchmark.detectors._residual import ResidualBlock1d, ResidualBlock2d
from benchmark.throughput import WHOLE_SAMPLES, Throughput
from features import extractors
from ingest import memory
from shards.device import exact


def built(name: str, **config: Any) -> tuple[Detector, tuple[str, ...]]:
    """Detector `name` with random weights, and the attack words that its loss knows."""
    config = {**detectors.get(name).OFFLINE, **config}
    words = {**detectors.settings(name), **config}.get("attacks")
    return detectors.build(name, **config), tuple(words) if isinstance(words, list | tuple) else ("a",)


def material(
    model: Detector, clips: int, *, attacks: Sequence[str] = ("a",), device: str = "cpu", samples: int | None = None
) -> Batch:
    """A training batch of made clips with every column that a recipe may ask for, half of them bona fide."""
    samples = samples or model.input.samples or WHOLE_SAMPLES
    waves = 0.1 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(0))
    extractor = extractors.get(model.input.feature, **model.input.params)
    target = torch.arange(clips) % 2
    feed = feeds.of(model, train=True)
    extra: dict[str, Any] = {
        "attack": [None if real else attacks[i % len(attacks)] for i, real in enumerate(target.tolist())],
        "language": [("en", "de")[i // 2 % 2] for i in range(clips)],
        "domain": [("speech", "singing")[i // 2 % 2] for i in range(clips)],
        **{name: torch.zeros(clips, dtype=torch.int64) for name in ("speed", "compression")},
        **{name: companion.extract(waves) for name, companion in feed.companions.items()},
    }
    if feed.reference:
        extra |= {"reference": waves.flip(0), "reference_given": torch.ones(clips, dtype=torch.bool)}
    return Batch(extractor.extract(waves), target, [str(i) for i in range(clips)], extra).to(device)


def dead_step(block: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """The first norm and activation of a published block, whose result goes nowhere."""
    if hasattr(block, "bn1") and not getattr(block, "pre_activation", False):
        # in training the block itself computes the norm, for its statistics
        y = inputs[0] if block.training else block.bn1(inputs[0])
        (functional.selu if isinstance(block, ResidualBlock2d) else functional.leaky_relu)(y)


@contextmanager
def plain(model: Detector) -> Iterator[Detector]:
    """The model in its plain form: whole maps, the steps that published blocks throw away, attention as written."""
    blocks = [m for m in model.modules() if isinstance(m, ResidualBlock1d | ResidualBlock2d)]
    hooks = [block.register_forward_pre_hook(dead_step) for block in blocks]
    before = model.fast
    model.take_form(fast=False)
    try:
        yield model
    finally:
        model.take_form(fast=before)
        for hook in hooks:
            hook.remove()


def steps(model: Detector, batch: Batch) -> tuple[Callable[[], None], Callable[[], None] | None]:
    """To score the batch, and to train on it once (loss, gradients, Adam); no training where there is no gradient."""
    trainable = [p for p in model.parameters() if p.requires_grad]

    def score() -> None:
        with torch.inference_mode():
            model.eval().score_batch(batch)

    if hasattr(model, "fit") or not trainable:
        return score, None
    optimizer = torch.optim.Adam(trainable)

    def train() -> None:
        optimizer.zero_grad()
        model.train().loss(batch).backward()
        optimizer.step()

    return score, train


def measured(
    name: str, *, form: str = "fast", device: str = "cpu", batch_size: int = 4, seconds: float = 3.0,
    samples: int | None = None, **config: Any,
) -> Throughput:  # fmt: skip
    """Measure detector `name` here and now; a step is repeated for about so many seconds after one to warm up."""
    exact()
    torch.manual_seed(0)
    if samples and "samples" in detectors.settings(name):
        config["samples"] = samples
    model, attacks = built(name, **config)
    if model.input.fixed:
        samples = None
    batch = material(model, batch_size, attacks=attacks, samples=samples, device=device)
    model = model.to(device)
    if form == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    score, train = steps(model, batch)
    if form == "compiled":
        score, train = torch.compile(score), train and torch.compile(train)
    kind = torch.device(device).type
    throughout = plain(model) if form == "plain" else nullcontext()
    with torch.autocast(kind, torch.bfloat16, enabled=form == "bfloat16"), throughout:
        found = [call and batch_size / _per_call_s(call, device, seconds) for call in (score, train)]
    return Throughput(
        name, form, record.device_name(device), torch.get_num_threads(),
        samples or model.input.samples or WHOLE_SAMPLES, batch_size, model.parameter_count,
        _macs(name, samples, config), found[1], found[0], _peak_bytes(device),
        code_version(name, model.input.feature),
    )  # fmt: skip


def _per_call_s(call: Callable[[], None], device: str, seconds: float) -> float:
    """Mean seconds of a call, repeated for about `seconds` and at least twice, the first call left out.

    On a CPU the seconds that its threads computed, divided by their number: other work on the machine does not count.
    """
    on_gpu = torch.device(device).type == "cuda"
    synchronise = partial(torch.cuda.synchronize, device) if on_gpu else lambda: None
    clock, threads = (time.perf_counter, 1) if on_gpu else (time.process_time, torch.get_num_threads())
    call()
    synchronise()
    until, started, calls = time.perf_counter() + seconds, clock(), 0
    while calls < 2 or time.perf_counter() < until:
        call()
        synchronise()
        calls += 1
    return (clock() - started) / calls / threads


def _macs(name: str, samples: int | None, config: dict[str, Any]) -> int | None:
    try:
        return macs(name, samples=samples, **{key: value for key, value in config.items() if key != "samples"})
    except (RuntimeError, NotImplementedError):  # it cannot be laid out without values
        return None


def _peak_bytes(device: str) -> int:
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return memory.peak_bytes()
