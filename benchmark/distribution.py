"""One training on one device or, under torchrun, on several: placement, precision and gradients through accelerate.

Under torchrun every process makes the same plan of batches and takes its equal part of each; gradients are averaged
and batch norms see the whole batch, so that the sum is what one process with the same batch size computes. Losses
that compare the rows of a batch (contrastive terms, shuffles) see one process's part. The first process writes.
"""

import contextlib
import importlib.util
import os
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from ingest.types import DataError

ALL_WITHIN_S = 10.0  # how long after the first process the last one may notice a failure that all of them have
_stores: list[torch.distributed.Store] = []  # what the processes of torchrun share beside the group; none without it
PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True, slots=True)
class Share:
    """Which of how many processes this one is; 0 of 1 without torchrun."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Is this the process that writes?"""
        return self.rank == 0

    def of(self, rows: Sequence[Any]) -> Sequence[Any]:
        """This process's equal part of a batch; the whole of one that cannot be parted equally."""
        if len(rows) % self.world:
            return rows
        size = len(rows) // self.world
        return rows[self.rank * size : (self.rank + 1) * size]

    def turns(self, batches: Sequence[Any]) -> Sequence[Any]:
        """Every world-th batch, from this process's on."""
        return batches[self.rank :: self.world]


ALONE = Share()


def share() -> Share:
    """What torchrun's environment says."""
    return Share(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


def start(device: str) -> Share:
    """Join the other processes of torchrun, if any; every process calls it before anything that waits for others.

    device: this process's own, `cuda:1`.
    """
    here = share()
    if here.world > 1 and not torch.distributed.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(device)  # what they tell each other goes through it: NCCL takes each GPU once
        _stores.append(next(torch.distributed.rendezvous("env://", here.rank, here.world))[0])
        torch.distributed.init_process_group(
            "nccl" if device.startswith("cuda") else "gloo", store=_stores[-1], rank=here.rank, world_size=here.world
        )
    return here


def count_failure(work: str) -> int:
    """Told by a process whose work failed: how many of them it has failed in by now, with this one."""
    return _stores[-1].add(f"failed/{work}", 1) if _stores else 1


def all_failed(work: str) -> bool:
    """Has the work failed in all processes, so that they can go on together?

    If not, the others wait for the one that asks in the middle of the work, and would for half an hour.
    """
    end = time.monotonic() + ALL_WITHIN_S
    while _stores and _stores[-1].add(f"failed/{work}", 0) < share().world:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def abandon(reason: str) -> None:
    """End this process of torchrun's, which then ends the others, as they cannot go on without it."""
    print(
        f"failed: {reason}; the other processes are ended, run the same command again for what is left", file=sys.stderr
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def leave(code: int) -> int:
    """End this process of torchrun's with `code`, together with the others; without torchrun, return the code.

    The interpreter is not taken down: a thread of the process group that wakes up meanwhile would abort it.
    """
    if share().world == 1:
        return code
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def agree(value: Any, here: Share) -> Any:
    """The first process's value, in all of them."""
    if here.world == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def gathered(value: Any, here: Share) -> list[Any]:
    """Every process's value, in the order of their ranks."""
    if here.world == 1:
        return [value]
    box: list[Any] = [None] * here.world
    torch.distributed.all_gather_object(box, value)
    return box


def summed(x: torch.Tensor) -> torch.Tensor:
    """Sum of a number over the parts of a training batch, without gradient: for losses divided by what a batch has.

    Every process calls it for every batch. Alone, and outside training, it is the number itself.
    """
    if not (torch.distributed.is_initialized() and torch.is_grad_enabled()):
        return x
    total = x.detach().clone()
    torch.distributed.all_reduce(total)
    return total


def portion(count: torch.Tensor) -> torch.Tensor:
    """By what a process multiplies its mean over `count`, so that the mean over processes is that of the whole batch.

    count: scalar, rows or sum of their weights; 1 alone, and where all parts count alike.
    """
    if not torch.distributed.is_initialized():
        return torch.ones_like(count)
    total = summed(torch.stack([count, torch.ones_like(count)]))
    return count * total[1] / total[0].clamp(min=torch.finfo(count.dtype).tiny)


class Hardware:
    """What the training loop asks of the machine. precision: float32, or bfloat16, float16 or half (mixed); half is
    float16 on a GPU and bfloat16 on a processor."""

    def __init__(self, device: torch.device, precision: str = "float32"):
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        mixed = mixed_precision(precision, device.type)
        self.share = start(str(device))
        AcceleratorState._reset_state()  # one process trains many cells, each with a precision of its own
        self._accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=mixed, device_placement=False)

    def prepare(self, detector: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Callable[[Batch], Any], Any]:
        """(batch -> loss of this process's part, the optimizer to step)."""
        step: nn.Module = _Loss(detector)
        if self.share.world > 1:
            step = nn.parallel.DistributedDataParallel(step, find_unused_parameters=True, broadcast_buffers=False)
        return step, self._accelerator.prepare_optimizer(optimizer, device_placement=False)

    def autocast(self) -> contextlib.AbstractContextManager:
        """Where forward passes run."""
        return self._accelerator.autocast()

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of `loss`, scaled where the precision asks for it."""
        self._accelerator.backward(loss)

    def clip(self, detector: nn.Module, optimizer: Any, norm: float) -> None:
        """Shorten the gradient that this optimizer will step by to `norm`."""
        self._accelerator.unscale_gradients(optimizer)  # its clip_grad_norm_ does it for those of earlier phases again
        nn.utils.clip_grad_norm_(detector.parameters(), norm)

    def mean(self, loss: torch.Tensor) -> float:
        """The mean of every process's loss."""
        return sum(gathered(float(loss.detach()), self.share)) / self.share.world

    def state(self) -> dict[str, Any]:
        """What scaling of gradients remembers; empty without it."""
        scaler = self._accelerator.scaler
        return scaler.state_dict() if scaler is not None else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        if state and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(dict(state))


def mixed_precision(precision: str, device_type: str) -> str:
    """What accelerate calls a precision on cpu or cuda. DataError for float16 on a CPU."""
    if precision == "half":
        precision = "bfloat16" if device_type == "cpu" else "float16"
    if precision == "float16" and device_type == "cpu":
        raise DataError("precision float16 needs a GPU; use bfloat16, half or float32 on a CPU")
    return PRECISIONS[precision]


class _Loss(nn.Module):
    """A detector whose forward is its loss, so that gradients are averaged over processes."""

    def __init__(self, detector: nn.Module):
        super().__init__()
        self.detector = detector

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.detector.loss(batch)


def spread(detector: nn.Module, here: Share) -> None:
    """Make a detector fit to be trained by several processes: its batch norms take the statistics of all parts.

    The detector's quick form, which computes these statistics by itself, is switched off.
    """
    if here.world == 1:
        return
    detector.fast = False
    for module in detector.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.forward = types.MethodType(_norm_of_all, module)


def _norm_of_all(norm: nn.modules.batchnorm._BatchNorm, x: torch.Tensor) -> torch.Tensor:
    """Batch norm over the rows of every process; torch's own needs a GPU."""
    if not norm.training:
        return functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    world = torch.distributed.get_world_size()
    count = x.numel() // x.shape[1] * world
    mean = _sum(x.mean(axes)) / world
    centred = x - mean.view(shape)
    variance = _sum(centred.square().mean(axes)) / world
    if norm.track_running_stats:
        with torch.no_grad():
            norm.num_batches_tracked += 1
            share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
            unbiased = variance * count / max(1, count - 1)
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), share)
    y = centred * (variance + norm.eps).rsqrt().view(shape)
    return y if norm.weight is None else y * norm.weight.view(shape) + norm.bias.view(shape)


