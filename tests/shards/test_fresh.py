"""What was made of audio that has been ingested anew since is not read: not as a clip, a copy or a feature."""

import shlex

import numpy as np
import pytest
import small_corpus
import torch

from features import extractors
from features.__main__ import main
from features.compute import Recipe, compute_corpus
from features.reader import FeatureReader, stored
from ingest.types import DataError
from shards import variant_plan, writer
from shards.reader import Reader
from shards.variant_writer import write_variants

UTTERANCES = [f"tiny/{row[0]}" for row in small_corpus.ROWS]
PLAIN = ["original"] * len(UTTERANCES)
PLAN = variant_plan.parse('[[use]]\nvariants = ["speed-90"]\n', "own")


@pytest.fixture
def data(tmp_path):
    folder = small_corpus.build(tmp_path)
    writer.write_corpus("tiny", folder)
    write_variants("tiny", folder, PLAN)
    compute_corpus("tiny", folder, Recipe.of("lfcc", None, {}), jobs=1)
    return folder


def of_lfcc(data):
    return stored(data, extractors.get("lfcc"), UTTERANCES, PLAIN, samples=None, changed=False)


def test_a_clip_that_was_ingested_anew_is_read_only_after_it_was_written_again(data):
    old, changed = Reader(data).wave(UTTERANCES[0]), UTTERANCES[0]
    copies = {utt_id: Reader(data).wave(utt_id, "speed-90") for utt_id in UTTERANCES}
    small_corpus.ingest_again(data, changed)
    reader = Reader(data)
    assert [u for u in UTTERANCES if not reader.has(u)] == [changed]
    assert [u for u in UTTERANCES if not reader.has(u, "speed-90")] == [changed]
    with pytest.raises(DataError, match=rf"{changed} was ingested anew .*; run: python -m shards tiny --data"):
        reader.wave(changed)
    with pytest.raises(DataError, match=r"'speed-90' was made of; run: python -m shards variants tiny --plan PLAN"):
        reader.wave(changed, "speed-90")
    with pytest.raises(DataError, match=r"tiny/nobody is in no shard of variant 'original'"):
        reader.wave("tiny/nobody")
    writer.write_corpus("tiny", data)
    reader = Reader(data)
    np.testing.assert_array_equal(reader.wave(changed), old[::-1])
    assert not reader.has(changed, "speed-90") and reader.has(UTTERANCES[1], "speed-90")
    write_variants("tiny", data, PLAN)
    reader = Reader(data)
    assert not np.array_equal(reader.wave(changed, "speed-90"), copies.pop(changed))
    assert all(np.array_equal(reader.wave(utt_id, "speed-90"), wave) for utt_id, wave in copies.items())


def test_a_feature_is_read_only_where_it_is_of_the_audio_that_is_there(data):
    feature = f"lfcc-{extractors.get('lfcc').key[:8]}"
    assert of_lfcc(data) is not None
    small_corpus.ingest_again(data, UTTERANCES[0])
    assert of_lfcc(data) is None
    with pytest.raises(DataError, match=r"run: python -m features tiny --feature lfcc --data"):
        FeatureReader(data, feature).matrix(UTTERANCES[0])
    writer.write_corpus("tiny", data)
    assert of_lfcc(data) is None  # the audio is new, the features are not
    compute_corpus("tiny", data, Recipe.of("lfcc", None, {}), jobs=1)
    want = extractors.get("lfcc").extract(torch.from_numpy(Reader(data).wave(UTTERANCES[0]))[None])[0].numpy()
    np.testing.assert_array_equal(of_lfcc(data).matrix(UTTERANCES[0]), want)


def test_features_of_shards_in_another_form_are_made_again_even_where_their_bytes_are_the_same(data):
    writer.write_corpus("tiny", data, audio_codec="pcm")  # of 16 kHz sources the samples are the same
    assert of_lfcc(data) is None
    compute_corpus("tiny", data, Recipe.of("lfcc", None, {}), jobs=1)
    for utt_id in UTTERANCES:
        want = extractors.get("lfcc").extract(torch.from_numpy(Reader(data).wave(utt_id))[None])[0].numpy()
        np.testing.assert_array_equal(of_lfcc(data).matrix(utt_id), want)


def test_what_is_missing_is_named_with_the_command_that_makes_it(data):
    recipe = Recipe.of("lfcc", "singfake", {}, "float16")
    compute_corpus("tiny", data, recipe, jobs=1)
    for kind in ("shards", "features"):
        for tar in (data / kind).rglob("*.tar"):
            tar.unlink()
    with pytest.raises(DataError, match=r"write it again: python -m shards variants tiny --plan PLAN --data"):
        Reader(data).wave(UTTERANCES[0], "speed-90")
    with pytest.raises(DataError, match=r"write it again: python -m shards tiny --data"):
        Reader(data).wave(UTTERANCES[0])
    writer.write_corpus("tiny", data, audio_codec="pcm")
    compute_corpus("tiny", data, recipe, jobs=1)
    for tar in [*(data / "shards").rglob("*-original-*.tar"), *(data / "features").rglob("*.tar")]:
        tar.unlink()
    with pytest.raises(DataError, match=r"write it again: python -m shards tiny --audio-codec pcm --data"):
        Reader(data).wave(UTTERANCES[0])
    with pytest.raises(DataError, match=r"is missing; run: python -m shards tiny --audio-codec pcm --data"):
        compute_corpus("tiny", data, recipe, jobs=1)
    with pytest.raises(DataError) as error:
        FeatureReader(data, recipe.folder).matrix(UTTERANCES[0])
    command = shlex.split(str(error.value).partition("write it again: python -m features ")[2])
    writer.write_corpus("tiny", data)
    assert main(command) == 0  # with all parameters: this very feature is there again
    assert FeatureReader(data, recipe.folder).matrix(UTTERANCES[0]).dtype == np.float32
