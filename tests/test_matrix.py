"""Plans, parts, Slurm scripts, grids and repetitions, by the commands a user types."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import street
from waiting import HOLDER

from ingest import files

TWO_LEVELS = """
title  = "width of a floor"
source = "none: a test"
seeds  = 1
[set.mean_pool]
epochs = 2
[columns.english]
protocol = "cross_language/decro_zh_en"
subset   = "eval"
[[part]]
protocols = ["inner/decro_zh", "cross_language/decro_zh_en"]
detectors = ["mean_pool"]
[levels.default]
[levels.quick]
lr = 0.5
"""

FLOOR = ("run", "--protocol", "inner/librisevoc", "cross_language/decro_zh_en", "inner/decro_zh",
         "--detector", "mean_pool", "--set", "mean_pool.epochs=2")  # fmt: skip
ONE = ("run", "--protocol", "cross_language/decro_zh_en", "--detector", "mean_pool", "--set", "epochs=1")


@pytest.fixture
def copy(made, tmp_path):
    """A DATA with the catalog and the shards of the street, and nothing run."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("catalog.duckdb", "shards"):
        (data / name).symlink_to(made[1] / name)
    return data


def test_a_plan_knows_what_is_done_and_what_the_rest_takes(made):
    _, data = made
    words = ("plan", "--protocol", "inner/librisevoc", "inner/decro_zh", "--detector", "mean_pool", "--seeds", "3",
             "--set", "mean_pool.epochs=2", "--json")  # fmt: skip
    (row,) = json.loads(street.call("benchmark", *words, data=data).stdout)["detectors"]
    assert (row["cells"], row["done"], row["trainings"]) == (6, 2, 4)
    assert row["rate"] == "runs" and row["hours"] > 0 and row["size_bytes"] > 0 and not row["at_most"]
    with duckdb.connect(str(data / "catalog.duckdb"), read_only=True) as con:
        assert row["train_utterances"] > con.execute("SELECT count(*) FROM utterance").fetchone()[0]
    text = street.call("benchmark", *words[:-1], data=data).stdout
    assert "6 cells, 2 done, 4 to run in 4 trainings" in text


def test_the_second_seed_costs_only_its_own_trainings(made):
    _, data = made
    said = street.call("benchmark", "plan", "--protocol", "inner/decro_zh", "--detector", "lfcc_gmm", "--seeds", "2",
                       "--set", "lfcc_gmm.components=4", "lfcc_gmm.iterations=2", data=data).stdout  # fmt: skip
    assert "2 cells, 1 done, 1 to run in 1 trainings" in said


def test_parts_together_are_the_whole(made, copy):
    _, data = made
    for part in ("1/2", "2/2"):
        said = street.call("benchmark", *FLOOR, "--jobs", "1", "--part", part, data=copy).stdout
        assert f"part {part[0]} of 2" in said and not (copy / "results.duckdb").exists()
    street.call("benchmark", "collect", data=copy)
    expected, got = street.digest(data), street.digest(copy)
    runs = [name for name in got if name.endswith("scores.parquet")]
    assert len(runs) == 3 and all(got[name] == expected[name] for name in runs)


def test_a_matrix_killed_at_random_moments_ends_in_the_same_bytes(made, tmp_path):
    """12 cells; SIREN_KILLS says how often to kill (default: 3)."""
    words = ("run", "--protocol", "inner/librisevoc", "cross_language/decro_zh_en", "inner/decro_zh", "--detector",
             "mean_pool", "lfcc_gmm", "--seeds", "2", "--set", "mean_pool.epochs=2", "lfcc_gmm.components=4", "lfcc_gmm.iterations=2")  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for data in (whole, killed):
        data.mkdir()
        for name in ("catalog.duckdb", "shards"):
            (data / name).symlink_to(made[1] / name)
    street.call("benchmark", *words, "--jobs", "1", data=whole)
    street.call("reports", "leaderboard", data=whole)
    moment, running = random.Random(23), 0
    for number in range(int(os.environ.get("SIREN_KILLS", 3))):
        after, jobs = (moment.uniform(0.3, 3.0), 1) if number % 3 else (moment.uniform(2.0, 6.0), 2)
        running += street.kill_after(after, "benchmark", *words, "--jobs", jobs, data=killed)
    assert running
    assert "12 of 12 cells done" in street.call("benchmark", *words, data=killed).stdout
    street.call("reports", "leaderboard", data=killed)
    expected, got = street.digest(whole), street.digest(killed)
    assert len([name for name in got if name.endswith("scores.parquet")]) == 12
    assert got == expected


