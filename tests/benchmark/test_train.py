"""The training loop: killed at any batch it ends with the same weights; schedules by hand; phases; bad losses."""

import contextlib
import math

import numpy as np
import on_gpu
import pyarrow as pa
import pytest
import torch
from tones import Small, Tones, loaders, settings_of

from benchmark import metrics
from benchmark.detectors._base import Detector
from benchmark.loader import Loader
from benchmark.score import score, score_and_diagnose
from benchmark.train import _dev, _optimizer, learning_rate, train
from features import extractors
from ingest.types import DataError


class Killed(BaseException):
    """Stands for kill -9: nothing in the loop may catch it."""


def fit(tmp_path, *, die_at=None, device="cpu", **changes):
    torch.manual_seed(0)
    detector = Small().to(device)
    if die_at is not None:
        loss, seen = detector.loss, iter(range(die_at))

        def dying(batch):
            if next(seen, None) is None:
                raise Killed
            return loss(batch)

        detector.loss = dying
    both = loaders()
    for one in both:
        one.device, one.extractor = torch.device(device), one.extractor.to(device)
    result = train(detector, *both, settings_of(**changes), seed=1, checkpoint=tmp_path / "state.pt",
                   name="test", save_every_s=0.0)  # fmt: skip
    return detector.state_dict(), result


