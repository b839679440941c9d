import re

import pytest
import trained_run

from benchmark import card, export
from ingest import catalog
from ingest.types import DataError
from reports import __main__ as reports
from reports import cards


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder / "data", trained_run.make(folder)


def test_the_card_is_that_of_the_export(made, tmp_path, capsys):
    data, run_id = made
    export.export(data, run_id, tmp_path / "model")
    assert reports.main(["card", run_id, "--data", str(data), "--output", str(tmp_path / "card.md")]) == 0
    assert (tmp_path / "card.md").read_text() == (tmp_path / "model" / "README.md").read_text()


def test_the_datasheet_counts_what_the_catalog_holds(made, capsys):
    data, _ = made
    assert reports.main(["datasheet", "--data", str(data)]) == 0
    text = capsys.readouterr().out
    assert "| T | own | speech | 132 | 132 |" in text and "simulated" in text
    for line in (
        "| (none) | bonafide | 60 |  |  |",
        "| en | 60 | 72 | 0 |",
        "| melgan | 0 | 12 | 0 |",
        "| (bona fide) | 60 | 0 | 0 |",
        "| 16000 |",
    ):
        assert line in text
    assert "Not given by this corpus: gender, codec." in text
    assert "Licence: own." in text and "### What ingest noticed\n\nNothing." in text


def test_findings_and_other_counts_are_in_the_datasheet(made, tmp_path):
    import shutil

    shutil.copytree(made[0], tmp_path / "data")
    with catalog.connect(tmp_path / "data" / "catalog.duckdb", read_only=False) as con:
        con.execute("INSERT INTO finding VALUES ('librisevoc', 'corrupt', 'x|y.wav', 'truncated | damaged')")
        con.execute(
            "INSERT INTO expected_count VALUES ('librisevoc', NULL, NULL, NULL, 'spoof', 79206, 72, 'S', 'paper')"
        )
    text = cards.datasheet(tmp_path / "data", ["librisevoc"])
    assert "| corrupt | 1 | truncated \\| damaged |" in text and "| (all) | spoof | 79206 | 72 |" in text
    assert text == cards.datasheet(tmp_path / "data", ["librisevoc"])


def test_the_card_tells_what_was_heard_and_what_is_not_known(made):
    from dataclasses import replace

    from benchmark import trained

    data, run_id = made
    found = trained.from_run(data, run_id)
    text = card.model(data, found)
    assert "| attacks heard |" in text and "diffwave, melgan" in text
    for factor in card.ALWAYS:
        assert f"### By {factor}\n" in text
    assert "### By gender\n\nNot known" in text
    errors = text.split("## Error\n")[1].split("###")[0]
    told = [row.split(" | ")[3] for row in errors.splitlines() if row.startswith("| ")][2:]
    assert told and all(re.fullmatch(r"\d+\.\d\d", eer) for eer in told)  # as the leaderboard writes them
    assert "Training began" not in text and "pretrained" not in text
    provenance = {**found.provenance, "started_from": "ab" * 32}
    text = card.model(data, replace(found, provenance=provenance, config={"weights": "someone/wav2vec2"}))
    assert f"began from a weight file (sha256 `{'ab' * 32}`)" in text and "(`someone/wav2vec2`) was pretrained" in text
    provenance = {**found.provenance, "backbone_sha256": "cd" * 32}
    text = card.model(data, replace(found, provenance=provenance))  # weights of the hub's cache
    assert f"A part of the network (sha256 `{'cd' * 32}`) was pretrained" in text


def test_too_few_trials_for_an_error_rate_are_told():
    import duckdb

    with duckdb.connect() as con:
        con.execute("CREATE TABLE breakdown (run_id TEXT, factor TEXT, level TEXT, factor_2 TEXT, metric TEXT, "
                    "n_bonafide INTEGER, n_spoof INTEGER)")  # fmt: skip
        con.execute("INSERT INTO breakdown VALUES ('r', 'duration', 'under 2 s', NULL, 'eer', 3, 1), "
                    "('r', 'duration', 'under 2 s', NULL, 'eer', 2, 4), ('r', 'duration', '2 to 4 s', NULL, 'eer', 15, 0)")  # fmt: skip
        assert card._why_none(con, "r", "duration") == (
            "Too few trials for an error rate: 2 to 4 s (15 bona fide, 0 spoof), under 2 s (3 bona fide, 4 spoof)."
        )
        assert card._why_none(con, "r", "gender").startswith("Not known: ")


def test_unknown_runs_and_corpora_are_one_line(made):
    with pytest.raises(DataError, match="unknown run"):
        cards.model(made[0], "inner-librisevoc-mean_pool-s1-abc")
    with pytest.raises(DataError, match="did you mean librisevoc"):
        cards.datasheet(made[0], ["librisevox"])


def test_a_corpus_that_siren_made_is_none_of_its_name():
    made = {"title": "LibriSeVoc", "simulated": True}
    assert card._title(made) == "LibriSeVoc (simulated)" and card._title({**made, "simulated": False}) == "LibriSeVoc"
