"""docs/queries.md: every block runs on a small catalog and its results, and answers the question."""

import re
from pathlib import Path

import made_results
import pytest

from benchmark import results
from reports import sql

TEXT = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made_results.make(folder)
    tied = made_results.score_table({"eval": ([1.0, 1.0], {"melgan": [1.0, 1.0]})})
    made_results.add_run(folder, "aasist", tied, protocol="inner/decro_en", scenario="inner", averages={}, pooled={})
    results.collect(folder, replicates=20)
    return folder


def test_there_are_ten_questions():
    assert [int(n) for n in re.findall(r"^## (\d+)\. .*\?$", TEXT, re.MULTILINE)] == list(range(1, 11))
    assert len(QUERIES) >= 10


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_answers(data, query):
    rows = sql.query(data, query)
    assert rows.num_rows > 0
    assert sql.query(data, query).equals(rows)  # a fixed order


def answer(data, number):
    return sql.query(data, QUERIES[number - 1]).to_pylist()


def test_answers_by_hand(data):
    assert [(r["label"], r["utterances"]) for r in answer(data, 1)] == [("bonafide", 7), ("spoof", 6)]
    assert [(r["audio_status"], r["files"], r["first"]) for r in answer(data, 2)] == [("missing", 1, "gone.wav")]
    (loss,) = [r for r in answer(data, 6) if r["detector"] == "mean_pool"]
    assert (loss["inner_eer"], loss["unseen_eer"], loss["loss"]) == (0, 43.75, 43.75)
    assert answer(data, 9)[0]["score"] == 1.0
    assert answer(data, 10)[0]["detector"] == "aasist"
