"""Plans by hand: how many utterances, epochs and hours; GPUs handed out one by one; energy counters."""

import functools
import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import synthetic_catalog
import torch

from benchmark import cells, devices, distribution, energy, grid_files, plan, request, settings, slurm
from benchmark.__main__ import main
from ingest.types import DataError
from protocols.__main__ import main as of_protocols


def trials(bonafide, spoof):
    label = ["bonafide"] * bonafide + ["spoof"] * spoof
    rows = pa.table({"role": ["train"] * len(label), "label": label})
    return SimpleNamespace(role=lambda role: rows)


def how(detector="mean_pool", **changes):
    return settings.resolve(detector, {"": changes}, clip=None, weights=None).training


def test_an_epoch_draws_the_smaller_class_as_often_as_the_larger():
    assert cells.draws_per_epoch(trials(10, 30), how(balance="oversample")) == 60
    assert cells.draws_per_epoch(trials(10, 30), how(balance="none")) == 40
    assert cells.draws_per_epoch(trials(10, 30), how(balance="oversample", draws=16)) == 16


def test_epochs_are_those_of_all_phases():
    assert plan.epochs_at_most("mean_pool", how(epochs=7)) == 7
    phases = [{"name": "a", "epochs": 2}, {"name": "b"}]
    assert plan.epochs_at_most("mean_pool", how(epochs=7, phases=phases)) == 9
    assert plan.epochs_at_most("lfcc_gmm", how("lfcc_gmm")) == 1


def test_hours_are_draws_and_scores_over_their_rates():
    assert plan._hours(3600, 7200, plan.Rate(1.0, 2.0, None, "runs")) == 2.0
    assert plan._hours(0, 7200, plan.Rate(None, 2.0, None, "runs")) == 1.0
    assert plan._hours(1, 0, plan.Rate(None, 2.0, None, "none")) is None


def test_the_table_sums_what_is_known_and_names_what_is_not():
    rows = [plan.Row("a", 2, 1, 1, 10, 5, 0.5, 1_000_000, "runs", False),
            plan.Row("b", 1, 0, 1, 10, 5, None, 0, "none", True)]  # fmt: skip
    text = "\n".join(plan.table(rows, jobs=2, data=Path("my data")))
    assert (
        "3 cells, 1 done, 2 to run in 2 trainings; 0.50 hours of one worker, 0.25 with 2 at once, and those that are not "
        "known; 1.0 MB" in text
    )
    assert (
        "for want of a measured rate: b; measure it: python -m benchmark throughput --detector b --data 'my data'"
        in text
    )
    assert "; 0.50 hours of one worker, 0.25 with 2 at once; 1.0 MB" in "\n".join(
        plan.table(rows[:1], jobs=2, data=Path())
    )
    assert "; hours not known; 0.0 MB" in "\n".join(plan.table(rows[1:], jobs=2, data=Path()))  # not 0.00 hours


