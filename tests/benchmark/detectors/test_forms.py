"""Quick and plain forms: one setting of every detector, the same scores, recorded, and equal after a change of mind."""

import pytest
import torch

from benchmark import detectors, settings, timing
from ingest.types import DataError

SAMPLES = 16_000  # for detectors that take whole utterances
TOLERANCE = 1e-4  # of a score, relative to the largest (or to 1)


def built(name, **config):
    torch.manual_seed(0)
    cls = detectors.get(name)
    return detectors.build(name, **{**cls.OFFLINE, **cls.SMALL, **config}).eval()


def scored(model, batch):
    with torch.inference_mode():
        return model.score_batch(batch)


@pytest.mark.parametrize("name", detectors.names())
def test_both_forms_score_alike(name):
    quick, plain = built(name), built(name, fast=False)
    assert quick.form.startswith("fast") and plain.form == "plain"
    plain.load_state_dict(quick.state_dict())
    batch = timing.material(quick, 2, samples=None if quick.input.fixed else quick.input.samples or SAMPLES)
    one, two = scored(quick, batch), scored(plain, batch)
    torch.testing.assert_close(one, two, rtol=0, atol=TOLERANCE * max(1.0, float(two.abs().max())))


@pytest.mark.parametrize("name", ["fd_add", "aasist_l", "wavlm_ft"])
def test_a_form_is_taken_and_left(name):
    model = built(name)
    batch = timing.material(model, 2)
    before = scored(model, batch)
    model.take_form(fast=False)
    model.take_form(fast=False)
    assert model.form == "plain"
    model.take_form(fast=True)
    assert torch.equal(scored(model, batch), before)


def test_the_plain_form_is_laid_out_and_computed_plainly():
    assert all(p.is_contiguous() for p in built("fd_add", fast=False).parameters())
    weight = built("fd_add").feature_model.model.layer2[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    backbone = built("w2v2_ft", fast=False).ssl_model.model
    assert backbone.config._attn_implementation == "eager"


@pytest.mark.parametrize("name", detectors.names())
def test_a_run_can_ask_for_the_plain_form(name):
    chosen = settings.parse(["fast=false"], detectors.names())
    assert settings.resolve(name, chosen, clip=None, weights=None).config["fast"] is False
    assert "fast" not in settings.resolve(name, {}, clip=None, weights=None).config


def test_a_form_that_is_no_form_is_refused():
    with pytest.raises(DataError, match="mean_pool: fast takes true or false, not 'no'"):
        detectors.build("mean_pool", fast="no")