def test_a_slurm_script_does_the_parts_and_then_collects(made, copy, tmp_path):
    """A stand-in for sbatch runs what it is given at once, as Slurm would: the script is otherwise the real one."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "sbatch").write_text(
        '#!/usr/bin/env bash\nset -e\nscript=$(cat)\ncase "$*" in\n'
        '*--array=1-2*) for i in 1 2; do SLURM_ARRAY_TASK_ID=$i bash -c "$script" >&2; done; echo "17;main";;\n'
        '*--dependency=afterany:17*) bash -c "$script" >&2;;\n*) echo "sbatch $*" >&2; exit 1;;\nesac\n'
    )
    (binaries / "sbatch").chmod(0o755)
    script = street.call("benchmark", *FLOOR, "--slurm", "2", "--slurm-options=--time=1:00:00", data=copy).stdout
    assert "--time=1:00:00" in script
    environment = {**street.environment(), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash"], input=script, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(copy / "results.duckdb"), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM run").fetchone()[0] == 3
    assert shutil.which("sbatch") != str(binaries / "sbatch") and sys.executable in script


def test_a_run_repeated_from_its_record_gives_the_same_scores(made, tmp_path):
    _, data = made
    work = tmp_path / "data"
    shutil.copytree(data, work, symlinks=True)
    (run,) = [r for r in street.records(work) if (r["detector"], r["protocol"]) == ("mean_pool", "inner/decro_zh")]
    for key in ("lock", "shards", "model_sha256", "energy_j", "energy_source", "train_draws", "scored_trials"):
        assert run[key], key
    said = street.call("benchmark", "reproduce", run["run_id"], data=work).stdout
    assert said.strip().endswith("scores, the same")
    (left,) = (work / "reproduced" / "scores").glob("*/run.json")  # as if other libraries had made it
    left.write_text(json.dumps(json.loads(left.read_text()) | {"versions": {"torch": "0.4"}}))
    said = street.call("benchmark", "reproduce", run["run_id"], data=work).stdout
    assert said.strip().endswith("scores, the same") and "0.4" not in said  # repeated, not looked up
    path = work / "scores" / run["run_id"] / "run.json"
    path.write_text(json.dumps(run | {"seed": 1, "code_version": "another"}))
    done = street.call("benchmark", "reproduce", run["run_id"], data=work, check=False)
    assert done.returncode == 1 and "differ, by" in done.stdout and "changed since: code_version" in done.stdout
    path.write_text(json.dumps(run | {"trials_fingerprint": "0" * 64}))
    done = street.call("benchmark", "reproduce", run["run_id"], data=work, check=False)
    assert done.returncode == 2 and "other trials" in done.stderr
    done = street.call("benchmark", "reproduce", "nothing", data=work, check=False)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


def test_what_a_protocol_newly_averages_is_told_of_runs_that_are_done(made, copy):
    (copy / "catalog.duckdb").unlink()  # the user's protocols lie beside it
    shutil.copy(made[1] / "catalog.duckdb", copy / "catalog.duckdb")
    own = copy / "protocols" / "inner" / "mine.toml"
    own.parent.mkdir(parents=True)
    text = 'like = "inner/decro_zh"\ntitle = "mine"\nmetrics = ["eer"]\n'
    own.write_text(text)
    words = ("benchmark", "run", "--protocol", "inner/mine", "--detector", "mean_pool", "--set", "epochs=1")
    street.call(*words, data=copy)
    (before,) = street.records(copy)
    scores = street.digest(copy)[f"scores/{before['run_id']}/scores.parquet"]
    own.write_text(
        text.replace("mine", "another").replace('"eer"', '"eer", "cllr"') + '[averages]\nmean = ["eval", "v*"]\n'
    )
    assert "1 done before, 0 to run" in street.call(*words, data=copy).stdout
    (after,) = street.records(copy)
    told = ("title", "metrics", "averages")
    assert [after[name] for name in told] == ["another", ["eer", "cllr"], {"mean": ["eval", "vits"]}]
    assert {name for name in after if after[name] != before[name]} == set(told)
    assert street.digest(copy)[f"scores/{before['run_id']}/scores.parquet"] == scores
    with duckdb.connect(str(copy / "results.duckdb"), read_only=True) as con:
        found = con.execute("SELECT DISTINCT metric FROM leaderboard WHERE metric IN ('eer', 'cllr')").fetchall()
        assert sorted(found) == [("cllr",), ("eer",)]


def test_what_the_catalog_newly_tells_of_test_trials_is_told_of_runs_that_are_done(made, copy):
    """Their tables by attack and codec had the words of the first ingest for ever."""
    (copy / "catalog.duckdb").unlink()
    shutil.copy(made[1] / "catalog.duckdb", copy / "catalog.duckdb")
    street.call("benchmark", *ONE, data=copy)
    (before,) = street.records(copy)
    path = copy / "scores" / before["run_id"] / "scores.parquet"
    first = path.read_bytes(), pq.read_table(path)
    with duckdb.connect(str(copy / "catalog.duckdb")) as con:
        con.execute("UPDATE utterance SET codec = 'gsm' WHERE corpus = 'decro' AND language = 'en'")
    assert "1 done before, 0 to run" in street.call("benchmark", *ONE, data=copy).stdout
    second = pq.read_table(path)
    assert set(second.filter(pc.equal(second["role"], "test"))["codec"].to_pylist()) == {"gsm"}
    assert second.drop_columns("codec").equals(first[1].drop_columns("codec"))
    (after,) = street.records(copy)
    assert {name for name in after if after[name] != before[name]} == {"described"}
    with duckdb.connect(str(copy / "catalog.duckdb")) as con:
        con.execute("UPDATE utterance SET codec = NULL WHERE corpus = 'decro' AND language = 'en'")
    street.call("benchmark", *ONE, data=copy)
    assert path.read_bytes() == first[0] and street.records(copy) == [before]


def test_the_run_that_was_asked_for_last_stands(copy):
    """Code was changed, tried and changed back: the run was said to be done, and the leaderboard had the other's numbers."""
    street.call("benchmark", *ONE, data=copy)
    (first,) = street.records(copy)
    folder = copy / "scores" / first["run_id"]
    shutil.copytree(folder, folder.with_name("tried"))
    for name, when in ((first["run_id"], "2026-01-01T00:00:00Z"), ("tried", "2026-01-02T00:00:00Z")):
        about = first | {"run_id": name, "code_version": name, "finished_at": when}
        (folder.with_name(name) / "run.json").write_text(json.dumps(about))

    def standing():
        with duckdb.connect(str(copy / "results.duckdb"), read_only=True) as con:
            return {run_id for (run_id,) in con.execute("SELECT DISTINCT run_id FROM leaderboard").fetchall()}

    street.call("benchmark", "collect", data=copy)
    assert standing() == {"tried"}
    for _ in range(2):
        assert "1 done before, 0 to run" in street.call("benchmark", *ONE, data=copy).stdout
        assert standing() == {first["run_id"]}


