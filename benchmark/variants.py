"""Codec and speed copies in training: which one a draw takes, and its wave, from the shards or made now."""

from typing import Any

import numpy as np

from shards import variants


def draw(utt_id: str, plan: str, generator: np.random.Generator) -> str:
    """The variant of one draw: `original` or one of the copies that `plan` gives the utterance, each alike.

    The copies are the same in every run, so that shards can hold them (python -m shards --plan).
    """
    words = variants.plan(utt_id, plan)
    return words[int(generator.integers(len(words)))]


def labels(word: str) -> tuple[int, int]:
    """Pseudo labels (compression 0 to 9, speed 0 to 15) of a variant."""
    return variants.labels(word)


def stored(reader: Any, utt_id: str, word: str) -> bool:
    """Do the shards hold the clip in this variant, made of the audio that was ingested last?"""
    return reader.has(utt_id, word)


def made(wave: np.ndarray, utt_id: str, word: str) -> np.ndarray:
    """A clip in a variant, made now: the samples that the shards would hold."""
    return variants.apply(wave, word, seed=utt_id)
