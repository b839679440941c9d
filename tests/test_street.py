"""The street end to end, by the commands a user types: corpora in, leaderboard out, killed or not."""

import random
import re

import duckdb
import numpy as np
import pytest
import street
import webdataset

from benchmark import metrics
from reports import sql


def test_it_ends_in_a_leaderboard_that_says_simulated(made):
    _, data = made
    text = (data / "reports" / "leaderboard.md").read_text()
    assert "imulated" in text.split("##")[0]
    for word in ("mean_pool", "lfcc_gmm", "inner/librisevoc", "cross_language/decro_zh_en"):
        assert word in text


@pytest.fixture(scope="module")
def before(made):
    """What no command of this file may change."""
    return street.digest(made[1])


def test_every_command_again_does_nothing_and_gives_the_same_bytes(made, before):
    corpora, data = made
    said = [street.call(*stage, data=data).stdout for stage in street.stages(corpora)]
    assert "0 to run" in said[-3] and "0 shortcut runs made" in said[-2]
    assert street.digest(data) == before


def test_cells_with_the_same_training_trials_share_one_training(made):
    _, data = made
    keys = {(r["protocol"], r["detector"]): r["train_key"] for r in street.records(data)}
    assert keys["inner/decro_zh", "mean_pool"] == keys["cross_language/decro_zh_en", "mean_pool"]
    assert keys["inner/librisevoc", "mean_pool"] != keys["inner/decro_zh", "mean_pool"]


def test_the_leaderboard_is_the_metric_of_the_scores(made):
    _, data = made
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
        rows = con.execute(
            "SELECT run_id, subset, value FROM leaderboard WHERE metric = 'eer' AND detector IN ('mean_pool', 'lfcc_gmm')"
        ).fetchall()
    checked = 0
    for run_id, subset, value in rows:
        scores = [r for r in street.scores(data, run_id) if r["role"] == "test" and r["subset"] == subset]
        if scores:
            bonafide = np.array([r["label"] == "bonafide" for r in scores])
            values = np.array([r["score"] for r in scores])
            assert value == pytest.approx(metrics.eer(values[bonafide], values[~bonafide])[0], abs=1e-12)
            checked += 1
    assert checked >= 6


def test_scores_are_unsquashed_and_whole(made):
    _, data = made
    for record in street.records(data):
        rows = street.scores(data, record["run_id"])
        assert {r["role"] for r in rows} == {"dev", "test"}
        assert all(np.isfinite(r["score"]) for r in rows)
        if record["detector"] == "mean_pool":
            assert min(r["score"] for r in rows) < 0 or max(r["score"] for r in rows) > 1


def test_stock_webdataset_reads_both_kinds_of_shard(made):
    _, data = made
    for kind, extension in (("shards", "flac"), ("features", "npy")):
        tars = sorted(str(path) for path in data.glob(f"{kind}/**/*.tar"))
        samples = list(webdataset.WebDataset(tars, shardshuffle=False))
        assert samples and all(extension in sample and "json" in sample for sample in samples)
        assert len({sample["__key__"] for sample in samples}) == len(samples)


def test_training_is_deterministic(made, tmp_path):
    _, data = made
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
        (expected,) = con.execute(
            "SELECT value FROM leaderboard WHERE detector = 'mean_pool' AND protocol = 'inner/librisevoc' "
            "AND metric = 'auc' ORDER BY subset LIMIT 1"
        ).fetchone()
    copy = tmp_path / "data"
    copy.mkdir()
    for name in ("catalog.duckdb", "shards"):
        (copy / name).symlink_to(data / name)
    street.call("benchmark", "run", "--protocol", "inner/librisevoc", "--detector", "mean_pool", "--set",
                "mean_pool.epochs=2", data=copy)  # fmt: skip
    with duckdb.connect(str(copy / "results.duckdb"), read_only=True) as con:
        (again,) = con.execute(
            "SELECT value FROM leaderboard WHERE detector = 'mean_pool' AND protocol = 'inner/librisevoc' "
            "AND metric = 'auc' ORDER BY subset LIMIT 1"
        ).fetchone()
    assert again == expected


def test_killed_in_every_stage_and_run_again_gives_the_same_bytes(made, before, tmp_path):
    corpora, _ = made
    moment = random.Random(11)
    disturbed, running = tmp_path / "data", 0
    for stage in street.stages(corpora):
        for _ in range(2):
            running += street.kill_after(moment.uniform(0.0, 1.5), *stage, data=disturbed)
        street.call(*stage, data=disturbed)
    assert running > 2  # the others had ended before
    expected, got = before, street.digest(disturbed)
    assert {name for name in expected if expected[name] != got.get(name)} == set()
    assert set(got) == set(expected)


