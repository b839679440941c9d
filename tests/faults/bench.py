"""The sandbox that faults happen in: its state before each stage, and what an undisturbed run makes of it."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import processes
import stages
from processes import Conditions, Running
from stages import Stage


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a stage's command made, and what it took: seconds, bytes, the largest file."""

    digest: dict[str, str]
    seconds: float
    grown_bytes: int
    largest_bytes: int
    traffic_bytes: int = 0  # to and from the object store


@dataclass(slots=True)
class Bench:
    """base/sandbox is where everything runs, always at the same paths; base/snapshots keeps its data/ by state.

    store, cluster: the object store and the Ray cluster, where faults of them are asked for.
    """

    base: Path
    states: dict[tuple, Path] = field(default_factory=dict)
    undisturbed: dict[tuple, Undisturbed] = field(default_factory=dict)
    store: Any = None
    cluster: Any = None
    numbers: int = 0
    mounts: bool = False
    freezes: bool = False
    others_run: bool = False

    @property
    def sandbox(self) -> Path:
        """The folder of corpora/ and data/."""
        return self.base / "sandbox"

    @property
    def data(self) -> Path:
        """DATA of every command."""
        return self.sandbox / "data"

    def conditions(self, *, remote: bool = False, **more: Any) -> Conditions:
        """The environment of every command; remote: with the way to the object store."""
        env = {"OMP_NUM_THREADS": "1", "TMPDIR": str(self.sandbox / "tmp"), "HOME": str(self.sandbox), "PYTHONPATH": str(processes.ROOT),
               "MPLCONFIGDIR": str(self.sandbox / "tmp")}  # fmt: skip
        return Conditions(env | (self.store.env if remote else {}), **more)

    def start(self, words: Sequence[str], conditions: Conditions | None = None) -> Running:
        """Start a command."""
        self.numbers += 1
        logs = self.base / "logs"
        logs.mkdir(exist_ok=True)
        return processes.start(words, logs, f"{self.numbers:05d}", conditions or self.conditions())

    def restored(self, after: tuple[str, ...], gone: Sequence[str] = (), *, remote: bool = False) -> None:
        """Bring data/ to the state after some stages, with some of it taken away."""
        source = self._state(after, remote=remote)
        clear(self.data)
        shutil.copytree(source / "data", self.data, dirs_exist_ok=True)
        if remote:
            self.store.load(source / "objects")
        for name in gone:
            path = self.data / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def make(self) -> None:
        """The corpus and all that is not made by a stage."""
        import corpus

        self.mounts, self.freezes = may_mount(self.base), may_freeze(self.base)
        self.others_run = may_run_as(processes.NOBODY)
        (self.sandbox / "tmp").mkdir(parents=True)
        self.data.mkdir()
        processes.apart(lambda: corpus.write(self.sandbox / "corpora"))
        corpus.write_plan(self.sandbox / "two.toml")
        with contextlib.suppress(RuntimeError):  # without Demucs there is no stage of vocals
            processes.apart(lambda: corpus.write_demucs(self.sandbox / "demucs"))

    def known(self, stage: Stage, *, remote: bool = False) -> Undisturbed:
        """What an undisturbed run of a stage makes."""
        key = (stage.name, stage.words, remote)
        if key not in self.undisturbed:
            self.restored(stage.after, stage.gone, remote=remote)
            before = size_of(self.data)
            if remote:
                self.store.passed()
            started = time.monotonic()
            self._run(self.words(stage, remote=remote), remote=remote)
            seconds = time.monotonic() - started
            grown = size_of(self.data) - before
            sizes = [path.stat().st_size for path in self.data.rglob("*") if path.is_file()]
            self.undisturbed[key] = Undisturbed(
                self.look(remote=remote)["digest"],
                seconds,
                max(grown, 4096),
                max(sizes),
                self.store.passed() if remote else 0,
            )
        return self.undisturbed[key]

    def words(self, stage: Stage, *, jobs: int = 1, remote: bool = False) -> tuple[str, ...]:
        """The command of a stage; with the shards in the store, the first stage that makes any says so."""
        words = stages.command(stage.words, self.sandbox, jobs=jobs if stage.jobs else None)
        to = ("--to", f"{self.store.url}") if remote and stage.name == "shards" else ()
        return (*words, *to)

    def look(self, *, finished: bool = True, remote: bool = False) -> dict[str, Any]:
        """Digest of data/ and what is broken in it; remote: of the objects, too."""
        import contents

        if remote:
            objects = self.base / "objects"
            shutil.rmtree(objects, ignore_errors=True)
            objects.mkdir()
            self.store.dump(objects)

        def both() -> dict[str, Any]:
            folders = [self.data, *([self.base / "objects"] if remote else [])]
            wrong = [one for folder in folders for one in contents.broken(folder, finished=finished)]
            digests = [contents.digest(folder) for folder in folders if finished and not wrong]
            return {"digest": {k: v for one in digests for k, v in one.items()}, "broken": wrong}

        return processes.apart(both)

    def _state(self, after: tuple[str, ...], *, remote: bool) -> Path:
        key = (*after, "remote") if remote and "shards" in after else after
        if key not in self.states:
            folder = self.base / "snapshots" / ("-".join(key) or "empty")
            folder.mkdir(parents=True)
            if after:
                self.restored(after[:-1], remote=remote)
                stage = next(stage for stage in stages.STAGES if stage.name == after[-1])
                self._run(self.words(stage, remote=remote), remote=remote)
            else:
                clear(self.data)
            shutil.copytree(self.data, folder / "data")
            (folder / "objects").mkdir()
            if remote:
                self.store.dump(folder / "objects")
            self.states[key] = folder
        elif remote and not (self.states[key] / "objects").exists():
            (self.states[key] / "objects").mkdir()
        return self.states[key]

    def _run(self, words: Sequence[str], *, remote: bool) -> None:
        running = self.start(words, self.conditions(remote=remote))
        if running.wait() != 0:
            raise RuntimeError(f"undisturbed, {' '.join(words)} ends with {running.code}: {running.said}")


def clear(folder: Path) -> None:
    """Empty a folder that may be a mount point."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on a file system of pages."""
    pages = (-(-path.lstat().st_size // 4096) + 1 for path in folder.rglob("*"))
    return 4096 * sum(pages)


def may_mount(base: Path) -> bool:
    """Whether this process may mount a file system; a container often may not."""
    place = base / "mounted"
    place.mkdir(exist_ok=True)
    if _done("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)):
        return _done("umount", str(place))
    return False


def may_freeze(base: Path) -> bool:
    """Whether this process may make a folder immutable here: a right, and a matter of the file system."""
    place = base / "frozen"
    place.mkdir(exist_ok=True)
    return _done("chattr", "+i", str(place)) and _done("chattr", "-i", str(place))


def may_run_as(uid: int) -> bool:
    """Whether this process may become another user, and that one may read this Python."""
    return _done(sys.executable, "-c", "import encodings.utf_8_sig, duckdb", user=uid)


def _done(*words: str, user: int | None = None) -> bool:
    try:
        return subprocess.run(words, capture_output=True, user=user, cwd="/").returncode == 0
    except (FileNotFoundError, PermissionError):
        return False
