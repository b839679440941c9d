"""Decoding: what loads, what is refused and why, and that damaged files never crash."""

import random
import subprocess
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
import whole_corpus
from shared_data import shared

from ingest import audio
from ingest.types import DataError

FORMATS = {"flac": {}, "wav": {}, "ogg": {}, "mp3": {}}


def encode(path: Path, *, seconds: float = 1.0, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """A file of noise; m4a and webm by PyAV, the rest by libsndfile."""
    if path.suffix.lower()[1:] in FORMATS:
        return whole_corpus.noise(path, 0, seconds=seconds, rate_hz=rate_hz, channels=channels)
    import av

    codec = {".m4a": "aac", ".mka": "flac"}[path.suffix]
    wave = 0.1 * np.random.default_rng(0).standard_normal((channels, int(seconds * rate_hz))).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.layout = "mono" if channels == 1 else "stereo"
        frame_size = 1024
        for start in range(0, wave.shape[1], frame_size):
            piece = np.ascontiguousarray(wave[:, start : start + frame_size])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=stream.layout.name)
            frame.rate, frame.pts = rate_hz, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3", "m4a"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_container_loads_as_channels_of_samples(tmp_path, suffix, channels):
    path = encode(tmp_path / f"x.{suffix}", rate_hz=44_100, channels=channels)
    wave, rate_hz = audio.load(path)
    assert (wave.dtype, wave.shape[0], rate_hz) == (np.float32, channels, 44_100)
    assert abs(wave.shape[1] - 44_100) <= 2 * 1152
    header = audio.header(path)
    assert (header.rate_hz, header.channels) == (44_100, channels)


def test_samples_are_those_that_were_written(tmp_path):
    wave = np.array([[0.5, -1.0], [0.25, 0.0], [-0.125, 0.75]], np.float32)
    soundfile.write(tmp_path / "x.wav", wave, 8000, subtype="PCM_16")
    assert audio.load(tmp_path / "x.wav")[0].tolist() == wave.T.tolist()


def test_mono16k_is_the_mean_of_the_channels_and_then_the_resampling(tmp_path):
    path = encode(tmp_path / "x.flac", rate_hz=22_050, channels=2)
    stereo = torch.from_numpy(soundfile.read(path, dtype="float32")[0].T)
    expected = torchaudio.functional.resample(stereo.mean(0), 22_050, 16_000)
    assert np.array_equal(audio.mono16k(path), expected.numpy())
    assert audio.mono16k(encode(tmp_path / "y.wav")).shape == (16_000,)


def test_channels_are_never_held_whole_to_be_averaged(tmp_path):
    """Three hours of stereo took 11 GB."""
    wave = np.random.default_rng(0).integers(-9999, 9999, (1_200_000, 8), np.int16)
    soundfile.write(tmp_path / "x.wav", wave, 16_000)
    whole, _ = audio.load(tmp_path / "x.wav")
    tracemalloc.start()
    mono = audio.mono16k(tmp_path / "x.wav")
    assert tracemalloc.get_traced_memory()[1] < 0.7 * whole.nbytes
    tracemalloc.stop()
    assert np.array_equal(mono, whole.mean(axis=0))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.flac", b"", "empty file"),
        ("x.wav", b"<!DOCTYPE html><p>404", "a web page, not audio"),
        ("x.flac", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not audio"),
        ("x.wav", bytes(2000), "begins with zero bytes"),
        ("x.flac", b"fLaC" + bytes(20), "truncated or damaged"),
        ("x.mp3", b"hello", "cannot be decoded"),
        ("x.wav", random.Random(0).randbytes(3000), "cannot be decoded"),
    ],
)
def test_what_is_no_audio_says_what_it_is(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(audio.Unreadable, match=f"{name}: .*{reason}"):
        audio.load(tmp_path / name)


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3", "m4a"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_cut_short_is_truncated(tmp_path, suffix, share):
    path = encode(tmp_path / f"x.{suffix}", seconds=4)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(audio.Unreadable, match=r"truncated|cannot be decoded"):
        audio.load(path)


def test_no_sample_and_no_number_are_refused(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan]), 16_000, subtype="FLOAT")
    with pytest.raises(audio.Unreadable, match="holds no sample"):
        audio.load(tmp_path / "none.wav")
    with pytest.raises(audio.Unreadable, match="not finite"):
        audio.load(tmp_path / "nan.wav")
    with pytest.raises(audio.Unreadable, match="No such file"):
        audio.load(tmp_path / "gone.wav")


