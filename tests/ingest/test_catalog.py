"""The catalog file: made whole or not at all, refused by name when it is something else."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import duckdb
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


@pytest.mark.parametrize(("readable", "said"), [(False, "cannot be read"), (True, "is not writable")])
def test_a_catalog_that_may_not_be_read_is_not_called_unwritable(readable, said, tmp_path, monkeypatch):
    """`ingest status` on somebody else's DATA asked for a folder to write to."""
    path = tmp_path / "catalog.duckdb"
    catalog.connect(path, read_only=False).close()
    refused = duckdb.IOException(f'IO Error: Cannot open file "{path}": Permission denied')
    monkeypatch.setattr(catalog.duckdb, "connect", Mock(side_effect=refused))
    monkeypatch.setattr(os, "access", lambda path, mode: readable)
    for read_only in (True, False):
        with pytest.raises(DataError, match=rf"catalog\.duckdb {said}"):
            catalog.connect(path, read_only)


def test_the_fold_of_a_source_is_the_same_everywhere(tmp_path):
    with catalog.connect(tmp_path / "c.duckdb", read_only=False) as con:
        (fold,) = con.execute("SELECT fold_of('LJ001-0001')").fetchone()
    upper = int.from_bytes(hashlib.md5(b"LJ001-0001").digest()[:8], "little")
    assert fold == (upper >> 11) / 2**53


@pytest.fixture
def old(tmp_path):
    """A catalog as schema version 1 laid it out, with one corpus of one utterance."""
    path = tmp_path / "catalog.duckdb"
    with catalog.connect(path, read_only=False) as con:
        con.execute("INSERT INTO corpus VALUES ('c', 'C', 'speech', '-', '-', '/', false, false, '-')")
        con.execute("INSERT INTO utterance BY NAME SELECT 'c/a' AS utt_id, 'c' AS corpus, 'a.wav' AS path, 'spoof' AS "
                    "label, 'x' AS attack, 'a' AS source_id, 'speech' AS domain, false AS audio_present, "
                    "'missing' AS audio_status")  # fmt: skip
        con.execute("DROP VIEW trial_pool")
        con.execute("ALTER TABLE utterance DROP COLUMN sentence")
        con.execute("ALTER TABLE asv_score DROP COLUMN codec")
        con.execute("UPDATE meta SET schema_version = 1")
        con.execute("CREATE VIEW trial_pool AS SELECT *, 0.5 AS fold FROM utterance")
    return path


@pytest.mark.parametrize("read_only", [True, False])
def test_an_older_catalog_is_brought_up_to_date_and_a_copy_kept(old, read_only, capsys):
    before = old.read_bytes()
    with catalog.connect(old, read_only) as con:
        assert con.execute("SELECT utt_id, sentence FROM trial_pool").fetchall() == [("c/a", None)]
        assert con.execute("SELECT schema_version FROM meta").fetchall() == [(catalog.SCHEMA_VERSION,)]
        fresh = duckdb.connect()
        fresh.execute(Path(catalog.__file__).with_name("schema.sql").read_text())
        described = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
        assert con.execute(described).fetchall() == fresh.execute(described).fetchall()
    copy = old.with_name("catalog.duckdb.v1.bak")
    assert copy.read_bytes() == before and str(copy) in capsys.readouterr().err
    catalog.connect(old, read_only).close()
    assert capsys.readouterr().err == ""


def test_a_kill_while_an_older_catalog_is_changed_leaves_it_old(old, monkeypatch):
    monkeypatch.setattr(catalog, "STEPS", {**catalog.STEPS, 1: catalog.STEPS[1] + "SELECT error('killed')"})
    with pytest.raises(duckdb.Error, match="killed"):
        catalog.connect(old)
    with duckdb.connect(str(old), read_only=True) as con:
        assert con.execute("SELECT schema_version FROM meta").fetchall() == [(1,)]
        assert "sentence" not in [row[0] for row in con.execute("DESCRIBE utterance").fetchall()]
    monkeypatch.undo()
    catalog.connect(old).close()


def test_many_commands_at_once_meet_an_older_catalog(old):
    """One brings it up while the others open it; half of them ended in a traceback of DuckDB's."""
    code = (
        "import sys; from ingest import catalog\n"
        "print('up', flush=True); sys.stdin.readline(); catalog.connect(sys.argv[1]).close()"
    )
    several = [subprocess.Popen([sys.executable, "-c", code, str(old)], text=True, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(8)]  # fmt: skip
    assert all(one.stdout.readline() == "up\n" for one in several)
    for one in several:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=120)[1] for one in several]
    assert [one.returncode for one in several] == [0] * 8, said
    assert sum("schema version 1 brought to" in words for words in said) == 1


def test_a_catalog_too_old_to_change_says_so(old, monkeypatch):
    monkeypatch.setattr(catalog, "STEPS", {})
    with pytest.raises(DataError, match=r"schema version 1, too old"):
        catalog.connect(old)
