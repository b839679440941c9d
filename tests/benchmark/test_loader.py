"""Loader: crops worked out by hand; the same batches whatever the number of workers and wherever it starts."""

import numpy as np
import on_gpu
import pyarrow as pa
import pytest
import small_corpus
import torch

from benchmark.feeds import Feed
from benchmark.loader import Loader, crop_start, derive, fill, windows
from features import extractors
from ingest.types import DataError
from shards import members, reader, writer
from shards.reader import Reader


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
    drawn = [fill(np.arange(3.0), 7, short="repeat_random", u=u).tolist() for u in (0, 0.4, 0.99)]
    assert drawn == [[0, 1, 2, 0, 1, 2, 0], [1, 2, 0, 1, 2, 0, 1], [2, 0, 1, 2, 0, 1, 2]]
    assert fill(np.arange(3.0), 6, short="repeat_random", u=0.5).tolist() == [2, 0, 1, 2, 0, 1]


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


def test_a_random_test_crop_is_fixed_by_seed_and_name():
    def starts(table, seed):
        batches = loader(table, train=False, seed=seed, spec={"test_crop": "random"}).epoch()
        return {u: int(x[0]) for b in batches for u, x in zip(b.utt_id, b.x, strict=True)}

    some = starts(rows(range(6, 30)), 3)
    assert starts(rows([29, 11, 6]), 3) == {f"u{n}": some[f"u{n}"] for n in (29, 11, 6)}
    assert starts(rows(range(6, 30)), 4) != some
    assert all(0 <= some[f"u{n}"] <= 1000 * n - 5000 for n in range(6, 30)) and len(set(some.values())) > 15
    assert some["u9"] == int(derive(3, "test crop", "u9", "original") / 2**63 * 4001)


def test_whole_utterances_are_filled_with_silence_in_training():
    for batch in loader(rows(range(1, 24)), samples=None).epoch(0):
        longest = max(int(u[1:]) for u in batch.utt_id) * 1000
        assert batch.x.shape[1] == longest
        for x, utt_id in zip(batch.x, batch.utt_id, strict=True):
            assert not x[int(utt_id[1:]) * 1000 :].any()


def test_whole_utterances_come_in_shuffled_blocks_of_four_batches_of_like_length():
    def order(seed):
        plan = loader(rows(range(1, 24)), samples=None, batch_size=2, balance="none", seed=seed).plan()
        return [draw.row + 1 for draws in plan for draw in draws]

    for seed in range(4):
        drawn = order(seed)
        blocks = [drawn[:8], drawn[8:16]]
        assert sorted(map(sorted, blocks)) == [list(range(1, 9)), list(range(9, 17))]
        assert sorted(drawn[16:]) == list(range(17, 24))  # the rest of the longest comes last
        assert all(block != sorted(block) for block in blocks)
    assert len({order(seed)[0] > 8 for seed in range(8)}) == 2  # either block comes first


