"""Grids: TOML files that name protocols, detectors, seeds and the settings that vary.

title   = "..."
source  = "..."                               # paper and table
seeds   = 3
[set.fd_add]                                  # settings of every level, as in --set fd_add.width=8
width = 8
[columns.task1]                               # a figure per level: one subset of one protocol
protocol = "cross_method/librisevoc"
subset   = "average"
[[part]]                                      # protocols x detectors; * and ? are allowed, ! leaves out
protocols = ["cross_method/librisevoc"]
detectors = ["fd_add"]
[levels.a]                                    # what this level sets, for every detector of the grid
b0 = 0.5
[levels."share=0.1"]                          # a level may take other protocols instead
protocols = ["adaptation/uniaudio_multidomain_r10"]
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ingest.types import DataError, nearest

FOLDER = Path(__file__).with_name("grids")
_KEYS = {"title", "source", "note", "seeds", "set", "columns", "part", "levels"}


@dataclass(frozen=True, slots=True)
class Part:
    """Patterns of protocols and of detectors that are crossed with each other."""

    protocols: tuple[str, ...]
    detectors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """One grid file. levels: name -> (settings, protocols that take the place of the parts' or None)."""

    name: str
    title: str
    source: str
    note: str
    seeds: int
    settings: Mapping[str, Mapping[str, Any]]  # detector -> settings of every level; "" = of all detectors
    parts: tuple[Part, ...]
    levels: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...] | None]]
    columns: Mapping[str, tuple[str, str]]  # name -> (protocol or "", subset); "" = the level's own protocol


def names() -> list[str]:
    """Every grid that comes with Siren: `ablation/fd_add_loss_weights`, `matrix`, ..."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml"))


def load(name: str) -> Grid:
    """The grid `name`, or of the file `name` if that ends in .toml. Raises DataError naming file and key."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file() or not (name.endswith(".toml") or name in names()):  # a name is no path: ../x
        raise nearest(name, names(), what="grid")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"grid {path}: {error}") from None
    return _grid(path.stem if name.endswith(".toml") else name, table, path)


def _grid(name: str, table: Mapping[str, Any], path: Path) -> Grid:
    for key in table:
        if key not in _KEYS:
            raise nearest(key, _KEYS, what=f"key of grid {path}")
    parts = tuple(_part(entry, path) for entry in _typed(table, "part", list, [], path))
    seeds = _typed(table, "seeds", int, 1, path)
    if not parts or seeds < 1:
        raise DataError(f"grid {path}: it needs at least one [[part]] with protocols and detectors, and seeds >= 1")
    own = _typed(table, "set", dict, {}, path)
    for detector, settings in own.items():
        if not isinstance(settings, dict):
            raise DataError(f"grid {path}: [set.{detector}] is a table of settings, not {settings!r}")
    levels = {level: _level(about, path) for level, about in _typed(table, "levels", dict, {}, path).items()}
    columns = {key: _shown(key, about, path) for key, about in _typed(table, "columns", dict, {}, path).items()}
    return Grid(
        name, _typed(table, "title", str, name, path), _typed(table, "source", str, "", path),
        _typed(table, "note", str, "", path), seeds, own, parts,
        levels or {"default": ({}, None)}, columns,
    )  # fmt: skip


def _typed(table: Mapping[str, Any], key: str, kind: type, default: Any, path: Path) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"grid {path}: {key} = {value!r} is not a {kind.__name__}")
    return value


def _shown(key: str, about: Any, path: Path) -> tuple[str, str]:
    if not (
        isinstance(about, dict) and isinstance(about.get("subset"), str) and about.keys() <= {"protocol", "subset"}
    ):
        raise DataError(f"grid {path}: [columns.{key}] has a subset and perhaps a protocol, not {about!r}")
    return _typed(about, "protocol", str, "", path), about["subset"]


def _part(entry: Any, path: Path) -> Part:
    if not isinstance(entry, dict) or set(entry) != {"protocols", "detectors"}:
        has = repr(entry) if not isinstance(entry, dict) else ", ".join(sorted(entry)) or "nothing"
        raise DataError(f"grid {path}: a [[part]] has protocols and detectors, not {has}")
    return Part(*(_words(entry[key], key, path) for key in ("protocols", "detectors")))


def _words(value: Any, key: str, path: Path) -> tuple[str, ...]:
    if not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
        raise DataError(f"grid {path}: {key} = {value!r} is not a list of names")
    return tuple(value)


def _level(about: Any, path: Path) -> tuple[Mapping[str, Any], tuple[str, ...] | None]:
    if not isinstance(about, dict):
        raise DataError(f"grid {path}: a level is a table of settings, not {about!r}")
    protocols = _words(about.get("protocols", []), "protocols", path)
    return {k: v for k, v in about.items() if k != "protocols"}, protocols or None


def chosen(patterns: Sequence[str], known: Iterable[str], *, what: str) -> list[str]:
    """The known names that the patterns pick, in the order of the patterns; `!pattern` takes names out again.

    Raises DataError with the nearest names for a pattern without wildcards that is not known.
    """
    known, found = list(known), {}
    for pattern in patterns:
        if pattern.startswith("!"):
            found = {name: None for name in found if not fnmatchcase(name, pattern[1:])}
            continue
        hits = [name for name in known if fnmatchcase(name, pattern)]
        if not hits and not any(sign in pattern for sign in "*?["):
            raise nearest(pattern, known, what=what)
        found |= dict.fromkeys(hits)
    return list(found)
