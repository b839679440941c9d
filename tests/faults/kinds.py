"""The faults: each disturbs one run of a stage's command, undoes itself, and tells how that run ended."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import Bench
from processes import NOBODY, Running
from stages import Stage

DAY_S = 86_400
RAY_STARTS_S = 6.0  # what a command takes until it is on a cluster


@dataclass(frozen=True, slots=True)
class Told:
    """How the disturbed commands ended, which codes were allowed, and what was done to them in words."""

    runs: tuple[Running, ...]
    codes: frozenset[int]
    how: str
    hit: bool = True  # whether the fault met a command that was at work
    remote: bool = False
    options: tuple[str, ...] = ()  # of the command, beside those of its stage


def _at_a_moment(bench: Bench, stage: Stage, rng: random.Random) -> tuple[Running, float, int]:
    """Start a stage's command and wait until a random moment of it: the command, the moment in s, how many jobs."""
    jobs = 2 if stage.jobs and rng.random() < 0.25 else 1
    known = bench.known(stage)
    bench.restored(stage.after, stage.gone)
    running = bench.start(bench.words(stage, jobs=jobs))
    moment = rng.uniform(0, known.seconds * (1.1 if jobs == 1 else 2.5))
    _until(running, moment)
    return running, moment, jobs


def kill(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """SIGKILL at a random moment: to all its processes, to the driver alone, or to one worker."""
    running, moment, jobs = _at_a_moment(bench, stage, rng)
    hit, workers = not running.ended(), running.workers()
    whom = rng.choice(("all", "all", "driver", "worker"))
    if whom == "worker" and workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(workers), signal.SIGKILL)
    elif whom == "driver" and hit:
        os.kill(running.pid, signal.SIGKILL)
    else:
        whom = "all"
        running.kill(signal.SIGKILL)
    running.wait()
    running.kill(signal.SIGKILL)  # workers whose driver is gone
    return Told((running,), frozenset({0, 2, -signal.SIGKILL}), f"{whom} at {moment:.2f} s, jobs {jobs}", hit)