def test_only_a_run_tells_the_rate_of_a_detector_that_is_fitted(data, capsys):
    assert main(["plan", "--protocol", "inner/mine", "--detector", "lfcc_gmm", "mean_pool", "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "for want of a run: lfcc_gmm; each is fitted" in said
    assert "for want of a measured rate: mean_pool; measure it: " in said
    assert f"python -m benchmark throughput --detector mean_pool --data {data}\n" in said  # kept where plan looks


def test_every_cell_takes_a_gpu_of_its_own():
    with devices.taken("cuda", gpus=2) as first, devices.taken("cuda", gpus=2) as second:
        assert {first, second} == {"cuda:0", "cuda:1"}
        with devices.taken("cuda", gpus=2) as third:
            assert third == "cuda:0"  # shared: there is no other
    with devices.taken("cuda", gpus=2) as again:
        assert again == "cuda:0"
    with devices.taken("cpu") as cpu:
        assert cpu == "cpu"


def test_cells_of_two_commands_that_see_other_gpus_do_not_keep_each_other_off(monkeypatch):
    """CUDA_VISIBLE_DEVICES=2,3 beside 0,1, two jobs of Slurm on one node: the second put all its cells on one GPU."""
    seen = ["a", "b"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=seen[number]))
    monkeypatch.setattr(devices, "check_device", lambda word: None)
    with devices.taken("cuda"), devices.taken("cuda") as second:
        assert second == "cuda:1"
        seen[:] = ["c", "d"]
        with devices.taken("cuda") as third, devices.taken("cuda") as fourth:
            assert {third, fourth} == {"cuda:0", "cuda:1"}


def test_a_process_that_takes_another_gpu_leaves_nothing_on_the_last_one(monkeypatch):
    """Torch keeps freed memory for the process: the cell that takes that GPU next had what was left."""
    kept = {"cuda:0": 70}
    monkeypatch.setattr(torch.cuda, "empty_cache", kept.clear)
    with devices.taken("cuda", gpus=2) as beside, devices.taken("cuda", gpus=2) as now:
        assert (beside, now, kept) == ("cuda:0", "cuda:1", {})


def test_processes_of_torchrun_take_a_gpu_each_and_speak_through_it(monkeypatch):
    """All of them spoke through the first one, which NCCL refuses."""
    for name, value in (("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2"), ("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with devices.taken("cuda", gpus=2) as own:
        assert own == "cuda:1"
    for word, gpus in (("cuda", 1), ("cuda:0", 2)):
        with (
            pytest.raises(DataError, match=f"2 processes needs a GPU of its own; there are {gpus}"),
            devices.taken(word, gpus=gpus),
        ):
            pass
    did = []
    monkeypatch.setattr(distribution, "_stores", [])
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: did.append(device))
    monkeypatch.setattr(torch.distributed, "rendezvous", lambda *_: iter([("a store", 1, 2)]))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: did.append(backend))
    distribution.start(own)
    assert did == ["cuda:1", "nccl"]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    with devices.taken("cuda:0", gpus=2) as named:
        assert named == "cuda:0"


def rapl(folder, name, kind):
    package = folder / name
    package.mkdir()
    for file, text in (("name", kind), ("energy_uj", "9000000"), ("max_energy_range_uj", "10000000")):
        (package / file).write_text(f"{text}\n")
    return package


def test_a_counter_that_begins_again_several_times_loses_nothing(tmp_path, monkeypatch):
    package = rapl(tmp_path, "intel-rapl:0", "package-0")
    monkeypatch.setattr(energy, "_RAPL", tmp_path)
    monkeypatch.setattr(energy, "EVERY_S", 0.01)
    with energy.Meter() as meter:
        for value in (3_000_000, 1_000_000, 8_000_000, 2_000_000):  # 4, 8, 7 and 4 J later
            (package / "new").write_text(f"{value}\n")
            (package / "new").rename(package / "energy_uj")
            deadline = time.monotonic() + 10
            while meter._counted[package][1] != value and time.monotonic() < deadline:
                time.sleep(0.01)
        assert meter.read()["energy_j"] == 23.0
        threads = threading.active_count()
    deadline = time.monotonic() + 10
    while threading.active_count() >= threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() < threads  # nobody reads on


def test_energy_comes_from_the_counter_or_from_busy_seconds(tmp_path, monkeypatch):
    package = rapl(tmp_path, "intel-rapl:0", "package-0")
    rapl(tmp_path, "intel-rapl:1", "psys")  # the whole board, package and all
    monkeypatch.setattr(energy, "_RAPL", tmp_path)
    meter = energy.Meter()
    (package / "energy_uj").write_text("3000000\n")  # it began again from 0 at 10 J
    assert meter.read() == {"energy_j": 4.0, "energy_source": "rapl"}
    (package / "energy_uj").write_text("4000000\n")
    assert meter.read()["energy_j"] == 1.0  # since the last reading
    monkeypatch.setattr(energy, "_RAPL", tmp_path / "none")
    meter = energy.Meter()
    sum(range(3_000_000))
    read = meter.read()
    assert read["energy_source"] == "estimate" and 0 < read["energy_j"] < 100


def test_the_counter_of_a_gpu_is_that_of_the_one_that_works(tmp_path, monkeypatch):
    """CUDA_VISIBLE_DEVICES=3 makes the fourth GPU cuda:0; NVML goes on to count all of them."""
    counters = {"GPU-a": iter([0, 0, 0]), "GPU-d": iter([1000, 1000, 8500])}  # millijoules; the first one rests
    nvml = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda index: ["GPU-a", "GPU-b", "GPU-c", "GPU-d"][index],
        nvmlDeviceGetHandleByUUID=str, nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counters[handle]),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="d"))
    monkeypatch.setattr(energy, "_RAPL", tmp_path / "none")
    read = energy.Meter("cuda:0").read()
    assert read["energy_source"] == "estimate+nvml" and read["energy_j"] == pytest.approx(7.5, abs=2)


