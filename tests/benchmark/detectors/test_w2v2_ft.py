import pytest
import real_clips
import torch

from benchmark import detectors


@pytest.mark.parametrize(("name", "parameters"), [("w2v2_ft", 94_372_481), ("wavlm_ft", 94_382_705)])
def test_parameters_are_those_of_table_ix(name, parameters):
    with torch.device("meta"):
        detector = detectors.build(name, weights="random")
    assert sum(p.numel() for p in detector.parameters()) == parameters


@pytest.mark.parametrize("name", ["w2v2_ft", "wavlm_ft"])
def test_everything_is_trained_and_sixteen_real_clips_are_learnt(name):
    torch.manual_seed(0)
    detector = detectors.build(name, **detectors.get(name).SMALL)
    data = real_clips.batch(detector, samples=16_000)
    reached = real_clips.with_gradient(detector.eval(), detector.loss(data))  # no layer drop in evaluation mode
    left = {key for key, _ in detector.named_parameters()} - reached
    # keys' biases shift every attention logit alike: their gradient is zero but for rounding
    assert {key for key in left if not key.endswith("k_proj.bias")} <= {"ssl_model.model.masked_spec_embed"}
    assert real_clips.steps_to_learn(detector, data, lr=2e-3, at_most=150) is not None
