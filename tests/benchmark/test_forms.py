"""The comparison of forms on a catalog's clips: equal where they must be, unequal where a form is broken."""

import pytest

from benchmark import forms
from benchmark.__main__ import main
from benchmark.detectors.lfcc_lcnn_s import LfccLcnnS
from ingest.types import DataError


def test_both_forms_rank_the_clips_alike(made):
    rows = forms.compare(made[1], "lfcc_lcnn_s", every=3)
    assert rows[-1].corpus == "all" and rows[-1].bonafide > 0 and rows[-1].spoof > 0
    assert rows[-1].bonafide == sum(row.bonafide for row in rows[:-1])
    for row in rows:
        assert row.eer_fast_pct == row.eer_plain_pct and row.difference < 1e-4


def test_a_form_that_computes_something_else_shows(made, monkeypatch):
    score = LfccLcnnS.score
    monkeypatch.setattr(LfccLcnnS, "score", lambda self, x: score(self, x) * (1 if self.fast else -1))
    rows = forms.compare(made[1], "lfcc_lcnn_s", every=3)
    assert rows[-1].difference > 0.01


def test_the_command_prints_a_row_per_corpus(made, capsys):
    assert main(["forms", "--data", str(made[1]), "--detector", "mean_pool", "--every", "2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("corpus") and shown[-1].startswith("all ")


def test_too_few_clips_are_refused(made):
    with pytest.raises(DataError, match="do not hold both classes"):
        forms.compare(made[1], "mean_pool", every=10**6)
    with pytest.raises(DataError, match="--every 0 is not a positive number"):
        main(["forms", "--data", str(made[1]), "--detector", "mean_pool", "--every", "0"])
