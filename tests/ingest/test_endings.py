"""Compressed files that were cut short are told from whole ones, at any place of the cut."""

import numpy as np
import pytest
import soundfile

from ingest import audio, endings

KINDS = {  # name -> container, codec of FFmpeg; None: libsndfile writes it
    "vorbis.ogg": None, "opus.opus": None, "ff.opus": ("ogg", "libopus"),
    "x.mp3": ("mp3", "libmp3lame"), "x.aac": ("adts", "aac"), "x.m4a": ("mp4", "aac"),
}  # fmt: skip


def written(path, seconds=3.0, rate_hz=48_000):
    wave = 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate_hz)).astype(np.float32)
    if KINDS[path.name] is None:
        subtype = "OPUS" if path.suffix == ".opus" else "VORBIS"
        soundfile.write(path, wave, rate_hz, format="OGG", subtype=subtype)
        return path
    import av

    container, codec = KINDS[path.name]
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz, frame_size=stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            file.mux(stream.encode(part))
    return path


@pytest.mark.parametrize("name", KINDS)
def test_whole_files_are_whole(tmp_path, name):
    path = written(tmp_path / name)
    assert endings.cut(path) is None
    assert audio.load(path)[0].shape[1] > 2.8 * 48_000


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("lost", [37, 700, 5003, 0.5])
def test_cut_files_are_truncated(tmp_path, name, lost):
    path = written(tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: -lost if lost >= 1 else int(len(whole) * lost)])
    for read in (audio.load, audio.probe):
        with pytest.raises(audio.Unreadable, match=r"truncated|cannot be decoded") as error:
            read(path)
    assert error.value.path == str(path)


def test_an_ogg_file_cut_between_two_pages_is_truncated(tmp_path):
    path = written(tmp_path / "vorbis.ogg")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"OggS")])
    assert endings.cut(path) == "the last Ogg page does not end the stream"


def test_tags_after_the_last_frame_are_no_cut(tmp_path):
    path = written(tmp_path / "x.mp3")
    whole = path.read_bytes()
    path.write_bytes(
        b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + whole[whole.index(b"\xff\xfb") :] + b"TAG" + bytes(125)
    )
    assert endings.cut(path) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", None), (b"ID3", None), (b"\xff\xfb\x90", None), (b"fLaC" + bytes(99), None),
        (b"OggS", "the last Ogg page is cut"), (b"\x00\x00\x00\x20ftyp", "8 of 32 bytes of its ftyp box are there"),
    ],
)  # fmt: skip
def test_a_few_bytes_are_judged_by_what_they_say(tmp_path, content, reason):
    (tmp_path / "x").write_bytes(content)
    assert endings.cut(tmp_path / "x") == reason