def test_a_transform_sees_the_whole_clip_and_depends_on_the_seed_alone():
    seen = []

    def shift(wave, generator):
        seen.append(wave.size)
        return wave + generator.integers(1, 1000)

    def batches(workers):
        return [
            b.x
            for b in loader(rows([3, 9, 7, 12]), feed=Feed(transform=shift), workers=workers, balance="none").epoch(1)
        ]

    first, again = batches(1), batches(5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert sorted(seen[:4]) == [3000, 7000, 9000, 12000]
    assert all((x[:, 0] % 1 == 0).all() and x.min() > 0 for x in first)


def test_windows_by_hand():
    lengths = np.array([500, 4_000, 4_999, 5_000, 8_000, 9_000])
    assert windows(lengths, 4_000).tolist() == [1, 1, 1, 2, 2, 3]  # a rest counts from a quarter of a window on


def test_each_window_of_an_utterance_is_a_trial_of_its_own():
    spec = {"samples": None, "train_samples": 4000, "windows": True, "short": "none"}
    made = loader(rows([3, 9, 13]), spec=spec, batch_size=2, balance="none")
    batches = list(made.epoch(0))
    assert [len(b.utt_id) for b in batches] == [2, 2, 2, 2]
    seen = sorted((int(u[1:]), int(x[0]), int(x.count_nonzero())) for b in batches for u, x in zip(b.utt_id, b.x))
    nine = [(9, 0, 3999), (9, 4000, 4000), (9, 8000, 1000)]
    assert seen == [
        (3, 0, 2999),
        *nine,
        *[(13, start, 3999 + (start > 0)) for start in (0, 4000, 8000)],
        (13, 12000, 1000),
    ]
    assert all(b.x.shape[1] == 4000 for b in batches)


def mixed(table, **options):
    made = loader(table, **{"balance": "none", "batch_size": 10} | options)
    return made, lambda epoch=0: [u for b in made.epoch(epoch) for u in b.utt_id]


def test_a_phase_sets_batch_size_and_shares():
    domains = pa.array(["speech"] * 80 + ["singing"] * 20)
    table = rows(range(1, 101)).append_column("domain", domains)
    made, drawn = mixed(table)
    made.arrange(batch_size=25, mix={"domain": {"speech": 1.0}})
    assert sorted(drawn()) == sorted(f"u{n}" for n in range(1, 81))  # each once: nothing to weigh
    assert [len(batch) for batch in made.plan()] == [25, 25, 25, 5]
    made.arrange(batch_size=50, mix={"domain": {"speech": 0.3, "singing": 0.7}})
    singing = np.mean([int(u[1:]) > 80 for epoch in range(20) for u in drawn(epoch)])
    assert singing == pytest.approx(0.7, abs=0.04)
    made.arrange(batch_size=10)
    assert len(set(drawn())) == 100


def test_a_mix_of_what_is_not_there_does_not_count():
    table = rows(range(1, 31)).append_column("domain", pa.array(["singing"] * 30))
    made, drawn = mixed(table)
    made.arrange(batch_size=10, mix={"domain": {"speech": 1.0}})
    assert len(set(drawn())) == 30
    made.arrange(batch_size=10, mix={"domain": {"speech": 0.9, "singing": 0.1}})
    assert len(set(drawn())) == 30


def test_equal_classes_are_drawn_with_replacement():
    made, drawn = mixed(rows(range(1, 101)), balance="classes")  # 25 bona fide, 75 spoof
    labels = dict(zip(made.utt_id, made.label, strict=True))
    real = np.mean([labels[u] == "bonafide" for epoch in range(20) for u in drawn(epoch)])
    assert real == pytest.approx(0.5, abs=0.04)
    assert len(drawn()) == 100


def shared_out():
    """100 speech (10 bona fide) and 30 singing (20 bona fide) trials, each domain half of the weight; u7 half of u8."""
    domain = ["speech"] * 100 + ["singing"] * 30
    label = ["bonafide"] * 10 + ["spoof"] * 90 + ["bonafide"] * 20 + ["spoof"] * 10
    weight = [0.5 / 100] * 100 + [0.5 / 30] * 30
    weight[6] /= 2
    table = rows(range(1, 131), label)
    return table.append_column("domain", pa.array(domain)).append_column("weight", pa.array(weight))


@pytest.mark.parametrize("balance", ["oversample", "classes"])
def test_balance_keeps_the_protocols_shares_and_weights(balance):
    made, drawn = mixed(shared_out(), balance=balance, weighed_by=["domain"])
    every = [u for epoch in range(100) for u in drawn(epoch)]
    label, domain = (dict(zip(made.utt_id, made.weighed_by["domain"] if n else made.label)) for n in range(2))
    cells = {(a, b): np.mean([(label[u], domain[u]) == (a, b) for u in every])
             for a in ("bonafide", "spoof") for b in ("speech", "singing")}  # fmt: skip
    assert cells == pytest.approx(dict.fromkeys(cells, 0.25), abs=0.015)  # the domain says nothing of the label
    assert every.count("u7") == pytest.approx(every.count("u8") / 2, rel=0.25)
    if balance == "oversample":
        assert all(sum(label[u] == "bonafide" for u in drawn(n)) * 2 == len(drawn(n)) == 200 for n in range(3))


def test_balance_counts_over_all_where_a_group_has_one_class():
    table = shared_out().slice(0, 110)  # no spoof sings
    made, drawn = mixed(table, balance="oversample", weighed_by=["domain"])
    label = dict(zip(made.utt_id, made.label, strict=True))
    assert sum(label[u] == "bonafide" for u in drawn()) == 90 == len(drawn()) / 2
    made.arrange(batch_size=10, mix={"domain": {"speech": 1.0}})  # 10 and 90, of which u7 weighs half
    assert {int(u[1:]) <= 100 for u in drawn()} == {True} and len(drawn()) == 180


@pytest.mark.parametrize("balance", ["oversample", "classes"])
def test_one_class_cannot_be_balanced(balance):
    made, _ = mixed(shared_out().slice(10), balance=balance)
    made.arrange(batch_size=10, mix={"domain": {"speech": 1.0}})
    with pytest.raises(DataError, match="90 of 120 training trials count here, all of them spoof"):
        made.plan()


def test_weights_between_the_classes_alone_leave_every_trial_in():
    weight = pa.array([3.0 if label == "bonafide" else 1.0 for label in rows(range(1, 24))["label"].to_pylist()])
    plain, weighed = rows(range(1, 24)), rows(range(1, 24)).append_column("weight", weight)
    assert [b.utt_id for b in loader(plain).epoch()] == [b.utt_id for b in loader(weighed).epoch()]


def test_companions_are_features_of_the_same_crop():
    feed = Feed(companions={"level": extractors.get("logmel")})
    for batch in loader(rows([6, 7]), feed=feed, balance="none").epoch():
        torch.testing.assert_close(batch.extra["level"], extractors.get("logmel").extract(batch.x))


def test_companions_are_computed_where_the_batch_is():
    feed = Feed(companions={"level": extractors.get("logmel")})
    (here,) = loader(rows([3, 9], ["bonafide", "spoof"]), feed=feed).epoch()
    with on_gpu.claimed():
        there = loader(rows([3, 9], ["bonafide", "spoof"]), feed=feed, device="cuda")
        (draws,) = there.plan()
        level = there._batch(draws, there._made(draws, draws)).extra["level"]
        assert level.device == on_gpu.CUDA
        torch.testing.assert_close(level.cpu(), here.extra["level"])


@pytest.fixture(scope="module", params=["pcm", "flac"])
def stored(request, tmp_path_factory):
    data = small_corpus.build(tmp_path_factory.mktemp(request.param))
    writer.write_corpus("tiny", data, audio_codec=request.param)
    with Reader(data) as reader:
        yield reader


STORED = pa.table({"utt_id": [f"tiny/{row[0]}" for row in small_corpus.ROWS[:6]],
                   "label": [row[1] for row in small_corpus.ROWS[:6]]})  # fmt: skip


@pytest.mark.parametrize("case", [
    {}, {"train": False}, {"samples": 8000}, {"samples": 12_001}, {"samples": 12_001, "spec": {"short": "zero"}},
    {"samples": 9000, "spec": {"train_short": "zero"}}, {"samples": 12_001, "spec": {"train_short": "repeat_random"}},
    {"samples": None, "spec": {"train_samples": 3000, "windows": True, "short": "none"}},
])  # fmt: skip
def test_crops_of_a_batch_at_once_are_those_of_clip_by_clip(stored, case):
    def batches(plain):
        spec = {"feature": "raw", "params": {}, "samples": case.get("samples", 5000), "train_crop": "random",
                "test_crop": "middle", "short": "repeat"} | case.get("spec", {})  # fmt: skip
        made = Loader(stored, STORED, spec, extractors.get("raw"), batch_size=4, seed=3, train=case.get("train", True))
        assert made.plain
        made.plain = plain
        return list(made.epoch(1))

    at_once, one_by_one = batches(True), batches(False)
    assert [b.utt_id for b in at_once] == [b.utt_id for b in one_by_one] and len(at_once) >= 2
    for a, b in zip(at_once, one_by_one, strict=True):
        assert a.x.dtype == torch.float32 and a.x.numpy().tobytes() == b.x.numpy().tobytes()


def test_crops_are_the_same_where_the_disk_must_be_waited_for(stored, monkeypatch):
    clips, into = ["tiny/b1", "tiny/s1"], np.zeros((2, 2, 5000), np.float32)
    rows, starts = stored.rows(clips, ["original"] * 2), np.array([7, 300])
    asked = []
    stored.crops(clips, rows, starts, starts + 5000, into[0])
    monkeypatch.setattr(members.OpenFile, "in_memory", lambda *_: False)
    monkeypatch.setattr(reader, "ask", asked.append)
    stored.crops(clips, rows, starts, starts + 5000, into[1])
    assert into[0].any() and into[0].tobytes() == into[1].tobytes()
    assert [len(spans) for spans in asked] in ([], [2])  # once, for all; of compressed clips never


@pytest.mark.parametrize("samples", [5000, 12_001])
@pytest.mark.parametrize("level", ["as_is", "crop_peak"])
def test_a_batch_for_a_gpu_is_pinned_as_stored_and_scaled_there(stored, samples, level, monkeypatch):
    def made(device):
        spec = {"feature": "raw", "params": {}, "samples": samples, "train_crop": "random", "test_crop": "middle",
                "short": "repeat", "level": level}  # fmt: skip
        return Loader(stored, STORED, spec, extractors.get("raw"), batch_size=4, seed=3, train=True, device=device)

    pinned, empty = [], torch.empty  # there is no GPU here: its memory is taken from what there is
    monkeypatch.setattr(
        torch, "empty", lambda *size, pin_memory, **kind: pinned.append(pin_memory) or empty(*size, **kind)
    )
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    gpu, processor = made("cuda"), made("cpu")
    here = gpu._made(gpu.plan()[0], gpu.plan()[0])["x"]
    wav = stored.are_16_bit(stored.rows(STORED["utt_id"].to_pylist(), ["original"] * 6))
    assert pinned == [True] and here.dtype == (torch.int16 if wav else torch.float32) and here.shape == (4, samples)
    there = gpu._extracted({"x": here})["x"]
    same = next(iter(processor.epoch())).x
    assert pinned[1] is False and there.dtype == torch.float32 and there.numpy().tobytes() == same.numpy().tobytes()


def test_crops_that_cannot_be_read_are_named(stored):
    rows = stored.rows(["tiny/b1", "tiny/s1"], ["original"] * 2)
    into, whole = np.zeros((2, 9000), np.float32), np.array([8000, 8000])
    with pytest.raises(DataError, match=r"tiny/s1 has 8000 samples; 0\.\.8001 do not lie within"):
        stored.crops(["tiny/b1", "tiny/s1"], rows, np.zeros(2, int), whole + np.array([0, 1]), into)
    with pytest.raises(DataError, match=r"tiny/zz is in no shard of variant 'original'; run: python -m shards tiny"):
        stored.rows(["tiny/b1", "tiny/zz"], ["original"] * 2)
    path = stored._folder / stored._shards[stored._index["shard"][rows[1]]]
    content = path.read_bytes()
    try:
        path.write_bytes(content[: int(stored._index["offset"][rows[1]]) + 100])
        with pytest.raises(DataError, match=r"is damaged: tiny/s1 .*python -m shards tiny"):
            again = Reader(stored.data)
            again.crops(["tiny/s1"], again.rows(["tiny/s1"], ["original"]), np.zeros(1, int), whole[1:], into)
    finally:
        path.write_bytes(content)
