"""Graph layers by hand: the cases that re-implementations get wrong."""

import math

import pytest
import torch

from benchmark.detectors._graph import GraphAttention, GraphPool, GraphReadOut, HeterogeneousAttention


def still(layer):
    """The layer with its normalisation and activation out of the way, and identity projections where square."""
    layer.eval()
    layer.bn, layer.act = torch.nn.Identity(), torch.nn.Identity()
    return layer


@torch.no_grad()
def test_attention_averages_over_the_neighbours_of_each_node():
    """One-dimensional nodes 1 and 2, logits tanh(x_i x_j): node 1 sees (tanh 1, tanh 2), node 2 (tanh 2, tanh 4)."""
    layer = still(GraphAttention(1, 1, temperature=2.0))
    for weight, value in ((layer.att_proj, 1.0), (layer.proj_with_att, 1.0), (layer.proj_without_att, 10.0)):
        weight.weight.fill_(value)
        weight.bias.zero_()
    layer.att_weight.fill_(1.0)
    y = layer(torch.tensor([[[1.0], [2.0]]]))[0, :, 0]
    for i, x in enumerate((1.0, 2.0)):
        one, two = (math.exp(math.tanh(x * other) / 2) for other in (1.0, 2.0))
        assert float(y[i]) == pytest.approx((one * 1 + two * 2) / (one + two) + 10 * x, abs=1e-5)


@torch.no_grad()
def test_pool_keeps_the_best_in_descending_order_times_their_score():
    pool = GraphPool(0.7, 1).eval()
    pool.proj.weight.fill_(1.0)
    pool.proj.bias.zero_()
    nodes = torch.tensor([[[-1.0], [3.0], [0.5], [2.0]]])
    kept = pool(nodes)[0, :, 0]
    assert len(kept) == 2  # int(2.8)
    assert kept.tolist() == pytest.approx([3 / (1 + math.exp(-3)), 2 / (1 + math.exp(-2))])


@pytest.mark.parametrize(
    ("nodes", "ratio", "at_least", "kept"), [(14, 0.7, 1, 9), (1, 0.5, 1, 1), (2, 0.64, 2, 2), (29, 0.81, 2, 23)]
)
def test_number_of_kept_nodes_truncates(nodes, ratio, at_least, kept):
    pool = GraphPool(ratio, 3, at_least=at_least)
    assert pool(torch.randn(1, nodes, 3)).shape == (1, kept, 3)


@torch.no_grad()
def test_pairs_use_the_vector_of_their_kinds():
    layer = HeterogeneousAttention(1, 1, temperature=1.0).eval()
    layer.att_proj.weight.fill_(1.0)
    layer.att_proj.bias.zero_()
    for name, value in (("11", 1.0), ("12", 10.0), ("22", 100.0)):
        getattr(layer, f"att_weight{name}").fill_(value)
    attention = layer._pair_attention(torch.ones(1, 3, 1), 2)[0]  # two nodes of kind 1, one of kind 2
    t = math.tanh(1)
    torch.testing.assert_close(attention[0], torch.tensor([t, t, 10 * t]).softmax(0))
    torch.testing.assert_close(attention[2], torch.tensor([10 * t, 10 * t, 100 * t]).softmax(0))


class ReadOut(GraphReadOut, torch.nn.Module):
    pass


def test_read_out_has_the_published_sizes():
    read_out = ReadOut().eval()
    read_out.add_graph(spectral_nodes=42)
    embedding, logits = read_out.graph(torch.randn(3, 42, 64), torch.randn(3, 67, 64))
    assert embedding.shape == (3, 160)
    assert logits.shape == (3, 2)
