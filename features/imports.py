"""Which files a source is made of: what it imports of Siren's own sources, and of modules that are not installed."""

import ast
import importlib.util
import site
import sysconfig
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ingest", "protocols", "shards", "features", "benchmark", "reports")
SOURCE_PACKAGES = ("benchmark", "features")
OWN_FOLDERS = (*SOURCE_PACKAGES, "benchmark/detectors", "features/extractors")


def of(path: Path) -> tuple[Path, ...]:
    """The files that a source imports by name: of `benchmark` and `features`, and whatever is not installed."""
    return _of(path, path.read_bytes())


@cache
def _of(path: Path, source: bytes) -> tuple[Path, ...]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [_source(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found += [file(base), *(file(base / alias.name) for alias in node.names)]
        elif isinstance(node, ast.ImportFrom):
            found += [_source(node.module), *(_source(f"{node.module}.{alias.name}") for alias in node.names)]
    return tuple(one for one in found if one is not None)


def _source(name: str) -> Path | None:
    """The file of a module of `benchmark` or `features`, or of one that lies outside Siren and is not installed."""
    top, *parts = name.split(".")
    if top in PACKAGES:
        return file(ROOT.joinpath(top, *parts)) if top in SOURCE_PACKAGES else None
    folder = _not_installed(top)
    return None if folder is None else file(folder.joinpath(top, *parts))


def file(module: Path) -> Path | None:
    """The file of the module or package at a path without ending; of our own packages the `__init__` counts not."""
    ours = module.is_relative_to(ROOT) and module.relative_to(ROOT).as_posix() in OWN_FOLDERS
    files = (module.with_name(f"{module.name}.py"), *(() if ours else (module / "__init__.py",)))
    return next((one for one in files if one.exists()), None)


@cache
def _not_installed(top: str) -> Path | None:
    """The folder that a module or package is imported from; None if it is installed, or there is none."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
    if not places or not (place := Path(places[0]).resolve()).exists():
        return None
    if not {"site-packages", "dist-packages"}.isdisjoint(place.parts):  # of a cluster's module system, by PYTHONPATH
        return None
    installed = [*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()]
    return None if any(place.is_relative_to(Path(path).resolve()) for path in installed) else place.parent


def in_packages(path: Path) -> bool:
    """Whether a file is one of Siren's packages."""
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES
