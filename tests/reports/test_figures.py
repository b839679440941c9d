"""Figures: the numbers that are drawn, the same bytes again, both themes, and plain words where a figure is missing."""

import json
import re
import shutil
import types
import xml.etree.ElementTree as ET

import made_results
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import trained_run
import waiting
from matplotlib.text import Text
from scipy.special import ndtr

from benchmark import gradcam, metrics, results
from ingest import catalog
from ingest.types import DataError
from reports import figures, latent, plots
from reports.__main__ import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_results.collected(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def con(data):
    with figures.opened(data) as con:
        yield con


DRAWINGS = {
    "det": lambda: plots.det({"a": (np.array([1.0, 2, 3]), np.array([0.0, 1.5])), "b": (np.ones(4), np.zeros(4))}),
    "histogram": lambda: plots.histogram(np.array([1.0, 2]), np.array([0.0, 1]), threshold=0.5),
    "histogram of a constant": lambda: plots.histogram(np.ones(3), np.ones(3)),
    "heat": lambda: plots.heat(["a", "b"], ["x"], np.array([[1.0], [np.nan]])),
    "empty heat": lambda: plots.heat(["a"], ["x"], np.array([[np.nan]])),
    "bars": lambda: plots.bars(["A01"], {"d": [None], "e": [3.0]}, marks={"e": [2.0]}),
    "curves": lambda: plots.curves({"loss": [(1, 2.0), (2, 1.0)]}),
    "scatter": lambda: plots.scatter([("a & b", 1.0, 2.0)], x="ms"),
    "reliability": lambda: plots.reliability({"a": (np.array([2.0, 3.0]), np.array([-2.0]))}),
    "cloud": lambda: plots.cloud(np.eye(2), ["bona fide", "A01"]),
    "maps": lambda: plots.maps({"bona fide": [np.eye(3), np.eye(3)]}, ["spectrogram", "content"]),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_drawing_is_the_same_again_and_takes_the_readers_ink(tmp_path, name):
    figure = DRAWINGS[name]()
    first = plots.svg(figure, name)
    plots.write(figure, tmp_path / "one")
    plots.write(DRAWINGS[name](), tmp_path / "two" / "one")
    assert plots.svg(DRAWINGS[name](), name) == first == plots.svg(figure, name)
    for kind in ("one.svg", "one.png"):
        assert (tmp_path / kind).read_bytes() == (tmp_path / "two" / kind).read_bytes()
    ET.fromstring(first)
    assert "currentColor" in first
    assert plots.INK not in first
    assert not re.search(r"(href|src)=\"(?!#)|url\((?!#)|<metadata|<script", first.replace("data:image/png", "#"))
    assert "prefers-color-scheme:dark" in (tmp_path / "one.svg").read_text()


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def test_a_bar_of_nothing_is_told_from_one_that_is_missing():
    figure = plots.bars(["A01", "A02"], {"d": [None, 0.0], "e": [3.0, 4.0]})
    assert {"none", "0"} <= set(texts(figure))
    assert "none" not in texts(plots.bars(["A01"], {"e": [3.0]}))


def test_published_marks_lie_on_the_bars_of_their_series():
    figure = plots.bars(["a", "b"], {"x": [1.0, 2.0], "y": [3.0, 4.0]}, marks={"x": [None, None], "y": [5.0, None]})
    (axes,) = figure.axes
    (marks,) = axes.collections
    bar = axes.containers[1].patches[0]
    assert marks.get_offsets().tolist() == [[5.0, pytest.approx(bar.get_y() + bar.get_height() / 2)]]
    assert "published" in texts(figure)
    assert "published" not in texts(plots.bars(["a"], {"x": [1.0]}, marks={"x": [None]}))


def test_nothing_of_a_drawing_is_cut_off():
    rng = np.random.default_rng(0)
    far = plots.histogram(np.linspace(0, 7, 20) ** 0.2, rng.normal(-1, 1, 30), threshold=0.0)
    far.axes[0].set_yticks([0.175])
    wide = plots.scatter([("a", 40.0, 2.0), ("b", 3e8, 4.0)], x="parameters")
    long = plots.bars(["a_level_with_quite_a_long_name"], {"a detector with a long name as well": [3.0]})
    for figure in (far, wide, long, *(DRAWINGS[name]() for name in ("det", "heat", "curves", "reliability"))):
        figure.draw_without_rendering()
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert drawn.x0 >= 0 and drawn.y0 >= 0
        assert drawn.x1 <= width and drawn.y1 <= height


@pytest.mark.parametrize("value, text", [(0.01, "0.01"), (1000, "1000"), (10_000, "10 k"), (1e6, "1 M"), (3e9, "3 G")])
def test_numbers_of_a_logarithmic_axis_stay_short(value, text):
    assert plots._short(value) == text


def test_a_histogram_takes_every_finite_score():
    largest = np.finfo(float).max
    (axes,) = plots.histogram(np.array([largest, 0.0]), np.array([-largest, 5e-324]), threshold=0.0).axes
    axes.figure.draw_without_rendering()


def test_det_points_by_hand():
    points = plots.det_points(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0]))
    # thresholds 0, 1, 2, 3, 4 and above all: bona fide below, spoof at or above
    assert points.miss.tolist() == [0, 0, 0.25, 0.5, 0.75, 1]
    assert points.false_alarm.tolist() == [1, 0.5, 0, 0, 0, 0]


