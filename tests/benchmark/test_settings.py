"""Settings: who overrides whom, and what a mistyped --set is told."""

import json
from dataclasses import replace

import pytest
import torch

from benchmark import detectors, grid_files, settings
from ingest.types import DataError


def resolve(name="mean_pool", clip=None, **chosen):
    return settings.resolve(name, {"": chosen}, clip=clip, weights=None)


def test_the_user_overrides_the_detector_overrides_the_defaults():
    assert resolve().training.batch_size == 64  # training.toml
    assert resolve().training.lr == detectors.get("mean_pool").TRAINING["lr"]
    assert resolve(lr=0.5).training.lr == 0.5


def test_a_whole_number_is_the_same_as_its_fraction():
    """--set lr=1 and --set lr=1.0 were two trainings."""
    one, other = (resolve("asdg", lr=n, weight=n, phases=[{"clip_norm": n}]).as_json() for n in (1, 1.0))
    assert json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize(("key", "value"), [("adversarial", "False"), ("b0", "1"), ("streams", 1), ("mask", 0)])
def test_a_word_for_true_or_a_number_is_refused_in_a_phase(key, value):
    with pytest.raises(DataError, match=f"in phase 1 of fd_add: {key} = {value!r} is not of the kind of "):
        resolve("fd_add", phases=[{"settings": {key: value}}])


def test_the_floor_hears_as_many_bands_as_it_is_told():
    assert resolve("mean_pool", bands=64).input["params"] == {"bands": 64}


def test_the_protocol_fixes_the_clip_unless_the_user_does():
    assert resolve("aasist").input["samples"] == 64_600
    assert resolve("aasist", clip=48_000).input["samples"] == 48_000
    assert resolve("aasist", clip=48_000).input["test_crop"] == "middle"
    assert resolve("aasist", clip=48_000, samples=32_000).input["samples"] == 32_000


@pytest.mark.parametrize(("chosen", "message"), [
    ({"lrr": 1}, "unknown setting of mean_pool 'lrr'; did you mean lr"),
    ({"lr": "fast"}, "lr = 'fast' is not a number from 0 on"),
    ({"epochs": -1}, "epochs = -1 is not a whole number from 1 on"),
    ({"lr": 10**400}, "is not a number from 0 on"),
    ({"optimizer": "adan"}, "did you mean adam"),
    ({"phases": [{"name": "all", "epoch": 3}]}, "unknown key in phase 1 of mean_pool 'epoch'; did you mean epochs"),
    ({"phases": [{}, {"trainables": ["head."]}]}, "key in phase 2 of mean_pool 'trainables'; did you mean trainable"),
    ({"phases": [{"phases": []}]}, "unknown key in phase 1 of mean_pool 'phases'"),
    ({"phases": [{"lr": "fast"}]}, "phase 1 of mean_pool: lr = 'fast' is not a number from 0 on"),
    ({"phases": [{"optimizer": "adan"}]}, "unknown optimizer of phase 1 of mean_pool 'adan'; did you mean adam"),
    ({"phases": [{"trainable": "head."}]}, "trainable = 'head.' is not a list"),
    ({"phases": ["head"]}, "phase 1 of mean_pool = 'head' is not a table"),
    ({"batch_size": 0}, "batch_size = 0 is not a whole number from 1 on"),
    ({"epochs": 0}, "epochs = 0 is not a whole number from 1 on"),
    ({"accumulate": 0}, "accumulate = 0 is not a whole number from 1 on"),
    ({"lr": -1}, "lr = -1 is not a number from 0 on"),
    ({"swa": 1}, "swa = 1 is not true or false"),
    ({"lr": float("inf")}, "lr = inf is not a number from 0 on"),
    ({"schedule": "cosine"}, "unknown schedule of mean_pool 'cosine'; did you mean cosine_per_"),
    ({"schedule": "step"}, "schedule step has no every"),
    ({"schedule": {"every": 3}}, "schedule = .* is neither a name nor a table with one"),
    ({"schedule": {"name": "cosine_per_step", "minlr": 1e-5}}, "unknown key in schedule cosine_per_step of mean_pool 'minlr'"),
    ({"schedule": {"name": "step", "every": 0, "factor": 0.5}}, "every = 0 of schedule step is not a number from 1 on"),
    ({"phases": [{"balance": "none"}]}, "unknown key in phase 1 of mean_pool 'balance'"),
    ({"phases": [{"trainable": ["linear.", "had."]}]}, "unknown start of parameters in phase 1 of mean_pool 'had.'"),
    ({"phases": [{"trainable": [1]}]}, r"trainable = \[1\] is not a list of names"),
    ({"phases": [{"settings": {"taux": 1}}]}, "unknown attribute in phase 1 of mean_pool 'taux'"),
    ({"phases": [{"settings": {"fast": {"from": 1}}}]}, "fast = .* is not a table of two numbers"),
    ({"phases": [{"mix": {"domian": {"speech": 1}}}]}, "unknown column of mix in phase 1 of mean_pool 'domian'; did you mean domain"),
    ({"phases": [{"mix": {"domain": "speech"}}]}, "mix of domain = 'speech' is not a table of shares"),
    ({"test_crop": "centre"}, "unknown test_crop of mean_pool 'centre'"),
    ({"train_crop": "radom"}, "did you mean random"),
    ({"short": "zeros"}, "did you mean zero"),
    ({"samples": "3 s"}, "samples = '3 s' is not a number of samples"),
    ({"samples": 0}, "samples = 0 is not a number of samples"),
])  # fmt: skip
def test_bad_settings_are_named(chosen, message):
    with pytest.raises(DataError, match=message):
        resolve(**chosen)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("short", "tile", "unknown short of mean_pool 'tile'"),
        ("level", "peak", "unknown level of mean_pool 'peak'"),
        ("test_crop", "begin", "unknown test_crop of mean_pool 'begin'"),
        ("samples", 3.0, "mean_pool: samples = 3.0 is not a number of samples"),
    ],
)
def test_a_detectors_own_input_is_checked_as_settings_are(monkeypatch, key, value, message):
    """short="tile" of an own detector was filled with zeros, and level="peak" did nothing."""
    lay_out = settings._lay_out

    def other(*args):
        network = lay_out(*args)
        network.input = replace(network.input, **{key: value})
        return network

    monkeypatch.setattr(settings, "_lay_out", other)
    with pytest.raises(DataError, match=message):
        resolve()


