"""Loader: crops worked out by hand; the same batches whatever the number of workers and wherever it starts."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmark.loader import Loader, crop_start, derive, fill
from features import extractors


class Waves:
    """A reader of ramps: utterance `u7` is 7,000 samples long and its samples are 0, 1, 2, ..."""

    def length(self, utt_id, variant):
        return int(utt_id[1:]) * 1000

    def span(self, utt_id, start, stop, variant):
        return self.wave(utt_id, variant)[start:stop]

    def wave(self, utt_id, variant):
        return np.arange(self.length(utt_id, variant), dtype=np.float32)


def rows(lengths, labels=None):
    labels = labels or ["bonafide" if i % 4 == 0 else "spoof" for i in range(len(lengths))]
    return pa.table({"utt_id": [f"u{n}" for n in lengths], "label": labels, "attack": [None] * len(lengths)})


def loader(table, *, samples=5000, **options):
    spec = {"feature": "raw", "params": {}, "samples": samples, "train_crop": "random", "test_crop": "middle",
            "short": "repeat"} | options.pop("spec", {})  # fmt: skip
    options = {"batch_size": 4, "seed": 3, "train": True, "balance": "oversample"} | options
    return Loader(Waves(), table, spec, extractors.get("raw"), **options)


def test_crops_by_hand():
    assert crop_start(10, 4, crop="first") == 0
    assert crop_start(10, 5, crop="middle") == 2  # floor(5 / 2)
    assert crop_start(10, 4, crop="random", u=0.0) == 0
    assert crop_start(10, 4, crop="random", u=0.9999) == 6  # the last start that fits
    assert crop_start(10, 10, crop="random", u=0.7) == 0  # n == N is no special case
    assert fill(np.arange(3.0), 7, short="repeat").tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert fill(np.arange(3.0), 5, short="zero").tolist() == [0, 1, 2, 0, 0]


def test_a_batch_holds_the_crops():
    (batch,) = loader(rows([3, 9]), train=False).epoch()
    assert batch.x.shape == (2, 5000)
    assert batch.x[0, :4].tolist() == [0, 1, 2, 3] and batch.x[0, 3000] == 0  # tiled
    assert batch.x[1, 0] == 2000  # middle crop of 9,000


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_batches_do_not_depend_on_workers(workers):
    table = rows(range(1, 24))
    expected = [b.x for b in loader(table, workers=1).epoch(2)]
    got = [b.x for b in loader(table, workers=workers).epoch(2)]
    assert len(got) == len(expected) > 3
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_an_epoch_continues_at_its_batch():
    whole = [b.utt_id for b in loader(rows(range(1, 24))).epoch(1)]
    assert [b.utt_id for b in loader(rows(range(1, 24))).epoch(1, start=3)] == whole[3:]


def test_epochs_and_seeds_differ():
    table = rows(range(1, 24))
    orders = {tuple(u for b in loader(table, seed=s).epoch(e) for u in b.utt_id) for s in (0, 1) for e in (0, 1)}
    assert len(orders) == 4
    assert derive(0, "epoch", 1) != derive(1, "epoch", 0)


def test_oversampling_is_exact_and_keeps_every_trial():
    batches = list(loader(rows(range(1, 24))).epoch(0))
    target = torch.cat([b.target for b in batches])
    assert target.sum() * 2 == target.numel()  # 6 bona fide against 17 spoof -> 17 against 17
    assert {u for b in batches for u in b.utt_id} == {f"u{n}" for n in range(1, 24)}


def test_weights_choose_what_is_drawn():
    table = rows(range(1, 24)).append_column("weight", pa.array([1.0] + [0.0] * 22))
    assert {u for b in loader(table, balance="none").epoch(0) for u in b.utt_id} == {"u1"}


def test_scoring_keeps_every_trial_once_and_in_plan_order():
    table = rows([9, 3, 9, 5, 3, 1])
    fixed = loader(table, train=False, batch_size=2)
    assert [u for b in fixed.epoch() for u in b.utt_id] == table["utt_id"].to_pylist()
    whole = loader(table, train=False, samples=None, batch_size=2)
    batches = list(whole.epoch())
    assert sorted(u for b in batches for u in b.utt_id) == sorted(table["utt_id"].to_pylist())
    assert all(len({int(u[1:]) for u in b.utt_id}) == 1 for b in batches)  # no padding when scoring


def test_whole_utterances_are_filled_with_silence_in_training():
    for batch in loader(rows(range(1, 24)), samples=None).epoch(0):
        longest = max(int(u[1:]) for u in batch.utt_id) * 1000
        assert batch.x.shape[1] == longest
        for x, utt_id in zip(batch.x, batch.utt_id, strict=True):
            assert not x[int(utt_id[1:]) * 1000 :].any()


def test_a_transform_sees_the_whole_clip_and_depends_on_the_seed_alone():
    seen = []

    def shift(wave, generator):
        seen.append(wave.size)
        return wave + generator.integers(1, 1000)

    def batches(workers):
        return [b.x for b in loader(rows([3, 9, 7, 12]), transform=shift, workers=workers, balance="none").epoch(1)]

    first, again = batches(1), batches(5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert sorted(seen[:4]) == [3000, 7000, 9000, 12000]
    assert all((x[:, 0] % 1 == 0).all() and x.min() > 0 for x in first)
