"""The index beside each tar: its members as Parquet, and in the file's metadata what the tar was made from.

`x.tar` has the index `x.index.parquet`. The index is written last, so a tar with a fitting index is finished.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.files import atomic

_KEY = b"siren"


def index_path(tar: Path) -> Path:
    """The index file of a tar."""
    return tar.with_suffix(".index.parquet")


def write_index(tar: Path, members: pa.Table, about: Mapping[str, Any]) -> None:
    """Write the members of a finished tar, and `about` it: fingerprint, size_bytes, sha256 and more."""
    members = members.replace_schema_metadata({_KEY: json.dumps(dict(about), sort_keys=True).encode()})
    with atomic(index_path(tar)) as temporary:
        pq.write_table(members, temporary, compression="zstd")


def read_about(tar: Path) -> dict[str, Any] | None:
    """What the index says about its tar; None if the index is absent or no index."""
    try:
        metadata = pq.read_metadata(index_path(tar)).metadata or {}
        return json.loads(metadata[_KEY])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def finished(tar: Path, fingerprint: str) -> dict[str, Any] | None:
    """What is known about a tar that is complete and was made from the same inputs; else None."""
    about = read_about(tar)
    if about is None or about.get("fingerprint") != fingerprint:
        return None
    try:
        size_bytes = tar.stat().st_size
    except FileNotFoundError:
        return None
    return about if size_bytes == about.get("size_bytes") else None