def test_a_grid_runs_its_levels_and_the_catalog_knows_them(copy, tmp_path):
    grid = tmp_path / "width.toml"
    grid.write_text(TWO_LEVELS)
    said = street.call("benchmark", "run", "--grid", grid, "--jobs", "1", data=copy).stdout
    assert "4 of 4 cells done" in said
    with duckdb.connect(str(copy / "results.duckdb"), read_only=True) as con:
        levels = con.execute("SELECT grid, level, count(*) FROM grid_run GROUP BY ALL ORDER BY ALL").fetchall()
        assert levels == [("width", "default", 2), ("width", "quick", 2)]
        figures = con.execute(
            'SELECT level, "column", runs, median FROM grid_figure WHERE metric = ? ORDER BY ALL', ["eer"]
        ).fetchall()
        assert [row[:3] for row in figures] == [("default", "english", 1), ("quick", "english", 1)]
        assert figures[0][3] != figures[1][3]
    street.call("reports", "leaderboard", data=copy)
    text = (copy / "reports" / "leaderboard.md").read_text()
    assert "width of a floor" in text and "quick" in text


def test_a_finished_request_answers_without_making_any_trial_list(made, copy):
    words = ("benchmark", "run", "--protocol", "inner/decro_zh", "--detector", "mean_pool", "--set", "epochs=1")
    assert "1 to run" in street.call(*words, data=copy).stdout
    (copy / "shards").unlink()  # nothing is read any more
    assert "1 cells, 1 done before, 0 to run" in street.call(*words, data=copy).stdout
    done = street.call(*words, "lr=0.5", data=copy, check=False)
    assert "1 to run" in done.stdout  # another request is not the one that was answered


