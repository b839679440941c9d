"""Intervals of a-DCF and t-EER: each replicate is the metric of the drawn trials, and speakers widen them."""

import math

import numpy as np
import pytest

from benchmark import tandem_bootstrap
from benchmark.bootstrap import Interval, percentile_interval
from benchmark.resampling import Sample
from benchmark.tandem_bootstrap import a_dcf_interval, t_eer_interval
from benchmark.tdcf import A_DCF_LIBRARY_COSTS, a_dcf, t_eer


def three(seed=0, sizes=(60, 50, 90), levels=(1.5, -1.0, -1.5), digits=1):
    rng = np.random.default_rng(seed)
    return tuple(np.round(rng.normal(level, 1, size), digits) for level, size in zip(levels, sizes))


def drawn_again(scores, replicates, clusters=None):
    """The trials of each replicate, one by one: the same draws as the module makes, spelt out."""
    groups = clusters or (np.repeat([0, 1], [len(scores[0]), len(scores[1])]), np.zeros(len(scores[2]), int))
    rng = np.random.default_rng(np.random.SeedSequence(0).spawn(1)[0])
    sample = Sample(np.concatenate(scores[:2]), scores[2], groups)
    order = np.argsort(np.concatenate(scores), kind="stable")
    kind, values = np.repeat([0, 1, 2], [len(s) for s in scores])[order], np.concatenate(scores)[order]
    for _ in range(replicates):
        draws = sample.draws(rng, "cluster" if clusters else "stratified")
        weight = sample.weights(rng, sample.region(0, order.size), draws)
        yield tuple(np.repeat(values[kind == k], weight[kind == k]) for k in range(3))


@pytest.mark.parametrize("costs", [None, A_DCF_LIBRARY_COSTS])
def test_an_a_dcf_replicate_is_the_metric_of_the_drawn_trials(costs):
    scores = three()
    again = list(drawn_again(scores, 40))
    assert all([len(s) for s in drawn] == [60, 50, 90] for drawn in again)  # every class keeps its number
    found = a_dcf_interval(*scores, costs=costs, replicates=40)
    wanted = percentile_interval(np.array([a_dcf(*drawn, costs=costs)[0] for drawn in again]))
    assert (found.low, found.high) == pytest.approx(wanted, abs=1e-12)
    assert found.method == "stratified_bootstrap_40"


@pytest.mark.parametrize("seed", range(3))
def test_a_t_eer_replicate_is_the_metric_of_the_drawn_trials(seed):
    scores, verifier = three(seed), three(seed + 9, (80, 70, 300), (2, -1, 1), 3)
    wanted = [t_eer(np.concatenate(drawn[:2]), drawn[2], *verifier) for drawn in drawn_again(scores, 30)]
    found = t_eer_interval(*scores, verifier, replicates=30)
    assert (found.low, found.high) == pytest.approx(percentile_interval(np.array(wanted)), abs=1e-9)
    assert found.low < t_eer(np.concatenate(scores[:2]), scores[2], *verifier) < found.high


def test_speakers_are_drawn_whole_and_widen_the_interval():
    rng = np.random.default_rng(1)
    speaker = tuple(np.repeat(np.arange(12), 25) for _ in range(3))
    level = rng.normal(0, 1, 12)
    scores = tuple(s + level[k] for s, k in zip(three(2, (300,) * 3, digits=3), speaker))
    verifier = three(4, (300,) * 3, (2, -1, 1), 3)
    for interval in (a_dcf_interval, lambda *s, **how: t_eer_interval(*s, verifier, **how)):
        wide = interval(*scores, speakers=speaker, replicates=200)
        narrow = interval(*scores, replicates=200)
        assert wide.method == "speaker_bootstrap_200"
        assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    values = [a_dcf(*drawn)[0] for drawn in drawn_again(scores, 50, (np.concatenate(speaker[:2]), speaker[2]))]
    found = a_dcf_interval(*scores, speakers=speaker, replicates=50)
    assert (found.low, found.high) == pytest.approx(percentile_interval(np.array(values)), abs=1e-12)


def test_unknown_speakers_fall_back_to_trials():
    scores = three()
    speakers = tuple(np.full(s.size, -1) for s in scores)
    assert a_dcf_interval(*scores, speakers=speakers, replicates=5) == a_dcf_interval(*scores, replicates=5)


def test_a_replicate_that_lacks_a_class_is_left_out():
    # five speakers, nontargets of one only: about a third of the replicates have none
    scores = ([2.0, 2.0, 2.0, 0.25], [0.0], [0.5] * 4)
    speakers = (np.arange(4), np.array([4]), np.arange(4))
    found = a_dcf_interval(*scores, speakers=speakers, replicates=100)
    assert math.isfinite(found.low)
    assert found.low < found.high <= 1


def test_without_an_error_there_is_the_exact_bound_or_no_interval():
    scores, verifier = three(levels=(20, 0, -9)), three(levels=(20, -20, -1))
    found = a_dcf_interval(*scores, replicates=20)
    rates = [1 - (0.05 / 3) ** (1 / trials) for trials in (60, 50, 90)]
    assert (found.low, found.high) == (
        0,
        pytest.approx((0.9405 * rates[0] + 0.095 * rates[1] + 0.5 * rates[2]) / 0.595),
    )
    assert found.method == "exact_no_error"
    assert t_eer(np.concatenate(scores[:2]), scores[2], *verifier) == 0
    assert t_eer_interval(*scores, verifier, replicates=20) == Interval(None, None, None)


def test_seed_decides_and_threads_do_not():
    scores = three()
    one, two = (a_dcf_interval(*scores, replicates=120, seed=3, threads=n) for n in (1, 2))
    assert one == two
    assert one != a_dcf_interval(*scores, replicates=120, seed=4)


@pytest.mark.parametrize("where", range(3))
def test_every_class_is_needed(where):
    scores = list(three())
    scores[where] = []
    with pytest.raises(ValueError, match=r"no \w+ scores"):
        a_dcf_interval(*scores, replicates=5)
    with pytest.raises(ValueError, match=r"no ASV \w+ scores"):
        t_eer_interval(*three(), scores, replicates=5)
    with pytest.raises(ValueError, match="not finite"):
        tandem_bootstrap.t_eer_interval(*three()[:2], [math.nan], three(), replicates=5)