def test_a_slurm_script_is_shell_that_quotes_its_words():
    text = slurm.script(["run", "--seeds", "2"], data="/x y", tasks=3, options=["--gres=gpu:1"],
                        python="/usr/bin/python3", folder="/a b")  # fmt: skip
    assert "--array=1-3" in text and "--gres=gpu:1" in text and "cd '/a b'" in text
    assert "run --seeds 2 --data '/x y' --part" in text and "collect --data '/x y'" in text


def test_the_job_that_collects_on_slurm_has_the_same_account_and_partition():
    """Clusters that bill an account refuse a job that names none."""
    words = shlex.split("--account=lab -p gpu -qlong --gres=gpu:1 --time 24:00:00 -M x")
    text = slurm.script(["run"], data="x", tasks=3, options=words, python="python", folder="/f")
    (collects,) = [line for line in text.splitlines() if "siren-collect" in line]
    assert " --kill-on-invalid-dep=yes --account=lab -p gpu -qlong -M x --dependency=" in collects


def test_options_are_taken_out_with_their_values():
    words = ["run", "--slurm", "3", "--set", "a=1", "--slurm-options=-p x"]
    assert slurm.without(words, ("--slurm", "--slurm-options")) == ["run", "--set", "a=1"]


def test_rates_come_from_runs_first_then_from_the_throughput_table(tmp_path):
    import duckdb

    from benchmark import results

    with duckdb.connect(str(tmp_path / "results.duckdb")) as con:
        con.execute((results._HERE / "results.sql").read_text())
        row = "INSERT INTO throughput VALUES (?, 'fast', 'cpu', 1, 48000, 4, 1, NULL, 10.0, 40.0, NULL, 'x', NULL)"
        con.executemany(row, [("aasist",), ("rawnet2",)])
        con.execute(
            "INSERT INTO run BY NAME SELECT 'r' AS run_id, 'aasist' AS detector, 'p' AS protocol, 's' AS scenario, "
            "true AS trained, false AS external, false AS simulated, false AS partial, 0 AS missing_trials, "
            "100 AS train_draws, 3 AS epochs, 60.0 AS train_s, 50 AS scored_trials, 2.0 AS score_s, 1000 AS parameters, "
            """'{"input": {"samples": 48000}, "training": {"epochs": 9, "phases": [], "lr": 1}}' AS config"""
        )
    rates, size = plan.known_rates(tmp_path)
    ran, measured = plan.Rate(5.0, 25.0, 3.0, "runs"), plan.Rate(10.0, 40.0, None, "throughput")
    assert [one.rate for one in rates["aasist"]] == [ran, measured]
    assert [one.rate for one in rates["rawnet2"]] == [measured]
    assert plan.fitting(rates["aasist"], 1050, 48_000, "[9, []]") == ran  # another head
    for parameters, samples in ((100_000, 48_000), (1000, 64_600), (1000, None)):  # a tiny form's runs, other clips
        assert plan.fitting(rates["aasist"], parameters, samples, "[9, []]") == measured
    assert plan.fitting(rates["aasist"], 1000, 48_000, "[100, []]") == plan.Rate(5.0, 25.0, None, "runs")
    assert plan.fitting([], 1000, 48_000, "[9, []]").source == "none"
    assert size == plan.BYTES_PER_SCORE
    assert plan.known_rates(tmp_path / "none") == ({}, plan.BYTES_PER_SCORE)