def test_a_wav_of_unknown_length_written_to_a_pipe_is_whole(tmp_path):
    path = encode(tmp_path / "x.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert audio.load(path)[0].shape == (1, 16_000)


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3", "m4a"])
def test_mutated_files_load_or_are_refused_by_name(tmp_path, suffix):
    whole = encode(tmp_path / f"x.{suffix}", seconds=0.3).read_bytes()
    generator = random.Random(1)
    path = tmp_path / f"y.{suffix}"
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(generator.randrange(1, 6)):
            at = generator.randrange(len(data))
            data[at : at + generator.randrange(1, 9)] = generator.randbytes(generator.randrange(9))
        path.write_bytes(data[: generator.randrange(len(data))] if generator.random() < 0.3 else data)
        try:
            wave, rate_hz = audio.load(path)
        except audio.Unreadable as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert wave.ndim == 2 and wave.size and np.isfinite(wave).all() and rate_hz > 0


def test_ffmpeg_is_found_and_its_version_told():
    assert Path(audio.ffmpeg()).exists()
    assert all(audio.tools()[name] for name in ("ffmpeg", "libsndfile", "pyav"))


@pytest.mark.parametrize("shape", [(2, 4001), (16_000,), (32_769,), (3, 40_001)])  # short and long take other ways
@pytest.mark.parametrize("rate_hz", [8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000])
def test_the_resampler_is_torchaudios_to_the_bit(rate_hz, shape):
    wave = np.random.default_rng(rate_hz).standard_normal(shape).astype(np.float32)
    expected = torchaudio.functional.resample(torch.from_numpy(wave), rate_hz, 16_000).numpy()
    assert np.array_equal(audio.resampled(wave, rate_hz), expected)
    assert np.array_equal(audio.resampled(wave, rate_hz), expected)  # and with the filter kept from before


def test_integers_become_the_floats_that_libsndfile_makes_of_them(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.arange(-32768, 32768).astype(np.int16), 16_000, subtype="PCM_16")
    assert np.array_equal(audio.mono16k(path), soundfile.read(path, dtype="float32")[0])


def test_a_flac_of_unknown_length_written_to_a_pipe_is_whole(tmp_path):
    wave = np.sin(np.arange(30_000) / 9)
    soundfile.write(tmp_path / "a.flac", wave, 16_000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21], data[22:26] = data[21] & 0xF0, bytes(4)  # the count of samples in STREAMINFO
    (tmp_path / "piped.flac").write_bytes(data)
    whole, rate_hz = audio.load(tmp_path / "a.flac")
    piped, piped_rate_hz = audio.load(tmp_path / "piped.flac")
    assert piped_rate_hz == rate_hz
    np.testing.assert_array_equal(piped, whole)
    (tmp_path / "cut.flac").write_bytes(data[:-100])
    with pytest.raises(audio.Unreadable):
        audio.load(tmp_path / "cut.flac")


def test_an_mp3_of_any_name_is_decoded_alike(tmp_path):
    encode(tmp_path / "a.mp3")
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.mp3").read_bytes())
    assert audio.header(tmp_path / "a.wav") == audio.header(tmp_path / "a.mp3")
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav")[0], audio.load(tmp_path / "a.mp3")[0])


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_sound_named_raw_is_told_by_its_content(tmp_path, suffix):
    encode(tmp_path / f"a.{suffix}").rename(tmp_path / "a.RAW")  # soundfile asks for the rate of files of this name
    encode(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(audio.load(tmp_path / "a.RAW")[0], audio.load(tmp_path / f"a.{suffix}")[0])
    (tmp_path / "b.raw").write_bytes(random.Random(0).randbytes(3000))
    with pytest.raises(audio.Unreadable, match=r"b\.raw"):
        audio.header(tmp_path / "b.raw")


def test_mp3_inside_of_wav_is_whole(tmp_path):
    path = encode_by_ffmpeg(tmp_path / "a.wav", np.full((1, 16_000), 0.1, np.float32), "mono", codec="mp3")
    assert abs(audio.load(path)[0].shape[1] - 16_000) <= 3 * 576  # its header counts what the encoder put before it
    assert audio.header(path).subtype.startswith("mp3")


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_a_name_that_is_no_utf_8_is_read(tmp_path, suffix):
    path = tmp_path / f"caf\udce9.{suffix}"  # Latin-1, as an old archive has it
    encode(tmp_path / f"a.{suffix}").rename(path)
    assert audio.load(path)[0].size and audio.header(path).rate_hz == 16_000


def test_samples_louder_than_any_sound_are_refused(tmp_path):
    for gain, said in ((2.0**31, None), (1e30, "times full scale"), (1e300, "not finite")):
        soundfile.write(tmp_path / "a.wav", np.full(1000, 0.5) * gain, 16_000, subtype="DOUBLE")
        if said is None:
            assert audio.load(tmp_path / "a.wav")[0].max() == 2.0**30
        else:
            with pytest.raises(audio.Unreadable, match=said):
                audio.load(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_decoding_has_a_limit_of_processor_time_and_of_length(tmp_path, monkeypatch, suffix):
    path = encode(tmp_path / f"a.{suffix}", seconds=3.0)
    with monkeypatch.context() as patch:
        patch.setattr(audio, "_CPU_S", 0.0)
        patch.setattr(audio, "_CPU_SHARE", 0.0)
        for read in (audio.load, audio.mono16k, lambda p: list(audio.decoded(p)[1])):
            with pytest.raises(audio.Unreadable, match="too long to decode"):
                read(path)
    monkeypatch.setattr(audio, "_LONGEST_S", 2.0)
    with pytest.raises(audio.Unreadable, match="lasts longer than"):
        audio.load(path)


def test_a_rate_that_no_recorder_has_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 2_000_000)
    with pytest.raises(audio.Unreadable, match="2000000 samples a second"):
        audio.header(tmp_path / "a.wav")


def test_a_tag_that_is_no_utf_8_does_not_hide_the_sound(tmp_path):
    frame = b"TIT2" + (5).to_bytes(4, "big") + bytes(2) + b"\x03" + b"caf\xe9"
    tag = b"ID3\x03\0\0" + bytes([0, 0, 0, len(frame)]) + frame
    (tmp_path / "a.mp3").write_bytes(tag + encode(tmp_path / "b.mp3").read_bytes())
    assert audio.load(tmp_path / "a.mp3")[0].size


@pytest.mark.parametrize("xing", ["0", "1"])
def test_tags_and_pictures_behind_an_mp3_are_no_damage(tmp_path, xing):
    """As mp3gain and foobar2000 write them; FFmpeg takes them for sound, and their bytes for its length."""
    encode(tmp_path / "a.wav", seconds=3)
    words = ["-v", "error", "-i", str(tmp_path / "a.wav"), "-b:a", "32k", "-write_xing", xing, str(tmp_path / "a.mp3")]
    subprocess.run([audio.ffmpeg(), *words], check=True)
    whole = (tmp_path / "a.mp3").read_bytes()
    items = np.random.default_rng(0).bytes(60_000)  # has what looks like the start of a frame
    about = b"APETAGEX\xd0\7\0\0" + (len(items) + 32).to_bytes(4, "little") + b"\1\0\0\0\0\0\0"
    ape = about + b"\xa0" + bytes(8) + items + about + b"\x80" + bytes(8)
    lyrics = b"LYRICSBEGININD0000210" + b"la " * 9000 + b"027021LYRICS200"
    for behind in (ape, ape + b"TAG" + bytes(125), lyrics + b"TAG" + bytes(125), b"ID3\4\0\0\0\0\7\x68" + items[:1000]):
        (tmp_path / "b.mp3").write_bytes(whole + behind)
        assert audio.load(tmp_path / "b.mp3")[0].shape[1] == pytest.approx(48_000, abs=2000)
    (tmp_path / "b.mp3").write_bytes(ape + whole)
    assert audio.load(tmp_path / "b.mp3")[0].shape[1] == pytest.approx(48_000, abs=2000)
    (tmp_path / "b.mp3").write_bytes(whole + whole)  # a tag in the middle
    assert audio.load(tmp_path / "b.mp3")[0].shape[1] == pytest.approx(96_000, abs=4000)
    (tmp_path / "b.mp3").write_bytes(whole[:6000] + items[:3000] + whole[6000:] + ape)
    with pytest.raises(audio.Unreadable, match="cannot be decoded"):
        audio.load(tmp_path / "b.mp3")


def encode_by_ffmpeg(path: Path, wave: np.ndarray, layout: str, *, codec: str, rate_hz: int = 16_000) -> Path:
    """Write float32 (channel, sample) through PyAV."""
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        fitting = av.AudioResampler(stream.format, layout, rate_hz, frame_size=stream.frame_size or 0)
        for part in [*fitting.resample(frame), *fitting.resample(None), None]:
            output.mux(stream.encode(part))
    return path


@pytest.mark.parametrize("channels", [6, 16])
def test_more_channels_than_eight_are_read_and_nothing_beyond_them(tmp_path, channels):
    """PyAV's planes of such a frame go on into memory that is not its own; fuzzing ended a process there."""

    wave = 0.1 * np.random.default_rng(1).standard_normal((channels, 20_000)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", wave.T, 16_000, subtype="PCM_16")
    words = ["-v", "error", "-i", str(tmp_path / "a.wav"), "-c:a", "wavpack", str(tmp_path / "a.wv")]
    subprocess.run([audio.ffmpeg(), *words], check=True)
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wv")[0], audio.load(tmp_path / "a.wav")[0])


@pytest.mark.parametrize("words", ["a.aac -c:a aac", "a.mp3 -c:a libmp3lame -q:a 2 -write_xing 0"])
def test_a_silent_beginning_makes_no_stream_longer(tmp_path, words):
    """FFmpeg guesses the length of bare frames by the bit rate of the first ones: whole songs were called truncated."""
    wave = 0.2 * np.random.default_rng(1).standard_normal(20 * 44_100)
    wave[: 8 * 44_100] = 0
    soundfile.write(tmp_path / "a.wav", wave, 44_100)
    name, *how = words.split()
    given = ["-v", "error", "-i", str(tmp_path / "a.wav"), *how, str(tmp_path / name)]
    subprocess.run([audio.ffmpeg(), *given], check=True)
    assert audio.header(tmp_path / name).frames > 1.02 * wave.size  # the guess
    assert audio.load(tmp_path / name)[0].shape[1] == pytest.approx(wave.size, abs=4000)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: -len(whole) // 3])
    with pytest.raises(audio.Unreadable, match=r"truncated|cannot be decoded"):
        audio.load(tmp_path / name)


def test_a_stream_that_changes_its_channels_on_the_way_is_refused(tmp_path):
    parts = []
    for channels, layout in ((2, "stereo"), (1, "mono")):
        wave = np.full((channels, 16_000), 0.1, np.float32)
        parts.append(encode_by_ffmpeg(tmp_path / f"{layout}.aac", wave, layout, codec="aac").read_bytes())
    (tmp_path / "both.aac").write_bytes(b"".join(parts))
    with pytest.raises(audio.Unreadable, match="changes its rate, channels"):
        audio.load(tmp_path / "both.aac")


def test_a_stream_that_begins_on_the_way_is_refused():
    class Flv:
        format = SimpleNamespace(name="flv")

        def demux(self, stream):
            yield "a packet"
            raise IndexError("list index out of range")  # as PyAV does for a packet of a stream that it has not seen

    mp3 = SimpleNamespace(name="mp3float", decode=lambda packet: ["a frame"])
    frames = audio._frames("clip.flv", Flv(), SimpleNamespace(codec_context=mp3))
    assert next(frames) == "a frame"
    with pytest.raises(audio.Unreadable, match="another stream begins on the way"):
        next(frames)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_two_ogg_streams_behind_each_other_are_refused(tmp_path, subtype):
    """libsndfile stops where the first ends: the rest was cut without a word."""
    for name in ("one", "two"):
        soundfile.write(tmp_path / name, np.full(16_000, 0.1), 16_000, format="OGG", subtype=subtype)
        assert audio.load(tmp_path / name)[0].shape == (1, 16_000)
    (tmp_path / "x.ogg").write_bytes((tmp_path / "one").read_bytes() + (tmp_path / "two").read_bytes())
    with pytest.raises(audio.Unreadable, match="another stream begins on the way"):
        audio.load(tmp_path / "x.ogg")


@pytest.mark.parametrize("suffix", ["webm", "mkv", "mp4"])
def test_opus_of_a_film_is_no_hundred_times_too_loud(tmp_path, suffix):
    """As FFmpeg's own decoder makes a frame of this song, 124 times full scale."""
    import av

    (song,) = shared("corpora", "mini-ctrsvdd").rglob("CtrSVDD_0027_D_0000576.flac")
    wave = audio.mono16k(song)
    with av.open(str(tmp_path / f"x.{suffix}"), "w") as container:
        stream = container.add_stream("libopus", rate=16_000, layout="mono", bit_rate=32_000)
        frame = av.AudioFrame.from_ndarray(wave[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    film = audio.mono16k(tmp_path / f"x.{suffix}")
    assert 0 <= len(film) - len(wave) < 320  # MP4 does not say where in its last packet it ends
    assert np.abs(film).max() < 1.5 * np.abs(wave).max()


def test_opus_is_not_called_damaged_where_pyav_lacks_its_decoder(tmp_path, monkeypatch):
    import av

    with av.open(str(tmp_path / "x.webm"), "w") as container:
        stream = container.add_stream("libopus", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    create = av.CodecContext.create
    lacking = SimpleNamespace(create=lambda name, mode: create(name.replace("libopus", "libnothing"), mode))
    monkeypatch.setattr(av, "CodecContext", lacking)
    with pytest.raises(DataError, match=r"has no decoder 'libopus'; install a PyAV") as said:
        audio.mono16k(tmp_path / "x.webm")
    assert not isinstance(said.value, audio.Unreadable)  # a fault of the clip, which the catalog would keep