def test_every_detector_of_the_matrix_hears_what_its_settings_say():
    """Of networks that are built for one length, none hears its own default any more."""
    grid = grid_files.load("matrix")
    for name in detectors.names():
        settings.resolve(name, grid.settings, clip=None, weights=None)


@pytest.mark.parametrize(
    ("name", "samples"),
    [("aasist", 2_000), ("rawnet2", 3_000), ("rawnet2_s", 64_600), ("sfatnet", 64_600), ("ctrsvdd_lfcc", 48_000),
     ("wavlm_ft", 300)],
)  # fmt: skip
def test_a_length_that_the_network_cannot_take_is_named_before_it_is_met(name, samples):
    with pytest.raises(DataError, match=rf"^{name} cannot hear clips of {samples} samples \(.+\); its own are of \d+$"):
        resolve(name, samples=samples)


@pytest.mark.parametrize(
    ("name", "samples"), [("aasist", 4_000), ("ctrsvdd_raw", 48_000), ("sfatnet", 47_990), ("rat", 64_000)]
)
def test_other_lengths_that_it_can_are_taken_and_no_number_is_drawn_for_it(name, samples):
    state = torch.random.get_rng_state()
    assert resolve(name, samples=samples).input["samples"] == samples
    assert torch.equal(torch.random.get_rng_state(), state)


def test_parse_scopes_and_values():
    parsed = settings.parse(["lr=1e-3", "lfcc_gmm.components=32", "optimizer=adam", "swa=true"], ["lfcc_gmm"])
    assert parsed == {"": {"lr": 1e-3, "optimizer": "adam", "swa": True}, "lfcc_gmm": {"components": 32}}
    with pytest.raises(DataError, match="not key=value"):
        settings.parse(["lr"], [])
    with pytest.raises(DataError, match=r"--set gives mean_pool\.lr twice"):
        settings.parse(["lr=1", "mean_pool.lr=2", "mean_pool.lr=3"], ["mean_pool"])
    with pytest.raises(DataError, match="did you mean lfcc_gmm"):
        settings.parse(["lfc_gmm.components=3"], ["lfcc_gmm"])


@pytest.mark.parametrize("name", detectors.names())
def test_every_recipe_is_known_to_the_training_loop(name):
    assert resolve(name).training.batch_size > 0
