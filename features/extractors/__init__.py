"""Features, one file each: a function of a waveform, found by its file name.

get("lfcc", preset="lcnn2021").extract(wave) turns (batch, sample) at 16 kHz into (batch, frame, dim).
"""

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import Any

from features.extractors._base import Extractor, source_hash
from ingest import signature
from ingest.types import DataError, nearest

__all__ = ["Extractor", "defaults", "get", "names", "presets", "summary"]


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def names() -> list[str]:
    """The features that exist, sorted: every file of this folder that does not start with an underscore."""
    return list(_names())


def _module(name: str) -> Any:
    if name not in _names():
        raise nearest(name, _names(), what="feature")
    module = importlib.import_module(f"{__name__}.{name}")
    signature.built(module, Extractor)
    return module


def summary(name: str) -> str:
    """The first line of what a feature's file says about itself."""
    return (_module(name).__doc__ or "").strip().partition("\n")[0]


def presets(name: str) -> dict[str, dict[str, Any]]:
    """The named settings of one feature: preset -> the parameters that differ from the defaults."""
    return {preset: dict(changes) for preset, changes in getattr(_module(name), "PRESETS", {}).items()}


def defaults(name: str) -> dict[str, Any]:
    """Every parameter of one feature with its default value."""
    return {p.name: p.default for p in signature.parameters(_module(name).build).values()}


def get(name: str, /, preset: str | None = None, **params: Any) -> Extractor:
    """The extractor `name` with a preset's settings, then `params` on top.

    The result carries .name, .params (every parameter, resolved), .dim, .rate_hz and .key, the sha256 over
    name, params, the source of the extractor and, where it has any, its weights. Raises DataError with the
    nearest names for an unknown feature, preset or parameter, and for a value that cannot be: of another type, or
    outside what the extractor's `within` says.
    """
    module = _module(name)
    known, named = defaults(name), presets(name)
    if preset is not None and preset not in named:
        raise nearest(preset, named, what=f"preset of {name}")
    for key in params:
        if key not in known:
            raise nearest(key, known, what=f"parameter of {name}")
    resolved = {**known, **(named[preset] if preset else {}), **params}
    takes = signature.parameters(module.build)
    resolved = {
        key: signature.canonical(f"{name}: parameter {key}", takes[key], value) for key, value in resolved.items()
    }
    try:
        extractor = module.build(**resolved)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    if not hasattr(extractor, "dim"):
        raise DataError(f"{name}: {type(extractor).__name__} sets no `dim`, how many values a frame has")
    extractor.identify(name, resolved, source_hash(Path(module.__file__)))
    return extractor.eval()
