"""Every detector of the benchmark, one file each, found by its file name and imported only when asked for."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ingest import signature
from ingest.types import DataError, nearest

if TYPE_CHECKING:
    from ._base import Detector


# what torch and Python say of a number of layers that is a word, below zero, or too many to count
_UNFIT = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError, AssertionError)


def names() -> list[str]:
    """The ids of all detectors, sorted: the names of the files here that do not start with an underscore."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def get(name: str) -> type:
    """The class of the detector `name`; nothing else is imported.

    DataError with the nearest names if unknown, and if its file does not end as docs/add-a-detector.md says.
    """
    if name not in (known := names()):
        raise nearest(name, known, what="detector")
    module = importlib.import_module(f"{__name__}.{name}")
    from ._base import Detector

    return signature.built(module, Detector)


def settings(name: str) -> dict[str, Any]:
    """The settings that `build(name, ...)` takes, with their defaults; `fast` is one of every detector."""
    return {key: takes.default for key, takes in _takes(name).items()}


def canonical(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in the types that the detector states: equal ones have one form.

    Raises DataError for an unknown one, with the nearest names, and for a value of another type.
    """
    takes = _takes(name)
    for key in config:
        if key not in takes:
            raise nearest(key, takes, what=f"setting of {name}")
    return {key: signature.canonical(f"{name}: {key}", takes[key], value) for key, value in config.items()}


def _takes(name: str) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for cls in get(name).__mro__:  # a variant passes what it does not fix on to the class it varies
        if "__init__" not in vars(cls):
            continue
        parameters = list(signature.parameters(cls.__init__).values())[1:]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            break
    found["fast"] = inspect.Parameter("fast", inspect.Parameter.KEYWORD_ONLY, default=True, annotation=bool)
    return found


def build(name: str, **config: Any) -> "Detector":
    """A new detector `name` with `config` over its paper's defaults.

    fast=False gives the plain form (see `Detector.take_form`). Raises DataError with the nearest names for an unknown
    detector or setting, and for a value of another type or outside of what the detector takes.
    """
    cls = get(name)
    config = canonical(name, config)
    fast = config.pop("fast", True)
    try:
        model = cls(**config)
    except _UNFIT as error:
        if not config:
            raise
        given = ", ".join(f"{key}={value!r}" for key, value in config.items())
        raise DataError(f"{name} cannot be built with {given[:200]} ({type(error).__name__}: {error})") from error
    model.take_form(fast=fast)
    return model


def describe(name: str) -> dict[str, Any]:
    """What `python -m benchmark detectors` and the README's table say of one detector.

    Keys: id, paper, year, citation, input, parameters, weights, eer, form. input is the `Input`; parameters counts
    all (trainable or fixed by training) parameters at the default settings; weights names the published
    weight files that `load_weights` takes; eer maps a test set to the published EER in percent. The network
    is laid out on the meta device, so that no memory is filled and no file is read.
    """
    import torch  # heavy, and `names()` must stay light

    cls = get(name)
    with torch.device("meta"):
        model = build(name, **cls.OFFLINE)
    return {
        "id": name,
        "paper": cls.PAPER,
        "year": cls.YEAR,
        "citation": cls.CITATION,
        "input": model.input,
        "parameters": model.parameter_count,
        "weights": cls.WEIGHTS,
        "eer": dict(cls.EER),
        "form": model.form,
    }