def test_a_det_curve_crosses_where_the_eer_is():
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.normal(2, 1, 4000), rng.normal(0, 1, 4000)
    points = plots.det_points(bonafide, spoof)
    crossing = points.miss[np.argmin(abs(points.miss - points.false_alarm))]
    assert crossing == pytest.approx(metrics.eer(bonafide, spoof)[0], abs=0.01)


@pytest.mark.parametrize("bonafide, spoof", [
    ([1.0] * 50, [1.0] * 100), ([0.0] * 5 + [1.0] * 45, [0.0] * 60 + [1.0] * 40), ([1.0, 1.0, 2.0], [0.0, 1.0, 2.0]),
])  # fmt: skip
def test_a_det_curve_of_equal_scores_is_drawn_through_its_eer(bonafide, spoof):
    axes = plots.det({"d": (np.array(bonafide), np.array(spoof))}).axes[0]
    false_alarm, miss = ndtr(axes.lines[0].get_xydata().T)
    nearest = np.argmin(abs(miss - false_alarm))
    assert miss[nearest] == pytest.approx(metrics.eer_tie_safe(bonafide, spoof)[0], abs=0.02)


def test_a_det_curve_of_few_errors_has_points_there():
    rng = np.random.default_rng(0)
    points = plots.det_points(rng.normal(2.75, 1, 20_000), rng.normal(-2.75, 1, 20_000))
    assert ((points.miss > 0.0005) & (points.miss < 0.005)).sum() > 5
    assert ((points.false_alarm > 0.0005) & (points.false_alarm < 0.005)).sum() > 5


@pytest.mark.parametrize("costs", [(2.5, 7.5), (300_000, 500_000), (300, 310), (200, 6000), (90, 4e8)])
def test_a_cost_axis_has_numbers_however_near_its_points(costs):
    figure = plots.scatter([("a", costs[0], 10), ("b", costs[1], 5)], x="parameters")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    named = [tick for tick, label in zip(axes.get_xticks(), axes.get_xticklabels()) if label.get_text()]
    assert sum(low <= tick <= high for tick in named) >= 2


def test_letters_without_a_font_are_told_once(tmp_path, capfd, recwarn):
    """A warning with a path of this machine for each letter and file, and boxes in the PNG."""
    plots.write(plots.scatter([("\u58f0\u58f0 a\u00e9", 10, 10), ("b", 20, 5)], x="parameters"), tmp_path / "cost")
    said = capfd.readouterr().err
    assert said == "cost.png: no font for \u58f0, which are boxes there; cost.svg has them\n"
    assert "\u58f0\u58f0 a\u00e9" in (tmp_path / "cost.svg").read_text()


