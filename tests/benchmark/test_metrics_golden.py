"""Every metric against what the public evaluation packages gave on the same score sets."""

import csv
import functools
import gzip
import json
import math
import warnings
from itertools import groupby

import numpy as np
import pyarrow as pa
import pytest
from shared_data import ROOT, shared

from benchmark import metrics
from benchmark.measure import measure
from benchmark.tdcf import A_DCF_LIBRARY_COSTS
from benchmark.verifier import cell_rates

FOLDER = ROOT / "golden" / "metrics"
HAS_SETS = (FOLDER / "official.json").exists()
SETS = sorted(json.loads((FOLDER / "official.json").read_text())["sets"]) if HAS_SETS else ["absent"]
EMPTY_OR_NOT_FINITE = {"nan", "inf", "bona_only", "spoof_only"}
CLLR_OVERFLOWS = {"extreme", "big_offset"}  # the official code gives inf; ours is finite
LA21_ATTACKS = [f"A{k:02d}" for k in range(7, 20)]


@functools.cache
def official(kind):
    return json.loads(shared("golden", "metrics", *kind).read_text())


@functools.cache
def rows(*parts):
    with gzip.open(shared("golden", "metrics", *parts), "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def pick(table, column="score", **where):
    return np.array([float(r[column]) for r in table if all(r[k] in v for k, v in where.items())])


def classes(table, column="score"):
    return pick(table, column, label=["bonafide"]), pick(table, column, label=["spoof"])


@functools.cache
def verifier(name):
    table = rows("sets", f"{name}.tsv.gz")
    return metrics.asv_rates(*(pick(table, label=[word]) for word in ("target", "nontarget", "spoof")))


def number(value):
    return float(value) if isinstance(value, str) else value


def same(found, wanted, tolerance):
    wanted = number(wanted)
    assert (math.isnan(found) and math.isnan(wanted)) or abs(found - wanted) <= tolerance, (found, wanted)


@pytest.mark.parametrize("name", [n for n in SETS if n not in EMPTY_OR_NOT_FINITE])
def test_synthetic_set(name):
    wanted = {k: v.get("value") for k, v in official(("official.json",))["sets"][name]["results"].items()}
    scores = metrics.rank(*classes(rows("sets", f"{name}.tsv.gz")))
    rate, threshold = metrics.eer(scores)
    for package in ("eer_2019", "eer_2021", "eer_asvspoof5", "eer_ctrsvdd"):
        same(rate, wanted[package]["eer"], 1e-12)
        assert threshold == wanted[package]["threshold"]
    same(metrics.eer_tie_safe(scores)[0], wanted["eer_reference_own"]["tie_collapsed_interpolated"], 1e-12)
    same(metrics.auc(scores), wanted["auc_sklearn"], 1e-9)
    value, threshold = metrics.min_dcf(scores)
    same(value, wanted["mindcf_asvspoof5"]["minDCF"], 1e-12)
    assert threshold == wanted["mindcf_asvspoof5"]["threshold"]
    same(metrics.act_dcf(scores), wanted["track1_asvspoof5"]["actDCF"], 1e-12)
    if name in CLLR_OVERFLOWS:
        assert number(wanted["track1_asvspoof5"]["cllr"]) == math.inf
        assert math.isfinite(metrics.cllr(scores))
    else:
        same(metrics.cllr(scores), wanted["track1_asvspoof5"]["cllr"], 1e-9)


TDCF = [("min_tdcf_asvspoof5_default_asv", None, "2021")] + [
    (f"min_tdcf_{form}_{asv}", asv, form) for form in ("2019", "2021") for asv in ("asv_normal", "asv_rejects_spoof")
]


@pytest.mark.parametrize("key, asv, form", TDCF)
@pytest.mark.parametrize("name", [n for n in SETS if n not in EMPTY_OR_NOT_FINITE])
def test_min_tdcf_of_synthetic_set(name, key, asv, form):
    wanted = official(("official.json",))["sets"][name]["results"][key]
    rates = verifier(asv) if asv else metrics.ASVSPOOF5_ASV
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value, threshold = metrics.min_tdcf(*classes(rows("sets", f"{name}.tsv.gz")), rates, form=form)
    if "error" in wanted:  # the public program ends itself; ours says there is no value
        assert (value, threshold) == (None, None)
        assert caught
    else:
        same(value, wanted["value"]["min"], 1e-9)
        assert threshold == wanted["value"]["threshold"]


@pytest.mark.parametrize("name", sorted(EMPTY_OR_NOT_FINITE))
def test_sets_without_a_value_are_refused(name):
    with pytest.raises(ValueError, match=r"not finite|no (bona fide|spoof) scores"):
        metrics.rank(*classes(rows("sets", f"{name}.tsv.gz")))


@pytest.mark.parametrize("name", ["asv_normal", "asv_rejects_spoof"])
def test_verifier(name):
    wanted, rates = official(("official.json",))["asv"][name], verifier(name)
    assert (rates.p_fa, rates.p_miss, rates.p_fa_spoof) == tuple(wanted[k] for k in ("Pfa", "Pmiss", "Pfa_spoof"))
    assert metrics.tdcf_weights(rates, form="2021") == pytest.approx([wanted[k] for k in ("C0", "C1", "C2")], abs=1e-12)


@pytest.mark.parametrize("subset", ["eval", "progress", "hidden"])
def test_attack_by_codec_table_of_2021_la(subset):
    wanted = official(("keyed", "official.json"))[f"2021_LA_{subset}"]
    cm = [r for r in rows("keyed", "la21_cm.tsv.gz") if r["subset"] == subset]
    asv = [r for r in rows("keyed", "la21_asv.tsv.gz") if r["subset"] == subset]
    codecs = {c: [c] for c in wanted["cols"][:-1]} | {"Pooled": wanted["cols"][:-1]}
    for i, attack in enumerate(wanted["rows"]):
        attacks = LA21_ATTACKS if attack == "Pooled" else [attack]
        for j, (name, codec) in enumerate(codecs.items()):
            cell = metrics.rank(
                pick(cm, label=["bonafide"], codec=codec), pick(cm, label=["spoof"], codec=codec, attack=attacks)
            )
            rates = metrics.asv_rates(
                pick(asv, label=["target"], codec=codec),
                pick(asv, label=["nontarget"], codec=codec),
                pick(asv, label=["spoof"], codec=codec, attack=attacks),
            )
            same(metrics.eer(cell)[0], wanted["eer"][i][j], 1e-12)
            same(metrics.min_tdcf(cell, asv=rates, form="2021")[0], wanted["min_tdcf"][i][j], 1e-9)
            if attack in wanted["C012"]:
                weights = wanted["C012"][attack][name]
                assert metrics.tdcf_weights(rates, form="2021") == pytest.approx(weights, abs=1e-12)


def test_a_run_of_2021_la_has_the_official_t_dcf_in_every_cell():
    wanted = official(("keyed", "official.json"))["2021_LA_eval"]
    cm, asv = ([r for r in rows("keyed", f"la21_{k}.tsv.gz") if r["subset"] == "eval"] for k in ("cm", "asv"))
    columns = [[r[name] for r in cm] for name in ("trial", "label", "attack", "codec", "score")]
    attack = [None if label == "bonafide" else a for label, a in zip(columns[1], columns[2])]
    table = pa.table({
        "role": ["test"] * len(cm), "subset": ["eval"] * len(cm), "utt_id": columns[0], "label": columns[1],
        "attack": pa.array(attack), "codec": columns[3], "score": [float(s) for s in columns[4]],
    })  # fmt: skip
    rates = cell_rates(
        *(np.array([r[name] for r in asv]) for name in ("label", "attack", "codec", "score")),
        LA21_ATTACKS, sorted(set(columns[3])),
    )  # fmt: skip
    done = measure("run", table, asked=["min_tdcf_2021"], asv={"eval": rates}, replicates=2)
    found = {(c.level, c.level_2): c.value for c in done.breakdowns if c.metric == "min_tdcf_2021"}
    whole = next(r.value for r in done.results if r.metric == "min_tdcf_2021")
    assert len(found) == (len(LA21_ATTACKS) + 1) * (len(wanted["cols"])) - 1
    for i, attack in enumerate(wanted["rows"]):
        for j, codec in enumerate(wanted["cols"]):
            level = [word for word in (attack, codec) if word != "Pooled"]
            value = found[(*level, None, None)[:2]] if level else whole
            same(value, wanted["min_tdcf"][i][j], 1e-9)


@pytest.mark.parametrize("codec", ["alaw", "opus"])
def test_a_subset_of_one_codec_has_the_t_dcf_of_its_column(codec):
    """The verifier is measured on the trials of that codec, too, not on all of them."""
    wanted = official(("keyed", "official.json"))["2021_LA_eval"]
    cm = [r for r in rows("keyed", "la21_cm.tsv.gz") if r["subset"] == "eval" and r["codec"] == codec]
    asv = [r for r in rows("keyed", "la21_asv.tsv.gz") if r["subset"] == "eval"]
    table = pa.table({
        "role": ["test"] * len(cm), "subset": [codec] * len(cm), "utt_id": [r["trial"] for r in cm],
        "label": [r["label"] for r in cm], "score": [float(r["score"]) for r in cm],
        "attack": pa.array([None if r["label"] == "bonafide" else r["attack"] for r in cm]),
    })  # fmt: skip
    columns = (np.array([r[name] for r in asv]) for name in ("label", "attack", "codec", "score"))
    rates = cell_rates(*columns, LA21_ATTACKS, [codec])
    done = measure("run", table, asked=["min_tdcf_2021"], asv={codec: rates}, replicates=2)
    column = wanted["cols"].index(codec)
    (whole,) = (r.value for r in done.results if r.metric == "min_tdcf_2021")
    same(whole, wanted["min_tdcf"][wanted["rows"].index("Pooled")][column], 1e-9)
    cells = {c.level: c.value for c in done.breakdowns if c.metric == "min_tdcf_2021"}
    assert len(cells) == len(LA21_ATTACKS)
    for attack, value in cells.items():
        same(value, wanted["min_tdcf"][wanted["rows"].index(attack)][column], 1e-9)


@pytest.mark.parametrize("subset", ["eval", "progress", "hidden"])
def test_vocoder_by_codec_table_of_2021_df(subset):
    wanted = official(("keyed", "official.json"))[f"2021_DF_{subset}"]
    table = [r for r in rows("keyed", "df21_cm.tsv.gz") if r["subset"] == subset]
    vocoders = wanted["rows"][:-1]
    for i, vocoder in enumerate(wanted["rows"]):
        for j, codec in enumerate(wanted["cols"]):
            codecs = wanted["cols"][:-1] if codec == "Pooled" else [codec]
            bonafide = pick(table, label=["bonafide"], compr=codecs)
            kinds = vocoders if vocoder == "Pooled" else [vocoder]
            spoof = pick(table, label=["spoof"], compr=codecs, vocoder=kinds)
            if wanted["eer"][i][j] is None:  # an empty cell
                with pytest.raises(ValueError, match=r"no .* scores"):
                    metrics.eer(bonafide, spoof)
            else:
                same(metrics.eer(bonafide, spoof)[0], wanted["eer"][i][j], 1e-12)


def test_attack_by_codec_table_of_asvspoof5_track_1():
    wanted = official(("keyed", "official.json"))["asvspoof5_track1"]
    table = rows("keyed", "asv5_sasv.tsv.gz")
    codecs, attacks = wanted["cols"][1:], wanted["rows"][1:]
    for i, attack in enumerate(wanted["rows"]):
        for j, codec in enumerate(wanted["cols"]):
            column = codecs if codec == "pooled" else [codec]
            cell = metrics.rank(
                pick(table, "cm_score", cm_label=["bonafide"], codec=column),
                pick(table, "cm_score", cm_label=["spoof"], codec=column,
                     attack=attacks if attack == "pooled" else [attack]),
            )  # fmt: skip
            same(metrics.min_dcf(cell)[0], wanted["minDCF"][i][j], 1e-12)
            same(metrics.act_dcf(cell), wanted["actDCF"][i][j], 1e-12)
            same(metrics.eer(cell)[0], wanted["eer"][i][j], 1e-12)
            same(metrics.cllr(cell), wanted["cllr"][i][j], 1e-9)


def test_asvspoof5_track_2():
    wanted = official(("keyed", "official.json"))["asvspoof5_track2"]
    table = rows("keyed", "asv5_sasv.tsv.gz")
    cm, asv, sasv = (
        [pick(table, column, asv_label=[word]) for word in ("target", "nontarget", "spoof")]
        for column in ("cm_score", "asv_score", "sasv_score")
    )
    value, threshold = metrics.a_dcf(*sasv)
    same(value, wanted["a_dcf"], 1e-12)
    assert threshold == wanted["a_dcf_threshold"]
    same(metrics.a_dcf(*sasv, costs=A_DCF_LIBRARY_COSTS)[0], wanted["a_dcf_library_default_costs"], 1e-12)
    detector = metrics.rank(np.concatenate(cm[:2]), cm[2])
    rates = metrics.asv_rates(*asv)
    assert rates.p_fa == wanted["asv_rates"]["Pfa_non"]
    tandem = functools.partial(metrics.min_tdcf, detector, form="2021")
    same(tandem(asv=metrics.ASVSPOOF5_ASV)[0], wanted["min_tdcf_default_asv"], 1e-9)
    same(tandem(asv=rates)[0], wanted["min_tdcf_with_given_asv_corrected"], 1e-9)
    same(tandem(asv=rates, compat=True)[0], wanted["min_tdcf_with_given_asv_as_shipped"], 1e-9)
    same(metrics.t_eer(detector, None, *asv), wanted["t_eer_exhaustive_percent"], 1e-9)


@pytest.mark.parametrize("name", ["resnet18_softmax", "resnet18_ocsoftmax"])
def test_published_scores_on_2019_la(name):
    wanted = official(("real", "official.json"))[f"asvspoof2019_la_eval_{name}"]
    table = rows("real", f"asvspoof2019_la_eval_{name}.tsv.gz")
    sign = -1 if name == "resnet18_ocsoftmax" else 1
    bonafide, spoof = (sign * side for side in classes(table))
    scores = metrics.rank(bonafide, spoof)
    same(metrics.eer(scores)[0], wanted["eer"], 1e-12)
    assert metrics.eer(scores)[1] == wanted["eer_threshold"]
    same(metrics.auc(scores), wanted["auc"], 1e-9)
    asv = rows("real", "asvspoof2019_la_eval_asv.tsv.gz")
    rates = metrics.asv_rates(*(pick(asv, label=[word]) for word in ("target", "nontarget", "spoof")))
    same(metrics.min_tdcf(scores, asv=rates, form="2019")[0], wanted["min_tdcf_2019"], 1e-9)
    same(metrics.min_tdcf(scores, asv=rates, form="2021")[0], wanted["min_tdcf_2021_form"], 1e-9)
    track1(scores, wanted["asvspoof5_track1"])
    for attack, cell in wanted["per_attack"].items():
        same(metrics.eer(bonafide, sign * pick(table, attack=[attack]))[0], cell["eer"], 1e-12)


def track1(scores, wanted):
    same(metrics.min_dcf(scores)[0], wanted["minDCF"], 1e-12)
    same(metrics.act_dcf(scores), wanted["actDCF"], 1e-12)
    same(metrics.eer(scores)[0], wanted["eer"], 1e-12)
    same(metrics.cllr(scores), wanted["cllr"], 1e-9)


@pytest.mark.parametrize("name", ["w2v2_erm", "wavlm_dann"])
def test_published_scores_on_asvspoof5(name):
    wanted = official(("real", "official.json"))[f"asvspoof5_eval_subset_{name}"]
    table = sorted(rows("real", f"asvspoof5_eval_subset_{name}.tsv.gz"), key=lambda r: r["codec"])
    bonafide, spoof = classes(table)
    track1(metrics.rank(bonafide, spoof), wanted["pooled"])
    same(metrics.auc(bonafide, spoof), wanted["auc"], 1e-9)
    for attack, cell in wanted["per_attack"].items():
        track1(metrics.rank(bonafide, pick(table, attack=[attack])), cell)
    for codec, group in groupby(table, key=lambda r: r["codec"]):
        track1(metrics.rank(*classes(list(group))), wanted["per_codec"][codec])


def test_published_scores_on_in_the_wild():
    wanted = official(("real", "official.json"))["in_the_wild_xlsr_mamba"]
    scores = metrics.rank(*classes(rows("real", "in_the_wild_xlsr_mamba.tsv.gz")))
    track1(scores, wanted["asvspoof5_track1"])
    assert metrics.eer(scores)[1] == wanted["eer_threshold"]
    same(metrics.auc(scores), wanted["auc"], 1e-9)


def test_published_scores_of_asvspoof5_sasv():
    wanted = official(("real", "official.json"))["asvspoof5_dev_sasv_demo"]
    table = rows("real", "asvspoof5_dev_sasv_demo.tsv.gz")
    cm, asv = (
        [pick(table, column, label=[word]) for word in ("target", "nontarget", "spoof")]
        for column in ("cm_score", "asv_score")
    )
    same(metrics.a_dcf(*(v + 0.05 * c for v, c in zip(asv, cm)))[0], wanted["a_dcf"], 1e-12)
    detector = metrics.rank(np.concatenate(cm[:2]), cm[2])
    track1(detector, wanted["cm_track1"])
    tandem = metrics.min_tdcf(detector, asv=metrics.ASVSPOOF5_ASV, form="2021")[0]
    same(tandem, wanted["min_tdcf_default_asv"], 1e-9)
    same(metrics.t_eer(detector, None, *asv), wanted["t_eer_percent_accelerated"], 1e-9)
