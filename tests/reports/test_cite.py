"""Citations: every corpus, detector and metric leads to a work that says who, what and when."""

import re

import made_results
import pytest

from benchmark import detectors
from ingest import corpora
from ingest.types import DataError
from protocols.load import names
from reports import cite
from reports.__main__ import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_results.collected(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("key", sorted(cite.entries()))
def test_an_entry_says_who_what_and_when(key):
    entry = cite.entries()[key]
    fields = dict(re.findall(r"^ +(\w+) += \{(.+)\},$", entry, re.M))
    assert {"title", "author", "year"} <= set(fields)
    assert 1980 <= int(fields["year"]) <= 2026
    assert re.fullmatch(r"\d{4}\.\d{5}", fields.get("eprint", "0000.00000"))
    assert {"booktitle", "journal", "howpublished"} & set(fields)
    assert re.fullmatch(r"10\.\d{4,5}/\S+", fields.get("doi", "10.1000/none"))
    assert re.fullmatch(r"\d+(--\d+)?", fields.get("pages", "1"))
    assert entry.count("{") == entry.count("}")


def test_every_corpus_and_metric_has_its_work_and_none_is_left_over():
    assert set(cite.CORPORA) == set(corpora.names())
    used = set(cite.CORPORA.values()) | set(cite.METRICS.values())
    own = set(re.findall(r"^@\w+\{(\w+),", cite.BOOKS[0].read_text(), re.M))
    assert own <= used <= set(cite.entries())


def test_each_form_of_the_tdcf_is_cited_by_the_work_that_defines_it():
    # as benchmark/tdcf.py names them: 2019 after Odyssey 2018, the ASV-constrained form of 2021 after TASLP 2020
    assert "Odyssey" in cite.entries()[cite.METRICS["min_tdcf_2019"]]
    assert "10.1109/TASLP.2020.3009494" in cite.entries()[cite.METRICS["min_tdcf_2021"]]


@pytest.mark.parametrize("name", corpora.names())
def test_the_work_of_a_corpus_is_the_one_its_file_names(name):
    entry = cite.entries()[cite.CORPORA[name]]
    told = corpora.get(name).corpus.citation
    author = re.search(r"author += \{([^,]+),", entry)[1]
    assert re.sub(r"\W|\{|\}", "", author)[:1] == told[:1]
    assert re.search(r"year += \{(\d+)\}", entry)[1] in told


@pytest.mark.parametrize("name", detectors.names())
def test_what_is_read_without_torch_is_what_the_class_says(name):
    about = detectors.get(name)
    assert cite._constant(name, "CITATION") == about.CITATION
    assert cite.weights_of(name) == (about.WEIGHTS or "")


@pytest.mark.parametrize("name", names())
def test_every_protocol_names_its_corpora(name):
    assert cite.corpora_of(name)
    assert all(corpora.get(corpus).corpus.licence in cite.licences(name) for corpus in cite.corpora_of(name))


def test_corpora_by_hand():
    assert cite.corpora_of("inner/decro_zh") == ("decro",)
    assert cite.licences("cross_method/librisevoc") == "LibriSeVoc (not stated; LibriTTS is CC BY 4.0)"
    assert cite.corpora_of("somebody/elses") == ()


def test_what_is_known_of_a_protocol_by_hand():
    told = cite.known("loao/asvspoof2019_la_A01")[1]
    assert told.startswith(
        "Overlaps that it has on purpose: train/dev attack (the five other systems are in both, as pub"
    )
    assert told.endswith("; test.A01 speaker (both halves come from the official dev).")
    assert cite.known("somebody/elses") == ()


def test_the_list_of_a_table(data, capsys):
    assert main(["cite", "--data", str(data), "--detector", "lfcc_gmm"]) == 0
    out = capsys.readouterr().out
    assert set(re.findall(r"^@\w+\{(\w+),", out, re.M)) == {
        "hanley1982auc", "martin1997det", "sun2023vocoder", "yamagishi2021asvspoof",
    }  # fmt: skip
    assert main(["cite", "--data", str(data), "--detector", "mean_pool", "--metric", "auc"]) == 0
    assert set(re.findall(r"^@\w+\{(\w+),", capsys.readouterr().out, re.M)) == {"hanley1982auc", "sun2023vocoder"}


def test_an_unknown_name_is_refused_with_the_nearest(data):
    with pytest.raises(DataError, match="did you mean lfcc_gmm"):
        cite.keys(data, detectors=["lfcc_gm"])
    with pytest.raises(DataError, match="metric with results"):
        cite.keys(data, metrics=["err"])
