"""HTML of the site: one page, one table, one figure; everything from the results is escaped.

A page asks for nothing: style and script stand in it, its policy forbids every request, and the only script that may
run is the one whose hash the policy names. It reads and works without the script, too.
"""

import base64
import functools
import hashlib
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from reports import sql

ASSETS = Path(__file__).with_name("assets")
BROAD_PT = 640  # a wider drawing may take the whole page
LONGEST = 500  # rows of the table below a figure; beyond that its query stands alone
WORDY = frozenset({"note", "reason", "run", "source", "title"})  # columns of sentences or long names
NAVIGATION = {
    "index.html": "Leaderboard", "protocols.html": "Protocols", "detectors.html": "Detectors",
    "figures.html": "Figures",
}  # fmt: skip
Link = Callable[[str], str | None]


@functools.cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@functools.cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_asset("site.js").encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def page(title: str, parts: Iterable[str], *, at: str, script: bool = True) -> str:
    """A whole page. at: its path below the site; parts: HTML of its main part; script: does a table of it sort?"""
    up = "../" * at.count("/")
    links = "".join(
        f'<a href="{up}{name}"{" aria-current=page" if name == at else ""}>{words}</a>'
        for name, words in NAVIGATION.items()
    )
    code = f"<script>{_asset('site.js')}</script>" if script else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{text(title)} · Siren</title><style>{_asset('site.css')}</style></head>\n"
        f'<body><a class="skip" href="#main">Skip to the content</a>'
        f'<header><strong>Siren</strong><nav aria-label="Pages">{links}</nav></header>\n'
        f'<main id="main"><h1>{text(title)}</h1>\n{"".join(part for part in parts if part)}</main>\n'
        f"<footer>Made by <code>python -m reports site</code>; every table names the query that gives it.</footer>"
        f"{code}</body>\n</html>\n"
    )


def text(value: Any) -> str:
    """A value as escaped text; nothing for None."""
    return html.escape(sql.cell(value))


def paragraph(words: str, *, note: bool = False) -> str:
    """A paragraph of plain words; note: one to look at first."""
    return f"<p{' class=note' if note else ''}>{text(words)}</p>\n" if words else ""


def table(
    rows: pa.Table, query: str, caption: str, *, links: Mapping[str, Link] | None = None, name: str = "",
    filters: Sequence[str] = (), sortable: bool = True,
) -> str:  # fmt: skip
    """The rows as a table under its caption, and below it the query; "" without rows.

    links: column -> address of a cell's page, or None. name: id of the table, needed for filters. filters: columns
    with a list to choose from. The first column is the row's heading.
    """
    if not rows.num_rows:
        return ""
    return bare_table(
        rows.column_names, sql.numeric(rows), zip(*(column.to_pylist() for column in rows.columns)), query, caption,
        links=links or {}, name=name, filters=filters, sortable=sortable,
    )  # fmt: skip


def bare_table(
    names: Sequence[str], numeric: Sequence[bool], rows: Iterable[Sequence[Any]], query: str, caption: str, *,
    links: Mapping[str, Link], name: str = "", filters: Sequence[str] = (), sortable: bool = True,
) -> str:  # fmt: skip
    """`table`, of rows that lie as tuples; numeric: which columns stand to the right."""
    ends = [" class=n" if right else " class=words" if name in WORDY else "" for name, right in zip(names, numeric)]
    head = "".join(f"<th scope=col{end}>{text(column)}</th>" for column, end in zip(names, ends))
    ways = [links.get(column) for column in names]
    body = []
    for row in rows:
        cells = [_cell(value, way) for value, way in zip(row, ways)]
        rest = "".join(f"<td{end}>{cell}</td>" for cell, end in zip(cells[1:], ends[1:]))
        body.append(f"<tr><th scope=row{ends[0]}>{cells[0]}</th>{rest}</tr>")
    mark = f"{f' id={name}' if name else ''}{' data-sortable' if sortable else ''}"
    lines = "\n".join(body)
    return (
        f"{_filters(name, names, filters)}"
        f'<div class=wide tabindex=0 role=region aria-label="{text(caption)}"><table{mark}>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n{lines}\n</tbody></table></div>\n"
        f"{asked(query)}"
    )


def asked(query: str) -> str:
    """The query, folded away."""
    return f"<details><summary>SQL</summary><pre tabindex=0>{text(query)}</pre></details>\n"


def _cell(value: Any, way: Link | None) -> str:
    shown = text(value)
    address = way(str(value)) if way is not None and shown else None
    return f'<a href="{html.escape(address)}">{shown}</a>' if address else shown


def _filters(name: str, names: Sequence[str], filters: Sequence[str]) -> str:
    if not filters:
        return ""
    chosen = "".join(
        f'<div><label for="{name}-{k}">{text(column)}</label><select id="{name}-{k}" data-column="{k}">'
        f'<option value="">all</option></select></div>'
        for k, column in enumerate(names)
        if column in filters
    )
    return (
        f'<form class=filters id="{name}-filters" hidden autocomplete=off><div><label for="{name}-words">words'
        f'</label><input id="{name}-words" type=search></div>{chosen}<div role=status></div></form>\n'
    )


def figure(drawing: str, name: str, title: str, words: str, beside: str) -> str:
    """A drawing (an <svg>) with its title, its content in words, and what stands beside it: its table or query."""
    labelled = drawing.replace("<svg ", f'<svg role=img aria-labelledby="t-{name}" aria-describedby="d-{name}" ', 1)
    width = re.search(r'viewBox="\S+ \S+ (\S+)', drawing)
    broad = " class=broad" if width and float(width[1]) > BROAD_PT else ""
    return (
        f'<figure{broad}>{labelled}<figcaption><strong id="t-{name}">{text(title)}</strong> '
        f'<span id="d-{name}">{text(words)}</span></figcaption>'
        f"<details><summary>Numbers</summary>{beside}</details></figure>\n"
    )


class Addresses:
    """A file name for each thing that has a page: letters, digits, `-` and `_`, never the same for two."""

    def __init__(self, folder: str, names: Iterable[str]):
        self.folder, self.of, taken = folder, {}, set()
        for name in sorted(names):
            slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:120].strip("-") or "x"
            if slug.lower() in taken:
                slug = f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
            taken.add(slug.lower())
            self.of[name] = f"{folder}/{slug}.html"

    def link(self, up: str = "") -> Link:
        """From a page that lies `up` ("" or "../") of the site's folder."""
        return lambda name: f"{up}{quote(self.of[name])}" if name in self.of else None
