"""Gaussian mixtures with diagonal covariances, trained by expectation-maximisation that streams over frames."""

import math
import sys
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from benchmark.batch import Batch
from ingest.types import DataError, nearest

from ._base import Batches, Detector

CLASSES = ("spoof", "bonafide")  # by target
STARTS = ("random", "kmeans")
BLOCK = 16_384  # frames worked on at once: bounds the memory of (frame, component)
START_FRAMES = 32  # per component, kept to start from


class DiagonalMixture(nn.Module):
    """A mixture as buffers in float64: weight (component,), mean and variance (component, dim).

    Components of weight zero take no part, so that a mixture trained on few frames keeps its shape.
    """

    def __init__(self, components: int, dim: int):
        super().__init__()
        self.register_buffer("weight", torch.full((components,), 1 / components, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(components, dim, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(components, dim, dtype=torch.float64))

    def joint(self, frames: torch.Tensor) -> torch.Tensor:
        """(frame, dim) float64 -> (frame, component) log weight + log density, as two matrix products.

        Mixture and frames are first moved by the mixture's mean: squares of large common offsets would cancel badly.
        """
        center = self.weight @ self.mean
        mean, frames = self.mean - center, frames - center
        precision = 1 / self.variance
        constant = (
            self.weight.log()
            - 0.5 * self.variance.log().sum(1)
            - 0.5 * frames.shape[1] * math.log(2 * math.pi)
            - 0.5 * (mean.square() * precision).sum(1)
        )
        return torch.addmm(constant, frames, (mean * precision).T) - 0.5 * frames.square() @ precision.T

    def log_likelihood(self, frames: torch.Tensor) -> torch.Tensor:
        """(frame, dim) float64 -> (frame,) natural log of the density."""
        return torch.cat([self.joint(block).logsumexp(1) for block in frames.split(BLOCK)])

    @torch.no_grad()
    def start(self, sample: torch.Tensor, variance: torch.Tensor, *, how: str) -> None:
        """Uniform weights, the data's variance, and means: random different rows of `sample`, or their k-means.

        sample (frame, dim), in random order; variance (dim,). Fewer rows than components leave components out.
        """
        used = min(len(self.weight), len(sample))
        mean = sample[:used].clone()
        if how == "kmeans":
            mean = k_means(sample, mean)
        self.weight.zero_()[:used] = 1 / used
        self.mean.zero_()[:used] = mean
        self.variance.copy_(variance.expand_as(self.variance))


class Improvement:
    """One step of expectation-maximisation: frames are added block by block, then the mixture is updated.

    floor: the smallest variance. A component that no frame belongs to keeps its place at weight zero.
    """

    def __init__(self, mixture: DiagonalMixture, *, floor: float):
        self.mixture, self.floor = mixture, floor
        self.center = mixture.weight @ mixture.mean
        self.count = torch.zeros_like(mixture.weight)
        self.first, self.second = torch.zeros_like(mixture.mean), torch.zeros_like(mixture.mean)
        self.total, self.frames = torch.zeros_like(self.center[0]), 0

    def add(self, frames: torch.Tensor) -> None:
        """(frame, dim) float64."""
        for block in frames.split(BLOCK):
            joint = self.mixture.joint(block)
            likelihood = joint.logsumexp(1, keepdim=True)
            share = (joint - likelihood).exp_()  # of each component in each frame
            moved = block - self.center
            self.count += share.sum(0)
            self.first += share.T @ moved
            self.second += share.T @ moved.square()
            self.total += likelihood.sum()
            self.frames += len(block)

    def finish(self) -> float:
        """Update the mixture; returns the mean log-likelihood of the frames before the update."""
        alive = self.count > 1e-8
        count = self.count.clamp(min=1e-8).unsqueeze(1)
        mean = self.first / count
        variance = (self.second / count - mean.square()).clamp(min=self.floor)
        keep, mixture = alive.unsqueeze(1), self.mixture
        mixture.weight.copy_(torch.where(alive, self.count, 0.0) / self.count[alive].sum())
        mixture.mean.copy_(torch.where(keep, mean + self.center, mixture.mean))
        mixture.variance.copy_(torch.where(keep, variance, mixture.variance))
        return float(self.total) / self.frames


def k_means(sample: torch.Tensor, mean: torch.Tensor, *, rounds: int = 10) -> torch.Tensor:
    """(frame, dim), (cluster, dim) -> (cluster, dim) after some rounds of Lloyd's; an empty cluster stays."""
    for _ in range(rounds):
        nearest_cluster = torch.cat([torch.cdist(block, mean).argmin(1) for block in sample.split(BLOCK)])
        count = torch.bincount(nearest_cluster, minlength=len(mean)).unsqueeze(1)
        total = torch.zeros_like(mean).index_add_(0, nearest_cluster, sample)
        mean = torch.where(count > 0, total / count.clamp(min=1), mean)
    return mean


class Reservoir:
    """A uniform sample of all frames that pass by, at most `size` of them, and the moments of all."""

    def __init__(self, size: int, generator: torch.Generator):
        self.size, self.generator = size, generator
        self.frames: torch.Tensor | None = None
        self.keys: torch.Tensor | None = None
        self.count, self.mean, self.scatter = 0, None, None

    def add(self, frames: torch.Tensor) -> None:
        """(frame, dim) float64. Each frame draws a key; the smallest keys stay."""
        keys = torch.rand(len(frames), generator=self.generator, dtype=torch.float64).to(frames.device)
        if self.frames is None:
            self.frames, self.keys = frames[:0], keys[:0]
            self.mean = frames.new_zeros(frames.shape[1])
            self.scatter = frames.new_zeros(frames.shape[1])
        self._moments(frames)
        keys, frames = torch.cat([self.keys, keys]), torch.cat([self.frames, frames])
        kept = keys.argsort(stable=True)[: self.size]
        self.keys, self.frames = keys[kept], frames[kept]

    def _moments(self, frames: torch.Tensor) -> None:
        """Chan's update: no difference of large squares."""
        before, self.count = self.count, self.count + len(frames)
        mean = frames.mean(0)
        gap = mean - self.mean
        self.mean = self.mean + gap * len(frames) / self.count
        self.scatter = self.scatter + (frames - mean).square().sum(0) + gap.square() * before * len(frames) / self.count


class GaussianMixtures(Detector):
    """One mixture of the frames of each class; the score is the difference of the mean log-likelihoods.

    components, iterations: of each mixture, and of expectation-maximisation. start: `random` frames as means, as
    MATLAB's VLFeat draws them, or their `kmeans`. floor: the smallest variance. spoof_every: train on every n-th
    spoof utterance. dim: values per frame.
    """

    TRAINING = {"batch_size": 1}  # utterances come one by one whatever it is: no padding frames in the statistics
    SMALL = {"components": 4, "iterations": 2}
    NAME = ""

    def __init__(
        self,
        *,
        dim: int,
        components: int = 512,
        iterations: int = 10,
        start: str = "random",
        floor: float = 1e-6,
        spoof_every: int = 1,
    ):
        super().__init__()
        if min(dim, components, iterations, spoof_every) < 1 or floor <= 0:
            raise DataError(f"{self.NAME}: components, iterations, spoof_every and floor must be positive")
        if start not in STARTS:
            raise nearest(str(start), STARTS, what=f"start of {self.NAME}")
        self.iterations, self.how, self.floor, self.spoof_every = iterations, start, floor, spoof_every
        self.bonafide = DiagonalMixture(components, dim)
        self.spoof = DiagonalMixture(components, dim)

    @property
    def parameter_count(self) -> int:
        """Weights, means and variances of both mixtures."""
        return sum(buffer.numel() for mixture in (self.bonafide, self.spoof) for buffer in mixture.buffers())

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, dim) -> (batch,) float64, mean log-likelihood under bona fide minus under spoof."""
        frames = x.flatten(0, 1).double()
        ratio = self.bonafide.log_likelihood(frames) - self.spoof.log_likelihood(frames)
        return ratio.view(x.shape[:2]).mean(1)

    @torch.no_grad()
    def fit(self, batches: Batches, *, seed: int = 0) -> None:
        """Train both mixtures in 1 + iterations passes; the same result for the same seed and order of batches.

        batches() starts the training set anew. Memory is bounded by one batch, a sample of frames to start from, and
        (frame block x component). Raises DataError if a class has no frame or a value is not finite.
        """
        generator = torch.Generator().manual_seed(seed)
        components = len(self.bonafide.weight)
        seen = {name: Reservoir(START_FRAMES * components, generator) for name in CLASSES}
        for name, frames in self._frames(batches()):
            seen[name].add(frames)
        for name, reservoir in seen.items():
            self._check(name, reservoir, components)
            variance = (reservoir.scatter / reservoir.count).clamp(min=self.floor)
            getattr(self, name).start(reservoir.frames, variance, how=self.how)
        for _ in range(self.iterations):
            self._pass(batches)

    def _pass(self, batches: Batches) -> None:
        """One expectation-maximisation step of both mixtures in one pass over the data."""
        steps = {name: Improvement(getattr(self, name), floor=self.floor) for name in CLASSES}
        for name, frames in self._frames(batches()):
            steps[name].add(frames)
        for step in steps.values():
            step.finish()

    def _frames(self, batches: Iterable[Batch]) -> Iterator[tuple[str, torch.Tensor]]:
        """(class, (frame, dim) float64) utterance by utterance."""
        spoofs = 0
        for batch in batches:
            for x, target in zip(batch.x.to(self.bonafide.mean.device), batch.target.tolist()):
                if target == 0:
                    spoofs += 1
                    if (spoofs - 1) % self.spoof_every:
                        continue
                yield CLASSES[target], x.double()

    def _check(self, name: str, seen: Reservoir, components: int) -> None:
        if seen.count == 0:
            raise DataError(f"{self.NAME}: the training set has no {name} frames; both classes are needed")
        if not bool(torch.isfinite(seen.scatter).all()):
            raise DataError(f"{self.NAME}: a {name} training feature is not finite")
        if seen.count < components:
            print(
                f"{self.NAME}: {name} has {seen.count} training frames for {components} components; "
                f"{seen.count} are used",
                file=sys.stderr,
            )
