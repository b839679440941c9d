"""What a data folder holds, in a form that two runs of the same commands must agree in; and whether every file is whole.

Clock times, costs, the process that holds a lock and the order of a DuckDB file's pages may differ; nothing else may.
"""

import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

COSTS = {  # and the state of the checkout, which somebody may work in
    "git_commit", "git_dirty", "train_s", "score_s", "finished_at", "peak_memory_bytes", "energy_j", "energy_source", "seconds", "signature",
}  # fmt: skip
TEMPORARY = re.compile(r"\.tmp$|\.part$|\.tmp\.wal$|state\.pt$")
ENDS = {".html": b"</html>", ".svg": b"</svg>", ".png": b"IEND\xaeB`\x82"}
NOT_COMPARED = re.compile(r"(^|/)(\.?lock|[^/]*\.lock|plans/[^/]*|[^/]*\.duckdb\.wal|\.siren-(id|root))$")


def digest(data: Path) -> dict[str, str]:
    """Name of every file and table -> hash of what it holds."""
    found: dict[str, str] = {}
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        name = str(path.relative_to(data))
        if NOT_COMPARED.search(name):
            continue
        if path.suffix == ".duckdb":
            found |= {f"{name} {table}": text for table, text in tables(path).items()}
        elif path.name in ("run.json", "train.json"):
            found[name] = _hash(_without_costs(json.loads(path.read_text())))
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def tables(path: Path) -> dict[str, str]:
    """Table -> number of rows and a hash of them, costs left out."""
    found = {}
    with duckdb.connect(str(path), read_only=True) as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
            columns = [row[0] for row in con.execute(f"DESCRIBE {table}").fetchall() if row[0] not in COSTS]
            words = ", ".join(f'"{name}"' for name in columns)
            rows = con.execute(f"SELECT {words} FROM {table} ORDER BY ALL").fetchall()
            found[table] = f"{len(rows)} rows {_hash(repr(rows))}"
    return found


def broken(data: Path, *, finished: bool) -> list[str]:
    """Files that are half written; finished: a temporary name counts as one, too."""
    wrong = []
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        if TEMPORARY.search(path.name):
            wrong += [f"{path.relative_to(data)} was left"] if finished else []
            continue
        reason = _reason(path)
        if reason:
            wrong.append(f"{path.relative_to(data)}: {reason}")
    return wrong


def _reason(path: Path) -> str:
    try:
        if path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".tar":
            with tarfile.open(path) as archive:
                for member in archive:
                    archive.extractfile(member).read()
        elif path.suffix == ".duckdb":
            duckdb.connect(str(path), read_only=True).close()
        elif path.suffix == ".safetensors":
            from safetensors import safe_open

            safe_open(str(path), "np").keys()
        elif path.suffix in ENDS and not path.read_bytes().rstrip().endswith(ENDS[path.suffix]):
            return "cut short"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _without_costs(value: Any) -> str:
    return json.dumps({k: v for k, v in value.items() if k not in COSTS}, sort_keys=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