def test_every_documented_query_runs_on_what_the_street_made(made):
    text = (street.ROOT / "docs" / "queries.md").read_text()
    queries = re.findall(r"^```sql\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(queries) >= 10
    answered = [sql.query(made[1], query).num_rows for query in queries]
    assert sum(number > 0 for number in answered) >= 8  # nothing is missing or tied here


@pytest.mark.parametrize("words", [
    ("benchmark", "run", "--protocol", "inner/librisevox"),
    ("benchmark", "run", "--detector", "aasits"),
    ("benchmark", "run", "--protocol", "inner/librisevoc", "--detector", "aasist", "--set", "outpts=1"),
    ("benchmark", "run", "--protocol", "inner/librisevoc", "--set", "lr"),
    ("benchmark", "run", "--protocol", "inner/wavefake"),
    ("benchmark", "run", "--protocol", "inner/librisevoc", "--device", "cuda"),
    ("benchmark", "score", "--protocol", "inner/librisevoc", "--detector", "aasist"),
    ("benchmark", "score", "--protocol", "inner/librisevoc", "--detector", "aasist", "--weights", "/nowhere.pth"),
    ("protocols", "show", "inner/librisevox"),
    ("shards", "librisevox"),
    ("features", "librisevoc", "--feature", "logmle"),
    ("ingest", "librisevox", "--root", "."),
    ("ingest", "librisevoc", "--root", "/nowhere"),
    ("ingest", "librisevoc", "--root", "/usr/lib/locale"),
    ("reports", "sql", "SELECT nothing FROM nowhere"),
    ("reports", "sql", "DROP TABLE result"),
], ids=lambda words: " ".join(words[:2] + words[-2:]))  # fmt: skip
def test_a_mistake_is_one_line_and_code_2(made, before, words):
    if "cuda" in words and __import__("torch").cuda.is_available():
        pytest.skip("a CUDA device is here, so --device cuda is no mistake")
    _, data = made
    done = street.call(*words, data=data, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
    assert street.digest(data) == before


@pytest.mark.parametrize(("words", "hint"), [
    (("benchmark", "run", "--detector", "aasits"), "aasist"),
    (("benchmark", "run", "--protocol", "inner/librisevox"), "inner/librisevoc"),
    (("benchmark", "run", "--protocol", "inner/librisevoc", "--detector", "aasist", "--set", "outpts=1"), "outputs"),
    (("ingest", "librisevox", "--root", "."), "librisevoc"),
])  # fmt: skip
def test_a_misspelt_name_is_told_the_nearest(made, words, hint):
    assert hint in street.call(*words, data=made[1], check=False).stderr


def test_a_data_folder_that_cannot_be_written_is_one_line(made, tmp_path):
    corpora, _ = made
    (tmp_path / "file").write_text("not a folder")
    for stage in street.stages(corpora)[:1]:
        done = street.call(*stage, data=tmp_path / "file", check=False)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("package", ["ingest", "protocols", "shards", "features", "benchmark", "reports"])
def test_every_command_has_help_with_an_example(package):
    text = street.call(package, "--help", start=street.started).stdout
    assert re.search(rf"python -m {package} \S+", text) and "xample" in text


def test_status_names_a_failed_cell_and_how_to_repeat_it(made, tmp_path):
    _, data = made
    copy = tmp_path / "data"
    copy.mkdir()
    for name in ("catalog.duckdb", "shards"):
        (copy / name).symlink_to(data / name)
    words = ("run", "--protocol", "inner/librisevoc", "--detector", "mean_pool", "lfcc_gmm", "--set",
             "mean_pool.lr=1e38", "lfcc_gmm.components=4", "lfcc_gmm.iterations=2")  # fmt: skip  # no number is so large
    done = street.call("benchmark", *words, data=copy, check=False)
    assert done.returncode == 1 and "failed: inner-librisevoc-mean_pool" in done.stdout
    assert "1 of 2 cells done" in done.stdout  # the other was not stopped
    status = street.call("benchmark", "status", data=copy, check=False)
    assert status.returncode == 1
    again = f"python -m benchmark run --protocol inner/librisevoc --detector mean_pool --seed 0 --data {copy}"
    assert again in status.stdout and status.stdout.split(again)[1].split("\n")[0].endswith("--set lr=1e+38")
