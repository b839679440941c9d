"""What a second worker is worth: two processes beside one, and a Ray cluster of two one-CPU nodes beside processes."""

import hashlib
import importlib.util
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from joblib import delayed

from features import compute
from ingest import parallel, turns
from shards import bench as shard_bench
from shards import index, writer

FEATURES = ("f0", "cqcc")  # a little and a lot to write
SHARDS, CLIPS, ROUNDS = 36, 33, 7  # clips of 4 s in each shard; a task is one shard
HASHES = 10_000  # about as long as a task
OBJECT_STORE_BYTES = 100 << 20


def rows() -> list[dict[str, Any]]:
    """One row a comparison: value and limit in clips/s, reach = least value / limit; medians of rounds in turns.

    A cluster is started after the processes were measured alone: it takes its share of the cores when idle, too.
    Rows of Ray are there only where it is installed. Raises RuntimeError if one way of running the tasks gives other
    bytes than another.
    """
    with tempfile.TemporaryDirectory() as name:
        found = [_machine(Path(name))]
        for feature in FEATURES:
            folder = Path(name, feature)
            folder.mkdir()
            tasks = _tasks(folder, feature)
            calls = {"one process": partial(_run, tasks, 1), "two processes": partial(_run, tasks, 2)}
            timed, what = _timed(calls, folder), f"{feature} of {SHARDS} shards"
            whole = f"{what} by two workers, against one"
            found.append(timed.row(whole, "two processes", "one process", unit="clips/s", reach=1.8))
        if importlib.util.find_spec("ray"):
            with cluster() as address:
                del calls["one process"]
                timed = _timed({**calls, "ray": partial(_run, tasks, parallel.Ray(address))}, folder)
            beside = f"{what} on Ray, two nodes of one CPU, against two processes beside it; same bytes"
            found.append(timed.row(beside, "ray", "two processes", unit="clips/s", reach=0.8))
        return found


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes of one CPU each on this machine, stopped afterwards."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        made.add_node(**node)
        yield made.address
    finally:
        ray.shutdown()
        made.shutdown()


def _tasks(folder: Path, feature: str) -> list[parallel.Task]:
    """The computation of one feature shard from one PCM shard each."""
    place, recipe = folder / "data", compute.Recipe.of(feature, None, {}, "float32")
    sources, tasks = itertools.cycle(shard_bench.source_files(folder / "wav", 16_000, "wav")), []
    for number in range(SHARDS):
        clips = list(itertools.islice(sources, CLIPS))
        shard = shard_bench.one_shard(clips, as_is=False, number=number, audio_codec="pcm")
        writer.write_shard(shard, place / "shards")
        about = index.read_about(place / "shards" / shard.name)
        audio = compute.AudioShard(shard.name, "bench", "original", about["sha256"], about["members"])
        tasks.append(delayed(compute.compute_shard)(place, place, recipe, f"bench/{number:02d}.tar", audio))
    return tasks


def _run(tasks: list[parallel.Task], jobs: parallel.Jobs) -> int:
    return sum(parallel.results(tasks, jobs, what="bench", batch=1))


def _machine(folder: Path) -> dict[str, Any]:
    """What two processes are worth on this machine at best: work that shares no memory, no disk and no lock."""
    tasks = [delayed(_busy)() for _ in range(SHARDS)]
    timed = _timed({"one": partial(_run, tasks, 1), "two": partial(_run, tasks, 2)}, folder)
    what = "sha256 of 16 kB over and over by two processes, against one: what the machine gives"
    return timed.row(what, "two", "one", unit="tasks/s", reach=None)


def _busy() -> int:
    data = bytes(16 << 10)
    for _ in range(HASHES):
        data = hashlib.sha256(data).digest() + data[32:]
    return 1


def _timed(calls: dict[str, Callable[[], int]], folder: Path) -> turns.Turns:
    """The calls in turns. What was made is removed in between, as replacing a file waits for the disk, which nothing
    does the first time."""
    made: list[str] = []

    def remove() -> None:
        tars = sorted((folder / "data" / "features").rglob("*.tar"))
        if len(made) < len(calls):
            made.append(hashlib.sha256(b"".join(tar.read_bytes() for tar in tars)).hexdigest())
        for tar in tars:
            tar.unlink()

    timed = turns.in_turns(calls, ROUNDS, after=remove)
    if len(set(made)) != 1:
        raise RuntimeError(f"{' and '.join(calls)} did not give the same bytes")
    return timed
