"""Losses and gradient tools that several detectors share."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmark.distribution import portion


def weighted_cross_entropy(logits: torch.Tensor, target: torch.Tensor, weights: tuple[float, ...]) -> torch.Tensor:
    """Cross entropy of (batch, class) logits: the mean over rows, each weighted by its class.

    Of several processes' parts of a batch it is the whole batch's, by the weights of all.
    """
    weight = torch.tensor(weights, dtype=logits.dtype, device=logits.device)
    return functional.cross_entropy(logits, target, weight) * portion(weight[target].float().sum())


def focal(
    logits: torch.Tensor, target: torch.Tensor, *, gamma: float = 2.0, alpha: float = 0.25, two_sided: bool = True
) -> torch.Tensor:
    """Mean of alpha_t (1 - p_t)^gamma (-ln p_t) over (batch,) logits (Lin et al., arXiv 1708.02002, equation 5).

    alpha_t is alpha for target 1 and 1 - alpha for target 0; with two_sided=False it is alpha for both. target may
    be smoothed (a float in [0, 1]): then p_t = exp(-BCE), as in the CtrSVDD baseline.
    """
    target = target.to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight = alpha * target + (1 - alpha) * (1 - target) if two_sided else alpha
    return (weight * (1 - (-entropy).exp()) ** gamma * entropy).mean()


class OcSoftmax(nn.Module):
    """One-class softmax (Zhang et al., arXiv 2010.13995, equation 6): bona fide lies near one direction.

    Scores are cosines in [-1, 1]; bona fide is pulled above `margin_bonafide`, spoof pushed below
    `margin_spoof`.
    """

    def __init__(
        self,
        dim: int,
        *,
        margin_bonafide: float = 0.5,
        margin_spoof: float = 0.2,
        scale: float = 20.0,
    ):
        super().__init__()
        self.margin_bonafide, self.margin_spoof, self.scale = margin_bonafide, margin_spoof, scale
        self.center = nn.Parameter(torch.empty(1, dim))
        nn.init.kaiming_uniform_(self.center, a=0.25)

    def score(self, embedding: torch.Tensor) -> torch.Tensor:
        """(batch, dim) -> (batch,) cosine with the direction."""
        direction = functional.normalize(self.center, dim=1)
        return (functional.normalize(embedding, dim=1) @ direction.T).squeeze(1)

    def forward(self, embedding: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean of softplus(scale * gap): gap is margin - cosine for bona fide (target 1), cosine - margin for spoof."""
        cosine = self.score(embedding)
        gap = torch.where(target == 1, self.margin_bonafide - cosine, cosine - self.margin_spoof)
        return functional.softplus(self.scale * gap).mean()


class P2sGrad(nn.Module):
    """Mean square error of cosines: an embedding lies along the direction of its class, across all others.

    Zhang et al., CVPR 2019, arXiv 1905.02479, equation 11, written as a loss; so used by Wang and Yamagishi, arXiv
    2103.11326, section 2.3. `weight` is (dim, classes), a column per class; its length does not matter. Class 1 is
    bona fide.
    """

    def __init__(self, dim: int, classes: int = 2):
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.empty(dim, classes).uniform_(-1, 1), dim=0))

    def cosines(self, embedding: torch.Tensor) -> torch.Tensor:
        """(batch, dim) -> (batch, class) cosines with the directions, in [-1, 1]."""
        cosines = functional.normalize(embedding, dim=1) @ functional.normalize(self.weight, dim=0)
        return cosines.clamp(-1, 1)

    def forward(self, embedding: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over rows and classes of (cosine - [class is the target])^2."""
        cosines = self.cosines(embedding)
        return functional.mse_loss(cosines, functional.one_hot(target.long(), cosines.shape[1]).to(cosines.dtype))


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, strength: float):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor):
        return -ctx.strength * gradient, None


def reverse_gradient(x: torch.Tensor, strength: float) -> torch.Tensor:
    """x unchanged; its gradient times -strength (Ganin and Lempitsky, arXiv 1409.7495)."""
    return _Reverse.apply(x, strength)
