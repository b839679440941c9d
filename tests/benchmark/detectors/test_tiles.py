"""Tiles compute what whole maps compute: values, gradients, statistics, at every boundary."""

import copy

import numpy as np
import pytest
import torch

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors import _tiles, _tiles_training
from benchmark.detectors._residual import ResidualBlock2d, run_encoder
from benchmark.detectors._sinc import SincBank

# layout, channels in and out, time steps; 23 filter rows
BLOCKS = [
    ({"first": True}, 1, 32, 100),
    ({}, 32, 32, 101),
    ({}, 8, 16, 65),
    ({"first": True, "broadcast": True, "spare": True}, 1, 16, 62),
    ({"spare": True}, 8, 8, 3),
    ({"pool": 1}, 8, 8, 40),
]


@pytest.fixture(params=[1 << 12, 1 << 20], ids=["small tiles", "one tile"])
def tile_bytes(request, monkeypatch):
    monkeypatch.setattr(_tiles, "TILE_BYTES", request.param)
    monkeypatch.setattr(_tiles_training, "TILE_BYTES", request.param)
    monkeypatch.setattr(_tiles_training, "WORTHWHILE_BYTES", 0)


def block_and_map(layout, narrow, wide, time):
    torch.manual_seed(0)
    block = ResidualBlock2d(narrow, wide, **layout)
    for parameter in block.parameters():
        if parameter.dim() == 1:
            parameter.data.normal_()
    block.bn2.running_mean.normal_()
    block.bn2.running_var.uniform_(0.5, 2)
    return block, torch.randn(2, narrow, 23, time)


@pytest.mark.parametrize(("layout", "narrow", "wide", "time"), BLOCKS)
def test_scoring(tile_bytes, layout, narrow, wide, time):
    block, x = block_and_map(layout, narrow, wide, time)
    with torch.inference_mode():
        torch.testing.assert_close(_tiles.encode([block.eval()], x), block(x), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("layout", "narrow", "wide", "time"), BLOCKS)
def test_training(tile_bytes, layout, narrow, wide, time):
    plain, x = block_and_map(layout, narrow, wide, time)
    tiled = copy.deepcopy(plain.train())
    grads = []
    for block, run in ((plain, plain), (tiled, lambda x: _tiles_training.encode([tiled], x))):
        leaf = x.clone().requires_grad_()
        y = run(leaf)
        torch.manual_seed(1)
        y.backward(torch.randn(y.shape))
        # the bias before a batch norm has no gradient but rounding
        own = {key: p.grad for key, p in block.named_parameters() if key not in ("conv1.bias", "conv_1.bias")}
        grads.append({**own, "input": leaf.grad, "output": y.detach()})
    assert grads[0].keys() == grads[1].keys()
    for key, value in grads[0].items():
        if value is None:
            assert grads[1][key] is None, key
        else:
            assert float((grads[1][key] - value).norm()) <= 2e-5 * float(value.norm()), key
    for ours, theirs in zip(tiled.buffers(), plain.buffers()):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [131, 700, 5_000])
def test_pooled_filter_bank(samples):
    bank, wave = SincBank(70, 128), torch.randn(2, samples)
    torch.testing.assert_close(bank.pooled(wave, fast=True), bank.pooled(wave, fast=False), rtol=0, atol=1e-5)
    masked = bank.pooled(wave, (3, 6), fast=True)
    torch.testing.assert_close(masked, bank.pooled(wave, (3, 6), fast=False), rtol=0, atol=1e-5)
    assert bool((masked[:, :, 1:3] == 0).all())


def test_the_wave_gets_its_gradient():
    wave = torch.randn(1, 500, requires_grad=True)
    SincBank(70, 128).pooled(wave, fast=True).sum().backward()
    assert float(wave.grad.abs().max()) > 0


def test_gradients_in_evaluation_take_the_plain_form():
    block, x = block_and_map({}, 4, 4, 30)
    leaf = x.requires_grad_()
    run_encoder(torch.nn.Sequential(block).eval(), leaf, fast=True).sum().backward()
    assert float(leaf.grad.abs().max()) > 0


@pytest.mark.parametrize("name", ["aasist", "aasist_l"])
def test_fast_scores_are_the_plain_ones(golden, name):
    file = {"aasist": "AASIST", "aasist_l": "AASIST-L"}[name]
    model = detectors.build(name).eval()
    model.load_weights(golden.root / "weights" / f"{file}.pth")
    scores = []
    for model.fast in (True, False):
        with torch.inference_mode():
            scores.append(model.score(golden.waves[:, :48_000]).numpy())
    np.testing.assert_allclose(*scores, rtol=0, atol=2e-5)


def test_a_training_step_is_the_same_either_way(monkeypatch):
    monkeypatch.setattr(_tiles_training, "WORTHWHILE_BYTES", 0)
    torch.manual_seed(0)
    model = detectors.build("aasist_l", samples=8_000).train()
    batch = Batch(0.1 * torch.randn(2, 8_000), torch.tensor([0, 1]), ["a", "b"])
    losses, grads = [], []
    for model.fast in (True, False):
        model.zero_grad()
        torch.manual_seed(1)  # dropout
        loss = model.loss(batch)
        loss.backward()
        losses.append(loss.item())
        grads.append(model.encoder[0][0].conv2.weight.grad.clone())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert float((grads[0] - grads[1]).norm()) < 1e-2 * float(grads[1].norm())
