"""Shards and features on a real Ray cluster: two nodes of one CPU on this machine, and one of them killed."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

import duckdb
import pytest
import small_corpus
import street
import trained_run

from ingest import early
from shards import writer

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'sirenbench[cluster]'")

ROWS = [(f"c{i:02d}", *small_corpus.ROWS[i % 7][1:]) for i in range(28)]
SHARDS = ("shards", "tiny", "--max-bytes", "30000")
FEATURES = ("features", "tiny", "--feature", "logmel")
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU; the second can be killed, and a new one added."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    made.add_node(**NODE)
    yield made
    made.shutdown()


@pytest.fixture
def data(tmp_path):
    return small_corpus.build(tmp_path, rows=ROWS)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What one process makes of the same corpus."""
    data = small_corpus.build(tmp_path_factory.mktemp("local"), rows=ROWS)
    writer.write_corpus("tiny", data, max_bytes=30_000)
    street.call(*FEATURES, "--jobs", "1", data=data)
    return made(data)


def made(data):
    """Shards, features and the tables of the catalog that name them."""
    found = street.digest(data)
    return {name: found[name] for name in found if not name.endswith(("utterance", "corpus", "measurement"))}


def call(*words, data, check=True):
    """Run python -m WORDS; Ray hangs where it cannot reach itself, so not for long."""
    return street.call(*words, data=data, check=check, timeout=200)


def on(cluster):
    return ("--backend", "ray", "--address", cluster.address)