def stop(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """SIGTERM or SIGINT at a random moment, to all processes as a terminal does, or to the driver as a scheduler does."""
    running, moment, jobs = _at_a_moment(bench, stage, rng)
    hit = not running.ended()
    number, everyone = rng.choice((signal.SIGTERM, signal.SIGINT)), rng.random() < 0.5
    if hit and everyone:
        running.kill(number)
    elif hit:
        os.kill(running.pid, number)
    running.wait()
    running.kill(signal.SIGKILL)
    how = f"{number.name} to {'all' if everyone else 'the driver'} at {moment:.2f} s, jobs {jobs}"
    return Told((running,), frozenset({0, 128 + number, -number}), how, hit)


def full(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """A disk that has room for a part of the output only: a small tmpfs, or a limit on the size of a file."""
    known = bench.known(stage)
    if rng.random() < 0.6 and bench.mounts:
        room = rng.randrange(0, int(1.1 * known.grown_bytes))
        with small_disk(bench, stage, room):
            running = bench.start(bench.words(stage))
            running.wait()
        how = f"tmpfs with {room >> 10} KiB left"
    else:
        room = int(known.largest_bytes * rng.uniform(0, 1) ** 2)
        bench.restored(stage.after, stage.gone)
        running = bench.start(bench.words(stage), bench.conditions(largest_bytes=room))
        running.wait()
        how = f"no file over {room} bytes"
    return Told((running,), frozenset({0, 1, 2}), how, running.code != 0)


@contextlib.contextmanager
def small_disk(bench: Bench, stage: Stage, room: int) -> Iterator[None]:
    """data/ on a tmpfs with so many bytes left; afterwards what it holds lies in data/ as ever."""
    disk = bench.base / "disk"
    disk.mkdir(exist_ok=True)
    bench.restored(stage.after, stage.gone)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g,mode=755", "tmpfs", str(disk)], check=True)
    try:
        shutil.copytree(bench.data, disk, dirs_exist_ok=True)
        used = os.statvfs(disk)
        taken = (used.f_blocks - used.f_bfree) * used.f_frsize
        size = max(taken + room, 4096) // 4096 * 4096
        subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
        subprocess.run(["mount", "--bind", str(disk), str(bench.data)], check=True)
        try:
            yield
        finally:
            _unmount(bench.data)
        shutil.rmtree(bench.data)
        shutil.copytree(disk, bench.data)
    finally:
        _unmount(disk)


def readonly(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """A target that takes nothing: mounted read-only, immutable folders, or a user without the right."""
    bench.known(stage)
    bench.restored(stage.after, stage.gone)
    ways = ["mounted read-only"] * bench.mounts + ["immutable"] * bench.freezes
    ways += ["another user"] * bench.others_run + ["no right to write"] * (os.geteuid() != 0)
    if not ways:  # root in a container without rights: nothing refuses it
        ways = ["nothing"]
    way = rng.choice(ways)
    conditions = bench.conditions(uid=NOBODY if way == "another user" else None)
    with _refusing(bench.data, way, rng):
        running = bench.start(bench.words(stage), conditions)
        running.wait()
    return Told((running,), frozenset({0, 1, 2}), way, running.code != 0)


@contextlib.contextmanager
def _refusing(data: Path, way: str, rng: random.Random) -> Iterator[None]:
    folders = [data, *sorted(path for path in data.rglob("*") if path.is_dir())]
    if way == "mounted read-only":
        subprocess.run(["mount", "--bind", str(data), str(data)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(data)], check=True)
        try:
            yield
        finally:
            _unmount(data)
    elif way == "immutable":
        chosen = folders if rng.random() < 0.5 else [rng.choice(folders)]
        subprocess.run(["chattr", "+i", *map(str, chosen)], check=True)
        try:
            yield
        finally:
            subprocess.run(["chattr", "-i", *map(str, chosen)], check=True)
    elif way == "no right to write":
        for folder in folders:
            folder.chmod(0o555)
        try:
            yield
        finally:
            for folder in folders:
                folder.chmod(0o755)
    else:
        yield


def corrupt(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """An input cut short, with bits turned, replaced by noise, emptied or removed; put back afterwards."""
    bench.known(stage)
    bench.restored(stage.after, stage.gone)
    pattern = rng.choice(stage.reads)
    path = rng.choice(sorted(bench.sandbox.glob(pattern)))
    kept = bench.base / "kept"
    shutil.copy2(path, kept)
    way = rng.choice(("cut", "bits", "bits", "noise", "empty", "removed"))
    _damage(path, way, rng)
    running = bench.start(bench.words(stage))
    running.wait()
    shutil.copy2(kept, path)
    return Told((running,), frozenset({0, 1, 2}), f"{way}: {path.relative_to(bench.sandbox)}", running.code != 0)


def _damage(path: Path, way: str, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if way == "removed":
        path.unlink()
        return
    if way == "cut":
        del data[rng.randrange(len(data)) :]
    elif way == "bits":
        for _ in range(rng.choice((1, 4, 32))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif way == "noise":
        data = rng.randbytes(len(data))
    else:
        data = b""
    path.write_bytes(bytes(data))


def clock(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """Years forward or back, for the command and for the times of all that data/ holds."""
    bench.known(stage)
    bench.restored(stage.after, stage.gone)
    off_s = rng.choice((-1, 1)) * rng.choice((3600.0, 400.0 * DAY_S, 20 * 365.0 * DAY_S))
    moved = rng.choice((-1, 1)) * rng.choice((7200.0, 5 * 365.0 * DAY_S))
    for path in bench.data.rglob("*"):
        if path.is_file() and rng.random() < 0.5:
            then = path.stat().st_mtime + moved
            os.utime(path, (then, then))
    running = bench.start(bench.words(stage), bench.conditions(clock_s=off_s))
    running.wait()
    return Told((running,), frozenset({0}), f"clock {off_s / DAY_S:+.2f} days, half the files {moved / DAY_S:+.2f}")


def twice(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """The same command two times at once: both end well, or one says who is at work."""
    known = bench.known(stage)
    bench.restored(stage.after, stage.gone)
    first = bench.start(bench.words(stage))
    pause = rng.uniform(0, 0.5 * known.seconds) * (rng.random() < 0.7)
    time.sleep(pause)
    hit = not first.ended()
    second = bench.start(bench.words(stage))
    first.wait()
    second.wait()
    return Told((first, second), frozenset({0}), f"the second {pause:.2f} s later", hit)


def store(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """The object store goes away after so many bytes, and is back for the next run."""
    known = bench.known(stage, remote=True)
    bench.restored(stage.after, stage.gone, remote=True)
    total = known.traffic_bytes
    after = int(total * rng.uniform(0, 1.05))
    bench.store.cut(after)
    running = bench.start(bench.words(stage, remote=True), bench.conditions(remote=True))
    running.wait()
    bench.store.mend()
    return Told(
        (running,),
        frozenset({0, 1, 2}),
        f"cut after {after} of {total} bytes ({known.seconds:.1f} s)",
        running.code != 0,
        remote=True,
    )


def ray(bench: Bench, stage: Stage, rng: random.Random) -> Told:
    """On a Ray cluster, at a random moment of the tasks or before: a worker, a node or the driver killed, or the driver
    told to end. Ray starts the tasks of a worker or node again, so the command may end well."""
    known, cluster = bench.known(stage), bench.cluster
    bench.restored(stage.after, stage.gone)
    cluster.whole()
    running = bench.start((*bench.words(stage), *cluster.options))
    at_work = rng.random() < 0.8 and cluster.wait(running.pid)
    moment = rng.uniform(0, known.seconds + (0 if at_work else RAY_STARTS_S))
    _until(running, moment)
    hit, whom = not running.ended(), rng.choice(("worker", "node", "driver", "driver told"))
    codes = frozenset({0, 2})
    if whom == "worker":
        hit = hit and cluster.worker()
    elif whom == "node":
        cluster.node()
    elif hit:
        number = signal.SIGKILL if whom == "driver" else signal.SIGTERM
        os.kill(running.pid, number)
        codes = frozenset({0, 128 + number, -number, *([] if at_work else [number])})  # while Ray starts it is Ray's
    running.wait()
    cluster.whole()
    how = f"{whom} {moment:.2f} s after {'the first task' if at_work else 'the start'}"
    return Told((running,), codes, how, hit, options=cluster.options)


def _until(running: Running, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not running.ended():
        time.sleep(min(left, 0.02))


def _unmount(folder: Path) -> None:
    for _ in range(50):
        if subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0:
            return
        time.sleep(0.05)
    subprocess.run(["umount", "-l", str(folder)], check=True)


KINDS: dict[str, Callable[[Bench, Stage, random.Random], Told]] = {
    "kill": kill, "stop": stop, "full": full, "readonly": readonly, "corrupt": corrupt, "clock": clock, "twice": twice,
    "store": store, "ray": ray,
}  # fmt: skip
