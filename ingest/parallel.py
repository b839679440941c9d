"""Where tasks run: one after the other, in processes of this machine, or on a Ray cluster.

A task is what `joblib.delayed(function)(...)` gives; it writes its own file, may run twice, and returns a little.
"""

import argparse
import contextlib
import functools
import os
import signal
import socket
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest import memory
from ingest.files import lock
from ingest.types import DataError

BACKENDS = ("local", "ray")
PACKAGES = ("ingest", "protocols", "shards", "features", "benchmark", "reports")
CONNECT_S = 10
ORPHAN_S = 1.0  # how often a process looks whether the one that started it is there
GROWN_BYTES = 1 << 30  # a worker that has grown by more since its first task is replaced
MOST_JOBS = 4096  # a larger number counts as this one
LOOK_S = 5.0  # how often a driver looks for the head of its cluster, and for nodes that have come
GONE_S = 30.0  # a head that does not answer for so long is gone; Ray would end this process after a minute
RETRIES = 3  # a task whose worker or node dies is started again this often
_SIGN = ".siren-seen-"

Task = tuple[Any, tuple, dict]


@dataclass(frozen=True, slots=True)
class Ray:
    """A running Ray cluster: `auto`, HOST:PORT or ray://HOST:PORT; at most `tasks` at once (None: what fits)."""

    address: str = "auto"
    tasks: int | None = None


Jobs = int | Ray  # so many processes here, or a cluster


def cores() -> int:
    """Processor cores that this process may use, by its affinity and the quota of its container; where the system does
    not tell (macOS), all of them."""
    from joblib import cpu_count

    return cpu_count()


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add --jobs of a command that runs on this machine alone: a number of processes, None for one per core."""
    parser.add_argument("--jobs", type=_jobs, metavar="N", help="processes (default: one per core)")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add --jobs, --backend and --address; `chosen` reads them."""
    parser.add_argument("--jobs", type=_jobs, metavar="N",
                        help="tasks at once (default: as many as pay off; on Ray: as many as fit)")  # fmt: skip
    parser.add_argument("--backend", choices=BACKENDS, default="local",
                        help="local: processes here (default); ray: a cluster, see docs/cluster.md")  # fmt: skip
    parser.add_argument("--address", metavar="HOST:PORT",
                        help="head of the cluster, with --backend ray (default: $RAY_ADDRESS, or here)")  # fmt: skip


def chosen(options: argparse.Namespace) -> Jobs | None:
    """What the options of `add_jobs` say; None: processes here, as many as pay off."""
    if options.backend == "ray":
        return Ray(options.address or os.environ.get("RAY_ADDRESS", "auto"), options.jobs)
    if options.address:
        raise DataError("--address is for --backend ray; add it, or leave the address out")
    return options.jobs


def results(
    tasks: Iterable[Task], jobs: Jobs, *, what: str, gpus: float = 0, ordered: bool = False, batch: int | str = "auto",
    seen: Path | None = None,
) -> Iterator[Any]:  # fmt: skip
    """What the tasks return, in the order in which they end; tasks are taken from the iterator as they start.

    jobs: 1 runs them in this process, one after the other. gpus: how many GPUs of its node a task takes, on Ray.
    ordered: in the order of the tasks (not on Ray). batch: tasks handed to a process at once. seen: a file of this
    machine whose folder must be the same on each node of a cluster.
    Processes end when this one does, even if it is killed.
    A task's DataError is raised here and starts no further task. Raises DataError as well when a worker was killed
    and, on Ray, when starting the task again did not help.
    """
    if isinstance(jobs, Ray):
        return _on_ray(tasks, jobs, what, gpus, seen)
    memory.keep_freed()
    return _here(tasks, jobs, what, ordered, batch)


def _here(tasks: Iterable[Task], jobs: int, what: str, ordered: bool, batch: int | str) -> Iterator[Any]:
    from joblib import Parallel
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        if jobs != 1:  # joblib starts a worker that has grown by too much anew and warns of it; no task is lost
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor")
            tasks = ((_bound, (os.getpid(), *task), {}) for task in tasks)
        order = "generator" if ordered else "generator_unordered"
        yield from Parallel(n_jobs=jobs, return_as=order, batch_size=batch)(tasks)
    except TerminatedWorkerError:
        raise DataError(
            f"{what}: a worker process was killed, perhaps for want of memory; what is finished is kept: "
            "run the same command again, with fewer --jobs"
        ) from None


def _bound(parent: int, function: Any, positional: tuple, named: dict) -> Any:
    _settle(parent)
    return function(*positional, **named)


@functools.cache
def _settle(parent: int) -> None:
    """Once in each worker: keep freed memory; grow by what torch takes, if not the first task imports it, without being
    started anew; end when `parent` is gone."""
    from joblib.externals.loky import process_executor

    if os.getpid() != parent:
        memory.keep_freed()
        process_executor._MAX_MEMORY_LEAK_SIZE = GROWN_BYTES  # joblib has no option for it
        end_with(parent)


