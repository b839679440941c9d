"""Metrics on cases worked out by hand, against their definitions, and on what they must refuse."""

import math
import warnings

import numpy as np
import pytest

from benchmark import bench_metrics, metrics

TINY = ([3, 2, 1, 0.5, -1], [2.5, 0, -2])  # rejected upwards: s -2, b -1, s 0, b 0.5, b 1, b 2, s 2.5, b 3


def definition_of_tie_safe(bonafide, spoof):
    threshold = np.unique(np.concatenate([bonafide, spoof, [np.inf]]))
    miss = np.array([np.mean(np.asarray(bonafide) < t) for t in threshold])
    false_alarm = np.array([np.mean(np.asarray(spoof) >= t) for t in threshold])
    gap = false_alarm - miss
    after = int(np.argmax(gap <= 1e-12))
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return miss[after - 1] + share * (miss[after] - miss[after - 1])


def random_sets():
    rng = np.random.default_rng(7)
    for _ in range(300):
        n, m, digits = rng.integers(1, 40), rng.integers(1, 40), rng.integers(0, 4)
        yield np.round(rng.normal(0.5, 1, n), digits), np.round(rng.normal(-0.5, 1, m), digits)


def test_eer_of_eight_scores_by_hand():
    # after rejecting -2, -1, 0, 0.5: P_miss 2/5, P_fa 1/3, nearest of all; the mean of the two, at 0.5
    assert metrics.eer(*TINY) == (pytest.approx((2 / 5 + 1 / 3) / 2, abs=1e-15), 0.5)


def test_tie_safe_eer_of_eight_scores_by_hand():
    # P_fa stays 1/3 from threshold 0.5 to 2.5 while P_miss passes it between 1/5 and 2/5
    rate, threshold = metrics.eer_tie_safe(*TINY)
    assert rate == pytest.approx(1 / 3, abs=1e-15)
    assert threshold == 0.5


def test_auc_of_eight_scores_by_hand():
    assert metrics.auc(*TINY) == 10 / 15  # spoof beaten: 3 by 3, 2 each by 2, 1, 0.5, 1 by -1


def test_min_dcf_of_eight_scores_by_hand():
    assert metrics.min_dcf(*TINY) == (pytest.approx(2 / 3, abs=1e-15), -2)  # 1.9 * 0 + 2/3


def test_act_dcf_of_accepting_all_is_one_and_no_less_than_min_dcf():
    assert metrics.act_dcf([1, 2], [3, 4]) == metrics.min_dcf([1, 2], [3, 4])[0] == 1


def test_act_dcf_and_cllr_of_eight_scores_by_hand():
    assert metrics.act_dcf(*TINY) == pytest.approx(1.9 / 5 + 2 / 3, abs=1e-15)  # threshold -0.64
    bits = [math.log1p(math.exp(-s)) for s in TINY[0]], [math.log1p(math.exp(s)) for s in TINY[1]]
    assert metrics.cllr(*TINY) == pytest.approx((np.mean(bits[0]) + np.mean(bits[1])) / (2 * math.log(2)))


def test_threshold_below_all_when_nothing_is_rejected():
    assert metrics.min_dcf([0.5, 0.5], [0.5]) == (1.0, 0.499)


def test_eer_is_the_official_one_point_by_point():
    for bonafide, spoof in random_sets():
        assert metrics.eer(bonafide, spoof) == bench_metrics.plain_eer(bonafide, spoof)


def test_costs_are_least_over_every_point_of_the_path():
    for bonafide, spoof in random_sets():
        miss, false_alarm, threshold = bench_metrics.plain_path(bonafide, spoof)
        cost = 1.0 * miss * 0.95 + 10.0 * false_alarm * (1 - 0.95)
        assert metrics.min_dcf(bonafide, spoof) == (cost.min() / (10.0 * (1 - 0.95)), threshold[np.argmin(cost)])
        asv = metrics.AsvRates(p_fa=0.02, p_miss=0.03, p_fa_spoof=0.4)
        for form in ("2019", "2021"):
            c0, c1, c2 = metrics.tdcf_weights(asv, form=form)
            cost = (c0 + c1 * miss + c2 * false_alarm) / (c0 + min(c1, c2))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = metrics.min_tdcf(bonafide, spoof, asv, form=form)
            if len(set(bonafide) | set(spoof)) < 3:
                assert found == (None, None)
            else:
                assert found == (cost.min(), threshold[np.argmin(cost)])


def test_tie_safe_eer_and_auc_follow_their_definitions():
    for bonafide, spoof in random_sets():
        assert metrics.eer_tie_safe(bonafide, spoof)[0] == pytest.approx(
            definition_of_tie_safe(bonafide, spoof), abs=1e-12
        )
        pairs = np.subtract.outer(bonafide, spoof)
        assert metrics.auc(bonafide, spoof) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)), abs=1e-12)


def test_without_ties_the_two_eers_differ_by_at_most_one_trial():
    for bonafide, spoof in random_sets():
        scores = np.concatenate([bonafide, spoof])
        distinct = scores + np.arange(scores.size) * 1e-6
        bonafide, spoof = distinct[: bonafide.size], distinct[bonafide.size :]
        gap = abs(metrics.eer(bonafide, spoof)[0] - metrics.eer_tie_safe(bonafide, spoof)[0])
        assert gap <= 1 / min(bonafide.size, spoof.size) + 1e-12


