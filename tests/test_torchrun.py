"""Two processes under torchrun compute what one computes with the same batch."""

import json
import os
import shutil
import subprocess
import sys

import forks
import pytest
import street
import torch

HERE = street.ROOT / "tests"
KINDS = {  # and how far their scores have come apart at least, for there to be something to compare
    "even": 0.1,  # tones of one length
    "uneven": 0.04,  # whole ones of several lengths, and losses that divide by what a batch has of each class
}
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def call(*words, check=True, **extra):
    environment = {**street.environment(), "GLOO_SOCKET_IFNAME": "lo", **extra}
    environment["PYTHONPATH"] = os.pathsep.join([str(street.ROOT), str(HERE)])
    done = subprocess.run([sys.executable, *map(str, words)], cwd=street.ROOT, env=environment, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout if check else done


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    found = {}
    for name in ("one", "two"):
        out = tmp_path_factory.mktemp(name)
        if name == "one":
            done = forks.run(["torchrun_training", str(out)], environment=street.environment(), folder=HERE)
            assert done.returncode == 0, done.stderr
        else:
            call(*TWO, HERE / "torchrun_training.py", out)
        found[name] = {kind: torch.load(out / f"{kind}.pt", weights_only=True) for kind in KINDS}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_dev_scores_weights_and_curve_are_those_of_one_process(results, kind):
    one, two = results["one"][kind], results["two"][kind]
    torch.testing.assert_close(two["scores"], one["scores"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.tensor(two["curve"]), torch.tensor(one["curve"]), rtol=1e-4, atol=1e-5)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weight, rtol=1e-3, atol=1e-5, msg=name)
    assert one["scores"].std() > KINDS[kind]


def test_the_command_runs_under_torchrun_and_only_the_first_process_speaks(made, tmp_path):
    _, data = made
    words = ("benchmark", "run", "--protocol", "inner/decro_zh", "--detector", "mean_pool", "lfcc_gmm", "--set", "mean_pool.epochs=2",
             "lfcc_gmm.components=4", "lfcc_gmm.iterations=2", "--device", "cpu")  # fmt: skip
    copy = tmp_path / "data"
    copy.mkdir()
    for name in ("catalog.duckdb", "shards"):
        (copy / name).symlink_to(data / name)
    said = call(*TWO, "-m", *words, "--data", copy)
    assert said.count("2 of 2 cells done") == 1
    mine = {r["run_id"]: street.scores(copy, r["run_id"]) for r in street.records(copy)}
    assert len(mine) == 2
    for run_id, rows in mine.items():
        expected = [row["score"] for row in street.scores(data, run_id)]
        assert [row["score"] for row in rows] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_what_fails_in_one_process_alone_ends_all_of_them_at_once(made, tmp_path):
    """The other waited for half an hour for its part of a gradient."""
    _, data = made
    copy = tmp_path / "data"
    shutil.copytree(data / "shards", copy / "shards")
    (copy / "catalog.duckdb").symlink_to(data / "catalog.duckdb")
    shard = next((copy / "shards" / "decro").glob("*zh-bonafide*.tar"))
    os.truncate(shard, shard.stat().st_size - 40_000)  # its last clips
    words = ("benchmark", "run", "--protocol", "inner/decro_zh", "--detector", "mean_pool", "--device", "cpu",
             "--set", "epochs=2", "batch_size=2")  # fmt: skip
    done = call(*TWO, "-m", *words, "--data", copy, check=False)
    assert done.returncode == 1 and "is damaged" in done.stderr
    (failed,) = (copy / "scores").glob("*/failed.json")
    assert "is damaged" in json.loads(failed.read_text())["reason"]


def test_a_repetition_is_refused(tmp_path):
    """Its processes would wait for each other's lock for ever."""
    done = call("-m", "benchmark", "reproduce", "any", "--data", tmp_path, check=False, RANK="0", WORLD_SIZE="2")
    assert done.returncode == 2 and "start it without torchrun" in done.stderr and "Traceback" not in done.stderr