def test_a_mean_over_fewer_protocols_is_not_the_lowest_eer(tmp_path):
    """A detector that ran one easy protocol was said to be the best of all."""
    for protocol in ("inner/a", "inner/b"):
        made_results.add_run(tmp_path, "mean_pool", made_results.score_table(made_results.WEAK), protocol=protocol)
    made_results.add_run(tmp_path, "lfcc_gmm", made_results.score_table(made_results.GOOD), protocol="inner/a")
    results.collect(tmp_path)
    with figures.opened(tmp_path) as con:
        plot = next(plot for plot in figures.of_all(con) if plot.name == "cost-parameters")
    assert plot.text == (
        "2 detectors; cheapest is lfcc_gmm, lowest EER has mean_pool of those with a mean over 2 protocols. Means over "
        "other protocols do not compare."
    )
    words = {text.get_text() for text in plot.draw().findobj(Text)}
    assert {"lfcc_gmm (1 of 2 protocols)", "mean_pool"} <= words


def test_reliability_points_by_hand():
    nine = np.log(9.0)
    ratios = np.array([nine, nine, nine, -nine]), np.array([-nine, nine])
    predicted, observed, share = plots.reliability_points(*ratios)
    # at 0.1: a quarter of bona fide against half of spoof; at 0.9: three quarters against half
    assert predicted == pytest.approx([0.1, 0.9])
    assert observed == pytest.approx([1 / 3, 0.6])
    assert share == pytest.approx([0.375, 0.625])  # a bin of few trials says little of the average
    assert figures._gap(ratios) == pytest.approx(100 * (0.375 * (1 / 3 - 0.1) + 0.625 * (0.9 - 0.6)))


def test_the_plots_of_a_catalog_and_their_queries(con, data):
    found = {plot.name: plot for plot in figures.every(con, data)}
    protocol = "cross_method-librisevoc"
    assert {"heat", f"det-{protocol}", f"scores-{protocol}", f"reliability-{protocol}", "cost-parameters"} <= set(found)
    for plot in found.values():
        assert con.execute(plot.query).fetchall()
        assert plot.text.endswith(".")
    # lfcc_gmm is the better of the two; its runs have average EERs of 0.1875 and 0.4375, as near to the median
    assert found[f"det-{protocol}"].text.startswith(
        "EER of the runs nearest to the median: lfcc_gmm 18.75 %, mean_pool"
    )
    heat = con.execute(found["heat"].query).fetchall()
    assert ("cross_method/librisevoc", "easy", 31.25) not in heat
    assert next(row for row in heat if row[1] == "easy")[2] == pytest.approx(
        100 * np.median([np.median([0, 0.375]), 0.375]), abs=0.01
    )


def test_scores_are_each_utterance_once(data):
    run = "cross_method-librisevoc-mean_pool-s0-abc"
    bonafide, spoof = figures.scores(data, run, ["easy", "hard"])
    assert bonafide.tolist() == [-1.5, 1.0, 2.0, 3.0]  # shared by both subsets
    assert spoof.tolist() == [-2.0, -1.0, 1.5, 2.5]
    assert figures.scores(data, run, ["nothing"]) is None
    assert figures.scores(data, "no-such-run", ["easy"]) is None


def test_scores_of_variants_are_not_one_utterance(tmp_path):
    folder = tmp_path / "scores" / "r"
    folder.mkdir(parents=True)
    rows = [
        (v, f"u{k}", v, label, place + k)
        for v, place in (("mp3", 0.0), ("opus", 10.0))
        for k, label in enumerate(("bonafide", "spoof"))
    ]
    names = ("subset", "utt_id", "variant", "label", "score")
    columns = dict(zip(names, map(list, zip(*rows))))
    pq.write_table(pa.table({"role": ["test"] * 4, **columns}), folder / "scores.parquet")
    bonafide, spoof = figures.scores(tmp_path, "r", ["mp3", "opus"])
    assert (bonafide.tolist(), spoof.tolist()) == ([0.0, 10.0], [1.0, 11.0])


def test_what_was_trained_elsewhere_is_in_no_map_of_training_protocols(tmp_path):
    made_results.add_run(tmp_path, "lfcc_gmm", made_results.score_table(made_results.GOOD))
    made_results.add_run(
        tmp_path, "theirs", made_results.score_table(made_results.WEAK), external=True, trained=False, seed=None
    )
    with figures.opened(tmp_path) as con:
        (heat,) = [plot for plot in figures.every(con, tmp_path) if plot.name == "heat"]
        cells = con.execute(heat.query).fetchall()
        assert cells == con.execute(
            "SELECT protocol, subset, round(100 * value, 2) FROM leaderboard "
            "WHERE detector = 'lfcc_gmm' AND metric = 'eer' AND kind = 'subset' ORDER BY subset"
        ).fetchall()  # fmt: skip


