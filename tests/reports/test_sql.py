"""Questions in SQL: both databases, every format, and nothing that writes, reads elsewhere or runs for ever."""

import io
import json
import shutil
import subprocess
import sys

import duckdb
import made_results
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from benchmark import results
from ingest.types import DataError
from reports import sql
from reports.__main__ import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("it's data")  # a quote in the path
    made_results.make(folder)
    results.collect(folder, replicates=20)
    return folder


def test_results_and_catalog_join(data):
    table = sql.query(data, """
        SELECT u.language, count(*) AS n FROM breakdown b JOIN catalog.utterance u ON u.attack = b.level
        WHERE b.factor = 'attack' AND b.metric = 'eer' GROUP BY ALL""")  # fmt: skip
    assert table.to_pylist() == [{"language": "en", "n": 40}]
    assert sql.query(data, "SELECT count(*) AS n FROM utterance").to_pylist() == [{"n": 13}]


@pytest.mark.parametrize(("name", "beside"), [("runs[1]", "runs1"), ("a*b", "aab"), ("x[", "x")])
def test_scores_are_those_of_the_folder_whatever_its_name(data, tmp_path, name, beside):
    """Its path was read as a pattern: a traceback, or the scores of a folder beside it."""
    shutil.copytree(data, tmp_path / name)
    (run, *others) = sorted(path.name for path in (data / "scores").iterdir() if (path / "scores.parquet").exists())
    shutil.copytree(data / "scores" / run, tmp_path / beside / "scores" / run)
    found = sql.query(tmp_path / name, "SELECT run_id, count(*) AS n FROM score GROUP BY ALL ORDER BY run_id")
    assert found == sql.query(data, "SELECT run_id, count(*) AS n FROM score GROUP BY ALL ORDER BY run_id")
    assert found["run_id"].to_pylist() == [run, *others] and others


def test_scores_are_a_table(data):
    rows = sql.query(
        data, "SELECT run_id, max(score) AS top FROM score WHERE label = 'bonafide' GROUP BY ALL ORDER BY 1"
    )
    assert rows.num_rows == 4
    assert set(rows["top"].to_pylist()) == {3.0}
    assert sql.query(data, "SELECT count(*) AS n FROM SCORE").equals(sql.query(data, "SELECT count(*) AS n FROM score"))


def test_one_database_at_a_time(data):
    assert sql.query(data, "SELECT count(*) AS n FROM run", db="results")["n"][0].as_py() == 4
    with pytest.raises(DataError, match="Table with name run does not exist"):
        sql.query(data, "SELECT count(*) FROM run", db="catalog")


def test_pivot_and_explain_are_queries(data):
    table = sql.query(
        data, "PIVOT (SELECT entry, subset, value FROM leaderboard WHERE metric = 'auc') ON subset USING max(value)"
    )
    assert "hard" in table.column_names
    assert sql.query(data, "EXPLAIN SELECT 1").num_rows


@pytest.mark.parametrize("text, message", [
    ("DELETE FROM run", "one SELECT is expected, found DELETE"),
    ("DROP TABLE run", "one SELECT is expected, found DROP"),
    ("SELECT 1; SELECT 2", "one SELECT is expected, found SELECT, SELECT"),
    ("", "one SELECT is expected, found nothing"),
    ("COPY (SELECT 1) TO 'x.csv'", "found COPY"),
    ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'", "found COPY"),
    ("SET enable_external_access = true", "found SET"),
    ("ATTACH 'other.duckdb'", "found ATTACH"),
    ("CREATE TABLE t AS SELECT 1", "one SELECT is expected"),
    ("SELECT * FROM read_csv('/etc/passwd')", "Permission Error"),
    ("SELECT * FROM '/etc/passwd'", "(Permission|Catalog) Error|Binder Error"),
    ("SELECT * FROM glob('/*')", "Permission Error"),
    ("SELEC 1", "Parser Error: syntax error"),
    ("SELECT detektor FROM leaderboard", r"Binder Error: Referenced column .detektor. not found .*detector"),
    ("SELECT * FROM leaderbord", "leaderboard"),
])  # fmt: skip
def test_what_is_refused(data, text, message):
    with pytest.raises(DataError, match=message) as caught:
        sql.query(data, text)
    assert "\n" not in str(caught.value)


