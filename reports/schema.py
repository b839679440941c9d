"""docs/schema.md: every table and column of the results catalog, in the database's own words."""

from pathlib import Path

import duckdb

from ingest.files import atomic
from reports import sql

PAGE = Path(__file__).resolve().parents[1] / "docs" / "schema.md"
DEFINITION = Path(__file__).resolve().parents[1] / "benchmark" / "results.sql"


def text() -> str:
    """The page, from an empty results catalog."""
    with duckdb.connect() as con:
        con.execute("BEGIN; " + DEFINITION.read_text() + "; COMMIT")
        tables = con.sql("SELECT table_name, comment FROM duckdb_tables() ORDER BY table_oid").fetchall()
        views = con.sql("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY view_oid").fetchall()
        parts = [_HEAD]
        for name, comment in tables:
            columns = con.sql(
                'SELECT column_name AS "column", data_type AS type, comment AS meaning FROM duckdb_columns() '
                f"WHERE table_name = '{name}' ORDER BY column_index"
            ).to_arrow_table()
            parts.append(f"## {name}\n\n{comment}.\n\n{sql.markdown(columns)}")
        for name, comment in views:
            columns = con.sql(
                f"SELECT column_name, comment FROM duckdb_columns() WHERE table_name = '{name}' ORDER BY column_index"
            ).fetchall()
            own = "; ".join(f"`{column}`: {meaning[0].lower()}{meaning[1:]}" for column, meaning in columns if meaning)
            listed = ", ".join(column for column, _ in columns)
            parts.append(f"## {name} (view)\n\n{comment}.\n\nColumns: {listed}.{f' {own}.' if own else ''}\n")
    return "\n".join(parts)


def write() -> None:
    """Bring docs/schema.md up to date."""
    with atomic(PAGE) as temporary:
        temporary.write_text(text(), encoding="utf-8")


_HEAD = (
    "# The results catalog\n\n"
    "`results.duckdb`, written by `python -m benchmark collect`; this page by `python -m reports schema`. Tables "
    "first, then views, whose columns mean what those of the same name mean in the tables; `entry` and `config_id` are "
    "those of `current_run`. `FROM scores('data')` reads every stored score of the data folder `data`.\n"
)
