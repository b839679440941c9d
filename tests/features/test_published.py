"""The cost table of docs/cluster.md: every corpus, by hand for one of them."""

from pathlib import Path

import pytest

from features import published
from features.__main__ import main
from ingest import corpora
from ingest.types import DataError

PAGE = """| shards | decode, resample and shard as flac, two processes, against x | 2,000 | clips/s | 3,190 | 0.3 | y | no |
| features | logmel, one thread, against torchaudio per clip | 3,000 | clips/s | 1,794 | 1.7 | y | yes |"""


def test_one_corpus_by_hand():
    found = {cost.corpus: cost for cost in published.costs(PAGE)}
    assert sorted(found) == corpora.names()
    cost = found["asvspoof2021_df"]
    assert cost.clips == 611_829 and found["wavefake"].clips == 134_266 + 13_100 + 5_000
    assert cost.audio_h == pytest.approx(611_829 * 4 / 3600)
    assert cost.shard_bytes == 611_829 * 4 * 32_000
    assert cost.shards_cpu_h == pytest.approx(611_829 / 1000 / 3600)  # 1,000 clips a second and process
    assert cost.logmel_cpu_h == pytest.approx(611_829 * 4 / 9000 / 3600)


def test_the_last_row_is_the_sum():
    found = published.costs(PAGE)
    last = published.markdown(found).splitlines()[-1]
    assert last.startswith("| **all** |") and f"{sum(cost.clips for cost in found):,}" in last


def test_the_page_has_a_row_for_each_and_the_command_prints_them(capsys):
    text = (Path(published.__file__).parents[1] / "docs" / "cluster.md").read_text()
    assert main(["plan", "--published"]) == 0
    said = capsys.readouterr().out
    for name in corpora.names():
        assert f"| {name} |" in text and f"| {name} |" in said
    assert published.up_to_date(text, published.PAGE.read_text()) == text, "make bench writes both pages"
    assert published.up_to_date("x\n" + published.markdown(published.costs(PAGE)) + "\ny\n", PAGE).endswith("|\ny\n")


def test_a_page_without_the_rates_is_one_line():
    with pytest.raises(DataError, match="run: make bench"):
        published.costs("nothing")


def test_without_the_documentation_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "PAGE", tmp_path / "performance.md")
    with pytest.raises(DataError, match="an installed Siren has no documentation"):
        main(["plan", "--published"])


@pytest.mark.parametrize("words", [["wavefake"], ["list"], ["plan", "wavefake"]])
def test_it_is_of_all_corpora_before_anything_runs(words, capsys):
    with pytest.raises(SystemExit):
        main([*words, "--published"])
    assert "--published goes with plan alone" in capsys.readouterr().err