def test_a_long_query_is_stopped(data):
    with pytest.raises(DataError, match=r"stopped after 0.3 s"):
        sql.query(data, "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b", timeout_s=0.3)
    with pytest.raises(DataError, match=r"stopped after 0.3 s"):  # while its rows come
        sql.query(data, "FROM range(1000000000000)", timeout_s=0.3)


def test_a_query_that_fails_on_a_late_row_is_one_line(data):
    with pytest.raises(DataError, match=r"query: Conversion Error: Could not convert string 'x' to INT32$"):
        sql.query(data, "SELECT if(range = 300000, 'x', '1')::INT FROM range(400000)")


def test_a_query_that_stops_without_a_word_is_asked_again(data, monkeypatch):
    """DuckDB loses the reason of a failure now and then, where one thread fails and the others are stopped."""
    told, bounded = ["INTERRUPT Error: Interrupted!"], sql._bounded

    def first_without(batches):
        if told:
            raise OSError(told.pop())
        return bounded(batches)

    monkeypatch.setattr(sql, "_bounded", first_without)
    assert sql.query(data, "SELECT 7 AS x").to_pydict() == {"x": [7]}
    told.append("INTERRUPT Error: Interrupted!")
    with pytest.raises(DataError, match="Could not convert string 'x' to INT32"):
        sql.query(data, "SELECT if(range = 300000, 'x', '1')::INT FROM range(400000)")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_the_time_of_a_query_is_a_number_of_seconds(data, seconds):
    with pytest.raises(DataError, match="--timeout"):
        main(["sql", "SELECT 1", "--data", str(data), "--timeout", seconds])


def test_no_database_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"catalog.duckdb does not exist; make it: python -m ingest"):
        sql.query(tmp_path, "SELECT 1")
    with pytest.raises(DataError, match=r"results.duckdb does not exist; make it: python -m benchmark collect"):
        sql.query(tmp_path, "SELECT 1", db="results")
    (tmp_path / "catalog.duckdb").write_text("not a database at all")
    with pytest.raises(DataError, match="cannot be read"):
        sql.query(tmp_path, "SELECT 1")


QUERY = "SELECT 'a|b' AS word, 1.5::DOUBLE AS x, NULL::INTEGER AS nothing, [1, 2] AS list"


@pytest.mark.parametrize("form, content", [
    ("table", "word    x  nothing  list\n----  ---  -------  ------\na|b   1.5           [1, 2]\n"),
    ("markdown", "| word | x | nothing | list |\n| --- | --: | --: | --- |\n| a\\|b | 1.5 |  | [1, 2] |\n"),
    ("latex", "\\begin{tabular}{lrrl}\n\\toprule\nword & x & nothing & list \\\\\n\\midrule\n"
              "a|b & 1.5 &  & [1, 2] \\\\\n\\bottomrule\n\\end{tabular}\n"),
])  # fmt: skip
def test_text_formats(data, capfdbinary, form, content):
    sql.write(sql.query(data, QUERY), form, None)
    assert capfdbinary.readouterr().out.decode() == content


def test_other_formats_read_back(data, tmp_path):
    table = sql.query(data, QUERY)
    for form in ("csv", "json", "parquet"):
        sql.write(table, form, tmp_path / f"out.{form}")
    assert json.loads((tmp_path / "out.json").read_text()) == [
        {"word": "a|b", "x": 1.5, "nothing": None, "list": [1, 2]}
    ]
    assert pyarrow.csv.read_csv(tmp_path / "out.csv")["word"].to_pylist() == ["a|b"]
    assert pq.read_table(tmp_path / "out.parquet").equals(table)


def test_latex_escapes_what_it_must(data):
    text = sql.latex(sql.query(data, "SELECT 'a_b & 5 % {x}' AS w"))
    assert r"a\_b \& 5 \% \{x\}" in text


