import json

import pytest
import real_clips
import torch
from golden_formula import golden, params, tensor, waves
from shared_data import shared

from benchmark import detectors, settings
from benchmark.batch import Batch
from benchmark.train import _optimizer

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def _formula(**config):
    state, count = params("singfake_lfcc_resnet")
    detector = detectors.build("singfake_lfcc_resnet", **config).eval()
    detector.resnet.load_state_dict(state)
    with torch.no_grad():
        detector.oc_softmax.center.copy_(tensor(256, 8001, 1, 256))
    assert sum(p.numel() for p in detector.resnet.parameters()) == count == 12_450_290
    return detector


@torch.inference_mode()
def test_the_lfcc_network_and_its_score_reproduce_the_reference():
    detector, wave = _formula(), waves(64_000)
    lfcc = detector.feature.extract(wave)
    torch.testing.assert_close(lfcc[:, ::16], golden("singfake_lfcc_resnet", "lfcc_every_16th_frame"), **CLOSE)
    embedding, linear = detector.embed(wave)
    torch.testing.assert_close(embedding, golden("singfake_lfcc_resnet", "embedding256"), **CLOSE)
    torch.testing.assert_close(linear, golden("singfake_lfcc_resnet", "linear_logits"), **CLOSE)
    cosine = golden("singfake_lfcc_resnet", "ocsoftmax_cosine_center_L8001")
    torch.testing.assert_close(detector.score(wave), cosine, **CLOSE)
    expected = json.loads(shared("golden", "detectors-b", "singfake_lfcc_resnet", "ocsoftmax.json").read_text())
    target = 1 - torch.tensor(expected["labels_spoof1"])
    assert float(detector.loss(Batch(wave, target, ["a", "b"]))) == pytest.approx(expected["loss"], abs=1e-3)


@torch.inference_mode()
def test_the_spectrogram_lies_with_time_as_its_height():
    detector = detectors.build("singfake_spec_resnet", width=8).eval()
    feature = detector.feature.extract(waves(64_000))
    assert detector.arrange(feature).shape == (2, 1, 401, 257)
    assert detector.embed(waves(64_000))[0].shape == (2, 256)
    assert detector.resnet.conv5.kernel_size == (11, 3)
    assert detector.resnet.conv6.kernel_size == (7, 3)


@torch.inference_mode()
def test_the_second_fold_is_a_plain_convolution_as_in_the_public_code():
    """conv6 has a bias and no padding there: of 33 columns 31 are pooled."""
    detector = detectors.build("singfake_spec_resnet", width=8).eval()
    assert "resnet.conv5.bias" not in detector.state_dict() and detector.resnet.conv6.bias.shape == (32,)
    pooled = []
    detector.resnet.attention.register_forward_hook(lambda module, args, out: pooled.append(args[0].shape))
    detector.embed(waves(64_000))
    assert pooled == [(2, 31, 32)]
    assert sum(p.numel() for p in detectors.build("singfake_spec_resnet").resnet.parameters()) == 16_973_042


def test_a_file_of_the_public_code_loads_without_its_unused_layers(tmp_path):
    source = detectors.build("singfake_lfcc_resnet", width=8)
    state = {f"module.{key}": value for key, value in source.state_dict().items()}
    unused = {"module.resnet.conv6.weight": torch.ones(1), "module.resnet.bn6.bias": torch.ones(1)}
    torch.save({**state, **unused}, tmp_path / "anti-spoofing.pt")
    detector = detectors.build("singfake_lfcc_resnet", width=8)
    assert detector.load_weights(tmp_path / "anti-spoofing.pt").loaded == len(state)
    assert torch.equal(detector.oc_softmax.center, source.oc_softmax.center)


def test_aasist_on_singing_counts_spoof_as_class_one():
    detector = detectors.build("singfake_aasist")
    assert sum(p.numel() for p in detector.parameters()) == 297_866
    detector.embed = lambda wave: (None, torch.tensor([[0.0, 2.0]]))
    assert float(detector.score(torch.ones(1, 4))) == -2.0
    losses = [float(detector.loss(Batch(torch.ones(1, 4), torch.tensor([t]), ["u"]))) for t in (0, 1)]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("name", ["singfake_lfcc_resnet", "singfake_spec_resnet"])
def test_every_used_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    detector = detectors.build(name, **detectors.get(name).SMALL).train()
    loss = detector.loss(Batch(waves(64_000), torch.tensor([1, 0]), ["a", "b"]))
    left = {key for key, _ in detector.named_parameters()} - real_clips.with_gradient(detector, loss)
    assert left == {"resnet.fc_mu.weight", "resnet.fc_mu.bias"}


def test_sixteen_real_clips_are_learnt():
    torch.manual_seed(0)
    detector = detectors.build("singfake_lfcc_resnet", width=8)
    assert real_clips.steps_to_learn(detector, real_clips.batch(detector), lr=1e-3, at_most=60) is not None


@pytest.mark.parametrize("name", ["singfake_lfcc_resnet", "singfake_spec_resnet"])
def test_the_direction_of_bona_fide_descends_plainly_and_the_network_by_adam(name):
    torch.manual_seed(0)
    detector = detectors.build(name, **detectors.get(name).SMALL)
    how = settings.resolve(name, {"": {"lr": 0.01, "weight_decay": 0.1}}, clip=None, weights=None).training
    optimizer = _optimizer(detector, how)
    centre, first = detector.oc_softmax.center, detector.resnet.conv1.weight
    before, weight = centre.detach().clone(), first.detach().clone()
    detector.loss(Batch(torch.randn(4, 64_000), torch.tensor([1, 0, 1, 0]), list("abcd"), {})).backward()
    gradient = centre.grad.clone()
    optimizer.step()
    torch.testing.assert_close(centre, before - 0.01 * gradient)
    moved = (first.detach() - weight).abs()
    assert float(moved.median()) == pytest.approx(0.01, rel=0.01), "Adam's first step is as long as its rate"
    again = _optimizer(detector, how)
    again.load_state_dict(optimizer.state_dict())
    assert [group.get("plain", False) for group in again.param_groups] == [False, True]
