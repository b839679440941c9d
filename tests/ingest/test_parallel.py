"""Tasks here, in processes and on a Ray cluster: results, faults, options."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from joblib import delayed
from joblib.externals.loky.backend import context

from ingest import parallel, sweep
from ingest.types import DataError


def square(number):
    return number * number


def refuse(number):
    raise DataError(f"no {number}") if number == 2 else ValueError(number)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_all_cores_are_taken_where_the_system_does_not_tell_which_may_be_used(monkeypatch):
    """macOS: ingest, collect and detect ended in a traceback unless --jobs or --threads was given."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda cpus: cpus)
    monkeypatch.setitem(sys.modules, "psutil", None)  # knows it on Linux
    monkeypatch.setattr(sys, "platform", "darwin")
    assert parallel.cores() == 6
    root = Path(parallel.__file__).parents[1]
    sources = sorted(path for package in parallel.PACKAGES for path in (root / package).rglob("*.py"))
    asking = [str(path.relative_to(root)) for path in sources if "sched_getaffinity" in path.read_text()]
    assert asking == ["ingest/bench.py"]


def test_a_container_has_the_cores_of_its_quota(monkeypatch):
    """`docker --cpus 2`, a limit of Kubernetes: on 64 cores `benchmark run` started 64 cells at once."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda cpus: 2)
    assert parallel.cores() == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_done_once(jobs):
    got = parallel.results((delayed(square)(i) for i in range(7)), jobs, what="t")
    assert sorted(got) == [i * i for i in range(7)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_data_error_stays_one(jobs):
    with pytest.raises(DataError, match="no 2"):
        list(parallel.results([delayed(refuse)(2)], jobs, what="t"))
    with pytest.raises(ValueError, match="3"):
        list(parallel.results([delayed(refuse)(3)], jobs, what="t"))


def test_a_killed_worker_is_one_line():
    with pytest.raises(DataError, match=r"shards x: a worker process was killed.*run the same command again"):
        list(parallel.results([delayed(die)(), delayed(square)(1)], 2, what="shards x"))


def stay(folder, number):
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(120)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = (
        "import pathlib, sys, test_parallel as t; from ingest import parallel\n"
        "list(parallel.results(((t.stay, (pathlib.Path(sys.argv[1]), i), {}) for i in range(2)), 2, what='t'))"
    )
    here = Path(__file__).parent
    driver = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": f"{here}:{here.parents[1]}"}
    )
    _wait(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    driver.kill()
    driver.wait()
    _wait(lambda: not any(Path("/proc", pid.stem).exists() for pid in tmp_path.glob("*.pid")))


def _wait(until, seconds=60):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_results_come_in_order_when_asked():
    late = [(time.sleep, (0.5,), {}), *((square, (i,), {}) for i in range(5))]
    assert list(parallel.results(late, 2, what="t", ordered=True, batch=1)) == [None, 0, 1, 4, 9, 16]


def options(*words):
    parser = argparse.ArgumentParser()
    parallel.add_jobs(parser)
    return parser.parse_args(words)


def test_options(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert parallel.chosen(options()) is None
    assert parallel.chosen(options("--jobs", "3")) == 3
    assert parallel.chosen(options("--backend", "ray")) == parallel.Ray("auto")
    assert parallel.chosen(options("--backend", "ray", "--address", "h:1", "--jobs", "9")) == parallel.Ray("h:1", 9)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert parallel.chosen(options("--backend", "ray")) == parallel.Ray("head:6379")
    with pytest.raises(DataError, match="--address is for --backend ray"):
        parallel.chosen(options("--address", "h:1"))
    assert parallel.chosen(options("--jobs", "99999")) == parallel.MOST_JOBS
    for wrong in (["--jobs", "0"], ["--jobs", "1000000000000"], ["--backend", "dask"]):
        with pytest.raises(SystemExit):
            options(*wrong)


def test_without_ray_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(DataError, match=r"pip install 'sirenbench\[cluster\]'"):
        list(parallel.results([delayed(square)(1)], parallel.Ray(), what="t"))


def test_a_cluster_of_other_versions_is_told_with_both(monkeypatch):
    ray = pytest.importorskip("ray", reason="needs Ray")
    from ray._private.utils import check_version_info

    cluster = {"ray_version": "2.0.0", "python_version": "3.9.1"}
    monkeypatch.setattr(ray, "init", lambda **_: check_version_info(cluster, "node 10.0.0.2"))
    with pytest.raises(DataError, match=rf"Ray: 2\.0\.0 Python: 3\.9\.1 .* Ray: {ray.__version__} .* the same on all"):
        parallel.connect("auto")


def test_a_node_that_does_not_see_data_does_nothing(tmp_path):
    """It wrote its shards to a folder of that name of its own."""
    refused = parallel._answer(tmp_path / "data/catalog.duckdb", square, (3,), {})
    assert f"does not see the {tmp_path}/data of this command; it must lie on a file system" in refused.reason
    assert parallel._answer(tmp_path, square, (3,), {}) == parallel._answer(None, square, (3,), {}) == 9


def test_a_folder_is_known_by_a_name_that_was_never_used(tmp_path):
    """A copy of DATA on a node of its own took the work, and kept it."""
    seen, here = tmp_path / "data/catalog.duckdb", lambda: sorted(path.name for path in seen.parent.iterdir())
    seen.parent.mkdir()
    seen.touch()
    (seen.parent / ".siren-seen-0.lock").touch()  # its command was killed
    with parallel._signed(seen) as sign, parallel._signed(seen) as other:
        assert here() == sorted([sign.name, other.name, "catalog.duckdb"])
        copy = shutil.copytree(seen.parent, tmp_path / "copy", ignore=lambda *_: [sign.name])
        assert parallel._answer(sign, square, (3,), {}) == 9
        assert "does not see the" in parallel._answer(copy / sign.name, square, (3,), {}).reason
    assert here() == ["catalog.duckdb"]


def test_no_more_processes_than_there_is_work_for(monkeypatch):
    """joblib starts all that it is asked for: 4,096 of them for nine pieces of work took all memory."""
    asked = []
    monkeypatch.setattr(sweep.parallel, "results", lambda tasks, jobs, **_: asked.append(jobs) or [])
    assert list(sweep._measured(["x"] * (3 * sweep.CHUNK_FILES), jobs=parallel.MOST_JOBS)) == []
    assert asked == [3]