def test_from_the_command_line(data):
    command = [sys.executable, "-m", "reports", "sql", "--data", str(data), "--format", "csv"]
    done = subprocess.run([*command, "SELECT 1 AS x"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '"x"\n1\n', "")
    done = subprocess.run([*command, "SELECT y"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("query: Binder Error")


def test_parquet_to_a_pipe(data):
    command = [sys.executable, "-m", "reports", "sql", "--data", str(data), "--format", "parquet", "SELECT 7 AS x"]
    done = subprocess.run(command, capture_output=True)
    assert pq.read_table(io.BytesIO(done.stdout))["x"].to_pylist() == [7]


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as left:
        main(["sql", "--help"])
    assert left.value.code == 0
    assert "python -m reports sql" in capsys.readouterr().out


def versioned(path, name, number):
    with duckdb.connect(str(path / f"{name}.duckdb")) as con:
        con.execute("CREATE TABLE IF NOT EXISTS meta (schema_version INTEGER)")
        con.execute("DELETE FROM meta")
        con.execute("INSERT INTO meta VALUES (?)", [number])


def test_what_a_newer_siren_made_is_refused_by_questions_and_pages(data, tmp_path):
    from reports import figures, leaderboard

    for name in ("results", "catalog"):
        copy = tmp_path / name
        copy.mkdir()
        for database in data.glob("*.duckdb"):
            shutil.copy(database, copy)
        if not (copy / f"{name}.duckdb").exists():
            shutil.copy(copy / "results.duckdb", copy / f"{name}.duckdb")
        versioned(copy, name, 99)
        for ask in (sql.connect, leaderboard.write, figures.opened):
            with pytest.raises(DataError, match=f"{name}.duckdb has schema version 99, this code reads up to"):
                ask(copy)


def test_older_results_say_how_they_are_made_anew(data, tmp_path):
    shutil.copy(data / "results.duckdb", tmp_path)
    versioned(tmp_path, "results", 1)
    with pytest.raises(DataError, match=r"has schema version 1, this code reads .*benchmark collect"):
        sql.query(tmp_path, "SELECT 1")
    (tmp_path / "results.duckdb").unlink()
    duckdb.connect(str(tmp_path / "results.duckdb")).close()
    with pytest.raises(DataError, match="schema version 1"):
        sql.query(tmp_path, "SELECT 1")


def test_an_older_catalog_is_brought_up_to_date_before_it_is_asked(tmp_path):
    from ingest import catalog

    path = tmp_path / "catalog.duckdb"
    catalog.connect(path, read_only=False).close()
    with duckdb.connect(str(path)) as con:
        con.execute("DROP VIEW trial_pool")
        con.execute("ALTER TABLE utterance DROP COLUMN sentence")
        con.execute("ALTER TABLE asv_score DROP COLUMN codec")
        con.execute("UPDATE meta SET schema_version = 1")
        con.execute("CREATE VIEW trial_pool AS SELECT *, 0.5 AS fold FROM utterance")
    before = path.read_bytes()
    assert sql.query(tmp_path, "SELECT count(sentence) AS n FROM utterance").to_pylist() == [{"n": 0}]
    assert (tmp_path / "catalog.duckdb.v1.bak").read_bytes() == before


@pytest.mark.parametrize("form, wanted", [
    ("table", "a  a_2  a_1  b\n-  ---  ---  -\n1    2    4  3\n"), ("csv", '"a","a_2","a_1","b"\n1,2,4,3\n'),
    ("markdown", "| a | a_2 | a_1 | b |\n| --: | --: | --: | --: |\n| 1 | 2 | 4 | 3 |\n"),
])  # fmt: skip
def test_columns_of_one_name_are_all_there(data, capsysbinary, form, wanted):
    assert main(["sql", "SELECT 1 AS a, 2 AS a, 4 AS a_1, 3 AS b", "--data", str(data), "--format", form]) == 0
    assert capsysbinary.readouterr().out.decode() == wanted


@pytest.mark.parametrize("form", sql.FORMATS)
def test_every_kind_of_value_has_a_form(data, form):
    query = """SELECT INTERVAL 1 DAY AS day, INTERVAL (-90) SECOND AS ago, sum(3) AS total, 0.5 AS half,
               ['nan'::DOUBLE, 1.5] AS nested, 'two' || chr(10) || chr(10) || 'lines' AS words"""
    sql._RENDER[form](sql.query(data, query))


def test_json_has_numbers_for_sums_and_decimals_and_none_for_nan(data):
    query = "SELECT sum(3) AS total, 0.5 AS half, ['nan'::DOUBLE, 1.5] AS nested, INTERVAL (3723) SECOND AS took"
    table = sql.query(data, query)
    assert json.loads(sql._RENDER["json"](table)) == [
        {"total": 3, "half": 0.5, "nested": [None, 1.5], "took": "01:02:03"}
    ]
    assert sql.numeric(table) == [True, True, False, False]
