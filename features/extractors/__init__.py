"""Features, one file each: a function of a waveform, found by its file name.

get("lfcc", preset="lcnn2021").extract(wave) turns (batch, sample) at 16 kHz into (batch, frame, dim).
"""

import functools
import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any, get_args

from features.extractors._base import Extractor, source_hash
from ingest.types import DataError, nearest

__all__ = ["Extractor", "defaults", "get", "names", "presets"]

LARGEST = 3.4e38  # what a float32 holds


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def names() -> list[str]:
    """The features that exist, sorted: every file of this folder that does not start with an underscore."""
    return list(_names())


def _module(name: str) -> Any:
    if name not in _names():
        raise nearest(name, _names(), what="feature")
    return importlib.import_module(f"{__name__}.{name}")


def summary(name: str) -> str:
    """The first line of what a feature's file says about itself."""
    return (_module(name).__doc__ or "").strip().splitlines()[0]


def presets(name: str) -> dict[str, dict[str, Any]]:
    """The named settings of one feature: preset -> the parameters that differ from the defaults."""
    return {preset: dict(changes) for preset, changes in _module(name).PRESETS.items()}


def defaults(name: str) -> dict[str, Any]:
    """Every parameter of one feature with its default value."""
    return {p.name: p.default for p in inspect.signature(_module(name).build).parameters.values()}


def get(name: str, /, preset: str | None = None, **params: Any) -> Extractor:
    """The extractor `name` with a preset's settings, then `params` on top.

    The result carries .name, .params (every parameter, resolved), .dim, .rate_hz and .key, the sha256 over
    name, params, the source of the extractor and, where it has any, its weights. Raises DataError with the
    nearest names for an unknown feature, preset or parameter, and for a value that cannot be: of another type, or
    outside what the extractor's `within` says.
    """
    module = _module(name)
    known = defaults(name)
    if preset is not None and preset not in module.PRESETS:
        raise nearest(preset, module.PRESETS, what=f"preset of {name}")
    for key in params:
        if key not in known:
            raise nearest(key, known, what=f"parameter of {name}")
    resolved = {**known, **(module.PRESETS[preset] if preset else {}), **params}
    takes = inspect.signature(module.build).parameters
    resolved = {key: _canonical(name, takes[key], value) for key, value in resolved.items()}
    try:
        extractor = module.build(**resolved)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    extractor.identify(name, resolved, source_hash(Path(module.__file__)))
    return extractor.eval()


def _canonical(name: str, takes: inspect.Parameter, value: Any) -> Any:
    """The value in its parameter's type: of equal parameters there is one key. DataError if it is of no such type."""
    kind, *none = get_args(takes.annotation) or (takes.annotation,)  # float | None has two
    if value is None and none:
        return None
    said = f"not {value!r} (default {takes.default!r})"
    if not isinstance(value, (int, float) if kind is float else kind) or (isinstance(value, bool) and kind is not bool):
        raise DataError(f"{name}: parameter {takes.name} takes {kind.__name__}, {said}")
    if kind is not float:
        return value
    if not abs(value) <= LARGEST:
        raise DataError(f"{name}: parameter {takes.name} takes a finite float32, {said}")
    return float(value) + 0.0  # which makes -0.0 and 0.0 one