def test_learning_curves_go_to_tensorboard_when_asked(copy):
    pytest.importorskip("tensorboard", reason="the extra sirenbench[track] is not installed")
    street.call("benchmark", "run", "--protocol", "inner/decro_zh", "--detector", "mean_pool", "--set", "epochs=2",
                "--track", "tensorboard", data=copy)  # fmt: skip
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = [EventAccumulator(str(path)).Reload() for path in (copy / "tracking").rglob("events.out*")]
    assert {"train_loss", "dev_auc", "dev_eer"} <= {name for events in found for name in events.Tags()["scalars"]}


@pytest.mark.parametrize("words", [
    ("run", "--grid", "ablation/fd_add_loss_weight"),
    ("run", "--part", "3/2"),
    ("run", "--track", "excel"),
    ("run", "--address", "1.2.3.4:6379"),
    ("plan", "--detector", "aasits"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_code_2(made, words):
    done = street.call("benchmark", *words, data=made[1], check=False)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr


def _first_of_two(data, run_id):
    """Score robustness while somebody holds the lock of the training: it waits, then does the work."""
    (key,) = {r["train_key"] for r in street.records(data) if r["run_id"] == run_id}
    read, write = os.pipe()
    with open(read) as said, contextlib.ExitStack() as held:
        held.enter_context(files.lock(data / "models" / key / "lock"))
        with open(write, "w") as told:
            second = street.spawn("benchmark", "robustness", run_id, data=data, told=told)
        assert said.readline() == f"waiting for {HOLDER}\n"
        held.close()
        assert second.wait(300) == 0


def _asked_for_last(data, run_id):
    """Of two scorings through other variants the one that was asked for last stands, also where both are done."""

    def standing(*words):
        street.call("benchmark", "robustness", run_id, *words, data=data)
        with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
            return [
                r for (r,) in con.execute("SELECT run_id FROM current_run WHERE scenario = 'robustness'").fetchall()
            ]

    (both,) = standing()
    path = data / "scores" / both / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"finished_at": "2026-01-01T00:00:00Z"}))
    (one,) = standing("--variant", "white-10db")
    assert one != both and standing() == [both]


def test_a_finished_run_is_tested_through_variants(made, tmp_path):
    _, data = made
    work = tmp_path / "data"
    shutil.copytree(data, work, symlinks=True)
    (run_id,) = [r["run_id"] for r in street.records(work)
                 if (r["detector"], r["protocol"]) == ("mean_pool", "inner/librisevoc")]  # fmt: skip
    done = street.call("benchmark", "robustness", run_id, "--variant", "mp3-32k", data=work, check=False)
    assert done.returncode == 2 and "have no mp3-32k copy" in done.stderr
    plan = tmp_path / "two.toml"
    plan.write_text('title = "two"\nsource = "a test"\n[[use]]\nvariants = ["alaw", "white-10db"]\n')
    street.call("shards", "variants", "librisevoc", "--plan", plan, "--jobs", "1", data=work)
    _first_of_two(work, run_id)
    with duckdb.connect(str(work / "results.duckdb"), read_only=True) as con:
        found = dict(con.execute(
            "SELECT subset, value FROM leaderboard WHERE protocol = 'robustness/inner-librisevoc' AND metric = 'auc'"
        ).fetchall())  # fmt: skip
        (whole,) = con.execute("SELECT value FROM leaderboard WHERE run_id = ? AND metric = 'auc' AND subset = 'eval'",
                               [run_id]).fetchone()  # fmt: skip
    assert set(found) == {"original", "alaw", "white-10db", "average"}
    assert found["original"] == pytest.approx(whole, abs=1e-12)
    assert found["average"] == pytest.approx((found["alaw"] + found["white-10db"]) / 2)
    before = (work / "results.duckdb").stat().st_mtime_ns
    street.call("benchmark", "robustness", run_id, data=work)
    assert (work / "results.duckdb").stat().st_mtime_ns == before
    _asked_for_last(work, run_id)
    (key,) = {r["train_key"] for r in street.records(work) if r["run_id"] == run_id}
    os.truncate(work / "models" / key / "model.safetensors", 100)
    done = street.call("benchmark", "robustness", run_id, "--variant", "alaw", data=work, check=False)
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and said.endswith(f"delete {work / 'models' / key} and run the cell again")
    assert "Traceback" not in done.stderr
