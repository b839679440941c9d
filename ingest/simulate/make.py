"""Make corpora: render the takes in parallel, write beside the target, rename when whole."""

import importlib.util
import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ingest import parallel
from ingest.files import lock, writable
from ingest.progress import Progress
from ingest.simulate import MARKER, Made, names
from ingest.simulate.codecs import STAND_INS
from ingest.simulate.plan import File, Layout, Take
from ingest.types import DataError, nearest

RECIPE = 2  # raise it whenever the audio or the layouts change: older corpora are then made again
CHUNK = 4  # takes per piece of work


def make(
    out: Path, *, seed: int, corpora: Sequence[str] | None, speech: Path | None, jobs: int | None
) -> dict[str, Made]:
    """The work behind `ingest.simulate.simulate`, which documents it."""
    chosen = list(corpora) if corpora is not None else names()
    for name in chosen:
        if name not in names():
            raise nearest(name, names(), what="corpus")
    layouts = {name: layout(name, seed) for name in names()}
    world = importlib.util.find_spec("pyworld") is not None  # without its wheel other vocoders stand in
    note = {"seed": seed, "recipe": RECIPE, "speech": None, "world": world, "stand_ins": STAND_INS}
    if speech is not None:
        from ingest.simulate.recordings import assign

        note |= assign(layouts, speech, seed)
    jobs = jobs or parallel.cores()
    with writable(out), lock(out / ".lock", keep=False):
        return {name: _corpus(out, name, layouts[name], note, jobs) for name in chosen}


def layout(name: str, seed: int) -> Layout:
    """The plan of one simulated corpus."""
    return importlib.import_module(f"ingest.simulate.layouts.{name}").layout(seed)


def _corpus(out: Path, name: str, plan: Layout, note: dict, jobs: int) -> Made:
    root, part = out / name, out / f".{name}.part"
    marker = json.dumps(marker_content(plan, note), indent=1, sort_keys=True) + "\n"
    shutil.rmtree(part, ignore_errors=True)  # what a killed process left
    found = root / MARKER
    if found.is_file() and found.read_text() == marker:
        return _made(root, made=False)
    if root.exists() and not found.is_file() and any(root.iterdir()):
        raise DataError(f"{root} exists and was not made by simulate; pass another folder as --out")
    _render(part, name, plan, note["seed"], jobs)
    for path, text in plan.texts.items():
        file = part / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    (part / MARKER).write_text(marker)
    shutil.rmtree(root, ignore_errors=True)
    part.rename(root)
    return _made(root, made=True)


def marker_content(plan: Layout, note: dict) -> dict:
    """What `.siren-simulated` says."""
    rows = sorted(plan.counts.items(), key=lambda item: (item[0][0] or "", item[0][1]))
    return {"counts": [[partition, label, count] for (partition, label), count in rows], **note}


def _made(root: Path, *, made: bool) -> Made:
    files = [path for path in root.rglob("*") if path.is_file()]
    audio = sum(path.suffix in (".wav", ".flac") for path in files)
    return Made(root, audio, sum(path.stat().st_size for path in files), made)


def _render(part: Path, name: str, plan: Layout, seed: int, jobs: int) -> None:
    by_take: dict[Take, list[File]] = defaultdict(list)
    for file in plan.files:
        by_take[file.take].append(file)
        (part / file.path).parent.mkdir(parents=True, exist_ok=True)
    takes = list(by_take.values())
    pieces = [takes[start : start + CHUNK] for start in range(0, len(takes), CHUNK)]
    from ingest.simulate.render import write_files

    with Progress(f"simulate {name}", total=len(plan.files), unit="file") as progress:
        tasks = ((write_files, (part, piece, seed), {}) for piece in pieces)
        for count in parallel.results(tasks, min(jobs, len(pieces)), what=f"simulate {name}"):
            progress.add(count)
