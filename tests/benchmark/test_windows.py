import io
import resource
import tempfile

import numpy as np
import pytest
import soundfile

from benchmark import detect_cli, windows
from ingest import audio
from ingest.types import DataError
from shards import clip


def write(path, rate_hz, samples, *, channels=1, subtype="PCM_16", gain=0.1):
    wave = gain * np.random.default_rng(samples).standard_normal((samples, channels))
    soundfile.write(path, np.clip(wave, -1, 1 - 2**-15), rate_hz, subtype=subtype)
    return path


@pytest.mark.parametrize(("rate_hz", "subtype", "gain"), [
    (16_000, "PCM_16", 0.1), (16_000, "PCM_24", 0.1), (16_000, "FLOAT", 0.1), (16_000, "PCM_16", 5.0), (24_000, "PCM_16", 0.1),
    (48_000, "PCM_16", 5.0), (44_100, "PCM_24", 0.05), (8_000, "PCM_16", 0.1), (22_050, "FLOAT", 0.3),
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2, 9])
def test_a_cut_is_what_a_shard_gives_back(tmp_path, rate_hz, subtype, gain, channels):
    path = write(tmp_path / "a.wav", rate_hz, 20_000, channels=channels, subtype=subtype, gain=gain)
    _, data = clip.encode(audio.mono16k(path), "flac")
    stored, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    recording = windows.read(path)
    assert recording.wave.size == stored.size
    np.testing.assert_array_equal(recording.cut(0, stored.size), stored)
    np.testing.assert_array_equal(recording.cut(100, 357), stored[100:357])


def test_no_zero_is_negative_as_none_of_a_shard_is(tmp_path):
    """A hash of the samples, as random_score takes, sees the sign; resampling rings on in silence."""
    soundfile.write(tmp_path / "a.wav", np.array([0.1, *999 * [-1e-9]]), 16_000, subtype="FLOAT")
    cut = windows.read(tmp_path / "a.wav").cut(0, 1000)
    assert not cut[1:].any() and not np.signbit(cut).any()


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100])
def test_a_long_recording_agrees_with_the_whole_and_lies_on_disk(tmp_path, monkeypatch, rate_hz):
    path = write(tmp_path / "a.flac", rate_hz, 40_000, channels=2)
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    whole = windows.read(path)
    monkeypatch.setattr(windows, "WHOLE_SAMPLES", 5_000)
    pieces = windows.read(path)
    monkeypatch.setattr(windows, "KEPT_SAMPLES", 3_000)
    mapped = windows.read(path)
    assert isinstance(mapped.wave, np.memmap) and not isinstance(pieces.wave, np.memmap)
    np.testing.assert_array_equal(mapped.wave, pieces.wave)
    np.testing.assert_allclose(pieces.wave, whole.wave, atol=1e-6)
    assert mapped.overshoots == whole.overshoots
    assert not list(aside.iterdir())


def test_windows_cover_everything_and_stay_inside():
    assert windows.starts(10, 4, 0.5) == [0, 2, 4, 6]
    assert windows.starts(11, 4, 0.5) == [0, 2, 4, 6, 7]
    assert windows.starts(11, 4, 0.0) == [0, 4, 7]
    assert windows.starts(4, 4) == windows.starts(3, 4) == [0]
    for length in range(5, 60):
        heard = np.zeros(length)
        for start in windows.starts(length, 5, 0.4):
            heard[start : start + 5] += 1
            assert start + 5 <= length
        assert heard.all()


def test_a_recording_beyond_the_limit_is_refused_before_it_is_decoded_whole(tmp_path):
    path = write(tmp_path / "a.flac", 16_000, 33_000)
    assert windows.read(path, longest_s=2.1).duration_s == 33_000 / 16_000
    with pytest.raises(audio.Unreadable, match="longer than"):
        windows.read(path, longest_s=2.0)


def test_a_song_of_many_channels_may_be_shorter_than_one_of_two(tmp_path, monkeypatch):
    """What is separated lies in memory whole: its samples are counted, not its seconds."""
    monkeypatch.setattr(windows, "VOICE_SAMPLES", 50_000)
    heard = []

    class Separator:
        def vocals(self, clips):
            heard.append(clips[0][0].shape)
            yield clips[0][0][0]

    windows.voice(write(tmp_path / "two.wav", 16_000, 20_000, channels=2), Separator())
    nine = write(tmp_path / "nine.wav", 16_000, 20_000, channels=9)
    with pytest.raises(
        audio.Unreadable, match=r"longer than 0\.00579 minutes; cut it: what is separated is held in mem"
    ):
        windows.voice(nine, Separator())  # which said to raise --longest, in vain
    with pytest.raises(audio.Unreadable, match=r"longer than 0\.005 minutes; raise --longest or cut it"):
        windows.voice(nine, Separator(), longest_s=0.3)
    assert heard == [(2, 20_000)]


def test_a_full_folder_of_temporary_files_is_named(tmp_path, monkeypatch):
    """The line said that something had no space left, of whatever disk."""
    monkeypatch.setattr(windows, "KEPT_SAMPLES", 3_000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sounds, heard = [np.zeros(4_000, np.float32)] * 4, io.TextIOWrapper(io.BytesIO(bytes(50_000)))
    monkeypatch.setattr("sys.stdin", heard)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(DataError, match=f"{tmp_path} has no room left"):
            windows._spooled(iter(sounds))
        with pytest.raises(DataError, match=f"{tmp_path} has no room left"), detect_cli._regular(detect_cli.STDIN):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
