"""The index beside each tar: its members as Parquet, and in the file's metadata what the tar was made from.

`x.tar` has the index `x.index.parquet`. The index is written last, so a tar with a fitting index is finished.
"""

import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.files import sync_folder
from ingest.types import DataError
from shards import storage
from shards.storage import Place, Remote

_KEY = b"siren"


def index_path(tar: Place) -> Place:
    """The index file of a tar."""
    return tar.with_suffix(".index.parquet")


def write_index(tar: Place, members: pa.Table, about: Mapping[str, Any]) -> None:
    """Write the members of a finished tar, and `about` it: fingerprint, size_bytes, sha256 and more.

    Of an object the tag that its store gave it is kept too: it tells later that this is still the tar.
    """
    tag = {"tag": storage.stamp(tar)[1]} if isinstance(tar, Remote) else {}
    members = members.replace_schema_metadata({_KEY: json.dumps({**about, **tag}, sort_keys=True).encode()})
    with storage.writing(index_path(tar)) as temporary:
        pq.write_table(members, temporary, compression="zstd", write_page_checksum=True)


def read_about(tar: Place) -> dict[str, Any] | None:
    """What the index says about its tar; None if the index is absent or no index."""
    try:
        metadata = pq.read_metadata(_readable(tar)).metadata or {}
        return json.loads(metadata[_KEY])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError, RecursionError):
        return None


def read_members(tar: Place) -> pa.Table:
    """The members of a tar. Raises OSError or pa.ArrowException if its index is absent or damaged anywhere."""
    return pq.ParquetFile(_readable(tar), page_checksum_verification=True).read()


def insert_members(con: duckdb.DuckDBPyConnection, table: str, tars: Sequence[Place]) -> None:
    """Append the members of finished tars to a table of the catalog. Raises DataError for an index that is damaged."""
    for tar in tars:
        try:
            con.register("new_member", read_members(tar))
            con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM new_member")
        except (OSError, pa.ArrowException, duckdb.BinderException) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"index {index_path(tar)} is damaged ({reason}); remove it and run the same command again"
            ) from None


def _readable(tar: Place) -> Any:
    path = index_path(tar)
    return io.BytesIO(storage.read_bytes(path)) if isinstance(path, Remote) else path


def finished(tar: Place, fingerprint: str, entered: str | None) -> bool:
    """Whether a tar is complete and was made from the same inputs.

    entered: its sha256 in the catalog, which is written after the tar is safe on disk. A tar that the catalog
    does not know, left by a run that was cut short, counts only if its bytes are hashed and agree, or if it is
    an object that still has the tag of its index.
    """
    about = read_about(tar)
    if about is None or about.get("fingerprint") != fingerprint:
        return False
    try:
        size_bytes, tag = storage.stamp(tar)
        if size_bytes != about.get("size_bytes"):
            return False
        if tag and about.get("tag"):
            return tag == about["tag"] or about["sha256"] == storage.digest(tar)
        return about["sha256"] == entered or about["sha256"] == storage.digest(tar)
    except (FileNotFoundError, KeyError):
        return False


def is_of(tar: Place, sha256: str) -> bool:
    """Whether its index, and the size of an object with another tag, leave a tar to be the one of that sha256 in the
    catalog.

    The catalog comes last: a command that writes tars anew and is still busy, or was killed, leaves the rows of before.
    A tar without an index passes, and one that was copied between stores, which gives it another tag. Raises
    FileNotFoundError if an object is absent.
    """
    about = read_about(tar)
    if about is None:
        return True
    if isinstance(tar, Remote):
        size_bytes, tag = storage.stamp(tar)
        if tag != about.get("tag") and size_bytes != about.get("size_bytes"):
            return False
    return about.get("sha256") == sha256


def settle(tars: Sequence[Place]) -> None:
    """Flush tars and their indexes to disk: what the catalog will name survives a power cut.

    Raises DataError if one is not there.
    """
    here = [tar for tar in tars if not isinstance(tar, Remote)]
    for path in [file for tar in here for file in (tar, index_path(tar))]:
        try:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        except FileNotFoundError:
            raise DataError(
                f"{path} has been written, and is not there; on a cluster, its folder must be the same on all nodes "
                "(docs/cluster.md); else see who removes it, and run the same command again"
            ) from None
    for folder in {tar.parent for tar in here}:
        sync_folder(folder)