def _sum(x: torch.Tensor) -> torch.Tensor:
    """Sum over processes, through which gradients flow."""
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(x)


class Tracker:
    """Learning curves to TensorBoard, MLflow or Weights & Biases while training runs; None: nowhere.

    device: that of the training. Files go to `folder`; MLflow and Weights & Biases follow their own environment
    variables to a server.
    """

    def __init__(self, name: str | None, folder: Path, run: str, config: Mapping[str, Any], *, device: str = "cpu"):
        self._accelerator = None
        if name is None or not share().first:
            return
        if importlib.util.find_spec(name) is None:
            raise DataError(f"--track {name} needs the package {name}; run: pip install {name}")
        from accelerate import Accelerator

        folder.mkdir(parents=True, exist_ok=True)
        if name == "mlflow":
            os.environ.setdefault("MLFLOW_TRACKING_URI", (folder / "mlruns").resolve().as_uri())
        if name == "wandb":
            os.environ.setdefault("WANDB_DIR", str(folder))
        self._accelerator = Accelerator(cpu=device == "cpu", log_with=name, project_dir=str(folder))
        flat = {key: value if isinstance(value, int | float | str) else str(value) for key, value in config.items()}
        self._accelerator.init_trackers(run, config=flat)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of one epoch."""
        if self._accelerator is not None:
            self._accelerator.log(dict(values), step=step)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        if self._accelerator is not None:
            self._accelerator.end_training()