def test_a_shared_sort_gives_the_same_values():
    scores = metrics.rank(*TINY)
    assert metrics.eer(scores) == metrics.eer(*TINY)
    assert metrics.auc(scores) == metrics.auc(*TINY)
    assert metrics.cllr(scores) == metrics.cllr(*TINY)


def test_a_detector_that_cannot_tell():
    assert metrics.eer([1, 1], [1, 1, 1]) == (1.0, 1.0)  # the official convention: bona fide rejected first
    assert metrics.eer_tie_safe([1, 1], [1, 1, 1]) == (0.5, 1.0)
    assert metrics.auc([1, 1], [1, 1, 1]) == 0.5
    assert metrics.tie_mass([1, 1], [1, 1, 1]) == 1.0


def test_tie_mass_counts_both_classes_at_the_threshold():
    assert metrics.eer([0, 1, 1, 2], [0, 0, 1, 1, 1])[1] == 1
    assert metrics.tie_mass([0, 1, 1, 2], [0, 0, 1, 1, 1]) == 5 / 9


def test_an_inverted_detector_keeps_its_bad_value():
    assert metrics.eer([0, 1], [2, 3])[0] == 1.0
    assert metrics.auc([0, 1], [2, 3]) == 0.0


def test_decisions_at_a_threshold():
    decided = metrics.confusion([3, 2, 1, 0], [2, 0, -1], threshold=1)  # a score at the threshold is accepted
    assert (decided.true_positive, decided.false_negative) == (3, 1)
    assert (decided.false_positive, decided.true_negative) == (1, 2)
    assert (decided.accuracy, decided.precision, decided.recall, decided.f1) == (5 / 7, 3 / 4, 3 / 4, 3 / 4)
    spoof = metrics.confusion([3, 2, 1, 0], [2, 0, -1], threshold=1, positive="spoof")
    assert (spoof.precision, spoof.recall) == (2 / 3, 2 / 3)


def test_precision_is_undefined_when_nothing_is_accepted():
    assert metrics.confusion([0], [0], threshold=1).precision is None
    assert metrics.confusion([0], [0], threshold=1).f1 == 0


def test_no_overflow_at_extreme_scores():
    assert metrics.cllr([-1000.0], [1000.0]) == pytest.approx(1000 / math.log(2))


@pytest.mark.parametrize("metric", [metrics.eer, metrics.eer_tie_safe, metrics.auc, metrics.min_dcf,
                                    metrics.act_dcf, metrics.cllr, metrics.tie_mass, metrics.warnings_of])  # fmt: skip
@pytest.mark.parametrize("bonafide, spoof, message", [
    ([1, math.nan, math.nan], [0], "2 of 3 bona fide scores are not finite .first: nan at position 1"),
    ([1], [0, -math.inf], "1 of 2 spoof scores are not finite .first: -inf at position 1"),
    ([], [0], "no bona fide scores"),
    ([1], [], "no spoof scores"),
    ([[1, 2]], [0], "one-dimensional"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(metric, bonafide, spoof, message):
    with pytest.raises(ValueError, match=message):
        metric(bonafide, spoof)


@pytest.mark.parametrize("bonafide, spoof, words", [
    ([3, 2, 1.5], [-1, -2, -3], []),
    ([1, 1], [1, 1], ["collapsed", "ties", "saturated", "probabilities"]),
    ([-1, -2], [1, 2], ["inverted"]),
    ([3, 2, 1, 0.5], [0.75, -3], ["few trials"]),
    ([0.3, 0.9, 0.9], [0.1, 0.2, 0.25], ["saturated", "probabilities"]),
    ([-0.1, 0, 0], [-0.9, -0.8, -1], ["saturated", "probabilities"]),  # of spoof, times -1
    ([0.5, 0.2, 0.1], [-0.9, -0.8, -1], []),
])  # fmt: skip
def test_suspicious_scores_are_named(bonafide, spoof, words):
    assert [text.split(":")[0] for text in metrics.warnings_of(bonafide, spoof)] == words


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, np.int64, np.uint8, bool, list, tuple])
def test_every_kind_of_number_means_the_same(kind):
    bonafide, spoof = ([1, 0, 1, 1], [0, 0, 1])
    given = [kind(v) if kind in (list, tuple) else np.array(v, kind) for v in (bonafide, spoof)]
    for metric in (metrics.eer, metrics.eer_tie_safe, metrics.auc, metrics.min_dcf, metrics.act_dcf, metrics.cllr):
        assert metric(*given) == metric(np.array(bonafide, float), np.array(spoof, float))


def test_a_masked_score_is_a_missing_one():
    hidden = np.ma.array([1.0, 2.0], mask=[False, True])
    with pytest.raises(ValueError, match=r"1 of 2 bona fide scores are not finite \(first: nan at position 1\)"):
        metrics.eer(hidden, [0.0])
    assert metrics.eer(np.ma.array([1.0, 2.0]), [0.0])[0] == 0
