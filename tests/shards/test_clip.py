"""One clip as a member of a shard: its codec, its bits, and what of it may be lost."""

import io

import numpy as np
import pytest
import small_corpus
import soundfile
import torch
import torchaudio

from shards import writer
from shards.clip import encode, quantised
from shards.reader import Reader


def test_rounding_is_to_nearest_and_clips():
    step = 1 / 32768
    wave = np.array([0.4 * step, 0.6 * step, -0.6 * step, 1.5, -1.5, 1 - step / 4])
    assert quantised(wave, 16).tolist() == [0, 1, -1, 32767, -32768, 32767]
    assert quantised(wave, 24).tolist() == [102, 154, -154, 2**23 - 1, -(2**23), 2**23 - 64]


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_quantising_in_single_precision_loses_nothing(bits):
    full, random = 1 << bits - 1, np.random.default_rng(0)
    halves = ((np.arange(-70_000, 70_000) + 0.5) / full).astype(np.float32)
    wave = np.concatenate([halves, random.uniform(-1.2, 1.2, 100_000).astype(np.float32), np.float32([1e-45, -1, 1])])
    exact = np.clip(np.rint(wave.astype(np.float64) * full), -full, full - 1)
    assert np.array_equal(quantised(wave, bits), exact) and quantised(wave, bits).dtype == np.int32


@pytest.mark.parametrize("codec", ["flac", "pcm"])
@pytest.mark.parametrize("samples", [1, 15, 16_001])
def test_members_of_any_length_decode(codec, samples):
    pcm = np.arange(samples).astype(np.int16)
    extension, data = encode(pcm.astype(np.float32) / 32768, codec)
    back, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    assert extension == {"flac": "flac", "pcm": "wav"}[codec]
    assert rate_hz == 16_000 and back.tolist() == pcm.tolist()


SIXTEEN = np.arange(-500, 500, dtype=np.float32) / 32768
FINE = np.linspace(-0.5, 0.5, 1000, dtype=np.float32)
LOUD = np.linspace(-1.7, 1.2, 1000, dtype=np.float32)


@pytest.mark.parametrize(
    ("wave", "codec", "extension", "subtype", "error"),
    [
        (SIXTEEN, "flac", "flac", "PCM_16", 0), (FINE, "flac", "flac", "PCM_24", 2**-24),
        (LOUD, "flac", "wav", "FLOAT", 0), (SIXTEEN, "pcm", "wav", "PCM_16", 0),
        (FINE, "pcm", "wav", "PCM_16", 2**-16), (LOUD, "pcm", "wav", "FLOAT", 0),
    ],
)  # fmt: skip
def test_members_lose_no_more_than_they_must(wave, codec, extension, subtype, error):
    named, data = encode(wave, codec)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (named, file.subtype) == (extension, subtype)
        np.testing.assert_allclose(file.read(dtype="float32"), wave, rtol=0, atol=error)


@pytest.mark.parametrize("codec", ["flac", "pcm"])
def test_a_clip_that_overshoots_full_scale_is_not_clipped(tmp_path, codec):
    data = small_corpus.build(tmp_path, rows=[("x", "bonafide", None, "en", 24_000, "WAV")], gain=3.3)
    writer.write_corpus("tiny", data, audio_codec=codec)
    source, _ = soundfile.read(tmp_path / "tiny/audio/x.wav", dtype="float32")
    want = torchaudio.functional.resample(torch.from_numpy(source), 24_000, 16_000).numpy()
    assert np.abs(want).max() > 1
    np.testing.assert_array_equal(Reader(data).wave("tiny/x"), want)
    np.testing.assert_array_equal(Reader(data).span("tiny/x", 5, 50), want[5:50])
