"""Predicates of protocol files: SQL that may only compare columns of `trial_pool`, checked before it runs.

A protocol may come from anywhere, so a predicate is parsed by DuckDB and its syntax tree is walked: one
boolean expression, known columns, functions from a short list; no subquery, no table, no file.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb

import ingest
from ingest.types import DataError, nearest

_EXPRESSIONS = {
    "COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "FUNCTION", "CASE", "CAST", "BETWEEN",
}  # fmt: skip
_FUNCTIONS = {
    "~~", "!~~", "~~*", "!~~*", "+", "-", "*", "/", "%", "||", "abs", "ceil", "coalesce", "contains",
    "ends_with", "floor", "fold_of", "left", "length", "lower", "regexp_extract", "regexp_full_match",
    "regexp_matches", "replace", "right", "round", "split_part", "starts_with", "substring", "suffix",
    "prefix", "upper",
}  # fmt: skip
_EQUALS = ("COMPARE_EQUAL", "COMPARE_IN", "COMPARE_NOTEQUAL", "COMPARE_NOT_IN")


@functools.cache
def _catalog() -> duckdb.DuckDBPyConnection:
    """An empty catalog in memory, to parse and bind against; it can neither read nor write a file."""
    con = duckdb.connect()
    con.execute((Path(ingest.__file__).parent / "schema.sql").read_text())
    con.execute("SET enable_external_access = false")
    return con


@functools.cache
def columns() -> frozenset[str]:
    """The columns that a predicate may use: those of view trial_pool."""
    return frozenset(row[0] for row in _catalog().execute("DESCRIBE trial_pool").fetchall())


def check(predicate: str, place: str) -> tuple[frozenset[str], frozenset[str]]:
    """The corpora that the predicate asks for and those that it shuts out (`corpus <> 'x'`).

    Raises DataError when it is not one boolean expression over trial_pool; `place` is the file, role and
    key for the message, e.g. "inner/decro_en.toml [train] spoof".
    """
    try:
        return _checked(predicate)
    except DataError as error:
        raise DataError(f"{place}: {error}") from None


def words(predicate: str) -> frozenset[tuple[str, str]]:
    """(column, word) of every word that a checked predicate holds against a column: =, <>, IN, NOT IN."""
    found = set()
    for node in _expressions(_parse(predicate)):
        if node["type"] in _EQUALS:
            names, said = _sides(node)
            found |= {(name, word) for name in names for word in said}
    return frozenset(found)


@functools.lru_cache(maxsize=8192)
def _checked(predicate: str) -> tuple[frozenset[str], frozenset[str]]:
    tree = _parse(predicate)
    for node in _expressions(tree):
        if node["class"] not in _EXPRESSIONS:
            raise DataError(f"{node['class'].lower()} is not allowed in a predicate: {predicate}")
        if node["class"] == "FUNCTION" and node["function_name"] not in _FUNCTIONS:
            raise DataError(f"function {node['function_name']!r} is not allowed in a predicate: {predicate}")
        if node["class"] == "COLUMN_REF" and node["column_names"][-1] not in columns():
            raise nearest(node["column_names"][-1], columns(), what="column")
    _bind(predicate)
    wanted, refused = set(), set()
    _corpora(tree, wanted, refused)
    return frozenset(wanted), frozenset(refused)


def _parse(predicate: str) -> dict:
    """The syntax tree of one expression, as DuckDB serializes it."""
    (answer,) = _catalog().execute("SELECT json_serialize_sql(?)", [f"SELECT ({predicate})"]).fetchone()
    answer = json.loads(answer)
    if answer["error"]:
        raise DataError(f"not valid SQL ({answer['error_message']}): {predicate}")
    statements = answer["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {"type": None}
    plain = node["type"] == "SELECT_NODE" and len(node["select_list"]) == 1
    plain = plain and node["from_table"]["type"] == "EMPTY" and not node["modifiers"]
    if not plain or any(node[key] for key in ("where_clause", "group_expressions", "having", "qualify")):
        raise DataError(f"a predicate is one condition, not a statement: {predicate}")
    return node["select_list"][0]


def _expressions(tree: object) -> Iterator[dict]:
    """Every node of the tree that is an expression, the root first."""
    if isinstance(tree, list):
        for item in tree:
            yield from _expressions(item)
    elif isinstance(tree, dict):
        if "class" in tree:
            yield tree
        for item in tree.values():
            yield from _expressions(item)


def _bind(predicate: str) -> None:
    try:
        kind = _catalog().execute(f"DESCRIBE SELECT ({predicate}) AS it FROM trial_pool").fetchone()[1]
    except duckdb.Error as error:
        raise DataError(f"{str(error).splitlines()[0]}: {predicate}") from None
    if kind != "BOOLEAN":
        raise DataError(f"a predicate is true or false, this one is {kind}: {predicate}")


def _corpora(node: dict, wanted: set[str], refused: set[str], *, all_hold: bool = True) -> None:
    """Add the corpora that the comparisons ask for (`corpus = 'x'`, `corpus IN (...)`) or shut out (`<>`).

    What stands under NOT asks for nothing; only a `<>` that must hold (all_hold) shuts a corpus out.
    """
    if node["type"] == "OPERATOR_NOT":
        return
    if node["class"] == "CONJUNCTION":
        for child in node["children"]:
            _corpora(child, wanted, refused, all_hold=all_hold and node["type"] == "CONJUNCTION_AND")
        return
    names, said = _sides(node)
    if "corpus" in names and node["type"] in ("COMPARE_EQUAL", "COMPARE_IN"):
        wanted |= said
    elif "corpus" in names and node["type"] in ("COMPARE_NOTEQUAL", "COMPARE_NOT_IN") and all_hold:
        refused |= said


def _sides(node: dict) -> tuple[list[str], set[str]]:
    """The columns and the constants that an expression compares."""
    sides = [node["left"], node["right"]] if node["class"] == "COMPARISON" else node.get("children", [])
    names = [side["column_names"][-1] for side in sides if side["class"] == "COLUMN_REF"]
    constants = [side["value"] for side in sides if side["class"] == "CONSTANT"]
    return names, {str(constant["value"]) for constant in constants if not constant["is_null"]}