def test_bars_are_of_the_largest_subset_that_holds_an_attack(tmp_path):
    """Not of a median over whole, codec and source subsets of one run."""
    whole = ([3.0, 2.0, 1.0, -1.5], {"melgan": [-1.0, -2.0, -3.0], "wavenet": [1.5, 2.5, 4.0]})
    made_results.add_run(
        tmp_path, "lfcc_gmm", made_results.score_table({"whole": whole, **made_results.GOOD}), averages={}, pooled={}
    )
    with figures.opened(tmp_path) as con:
        (plot,) = [p for p in figures.every(con, tmp_path) if p.name == "attack-cross_method-librisevoc"]
        rows = con.execute(plot.query).fetchall()
        wanted = con.execute(
            "SELECT level, 'lfcc_gmm', round(100 * value, 2), n_spoof FROM breakdown "
            "WHERE subset = 'whole' AND factor = 'attack' AND metric = 'eer' ORDER BY level"
        ).fetchall()
    assert rows == wanted and [row[3] for row in rows] == [3, 3]


def test_long_score_lists_are_thinned(data, monkeypatch):
    monkeypatch.setattr(figures, "TRIALS", 2)
    both = figures.scores(data, "cross_method-librisevoc-mean_pool-s0-abc", ["easy"])
    assert figures.thinned(both)[0].tolist() == [-1.5, 2.0]


def test_a_thinned_histogram_has_the_whole_counts_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "TRIALS", 1)
    made_results.add_run(
        tmp_path, "theirs", made_results.score_table({"eval": made_results.GOOD["easy"]}), external=True, trained=False,
        seed=None, averages={}, pooled={},
    )  # fmt: skip
    with figures.opened(tmp_path) as con:
        (plot,) = [plot for plot in figures.every(con, tmp_path) if plot.name.startswith("scores-")]
    assert plot.text.startswith("theirs (external): 4 bona fide with mean score 1.62, 2 spoof with mean score -1.50")


def test_the_command_writes_pairs_and_says_what_it_could_not_draw(data, capsys):
    assert main(["figures", "--data", str(data)]) == 0
    told = capsys.readouterr().out
    folder = data / "reports" / "figures"
    names = {path.stem for path in folder.glob("*.svg")}
    assert names == {path.stem for path in folder.glob("*.png")}
    assert "heat" in names
    assert f"gradcam: not drawn, no finished run of fd_add in {data}" in told
    assert "tsne-mean_pool: not drawn, " in told  # these runs have no weights


def test_others_can_ingest_while_figures_are_drawn(tmp_path, monkeypatch):
    made_results.collected(tmp_path)
    write, asked = plots.write, []

    def beside(*given):
        asked.append(waiting.can_write(tmp_path / "catalog.duckdb"))
        write(*given)

    monkeypatch.setattr(plots, "write", beside)
    figures.write(tmp_path)
    assert asked and all(asked)


def test_figures_of_runs_that_are_gone_are_removed(tmp_path):
    """They lay beside the new ones as if they were of the stored runs; what is not ours stays."""
    for detector in ("lfcc_gmm", "mean_pool"):
        made_results.add_run(tmp_path, detector, made_results.score_table(made_results.GOOD))
    figures.write(tmp_path)
    folder = tmp_path / "reports" / "figures"
    (folder / "tsne-lfcc_gmm.png").write_bytes(b"of before")
    (folder / "logo.png").write_bytes(b"the user's")
    for run in (tmp_path / "scores").glob("*lfcc_gmm*"):
        shutil.rmtree(run)
    before = {path.name for path in folder.iterdir()}
    told = figures.write(tmp_path)
    gone = before - {path.name for path in folder.iterdir()}
    assert "tsne-lfcc_gmm.png" in gone and "cost-parameters.svg" in gone and "logo.png" not in gone
    assert {line.split(":")[0] for line in told if ": removed, " in line} == gone


def test_every_figure_is_of_a_known_kind(con, data):
    found = [name for name, _ in latent.every(con, data)] + [plot.name for plot in figures.every(con, data)]
    assert {name.split("-")[0] for name in found} <= set(figures.KINDS)


def test_no_run_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match=r"does not exist|no finished run"):
        figures.opened(tmp_path)


