"""Codec and speed copies in training: the same from shards as made now, with the labels of what was done."""

from collections import Counter

import numpy as np
import pyarrow as pa
import torch

from benchmark.feeds import Feed
from benchmark.loader import Loader
from features import extractors
from ingest.types import DataError
from shards import variants as words

IDS = [f"tiny/u{number}" for number in range(6)]


class Originals:
    """A reader that holds no variant: each clip is a tone in noise, 1.2 to 1.7 s long."""

    def __init__(self):
        self.asked = Counter()

    def has(self, utt_id, variant="original"):
        return variant == "original"

    def wave(self, utt_id, variant="original"):
        self._refuse(variant)
        number = IDS.index(utt_id)
        t = np.arange(self.length(utt_id)) / 16_000
        noise = 0.01 * np.random.default_rng(number).standard_normal(t.size)
        return (0.3 * np.sin(2 * np.pi * (200 + 50 * number) * t) + noise).astype(np.float32)

    def length(self, utt_id, variant="original"):
        self._refuse(variant)
        return 19_200 + 1_600 * IDS.index(utt_id)

    def span(self, utt_id, start, stop, variant="original"):
        return self.wave(utt_id, variant)[start:stop]

    def _refuse(self, variant):
        if variant != "original":
            raise DataError(f"no shard of {variant}")


class Stored(Originals):
    """The same with every variant written down."""

    def has(self, utt_id, variant="original"):
        return True

    def wave(self, utt_id, variant="original"):
        self.asked[variant] += 1
        return words.apply(Originals().wave(utt_id), variant, seed=utt_id)

    def length(self, utt_id, variant="original"):
        return words.length(variant, Originals().length(utt_id))


def loader(reader, *, seed=0, workers=2, ids=IDS, **options):
    rows = pa.table({"utt_id": ids, "label": ["bonafide", "spoof"] * (len(ids) // 2)})
    spec = {"feature": "raw", "params": {}, "samples": 16_000, "train_crop": "random", "test_crop": "middle",
            "short": "repeat"}  # fmt: skip
    options = {"feed": Feed(variants="fd_add"), "batch_size": 3, "train": True} | options
    return Loader(reader, rows, spec, extractors.get("raw"), seed=seed, workers=workers, **options)


def facts(batches):
    return [(b.utt_id, b.x, b.extra["compression"], b.extra["speed"]) for b in batches]


def same(one, other):
    assert len(one) == len(other) > 0
    for (a, *x), (b, *y) in zip(one, other, strict=True):
        assert a == b and all(torch.equal(left, right) for left, right in zip(x, y, strict=True))


def test_stored_copies_and_copies_made_now_are_the_same():
    stored = Stored()
    same(facts(loader(stored).epoch(1)), facts(loader(Originals()).epoch(1)))
    assert set(stored.asked) - {"original"}


def test_copies_depend_on_seed_and_epoch_alone_and_an_epoch_goes_on_where_it_was():
    whole = facts(loader(Originals()).epoch(2))
    same(whole, facts(loader(Originals(), workers=5).epoch(2)))
    same(whole[1:], facts(loader(Originals()).epoch(2, start=1)))
    labels = [[tuple(b[2].tolist()) for b in facts(loader(Originals(), seed=s).epoch(e))] for s, e in ((0, 2), (1, 2))]
    assert labels[0] != labels[1]


def test_labels_are_those_of_the_copy_that_is_heard():
    for utt_id, x, compression, speed in facts(loader(Stored()).epoch(0)):
        assert compression.dtype == speed.dtype == torch.int64
        for one, wave, *labels in zip(utt_id, x, compression.tolist(), speed.tolist(), strict=True):
            fits = [w for w in words.plan(one) if words.labels(w) == tuple(labels)]
            clips = [np.tile(Stored().wave(one, w), 2) for w in fits]
            assert any(_contains(clip, wave.numpy()) for clip in clips), (one, labels)


def _contains(clip, part):
    starts = np.flatnonzero(clip == part[0])
    return any(np.array_equal(clip[s : s + 50], part[:50]) for s in starts)


def test_scoring_hears_no_copies():
    from benchmark import detectors, feeds

    detector = detectors.build("fd_add", weights="random", width=8, attacks=["a"])
    assert feeds.of(detector, train=True).variants == "fd_add" and feeds.of(detector, train=False).variants is None
    without = detectors.build("fd_add", weights="random", width=8, attacks=["a"], pseudo_labels="none")
    assert feeds.of(without, train=True).variants is None
