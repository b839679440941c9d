"""Stored features in place of computed ones: equal where the rule allows it, refused elsewhere."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import small_corpus
import torch

from features import extractors
from features.compute import Recipe, compute_corpus
from features.reader import FeatureReader, stored
from ingest.types import DataError
from shards import writer
from shards.reader import Reader

UTTERANCES = [f"tiny/{row[0]}" for row in small_corpus.ROWS]
PLAIN = ["original"] * len(UTTERANCES)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = small_corpus.build(tmp_path_factory.mktemp("stored"))
    writer.write_corpus("tiny", folder)
    for dtype in ("float32", "float16"):
        compute_corpus("tiny", folder, Recipe.of("lfcc", None, {}, dtype), jobs=1)
    return folder


def test_matrices_are_those_computed_now(data):
    extractor, audio = extractors.get("lfcc"), Reader(data)
    reader = FeatureReader(data, f"lfcc-{extractor.key[:8]}")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as worker:  # which is sent the reader
        elsewhere = list(worker.map(reader.matrix, UTTERANCES))
    for utt_id, there in zip(UTTERANCES, elsewhere):
        want = extractor.extract(torch.from_numpy(audio.wave(utt_id))[None])[0].numpy()
        np.testing.assert_array_equal(reader.matrix(utt_id), want)
        np.testing.assert_array_equal(there, want)
        assert reader.frames(utt_id) == len(want)


def test_a_batch_of_one_length_is_what_the_extractor_gives(data):
    extractor, audio = extractors.get("lfcc"), Reader(data)
    reader = stored(data, extractor, UTTERANCES, PLAIN, samples=None, changed=False)
    want = extractor.extract(torch.from_numpy(np.stack(audio.waves(UTTERANCES)))).numpy()
    np.testing.assert_array_equal(reader.batch(UTTERANCES, PLAIN), want)


def test_half_precision_comes_back_as_float32(data):
    recipe = Recipe.of("lfcc", None, {}, "float16")
    x = FeatureReader(data, recipe.folder).matrix("tiny/b1")
    assert x.dtype == np.float32 and np.array_equal(x, x.astype(np.float16))


@pytest.mark.parametrize("case", [
    {"samples": 48_000}, {"changed": True}, {"device": "cuda"}, {"threads": 2}, {"variant": "mp3-16k"}, {"name": "logmel"},
    {"params": {"bands": 21}}, {"utt_id": "tiny/zz"},
])  # fmt: skip
def test_where_it_would_not_be_the_same_it_is_computed(data, case):
    extractor = extractors.get(case.get("name", "lfcc"), **({"filters": 21} if "params" in case else {}))
    utt_ids = [*UTTERANCES, *([case["utt_id"]] if "utt_id" in case else [])]
    words = [case.get("variant", "original")] * len(utt_ids)
    asked = {
        "samples": case.get("samples"),
        "changed": case.get("changed", False),
        "device": case.get("device", "cpu"),
        "threads": case.get("threads", 1),
    }
    assert stored(data, extractor, utt_ids, words, **asked) is None


def test_clips_of_two_lengths_make_no_batch(tmp_path, data):
    reader = FeatureReader(data, Recipe.of("lfcc", None, {}).folder)
    whole = reader.matrix
    reader.matrix = lambda utt_id, variant: whole(utt_id, variant)[: 9 if utt_id == "tiny/b1" else None]
    assert reader.batch(UTTERANCES, PLAIN) is None


def test_another_device_or_precision_is_another_feature():
    keys = {
        Recipe("lfcc", "{}", dtype, device).folder for dtype in ("float32", "float16") for device in ("cpu", "meta")
    }
    assert len(keys) == 4


def test_errors_name_the_shard_and_the_command(data, tmp_path):
    reader = FeatureReader(data, Recipe.of("lfcc", None, {}).folder)
    with pytest.raises(DataError, match=r"tiny/zz is in no shard.*python -m features tiny --feature lfcc"):
        reader.matrix("tiny/zz")
    row = reader._row("tiny/b1", "original")
    path = reader._folder / reader._shards[reader._index["shard"][row]]
    whole, start = path.read_bytes(), int(reader._index["offset"][row])
    try:
        path.write_bytes(whole[:start] + bytes(64) + whole[start + 64 :])
        with pytest.raises(DataError, match=r"is damaged: tiny/b1 is no array.*python -m features tiny --feature lfcc"):
            FeatureReader(data, reader.feature).matrix("tiny/b1")
    finally:
        path.write_bytes(whole)
