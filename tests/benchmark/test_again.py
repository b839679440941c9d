"""The command of a cell gives that cell again: its words through the parser, to the same run."""

import shlex
from dataclasses import replace

import pytest
import synthetic_catalog

from benchmark import again, cells, run_cli, settings
from benchmark.__main__ import main

CASES = [
    ("mean_pool", {}),
    ("mean_pool", {"lr": 0.5, "schedule": {"name": "step", "every": 2, "factor": 0.5}, "swa": True}),
    ("mean_pool", {"balance": "none", "optimizer": "sgd", "samples": 800, "short": "zero"}),
    ("mean_pool", {"clip_norm": 1, "schedule": {"name": "cosine_per_epoch", "period": 2.0, "min_lr": 0}}),
    ("sfatnet", {"schedule": {"name": "cosine_per_epoch", "period": 2, "min_lr": 0}}),  # its own, but for the 0.0
    ("lfcc_gmm", {"components": 4}),
    ("aasist", {"outputs": 1}),
    ("aasist", {"samples": 32_000, "test_crop": "first"}),
    ("w2v2_two_stage", {"weights": "random", "small": True, "lr": 1e-3}),
    ("w2v2_two_stage", {"weights": "random", "small": True, "phases": []}),
    ("uniaudio", {"weights": "random", "small": True, "stages": 2, "tau": [2.0, 1.0], "clip_norm": 1.0}),
]


@pytest.fixture(scope="module")
def con():
    return synthetic_catalog.connect(ids=10)


def asked(words, monkeypatch):
    """What the options of a command line ask for."""
    found = []
    monkeypatch.setattr(run_cli, "_run", lambda arguments: found.append(run_cli._request(arguments)) or 0)
    python, m, benchmark, *rest = words
    assert (python, m, benchmark) == ("python", "-m", "benchmark") and main(rest) == 0
    return found[0]


@pytest.mark.parametrize(("detector", "chosen"), CASES)
@pytest.mark.parametrize("protocol", ["inner/decro_en", "official/asvspoof2019_la"])  # with a clip and balance, without
def test_the_command_of_a_cell_gives_that_cell(con, protocol, detector, chosen, tmp_path, monkeypatch):
    on = cells.trials(con, protocol, partial=True)
    (cell,) = cells.resolve({protocol: on}, [detector], [3], assignments={"": chosen})
    words = shlex.split(again.command(cell, on, data=tmp_path / "my data", lists=tmp_path / "lists"))
    request = asked(words, monkeypatch)
    assert words[words.index("--data") + 1] == str(tmp_path / "my data") and request.lists == tmp_path / "lists"
    assert (request.protocols, request.seeds, request.partial) == ((protocol,), (3,), on.partial)
    found = cells.resolve({protocol: on}, request.detectors, request.seeds, assignments=request.assignments)
    assert [c.run_id for c in found] == [cell.run_id]
    assert chosen or "--set" not in words  # nothing is said that goes without saying


def test_the_command_of_a_cell_that_scores_weights(con, tmp_path, monkeypatch):
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"weights")
    on = replace(cells.trials(con, "inner/decro_en", partial=True), partial=True)
    how = settings.resolve("mean_pool", {"": {"bands": 40}}, clip=None, weights="abc")
    cell = cells.cell("inner/decro_en", on, how, 0, False)
    words = shlex.split(again.command(cell, on, data=tmp_path, weights=weights))
    request = asked(words, monkeypatch)
    assert not request.trained and request.partial and request.assignments == {"": {"bands": 40}}
    assert words[words.index("--weights") + 1] == str(weights)
