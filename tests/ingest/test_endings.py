"""Compressed files that were cut short are told from whole ones, at any place of the cut."""

import numpy as np
import pytest
import soundfile

from ingest import audio, endings

KINDS = {  # name -> container, codec of FFmpeg; None: libsndfile writes it
    "vorbis.ogg": None, "opus.opus": None, "ff.opus": ("ogg", "libopus"),
    "x.mp3": ("mp3", "libmp3lame"), "x.aac": ("adts", "aac"), "x.m4a": ("mp4", "aac"),
    "x.mp2": ("mp2", "mp2"), "x.webm": ("webm", "libopus"), "x.mka": ("matroska", "libmp3lame"), "x.avi": ("avi", "mp2"),
    **dict.fromkeys(("x.wav", "x.rf64", "x.w64", "x.aiff", "x.caf", "x.au"), None),
}  # fmt: skip


def written(path, seconds=3.0, rate_hz=48_000):
    wave = 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate_hz)).astype(np.float32)
    if KINDS[path.name] is None:
        kind = {".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS")}.get(
            path.suffix, (path.suffix[1:].upper(), "PCM_16")
        )
        soundfile.write(path, wave, rate_hz, format=kind[0], subtype=kind[1])
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
    with pytest.raises(audio.Unreadable, match=r"truncated|cannot be decoded") as error:
        audio.load(path)
    assert error.value.path == str(path)


@pytest.mark.parametrize(
    ("name", "mark", "claimed"),
    [
        ("x.aiff", b"SSND", b"\x7f\0\0\x08"), ("x.caf", b"data", b"\xff" * 8), ("x.w64", b"data\xf3\xac", None),
        ("x.au", None, b"\xff" * 4), ("x.webm", b"\x18\x53\x80\x67", b"\x01" + b"\xff" * 7),
    ],
)  # fmt: skip
def test_a_size_that_was_not_known_when_it_was_written_is_no_cut(tmp_path, name, mark, claimed):
    path = written(tmp_path / name)
    data = bytearray(path.read_bytes())
    at = data.index(mark) + (16 if name == "x.w64" else len(mark)) if mark else 8
    claimed = claimed or b"\xff" * 7 + b"\x7f"
    data[at : at + len(claimed)] = claimed
    path.write_bytes(data)
    assert endings.cut(path) is None
    path.write_bytes(data[:-5003])
    assert endings.cut(path) is None


def test_a_file_of_empty_chunks_is_no_long_walk(tmp_path, monkeypatch):
    start, end = b"RIFF" + b"\xff" * 4 + b"WAVE", b"data\x08\0\0\0"
    (tmp_path / "x").write_bytes(start + b"junk\0\0\0\0" * 9 + end)
    assert endings.cut(tmp_path / "x") == "0 of 8 bytes of samples are there"
    monkeypatch.setattr(endings, "_MOST_CHUNKS", 9)
    assert endings.cut(tmp_path / "x") is None


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


def test_what_a_vbri_frame_says_is_held_against_the_file(tmp_path):
    """Fraunhofer's encoders write it where others write a Xing frame."""
    frame = b"\xff\xfb\x90\0" + bytes(32) + b"VBRI" + bytes(6) + (10 * 417).to_bytes(4)
    frame += bytes(417 - len(frame))
    (tmp_path / "x").write_bytes(frame * 10)
    assert endings.cut(tmp_path / "x") is None
    (tmp_path / "x").write_bytes(frame * 9)
    assert endings.cut(tmp_path / "x") == "3753 of 4170 bytes are there"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", None), (b"ID3", None), (b"\xff\xfb\x90", None), (b"fLaC" + bytes(99), None),
        (b"OggS", "the last Ogg page is cut"), (b"\x00\x00\x00\x20ftyp", "8 of 32 bytes of its ftyp box are there"),
        (b"\x1a\x45\xdf\xa3", None), (b"\x1a\x45\xdf\xa3\x01" + b"\xff" * 6 + b"\xfe", None), (b"caff", None),
        (b"caff\0\1\0\0desc" + b"\x3f" * 8, None), (b".snd\0\0\0\x18\0\0\0\x10", None),
        (b".snd\0\0\0\x18\0\0\0\x10" + bytes(20), "8 of 16 bytes of samples are there"),
        (b"RIFF\x10\0\0\0AVI " + bytes(4), "8 of 16 bytes are there"),
    ],
)  # fmt: skip
def test_a_few_bytes_are_judged_by_what_they_say(tmp_path, content, reason):
    (tmp_path / "x").write_bytes(content)
    assert endings.cut(tmp_path / "x") == reason
