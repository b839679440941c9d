"""The one training loop: trains on train, selects on dev; killed anywhere, it goes on to the same result."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark import metrics
from benchmark.distribution import ALONE, Hardware, Share, Tracker, gathered, mixed_precision, spread
from benchmark.loader import Loader, derive
from benchmark.score import score
from benchmark.settings import Training
from ingest.files import atomic
from ingest.progress import Progress
from ingest.types import DataError

SAVE_EVERY_S = 300.0  # how much work a kill may cost


@dataclass(slots=True)
class Progressed:
    """Where training stands: with the weights and the optimizer's state, all that a checkpoint needs to go on."""

    phase: int = 0
    number: int = 0  # epochs finished over all phases
    epoch: int = 0  # epochs finished in this phase
    batch: int = 0  # batches finished in this epoch
    step: int = 0  # batches finished since the start, the clock of every derived seed
    loss: float = 0.0  # sum of the losses of this epoch's finished batches
    best: float = -math.inf  # higher = better, whatever the monitor
    mark: float = -math.inf  # what the next epoch must pass by min_delta
    best_epoch: int = -1  # counted over all phases
    stale: int = 0  # epochs since the last gain
    averaged: int = 0  # epochs in the running average of weights


def train(
    detector: nn.Module, train_loader: Loader, dev_loader: Loader, how: Training, *,
    seed: int, checkpoint: Path, name: str, save_every_s: float = SAVE_EVERY_S, tracker: Tracker | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train `detector` in place; it ends with the weights that dev selected. Under torchrun, all processes call it.

    Returns {"best_epoch", "epochs", "curve": [(epoch, name, value), ...]}. `checkpoint` holds the state
    between calls and is removed by the caller once the result is safe. A detector with a `fit` method of its
    own is given batches instead of gradients. Raises DataError when the loss or a dev score is not finite.
    """
    if hasattr(detector, "fit"):
        return _fit(detector, train_loader, dev_loader, how, seed)
    loop = _Loop(detector, train_loader, dev_loader, how, seed, checkpoint, name, save_every_s, tracker)
    return loop.run()


def _fit(detector: nn.Module, train_loader: Loader, dev_loader: Loader, how: Training, seed: int) -> dict[str, Any]:
    """Whole utterances come one by one, whatever batch_size is: what fills a batch up would be taken for sound."""
    batch_size = 1 if train_loader.samples is None else how.batch_size
    train_loader.arrange(batch_size=batch_size, draws=how.draws)
    detector.fit(lambda: train_loader.epoch(0), seed=derive(seed, "fit"))
    curve = [(0, f"dev_{name}", value) for name, value in _dev(detector, dev_loader).items()]
    return {"best_epoch": 0, "epochs": 1, "curve": curve}


class _Loop:
    def __init__(self, detector, train_loader, dev_loader, how, seed, checkpoint, name, save_every_s, tracker):  # noqa: ANN001
        self.detector, self.train_loader, self.dev_loader = detector, train_loader, dev_loader
        self.how, self.seed, self.checkpoint, self.name = how, seed, checkpoint, name
        self.save_every_s, self.tracker = save_every_s, tracker
        self.precision, self.hardware = how.precision, Hardware(train_loader.device, how.precision)
        self.share = self.hardware.share
        spread(detector, self.share)
        self.at = Progressed()
        self.curve: list[tuple[int, str, float]] = []
        self.best_weights = _copy(detector)
        self.average: dict[str, torch.Tensor] = {}
        self.phases = how.phases or [{"name": "all"}]
        for phase in self.phases:  # before the first one has trained for hours
            mixed_precision(phase.get("precision", how.precision), train_loader.device.type)
        self._saved = time.monotonic()

    def run(self) -> dict[str, Any]:
        restored = self._restore()
        first = self.at.phase
        for phase in range(first, len(self.phases)):
            self._phase(phase, restored if phase == first else None)
            self.detector.load_state_dict(self.best_weights)
            self.at = replace(self.at, phase=phase + 1, epoch=0, stale=0, best=-math.inf, mark=-math.inf)
        if self.how.swa and self.at.averaged:
            self._swap_average()
        return {"best_epoch": self.at.best_epoch, "epochs": self.at.number, "curve": self.curve}

    def _phase(self, number: int, restored: Mapping[str, Any] | None) -> None:
        phase = self.phases[number]
        how = replace(self.how, **{k: v for k, v in phase.items() if k in _PHASE_KEYS})
        if how.precision != self.precision:
            self.precision, self.hardware = how.precision, Hardware(self.train_loader.device, how.precision)
        _set_trainable(self.detector, phase.get("trainable", []))
        self.train_loader.arrange(batch_size=how.batch_size, mix=phase.get("mix"), draws=how.draws)
        step, optimizer = self.hardware.prepare(self.detector, _optimizer(self.detector, how))
        if restored is not None:
            optimizer.load_state_dict(restored["optimizer"])
            self.hardware.load_state(restored["scaler"])
        stop = self.at.stale >= how.patience > 0 or how.epochs <= self.at.epoch
        while not stop:
            self._arrange(phase, how.epochs, 0.0)
            self._epoch(step, optimizer, how, phase)
            stop = self._select(how) or self.at.epoch >= how.epochs
            if not stop:
                self._save(optimizer)

    def _arrange(self, phase: Mapping[str, Any], epochs: int, done: float) -> None:
        """Set the detector's attributes as the phase wants them where `done` of this epoch is over."""
        for key, value in _settings(phase, self.at.epoch, epochs, done).items():
            setattr(self.detector, key, value)

    def _epoch(
        self, loss_of: Callable, optimizer: torch.optim.Optimizer, how: Training, phase: Mapping[str, Any]
    ) -> None:
        at, device = self.at, self.train_loader.device
        batches = len(self.train_loader.plan(at.number))
        self.detector.train()
        with Progress(f"{self.name} epoch {at.number + 1}", total=batches, unit="batch") as progress:
            progress.add(at.batch)
            for batch in self.train_loader.epoch(at.number, start=at.batch, here=self.share):
                names = ("step", at.step) if self.share.first else ("step", at.step, self.share.rank)
                torch.manual_seed(derive(self.seed, *names))  # dropout: the same after a resume
                step, total = at.epoch * batches + at.batch, how.epochs * batches
                self._arrange(phase, how.epochs, at.batch / batches)
                _set_lr(optimizer, learning_rate(how.schedule, how.lr, step=step, total=total, epoch=at.epoch))
                with self.hardware.autocast():
                    loss = loss_of(batch.to(device))
                begun = at.batch // how.accumulate * how.accumulate  # the epoch's last step may have fewer batches
                self.hardware.backward(loss / min(how.accumulate, batches - begun))
                at.loss += _finite(self.hardware.mean(loss), f"{self.name}: the training loss")
                at.batch, at.step = at.batch + 1, at.step + 1
                progress.add()
                if at.batch % how.accumulate == 0 or at.batch == batches:
                    self._update(optimizer, how)
                    if time.monotonic() - self._saved > self.save_every_s:
                        self._save(optimizer)
        self.curve.append((at.number, "train_loss", at.loss / batches))
        at.epoch, at.number, at.batch, at.loss = at.epoch + 1, at.number + 1, 0, 0.0

    def _update(self, optimizer: torch.optim.Optimizer, how: Training) -> None:
        if how.clip_norm:
            self.hardware.clip(self.detector, optimizer, how.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _select(self, how: Training) -> bool:
        """Look at dev; keep the weights if they are the best so far. True when training should stop."""
        at, number = self.at, self.at.number - 1
        seen = _dev(self.detector, self.dev_loader, self.share, own_loss=how.selection == "loss")
        self.curve += [
            (number, f"dev_{name}", _finite(value, f"{self.name}: the dev {name}")) for name, value in seen.items()
        ]
        if self.tracker is not None:
            self.tracker.log({name: value for epoch, name, value in self.curve if epoch == number}, number)
        value = seen[how.selection] if how.selection in ("auc", "accuracy") else -seen[how.selection]
        if how.swa and value >= at.best:
            self._accumulate_average()
        if value > at.best:
            at.best, at.best_epoch, self.best_weights = value, number, _copy(self.detector)
        at.stale = 0 if value > at.mark + how.min_delta else at.stale + 1
        at.mark = max(at.mark, value) if at.stale == 0 else at.mark
        at_top = bool(how.stop_above) and how.selection in ("auc", "accuracy") and value > how.stop_above
        return at_top or at.stale >= how.patience > 0

    def _accumulate_average(self) -> None:
        weights, n = _copy(self.detector), self.at.averaged
        for key, value in weights.items():
            if value.is_floating_point():
                self.average[key] = (self.average[key] * n + value) / (n + 1) if n else value
        self.at.averaged = n + 1

    def _swap_average(self) -> None:
        """Take the averaged weights and re-estimate batch normalisation with one pass over train."""
        self.detector.load_state_dict({**_copy(self.detector), **self.average})
        norms = [m for m in self.detector.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the pass
        self.detector.train()
        torch.manual_seed(derive(self.seed, "average", self.share.rank))  # dropout: whoever trained the last batch
        with torch.no_grad():
            for batch in self.train_loader.epoch(0, here=self.share):
                self.detector.score_batch(batch)
        for norm in norms:
            norm.momentum = 0.1

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self._saved = time.monotonic()
        if not self.share.first:
            return
        state = {
            "at": asdict(self.at),
            "curve": [list(point) for point in self.curve],
            "model": self.detector.state_dict(),
            "best": self.best_weights,
            "average": self.average,
            "optimizer": optimizer.state_dict(),
            "scaler": self.hardware.state(),
        }
        with atomic(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def _restore(self) -> Mapping[str, Any] | None:
        if not self.checkpoint.exists():
            return None
        # to the host, where an optimizer counts its steps: on a GPU it would be waited for once a parameter and step
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        self.at = Progressed(**state["at"])
        self.curve = [tuple(point) for point in state["curve"]]
        self.detector.load_state_dict(state["model"])
        self.best_weights, self.average = (
            {key: value.to(self.train_loader.device) for key, value in state[name].items()}
            for name in ("best", "average")
        )
        return state


_PHASE_KEYS = frozenset(Training.__slots__) - {"phases"}


def _dev(detector: nn.Module, loader: Loader, here: Share = ALONE, *, own_loss: bool = False) -> dict[str, float]:
    """What dev says: auc, eer, accuracy at score 0, and the loss, the binary cross entropy of the scores as logits.

    own_loss: where the detector says OWN_DEV_LOSS its own loss instead, for which dev is gone through once more. Where
    the loader has groups (the corpora or domains of a joint protocol), auc and eer are their plain means; a group that
    lacks one class is measured against that class of all groups.
    """
    scores = score(detector, loader, here=here)
    bonafide = np.array([word == "bonafide" for word in loader.label])
    group = np.array(loader.groups or [""] * scores.size)
    parts = [
        tuple(_of_class(scores, is_class, group == g) for is_class in (bonafide, ~bonafide)) for g in sorted(set(group))
    ]
    entropy = float(np.logaddexp(0, np.where(bonafide, -scores, scores)).mean())
    return {
        "auc": float(np.mean([metrics.auc(*part) for part in parts])),
        "eer": float(np.mean([metrics.eer(*part)[0] for part in parts])),
        "accuracy": float(((scores > 0) == bonafide).mean()),
        "loss": _own_loss(detector, loader, here) if own_loss and detector.OWN_DEV_LOSS else entropy,
    }


def _own_loss(detector: nn.Module, loader: Loader, here: Share) -> float:
    """The mean of the detector's own loss over the batches of dev, each by its trials, in evaluation mode."""
    detector.eval()
    total, trials = 0.0, 0
    with torch.inference_mode():
        for batch in loader.epoch(here=here):
            total, trials = total + float(detector.loss(batch)) * len(batch.target), trials + len(batch.target)
    parts = gathered((total, trials), here)
    return sum(part[0] for part in parts) / sum(part[1] for part in parts)


def _of_class(scores: np.ndarray, is_class: np.ndarray, in_group: np.ndarray) -> np.ndarray:
    chosen = is_class & in_group
    return scores[chosen if chosen.any() else is_class]


def _settings(phase: Mapping[str, Any], epoch: int, epochs: int, done: float = 0.0) -> dict[str, Any]:
    """A phase's attribute values. {from, to} moves linearly over its epochs and reaches both ends; {from, before} gives
    epoch e of n the share e / n of the way, so that the end is not reached; {from, before_step} moves with each batch,
    where `done` is the share of the epoch's batches before it."""

    def at(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if "before_step" in value:
            return value["from"] + (epoch + done) / epochs * (value["before_step"] - value["from"])
        end, steps = (value["before"], epochs) if "before" in value else (value["to"], max(1, epochs - 1))
        return value["from"] + epoch / steps * (end - value["from"])

    return {key: at(value) for key, value in phase.get("settings", {}).items()}


def _set_trainable(detector: nn.Module, prefixes: list[str]) -> None:
    """Only parameters whose name starts with one of `prefixes` train (all when empty)."""
    chosen = 0
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(not prefixes or name.startswith(tuple(prefixes)))
        chosen += parameter.requires_grad
    if not chosen:
        raise DataError(f"no parameter of {type(detector).__name__} starts with {', '.join(prefixes)}")


class _PlainDescent:
    """Mixed into an optimizer: groups that say `plain` take the bare step -lr * gradient, the others its own."""

    def step(self, closure: Callable | None = None) -> Any:
        everything = self.param_groups
        self.param_groups = [group for group in everything if not group.get("plain")]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = everything
        with torch.no_grad():
            for group in everything:
                for parameter in group["params"] if group.get("plain") else ():
                    if parameter.grad is not None:
                        parameter.add_(parameter.grad, alpha=-group["lr"])
        return loss


class _Adam(_PlainDescent, torch.optim.Adam):
    pass


class _AdamW(_PlainDescent, torch.optim.AdamW):
    pass


class _Sgd(_PlainDescent, torch.optim.SGD):
    pass


def _optimizer(detector: nn.Module, how: Training) -> torch.optim.Optimizer:
    kinds: dict[str, Callable] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    if hasattr(detector, "parameter_groups"):
        groups = detector.parameter_groups(how.weight_decay)
        if any(group.get("plain") for group in groups):
            kinds = {"adam": _Adam, "adamw": _AdamW, "sgd": _Sgd}
    else:
        groups = [p for p in detector.parameters() if p.requires_grad]
    extra = {"momentum": 0.9} if how.optimizer == "sgd" else {}
    return kinds[how.optimizer](groups, lr=how.lr, weight_decay=how.weight_decay, **extra)


def _set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def learning_rate(schedule: Any, lr: float, *, step: int, total: int, epoch: int) -> float:
    """The learning rate of one step; a pure function, so that a resumed run needs no scheduler state.

    constant; cosine_per_step: min_lr + (lr - min_lr)(1 + cos(pi step / total)) / 2 (`steps` fixes total);
    cosine_per_epoch: the same over `period` epochs, then up again; step: lr factor^(epoch // every);
    warmup_linear: rises over `warmup` of total, then falls linearly to 0.
    """
    how = {"name": schedule} if isinstance(schedule, str) else schedule
    name = how["name"]
    total = how.get("steps", total)
    if name == "constant":
        return lr
    if name == "cosine_per_step":
        low = how.get("min_lr", 0.0)
        return low + 0.5 * (lr - low) * (1 + math.cos(math.pi * min(1.0, step / total)))
    if name == "cosine_per_epoch":
        low = how.get("min_lr", 0.0)
        return low + 0.5 * (lr - low) * (1 + math.cos(math.pi * epoch / how["period"]))
    if name == "step":
        return lr * how["factor"] ** (epoch // how["every"])
    if name == "warmup_linear":
        warm = max(1.0, how["warmup"] * total)
        return lr * min((step + 1) / warm, max(0.0, (total - step) / max(1.0, total - warm)))
    known = "constant, cosine_per_step, cosine_per_epoch, step, warmup_linear"
    raise DataError(f"unknown schedule {name!r}; known: {known}")


def _copy(detector: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().clone() for key, value in detector.state_dict().items()}


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise DataError(f"{what} is {value}; lower lr or set clip_norm")
    return value
