import pytest
import trained_run

from benchmark import export
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
    for line in ("| (none) | bonafide | 60 | 0 | 0 |", "| en | 60 | 72 | 0 |", "| melgan | 0 | 12 | 0 |", "| 16000 |"):
        assert line in text
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


def test_unknown_runs_and_corpora_are_one_line(made):
    with pytest.raises(DataError, match="unknown run"):
        cards.model(made[0], "inner-librisevoc-mean_pool-s1-abc")
    with pytest.raises(DataError, match="did you mean librisevoc"):
        cards.datasheet(made[0], ["librisevox"])
