"""Every detector that is found: it builds, scores, saves, loads and refuses; a newcomer is tested by existing."""

import re

import pytest
import small_forms
import torch
from huggingface_hub.constants import HF_HUB_CACHE

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors._base import Detector, Input
from features import extractors
from ingest.types import DataError


@pytest.fixture(scope="module", params=detectors.names())
def built(request):
    """(id, detector in a small form, features of two different clips)."""
    model = small_forms.build(request.param)
    wave = 0.1 * torch.randn(2, model.input.samples or small_forms.SAMPLES)
    extractor = extractors.get(model.input.feature, **model.input.params)
    return request.param, model, extractor.extract(wave)


@pytest.fixture(scope="module")
def together(built):
    """The scores of both clips as one batch."""
    _, model, x = built
    with torch.inference_mode():
        return model.score(x)


def test_it_gives_one_finite_score_per_clip(together):
    assert together.shape == (2,)
    assert together.is_floating_point()
    assert bool(together.isfinite().all())


def test_a_clip_scores_the_same_alone_and_in_a_batch(built, together):
    _, model, x = built
    with torch.inference_mode():
        alone = torch.cat([model.score(x[:1]), model.score(x[1:])])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_what_it_tells_of_its_inside_comes_with_the_same_scores(built):
    _, model, x = built
    if not type(model).DIAGNOSTICS:
        assert type(model).diagnose is Detector.diagnose
        return
    batch = Batch(x, torch.tensor([1, 0]), ["a", "b"])
    with torch.inference_mode():
        scores, found = model.diagnose(batch)
        torch.testing.assert_close(scores, model.score_batch(batch))
    assert list(found) == list(model.DIAGNOSTICS)
    assert all(values.shape == (2,) and bool(values.isfinite().all()) for values in found.values())


def test_saved_weights_come_back(built, together, tmp_path):
    name, model, x = built
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = small_forms.build(name, drawn=1)
    report = other.load_weights(tmp_path / "weights.pt")
    assert report.loaded == len(model.state_dict())
    assert not report.missing
    assert not report.unexpected
    with torch.inference_mode():
        assert torch.equal(other.score(x), together)


WRAPPED = {
    "parallel training": lambda s: {f"module.{k}": v for k, v in s.items()},
    "a compiler under parallel training": lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
    "a trainer's file": lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}, "epoch": 3, "optimizer": {}},
    "a checkpoint in a checkpoint": lambda s: {"model": {"model_state_dict": s}, "args": {"lr": 1e-4}},
    "before counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
    "with other counters": lambda s: {**s, "spare.num_batches_tracked": torch.tensor(7)},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_weights_come_back_from_what_training_code_writes(built, tmp_path, wrap):
    name, model, _ = built
    if not (state := {key: value.clone() for key, value in model.state_dict().items()}):
        pytest.skip("has no weights")
    changed = {key: value + 1 if value.is_floating_point() else value for key, value in state.items()}
    if name == "lfcc_lcnn":  # a fixed front end that is another's is refused
        changed |= {key: value for key, value in state.items() if key.startswith("m_frontend.")}
    torch.save(wrap(changed), tmp_path / "w.pt")
    report = model.load_weights(tmp_path / "w.pt")
    after = model.state_dict()
    for key, value in changed.items():
        assert torch.equal(after[key], value), key
    assert report.loaded + len(report.missing) == len(state)
    assert all(key.endswith("num_batches_tracked") for key in (*report.missing, *report.unexpected))
    model.load_state_dict(state)


