"""What a command asks for, and the cells that this makes on the catalog at hand."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import protocols
from benchmark import cells as grid
from benchmark import grid_files, recorded
from benchmark.cells import Cell, Trials
from benchmark.grid_files import Grid
from ingest import catalog
from ingest.files import atomic, lock
from ingest.types import DataError, nearest

SOURCES = ("ingest", "protocols", "shards", "features", "benchmark")  # whatever may change the cells of a request


@dataclass(frozen=True, slots=True)
class Request:
    """Cells as a user names them. Empty protocols: every one that the catalog can run."""

    protocols: tuple[str, ...]
    detectors: tuple[str, ...]
    seeds: tuple[int, ...]
    assignments: Mapping[str, Mapping[str, Any]]
    weights: str | None = None  # sha256
    trained: bool = True
    partial: bool = False
    lists: Path | None = None  # folder of the user's trial lists
    grid: Grid | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The cells of a request. levels: (level of the grid, run id); skipped: protocol -> why it cannot run."""

    cells: Sequence[Cell]
    on: Mapping[str, Trials]
    skipped: Mapping[str, str]
    levels: Sequence[tuple[str, str]]


def resolve(data: Path, request: Request) -> Resolved:
    """The cells of `request` on the catalog below `data`.

    Raises DataError for unknown names and settings, and for a protocol that was named and cannot run.
    """
    with catalog.connect(data / "catalog.duckdb") as con:
        if request.grid is None:
            on, skipped = trials(con, request)
            found = grid.resolve(on, request.detectors, request.seeds, assignments=request.assignments,
                                 weights=request.weights, trained=request.trained)  # fmt: skip
            return Resolved(found, on, skipped, ())
        return _resolve_grid(con, request, request.grid)


def _resolve_grid(con: Any, request: Request, of: Grid) -> Resolved:
    from benchmark import detectors

    check_names(of, request, _names(con))
    on: dict[str, Trials] = {}
    skipped: dict[str, str] = {}
    found: dict[str, Cell] = {}
    levels: list[tuple[str, str]] = []
    for level, (chosen, instead) in of.levels.items():
        for part in of.parts:
            names = grid_files.chosen(instead or part.protocols, _names(con), what="protocol")
            names = [name for name in names if not request.protocols or name in request.protocols]
            missing = [name for name in names if name not in on and name not in skipped]
            if missing:
                more, less = _runnable(con, missing, request)
                on, skipped = on | more, skipped | less
            here = {name: on[name] for name in names if name in on}
            for detector in grid_files.chosen(part.detectors, detectors.names(), what="detector"):
                if request.detectors and detector not in request.detectors:
                    continue
                own = _assigned(of, detector, chosen, request)
                for cell in grid.resolve(here, [detector], request.seeds, assignments=own, weights=request.weights,
                                         trained=request.trained):  # fmt: skip
                    found.setdefault(cell.run_id, cell)
                    levels.append((level, cell.run_id))
    if not found:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
        raise DataError(f"grid {of.name} has no cell that this catalog can run ({why or 'no protocol chosen'})")
    return Resolved(list(found.values()), on, skipped, sorted(set(levels)))


def check_names(of: Grid, request: Request, known: Sequence[str]) -> None:
    """Raise DataError for a name that would be passed over: of a detector in [set], of a protocol in [columns], or of
    what the user asks for and the grid does not have. known: every protocol."""
    from benchmark import detectors

    for name in of.settings:
        if name not in ("all", *detectors.names()):
            raise nearest(name, ("all", *detectors.names()), what=f"detector in [set] of grid {of.name}")
    for column, (protocol, _) in of.columns.items():
        if protocol and protocol not in known:
            raise nearest(protocol, known, what=f"protocol in [columns.{column}] of grid {of.name}")
    patterns = [instead or part.protocols for _, instead in of.levels.values() for part in of.parts]
    offered = {
        "protocol": {name for words in patterns for name in grid_files.chosen(words, known, what="protocol")},
        "detector": {n for p in of.parts for n in grid_files.chosen(p.detectors, detectors.names(), what="detector")},
    }
    for what, asked in (("protocol", request.protocols), ("detector", request.detectors)):
        for name in asked:
            if name not in offered[what]:
                raise nearest(name, offered[what], what=f"{what} of grid {of.name}")


def _assigned(of: Grid, detector: str, level: Mapping[str, Any], request: Request) -> dict[str, dict[str, Any]]:
    """What a detector is set to at one level: the grid's settings, the level's, then the user's."""
    own = {
        **of.settings.get("all", {}), **of.settings.get(detector, {}), **level,
        **request.assignments.get("", {}), **request.assignments.get(detector, {}),
    }  # fmt: skip
    return {detector: own}


