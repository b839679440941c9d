"""Trials to batches: crops, balance and order depend on the seed alone, never on the number of workers."""

import hashlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmark import level, references, weighing
from benchmark.batch import Batch, targets
from benchmark.distribution import ALONE, Share
from benchmark.feeds import Feed
from features.reader import FeatureReader
from ingest.types import DataError
from shards import variants
from shards.reader import Reader

EXTRA = ("attack", "domain", "language", "corpus", "speaker")
_FULL_SCALE = 1 / 32768  # a power of two: no sample is rounded
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


def fill(wave: np.ndarray, samples: int, *, short: str, u: float = 0.0) -> np.ndarray:
    """(sample,) shorter than `samples` made as long: "repeat" tiles it with itself, "repeat_random" does and takes a
    random crop of that (see `crop_start`), "zero" appends silence."""
    if short == "repeat_random":
        tiled = np.tile(wave, samples // wave.size + 1)
        return tiled[crop_start(tiled.size, samples, crop="random", u=u) :][:samples]
    if short == "repeat":
        return np.tile(wave, -(-samples // wave.size))[:samples]
    return np.pad(wave, (0, samples - wave.size))


@dataclass(frozen=True, slots=True)
class Draw:
    """One row of a batch: which trial, where in [0, 1) its random crop starts, the seed of all its other draws, and
    which window of the utterance it is where windows are counted as trials."""

    row: int
    u: float
    seed: int = 0
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """What a worker makes of a draw: the crop, its reference, and the pseudo labels of its variant."""

    wave: np.ndarray
    reference: np.ndarray | None = None
    labels: tuple[int, int] = (0, 0)


class Loader:
    """Batches of one role of a protocol.

    rows: pyarrow table of trials (utt_id, label; variant, weight, reference, reference_mode and the EXTRA columns
        where it has them).
    spec: the detector's input as a dict (feature, params, samples, train_crop, test_crop, short, level; train_samples,
        train_short and windows where training differs from scoring).
    feed: what the detector's recipe asks for beside crops.
    group_by: the column whose groups dev selection averages over.
    weighed_by: the columns by which the protocol weighs its trials: balance keeps the total of their groups.
    stored: set it to the stored features of these trials that may stand in for computed ones (features.reader.stored).
    Training batches are balanced and shuffled per epoch; scoring batches keep the row order. `arrange` sets what a
    phase of the training changes.
    """

    def __init__(
        self, reader: Any, rows: pa.Table, spec: dict[str, Any], extractor: torch.nn.Module, *,
        batch_size: int, seed: int, train: bool, balance: str = "none", drop_last: bool = False,
        device: str = "cpu", workers: int = 2, feed: Feed | None = None, group_by: str | None = None,
        weighed_by: Sequence[str] = (),
    ):  # fmt: skip
        self.reader, self.spec, self.extractor, self.device = reader, spec, extractor, torch.device(device)
        self.batch_size, self.seed, self.train, self.balance = batch_size, seed, train, balance
        self.drop_last, self.workers = drop_last, workers
        self.feed = feed or Feed()
        for companion in self.feed.companions.values():
            companion.to(self.device)
        self.mix: Mapping[str, Mapping[str, float]] = {}
        self.draws = 0
        self.groups: list[str] | None = [str(word) for word in rows[group_by].to_pylist()] if group_by else None
        self.utt_id = rows["utt_id"].to_pylist()
        self.label = rows["label"].to_pylist()
        self.variant = rows["variant"].to_pylist() if "variant" in rows.column_names else ["original"] * len(rows)
        self.extra = {name: rows[name].to_pylist() for name in EXTRA if name in rows.column_names}
        self.weight = rows["weight"].to_numpy() if "weight" in rows.column_names else None
        self.weighed_by = {name: rows[name].to_pylist() for name in weighed_by}
        self.samples: int | None = (spec.get("train_samples") if train else None) or spec["samples"]
        self.windows = train and spec.get("windows", False)
        self.level = spec.get("level", "as_is")
        self.pool = references.Pool(rows) if train and self.feed.reference else None
        self.named = _named_references(rows) if self.feed.reference and not train else None
        self.enrolled = references.enrolled(reader, self.named) if self.named else None
        if self.pool is not None and (lost := int((~self.pool.usable).sum())):
            first = self.utt_id[int(np.flatnonzero(~self.pool.usable)[0])]
            print(f"{lost} of {len(rows)} training trials have no bona fide clip of their speaker and are left out "
                  f"(first: {first})", file=sys.stderr)  # fmt: skip
        self._lengths: np.ndarray | None = None
        self._rows: np.ndarray | None = None
        self.stored: FeatureReader | None = None
        self.plain = isinstance(reader, Reader) and self.samples is not None and not (
            self.feed.transform or self.feed.variants or self.feed.reference or self.level == "clip_peak"
        )  # fmt: skip

    def arrange(self, *, batch_size: int, mix: Mapping[str, Mapping[str, float]] | None = None, draws: int = 0) -> None:
        """What a phase sets: trials per batch and per epoch (0: all), and the share of draws by the values of a column.

        mix: {"domain": {"speech": 0.7, "singing": 0.3}}: other values are left out, values without trials too; where
        the trials have none of the values, the mix does not count.
        """
        self.batch_size, self.mix, self.draws = batch_size, mix or {}, draws

    def epoch(self, number: int = 0, *, start: int = 0, here: Share = ALONE) -> Iterator[Batch]:
        """The batches of one epoch, from batch `start` on; the same whatever `workers` is.

        Of several processes each gets its part of every batch in training, and its turns of whole batches in scoring.
        """
        for draws, columns in self.ready(number, start=start, here=here):
            yield self._batch(draws, columns)

    def ready(
        self, number: int = 0, *, start: int = 0, here: Share = ALONE
    ) -> Iterator[tuple[list[Draw], dict[str, torch.Tensor]]]:
        """What epoch() makes its batches of, as workers leave it in the host's memory: features for a processor, and
        for a device of its own the waves that it is sent."""
        whole = self.plan(number)[start:]
        whole = whole if self.train else here.turns(whole)
        # A worker's features are computed outside autocast, and whoever leaves that last in its thread empties the one
        # store of narrow weights of all threads: a loss at work would cast them anew and round its gradient otherwise.
        with ThreadPoolExecutor(max(1, self.workers), initializer=torch.autocast_increment_nesting) as pool:
            ahead: deque = deque()
            for batch in whole:
                draws = here.of(batch) if self.train else batch
                ahead.append((draws, pool.submit(self._made, draws, batch)))
                if len(ahead) > self.workers + 1:
                    yield _waited(*ahead.popleft())
            while ahead:
                yield _waited(*ahead.popleft())

    def plan(self, number: int = 0) -> list[list[Draw]]:
        """Which trials make which batch in epoch `number`."""
        if not self.train:
            return self._scoring_plan()
        random = np.random.default_rng(derive(self.seed, "epoch", number))
        rows, window = self._windows(self._balanced(random))
        order = random.permutation(rows.size)[: self.draws or None]
        if self.samples is None:
            order = self._by_length(rows, order, random)
        us, seeds = random.random(order.size), random.integers(1 << 63, size=order.size)
        draws = [
            Draw(int(rows[i]), float(u), int(seed), None if window is None else int(window[i]))
            for i, u, seed in zip(order, us, seeds, strict=True)
        ]
        batches = self._cut(draws)
        if self.drop_last and len(batches) > 1 and len(batches[-1]) < self.batch_size:
            batches.pop()
        return batches

    def _balanced(self, random: np.random.Generator) -> np.ndarray:
        """The rows that an epoch draws: each once where no weight says otherwise, else by their weights.

        oversample: of each class as many as the larger one has trials.
        """
        weight = self._weights()
        rows = np.flatnonzero(weight > 0)
        if self.balance in ("classes", "oversample") and len({self.label[row] for row in rows}) == 1:
            raise DataError(
                f"{rows.size} of {weight.size} training trials count here, all of them {self.label[rows[0]]}: there "
                "is no other class to balance them with; change the protocol, the mix of the phase, or set balance=none"
            )
        if self.balance != "oversample":
            return weighing.chosen(rows, weight, rows.size, random) if weighing.uneven(weight[rows]) else rows
        is_bonafide = np.array(self.label)[rows] == "bonafide"
        fewer, more = sorted((rows[is_bonafide], rows[~is_bonafide]), key=len)
        if weighing.uneven(weight[fewer]) or weighing.uneven(weight[more]):
            return np.concatenate([weighing.chosen(part, weight, len(more), random) for part in (fewer, more)])
        return np.concatenate([rows, random.choice(fewer, size=len(more) - len(fewer))])

    def _weights(self) -> np.ndarray:
        """Relative chance of each trial to be drawn: the protocol's, the phase's mix, and equal classes if wanted."""
        weight = np.ones(len(self.utt_id)) if self.weight is None else self.weight.astype(float)
        if self.pool is not None:
            weight = weight * self.pool.usable
        columns = dict(self.weighed_by)
        for column, shares in self.mix.items():
            columns[column] = self.extra.get(column, [None] * weight.size)
            weight = weighing.mixed(weight, np.array(columns[column], object), shares)
        if self.balance in ("classes", "oversample"):
            weight = weighing.alike(weight, np.array(self.label), list(zip(*columns.values(), strict=True)))
        return weight

    def _windows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows repeated once per window of theirs, and the number of the window; rows alone where none are cut."""
        if not self.windows:
            return rows, None
        counts = windows(self.lengths, self.samples)[rows]
        first = np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(rows, counts), np.arange(counts.sum()) - first

    def _by_length(self, rows: np.ndarray, order: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Sorted by length, shuffled inside blocks of BLOCK batches, whole blocks shuffled, the rest of the longest
        last: little padding (baseline LFCC-LCNN of ASVspoof 2021)."""
        order = order[np.argsort(self.lengths[rows[order]], kind="stable")]
        size = BLOCK * self.batch_size
        blocks = [random.permutation(order[i : i + size]) for i in range(0, order.size, size)]
        whole = order.size // size
        return np.concatenate([blocks[i] for i in random.permutation(whole)] + blocks[whole:])

    def _scoring_plan(self) -> list[list[Draw]]:
        crop = self._scoring_crop if self.spec["test_crop"] == "random" else lambda row: 0.0
        draws = [Draw(row, crop(row)) for row in range(len(self.utt_id))]
        if self.samples is not None and self.named is None:
            return self._cut(draws)
        by_length: dict[tuple, list[Draw]] = {}
        for draw in draws:
            by_length.setdefault(self._shape(draw.row), []).append(draw)
        return [batch for group in by_length.values() for batch in self._cut(group)]

    def _scoring_crop(self, row: int) -> float:
        """Where in [0, 1) a trial is cut at random: by seed and name, the same whatever is scored beside it."""
        return derive(self.seed, "test crop", self.utt_id[row], self.variant[row]) / 2**63

    def _shape(self, row: int) -> tuple[int, int | None]:
        """Samples of a trial and of its reference: only trials that agree in both share a batch when scoring, so that
        no score depends on what its batch is filled up with."""
        length = int(self.lengths[row]) if self.samples is None else self.samples
        if self.named is None or self.named[row] is None:
            return length, None
        name, mode = self.named[row]
        whole = self._with(name).length(name, self.variant[row])
        return length, min(whole, references.LONGEST.get(mode, whole))

    def _cut(self, draws: list[Draw]) -> list[list[Draw]]:
        return [draws[i : i + self.batch_size] for i in range(0, len(draws), self.batch_size)]

    @property
    def lengths(self) -> np.ndarray:
        """Samples of every trial, from the member index (no audio is read)."""
        if self._lengths is None:
            if isinstance(self.reader, Reader):
                self._lengths = self.reader.samples(self.rows)
            else:
                self._lengths = np.array([self.reader.length(*row) for row in zip(self.utt_id, self.variant)])
        return self._lengths

    @property
    def rows(self) -> np.ndarray:
        """Where the member index has every trial: looked up once, not once a batch. Only with a reader of shards."""
        if self._rows is None:
            self._rows = self.reader.rows(self.utt_id, self.variant)
        return self._rows

    def _made(self, draws: list[Draw], batch: list[Draw]) -> dict[str, torch.Tensor]:
        """What a worker makes of its part of a batch, or of all: waves under x, or on a processor already their
        features, and the columns that the feed asks for."""
        if self.stored is not None and np.ptp(self.lengths[[draw.row for draw in batch]]) == 0:
            clips = [(self.utt_id[draw.row], self.variant[draw.row]) for draw in draws]
            return {"x": torch.from_numpy(self.stored.batch(*zip(*clips, strict=True)))}
        if self.plain:
            columns = {"x": self._crops(draws)}
        else:
            columns = {name: torch.from_numpy(array) for name, array in self._arrays(draws, batch).items()}
        if self.device.type == "cuda":  # from pinned memory a batch travels while the device works on the last one
            return {name: column.pin_memory() for name, column in columns.items()}  # itself where it is pinned
        return self._extracted(columns) if self.device.type == "cpu" else columns

    def _extracted(self, columns: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        waves = {name: columns[name] for name in ("x", "reference") if name in columns}
        waves = {name: wave if wave.is_floating_point() else wave * _FULL_SCALE for name, wave in waves.items()}
        waves = {name: level.of_crops(wave, self.level) for name, wave in waves.items()}
        more = {name: extractor.extract(waves["x"]) for name, extractor in self.feed.companions.items()}
        return {**columns, **waves, "x": self.extractor.extract(waves["x"]), **more}

    def _crops(self, draws: list[Draw]) -> torch.Tensor:
        """The crops of stored clips that nothing is done to, (clip, sample): the numbers of _crop() without its cost
        for each clip, with one look-up and one array a batch.

        float32, full scale 1; for a device of its own int16, as stored, where all clips are: half as much to read into
        and to send, and the device scales them in no time.
        """
        utt_ids, size = [self.utt_id[draw.row] for draw in draws], self.samples
        rows = self.rows[[draw.row for draw in draws]]
        lengths = self.reader.samples(rows)
        starts = np.array([self._start(*clip) for clip in zip(draws, lengths.tolist(), strict=True)])
        stops = np.minimum(starts + size, lengths)
        as_stored = self.device.type != "cpu" and self.reader.are_16_bit(rows)
        kind, pinned = torch.int16 if as_stored else torch.float32, self.device.type == "cuda"
        made = torch.empty(len(draws), size, dtype=kind, pin_memory=pinned)
        crops = made.numpy()
        self.reader.crops(utt_ids, rows, starts, stops, crops)
        for i in np.flatnonzero(stops - starts < size):
            crops[i] = fill(crops[i, : stops[i] - starts[i]].copy(), size, short=self._short(draws[i]), u=draws[i].u)
        return made

    def _start(self, draw: Draw, length: int) -> int:
        """Where in a clip of so many samples its window or crop starts."""
        if draw.window is not None:
            return draw.window * self.samples
        if length <= self.samples:
            return 0
        return crop_start(length, self.samples, crop=self.spec["train_crop" if self.train else "test_crop"], u=draw.u)

    def _short(self, draw: Draw) -> str:
        """What fills a clip that is too short."""
        if draw.window is not None:
            return "zero"
        return (self.train and self.spec.get("train_short")) or self.spec["short"]

    def _arrays(self, draws: list[Draw], batch: list[Draw]) -> dict[str, np.ndarray]:
        """The waves of draws of a batch under x, as long as the batch's, and the columns that the feed asks for."""
        clips = [self._clip(draw) for draw in draws]
        longest = max(clip.wave.size for clip in clips)  # whole utterances: only the end is filled, with silence
        if self.samples is None and len(draws) < len(batch):
            longest = max(longest, *self.lengths[[draw.row for draw in batch]].tolist())
        waves = (clip.wave for clip in clips)
        waves = [wave if wave.size == longest else fill(wave, longest, short="zero") for wave in waves]
        arrays = {"x": np.stack(waves)}
        if self.feed.variants is not None:
            compression, speed = np.array([clip.labels for clip in clips], np.int64).T
            arrays |= {"compression": compression, "speed": speed}
        if self.feed.reference:
            waves = [clip.reference for clip in clips]
            reference, given = references.stacked(waves, self.samples if self.train else None)
            arrays |= {"reference": reference, "reference_given": given}
        return arrays

    def _clip(self, draw: Draw) -> Clip:
        own = self.variant[draw.row]
        if self.feed.variants is None:
            return Clip(self._crop(draw, own), self._reference(draw))
        words = variants.plan(self.utt_id[draw.row], self.feed.variants)  # the same in every run: shards can hold them
        word = words[int(np.random.default_rng([draw.seed, 1]).integers(len(words)))]
        wave = self._crop(draw, own if word == "original" else word)
        return Clip(wave, self._reference(draw), variants.labels(word))

    def _crop(self, draw: Draw, word: str) -> np.ndarray:
        """The samples of a draw: all, one window, or a crop; a clip that is too short is filled.

        Of a stored clip that nothing is done to before its crop, not even to its level, only the crop is read.
        """
        utt_id, own, samples = self.utt_id[draw.row], self.variant[draw.row], self.samples
        stored = word == own or (own == "original" and self.reader.has(utt_id, word))
        wave = None
        if not stored or samples is None or self.feed.transform is not None or self.level == "clip_peak":
            wave = self.reader.wave(utt_id, word if stored else own)
            wave = wave if stored else variants.apply(wave, word, seed=utt_id)
            wave = wave if self.feed.transform is None else self._transformed(wave, draw.seed)
            wave = level.of_clip(wave, self.level)
        if samples is None:
            return wave
        length = self.reader.length(utt_id, word) if wave is None else wave.size
        start = self._start(draw, length)
        stop = min(start + samples, length)
        if wave is None:
            wave = self.reader.span(utt_id, start, stop, word)
        else:
            wave = wave[start:stop]
        return wave if wave.size == samples else fill(wave, samples, short=self._short(draw), u=draw.u)

    def _transformed(self, wave: np.ndarray, *seed: int) -> np.ndarray:
        return np.asarray(self.feed.transform(wave, np.random.default_rng(seed)), dtype=np.float32)

    def _reference(self, draw: Draw) -> np.ndarray | None:
        """The second utterance of a trial: drawn from its speaker's in training, the one it names when scoring."""
        if self.pool is not None:
            other = self.pool.draw(draw.row, np.random.default_rng([draw.seed, 2]))
            wave = self.reader.wave(self.utt_id[other], self.variant[other])
            wave = wave if self.feed.transform is None else self._transformed(wave, draw.seed, 3)
            return level.of_clip(wave, self.level)
        if self.named is None or self.named[draw.row] is None:
            return None
        name, mode = self.named[draw.row]
        random = np.random.default_rng(derive(0, "reference", self.utt_id[draw.row], name, mode))
        wave = references.degraded(self._with(name).wave(name, self.variant[draw.row]), mode, random)
        return level.of_clip(wave, self.level)

    def _with(self, name: str) -> Reader | references.Enrolled:
        """Who reads a named reference."""
        return self.enrolled if self.enrolled is not None and name in self.enrolled.paths else self.reader

    def _batch(self, draws: list[Draw], columns: dict[str, torch.Tensor]) -> Batch:
        rows = [draw.row for draw in draws]
        if self.device.type != "cpu":
            columns = self._extracted({k: v.to(self.device, non_blocking=True) for k, v in columns.items()})
        x = columns.pop("x")
        return Batch(
            x=x,
            target=targets([self.label[row] for row in rows]).to(self.device),
            utt_id=[self.utt_id[row] for row in rows],
            extra={**{name: [column[row] for row in rows] for name, column in self.extra.items()}, **columns},
        )


def _waited(draws: list[Draw], made: Future) -> tuple[list[Draw], dict[str, torch.Tensor]]:
    return draws, made.result()


def windows(lengths: np.ndarray, samples: int) -> np.ndarray:
    """How many windows of `samples` each utterance has: a last part shorter than a quarter of a window counts only
    where it is the only one."""
    rest = lengths % samples
    return np.maximum(1, lengths // samples + (rest >= samples // 4))


def _named_references(rows: pa.Table) -> list[tuple[str, str] | None]:
    """The reference and its mode that each trial names; None: it has none."""
    if "reference" not in rows.column_names:
        return [None] * len(rows)
    named = zip(rows["reference"].to_pylist(), rows["reference_mode"].to_pylist(), strict=True)
    return [None if name is None else (name, mode) for name, mode in named]
