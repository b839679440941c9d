"""Expected against found: what the catalog holds of each corpus, what fell short, and the cure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from ingest import catalog
from ingest.types import DataError, nearest

_CURES = {
    "counts": "take the complete protocol files and audio and ingest again",
    "missing": "unpack the archives named above below the root and ingest again",
    "corrupt": "fetch the files again and ingest again",
    "incomplete": "fetch what the notes above count as absent and ingest again",
}


def main(data: Path, names: Sequence[str], *, as_json: bool) -> int:
    """Print the state of the corpora (all if `names` is empty); returns 1 if one fell short, else 0."""
    with catalog.connect(Path(data) / "catalog.duckdb") as con:
        told = [of_corpus(con, name) for name in chosen(con, names)]
    short = any(corpus["short"] for corpus in told)
    if as_json:
        print(json.dumps({"ok": not short, "corpora": told}, indent=2))
    elif not told:
        print("no corpus yet: python -m ingest CORPUS --root DIR")
    else:
        print("\n\n".join(_text(corpus) for corpus in told))
    return int(short)


def chosen(con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """`names`, or every corpus of the catalog; raises DataError for one that it does not hold."""
    there = [name for (name,) in con.execute("SELECT corpus FROM corpus ORDER BY corpus").fetchall()]
    for name in names:
        if name not in there:
            if not there:
                raise DataError("the catalog holds no corpus yet: python -m ingest CORPUS --root DIR")
            raise nearest(name, there, what="corpus in this catalog:")
    return list(names) or there


def of_corpus(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """One corpus as a dictionary: rows per partition and label, expected counts, findings, what fell short."""
    root, partial, simulated = con.execute(
        "SELECT root, partial, simulated FROM corpus WHERE corpus = ?", [name]
    ).fetchone()
    rows = _dicts(
        con,
        """
        SELECT "partition", label, count(*) AS rows, count(*) FILTER (audio_status = 'ok') AS ok,
               count(*) FILTER (audio_status = 'missing') AS missing,
               count(*) FILTER (audio_status = 'corrupt') AS corrupt,
               round(coalesce(sum(duration_s), 0) / 3600, 3) AS hours
        FROM utterance WHERE corpus = ? GROUP BY ALL ORDER BY min(rowid), label""",
        name,
    )
    expected = _dicts(
        con,
        """
        SELECT "partition", group_column, group_value, label, expected, found, grade, source,
               grade <> 'U' AND expected <> found AS short
        FROM expected_count WHERE corpus = ? ORDER BY rowid""",
        name,
    )
    findings = _dicts(
        con,
        """
        SELECT kind, count(*) AS count, arg_min(path, rowid) AS first, list(detail ORDER BY rowid)[:20] AS details
        FROM finding WHERE corpus = ? GROUP BY kind ORDER BY kind""",
        name,
    )
    lacks = {
        "counts": any(count["short"] for count in expected),
        "missing": any(row["missing"] for row in rows),
        "corrupt": any(row["corrupt"] for row in rows),
    }
    lacks["incomplete"] = partial and not any(lacks.values())  # as songs of SingFake without clips
    return {
        "corpus": name, "root": root, "partial": partial, "simulated": simulated, "rows": rows,
        "expected": expected, "findings": findings, "short": any(lacks.values()),
        "cures": [cure for what, cure in _CURES.items() if lacks[what]],
    }  # fmt: skip


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A plain table: words to the left, numbers to the right."""
    cells = [[*header], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    right = [bool(rows) and not isinstance(rows[0][column], str | None) for column in range(len(header))]
    lines = [
        "  ".join(cell.rjust(width) if to else cell.ljust(width) for cell, width, to in zip(row, widths, right))
        for row in cells
    ]
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def _text(corpus: dict[str, Any]) -> str:
    marks = [word for word in ("partial", "simulated") if corpus[word]]
    lines = [f"{corpus['corpus']}{' (' + ', '.join(marks) + ')' if marks else ''}: {corpus['root']}"]
    due = {}
    for count in corpus["expected"]:
        key = (count["partition"], count["label"])
        due[key] = due.get(key, 0) + count["expected"]
    header = ("partition", "label", "expected", "rows", "audio", "missing", "corrupt", "hours")
    lines.append(
        table(
            header,
            [
                (row["partition"] or "-", row["label"], due.get((row["partition"], row["label"]), "-"), row["rows"],
                 row["ok"], row["missing"], row["corrupt"], row["hours"])
                for row in corpus["rows"]
            ],
        )
    )  # fmt: skip
    for count in corpus["expected"]:
        if count["short"] or count["expected"] != count["found"]:
            name = " ".join(
                word for word in (count["partition"], count["group_value"], count["label"]) if word is not None
            )
            unsure = "" if count["short"] else ", a figure without a sure source"
            lines.append(
                f"  {name}: {count['found']} rows, expected {count['expected']} (grade {count['grade']}, "
                f"{count['source']}{unsure})"
            )
    for finding in corpus["findings"]:
        if finding["kind"] in ("note", "missing"):
            lines += [f"  {finding['kind']}: {detail}" for detail in finding["details"]]
        else:
            lines.append(
                f"  {finding['kind']}: {finding['count']} (first: {finding['first']}: {finding['details'][0]})"
            )
    lines += [f"  to do: {cure}" for cure in corpus["cures"]]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _dicts(con: duckdb.DuckDBPyConnection, query: str, name: str) -> list[dict[str, Any]]:
    found = con.execute(query, [name])
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row)) for row in found.fetchall()]
