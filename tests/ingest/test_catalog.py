"""The catalog file: made whole or not at all, refused by name when it is something else."""

import hashlib

import pytest

from ingest import catalog
from ingest.types import DataError


def test_a_kill_while_the_catalog_is_made_leaves_none(tmp_path, monkeypatch):
    path, lay_out = tmp_path / "data/catalog.duckdb", catalog._lay_out

    def dies(con):
        lay_out(con)
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "_lay_out", dies)
    with pytest.raises(KeyboardInterrupt):
        catalog.connect(path, read_only=False)
    assert not path.exists()
    monkeypatch.undo()
    catalog.connect(path, read_only=False).close()
    with catalog.connect(path) as con:
        assert con.execute("SELECT schema_version FROM meta").fetchall() == [(catalog.SCHEMA_VERSION,)]
        assert con.execute("SELECT count(*) FROM trial_pool").fetchone() == (0,)


def test_opening_again_for_writing_changes_nothing(tmp_path):
    path = tmp_path / "catalog.duckdb"
    for _ in range(2):
        with catalog.connect(path, read_only=False) as con:
            assert con.execute("SELECT count(*) FROM meta").fetchone() == (1,)


def test_what_is_no_catalog_is_refused_by_name(tmp_path):
    (tmp_path / "text.duckdb").write_text("hello\n" * 1000)
    for read_only in (True, False):
        with pytest.raises(DataError, match=r"text.duckdb is not a DuckDB file"):
            catalog.connect(tmp_path / "text.duckdb", read_only)
    with pytest.raises(DataError, match=r"none.duckdb does not exist; ingest a corpus first"):
        catalog.connect(tmp_path / "none.duckdb")
    with catalog.connect(tmp_path / "new.duckdb", read_only=False) as con:
        con.execute("UPDATE meta SET schema_version = 99")
    with pytest.raises(DataError, match="has schema version 99"):
        catalog.connect(tmp_path / "new.duckdb")


def test_the_fold_of_a_source_is_the_same_everywhere(tmp_path):
    with catalog.connect(tmp_path / "c.duckdb", read_only=False) as con:
        (fold,) = con.execute("SELECT fold_of('LJ001-0001')").fetchone()
    upper = int.from_bytes(hashlib.md5(b"LJ001-0001").digest()[:8], "little")
    assert fold == (upper >> 11) / 2**53