@pytest.fixture
def data(tmp_path):
    """DATA with a catalog and a protocol of the user's own."""
    synthetic_catalog.connect(tmp_path / "catalog.duckdb", ids=12).close()
    own = tmp_path / "protocols" / "inner" / "mine.toml"
    own.parent.mkdir(parents=True)
    own.write_text("""
title = "the first half"
scenario = "inner"
source = "me"
[train]
where = "corpus = 'librisevoc' AND fold < 0.4"
[dev]
where = "corpus = 'librisevoc' AND fold >= 0.4 AND fold < 0.7"
[test.eval]
where = "corpus = 'librisevoc' AND fold >= 0.7"
""")
    return tmp_path


@pytest.mark.parametrize("plural", ["", "s"])
def test_a_protocol_below_data_is_planned_like_ours(data, capsys, plural):
    words = [f"--protocol{plural}", "inner/mine", f"--detector{plural}", "mean_pool", "--seeds", "3"]
    assert main(["plan", *words, "--json", "--data", str(data)]) == 0
    (row,) = json.loads(capsys.readouterr().out)["detectors"]
    assert (row["detector"], row["cells"], row["trainings"]) == ("mean_pool", 3, 3)
    assert not of_protocols(["show", "inner/mine", "--data", str(data)])
    assert "the first half" in capsys.readouterr().out


def test_options_of_slurm_that_are_no_words_are_one_line(data):
    words = ["run", "--protocol", "inner/mine", "--slurm", "2", "--slurm-options", "'--time", "--data", str(data)]
    with pytest.raises(DataError, match=r"--slurm-options .*No closing quotation"):
        main(words)


def test_a_folder_of_protocols_that_is_not_there_is_one_line(data):
    with pytest.raises(DataError, match=r"--protocols .*mistyped is not a folder"):
        of_protocols(["list", "--protocols", str(data / "mistyped")])


def test_bytes_are_of_the_network_that_the_settings_make(data, capsys):
    sizes = {}
    for words in ([], ["--set", "hidden=64"]):
        words = ["plan", "--protocol", "inner/mine", "--detector", "rawnet2", *words, "--json", "--data", str(data)]
        assert main(words) == 0
        (row,) = json.loads(capsys.readouterr().out)["detectors"]
        sizes[len(words)] = row["size_bytes"]
    full, small = sizes.values()
    assert full > 4 * 17_621_410 > 20 * small > 0


@pytest.mark.parametrize(("words", "said"), [
    (["--seeds", "0"], "--seeds 0 is not a number of seeds from 1 on"),
    (["--seeds", "1000000000000"], "--seeds 1000000000000 is not a number of seeds"),
    (["--seeds", "-2"], "--seeds -2 is not a number of seeds"),
    (["--seed", "5", "--seeds", "2"], "--seed and --seeds both name the seeds"),
    (["--seed", "1", "-1"], "--seed -1 is not a whole number from 0"),
])  # fmt: skip
def test_seeds_that_are_none_are_refused(data, words, said):
    with pytest.raises(DataError, match=said):
        main(["plan", "--protocol", "inner/mine", "--detector", "mean_pool", *words, "--data", str(data)])


