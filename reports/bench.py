"""Every speed figure beside its limit or peer, measured in one go, as a table and as docs/performance.md."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features import published
from ingest.files import atomic
from ingest.parallel import cores
from ingest.types import nearest

SOURCES = {
    "ingest": "ingest.bench",
    "shards": "shards.bench",
    "variants": "shards.bench_variants",
    "features": "features.bench",
    "workers": "features.bench_workers",
    "memory": "shards.bench_memory",
    "loader": "benchmark.bench_loader",
    "metrics": "benchmark.bench_metrics",
    "detectors": "benchmark.bench_detectors",
    "detect": "benchmark.bench_detect",
    "reports": "reports.bench_board",
}
_MEASURE = """
import importlib, json, sys
rows = [dict(row) for row in importlib.import_module(sys.argv[1]).rows()]
json.dump(rows, open(sys.argv[2], "w"))
"""
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
_NOTES = "\n## Notes\n"


def bench(only: Sequence[str] = (), page: Path = PAGE) -> bool:
    """Measure, print one table, and write `page` when everything was measured. True if every limit was reached.

    What stands on the page from `## Notes` on is kept; the costs in cluster.md beside it follow the new rates.
    """
    for name in only:
        if name not in SOURCES:
            raise nearest(name, SOURCES, what="bench")
    chosen = [name for name in SOURCES if not only or name in only]
    rows = []
    for name in chosen:
        print(f"measuring {name}", flush=True)
        rows += [{"stage": name, **row} for row in measured(SOURCES[name])]
    table = markdown(rows)
    print(table)
    if not only:
        with atomic(page) as temporary:
            temporary.write_text(_page(table, _notes(page)))
        _bring_costs_up_to_date(page)
    return all(reached(row) is not False for row in rows)


def _bring_costs_up_to_date(page: Path) -> None:
    """The table of costs on the page beside, which is computed from the rates of this one."""
    costs = page.with_name("cluster.md")
    if costs.exists():
        text = published.up_to_date(costs.read_text(), page.read_text())
        with atomic(costs) as temporary:
            temporary.write_text(text)


def measured(module: str) -> list[dict[str, Any]]:
    """The rows of one stage, from a process of its own: none finds the memory, threads or allocator another left."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        subprocess.run([sys.executable, "-c", _MEASURE, module, str(out)], cwd=PAGE.parents[1], check=True)
        return json.loads(out.read_text())


def ratio(row: dict[str, Any]) -> float | None:
    """The figure over that of its peer: as the row gives it, or where it gives the peer's as a number."""
    if "ratio" in row:
        return row["ratio"]
    limit = row.get("limit")
    return row["value"] / limit if isinstance(limit, int | float) and limit else None


def reached(row: dict[str, Any]) -> bool | None:
    """Does the figure do what was asked for? None where nothing was.

    reach is a number, the least ratio to the peer, or words: ">= x" or "<= x" in the row's unit.
    """
    reach = row.get("reach")
    if isinstance(reach, int | float):
        return ratio(row) >= reach
    words = str(reach or "").split()
    if len(words) != 2 or words[0] not in (">=", "<="):
        return None
    return row["value"] >= float(words[1]) if words[0] == ">=" else row["value"] <= float(words[1])


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as one Markdown table."""
    lines = [
        "| stage | what | measured | unit | beside | ratio | asked for | met |",
        "|---|---|--:|---|---|--:|---|---|",
    ]
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[reached(row)]
        times, limit, reach = ratio(row), row.get("limit") or "", row.get("reach") or ""
        cells = (row["stage"], row["name"], _number(row["value"]), row["unit"],
                 limit if times is None else _number(limit), "" if times is None else f"{times:.2f}",
                 f"ratio >= {reach}" if isinstance(reach, int | float) else reach, met)  # fmt: skip
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Four digits that count, never as a power of ten: 22,690."""
    text = f"{value:.4g}"
    return f"{float(text):,.0f}" if abs(value) >= 1000 else text


def machine() -> str:
    """Processor, cores and memory of this machine in one line. Family and model tell generations of one name apart."""
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    lines = info.read_text().split("\n\n")[0].splitlines() if info.exists() else []
    told = {word.strip(): value.strip() for word, _, value in (line.partition(":") for line in lines)}
    if "model name" in told:
        name = told["model name"]
    if {"cpu family", "model"} <= told.keys():
        name += f" (family {told['cpu family']}, model {told['model']})"
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {cores()} cores, {memory_gib:.0f} GiB, Python {platform.python_version()}"


def _notes(page: Path) -> str:
    _, heading, text = (page.read_text() if page.exists() else "").partition(_NOTES)
    return heading + text


def _page(table: str, notes: str) -> str:
    return (
        "# Performance\n\nWritten by `make bench`: every figure was measured beside its peer or limit in the same run; "
        "medians. A ratio is ours over the peer's in the same round, the median of all rounds.\n\n"
        f"Machine: {machine()}. Measured {time.strftime('%Y-%m-%d')}.\n\n{table}\n{notes}"
    )