def test_an_entry_too_few_or_too_many_is_refused_by_every_detector(built, tmp_path):
    _, model, _ = built
    state = dict(model.state_dict())
    weights = [key for key in state if not key.endswith("num_batches_tracked")]
    if not weights:
        pytest.skip("has no weights")
    torch.save({**state, "stranger.weight": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(DataError, match=r"1 unexpected \(first: \S*stranger\.weight\)"):
        model.load_weights(tmp_path / "more.pt")
    absent = next(key for key in weights if not key.endswith(("masked_spec_embed", "sign")))
    del state[absent]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(DataError, match=rf"1 missing \(first: {re.escape(absent)}\)|no wav2vec"):
        model.load_weights(tmp_path / "less.pt")


OWN_DEV_LOSS = [
    name for name in detectors.names() if detectors.get(name).OWN_DEV_LOSS or "loss" in detectors.settings(name)
]


@pytest.mark.parametrize("built", OWN_DEV_LOSS, indirect=True)
def test_a_loss_that_selects_on_dev_needs_no_column_of_training(built):
    name, model, x = built
    if "loss" in detectors.settings(name):
        model = detectors.build(name, loss="p2sgrad").eval()
    assert model.OWN_DEV_LOSS
    with torch.inference_mode():
        both = [float(model.loss(Batch(x, torch.tensor(target), ["a", "b"]))) for target in ([1, 0], [0, 1])]
    assert all(0 < value < 100 for value in both) and both[0] != both[1]


def test_an_unknown_setting_is_refused(built):
    with pytest.raises(DataError, match="no_such_setting"):
        detectors.build(built[0], no_such_setting=1)


@pytest.mark.parametrize("name", detectors.names())
def test_no_word_passes_for_true_or_for_a_number(name):
    """--set shuffle=False is a word: taken as true, it would leave on what a run says is off."""
    for key, default in detectors.settings(name).items():
        if key == "weights" or isinstance(default, str):
            continue
        with pytest.raises(DataError, match=f"{name}: {key} takes .*, not 'False'"):
            detectors.build(name, **{key: "False"})


@pytest.mark.parametrize(("name", "setting"), [
    ("fd_add", {"eta": -1}), ("fd_add", {"dropout": 2}), ("fd_add", {"width": 0}), ("sfatnet", {"width": 0}),
    ("asdg", {"weight": -0.1}), ("uniaudio", {"lambda_aux": -1}), ("uniaudio_dann", {"lambda_domain": -1}),
    ("singfake_lfcc_resnet", {"width": 0}), ("mean_pool", {"bands": 0}),
])  # fmt: skip
def test_numbers_that_mean_nothing_are_refused(name, setting):
    (key,) = setting
    with pytest.raises(DataError, match=rf"{name} cannot be built .*{key} -?[\d.]+ is not within"):
        detectors.build(name, **{**detectors.get(name).OFFLINE, **setting})


def test_it_says_where_it_comes_from_and_what_it_takes(built):
    name, model, _ = built
    cls = detectors.get(name)
    assert cls.PAPER
    assert isinstance(model.input, Input)
    assert model.input.test_crop in ("first", "middle")
    assert model.input.short in ("repeat", "zero", "none")
    assert __import__(cls.__module__, fromlist=["x"]).__doc__


# number of all parameters at the default settings (detectors-a, table 1; of a Gaussian mixture: 2 x 512 x (1 + 2 x 57))
PARAMETERS = {
    "aasist": 297_866, "aasist_l": 85_306, "asdg": 1_076_938, "lfcc_lcnn": 275_253, "lfcc_lcnn_s": 682_625,
    "rawgat_st": 440_810, "rawgat_st_s": 440_730, "rawnet2": 17_621_410, "rawnet2_s": 17_716_425,
    "rawnet2_voc": 18_678_185, "rawnet2_voc_s": 17_723_600, "mean_pool": 81, "constant": 0, "lfcc_gmm": 117_760,
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_description_counts_the_parameters(name):
    told = detectors.describe(name)
    assert told["id"] == name
    assert told["parameters"] == PARAMETERS[name]


def test_trainable_parameters_of_lfcc_lcnn_leave_the_front_end_out():
    model = detectors.build("lfcc_lcnn")
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 269_729


def test_an_unknown_detector_names_the_nearest():
    with pytest.raises(DataError, match=r"unknown detector 'aasit'; did you mean aasist"):
        detectors.build("aasit")


@pytest.mark.parametrize(
    ("build", "found"),
    [(None, "no `build`"), (torch.nn.Linear(1, 1), r"`build = Linear\("), (torch.nn.Linear, "`build = <class")],
)
def test_a_file_that_does_not_end_in_a_detector_is_named(monkeypatch, build, found):
    monkeypatch.setattr("benchmark.detectors.mean_pool.build", build)
    with pytest.raises(DataError, match=rf"benchmark/detectors/mean_pool\.py has {found}.*a subclass of Detector"):
        detectors.get("mean_pool")


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(DataError, match="did you mean samples"):
        detectors.build("aasist_l", sample=48_000)


def test_names_are_the_files_and_nothing_is_imported():
    assert {"aasist", "mean_pool", "constant"} <= set(detectors.names())
    assert not any(name.startswith("_") for name in detectors.names())


@pytest.mark.parametrize("name", [name for name in detectors.names() if "weights" in detectors.settings(name)])
def test_absent_weights_are_named_with_the_setting_that_gives_them(name, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("benchmark.detectors._ssl._hub_cache", lambda hub: None)
    with pytest.raises(
        DataError, match=rf"^{name}: no pretrained weights \(.+--set weights=PATH.+weights=random"
    ) as told:
        detectors.build(name)
    assert str(tmp_path) in str(told.value)
    assert (HF_HUB_CACHE in str(told.value)) == ("folder of" in str(told.value))  # where a backbone is looked for
