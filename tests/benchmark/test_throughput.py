"""The cost table: every kind of detector measured, plain and quick forms alike in their scores, files read back."""

import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
import torch

from benchmark import cells, detectors, throughput, timing
from benchmark.__main__ import main
from ingest.types import DataError

KINDS = [
    "mean_pool",
    "lfcc_lcnn",
    "rawnet2_voc_s",
    "fd_add",
    "w2v2_ft",
    "uniaudio",
    "rat",
    "lfcc_gmm",
    "constant",
]


def test_what_measures_ends_with_the_command_that_was_killed(tmp_path):
    """It waited for ever, with all the memory that it held."""
    code = "import sys; from benchmark.__main__ import main; main(sys.argv[1:])"
    words = ["throughput", "--data", str(tmp_path), "--detector", "mean_pool", "--seconds", "600", "--device", "cpu"]
    command = subprocess.Popen([sys.executable, "-c", code, *words], cwd=cells.ROOT, stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    until = time.monotonic() + 120
    while not (workers := [pid for pid in children.read_text().split() if _is_worker(pid)]):
        assert time.monotonic() < until
        time.sleep(0.1)
    command.kill()
    command.wait()
    while any(map(_is_worker, workers)):
        assert time.monotonic() < until
        time.sleep(0.1)


def _is_worker(pid):
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("name", KINDS)
def test_a_detector_is_measured(name):
    small = {"samples": 16_000} if detectors.build(name, **detectors.get(name).SMALL).input.samples else {}
    row = timing.measured(name, batch_size=4, seconds=0.0, **small, **detectors.get(name).SMALL)
    assert row.score_per_s > 0 and row.peak_memory_bytes > 1 << 20
    trained = name not in ("lfcc_gmm", "constant")
    assert (row.train_per_s is not None) == trained
    assert row.macs is not None and name in throughput.line(row)


def test_a_gpu_is_waited_for_and_its_own_memory_counted(monkeypatch):
    """By default torch asks the first GPU: of another one, it is not known when it has done and what it holds."""
    asked, waited = [], []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: asked.append(device) or 7)
    assert timing._per_call_s(lambda: None, "cuda:1", 0.0) > 0 and set(waited) == {"cuda:1"}
    assert timing._peak_bytes("cuda:1") == 7 and asked == ["cuda:1"]


@pytest.mark.parametrize("name", ["aasist", "rawnet2", "w2v2_ft", "fd_add"])
def test_the_plain_form_scores_the_same_and_is_undone(name):
    torch.manual_seed(0)
    config = detectors.get(name).SMALL | ({"samples": 16_000} if name in ("aasist", "rawnet2") else {})
    model = detectors.build(name, **config).eval()
    batch = timing.material(model, 2, samples=16_000)
    with torch.inference_mode():
        quick = model.score_batch(batch)
        with timing.plain(model):
            assert not model.fast
            slow = model.score_batch(batch)
        assert model.fast and torch.equal(model.score_batch(batch), quick)
    assert torch.allclose(quick, slow, atol=1e-4)


@pytest.fixture
def here(monkeypatch):
    """Figures are taken in this process; that each has one of its own, the command below shows."""
    monkeypatch.setattr(throughput, "ProcessPoolExecutor", lambda workers, *_, **__: ThreadPoolExecutor(workers))


def test_figures_are_kept_and_read_back(tmp_path, here):
    rows = list(throughput.measure_all(tmp_path, ["mean_pool"], forms=["fast", "plain"], batch_size=2, seconds=0.0))
    assert throughput.stored(tmp_path) == rows
    assert [row.form for row in rows] == ["fast", "plain"] and rows[0].parameters == 81
    (row,) = throughput.measure_all(tmp_path, ["mean_pool"], device="cpu:0", batch_size=2, seconds=0.0)
    assert sorted(throughput.stored(tmp_path), key=lambda r: r.form) == [
        row,
        rows[1],
    ]  # the same device by another word
    folder = tmp_path / "throughput"
    (folder / "y.json").write_text((folder / "mean_pool-plain-cpu.json").read_text())
    with pytest.raises(DataError, match=r"plain-cpu\.json and .*y\.json both have mean_pool, plain, on "):
        throughput.stored(tmp_path)
    (folder / "y.json").unlink()
    (tmp_path / "throughput" / "x.json").write_text(json.dumps({"detector": "x"}))
    with pytest.raises(DataError, match=r"x\.json is not a throughput figure"):
        throughput.stored(tmp_path)


def test_the_command_fills_the_table(tmp_path, capsys):
    from benchmark.__main__ import main

    said = ["throughput", "--data", str(tmp_path), "--detector", "mean_pool", "--seconds", "0", "--device", "cpu"]
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert main(said) == 0
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > spent + 0.5  # PyTorch was imported anew
    with duckdb.connect(str(tmp_path / "results.duckdb"), read_only=True) as con:
        ((name, form, parameters, rate),) = con.sql(
            "SELECT detector, form, parameters, score_per_s FROM throughput"
        ).fetchall()
    assert (name, form, parameters) == ("mean_pool", "fast", 81) and rate > 0
    capsys.readouterr()
    main(["detectors", "--data", str(tmp_path), "--throughput"])
    shown = capsys.readouterr().out
    assert throughput.as_text(throughput.stored(tmp_path)[0])["score_per_s"] in shown and "1 thread(s)" in shown


