"""The figures of a score file, and what they leave out."""

import numpy as np
import pyarrow as pa
import pytest

from reports import rescore_figures
from reports.__main__ import main


def test_figures_of_a_score_file(tmp_path, capsys):
    path = tmp_path / "scores.txt"
    lines = [f"u{k} {0.9 - k / 50} bonafide - C0{k % 2}\n" for k in range(20)]
    lines += [f"v{k} {k / 40} spoof A0{k % 3} C0{k % 2}\n" for k in range(20)]
    path.write_text("file score label attack codec\n" + "".join(lines))
    assert main(["rescore", str(path), "--data", str(tmp_path), "--figures", str(tmp_path / "plots")]) == 0
    names = {"det", "reliability", "scores-all", "attack", "codec"}
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {f"{n}.{kind}" for n in names for kind in ("png", "svg")}
    said = capsys.readouterr().err
    assert "all: probabilities" in said and "drawn in" in said
    drawn = (tmp_path / "plots" / "attack.svg").read_text()
    assert all(attack in drawn for attack in ("A00", "A01", "A02"))


def test_subsets_of_one_attack_are_no_bars_of_their_own():
    rows = [("eval", "A1", 0.1), ("eval", "A2", 0.2), ("A1", "A1", 0.1), ("A2", "A2", 0.2)]
    columns = dict(zip(("subset", "level", "value"), map(list, zip(*rows))))
    table = pa.table({**columns, "factor": ["attack"] * 4, "metric": ["eer"] * 4})
    (axes,) = rescore_figures._bars(table, "attack", ["eval", "A1", "A2"]).axes
    assert axes.get_legend_handles_labels()[1] == ["eval"]
    assert [bar.get_width() for bar in axes.patches] == [10, 20]
    assert rescore_figures._bars(table, "attack", ["A1", "A2"]) is None


def test_what_is_not_drawn_is_said(tmp_path, capsys):
    path = tmp_path / "scores.csv"
    lines = [
        f"{label}{s}{k},{k},{label},A{k:02},s{s}\n"
        for s in range(9)
        for k in range(25)
        for label in ("bonafide", "spoof")
    ]
    path.write_text("file,score,label,attack,subset\n" + "".join(lines))
    assert main(["rescore", str(path), "--data", str(tmp_path), "--figures", str(tmp_path / "plots")]) == 0
    said = capsys.readouterr().err
    assert "of 9 subsets the 8 with the most trials are drawn\n" in said
    assert "of 25 values of attack the first 24 are drawn\n" in said


def test_probabilities_become_log_odds_for_reliability_only():
    both = rescore_figures.ratios(np.array([0.5, 1.0]), np.array([0.0, 0.25]))
    assert both[0][0] == 0 and both[0][1] > 20 and both[1][1] == pytest.approx(-np.log(3))
    turned = rescore_figures.ratios(np.array([-0.5, 0.0]), np.array([-1.0, -0.75]))  # of spoof, times -1
    assert [part.tolist() for part in turned] == [part.tolist() for part in both]
    logits = (np.array([2.0]), np.array([-1.0]))
    assert rescore_figures.ratios(*logits) == logits
    logits = (np.array([0.5]), np.array([-0.5]))
    assert rescore_figures.ratios(*logits) == logits
