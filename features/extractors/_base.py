"""What all extractors share: one way to call them, and the key that names their output."""

import abc
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from features import imports
from ingest.types import DataError

FOLDER = Path(__file__).parent


class Extractor(nn.Module, abc.ABC):
    """A feature of a waveform. A subclass sets dim and defines features(wave).

    Constants it needs (window, filter bank, DCT) are buffers outside the state dict, so `.to(device)` moves
    them and no checkpoint carries them.
    """

    name: str
    params: dict[str, Any]
    key: str
    dim: int
    rate_hz = 16_000
    min_samples = 1  # a shorter clip is tiled up to this length: the shortest that the framing can take
    alone = True  # whether a clip gives the same bits alone and among others, on a CPU
    weights_hash = ""

    def identify(self, name: str, params: dict[str, Any], source: str) -> None:
        """Set name, params and key; called once by `get`. Weights count by content, not by where they lie."""
        self.name, self.params = name, params
        named = {k: v for k, v in params.items() if not (k == "weights" and self.weights_hash)}
        text = json.dumps([name, named, source, self.weights_hash], sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()

    def constant(self, name: str, value: Tensor) -> None:
        """Register a fixed tensor that follows the module to its device and stays out of checkpoints."""
        self.register_buffer(name, value, persistent=False)

    @abc.abstractmethod
    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) float32 -> (batch, frame, dim); clips do not see each other."""

    def clips_per_block(self, samples: int) -> int:
        """How many clips of `samples` a CPU takes at once: what fills its cache. Here one."""
        return 1

    def over_batch(self, x: Tensor) -> Tensor:
        """What is done on the whole batch at once; only for settings that reproduce batch-wide code."""
        return x

    @torch.no_grad()
    def extract(self, wave: Tensor) -> Tensor:
        """(batch, sample) float32 in [-1, 1] at rate_hz -> (batch, frame, dim) float32, same device.

        A clip shorter than min_samples is tiled to that length. Raises DataError for an empty clip or
        another shape or type.
        """
        if wave.ndim != 2 or not wave.is_floating_point() or 0 in wave.shape:
            raise DataError(
                f"{type(self).__name__} takes waves (batch, sample) of floats, at least one sample; "
                f"got shape {tuple(wave.shape)} of {wave.dtype}"
            )
        wave = wave.detach().float()
        if wave.shape[1] < self.min_samples:
            wave = wave.repeat(1, -(-self.min_samples // wave.shape[1]))[:, : self.min_samples]
        with torch.autocast(wave.device.type, enabled=False):
            x = self._in_blocks(wave) if wave.device.type == "cpu" else self._checked(wave)
            return self.over_batch(x).float()

    def _checked(self, wave: Tensor) -> Tensor:
        """features(wave). Raises DataError for another shape or type, which would be stored and trained on as it is."""
        x = self.features(wave)
        if not isinstance(x, Tensor) or not x.is_floating_point() or not self._fits(tuple(x.shape), len(wave)):
            found = f"shape {tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise DataError(
                f"features() of {type(self).__name__} made {found} of {len(wave)} clips; it returns "
                f"(batch, frame, dim) of floats, with the dim that the extractor sets, here {self.dim}"
            )
        return x

    def _fits(self, shape: tuple[int, ...], clips: int) -> bool:
        """(clips, frame, dim), or (clips, sample) of one value each, as `raw` has it: at least one frame."""
        return 0 not in shape and len(shape) > 1 and (shape[0], *(shape[2:] or (1,))) == (clips, self.dim)

    def _in_blocks(self, wave: Tensor) -> Tensor:
        """features() of a few clips at a time. Beyond the first block, which makes the tensor that training may
        differentiate through, it is inference mode: small operations then take a tenth less than under no_grad."""
        first, *others = wave.split(self.clips_per_block(wave.shape[1]))
        made = self._checked(first)
        if not others:
            return made
        x = made.new_empty(len(wave), *made.shape[1:])
        x[: len(made)] = made
        start = len(made)
        with torch.inference_mode():
            for block in others:
                x[start : start + len(block)] = self._checked(block)
                start += len(block)
        return x

    def forward(self, wave: Tensor) -> Tensor:
        """The same as `extract`."""
        return self.extract(wave)


def within(low: float, high: float, **params: float | None) -> None:
    """Raises ValueError, which `get` reports, for the first of the named parameters outside low..high; None may be."""
    for name, value in params.items():
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name} {value} is not within {low}..{high}")


def counts(**params: int) -> None:
    """Raises ValueError for the first that is no number of things: below 1, or more than a clip of four seconds has."""
    within(1, 65_536, **params)


def band(low_hz: float, high_hz: float, *, lowest: float, highest: float) -> None:
    """Raises ValueError unless lowest <= low_hz < high_hz <= highest."""
    within(lowest, highest, low_hz=low_hz, high_hz=high_hz)
    if low_hz >= high_hz:
        raise ValueError(f"low_hz {low_hz} is not below high_hz {high_hz}")


def source_hash(path: Path) -> str:
    """sha256 over the source file of an extractor, the files of its folder that it imports, and those that they import
    of modules that are not installed."""
    waiting, seen = [path], set()
    while waiting:
        file = waiting.pop()
        if file in seen or not file.exists():
            continue
        seen.add(file)
        for found in imports.of(file):
            beside = imports.in_packages(found) and found.parent == FOLDER
            if beside or not imports.in_packages(found):
                waiting.append(path.with_name(found.name) if beside else found)
    others = {file for file in seen if file.parent != path.parent}
    digest = hashlib.sha256()
    for file in (*sorted(seen - others), *sorted(others)):
        digest.update(file.stem.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
