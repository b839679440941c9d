"""A Ray cluster on loopback whose workers and nodes can be killed: two nodes of one CPU.

python cluster.py holds it; `Cluster` starts that and speaks to it by lines: whole, wait, worker, node, calm.
"""

import contextlib
import importlib.util
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from lines import Lines, answered

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
AT_WORK = b"ray::_answer"  # the title of a worker that has one of our tasks
INIT = 1  # the parent of whoever has lost its own
PATIENCE_S = 60


def usable() -> bool:
    """Whether Ray is installed."""
    return importlib.util.find_spec("ray") is not None


class Cluster(Lines):
    """The cluster, from the side of who disturbs it."""

    def __init__(self, base: Path):
        super().__init__(__file__, base / "cluster.log", {"RAY_USAGE_STATS_ENABLED": "0"})
        self.options = ("--backend", "ray", "--address", self.first)

    def whole(self) -> None:
        """Have two nodes again."""
        self.say("whole")

    def wait(self, driver: int) -> bool:
        """Until one of our tasks is at work, or the driver is gone: whether one is."""
        return self.say(f"wait {driver}") == "yes"

    def worker(self) -> bool:
        """SIGKILL to a worker with one of our tasks; whether there was one."""
        return self.say("worker") == "yes"

    def node(self) -> None:
        """SIGKILL to a node: its raylet, whose workers end when they find it gone."""
        self.say("node")

    def calm(self) -> None:
        """Wait until no worker has one of our tasks, which one whose driver or node is gone may for a while."""
        self.say("calm")


def workers(parents: set[int]) -> list[int]:
    """Process ids of the children of these processes that have one of our tasks."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().startswith(AT_WORK):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found += [int(folder.name)] if parent in parents else []
    return found


def serve() -> None:
    """Answer lines on standard input until it is closed."""
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})

    def whole() -> None:
        if not nodes.worker_nodes:
            nodes.add_node(**NODE)

    def at_work() -> list[int]:
        return workers({one.process.pid for node in nodes.list_all_nodes() for one in node.all_processes["raylet"]})

    def until(done: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done() and time.monotonic() < end:
            time.sleep(0.02)

    def answer(word: str, rest: str) -> str:
        if word == "whole":
            whole()
        elif word == "wait":
            until(lambda: at_work() or _gone(int(rest)))
        elif word == "node":
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        elif word == "calm":
            until(lambda: not at_work() and not workers({INIT}))
        found = at_work()
        if word == "worker" and found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(found), signal.SIGKILL)
        return "yes" if found else "no"

    whole()
    print(nodes.address, flush=True)
    answered(answer)
    nodes.shutdown()


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


if __name__ == "__main__":
    serve()
