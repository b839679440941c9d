"""Quoted figures: those of the papers and the organisers, and beside which of ours they stand."""

import csv

import made_results
import pytest
from made_results import ask
from shared_data import shared

from benchmark import results


@pytest.fixture
def data(tmp_path):
    made_results.make(tmp_path)
    return tmp_path


def test_published_figures_stand_beside_measured_ones(data):
    made_results.add_run(
        data, "aasist", made_results.score_table({"diffwave": made_results.GOOD["easy"]}), averages={}, pooled={}
    )
    results.collect(data, replicates=20)
    ((measured_mean, published, difference, source),) = ask(
        data,
        "SELECT measured_mean, published, difference, source FROM compared WHERE detector = 'aasist' AND metric = 'eer'",
    )
    assert measured_mean == 0
    assert 0 < published < 0.5
    assert difference == -published
    assert source.startswith("Zhang et al.")


def quoted(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Printed figures that stand with us under other words than they were collected by: (of which figures, our words).
ELSEWHERE = [
    ({"detector": "rat"}, {"protocol": "official/asvspoof5_track1_open_rat", "subset": "eval_ref_real"}),
    # Table 3's "overall": a mean of three EERs weighted by their trials, where ours pools five sets
    ({"protocol": "adaptation/uniaudio_experts", "subset": "pooled", "metric": "eer_pct"},
     {"metric": "eer_mean_by_trials_pct"}),
    ({"detector": "uniaudio_dann", "setting": "cfg1"}, {"protocol": "adaptation/uniaudio_dann_r90"}),  # 10 % singing
]  # fmt: skip


def in_our_words(row):
    for of, words in ELSEWHERE:
        if of.items() <= row.items():
            row = row | words
    return row


def test_quoted_figures_are_those_of_the_papers():
    """Every printed figure of a kind that is measured here, and no other; sentences repeat figures of the tables."""
    told = {"avg_alpha_max": "gate_largest", "avg_cosine_similarity": "embedding_cosine",
            "accuracy_pct": "accuracy_at_eer_pct", "precision_pct": "spoof_precision_at_eer_pct",
            "recall_pct": "spoof_recall_at_eer_pct", "f1_pct": "spoof_f1_at_eer_pct"}  # our words for them  # fmt: skip
    ours = quoted(results._HERE / "published.csv")
    figure = ("detector", "setting", "protocol", "subset", "metric", "value")
    kinds = {row["metric"] for row in ours}
    printed = [
        row | {"metric": told.get(row["metric"], row["metric"])} for row in quoted(shared("published", "results.csv"))
    ]
    printed = [row for row in map(in_our_words, printed) if row["metric"] in kinds]
    assert {tuple(row[k] for k in figure) for row in ours} == {tuple(row[k] for k in figure) for row in printed}


def test_the_figure_of_rat_stands_beside_its_scores_with_references(tmp_path):
    trials = made_results.GOOD["easy"]
    common = {"scenario": "official", "averages": {}, "pooled": {}, "metrics": ["min_dcf", "eer", "auc"]}
    made_results.add_run(
        tmp_path, "rat", made_results.score_table(dict.fromkeys(("eval_ref_real", "eval_ref_zero"), trials)),
        protocol="official/asvspoof5_track1_open_rat", **common,
    )  # fmt: skip
    made_results.add_run(
        tmp_path, "rat", made_results.score_table({"eval": trials}), protocol="official/asvspoof5_track1_open", **common
    )
    results.collect(tmp_path, replicates=2)
    query = "SELECT protocol, subset, metric, published FROM compared ORDER BY metric"
    with_references = ("official/asvspoof5_track1_open_rat", "eval_ref_real")
    assert ask(tmp_path, query) == [(*with_references, "eer", 2.57 / 100), (*with_references, "min_dcf", 0.074)]


def test_figures_on_the_authors_recordings_stand_beside_both_splits(tmp_path):
    for protocol in ("inner/wavefake", "inner/wavefake_published"):
        made_results.add_run(
            tmp_path, "aasist", made_results.score_table({"eval": made_results.GOOD["easy"]}), protocol=protocol,
            scenario="inner", averages={}, pooled={},
        )  # fmt: skip
    results.collect(tmp_path, replicates=2)
    told = ask(tmp_path, "SELECT protocol, published FROM compared WHERE metric = 'eer' ORDER BY 1")
    assert [protocol for protocol, _ in told] == ["inner/wavefake", "inner/wavefake_published"]
    assert told[0][1] == told[1][1] > 0
    spread = ask(tmp_path, "SELECT * EXCLUDE protocol FROM published_spread WHERE detector = 'aasist' AND "
                           "protocol LIKE 'inner/wavefake%' AND metric = 'eer'")  # fmt: skip
    assert len(spread) == 2
    assert spread[0] == spread[1]


def test_the_overall_of_the_experts_is_a_mean_of_rates_and_stands_beside_no_pooled_rate(tmp_path):
    ours = {(r["detector"], r["subset"], r["metric"]): float(r["value"]) for r in quoted(results._HERE / "published.csv")
            if r["protocol"] == "adaptation/uniaudio_experts"}  # fmt: skip
    trials = {"asvspoof2019": 18029, "singfake": 138, "ctrsvdd": 12326}
    for detector in ("uniaudio_logmel", "uniaudio_mfcc", "uniaudio_w2v"):
        mean = sum(ours[detector, subset, "eer_pct"] * n for subset, n in trials.items()) / sum(trials.values())
        assert ours[detector, "pooled", "eer_mean_by_trials_pct"] == pytest.approx(mean, abs=5e-3)
    subsets = ("asvspoof2019", "ctrsvdd")
    made_results.add_run(
        tmp_path, "uniaudio_mfcc", made_results.score_table(dict.fromkeys(subsets, made_results.GOOD["easy"])),
        protocol="adaptation/uniaudio_experts", scenario="adaptation", averages={}, pooled={"pooled": list(subsets)},
    )  # fmt: skip
    results.collect(tmp_path, replicates=2)
    assert ask(tmp_path, "SELECT subset FROM compared ORDER BY 1") == [("asvspoof2019",), ("ctrsvdd",)]


def test_quoted_decisions_have_spoof_as_the_positive_class_and_stand_beside_none_of_ours(data):
    made_results.add_run(
        data, "uniaudio", made_results.score_table({"ctrsvdd": made_results.GOOD["hard"]}), averages={}, pooled={},
        protocol="adaptation/uniaudio_multidomain", scenario="adaptation",
    )  # fmt: skip
    results.collect(data, replicates=20)
    where = "protocol = 'adaptation/uniaudio_multidomain' AND subset = 'ctrsvdd' AND detector = 'uniaudio'"
    told = dict(ask(data, f"SELECT metric, value FROM published WHERE {where} AND setting = 'default'"))
    caught, accepted = told["spoof_recall_at_eer"] * 10836, (1 - told["eer"]) * 1490  # trials of CtrSVDD's dev part
    assert told["spoof_precision_at_eer"] == pytest.approx(caught / (caught + 1490 - accepted), abs=1e-4)
    assert told["accuracy_at_eer"] == pytest.approx((caught + accepted) / (1490 + 10836), abs=1e-4)
    assert ask(data, f"SELECT DISTINCT metric FROM compared WHERE {where} ORDER BY 1") == [("auc",), ("eer",)]


def test_quoted_baselines_of_ctrsvdd_are_those_of_the_organisers():
    ours = {(r["detector"], r["subset"]): float(r["value"]) for r in quoted(results._HERE / "published.csv")
            if r["protocol"] == "official/ctrsvdd" and r["metric"] == "eer_pct"}  # fmt: skip
    theirs = {}
    for row in quoted(shared("protocols", "ctrsvdd", "results.csv")):
        detector = {"B01.csv": "ctrsvdd_lfcc", "B02.csv": "ctrsvdd_raw"}[row.pop("csv")]
        subsets = ("wo_a14", "", "a09", "a10", "a11", "a12", "a13", "kising", "m4singer", "acesinger_a14")
        found = zip(subsets, row.values(), strict=True)
        theirs |= {(detector, f"test_{subset}".rstrip("_")): 100 * float(value) for subset, value in found}
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_quoted_runs_are_those_of_the_authors():
    ours, theirs = quoted(results._HERE / "published_runs.csv"), quoted(shared("published", "seed002_runs.csv"))
    figure = ("detector", "run", "protocol", "subset", "auc_pct", "eer_pct")
    key = [tuple(row[name] for name in figure) for row in theirs]
    assert [tuple(row[name] for name in figure) for row in ours] == key
    assert [row["label"] for row in ours] == [row["authors_label"] for row in theirs]


def test_the_spread_beside_a_printed_mean_is_of_the_runs_behind_it(data):
    """w2v2_ft and wavlm_ft were run under two labels, of which each table prints one."""
    results.collect(data, replicates=2)
    found = ask(data, "SELECT detector, protocol, label FROM published_spread GROUP BY ALL")
    assert len(found) == len({row[:2] for row in found})
    labels = {row[:2]: row[2] for row in found if row[0] in ("w2v2_ft", "wavlm_ft")}
    other = {("wavlm_ft", "cross_method/librisevoc"): "WaveLM", ("wavlm_ft", "cross_method/asvspoof2021_df_002"): "WaveLM",
             ("w2v2_ft", "cross_method/asvspoof2021_df_002"): "Wave2Vec2"}  # fmt: skip
    assert len(labels) == 2 * (10 + 2)
    for (detector, protocol), label in labels.items():
        assert label == other.get(
            (detector, protocol), {"w2v2_ft": "Wave2Vec2-old1", "wavlm_ft": "WaveLM-old1"}[detector]
        )
    where = "detector = 'w2v2_ft' AND protocol = 'inner/librisevoc' AND metric = 'eer'"
    ((runs, mean, high),) = ask(data, f"SELECT runs, mean, high FROM published_spread WHERE {where}")
    assert runs == 10
    assert mean == pytest.approx(0.0009, abs=5e-5)
    assert high < 0.005
