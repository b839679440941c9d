"""Graph attention on spectral and temporal nodes: the layers and the read-out of AASIST and RawGAT-ST.

Sources: AASIST, arXiv 2110.01200, section 3; RawGAT-ST, arXiv 2107.12710, section 2.
"""

import torch
from torch import nn


def _attention_vector(dim: int) -> nn.Parameter:
    vector = nn.Parameter(torch.empty(dim, 1))
    nn.init.xavier_normal_(vector)
    return vector


def _normalise(norm: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """BatchNorm over all (batch x node) rows of (batch, node, dim)."""
    return norm(x.flatten(0, 1)).view_as(x)


class GraphAttention(nn.Module):
    """Attention between all nodes of one graph, with a learned function of element-wise products.

    temperature divides the attention logits: 2 in AASIST, 1 in RawGAT-ST.
    """

    def __init__(self, dim_in: int, dim_out: int, *, temperature: float = 1.0):
        super().__init__()
        self.temperature = temperature
        self.att_weight = _attention_vector(dim_out)
        self.att_proj = nn.Linear(dim_in, dim_out)
        self.proj_with_att = nn.Linear(dim_in, dim_out)
        self.proj_without_att = nn.Linear(dim_in, dim_out)
        self.bn = nn.BatchNorm1d(dim_out)
        self.input_drop = nn.Dropout(0.2)
        self.act = nn.SELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, node, dim_in) -> (batch, node, dim_out)."""
        x = self.input_drop(x)
        pairs = x.unsqueeze(2) * x.unsqueeze(1)  # (batch, node i, node j, dim_in)
        logits = (torch.tanh(self.att_proj(pairs)) @ self.att_weight).squeeze(-1)
        attention = (logits / self.temperature).softmax(dim=2)  # over j: rows sum to one
        y = self.proj_with_att(attention @ x) + self.proj_without_att(x)
        return self.act(_normalise(self.bn, y))


class HeterogeneousAttention(nn.Module):
    """Attention over two kinds of nodes in one graph, and a master node that gathers from both.

    Kind 1 (temporal) comes before kind 2 (spectral) in the common node order; pairs of one kind and mixed
    pairs have attention vectors of their own (11, 22, 12). The master sees the nodes before their update.
    """

    def __init__(self, dim_in: int, dim_out: int, *, temperature: float = 100.0):
        super().__init__()
        self.temperature = temperature
        self.att_weight11 = _attention_vector(dim_out)
        self.att_weight22 = _attention_vector(dim_out)
        self.att_weight12 = _attention_vector(dim_out)
        self.att_weightM = _attention_vector(dim_out)
        self.proj_type1 = nn.Linear(dim_in, dim_in)
        self.proj_type2 = nn.Linear(dim_in, dim_in)
        self.att_proj = nn.Linear(dim_in, dim_out)
        self.att_projM = nn.Linear(dim_in, dim_out)
        self.proj_with_att = nn.Linear(dim_in, dim_out)
        self.proj_without_att = nn.Linear(dim_in, dim_out)
        self.proj_with_attM = nn.Linear(dim_in, dim_out)
        self.proj_without_attM = nn.Linear(dim_in, dim_out)
        self.bn = nn.BatchNorm1d(dim_out)
        self.input_drop = nn.Dropout(0.2)
        self.act = nn.SELU()

    def forward(
        self, x1: torch.Tensor, x2: torch.Tensor, master: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(batch, n1, dim_in), (batch, n2, dim_in), (batch or 1, 1, dim_in) -> the three with dim_out."""
        first = x1.shape[1]
        x = self.input_drop(torch.cat([self.proj_type1(x1), self.proj_type2(x2)], dim=1))
        attention = self._pair_attention(x, first)
        to_master = (torch.tanh(self.att_projM(x * master)) @ self.att_weightM) / self.temperature
        gathered = to_master.softmax(dim=1).transpose(1, 2) @ x  # (batch, 1, dim_in)
        master = self.proj_with_attM(gathered) + self.proj_without_attM(master)
        y = self.proj_with_att(attention @ x) + self.proj_without_att(x)
        y = self.act(_normalise(self.bn, y))
        return y[:, :first], y[:, first:], master

    def _pair_attention(self, x: torch.Tensor, first: int) -> torch.Tensor:
        """(batch, node, dim_in) -> (batch, node i, node j), rows sum to one; nodes before `first` are of kind 1."""
        hidden = torch.tanh(self.att_proj(x.unsqueeze(2) * x.unsqueeze(1)))
        one, two = hidden[:, :first], hidden[:, first:]
        logits = torch.cat(
            [
                torch.cat([one[:, :, :first] @ self.att_weight11, one[:, :, first:] @ self.att_weight12], dim=2),
                torch.cat([two[:, :, :first] @ self.att_weight12, two[:, :, first:] @ self.att_weight22], dim=2),
            ],
            dim=1,
        ).squeeze(3)
        return (logits / self.temperature).softmax(dim=2)


