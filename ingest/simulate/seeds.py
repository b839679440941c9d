"""Randomness that depends on names only: the same key gives the same numbers in any process and order."""

import hashlib

import numpy as np

FOLD_BITS = 53  # as macro fold_of in schema.sql


def generator(*key: object) -> np.random.Generator:
    """A generator seeded by the sha256 of the key's parts."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def fold(source_id: str) -> float:
    """The number in [0, 1) that the catalog's macro fold_of gives for a source id."""
    upper = int.from_bytes(hashlib.md5(source_id.encode()).digest()[:8], "little")
    return (upper >> (64 - FOLD_BITS)) / float(1 << FOLD_BITS)


def numbers(count: int, low: int, high: int, *key: object) -> list[int]:
    """`count` different integers in [low, high), in random order."""
    return generator(*key).choice(np.arange(low, high), size=count, replace=False).tolist()
