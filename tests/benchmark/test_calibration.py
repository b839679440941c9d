import dataclasses
import math
import re

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmark import calibration
from benchmark.metrics import cllr, eer
from ingest.types import DataError


def scores(seed=0, n=300, m=900, gap=2.0, scale=3.0):
    random = np.random.default_rng(seed)
    return scale * (random.standard_normal(n) + gap) + 5, scale * random.standard_normal(m) + 5


@pytest.mark.parametrize("p_spoof", [0.05, 0.5, 0.9])
def test_it_is_scikit_learn_s_weighted_logistic_regression(p_spoof):
    bonafide, spoof = scores()
    x = np.concatenate([bonafide, spoof])[:, None]
    weight = np.repeat([(1 - p_spoof) / bonafide.size, p_spoof / spoof.size], [bonafide.size, spoof.size])
    label = np.repeat([1, 0], [bonafide.size, spoof.size])
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, label, sample_weight=weight * x.size)
    ours = calibration.fit(bonafide, spoof, p_spoof=p_spoof)
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert ours.offset == pytest.approx(theirs.intercept_[0] - math.log((1 - p_spoof) / p_spoof), abs=1e-3)


def test_two_gaussians_of_one_width_have_a_straight_log_likelihood_ratio():
    """Means 1 and -1, both of deviation 1: llr(s) = 2 s."""
    random = np.random.default_rng(1)
    fitted = calibration.fit(random.standard_normal(200_000) + 1, random.standard_normal(200_000) - 1)
    assert fitted.slope == pytest.approx(2, abs=0.03)
    assert fitted.offset == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_calibration_never_costs_information(seed):
    bonafide, spoof = scores(seed, gap=0.7)
    fitted = calibration.fit(bonafide, spoof)
    assert fitted.cllr_after <= min(fitted.cllr_before, 1.0)
    assert fitted.cllr_before == cllr(bonafide, spoof)
    moved = calibration.fit(100 * bonafide - 7, 100 * spoof - 7)  # the scale of the scores does not matter
    assert moved.cllr_after == pytest.approx(fitted.cllr_after, abs=1e-9)
    np.testing.assert_allclose(moved.llr(100 * bonafide - 7), fitted.llr(bonafide), atol=1e-6)


def test_separable_scores_give_finite_ratios_that_their_number_supports():
    few = calibration.fit([3.0, 4.0, 5.0], [-1.0, -2.0])
    assert 0 < few.slope < 10
    assert few.llr(1e9) == math.log(3) and few.llr(-1e9) == -math.log(4)
    many = calibration.fit(np.linspace(3, 5, 300), np.linspace(-5, -3, 300))
    assert many.llr(4) > few.llr(4)


def test_the_threshold_is_that_of_the_dev_eer_and_moves_with_the_prior():
    bonafide, spoof = scores()
    fitted = calibration.fit(bonafide, spoof)
    assert (fitted.eer, fitted.threshold) == eer(bonafide, spoof)
    half = fitted.threshold_at(0.5)
    assert fitted.slope * half + fitted.offset == pytest.approx(0)
    assert fitted.threshold_at(0.01) < half < fitted.threshold_at(0.99)
    assert fitted.slope * fitted.threshold_at(0.8) + fitted.offset == pytest.approx(math.log(4))
    for prior in (0, 1, -1, math.nan):
        with pytest.raises(DataError, match="probability"):
            fitted.threshold_at(prior)


@pytest.mark.parametrize(
    ("bonafide", "spoof"),
    [([], [1.0]), ([1.0], []), ([1.0, np.nan], [0.0]), ([1.0, 1.0], [1.0]), ([0.0, 1.0, 2.0], [5.0, 1.5, 7.0])],
)
def test_scores_that_cannot_be_calibrated_are_refused(bonafide, spoof):
    with pytest.raises(DataError, match="cannot calibrate on dev of x"):
        calibration.fit(bonafide, spoof, source="dev of x")


def test_a_prior_beyond_every_ratio_is_refused_and_within_it_ratio_and_threshold_agree():
    """With 9 bona fide and 19 spoof trials no ratio is above 20 or below 1 in 10."""
    fitted = calibration.fit(*scores(n=9, m=19))
    for prior in (0.09, 1 / 11 + 1e-9, 0.5, 20 / 21 - 1e-9, 0.96):
        odds = math.log(prior / (1 - prior))
        if not 1 / 11 <= prior <= 20 / 21:
            with pytest.raises(DataError, match=r"pass one from 0\.091 to 0\.9523,"):
                fitted.threshold_at(prior)
            continue
        for score in fitted.threshold_at(prior) + np.array([-1e-3, 1e-3]):
            assert (fitted.llr(score) > odds) == (score > fitted.threshold_at(prior))


@pytest.mark.parametrize("trials", [1, 8, 9, 98, 5_000, 22_296, 700_000])
def test_the_priors_that_are_advised_are_taken(trials):
    """0.0909 of 1/11 and "1" of thousands of trials were refused in turn."""
    fitted = dataclasses.replace(calibration.fit(*scores()), n_bonafide=trials, n_spoof=trials)
    with pytest.raises(DataError) as error:
        fitted.threshold_at(1 - 1e-9)
    lowest, highest = re.search(r"pass one from (\S+) to (\S+), or", str(error.value)).groups()
    assert fitted.threshold_at(float(lowest)) < fitted.threshold_at(float(highest))
    assert float(lowest) == pytest.approx(1 / (trials + 2), rel=0.1)


def test_it_survives_json():
    fitted = calibration.fit(*scores())
    assert calibration.from_json(fitted.as_json()) == fitted
    assert calibration.from_json(None) is None


@pytest.mark.filterwarnings("error")
def test_scores_whose_squares_are_no_numbers_are_one_line():
    with pytest.raises(DataError, match=r"scores of 1e\+300"):
        calibration.fit([1.0, 1e300], [0.0, -1.0])
    assert calibration.fit([1.0, 1e100], [0.0, -1.0]).slope > 0


def test_an_outlier_that_no_slope_fits_is_named():
    """It was said that higher scores do not speak for bona fide, at an EER of 2 %."""
    bonafide, spoof = scores()
    bonafide[3] = -1234567.5
    with pytest.raises(DataError, match=r"\(EER \d+\.\d %\); look at the trial of score -1234567\.5, the furthest"):
        calibration.fit(bonafide, spoof)
    with pytest.raises(DataError, match=r"%\)$"):
        calibration.fit([0.0, 1.0], [2.0, 3.0])
