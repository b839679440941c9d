"""What users give: values for parameters of our functions, in the types that the signature states, and own classes."""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from ingest.types import DataError

LARGEST = 3.4e38  # what a float32 holds
_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a word"}


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function, or of a class, with annotations as types where they are written as words."""
    try:
        return inspect.signature(function, eval_str=True).parameters
    except (NameError, AttributeError, SyntaxError, TypeError):  # a word that names nothing when the program runs
        return inspect.signature(function).parameters


def built(module: types.ModuleType, base: type) -> type:
    """The class that a file of detectors or features ends in, `build`. Raises DataError if it is none below `base`."""
    cls = getattr(module, "build", None)
    if isinstance(cls, type) and issubclass(cls, base):
        return cls
    found = "no `build`" if cls is None else f"`build = {' '.join(repr(cls).split())[:80]}`"
    path = module.__name__.replace(".", "/")
    raise DataError(f"{path}.py has {found}, where `build = CLASS` is due, a subclass of {base.__name__}")


def canonical(what: str, takes: inspect.Parameter, value: Any) -> Any:
    """The value in its parameter's type: equal values have one form, and the word False does not pass for true.

    Looked at are bool, int, float, str, lists of one of them or of so many, and None beside them; any other annotation,
    or none, takes everything. Raises DataError, `what` in front, for a value of no such type.
    """
    hint = takes.annotation
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for kind in kinds:
        fits, found = _of(kind, value)
        if fits:
            return found
    wanted = " or ".join(_word(kind) for kind in kinds)
    usual = "" if takes.default is takes.empty else f" (default {takes.default!r})"
    raise DataError(f"{what} takes {wanted}, not {value!r:.200}{usual}")


def _of(kind: Any, value: Any) -> tuple[bool, Any]:
    """Whether a value is of a kind, and its form there."""
    if kind in (None, types.NoneType):
        return value is None, None
    if kind is float:
        fits = type(value) in (int, float) and abs(value) <= LARGEST
        return fits, float(value) + 0.0 if fits else None  # + 0.0 makes -0.0 and 0.0 one
    if kind in _WORDS:
        return type(value) is kind, value
    if get_origin(kind) in (tuple, list, Sequence):
        return _list_of(kind, value)
    return True, value


def _list_of(kind: Any, value: Any) -> tuple[bool, Any]:
    if not isinstance(value, list | tuple):
        return False, None
    inner = get_args(kind)
    if get_origin(kind) is not tuple or inner[-1] is ...:
        inner = inner[:1] * len(value)
    found = [_of(one, item) for one, item in zip(inner, value, strict=False)]
    fits = len(inner) == len(value) and all(fit for fit, _ in found)
    return fits, type(value)(item for _, item in found) if fits else None


def _word(kind: Any) -> str:
    if kind in (None, types.NoneType):
        return "null"
    if kind in _WORDS:
        return _WORDS[kind]
    inner = get_args(kind)
    many = "a list" if get_origin(kind) is not tuple or inner[-1] is ... else f"a list of {len(inner)}"
    return f"{many}, each {_WORDS.get(inner[0], 'its own kind')}"
