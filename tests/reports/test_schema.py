"""docs/schema.md says what the database says."""

import pytest

from reports import schema


@pytest.fixture(scope="module")
def text():
    return schema.text()


def test_the_page_is_current(text):
    assert schema.PAGE.read_text() == text, "run: python -m reports schema"


def test_the_page_names_every_table_and_view(text):
    for name in ("run", "result", "breakdown", "published", "leaderboard (view)", "headline (view)"):
        assert f"## {name}\n" in text
    assert "| n_bonafide | BIGINT | Bona fide trials |" in text
    assert "`config_id`: short name of the configuration; `entry`: detector as the leaderboard names it." in text
