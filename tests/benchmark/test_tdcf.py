"""Tandem costs: weights by hand, corner cases of the verifier, and the t-EER by exhaustion."""

import warnings

import numpy as np
import pytest

from benchmark import metrics
from benchmark.tdcf import AsvRates, a_dcf, asv_rates, min_tdcf, t_eer, tdcf_weights

RATES = AsvRates(p_fa=0.1, p_miss=0.2, p_fa_spoof=0.5)


def test_asv_rates_by_hand():
    # target 1 2 3 4, nontarget 0 0.5 1.5: nearest rates 1/4 and 1/3 after rejecting 0, 0.5, 1
    rates = asv_rates([1, 2, 3, 4], [0, 0.5, 1.5], [0, 1, 5, 6])
    assert rates == AsvRates(p_fa=1 / 3, p_miss=0.0, p_fa_spoof=3 / 4)  # the score at the threshold is accepted


def test_weights_by_hand():
    assert tdcf_weights(RATES, form="2019") == pytest.approx((0, 0.9405 * 0.8 - 0.0095 * 10 * 0.1, 0.25))
    c0 = 0.9405 * 0.2 + 0.0095 * 10 * 0.1
    assert tdcf_weights(RATES, form="2021") == pytest.approx((c0, 0.9405 - c0, 0.25))


def test_perfect_detector_is_zero_in_2019_and_the_floor_in_2021():
    bonafide, spoof = [3, 2], [1, 0]
    assert min_tdcf(bonafide, spoof, RATES) == (0.0, 1.0)
    c0, c1, c2 = tdcf_weights(RATES, form="2021")
    assert min_tdcf(bonafide, spoof, RATES, form="2021")[0] == pytest.approx(c0 / (c0 + min(c1, c2)))


def test_a_verifier_that_rejects_every_spoof():
    rates = AsvRates(p_fa=0.1, p_miss=0.2, p_fa_spoof=0.0)
    value, threshold = min_tdcf([3, 2, 0], [1, 0], rates)
    assert np.isnan(value)
    assert threshold == -0.001
    assert min_tdcf([3, 2, 0], [1, 0], rates, form="2021") == (1.0, -0.001)


def test_fewer_than_three_distinct_scores_give_none_and_a_warning():
    with pytest.warns(RuntimeWarning, match="fewer than 3 distinct"):
        assert min_tdcf([1, 0], [0, 0, 1], RATES) == (None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert min_tdcf([1, 0], [0, 0.5, 1], RATES)[0] is not None


@pytest.mark.parametrize("change, message", [
    ({"form": "2020"}, "form is '2019' or '2021'"),
    ({"asv": None}, "needs the error rates"),
    ({"asv": AsvRates(p_fa=1.0, p_miss=1.0, p_fa_spoof=1.0)}, "negative t-DCF weights"),
])  # fmt: skip
def test_wrong_use_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        min_tdcf([3, 2, 1], [0], **{"asv": RATES, **change})


def test_compat_exchanges_the_two_spoof_rates():
    bonafide, spoof = [3, 2, 1, 0], [2.5, 0.5, -1]
    uneven = AsvRates(p_fa=0.1, p_miss=0.1, p_fa_spoof=0.3)
    exchanged = AsvRates(p_fa=0.1, p_miss=0.1, p_fa_spoof=0.7)
    assert min_tdcf(bonafide, spoof, uneven, form="2021", compat=True) == pytest.approx(
        min_tdcf(bonafide, spoof, exchanged, form="2021")
    )


def test_a_dcf_by_hand():
    # reject 0 and 1 (nontarget, spoof): only spoof 4 passes; 10 * 0.05 * 1/2 over 0.595
    value, threshold = a_dcf([2, 3], [0], [1, 4])
    assert value == pytest.approx(0.25 / 0.595)
    assert threshold == 1


def test_a_dcf_that_rejects_nothing_has_its_own_threshold():
    assert a_dcf([0, 0], [1], [1])[1] == pytest.approx(-1e-8, abs=1e-20)


@pytest.mark.parametrize("where", range(3))
def test_every_class_is_needed(where):
    arrays = [[1.0, 2.0], [0.0, 0.5], [0.2, 0.7]]
    arrays[where] = []
    with pytest.raises(ValueError, match=r"no .* scores"):
        a_dcf(*arrays)
    with pytest.raises(ValueError, match=r"no .* scores"):
        asv_rates(*arrays)
    with pytest.raises(ValueError, match=r"no .* scores"):
        t_eer([1, 2], [0, 1], *arrays)


@pytest.mark.parametrize(
    "bonafide, spoof, target, nontarget, other, wanted",
    [
        ([5], [1], [6, 3], [3, 3, 4], [6], 100),
        ([4, 2, 1], [4], [7], [1], [5, 4, 7], 200 / 3),
        ([5], [3], [4, 4, 7], [2, 4], [0, 1, 5], 0),
    ],
)
def test_t_eer_of_few_trials_is_the_published_one(bonafide, spoof, target, nontarget, other, wanted):
    """Pairs of thresholds tie but for rounding; values of the evaluation package of ASVspoof 5."""
    assert t_eer(bonafide, spoof, target, nontarget, other) == pytest.approx(wanted, abs=1e-9)


def exhaustive_t_eer(bonafide, spoof, target, nontarget, other, rho=0.5):
    """The definition, every pair of thresholds in two loops."""
    scores = np.concatenate([target, nontarget, other])
    order = np.argsort(scores, kind="stable")
    kind = np.repeat([0, 1, 2], [len(target), len(nontarget), len(other)])[order]
    i, j = metrics.rank(bonafide, spoof).path
    miss, false_alarm = i / len(bonafide), (len(spoof) - j) / len(spoof)
    best = (np.inf, None)
    for k in range(scores.size + 1):
        asv_miss = np.sum(kind[:k] == 0) / len(target)
        fa = 1 - np.sum(kind[:k] == 1) / len(nontarget)  # rounded as in the published program
        fa_spoof = 1 - np.sum(kind[:k] == 2) / len(other)
        if not asv_miss < (1 - rho) * fa + rho * fa_spoof:
            continue
        tandem_miss = miss + (1 - miss) * asv_miss
        tandem_fa = (1 - rho) * (1 - miss) * fa + rho * false_alarm * fa_spoof
        at = int(np.argmin(np.abs(tandem_miss - tandem_fa)))
        with np.errstate(divide="ignore", invalid="ignore"):
            uneven = abs(np.float64(fa) / fa_spoof - false_alarm[at] / (1 - miss[at]))
        if uneven < best[0]:
            best = (uneven, fa_spoof * false_alarm[at] * 100)
    return best[1]


@pytest.mark.parametrize("seed", range(20))
def test_t_eer_is_the_exhaustive_one(seed):
    rng = np.random.default_rng(seed)
    cm = np.round(rng.normal(1, 1, 40), 3), np.round(rng.normal(-1, 1, 50), 3)
    asv = [np.round(rng.normal(m, 1, n), 3) for m, n in ((2, 20), (-1, 20), (1, 50))]
    assert t_eer(*cm, *asv) == pytest.approx(exhaustive_t_eer(*cm, *asv), abs=1e-9)
