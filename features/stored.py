"""Features that are stored: which of them this version no longer makes, and how their rows leave the catalog."""

import json
from pathlib import Path

import duckdb

from features import extractors
from features.compute import has_features, stored_key
from ingest import catalog
from ingest.types import DataError, nearest
from shards import root

OUTDATED = "outdated"  # the word for all of them


def outdated(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The stored features whose extractor has another source here, or none: nothing will read them again.

    Those with weights of their own are never among them: their key is known only where the weights are at hand.
    """
    rows = con.execute("SELECT feature, name, params, key, dtype FROM feature ORDER BY feature").fetchall()
    return [feature for feature, *made in rows if not _made_here(*made)]


def _made_here(name: str, params: str, key: str, dtype: str) -> bool:
    settings = json.loads(params)
    if "weights" in settings:
        return True
    try:
        own = extractors.get(name, **settings).key
    except DataError:  # the feature or one of its parameters is gone
        return False
    return key in {stored_key(own, dtype, device) for device in ("cpu", "cuda", "mps", "xpu")}


def remove(data: Path, word: str) -> dict[str, tuple[int, int]]:
    """Take a feature, or all that are outdated, out of the catalog: feature -> how many shards, of how many bytes.

    `shards gc` then removes the files. One that was taken out before has no shards. Raises DataError for a feature that
    was never stored.
    """
    path = data / "catalog.duckdb"
    with catalog.connect(path) as con:
        if not has_features(con):
            raise DataError(f"{path} has no stored features")
        known = [feature for (feature,) in con.execute("SELECT feature FROM feature ORDER BY 1").fetchall()]
        leaving = outdated(con) if word == OUTDATED else [word]
        done = root.taken_out(con, "feature", word)
    if word not in (OUTDATED, *known) and done:
        return {word: (0, 0)}
    if word not in (OUTDATED, *known):
        raise nearest(word, [OUTDATED, *known], what="stored feature")
    removed = {}
    if not leaving:
        return removed
    with catalog.connect(path, read_only=False) as con:
        con.execute(root.SCHEMA.read_text())
        con.begin()
        for feature in leaving:
            query = "SELECT count(*), coalesce(sum(size_bytes), 0)::BIGINT FROM feature_shard WHERE feature = ?"
            removed[feature] = con.execute(query, [feature]).fetchone()
            for table in ("feature_member", "feature_shard", "feature"):
                con.execute(f"DELETE FROM {table} WHERE feature = ?", [feature])
            root.take_out(con, "feature", "", feature)
        con.commit()
    return removed
