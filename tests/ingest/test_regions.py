"""Active regions: where they begin and end, and that cutting while decoding gives the samples of the whole."""

import numpy as np
import pytest
import soundfile
from miniatures import put

from ingest import audio, regions


def song(path, plan, *, rate_hz=44_100, channels=1, seed=0):
    """Write (seconds, amplitude) passages of noise one after the other."""
    rng = np.random.default_rng(seed)
    parts = [amplitude * rng.uniform(-1, 1, (int(seconds * rate_hz), channels)) for seconds, amplitude in plan]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(parts), rate_hz, subtype="PCM_16")
    return path


def test_levels_are_rms_per_frame(tmp_path):
    wave = np.full(44_100, 0.5)
    wave[22_050:] = 0.05
    soundfile.write(tmp_path / "a.wav", np.stack([wave, wave], axis=1), 44_100)
    level_db = regions.levels(tmp_path / "a.wav")
    assert level_db.shape == (50,)
    np.testing.assert_allclose(level_db[:25], 20 * np.log10(0.5), atol=0.01)
    np.testing.assert_allclose(level_db[25:], 20 * np.log10(0.05), atol=0.01)


def test_regions_of_at_least_three_seconds_are_kept(tmp_path):
    path = song(tmp_path / "a.wav", [(1, 0), (4, 0.5), (1, 0.0001), (2, 0.5), (1, 0), (5, 0.3), (1, 0)])
    found = regions.active(regions.levels(path))
    assert np.allclose(found, [(1, 5), (9, 14)], atol=0.2)


def test_a_long_region_is_split_at_its_softest_place():
    level_db = np.full(round(45 / regions.FRAME_S), -20.0)
    level_db[round(25 / regions.FRAME_S)] = -40
    (first, second) = regions.active(level_db)
    assert first[0] == 0 and second[1] == pytest.approx(45) and first[1] == second[0] == pytest.approx(25, abs=0.4)


@pytest.mark.parametrize("level_db", [np.zeros(0), np.full(1000, -100.0), np.full(100, -20.0)])
def test_nothing_in_silence_and_in_two_seconds(level_db):
    assert regions.active(level_db) == []


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (48_000, 1), (16_000, 1), (22_050, 1)])
def test_cutting_while_decoding_gives_the_samples_of_the_whole(rate_hz, channels, tmp_path):
    path = song(tmp_path / "a.flac", [(40, 0.5)], rate_hz=rate_hz, channels=channels)
    wave, _ = audio.load(path)
    whole = audio.resampled(wave, rate_hz).T
    spans = [(0.0, 3.5), (3.5, 13.37), (13.4, 33.333), (38.0, 40.0)]
    for (begin, end), clip in zip(spans, regions.cut(path, spans), strict=True):
        expected = whole[int(begin * 16_000) : int(end * 16_000)]
        assert clip.shape == expected.shape == (len(expected), channels)
        np.testing.assert_allclose(clip, expected, atol=1e-5)


def test_regions_beyond_the_end_give_what_there_is(tmp_path):
    path = song(tmp_path / "a.wav", [(4, 0.5)], rate_hz=16_000)
    clips = list(regions.cut(path, [(2.0, 6.0), (7.0, 9.0)]))
    assert [len(clip) for clip in clips] == [32_000, 0]


def test_a_file_that_is_no_audio_is_unreadable(tmp_path):
    with pytest.raises(audio.Unreadable, match="web page"):
        regions.levels(put(tmp_path / "a.webm", "<!doctype html><html>gone</html>"))