def trials(con: Any, request: Request) -> tuple[dict[str, Trials], dict[str, str]]:
    """The trials of the named protocols; else of all that the catalog can run, and why the others cannot."""
    if request.protocols:
        return {name: _made(con, name, request) for name in request.protocols}, {}
    found, skipped = _runnable(con, _names(con), request)
    if not found:
        raise DataError("the catalog can run no protocol; see python -m protocols list")
    return found, skipped


def _names(con: Any) -> list[str]:
    """Every protocol, the user's too."""
    return protocols.names(protocols.own(catalog.folder(con)))


def _runnable(con: Any, names: Sequence[str], request: Request) -> tuple[dict[str, Trials], dict[str, str]]:
    found, skipped = {}, {}
    for name in names:
        try:
            on = _made(con, name, request)
        except DataError as error:
            skipped[name] = str(error)
            continue
        if on.role("test").num_rows and (not request.trained or on.role("train").num_rows):
            found[name] = on
        else:
            skipped[name] = "it has no training trials" if on.role("test").num_rows else "it has no test trials here"
    return found, skipped


def _made(con: Any, name: str, request: Request) -> Trials:
    return grid.trials(con, name, partial=request.partial, lists=request.lists)


def remembered(path: Path) -> tuple[list[str], dict[str, str]] | None:
    """The run ids of the request with this `memo`, and the protocols it left out and why. None if not known.

    A matrix that is complete is then known to be complete without any trial list being made again.
    """
    if not path.exists():
        return None
    try:
        known = recorded.read(path)
    except DataError:
        return None  # it saves time, nothing else
    runs, not_run = known.get("runs"), known.get("not_run")
    return (runs, not_run) if recorded.WORDS.holds(runs) and isinstance(not_run, dict) else None


def remember(path: Path, found: Resolved) -> None:
    """Keep what the request with this `memo` came to for `remembered`."""
    known = {"runs": [cell.run_id for cell in found.cells], "not_run": dict(found.skipped)}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(known))


def memo(data: Path, request: Request) -> Path:
    """Where it is kept what a request comes to: a file named after all that this depends on, as it is now.

    Asked for before the request is resolved: who changes the catalog while its cells run makes another request of it.
    """
    path = data / "catalog.duckdb"
    stamp, journal = _stamp(path), _stamp(path.with_name(f"{path.name}.wal"))  # where a killed ingest may have its rows
    if stamp is None:
        raise DataError(f"{path} does not exist; ingest a corpus first: python -m ingest CORPUS --root DIR")
    asked = [
        request.protocols, request.detectors, request.seeds, request.assignments, request.weights, request.trained,
        request.partial, repr(request.grid), _code(), stamp, journal,
        _stamps(request.lists or data / "lists"), _stamps(data / "protocols"), _named_files(request),
    ]  # fmt: skip
    return data / "plans" / f"{grid.digest(asked)}.json"


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None if there is none."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_size, about.st_mtime_ns


def _named_files(request: Request) -> list[tuple]:
    """What lies at each path that a setting names: a file of pretrained weights, or the files of a folder."""
    tables = [*request.assignments.values()]
    if of := request.grid:
        tables += [*of.settings.values(), *(chosen for chosen, _ in of.levels.values())]
    words = {word for table in tables for word in table.values() if isinstance(word, str)}
    places = [Path(os.path.expanduser(word)) for word in sorted(words)]
    folders = [path for place in places if os.path.isdir(place) for path in sorted(place.glob("*"))]
    return [(str(path), _stamp(path)) for path in (*places, *folders) if os.path.isfile(path)]


def _stamps(folder: Path) -> list[tuple]:
    """Names, sizes and times of the files below a folder."""
    places = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path), _stamp(path)) for path in places]


def _code() -> str:
    """Hash of every source from which cells are made."""
    hashed = hashlib.sha256()
    for path in grid.outside():
        hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    for package in SOURCES:
        for path in sorted((grid.ROOT / package).rglob("*")):
            if path.suffix in (".py", ".toml", ".sql"):
                hashed.update(path.relative_to(grid.ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()


def note_levels(data: Path, of: Grid, levels: Sequence[tuple[str, str]]) -> None:
    """Keep which run is which level of a grid in DATA/grids, for the results catalog; earlier ones stay."""
    path = data / "grids" / f"{of.name}.json"
    with lock(data / "grids" / ".lock"):  # each adds its own to what is there
        before = recorded.grid(path)["levels"] if path.exists() else []
        about = {
            "grid": of.name, "title": of.title, "source": of.source, "note": of.note,
            "order": list(of.levels), "columns": {name: list(place) for name, place in of.columns.items()},
            "levels": sorted({tuple(pair) for pair in before} | set(levels)),
        }  # fmt: skip
        text = json.dumps(about, indent=1, sort_keys=True) + "\n"
        if not path.exists() or path.read_text() != text:
            with atomic(path) as temporary:
                temporary.write_text(text)
