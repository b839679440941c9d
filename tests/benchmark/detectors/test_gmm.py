"""Gaussian mixtures against the golden scores, scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors._gmm import DiagonalMixture, GaussianMixtures, Improvement, Reservoir, k_means
from features import extractors
from ingest.types import DataError


class Mixtures(GaussianMixtures):
    """Of frames of any length."""

    NAME = "lfcc_gmm"


def three_clouds(offset=1000.0):
    """(1200, 5) frames around three centres, far from zero: naive squares would cancel."""
    rng = np.random.default_rng(0)
    clouds = [rng.normal(center, width, (400, 5)) for center, width in ((0, 1), (5, 0.5), (-4, 2))]
    return torch.from_numpy(np.concatenate(clouds) + offset)


def batches(bonafide, spoof, *, size=100):
    """One utterance of `size` frames per class and batch."""
    pairs = zip(bonafide.float().split(size), spoof.float().split(size))
    return [Batch(torch.stack(pair), torch.tensor([1, 0]), ["a", "b"]) for pair in pairs]


def test_golden_scores(golden):
    told = golden.arrays("GMM_scoring")
    model = detectors.build("lfcc_gmm", components=8)
    for name, short in (("bonafide", "bona"), ("spoof", "spoof")):
        for buffer, key in (("weight", "w"), ("mean", "mu"), ("variance", "var")):
            getattr(getattr(model, name), buffer).copy_(torch.from_numpy(told[f"{key}_{short}"]))
    x = torch.from_numpy(told["features"])
    assert float(model.bonafide.log_likelihood(x.double()).mean()) == pytest.approx(float(told["llk_bona"]), abs=1e-6)
    assert float(model.spoof.log_likelihood(x.double()).mean()) == pytest.approx(float(told["llk_spoof"]), abs=1e-6)
    assert float(model.score(x.unsqueeze(0))) == pytest.approx(float(told["score"]), abs=1e-6)


def test_one_standard_component_by_hand():
    """log N(0; 0, I) in two dimensions is -ln(2 pi)."""
    mixture = DiagonalMixture(1, 2)
    assert float(mixture.log_likelihood(torch.zeros(1, 2).double())) == pytest.approx(-1.837877066)


def test_expectation_maximisation_is_scikit_learns():
    frames, mixture = three_clouds(), DiagonalMixture(3, 5)
    mixture.mean.copy_(frames[[0, 500, 1000]])
    mixture.variance.copy_(frames.var(0, correction=0).expand(3, 5))
    theirs = GaussianMixture(
        3, covariance_type="diag", means_init=mixture.mean.numpy(), precisions_init=1 / mixture.variance.numpy(),
        weights_init=np.full(3, 1 / 3), max_iter=10, tol=0, reg_covar=1e-12,
    )  # fmt: skip
    with pytest.warns(match="did not converge"):
        theirs.fit(frames.numpy())
    likelihoods = []
    for _ in range(10):
        step = Improvement(mixture, floor=1e-9)
        for block in frames.split(130):
            step.add(block)
        likelihoods.append(step.finish())
    assert min(np.diff(likelihoods)) > -1e-12  # it never falls
    np.testing.assert_allclose(mixture.mean, theirs.means_, atol=1e-8)
    np.testing.assert_allclose(mixture.variance, theirs.covariances_, atol=1e-7)
    np.testing.assert_allclose(mixture.weight, theirs.weights_, atol=1e-9)
    np.testing.assert_allclose(mixture.log_likelihood(frames), theirs.score_samples(frames.numpy()), atol=1e-6)


@pytest.mark.parametrize("start", ["random", "kmeans"])
def test_fit_is_deterministic_in_the_seed_and_tells_the_classes_apart(start):
    data = batches(three_clouds(), three_clouds(1002.0))
    states, scores = [], []
    for seed in (1, 1, 2):
        model = Mixtures(dim=5, components=3, start=start)
        model.fit(lambda: iter(data), seed=seed)
        states.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
        scores.append(torch.cat([model.score(batch.x) for batch in data]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    target = torch.cat([batch.target for batch in data])
    assert float(scores[0][target == 1].mean()) > 0 > float(scores[0][target == 0].mean())


def test_more_components_than_frames_are_capped_with_a_line(capsys):
    frames = three_clouds()[:30]
    model = Mixtures(dim=5, components=40, iterations=3)
    model.fit(lambda: iter(batches(frames, frames + 1, size=10)), seed=0)
    assert "lfcc_gmm: bonafide has 30 training frames for 40 components; 30 are used" in capsys.readouterr().err
    assert model.bonafide.weight.shape == (40,)
    assert int((model.bonafide.weight > 0).sum()) <= 30
    assert bool(model.score(torch.randn(2, 7, 5) + 1000).isfinite().all())


def test_constant_frames_meet_the_variance_floor():
    model = Mixtures(dim=2, components=1, floor=1e-4)
    same = torch.full((20, 2), 3.0)
    model.fit(lambda: iter(batches(same, same + 1, size=10)), seed=0)
    torch.testing.assert_close(model.bonafide.variance, torch.full((1, 2), 1e-4).double())
    torch.testing.assert_close(model.bonafide.mean, torch.full((1, 2), 3.0).double())


def test_every_tenth_spoof_is_used():
    model = Mixtures(dim=1, components=1, iterations=1, spoof_every=detectors.settings("cqcc_gmm")["spoof_every"])
    spoofs = torch.arange(20.0).view(20, 1, 1).expand(20, 3, 1)  # utterance i holds the value i
    data = [Batch(torch.cat([x.unsqueeze(0), torch.zeros(1, 3, 1)]), torch.tensor([0, 1]), ["a", "b"]) for x in spoofs]
    model.fit(lambda: iter(data), seed=0)
    assert float(model.spoof.mean) == pytest.approx(5.0)  # of utterances 0 and 10


def test_the_baseline_of_pa_leaves_out_nine_spoofs_of_ten():
    chosen = [{}, {"preset": "asvspoof2021_gmm_pa"}, {"preset": "asvspoof2021_gmm_pa", "spoof_every": 1}]
    assert [detectors.build("lfcc_gmm", components=1, **config).spoof_every for config in chosen] == [1, 10, 1]
    with pytest.raises(DataError, match="must be positive"):
        detectors.build("lfcc_gmm", spoof_every=0)


def test_missing_class_and_broken_values_are_refused():
    model = Mixtures(dim=2, components=1)
    with pytest.raises(DataError, match="no bonafide frames"):
        model.fit(lambda: iter([Batch(torch.randn(1, 5, 2), torch.tensor([0]), ["a"])]), seed=0)
    bad = Batch(torch.full((2, 5, 2), float("nan")), torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(DataError, match="not finite"):
        model.fit(lambda: iter([bad]), seed=0)
    with pytest.raises(DataError, match="must be positive"):
        detectors.build("lfcc_gmm", components=0)
    with pytest.raises(DataError, match="did you mean kmeans"):
        detectors.build("lfcc_gmm", start="kmean")


def test_reservoir_keeps_a_bounded_sample_and_the_moments_of_all():
    frames, reservoir = three_clouds(), Reservoir(50, torch.Generator().manual_seed(0))
    for block in frames.split(77):
        reservoir.add(block)
    assert reservoir.frames.shape == (50, 5)
    torch.testing.assert_close(reservoir.mean, frames.mean(0))
    torch.testing.assert_close(reservoir.scatter / 1200, frames.var(0, correction=0))


def test_k_means_finds_two_points():
    sample = torch.tensor([[0.0], [0.2], [10.0], [10.2]]).double()
    assert k_means(sample, sample[:2]).flatten().sort().values.tolist() == pytest.approx([0.1, 10.1])


@pytest.mark.parametrize(("name", "preset", "dim"), [
    ("lfcc_gmm", "asvspoof2021_gmm", 57), ("lfcc_gmm", "asvspoof2021_gmm_pa", 57), ("lfcc_gmm", "asvspoof2019_gmm", 60),
    ("lfcc_gmm", "asvspoof2021_gmm_python", 60), ("cqcc_gmm", "asvspoof2021", 60), ("cqcc_gmm", "asvspoof2019", 90),
])  # fmt: skip
def test_every_front_end_of_the_challenges_fits_its_mixtures(name, preset, dim):
    model = detectors.build(name, preset=preset, components=2)
    assert model.bonafide.mean.shape == (2, dim)
    x = extractors.get(model.input.feature, **model.input.params).extract(0.1 * torch.randn(1, 8_000))
    assert model.score(x).isfinite().all()
    with pytest.raises(DataError, match=f"preset of {name}"):
        detectors.build(name, preset="asvspoof")