def test_the_zoo_shows_the_committed_figures(tmp_path, capsys, monkeypatch):
    """Parameters, MACs and rates of AASIST's line, and the weights that load below it."""
    from benchmark.__main__ import main

    monkeypatch.setattr(detectors, "names", lambda: ["aasist"])
    main(["detectors", "--data", str(tmp_path)])
    head, titles, line, loads = capsys.readouterr().out.splitlines()
    told = throughput.table()["aasist"]
    assert titles.split()[:5] == ["detector", "parameters", "GMAC", "train/s", "score/s"]
    assert line.split()[:5] == ["aasist", "297,866", "9.562", told["train_per_s"], told["score_per_s"]]
    assert told["device"] in head and "ASVspoof 2019 LA 0.83" in line and "64600" in line and "2110.01200" in line
    assert "AASIST.pth" in loads
    main(["detectors", "--data", str(tmp_path), "--macs", "--throughput"])  # counted now, nothing measured in DATA
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["aasist", "297,866", "9.562", "raw,"]


def test_the_committed_table_keeps_what_is_not_measured_again(tmp_path):
    row = throughput.Throughput("mean_pool", "fast", "a CPU", 1, 48_000, 4, 81, 480, 12.3456, 1234.5, 1, "v")
    path = tmp_path / "table.csv"
    path.write_text(",".join(throughput.TABLE_COLUMNS) + "\naasist,fast,a CPU,1,64600,4,9,1.5,7\nno_more,,,,,,,,\n")
    throughput.write_table([row], path)
    found = throughput.table(path)
    assert list(found) == ["aasist", "mean_pool"] and found["aasist"]["score_per_s"] == "7"
    assert (found["mean_pool"]["train_per_s"], found["mean_pool"]["macs"]) == ("12.3", "480")
    before = path.read_bytes()
    throughput.write_table([row], path)
    assert path.read_bytes() == before and throughput.table(tmp_path / "none.csv") == {}


@pytest.mark.parametrize("seconds", ["nan", "-1", "1e9"])
def test_the_time_for_a_figure_is_a_number_of_seconds(tmp_path, seconds):
    from benchmark.__main__ import main

    with pytest.raises(DataError, match="--seconds"):
        main(["throughput", "--data", str(tmp_path), "--detector", "mean_pool", "--seconds", seconds])


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(DataError, match="bfloat16"):
        list(throughput.measure_all(tmp_path, ["mean_pool"], forms=["bfloat"]))
    with pytest.raises(DataError, match="mean_pool"):
        list(throughput.measure_all(tmp_path, ["mean_pol"]))


@pytest.mark.parametrize("form", ["channels_last", "bfloat16", "compiled"])
def test_a_form_that_does_not_run_is_a_row_with_the_reason(form, monkeypatch):
    from benchmark import timing

    def refused(name, **options):
        raise RuntimeError("backend='inductor' raised:\nno such thing")

    monkeypatch.setattr(timing, "measured", refused)
    options = {"form": form, "device": "cpu", "batch_size": 2, "seconds": 0.1, "samples": None}
    row = throughput._alone("mean_pool", 1, options)
    assert row.note == "does not run in this form here (backend='inductor' raised: no such thing)"
    assert row.train_per_s is None and row.score_per_s is None and row.parameters == 81
    with pytest.raises(RuntimeError):  # in a form that it trains in it is a bug
        throughput._alone("mean_pool", 1, {**options, "form": "fast"})


@pytest.mark.parametrize(("asked", "note"), [
    ({"batch_size": 1 << 31, "samples": 1 << 31}, "does not fit into memory"),
    ({"batch_size": 2, "samples": 1}, "does not run on so many samples"),
])  # fmt: skip
def test_what_no_memory_holds_and_no_layer_takes_is_a_row_with_the_reason(asked, note):
    row = throughput._alone("aasist", 1, {"form": "fast", "device": "cpu", "seconds": 0.0, **asked})
    assert row.note.startswith(f"{note} (") and row.score_per_s is None and row.samples == asked["samples"]


def test_a_failed_measurement_leaves_the_figure_of_before(tmp_path, here):
    (good,) = throughput.measure_all(tmp_path, ["aasist"], device="cpu", batch_size=1, seconds=0.0, samples=16_000)
    (bad,) = throughput.measure_all(tmp_path, ["aasist"], device="cpu:0", batch_size=1, seconds=0.0, samples=1)
    assert bad.note.endswith("; the figure of before is kept") and throughput.stored(tmp_path) == [good]


@pytest.mark.parametrize("words", [["--samples", "0"], ["--batch", "99999999999"]])
def test_sizes_are_bounded(words, capsys):
    with pytest.raises(SystemExit):
        main(["throughput", *words])
    assert "takes a whole number from 1 to" in capsys.readouterr().err
