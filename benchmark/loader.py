"""Trials to batches: crops, balance and order depend on the seed alone, never on the number of workers."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmark.batch import Batch, targets

EXTRA = ("attack", "domain", "language", "corpus", "speaker")
BLOCK = 4  # batches in one block of similar length, for detectors that read whole utterances


def derive(seed: int, *names: object) -> int:
    """A 63-bit seed for one named purpose, the same on every machine: derive(0, "epoch", 3)."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def crop_start(length: int, samples: int, *, crop: str, u: float = 0.0) -> int:
    """Where a clip of at least `samples` samples is cut.

    crop "random": floor(u (length - samples + 1)) for u in [0, 1); "first": 0; "middle": floor((length - samples) / 2).
    """
    surplus = length - samples
    return {"random": int(u * (surplus + 1)), "first": 0, "middle": surplus // 2}[crop]


def fill(wave: np.ndarray, samples: int, *, short: str) -> np.ndarray:
    """(sample,) shorter than `samples` made as long: "repeat" tiles it with itself, "zero" appends silence."""
    if short == "repeat":
        return np.tile(wave, -(-samples // wave.size))[:samples]
    return np.pad(wave, (0, samples - wave.size))


Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True)
class Draw:
    """One row of a batch: which trial, where in [0, 1) its random crop starts, and the seed of its transform."""

    row: int
    u: float
    seed: int = 0


class Loader:
    """Batches of one role of a protocol.

    rows: pyarrow table of trials (utt_id, label; variant, weight and the EXTRA columns where it has them).
    spec: the detector's input as a dict (feature, params, samples, train_crop, test_crop, short).
    group_by: the column whose groups dev selection averages over.
    transform: what a whole training clip goes through before its crop, (wave, generator) -> wave.
    Training batches are balanced and shuffled per epoch; scoring batches keep the row order.
    """

    def __init__(
        self, reader: Any, rows: pa.Table, spec: dict[str, Any], extractor: torch.nn.Module, *,
        batch_size: int, seed: int, train: bool, balance: str = "none", drop_last: bool = False,
        device: str = "cpu", workers: int = 2, transform: Transform | None = None,
        group_by: str | None = None,
    ):  # fmt: skip
        self.reader, self.spec, self.extractor, self.device = reader, spec, extractor, torch.device(device)
        self.batch_size, self.seed, self.train, self.balance = batch_size, seed, train, balance
        self.drop_last, self.workers = drop_last, workers
        self.transform = transform
        self.groups: list[str] | None = rows[group_by].to_pylist() if group_by else None
        self.utt_id = rows["utt_id"].to_pylist()
        self.label = rows["label"].to_pylist()
        self.variant = rows["variant"].to_pylist() if "variant" in rows.column_names else ["original"] * len(rows)
        self.extra = {name: rows[name].to_pylist() for name in EXTRA if name in rows.column_names}
        self.weight = rows["weight"].to_numpy() if "weight" in rows.column_names else None
        self.samples: int | None = spec["samples"]
        self._lengths: np.ndarray | None = None

    def epoch(self, number: int = 0, *, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from batch `start` on; the same whatever `workers` is."""
        plan = self.plan(number)[start:]
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            ahead: deque = deque()
            for draws in plan:
                ahead.append((draws, pool.submit(self._waves, draws)))
                if len(ahead) > self.workers + 1:
                    yield self._batch(*ahead.popleft())
            while ahead:
                yield self._batch(*ahead.popleft())

    def plan(self, number: int = 0) -> list[list[Draw]]:
        """Which trials make which batch in epoch `number`."""
        if not self.train:
            return self._scoring_plan()
        random = np.random.default_rng(derive(self.seed, "epoch", number))
        order = random.permutation(self._balanced(random))
        if self.samples is None:
            order = self._by_length(order, random)
        us, seeds = random.random(order.size), random.integers(1 << 63, size=order.size)
        draws = [Draw(int(row), float(u), int(seed)) for row, u, seed in zip(order, us, seeds, strict=True)]
        batches = self._cut(draws)
        if self.drop_last and len(batches) > 1 and len(batches[-1]) < self.batch_size:
            batches.pop()
        return batches

    def _balanced(self, random: np.random.Generator) -> np.ndarray:
        rows = np.arange(len(self.utt_id))
        if self.weight is not None and np.ptp(self.weight) > 0:
            return random.choice(rows, size=rows.size, p=self.weight / self.weight.sum())
        if self.balance != "oversample":
            return rows
        bonafide = rows[np.array(self.label) == "bonafide"]
        spoof = rows[np.array(self.label) == "spoof"]
        fewer, more = sorted((bonafide, spoof), key=len)
        return np.concatenate([rows, random.choice(fewer, size=len(more) - len(fewer))])

    def _by_length(self, order: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Sorted by length, shuffled inside blocks of BLOCK batches, batches shuffled: little padding."""
        order = order[np.argsort(self.lengths[order], kind="stable")]
        size = BLOCK * self.batch_size
        blocks = [random.permutation(order[i : i + size]) for i in range(0, order.size, size)]
        batches = [block[i : i + self.batch_size] for block in blocks for i in range(0, block.size, self.batch_size)]
        whole = [b for b in batches if b.size == self.batch_size]
        rest = [b for b in batches if b.size < self.batch_size]
        return np.concatenate([whole[i] for i in random.permutation(len(whole))] + rest)

    def _scoring_plan(self) -> list[list[Draw]]:
        draws = [Draw(row, 0.0) for row in range(len(self.utt_id))]
        if self.samples is not None:
            return self._cut(draws)
        by_length: dict[int, list[Draw]] = {}
        for draw, length in zip(draws, self.lengths, strict=True):
            by_length.setdefault(int(length), []).append(draw)
        return [batch for group in by_length.values() for batch in self._cut(group)]

    def _cut(self, draws: list[Draw]) -> list[list[Draw]]:
        return [draws[i : i + self.batch_size] for i in range(0, len(draws), self.batch_size)]

    @property
    def lengths(self) -> np.ndarray:
        """Samples of every trial, from the member index (no audio is read)."""
        if self._lengths is None:
            self._lengths = np.array([self.reader.length(*row) for row in zip(self.utt_id, self.variant)])
        return self._lengths

    def _waves(self, draws: list[Draw]) -> np.ndarray:
        if self.samples is None:  # whole utterances: only the end is filled, with silence
            waves = [self._wave(draw) for draw in draws]
            return np.stack([fill(wave, max(w.size for w in waves), short="zero") for wave in waves])
        return np.stack([self._clip(draw, self.samples) for draw in draws])

    def _clip(self, draw: Draw, samples: int) -> np.ndarray:
        utt_id, variant = self.utt_id[draw.row], self.variant[draw.row]
        wave = self._wave(draw) if self.transform else None
        length = self.reader.length(utt_id, variant) if wave is None else wave.size
        if length < samples:
            wave = self.reader.wave(utt_id, variant) if wave is None else wave
            return fill(wave, samples, short=self.spec["short"])
        crop = self.spec["train_crop" if self.train else "test_crop"]
        start = crop_start(length, samples, crop=crop, u=draw.u)
        return self.reader.span(utt_id, start, start + samples, variant) if wave is None else wave[start:][:samples]

    def _wave(self, draw: Draw) -> np.ndarray:
        """The whole clip, through the training transform where there is one."""
        wave = self.reader.wave(self.utt_id[draw.row], self.variant[draw.row])
        if self.transform is None:
            return wave
        return np.asarray(self.transform(wave, np.random.default_rng(draw.seed)), dtype=np.float32)

    def _batch(self, draws: list[Draw], waves: Any) -> Batch:
        rows = [draw.row for draw in draws]
        with torch.no_grad():
            x = self.extractor.extract(torch.from_numpy(waves.result()).to(self.device, non_blocking=True))
        return Batch(
            x=x,
            target=targets([self.label[row] for row in rows]).to(self.device),
            utt_id=[self.utt_id[row] for row in rows],
            extra={name: [column[row] for row in rows] for name, column in self.extra.items()},
        )
