"""Losses by hand and by the golden example."""

import math

import pytest
import torch

from benchmark.detectors._losses import OcSoftmax, reverse_gradient, weighted_cross_entropy


def test_weighted_cross_entropy_divides_by_the_weights(golden):
    told = golden.summary["weighted_ce_example"]
    logits, labels = torch.tensor(told["logits"]), torch.tensor(told["labels"])
    assert float(weighted_cross_entropy(logits, labels, (0.1, 0.9))) == pytest.approx(told["loss"], abs=1e-5)
    assert float(weighted_cross_entropy(logits, labels, (1.0, 1.0))) == pytest.approx(told["unweighted"], abs=1e-5)


def test_one_class_softmax_by_hand():
    """A bona fide clip on the direction (cosine 1) and a spoof across it (cosine 0)."""
    loss = OcSoftmax(2)
    torch.nn.init.constant_(loss.center, 0.0)
    loss.center.data[0, 0] = 5.0
    embedding, target = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([1, 0])
    assert loss.score(embedding).tolist() == pytest.approx([1.0, 0.0])
    want = (math.log1p(math.exp(20 * (0.5 - 1))) + math.log1p(math.exp(20 * (0 - 0.2)))) / 2
    assert float(loss(embedding, target)) == pytest.approx(want, rel=1e-5)


def test_gradient_is_reversed():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(y, x)
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([-0.3, -0.3])
