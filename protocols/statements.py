"""The statements of trials.sql and audit.sql, by name."""

import functools
from pathlib import Path


@functools.cache
def statements(file: str = "trials.sql") -> dict[str, str]:
    """Name -> SQL of the blocks of `file` that begin with a line `-- name: ...`."""
    blocks = Path(__file__).with_name(file).read_text().split("-- name: ")[1:]
    return {name.strip(): body for name, body in (block.split("\n", 1) for block in blocks)}
