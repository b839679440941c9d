"""Every detector names a work of citations.bib, each of which says who, what and when; nothing there is unused."""

import re
from pathlib import Path

import pytest

from benchmark import detectors, settings

TEXT = (Path(settings.__file__).parent / "citations.bib").read_text()
ENTRIES = dict(re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", TEXT, re.M | re.S))
FLOORS = {"constant", "mean_pool", "random_score"}


@pytest.mark.parametrize("name", detectors.names())
def test_the_key_of_every_detector_resolves(name):
    assert (detectors.get(name).CITATION in ENTRIES) != (name in FLOORS)


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_says_who_what_and_when(key):
    fields = dict(re.findall(r"^ +(\w+) += \{(.+)\},$", ENTRIES[key], re.M))
    assert {"title", "author", "year"} <= set(fields)
    assert 2015 <= int(fields["year"]) <= 2026
    assert not {"eprint"} & set(fields) or re.fullmatch(r"\d{4}\.\d{5}", fields["eprint"])
    assert ENTRIES[key].count("{") == ENTRIES[key].count("}")


def test_no_entry_is_unused():
    assert {detectors.get(name).CITATION for name in detectors.names()} - {""} == set(ENTRIES)
