"""Randomness that depends on names only: the same key gives the same numbers in any process and order."""

import hashlib
from collections.abc import Iterable

import numpy as np

FOLD_BITS = 53  # as macro fold_of in schema.sql


def generator(*key: object) -> np.random.Generator:
    """A generator seeded by the sha256 of the key's parts."""
    digest = hashlib.sha256("|".join(map(str, key)).encode(errors="surrogateescape")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def fold(source_id: str) -> float:
    """The number in [0, 1) that the catalog's macro fold_of gives for a source id."""
    upper = int.from_bytes(hashlib.md5(source_id.encode()).digest()[:8], "little")
    return (upper >> (64 - FOLD_BITS)) / float(1 << FOLD_BITS)


def numbers(count: int, low: int, high: int, *key: object) -> list[int]:
    """`count` different integers in [low, high), in random order."""
    return (generator(*key).choice(high - low, size=count, replace=False) + low).tolist()


def stratified(candidates: Iterable[str], count: int) -> list[str]:
    """The first `count` source ids of which 60/20/20 percent lie in the folds [0, .6), [.6, .8), [.8, 1).

    So every protocol that splits by fold has trials in each role, however few the ids are.
    """
    room = [count - 2 * (count // 5), count // 5, count // 5]
    chosen: list[str] = []
    for name in candidates:
        third = 0 if fold(name) < 0.6 else 1 if fold(name) < 0.8 else 2
        if room[third] and name not in chosen:
            room[third] -= 1
            chosen.append(name)
        if not any(room):
            break
    return chosen
