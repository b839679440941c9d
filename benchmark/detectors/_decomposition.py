"""Losses and feature augmentation of the feature decomposition detector (Zhang et al., section IV).

All take features of shape (batch, dim) and draw from the generator they are given (None = torch's own).
"""

import torch
from torch.nn import functional

EPSILON = 1e-9


def contrastive(features: torch.Tensor, label: torch.Tensor, *, alpha: float) -> torch.Tensor:
    """Equation 4: the mean over all pairs of 1 - cos (same label) or max(cos - alpha, 0) (different labels)."""
    cosine = cosines(features)
    same = label[:, None] == label[None, :]
    return torch.where(same, 1 - cosine, (cosine - alpha).clamp(min=0)).mean()


def contrastive_of_authors(features: torch.Tensor, label: torch.Tensor, *, margin: float = 2.5) -> torch.Tensor:
    """The public code's form of equation 5: Euclidean on unit vectors, and its roles are inverted.

    Different labels are pulled together, equal ones pushed apart up to `margin`; for parity only.
    """
    unit = functional.normalize(features, dim=1)
    distance = torch.cdist(unit, unit)
    same = label[:, None] == label[None, :]
    return torch.where(same, (margin - distance).clamp(min=0), distance).mean()


def cosines(features: torch.Tensor) -> torch.Tensor:
    """(batch, batch) cosines between all rows."""
    unit = functional.normalize(features, dim=1)
    return unit @ unit.T


def against_uniform(logits: torch.Tensor) -> torch.Tensor:
    """Equation 9: cross entropy of softmax(logits) against the uniform vector; at least ln(classes)."""
    return -logits.log_softmax(1).mean()


def blend(z: torch.Tensor, partner: torch.Tensor, share: torch.Tensor | float) -> torch.Tensor:
    """Algorithm 1 without noise: the mean and deviation of a vector move towards those of its partner.

    z, partner: (batch, dim); share: (batch, 1) or a number, the weight of z's own statistics. Mean and deviation
    (unbiased) run over the dimensions of one vector.
    """
    deviation, mean = torch.std_mean(z, dim=1, keepdim=True)
    other_deviation, other_mean = torch.std_mean(partner, dim=1, keepdim=True)
    new_mean = share * mean + (1 - share) * other_mean
    new_deviation = share * deviation + (1 - share) * other_deviation
    return new_deviation * (z - mean) / (deviation + EPSILON) + new_mean


def perturb(
    z: torch.Tensor, *, scale: torch.Tensor | float, uniform: torch.Tensor,
    shift: torch.Tensor | float, normal: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """The noise of Algorithm 1: z (1 + scale * uniform) + shift * normal; uniform in [-1, 1], both shaped as z."""
    return z * (1 + scale * uniform) + shift * normal


def augment(
    z: torch.Tensor, target: torch.Tensor, *, style: bool, eta: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Algorithm 1 on a batch: partners of the same class, one share in [0.5, 1) per row, then noise.

    style=False leaves the blending out, as the public code does in effect. eta: bound of the noise; the paper's
    "10" means percent, so 0.1. Real and fake rows (target) are permuted apart; a row may be its own partner.
    """
    if style:
        share = 0.5 + 0.5 * _uniform(z, (len(z), 1), generator)
        z = blend(z, z[permutation_within(target, generator)], share)
    scale, shift = (eta * _uniform(z, (), generator) * _beta_2_5(z, generator) for _ in range(2))
    uniform = 2 * _uniform(z, z.shape, generator) - 1
    normal = torch.randn(z.shape, device=z.device, dtype=z.dtype, generator=generator)
    return perturb(z, scale=scale, uniform=uniform, shift=shift, normal=normal)


def permutation_within(target: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """(batch,) indices: a random permutation of the rows of each class among themselves."""
    order = torch.empty_like(target)
    for value in target.unique():
        rows = (target == value).nonzero().squeeze(1)
        order[rows] = rows[torch.randperm(len(rows), device=target.device, generator=generator)]
    return order


def _uniform(like: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    return torch.rand(shape, device=like.device, dtype=like.dtype, generator=generator)


def _beta_2_5(like: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """One draw of Beta(2, 5): the second smallest of six uniform numbers."""
    return _uniform(like, (6,), generator).sort().values[1]