@pytest.mark.parametrize(("words", "said"), [
    (["--gpus", "2"], "--gpus is for --backend ray"), (["--gpus", "nan", "--backend", "ray"], "not a number of GPUs"),
    (["--gpus", "-1", "--backend", "ray"], "not a number of GPUs"),
])  # fmt: skip
def test_gpus_are_for_ray(data, words, said):
    with pytest.raises(DataError, match=said):
        main(["run", "--protocol", "inner/mine", "--detector", "mean_pool", *words, "--data", str(data)])


def test_a_seed_that_is_given_twice_is_one_cell(data, capsys):
    words = ["plan", "--protocol", "inner/mine", "--detector", "mean_pool", "--seed", "4", "4", "--json"]
    assert main([*words, "--data", str(data)]) == 0
    assert json.loads(capsys.readouterr().out)["detectors"][0]["cells"] == 1


def test_what_is_remembered_of_a_request_hangs_on_the_protocols_below_data(data):
    asked = request.Request(("inner/mine",), ("mean_pool",), (0,), {})
    request.remember(request.memo(data, asked), request.resolve(data, asked))
    assert len(request.remembered(request.memo(data, asked))[0]) == 1
    own = data / "protocols" / "inner" / "mine.toml"
    own.write_text(own.read_text().replace("0.4", "0.35"))
    assert request.remembered(request.memo(data, asked)) is None


def test_what_is_remembered_of_a_request_hangs_on_the_weights_that_it_names(data, tmp_path):
    """Another file at that path: all was said to be done."""
    place, seen = tmp_path / "xlsr", []
    place.mkdir()
    asked = request.Request(
        ("inner/mine",), ("mean_pool",), (0,), {"mean_pool": {"weights": str(place)}, "": {"x": "y"}}
    )
    for content in ("one", "other"):
        (place / "model.safetensors").write_text(content)
        seen.append(request.memo(data, asked))
    seen.append(request.memo(data, replace(asked, grid=grid_files.load("matrix"))))
    assert len(set(seen)) == 3 and request.memo(data, asked) == seen[1]


def test_what_is_remembered_of_a_request_hangs_on_modules_of_ones_own(data, monkeypatch, tmp_path):
    module = tmp_path / "own_layers.py"
    module.write_text("x = 1")
    asked = request.Request(("inner/mine",), ("mean_pool",), (0,), {})
    monkeypatch.setattr(cells.imports, "of", lambda path: (module,) if path.stem == "mean_pool" else ())
    before = request.memo(data, asked)
    module.write_text("x = 2")
    assert cells.outside() == [module] and request.memo(data, asked) != before


def test_what_is_remembered_of_a_request_hangs_on_rows_that_a_killed_ingest_left_in_the_journal(data):
    asked = request.Request(("inner/mine",), ("mean_pool",), (0,), {})
    before = request.memo(data, asked)
    code = (
        "import os, sys; from ingest import catalog\n"
        "con = catalog.connect(sys.argv[1], read_only=False); con.execute('UPDATE utterance SET speaker = NULL')\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(data / "catalog.duckdb")], cwd=cells.ROOT)
    assert killed.returncode == -signal.SIGKILL and (data / "catalog.duckdb.wal").exists()
    assert request.memo(data, asked) != before


def test_results_that_cannot_be_read_or_are_in_use_are_one_line(data, monkeypatch):
    """`duckdb data/results.duckdb` in another window was a traceback."""
    path = data / "results.duckdb"
    path.write_text("no database" * 99)
    with pytest.raises(DataError, match=r"results.duckdb is not a DuckDB file that can be read"):
        plan.known_rates(data)
    path.unlink()
    code = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"up\n"
    monkeypatch.setattr(plan.catalog, "opened", functools.partial(plan.catalog.opened, wait_s=0.3))
    with pytest.raises(DataError, match=f"results.duckdb is in use by process {other.pid} "):
        plan.known_rates(data)
    other.communicate()