def test_a_damaged_score_file_is_named(data, tmp_path):
    run = "cross_method-librisevoc-mean_pool-s0-abc"
    shutil.copytree(data / "scores" / run, tmp_path / "scores" / run)
    (tmp_path / "scores" / run / "scores.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match="run the cell again"):
        figures.scores(tmp_path, run, ["easy"])


@pytest.fixture(scope="module")
def decomposed(tmp_path_factory):
    """A finished run of a small fd_add."""
    own = {"weights": "random", "width": 4, "attacks": list(trained_run.ATTACKS), "pseudo_labels": "none"}
    folder = tmp_path_factory.mktemp("fd_add")
    run = trained_run.make(folder, "fd_add", own=own, each=4, train=0)
    return latent.Subject(folder / "data", run, per_class=3)


def test_latent_features_are_what_the_last_layer_reads(decomposed):
    found = latent.features(decomposed)
    assert found.shape == (len(decomposed.names), 2 * 8 * 4)
    row = decomposed.rows.slice(0, 1)
    batch = next(iter(decomposed.batches(row)))
    with torch.inference_mode():
        parts = decomposed.network.features(batch.x)
    assert found[0] == pytest.approx(torch.cat([parts.content, parts.synthesizer], 1)[0].numpy(), abs=1e-4)


def test_the_clips_are_a_few_of_each_class_bona_fide_first(decomposed):
    assert decomposed.names[0] == "bona fide"
    counts = {name: decomposed.names.count(name) for name in set(decomposed.names)}
    assert max(counts.values()) <= 3
    assert set(counts) <= {"bona fide", *trained_run.ATTACKS}


def test_tsne_is_the_same_again(decomposed):
    assert plots.svg(latent.tsne(decomposed), "t") == plots.svg(latent.tsne(decomposed), "t")


def test_gradcam_equals_the_formula(decomposed):
    network = decomposed.network
    batch = next(iter(decomposed.batches()))
    maps = gradcam.maps(network, batch.x[:1])
    assert set(maps) == {"content", "synthesizer"}
    assert all(
        m.shape == (1, batch.x.shape[2], batch.x.shape[1]) and m.min() >= 0 and m.max() <= 1 for m in maps.values()
    )
    # the stage's output moved along its channel weights must raise the score of "spoof"
    stage = network.feature_model.layer4_copy
    kept = {}
    hook = stage.register_forward_hook(lambda module, inputs, output: kept.setdefault("map", output))
    spoof = -network.score(batch.x[:1]).sum()
    hook.remove()
    weight = torch.autograd.grad(spoof, kept["map"])[0].mean((2, 3))[0]
    raw = (weight[:, None, None] * kept["map"][0]).sum(0).relu()
    brightest = np.unravel_index(maps["synthesizer"][0].argmax(), maps["synthesizer"][0].shape)
    scale = [full / small for full, small in zip(maps["synthesizer"][0].shape, raw.shape)]
    found = tuple(min(int(p / s), size - 1) for p, s, size in zip(brightest, scale, raw.shape))
    assert raw.max() == 0 or raw[found] >= 0.5 * raw.max()
    latent.gradcam(decomposed)


PAIRED = """
like = "inner/librisevoc"
[test.a_silence]
where     = "corpus = 'librisevoc' AND fold >= 0.8"
reference = { mode = "silence" }
[test.eval]
where     = "corpus = 'librisevoc' AND fold >= 0.8"
reference = { mode = "real" }
"""


def test_clips_are_drawn_with_the_references_that_they_were_scored_with(tmp_path):
    """Score files name none: all clips had the zero reference."""
    own = {"weights": "random", "small": True, "reference": "real"}
    run = trained_run.make(tmp_path, "rat", own=own, each=4, train=0)
    data = tmp_path / "data"
    (data / "protocols/inner").mkdir(parents=True)
    (data / "protocols/inner/paired.toml").write_text(PAIRED)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("UPDATE utterance SET speaker = 'ann'")
    about = json.loads((data / "scores" / run / "run.json").read_text())
    (data / "scores" / run / "run.json").write_text(json.dumps(about | {"protocol": "inner/paired"}))
    subject = latent.Subject(data, run, per_class=3)
    assert set(subject.rows["subset"].to_pylist()) == {"eval"}
    assert all(bool(batch.extra["reference_given"].all()) for batch in subject.batches())


def test_gate_weights_are_the_means_of_the_results():
    """They were means over a choice of the clips: no more than 300 of a class, and of eight classes."""
    test = {"eval": ([3.0, 2.0], {f"A{k:02}": [1.0, 0.0] for k in range(12)})}
    table = made_results.score_table(test)
    rng = np.random.default_rng(0)
    domain = rng.choice(["speech", "singing"], table.num_rows)
    table = table.append_column("domain", pa.array(domain))
    names = ("logmel", "mfcc", "w2v_rn")
    for name in names:
        table = table.append_column(f"gate_{name}", pa.array(rng.random(table.num_rows)))
    twice = pa.concat_tables([table, table.set_column(1, "subset", pa.array(["other"] * table.num_rows))])
    figure = latent.gates(types.SimpleNamespace(run_id="r", scored=twice))
    tested = np.array(table["role"].to_pylist()) == "test"
    for name, bars in zip(names, figure.axes[0].containers, strict=True):
        gate = table[f"gate_{name}"].to_numpy()
        wanted = [100 * gate[tested & (domain == word)].mean() for word in ("singing", "speech")]
        assert [bar.get_width() for bar in bars] == pytest.approx(wanted)
    with pytest.raises(DataError, match="its scores lack gate_mfcc; run the cell again"):
        latent.gates(types.SimpleNamespace(run_id="r", scored=table.drop_columns(["gate_mfcc"])))


def test_a_large_heat_map_leaves_its_numbers_to_the_table():
    small, large = (plots.svg(plots.heat(["r"] * n, ["c"] * n, np.full((n, n), 12.3)), "h") for n in (3, 13))
    assert small.count(">12.3<") == 9
    assert large.count(">12.3<") == 0


def test_labels_of_an_axis_keep_their_digits():
    figure = plots.curves({"loss": [(1, 0.0), (2, 0.15)]}, y="loss")
    figure.axes[0].set_yticks([0.025, 0.125], ["0.025", "0.125"])
    drawn = plots.svg(figure, "digits")
    assert ">0.025<" in drawn and ">0.125<" in drawn
    coordinates = re.findall(r'd="([^"]*)"', drawn)
    assert coordinates and not any(re.search(r"\.\d{3}", path) for path in coordinates)


def test_train_corpora_against_test_corpora_by_hand(tmp_path):
    table = made_results.score_table({"eval": made_results.GOOD["easy"], "other": made_results.WEAK["hard"]})
    other = np.array(table["subset"].to_pylist()) == "other"
    corpus = np.where(other, "decro", "librisevoc")
    language = np.where(other, "zh", "en")
    for name, words in (("corpus", corpus), ("language", language)):
        table = table.set_column(table.column_names.index(name), name, pa.array(words))
    made_results.add_run(tmp_path, "lfcc_gmm", table, averages={}, pooled={})
    with figures.opened(tmp_path) as con:
        plot = next(p for p in figures.of_all(con) if p.name == "transfer")
        rows = con.execute(plot.query).fetchall()
    hard = 100 * metrics.eer(*(made_results.WEAK["hard"][0], made_results.WEAK["hard"][1]["wavenet"]))[0]
    assert rows == [("librisevoc en", "decro zh", hard), ("librisevoc en", "librisevoc en", 0.0)]
    assert "1 train corpora by 2 test corpora" in plot.text


def test_a_map_draws_no_row_without_a_value_and_says_what_it_draws(tmp_path):
    shared = [f"s{number:02}" for number in range(figures.LEVELS)]
    for protocol, subsets in (("inner/decro_en", shared), ("inner/decro_zh", shared), ("inner/wavefake", ["z"])):
        table = made_results.score_table(dict.fromkeys(subsets, made_results.GOOD["hard"]))
        made_results.add_run(tmp_path, "aasist", table, protocol=protocol, scenario="inner", averages={}, pooled={})
    results.collect(tmp_path, replicates=2)
    with figures.opened(tmp_path) as con:
        text = next(plot.text for plot in figures.of_all(con) if "Drawn" in plot.text)
    assert text.startswith("3 protocols by 25 test subsets")
    assert text.endswith(" Drawn: 2 protocols and the 24 test subsets that most of them share.")