def test_two_nodes_give_the_bytes_of_one_process_and_one_line_for_a_fault(cluster, data, expected, tmp_path):
    broken = tmp_path / "tiny/audio/c03.flac"
    whole, stat = broken.read_bytes(), broken.stat()
    broken.write_bytes(b"junk" * (len(whole) // 4 + 1))
    done = call(*SHARDS, *on(cluster), data=data, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "c03.flac (tiny/c03) has changed" in done.stderr.splitlines()[-1]  # progress may stand before it
    broken.write_bytes(whole)
    os.utime(broken, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    for command in (SHARDS, FEATURES):
        call(*command, *on(cluster), data=data)
    assert made(data) == expected


def at_work(cluster, data):
    """The command that writes shards on a cluster, when its first one is there."""
    command = [sys.executable, "-m", *SHARDS, *on(cluster), "--data", str(data)]
    process = subprocess.Popen(command, cwd=street.ROOT, env=street.environment(), stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until and not list((data / "shards").rglob("*.tar")):
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be disturbed"
    return process


def test_sigterm_is_one_line_and_the_code_of_every_command(cluster, data):
    """Ray's own handler wrote a stack, and ended with 15."""
    process = at_work(cluster, data)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and said.splitlines()[-1] == early.LINE and "SIGTERM" not in said


TWO_TASKS = """
import pathlib, sys, time
from ingest import parallel
from ingest.types import DataError

def fail(begun):
    begun.touch()
    try:
        time.sleep(1)
    except KeyboardInterrupt:  # called off
        pass
    raise ValueError("nobody asks")

def refuse(begun):
    while not begun.exists():
        time.sleep(0.05)
    raise DataError("one line")

tasks = [(task, (pathlib.Path(sys.argv[2]),), {}) for task in (fail, refuse)]
try:
    list(parallel.results(tasks, parallel.Ray(sys.argv[1]), what="t"))
except DataError as error:
    print(error, file=sys.stderr)
    time.sleep(3)  # until the other has failed
"""


def test_what_a_task_says_that_was_called_off_is_not_printed(cluster, tmp_path):
    """Where SIGINT is ignored (`ray start &` in a script) each such task ends with an error of Ray's own."""
    words = [sys.executable, "-c", TWO_TASKS, cluster.address, str(tmp_path / "begun")]
    done = subprocess.run(words, cwd=street.ROOT, env=street.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr.splitlines() == ["one line"], done.stderr


ONE_TASK = """
import pathlib, sys, time
from ingest import parallel
from ingest.types import DataError

def stay(begun):
    begun.touch()
    time.sleep(120)

parallel.LOOK_S, parallel.GONE_S = 1.0, 4.0
try:
    list(parallel.results([(stay, (pathlib.Path(sys.argv[2]),), {})], parallel.Ray(sys.argv[1]), what="t"))
except DataError as error:
    print(error, file=sys.stderr)
"""


@contextlib.contextmanager
def one_task(tmp_path, **config):
    """A cluster of its own, of one node, and a command that has one long task for it."""
    from ray.cluster_utils import Cluster

    head = {**NODE, "include_dashboard": False, "_system_config": config}
    made = Cluster(initialize_head=True, head_node_args=head)
    words = [sys.executable, "-c", ONE_TASK, made.address, str(tmp_path / "begun")]
    try:
        yield (
            made,
            subprocess.Popen(words, cwd=street.ROOT, env=street.environment(), stderr=subprocess.PIPE, text=True),
        )
    finally:
        made.shutdown()


def test_a_task_that_its_node_has_no_memory_for_is_one_line(tmp_path):
    """Ray kills it, by default for ever."""
    with one_task(tmp_path, memory_usage_threshold=0.0, memory_monitor_refresh_ms=50) as (_, process):
        _, said = process.communicate(timeout=150)
    assert len(said.splitlines()) == 1 and "t: a task was killed 4 times on the cluster (OutOfMemoryError)" in said


def test_a_head_that_is_gone_is_one_line(tmp_path):
    """Ray ended the process itself after a minute, with a message and a code of its own."""
    with one_task(tmp_path) as (made, process):
        while not (tmp_path / "begun").exists() and process.poll() is None:
            time.sleep(0.05)
        made.head_node.kill_gcs_server()
        _, said = process.communicate(timeout=50)
    assert len(said.splitlines()) == 1 and "failed ([Errno 111] Connection refused); what is finished is kept" in said
    assert process.returncode == 0


def test_a_node_killed_on_the_way_then_run_again(cluster, data, expected):
    process = at_work(cluster, data)
    cluster.remove_node(sorted(cluster.worker_nodes, key=str)[0], allow_graceful=False)
    _, said = process.communicate(timeout=200)
    assert process.returncode in (0, 2) and "Traceback" not in said, said
    call(*SHARDS, *on(cluster), data=data)
    street.call(*FEATURES, "--jobs", "1", data=data)  # where they are computed, the test above looks at
    street.call("shards", "gc", data=data)  # a killed task leaves its temporary file
    assert made(data) == expected


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A catalog of 44 clips and their shards, nothing trained."""
    data = small_corpus.build(tmp_path_factory.mktemp("clips"), corpus="librisevoc", rows=trained_run.rows(4))
    writer.write_corpus("librisevoc", data, jobs=1)
    return data


CELLS = ("benchmark", "run", "--protocol", "inner/librisevoc", "--detector", "mean_pool", "lfcc_gmm", "--partial",
         "--set", "mean_pool.epochs=2", "lfcc_gmm.components=2", "lfcc_gmm.iterations=2")  # fmt: skip
MACHINES = {"started_at", "finished_at", "train_s", "score_s", "peak_memory_bytes", "energy_j", "energy_source"}


def fresh(clips, folder):
    """A DATA with the catalog and shards of `clips` and no run."""
    folder.mkdir()
    for name in ("catalog.duckdb", "shards"):
        (folder / name).symlink_to(clips / name)
    return folder


def test_trained_cells_have_the_scores_and_the_record_of_one_process(cluster, clips, tmp_path):
    here, there = fresh(clips, tmp_path / "here"), fresh(clips, tmp_path / "there")
    street.call(*CELLS, "--jobs", "1", data=here)
    said = call(*CELLS, *on(cluster), data=os.path.relpath(there, street.ROOT)).stdout  # as a user types it
    assert "2 of 2 cells done" in said
    assert street.digest(there) == street.digest(here)
    assert len(street.records(there)) == 2
    for ours, theirs in zip(street.records(here), street.records(there), strict=True):
        assert {key for key in ours if ours[key] != theirs[key]} <= MACHINES, (ours, theirs)
    figures = "SELECT run_id, subset, metric, value FROM result ORDER BY ALL"
    found = []
    for data in (here, there):
        with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
            found.append(con.execute(figures).fetchall())
    assert found[0] == found[1] and len(found[0]) > 10


@pytest.fixture
def apart(data, tmp_path):
    """A cluster whose one worker has a DATA and a clone of its own at the paths of this machine's, both older."""
    from ray.cluster_utils import Cluster

    clone = tmp_path / "clone"
    shutil.copytree(street.ROOT / "ingest", clone / "ingest", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / "ingest/old.py").touch()
    shutil.copytree(data, tmp_path / "older")
    binds = " && ".join(
        f"mount --bind {its} {ours}"
        for its, ours in ((tmp_path / "older", data), (clone / "ingest", street.ROOT / "ingest"))
    )
    alone = ["unshare", "-m", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*alone, binds], capture_output=True).returncode:
        pytest.skip("needs the right to mount folders in a namespace of its own (unshare -m), which root has on Linux")
    made = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    start = f"{sys.executable} -m ray.scripts.scripts start --address {made.address} --num-cpus 1 --block"
    words = [*alone, f"{binds} && exec {start} --object-store-memory {NODE['object_store_memory']}"]
    node = subprocess.Popen(words, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield made
    node.terminate()
    node.wait()
    made.shutdown()


WHOSE = """
import sys
from ingest import parallel

def whose():
    import importlib.util, ingest
    return importlib.util.find_spec("ingest.old") is not None

print(list(parallel.results([(whose, (), {})], parallel.Ray(sys.argv[1]), what="t")))
"""


def test_a_node_takes_the_code_of_the_command_and_refuses_a_data_of_its_own(apart, data):
    """Ray puts the folder of the command before the code that it sends: the node's own clone at that path did the work.
    What was made below its own DATA stayed there, and the command said that all was done."""
    writer.write_corpus("tiny", data, jobs=1)
    small_corpus.ingest_again(data, "tiny/c00")
    done = call(*SHARDS, *on(apart), data=data, check=False)
    assert done.returncode == 2 and f"does not see the {data} of this command" in done.stderr.splitlines()[-1]
    words = [sys.executable, "-c", WHOSE, apart.address]
    done = subprocess.run(words, cwd=street.ROOT, env=street.environment(), capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["[False]"], done.stderr


def test_no_cluster_is_one_line(data):
    done = call(*SHARDS, "--backend", "ray", "--address", "127.0.0.1:9", data=data, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "no Ray cluster to use at 127.0.0.1:9" in done.stderr


def test_the_node_of_the_driver_killed_is_one_line(cluster, data):  # the last test: nothing of the cluster is left
    process = at_work(cluster, data)
    for node in cluster.list_all_nodes():
        node.kill_raylet()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in said, said
    assert "failed (" in said and "what is finished is kept" in said.splitlines()[-1]