def end_with(parent: int) -> None:
    """Let this process end when the one that started it is gone: its queue would keep an orphan waiting for ever, with
    all it holds."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(tasks: Iterable[Task], cluster: Ray, what: str, gpus: float, seen: Path | None) -> Iterator[Any]:
    ray = connect(cluster.address)
    with _signed(seen) as sign:
        yield from _tasks_on_ray(ray, tasks, cluster, what, gpus, sign)


@contextlib.contextmanager
def _signed(seen: Path | None) -> Iterator[Path | None]:
    """A file beside `seen` of a name that was never used, while this lasts: a node with a folder of its own lacks it.

    `seen` itself where nothing may be written. Files of commands that were killed are removed.
    """
    if seen is None or not os.access(seen.parent, os.W_OK):
        yield seen
        return
    for left in seen.parent.glob(f"{_SIGN}*"):
        with contextlib.suppress(DataError), lock(left, wait=False, keep=False):
            pass
    sign = seen.with_name(f"{_SIGN}{uuid.uuid4().hex}.lock")
    with lock(sign, keep=False):
        yield sign


def _tasks_on_ray(
    ray: Any, tasks: Iterable[Task], cluster: Ray, what: str, gpus: float, sign: Path | None
) -> Iterator[Any]:
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_answer)
    head = cluster.address if ":" in cluster.address else ray.get_runtime_context().gcs_address
    waiting, pending, looked = iter(tasks), [], -LOOK_S
    try:
        while True:
            if time.monotonic() - looked > LOOK_S:
                _reach(head, GONE_S)
                room = cluster.tasks or 2 + 2 * int(ray.cluster_resources().get("CPU", 1))  # some wait: no node idles
                looked = time.monotonic()
            while len(pending) < room and (task := next(waiting, None)) is not None:
                pending.append(remote.remote(sign, *task))
            if not pending:
                return
            ended, pending = ray.wait(pending, num_returns=1, timeout=LOOK_S, fetch_local=False)
            for answer in ray.get(ended):
                if isinstance(answer, _Refused):
                    raise DataError(answer.reason)
                yield answer
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError) as error:
        raise DataError(
            f"{what}: a task was killed {RETRIES + 1} times on the cluster ({type(error).__name__}), perhaps for want "
            "of memory; what is finished is kept: run the same command again, with fewer --jobs or larger nodes"
        ) from None
    except ray.exceptions.RayTaskError:  # a bug of ours
        raise
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise DataError(
            f"{what}: the Ray cluster at {cluster.address} failed ({_first_line(error)}); what is finished is kept: "
            "run the same command again when it is back"
        ) from None
    finally:
        for task in pending:
            ray.cancel(task)


@dataclass(frozen=True, slots=True)
class _Refused:
    """The line of a DataError, on its way back from a node: Ray would wrap the exception in its traceback."""

    reason: str


def _answer(sign: Path | None, function: Any, positional: tuple, named: dict) -> Any:
    if sign is not None and not sign.exists():  # what is read there is another's, what is written stays there
        return _Refused(
            f"node {socket.gethostname()} of the cluster does not see the {sign.parent} of this command; it must lie "
            "on a file system that all nodes share, under the same path (docs/cluster.md)"
        )
    memory.keep_freed()
    try:
        return function(*positional, **named)
    except DataError as error:
        return _Refused(str(error))


def connect(address: str) -> Any:
    """The module `ray`, connected to the cluster at `address`; the code here goes to its nodes.

    Raises DataError if Ray is not installed, or there is no cluster, or one of another Ray or Python version.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of tasks that nobody waits for: the command has ended
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")  # `ray job submit` may have given a working_dir
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # else a task too large for its node is killed for ever
    try:
        import ray
    except ImportError:
        raise DataError(
            "--backend ray needs Ray; run: pip install 'sirenbench[cluster]' (in a clone: pip install '.[cluster]')"
        ) from None
    if ray.is_initialized():
        return ray
    root = Path(__file__).resolve().parents[1]
    packages = [str(root / name) for name in PACKAGES if (root / name).is_dir()]
    main = threading.current_thread() is threading.main_thread()
    on_term = signal.getsignal(signal.SIGTERM) if main else None
    try:
        _reach(address)
        with tempfile.TemporaryDirectory() as empty:  # else a node takes modules of its own from where this works
            ray.init(
                address=address, log_to_driver=False, logging_level="ERROR",
                runtime_env={"py_modules": packages, "excludes": ["__pycache__"], "working_dir": empty},
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        if str(error).startswith("Version mismatch"):
            raise DataError(
                f"the Ray cluster at {address} is not of the versions here ({' '.join(str(error).split())}); make them "
                "the same on all nodes (docs/cluster.md), or leave --backend ray out"
            ) from None
        raise DataError(
            f"no Ray cluster to use at {address} ({_first_line(error)}); start one: ray start --head "
            "(docs/cluster.md), or leave --backend ray out"
        ) from None
    if on_term is not None:  # Ray takes it, for a stack of its own and another code
        signal.signal(signal.SIGTERM, on_term)
    return ray


def _reach(address: str, patience_s: float = 0.0) -> None:
    """Raise ConnectionError if nobody answers at HOST:PORT for so long: Ray itself would try for ten minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    end = time.monotonic() + patience_s
    while colon and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise ConnectionError(str(error)) from None
            time.sleep(1)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= len(text) <= 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"takes a whole number of at least 1, not {text[:40]!r}")
    return min(int(text), MOST_JOBS)