class GraphPool(nn.Module):
    """Keep the share `ratio` of the nodes with the highest learned score, times that score.

    In descending order, and the order matters downstream. int() truncates (0.7 of 14 nodes are 9); at least
    `at_least` nodes are kept.
    """

    def __init__(self, ratio: float, dim: int, *, at_least: int = 1):
        super().__init__()
        self.ratio, self.at_least = ratio, at_least
        self.proj = nn.Linear(dim, 1)
        self.drop = nn.Dropout(0.3)

    def kept(self, nodes: int) -> int:
        """How many of so many nodes stay."""
        return max(int(nodes * self.ratio), self.at_least)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, node, dim) -> (batch, kept node, dim)."""
        score = torch.sigmoid(self.proj(self.drop(x)))
        index = score.topk(self.kept(x.shape[1]), dim=1).indices.expand(-1, -1, x.shape[2])
        return (x * score).gather(1, index)


class GraphReadOut:
    """AASIST's graph part as a mixin: `add_graph` makes the layers, `graph` applies them.

    A mixin, because in the published files the names of these layers have no prefix.
    """

    def add_graph(
        self,
        *,
        spectral_nodes: int,
        dims: tuple[int, int] = (64, 32),
        ratios: tuple[float, float, float] = (0.5, 0.7, 0.5),
        temperatures: tuple[float, float, float] = (2.0, 2.0, 100.0),
        outputs: int = 2,
        channels: int | None = None,
    ) -> None:
        """Make the layers.

        spectral_nodes: rows of the position term. dims: node size before and after the heterogeneous layers.
        ratios: nodes kept of the spectral, the temporal, and the four later graphs. temperatures: spectral,
        temporal, heterogeneous. outputs: logits. channels: node size on entry (default dims[0]).
        """
        entry, (wide, narrow) = channels or dims[0], dims
        self.pos_S = nn.Parameter(torch.randn(1, spectral_nodes, entry))
        self.master1 = nn.Parameter(torch.randn(1, 1, wide))
        self.master2 = nn.Parameter(torch.randn(1, 1, wide))
        self.GAT_layer_S = GraphAttention(entry, wide, temperature=temperatures[0])
        self.GAT_layer_T = GraphAttention(entry, wide, temperature=temperatures[1])
        for layer, (before, after) in {"11": dims, "12": (narrow, narrow), "21": dims, "22": (narrow, narrow)}.items():
            attention = HeterogeneousAttention(before, after, temperature=temperatures[2])
            setattr(self, f"HtrgGAT_layer_ST{layer}", attention)
        self.pool_S = GraphPool(ratios[0], wide)
        self.pool_T = GraphPool(ratios[1], wide)
        for pool in ("hS1", "hT1", "hS2", "hT2"):
            setattr(self, f"pool_{pool}", GraphPool(ratios[2], narrow))
        self.out_layer = nn.Linear(5 * narrow, outputs)
        self.drop_way, self.drop = nn.Dropout(0.2), nn.Dropout(0.5)

    def graph(self, spectral: torch.Tensor, temporal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Spectral and temporal nodes (batch, node, dim), without the position term -> embedding, logits.

        embedding (batch, 5 * narrow), logits (batch, outputs).
        """
        spectral = self.pool_S(self.GAT_layer_S(spectral + self.pos_S))
        temporal = self.pool_T(self.GAT_layer_T(temporal))
        branches = [self._branch(number, spectral, temporal) for number in (1, 2)]
        dropped = [[self.drop_way(x) for x in branch] for branch in branches]
        t, s, master = (torch.maximum(one, two) for one, two in zip(*dropped))
        embedding = torch.cat([t.abs().amax(1), t.mean(1), s.abs().amax(1), s.mean(1), master.squeeze(1)], dim=1)
        return embedding, self.out_layer(self.drop(embedding))

    def _branch(self, number: int, spectral: torch.Tensor, temporal: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One of the two independent stacks of heterogeneous layers -> temporal, spectral, master."""
        layer1, layer2 = (getattr(self, f"HtrgGAT_layer_ST{number}{depth}") for depth in (1, 2))
        t, s, master = layer1(temporal, spectral, getattr(self, f"master{number}"))
        s, t = getattr(self, f"pool_hS{number}")(s), getattr(self, f"pool_hT{number}")(t)
        t_more, s_more, master_more = layer2(t, s, master)
        return t + t_more, s + s_more, master + master_more


def attention_map(channels: int = 64, hidden: int = 128) -> nn.Sequential:
    """1x1 convolutions that weigh a (channel, spectral, temporal) map in the forms of AASIST after its first one."""
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.SELU(), nn.BatchNorm2d(hidden), nn.Conv2d(hidden, channels, 1)
    )
