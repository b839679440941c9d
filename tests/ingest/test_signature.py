"""Values that users give, held against the signature that they are for."""

import inspect
import math
from collections.abc import Sequence

import pytest

from ingest import signature
from ingest.types import DataError


def example(
    on: bool = True, count: int = 3, share: float = 0.5, word: str = "a", maybe: float | None = None,
    pair: tuple[float, float] = (1.0, 2.0), many: tuple[int, ...] = (1, 2), words: Sequence[str] = ("a",), free=None,
):  # fmt: skip
    """One parameter of each kind."""


TAKES = signature.parameters(example)


@pytest.mark.parametrize(("name", "value", "form"), [
    ("on", False, False), ("count", -2, -2), ("share", 1, 1.0), ("share", -0.0, 0.0), ("word", "True", "True"),
    ("maybe", None, None), ("maybe", 2, 2.0), ("pair", [1, 2], [1.0, 2.0]), ("pair", (1, 2), (1.0, 2.0)),
    ("many", [], []), ("words", ["x", "y"], ["x", "y"]), ("free", "anything", "anything"),
])  # fmt: skip
def test_a_value_of_its_type_has_one_form(name, value, form):
    found = signature.canonical("it", TAKES[name], value)
    assert (found, type(found), str(found)) == (form, type(form), str(form))


@pytest.mark.parametrize(("name", "value", "said"), [
    ("on", "False", r"on takes true or false, not 'False' \(default True\)"), ("on", 0, "true or false, not 0"),
    ("count", 2.0, "a whole number, not 2.0"), ("count", True, "a whole number, not True"),
    ("share", "x", "a finite number, not 'x'"), ("share", math.nan, "not nan"), ("share", 1e39, "not 1e"),
    ("share", True, "not True"), ("word", 3, "a word, not 3"), ("word", None, "a word, not None"),
    ("maybe", "no", "a finite number or null, not 'no'"), ("pair", [1.0], "a list of 2, each a finite number"),
    ("pair", 3.0, "a list of 2"), ("many", [1, 2.5], "a list, each a whole number"),
    ("words", "melgan", "a list, each a word, not 'melgan'"),
])  # fmt: skip
def test_another_type_is_refused_with_the_default(name, value, said):
    with pytest.raises(DataError, match=said):
        signature.canonical(f"it: {name}", TAKES[name], value)


def test_annotations_that_are_written_as_words_count():
    names = {}
    exec("from __future__ import annotations\ndef late(on: bool = True, odd: Nowhere = 1): pass", names)
    exec("from __future__ import annotations\ndef known(on: bool = True): pass", names)
    with pytest.raises(DataError, match="true or false"):
        signature.canonical("on", signature.parameters(names["known"])["on"], "False")
    takes = signature.parameters(names["late"])  # Nowhere names nothing: nothing is asked of either
    assert signature.canonical("on", takes["on"], "False") == "False"
    assert isinstance(takes["odd"], inspect.Parameter)
