"""Intervals: the fast replicates follow the same law as plain resampling, and cover what they should."""

import csv
import gzip
import json
import math

import numpy as np
import pytest
from scipy.stats import beta
from shared_data import shared

from benchmark import bootstrap, metrics, resampling
from benchmark.bench_metrics import plain_eer


def speakers_set(seed=0, speakers=12, trials=500, shift=0.7):
    """Scores whose level differs by speaker; bona fide a fifth of the trials."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(speakers), trials)
    genuine = rng.random(speaker.size) < 0.2
    score = np.round(rng.normal(np.where(genuine, 1.0, -1.0)) + shift * rng.normal(size=speakers)[speaker], 2)
    return score[genuine], score[~genuine], (speaker[genuine], speaker[~genuine])


def plain_replicates(bonafide, spoof, clusters, count, seed):
    """Resample speakers, then trials inside each, by index; EER point by point."""
    rng = np.random.default_rng(seed)
    score = np.concatenate([bonafide, spoof])
    genuine = np.arange(score.size) < bonafide.size
    where = [np.flatnonzero(np.concatenate(clusters) == c) for c in np.unique(np.concatenate(clusters))]
    values = []
    for _ in range(count):
        picked = [where[c] for c in rng.integers(len(where), size=len(where))]
        drawn = np.concatenate([rng.choice(w, w.size) for w in picked])
        values.append(plain_eer(score[drawn][genuine[drawn]], score[drawn][~genuine[drawn]])[0])
    return np.array(values)


@pytest.mark.parametrize("window_sd", [6.0, 0.3])  # 0.3: most replicates leave the window
def test_speaker_replicates_follow_plain_resampling(monkeypatch, window_sd):
    monkeypatch.setattr(resampling, "WINDOW_SD", window_sd)
    bonafide, spoof, clusters = speakers_set()
    assert bonafide.size + spoof.size > resampling.SMALL
    fast = bootstrap.eer_replicates(bonafide, spoof, clusters=clusters, replicates=2000, threads=1)
    plain = plain_replicates(bonafide, spoof, clusters, 700, seed=5)
    assert fast.mean() == pytest.approx(plain.mean(), abs=4 * plain.std() / math.sqrt(700))
    assert fast.std() == pytest.approx(plain.std(), rel=0.12)
    for share in (2.5, 25, 75, 97.5):
        assert np.percentile(fast, share) == pytest.approx(np.percentile(plain, share), abs=0.3 * plain.std())


@pytest.mark.parametrize("seed", range(40))
def test_a_weighted_crossing_is_the_eer_of_the_drawn_trials(seed):
    rng = np.random.default_rng(seed)
    bonafide, spoof = np.round(rng.normal(0.5, 1, 15), seed % 3), np.round(rng.normal(-0.5, 1, 23), seed % 3)
    sample = resampling.Sample(bonafide, spoof, None)
    region = sample.region(0, 38)
    weight = sample.weights(rng, region, sample.draws(rng, "cluster"))
    drawn = np.repeat(np.sort(np.concatenate([bonafide, spoof]), kind="stable"), weight)
    genuine = np.repeat(sample.is_bonafide, weight)
    total = int(genuine.sum()), int((~genuine).sum())
    expected = plain_eer(drawn[genuine], drawn[~genuine])[0]
    assert bootstrap._crossing(sample, region, weight, (0, 0), total) == pytest.approx(expected, abs=1e-15)


def test_stratified_replicates_have_the_binomial_width():
    rng = np.random.default_rng(3)
    bonafide, spoof = rng.normal(1, 1, 4000), rng.normal(-1, 1, 16000)
    values = bootstrap.eer_replicates(bonafide, spoof, replicates=1000)
    rate = metrics.eer(bonafide, spoof)[0]
    assert values.mean() == pytest.approx(rate, abs=0.001)
    # the HTER form; the local density of these trials adds some 10 %
    assert 1.96 * values.std() == pytest.approx(bootstrap.normal_half_width(rate, 4000, 16000), rel=0.2)


def test_the_seed_decides_and_the_threads_do_not():
    bonafide, spoof, clusters = speakers_set()
    one = bootstrap.eer_replicates(bonafide, spoof, clusters=clusters, replicates=120, seed=4, threads=1)
    two = bootstrap.eer_replicates(bonafide, spoof, clusters=clusters, replicates=120, seed=4, threads=2)
    other = bootstrap.eer_replicates(bonafide, spoof, clusters=clusters, replicates=120, seed=5, threads=2)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_speakers_widen_the_interval():
    bonafide, spoof, clusters = speakers_set()
    wide = bootstrap.eer_interval(bonafide, spoof, speakers=clusters)
    narrow = bootstrap.eer_interval(bonafide, spoof)
    assert wide.method == "speaker_bootstrap_1000"
    assert narrow.method == "stratified_bootstrap_1000"
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize("speakers", [
    (["a", "b"] * 5, ["c", None] * 5), (["a", "b"] * 5, ["c", "d"] * 5), None,
    (np.array(list("abcdefghij"), object), np.array([*"klmnopqrs", np.nan], object)),  # NULL as pandas has it
    (np.arange(10.0), np.array([*range(9), np.nan])),
])  # fmt: skip
def test_unknown_or_few_speakers_fall_back_to_trials(speakers):
    interval = bootstrap.eer_interval(range(10), range(-5, 5), speakers=speakers, replicates=50)
    assert interval.method == "stratified_bootstrap_50"


def test_interval_of_published_scores_agrees_with_the_public_package():
    name = "asvspoof5_eval_subset_wavlm_dann"
    wanted = json.loads(shared("golden", "metrics", "real", "official.json").read_text())[name]["bootstrap"]
    with gzip.open(shared("golden", "metrics", "real", f"{name}.tsv.gz"), "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    score = [[float(r["score"]) for r in rows if r["label"] == w] for w in ("bonafide", "spoof")]
    speaker = [[r["spk"] for r in rows if r["label"] == w] for w in ("bonafide", "spoof")]
    # the package draws a speaker that comes twice with the same trials both times, so its interval is wider
    found = bootstrap.eer_interval(*score, speakers=tuple(speaker))
    assert (found.low, found.high) == pytest.approx(wanted["by_speaker"], abs=0.0015)
    values = bootstrap.eer_replicates(*score, scheme="trial")
    assert bootstrap.percentile_interval(values) == pytest.approx(wanted["iid"], abs=0.0005)


def test_replicates_of_one_class_are_left_out():
    # two speakers, one all bona fide, one all spoof: half of the replicates draw one class only
    values = bootstrap.eer_replicates([2.0, 3.0], [0.0, 1.0], clusters=(["a", "a"], ["b", "b"]), replicates=400)
    assert 0.4 < np.isnan(values).mean() < 0.6
    assert bootstrap.percentile_interval(values) == (0.0, 0.0)


def test_cost_replicates_centre_on_min_dcf():
    bonafide, spoof, clusters = speakers_set(shift=0.3)
    value = metrics.min_dcf(bonafide, spoof)[0]
    costs = [(0, 1.9, 1), (0.5, 0.95, 0.5)]
    interval, half = bootstrap.cost_intervals(bonafide, spoof, costs=costs, speakers=clusters, replicates=200)
    assert interval.low < value < interval.high
    assert interval.high - interval.low < 0.5
    assert (half.low, half.high) == pytest.approx((0.5 + interval.low / 2, 0.5 + interval.high / 2))
    assert bootstrap.cost_replicates([2, 3], [0, 1], costs=costs[:1], replicates=5).tolist() == [[0.0]] * 5


def test_a_cost_replicate_is_min_dcf_of_the_drawn_trials():
    rng = np.random.default_rng(2)
    bonafide, spoof = np.round(rng.normal(0.5, 1, 15), 1), np.round(rng.normal(-0.5, 1, 23), 1)
    values = bootstrap.cost_replicates(bonafide, spoof, costs=[(0, 1.9, 1)], replicates=3, threads=1)[:, 0]
    rng = np.random.default_rng(np.random.SeedSequence(0).spawn(1)[0])
    sample = resampling.Sample(bonafide, spoof, None)
    for value in values:
        weight = sample.weights(rng, sample.region(0, 38), sample.draws(rng, "stratified"))
        drawn = np.repeat(np.sort(np.concatenate([bonafide, spoof]), kind="stable"), weight)
        genuine = np.repeat(sample.is_bonafide, weight)
        assert value == pytest.approx(metrics.min_dcf(drawn[genuine], drawn[~genuine])[0])


def test_delong_interval_by_hand():
    # won 1, 1/2; lost (1 - 1/4...) : placements of bona fide 1, .5 and of spoof .5, 1 around area .75
    interval = bootstrap.auc_interval([3, 1], [2, 0])
    deviation = math.sqrt(0.125 / 2 + 0.125 / 2)
    width = 1.959963984540054 * deviation / (0.75 * 0.25)
    assert interval.method == "delong"
    assert interval.high == pytest.approx(1 / (1 + math.exp(-(math.log(3) + width))))


def test_auc_interval_agrees_with_resampling_speakers():
    bonafide, spoof, clusters = speakers_set(speakers=40, trials=150)
    interval = bootstrap.auc_interval(bonafide, spoof, speakers=clusters)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(300):
        picked = rng.integers(40, size=40)
        draw = [np.concatenate([s[c == k] for k in picked]) for s, c in zip((bonafide, spoof), clusters)]
        values.append(metrics.auc(*draw))
    low, high = np.percentile(values, [2.5, 97.5])
    assert interval.method == "speaker_delong"
    assert interval.high - interval.low == pytest.approx(high - low, rel=0.3)


@pytest.mark.parametrize("speakers", [None, (np.repeat(range(6), 5), np.repeat(range(6), 10))])
def test_without_an_error_the_interval_is_the_exact_bound(speakers):
    bonafide, spoof = np.arange(30) + 0.5, -np.arange(60.0)
    miss, false_alarm = (beta.ppf(0.975, 1, trials) for trials in (30, 60))  # Clopper and Pearson
    assert bootstrap.no_error_bound(30) == pytest.approx(miss, rel=1e-9)
    how = {"speakers": speakers, "replicates": 20}
    assert bootstrap.eer_interval(bonafide, spoof, **how) == bootstrap.Interval(
        0.0, pytest.approx(miss), "exact_no_error"
    )
    dcf, tandem, dear = bootstrap.cost_intervals(bonafide, spoof, costs=[(0, 1.9, 1), (0.1, 0.9, 3), (0, 20, 1)], **how)
    assert (dcf.low, dcf.high) == (0, pytest.approx(1.9 * miss + false_alarm))
    assert (tandem.low, tandem.high) == (0.1, pytest.approx(0.1 + 0.9 * miss + 3 * false_alarm))
    assert dear.high == 1  # accepting all costs no more
    for area, low, high in (
        (bootstrap.auc_interval(bonafide, spoof, speakers=speakers), (1 - miss) * (1 - false_alarm), 1),
        (bootstrap.auc_interval(spoof, bonafide), 0, 1 - (1 - miss) * (1 - false_alarm)),
    ):
        assert (area.low, area.high, area.method) == (pytest.approx(low), pytest.approx(high), "exact_no_error")
    assert bootstrap.eer_interval_of(0, 60, 30).high == pytest.approx(miss)
    tied = bootstrap.eer_interval(np.append(bonafide, 0.0), spoof, replicates=20)  # equal to the highest spoof
    assert tied.method == "stratified_bootstrap_20"


def test_paired_difference_sees_what_separate_intervals_miss():
    bonafide, spoof, clusters = speakers_set()
    rng = np.random.default_rng(1)
    better = bonafide + 0.15 + 0.05 * rng.normal(size=bonafide.size), spoof
    found = bootstrap.paired_difference(better, (bonafide, spoof), clusters=clusters, replicates=300)
    assert found.value == metrics.eer(*better)[0] - metrics.eer(bonafide, spoof)[0]
    assert found.high < 0
    assert found.p_first_better == 1.0
    same = bootstrap.paired_difference((bonafide, spoof), (bonafide, spoof), replicates=20)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="same trials"):
        bootstrap.paired_difference((bonafide[1:], spoof), (bonafide, spoof))


def test_spread_over_seeds():
    one_collapsed = bootstrap.spread([1.9, 2.0, 2.1, 48.4])
    assert one_collapsed.mean == pytest.approx(13.6)
    assert one_collapsed.median == pytest.approx(2.05)
    assert one_collapsed.sd == pytest.approx(np.std([1.9, 2.0, 2.1, 48.4], ddof=1))
    assert (one_collapsed.low, one_collapsed.high, one_collapsed.n) == (1.9, 48.4, 4)
    assert bootstrap.spread([3]).sd is None
    with pytest.raises(ValueError, match="no values"):
        bootstrap.spread([])


@pytest.mark.parametrize("change, message", [
    ({"scheme": "jackknife"}, "scheme is 'stratified' or 'trial'"),
    ({"clusters": (["a"], ["b"])}, "4 scores but 2 cluster names"),
])  # fmt: skip
def test_wrong_use_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        bootstrap.eer_replicates([1, 2], [0, 1], **change)
