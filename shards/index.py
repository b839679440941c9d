"""The index beside each tar: its members as Parquet, and in the file's metadata what the tar was made from.

`x.tar` has the index `x.index.parquet`. The index is written last, so a tar with a fitting index is finished.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.files import atomic, sha256, sync_folder

_KEY = b"siren"


def index_path(tar: Path) -> Path:
    """The index file of a tar."""
    return tar.with_suffix(".index.parquet")


def write_index(tar: Path, members: pa.Table, about: Mapping[str, Any]) -> None:
    """Write the members of a finished tar, and `about` it: fingerprint, size_bytes, sha256 and more."""
    members = members.replace_schema_metadata({_KEY: json.dumps(dict(about), sort_keys=True).encode()})
    with atomic(index_path(tar), sync=False) as temporary:
        pq.write_table(members, temporary, compression="zstd")


def read_about(tar: Path) -> dict[str, Any] | None:
    """What the index says about its tar; None if the index is absent or no index."""
    try:
        metadata = pq.read_metadata(index_path(tar)).metadata or {}
        return json.loads(metadata[_KEY])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def finished(tar: Path, fingerprint: str, entered: str | None) -> bool:
    """Whether a tar is complete and was made from the same inputs.

    entered: its sha256 in the catalog, which is written after the tar is safe on disk. A tar that the catalog
    does not know, left by a run that was cut short, counts only if its bytes are hashed and agree.
    """
    about = read_about(tar)
    if about is None or about.get("fingerprint") != fingerprint:
        return False
    try:
        if tar.stat().st_size != about.get("size_bytes"):
            return False
        return about["sha256"] == entered or about["sha256"] == sha256(tar)
    except (FileNotFoundError, KeyError):
        return False


def settle(tars: Sequence[Path]) -> None:
    """Flush tars and their indexes to disk: what the catalog will name survives a power cut."""
    for path in [file for tar in tars for file in (tar, index_path(tar))]:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    for folder in {tar.parent for tar in tars}:
        sync_folder(folder)