RECIPES = {
    "plain": {},
    "accumulate": {"accumulate": 4},
    "swa": {"swa": True},
    "phases": {
        "phases": [{"name": "head", "epochs": 2, "lr": 0.1, "trainable": ["head"]}, {"name": "all", "epochs": 2}]
    },
    "bfloat16": {"precision": "bfloat16", "phases": [{"epochs": 2}, {"epochs": 2, "precision": "float32"}]},
    "schedule": {"schedule": {"name": "warmup_linear", "warmup": 0.2}, "optimizer": "adamw", "clip_norm": 1.0},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("die_at", [1, 10, 17, 25])
def test_killed_and_resumed_equals_undisturbed(tmp_path, recipe, die_at):
    expected, about = fit(tmp_path / "whole", **RECIPES[recipe])
    with pytest.raises(Killed):
        fit(tmp_path / "killed", die_at=die_at, **RECIPES[recipe])
    got, again = fit(tmp_path / "killed", **RECIPES[recipe])
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert again == about


@pytest.mark.parametrize(("batch_size", "draws"), [(6, 0), (16, 0), (16, 10)])
def test_a_mixture_hears_each_drawn_utterance_once_a_pass_and_no_silence_after_it(tmp_path, batch_size, draws):
    """With batch_size=16 for all detectors, zeros that fill a batch were frames to it, and the last clips were left out;
    draws did not count."""

    class Counts(Detector):
        def fit(self, batches, *, seed):
            self.heard = [(name, x.shape[0]) for batch in batches() for name, x in zip(batch.utt_id, batch.x)]

        def score(self, x):
            return x.mean((1, 2))

    both, detector = loaders(batch_size=batch_size, whole=True), Counts()
    for one in both:
        one.drop_last = True
    train(detector, *both, settings_of(batch_size=batch_size, draws=draws), seed=1, checkpoint=tmp_path, name="test")
    assert len({name for name, _ in detector.heard}) == len(detector.heard) == (draws or len(both[0].utt_id))
    assert all(frames == 1 + both[0].reader.length(name) // 160 for name, frames in detector.heard)


@pytest.mark.parametrize(("killed_on", "resumed_on"), [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")])
def test_a_training_goes_on_on_a_gpu_as_it_would_have(tmp_path, killed_on, resumed_on, monkeypatch):
    """Adam's counts of steps came back to the GPU, which was then waited for once a parameter and step."""
    made = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr("benchmark.train._optimizer", lambda *how: made.append(_optimizer(*how)) or made[-1])
    recipe = {"optimizer": "adamw", "swa": True}
    with on_gpu.claimed():
        expected, about = fit(tmp_path / "whole", device=resumed_on, **recipe)
        with pytest.raises(Killed):
            fit(tmp_path / "killed", device=killed_on, die_at=17, **recipe)
        got, again = fit(tmp_path / "killed", device=resumed_on, **recipe)
        held = [(key, value.device.type) for state in made[-1].state.values() for key, value in state.items()]
        assert set(held) == {("step", "cpu"), ("exp_avg", resumed_on), ("exp_avg_sq", resumed_on)}
        assert {value.device.type for value in got.values()} == {resumed_on}
        if killed_on == resumed_on:
            assert again == about and all(torch.equal(expected[key], got[key]) for key in expected)
    curves = [[value for _, _, value in result["curve"]] for result in (about, again)]
    assert curves[1] == pytest.approx(curves[0], abs=0.05)  # AdamW steps by the sign of a gradient that is rounding


class Dropped(Small):
    """Drops what its batch norm sees, and dies when it looks at dev for the third time."""

    def __init__(self, *, dies):
        super().__init__()
        self.looks, self.dies = 0, dies

    def score(self, x):
        return super().score(torch.nn.functional.dropout(x, 0.5, self.training))

    def eval(self):
        self.looks += 1
        if self.looks == 3 and self.dies:
            raise Killed
        return super().eval()


def test_averaged_weights_are_the_same_after_a_kill_behind_the_last_batch(tmp_path):
    """No batch is left to train then, so that nothing has set torch's generator when norms are estimated again."""

    def averaged(folder, seed, *, dies=False):
        torch.manual_seed(0)
        detector = Dropped(dies=dies)
        torch.manual_seed(seed)  # of a process that has done other things before
        train(detector, *loaders(), settings_of(swa=True), seed=1, checkpoint=tmp_path / folder / "state.pt",
              name="test", save_every_s=0.0)  # fmt: skip
        return detector.state_dict()

    expected = averaged("whole", 7)
    with pytest.raises(Killed):
        averaged("killed", 7, dies=True)
    got = averaged("killed", 8)
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_phases_train_only_what_they_name(tmp_path):
    torch.manual_seed(0)
    before = Small().state_dict()
    after, _ = fit(tmp_path, phases=[{"name": "head", "trainable": ["head"]}])
    assert torch.equal(before["body.0.weight"], after["body.0.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])


@pytest.mark.parametrize("die_at", [None, 13, 25])
def test_a_course_by_steps_moves_with_every_batch(tmp_path, die_at):
    """asdg's reversal is p = step / total in its code; it stood still over an epoch."""

    class Moved(Small):
        progress, dies, seen = 0.0, None, ()

        def loss(self, batch):
            if len(self.seen) == self.dies:
                raise Killed
            self.seen = (*self.seen, self.progress)
            return super().loss(batch)

    def moved(dies):
        torch.manual_seed(0)
        detector = Moved()
        detector.dies = dies
        how = settings_of(phases=[{"settings": {"progress": {"from": 0.0, "before_step": 2.0}}}], epochs=3)
        with pytest.raises(Killed) if dies else contextlib.nullcontext():
            train(detector, *loaders(), how, seed=1, checkpoint=tmp_path / "state.pt", name="test", save_every_s=0.0)
        return detector.seen

    seen = (*(moved(die_at) if die_at else ()), *moved(None))
    assert list(seen) == pytest.approx([2.0 * step / len(seen) for step in range(len(seen))]) and len(seen) > 25


def test_accumulated_batches_are_one_larger_batch(tmp_path):
    """Of 10 batches of 6, four at a time, the last two are a batch of 12."""

    class Line(Detector):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(80, 1)

        def score(self, x):
            return self.head(x.mean(1)).squeeze(-1)

    def trained(folder, batch_size, **changes):
        torch.manual_seed(0)
        detector = Line()
        how = settings_of(batch_size=batch_size, optimizer="sgd", weight_decay=0.0, lr=0.05, drop_last=False, **changes)
        train(detector, *loaders(batch_size=batch_size), how, seed=1, checkpoint=tmp_path / folder, name="test")
        return detector.head.weight.detach()

    torch.testing.assert_close(trained("one", 6, accumulate=4), trained("two", 24), rtol=1e-4, atol=1e-6)


def test_each_phase_has_its_precision(tmp_path):
    seen = []

    class Watching(Small):
        def loss(self, batch):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().loss(batch)

    phases = [{"name": "one", "epochs": 1}, {"name": "two", "epochs": 1, "precision": "bfloat16"}, {"epochs": 1}]
    train(Watching(), *loaders(), settings_of(phases=phases), seed=1, checkpoint=tmp_path / "s.pt", name="test")
    steps = len(seen) // 3
    assert steps and seen == [False] * steps + [True] * steps + [False] * steps


def test_training_finds_the_tones_and_reports_its_curve(tmp_path):
    _, result = fit(tmp_path, epochs=12)
    values = {name: value for epoch, name, value in result["curve"] if epoch == result["best_epoch"]}
    assert values["dev_eer"] < 0.2 and values["dev_auc"] > 0.9
    assert result["epochs"] == 12


def test_patience_ends_training(tmp_path):
    _, result = fit(tmp_path, epochs=50, patience=2, min_delta=10.0)
    assert result["epochs"] == 3  # the first epoch always gains, the next two do not


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"training loss is (nan|inf)"):
        fit(tmp_path, lr=1e30, optimizer="sgd")


def test_a_dev_loss_that_is_not_finite_is_an_error(tmp_path):
    """No epoch was ever the best one then, and the weights of the start were kept as trained."""

    class Overflowing(Small):
        OWN_DEV_LOSS = True

        def loss(self, batch):
            return super().loss(batch) * (1.0 if self.training else math.inf)

    with pytest.raises(DataError, match="test: the dev loss is inf; lower lr"):
        train(Overflowing(), *loaders(), settings_of(selection="loss"), seed=1, checkpoint=tmp_path / "s", name="test")


def test_an_unknown_phase_prefix_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no parameter of Small starts with haed"):
        fit(tmp_path, phases=[{"name": "head", "trainable": ["haed"]}])


def test_schedules_by_hand():
    at = {"total": 100, "epoch": 0}
    cosine = {"name": "cosine_per_step", "min_lr": 5e-6}
    assert learning_rate(cosine, 1e-4, step=0, **at) == pytest.approx(1e-4)
    assert learning_rate(cosine, 1e-4, step=50, **at) == pytest.approx(5.25e-5)
    assert learning_rate(cosine, 1e-4, step=100, **at) == pytest.approx(5e-6)
    assert learning_rate(cosine | {"steps": 200}, 1e-4, step=100, **at) == pytest.approx(5.25e-5)
    halving = {"name": "step", "every": 10, "factor": 0.5}
    assert learning_rate(halving, 1.0, step=0, total=1, epoch=25) == 0.25
    warm = {"name": "warmup_linear", "warmup": 0.1}
    assert learning_rate(warm, 1.0, step=4, **at) == pytest.approx(0.5)
    assert learning_rate(warm, 1.0, step=55, **at) == pytest.approx(0.5)
    assert math.isclose(learning_rate("constant", 0.3, step=9, **at), 0.3)


def test_diagnostics_come_in_the_order_of_the_rows_beside_the_same_scores(tmp_path):
    class Telling(Small):
        DIAGNOSTICS = {"twice": "twice the score", "first": "first value of the input"}

        def diagnose(self, batch):
            scores = self.score_batch(batch)
            return scores, {"twice": 2 * scores, "first": batch.x.flatten(1)[:, 0]}

    torch.manual_seed(0)
    detector, dev = Telling(), loaders()[1]
    scores, found = score_and_diagnose(detector, dev)
    assert np.array_equal(scores, score(detector, dev))
    np.testing.assert_allclose(found["twice"], 2 * scores)
    order = [draw.row for batch in dev.plan() for draw in batch]
    assert found["first"][order].tolist() == [float(v) for batch in dev.epoch() for v in batch.x.flatten(1)[:, 0]]
    assert score_and_diagnose(Small(), loaders()[1])[1] == {}


@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
def test_one_number_a_clip_is_a_score_in_any_shape(shape):
    detector, (_, dev) = Small(), loaders()
    expected = score(detector, dev)
    plain = detector.score
    detector.score = lambda x: plain(x).reshape(shape)
    assert np.array_equal(score(detector, dev), expected)


def test_a_last_batch_of_one_clip_survives_a_squeeze_too_much():
    detector, (_, dev) = Small(), loaders()
    dev.batch_size = len(dev.utt_id) - 1
    expected = score(detector, dev)
    plain = detector.score
    detector.score = lambda x: plain(x).squeeze()
    assert np.array_equal(score(detector, dev), expected)


@pytest.mark.parametrize("told", ["()", "(16, 2)", "a NoneType"])
def test_what_is_not_one_number_a_clip_is_told(told):
    detector, (_, dev) = Small(), loaders()
    dev.batch_size = 16
    given = {"()": torch.zeros(()), "(16, 2)": torch.zeros(16, 2), "a NoneType": None}[told]
    detector.score = lambda x: given
    with pytest.raises(DataError) as error:
        score(detector, dev)
    assert f"Small gives {told} as the scores of 16 clips: score(x) must return a tensor" in str(error.value)


def test_trials_without_a_word_are_a_group_of_dev():
    table = pa.table({"utt_id": ["b1", "s1", "b2", "s2"], "label": ["bonafide", "spoof"] * 2,
                      "speaker": ["one", "one", None, None]})  # fmt: skip
    spec = {"feature": "logmel", "params": {}, "samples": 3000, "test_crop": "middle", "short": "repeat"}
    dev = Loader(Tones(), table, spec, extractors.get("logmel"), batch_size=2, seed=0, train=False, group_by="speaker")
    assert dev.groups == ["one", "one", "None", "None"]
    assert 0 <= _dev(Small(), dev)["eer"] <= 1


def test_dev_is_the_mean_over_its_groups():
    _, dev = loaders()
    dev.groups = ["one" if i % 2 else "two" for i in range(len(dev.label))]
    detector, whole = Small(), loaders()[1]
    scores = score(detector, whole)
    bonafide = np.array([word == "bonafide" for word in dev.label])
    group = np.array(dev.groups)
    expected = [metrics.auc(scores[bonafide & (group == g)], scores[~bonafide & (group == g)]) for g in ("one", "two")]
    assert _dev(detector, dev)["auc"] == pytest.approx(np.mean(expected))


def test_a_dev_group_of_one_class_is_measured_against_the_other_class_of_all():
    detector, dev = Small(), loaders()[1]
    scores = score(detector, dev)
    bonafide = np.array([word == "bonafide" for word in dev.label])
    dev.groups = ["spoofs" if not is_bonafide and i % 2 else "rest" for i, is_bonafide in enumerate(bonafide)]
    lone = np.array(dev.groups) == "spoofs"
    expected = [metrics.auc(scores[bonafide], scores[~bonafide & ~lone]), metrics.auc(scores[bonafide], scores[lone])]
    assert _dev(detector, dev)["auc"] == pytest.approx(np.mean(expected))


class OfItsOwn(Small):
    """A loss that is not the cross entropy of the score: a third of the batch's share of bona fide, in evaluation."""

    OWN_DEV_LOSS = True

    def loss(self, batch):
        return super().loss(batch) if self.training else batch.target.float().mean() / 3


def test_a_recipe_that_selects_by_loss_asks_the_detectors_own():
    """12 of 42 tones are bona fide: the mean over batches, each by its trials, is the mean over tones."""
    detector, dev = OfItsOwn(), loaders(batch_size=9)[1]  # the last of five batches is smaller
    assert _dev(detector, dev, own_loss=True)["loss"] == pytest.approx(12 / 42 / 3)
    scores = score(detector, dev)
    sign = np.array([1 if word == "bonafide" else -1 for word in dev.label])
    assert _dev(detector, dev)["loss"] == pytest.approx(np.log1p(np.exp(-sign * scores)).mean())
    assert _dev(Small(), dev, own_loss=True)["loss"] != pytest.approx(12 / 42 / 3)


def test_the_own_loss_decides_where_it_selects(tmp_path):
    result = _trained(OfItsOwn(), tmp_path / "loss", selection="loss")
    told = [value for _, name, value in result["curve"] if name == "dev_loss"]
    assert told == [pytest.approx(12 / 42 / 3)] * 3 and result["best_epoch"] == 0  # no gain after the first
    result = _trained(OfItsOwn(), tmp_path / "eer", selection="eer")
    assert all(value != pytest.approx(12 / 42 / 3) for _, name, value in result["curve"] if name == "dev_loss")


def _trained(detector, tmp_path, **changes):
    torch.manual_seed(0)
    how = settings_of(**changes)
    return train(detector, *loaders(), how, seed=1, checkpoint=tmp_path / "state.pt", name="test")


def test_a_precision_that_a_later_phase_cannot_have_is_told_before_the_first(tmp_path):
    phases = [{"name": "one"}, {"name": "two", "precision": "float16"}]
    with pytest.raises(DataError, match="precision float16 needs a GPU"):
        fit(tmp_path, phases=phases, die_at=0)
    assert not (tmp_path / "state.pt").exists()
