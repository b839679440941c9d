"""Hostile media: each names another file or an address, and must open neither."""

import os
import socket
import struct
import threading

import numpy as np
import pytest
import soundfile

from ingest import audio, confined


@pytest.fixture
def secret(tmp_path):
    """A genuine recording that no other file has a right to pull in."""
    path = tmp_path / "secret.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    return path


@pytest.fixture
def listener():
    """(address, list of connections): a local server that notes whoever calls."""
    called = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)

    def serve():
        while not done.is_set():
            try:
                connection, peer = server.accept()
            except TimeoutError:
                continue
            called.append(peer)
            connection.close()

    done = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1:{server.getsockname()[1]}", called
    done.set()
    thread.join()
    server.close()


def playlists(target):
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
        f'mimeType="audio/mp4"><Representation id="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet>'
        "</Period></MPD>\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "ffmetadata": ";FFMETADATA1\ntitle=x\n",
        "image2": f"{target}\n",
    }


@pytest.mark.parametrize("extension", ["m3u8", "wav", "mp3", "mpd", "ffconcat", "mp4", "ogg", "sdp"])
@pytest.mark.parametrize("kind", sorted(playlists("")))
def test_a_playlist_pulls_in_no_file(tmp_path, secret, kind, extension):
    path = tmp_path / f"list.{extension}"
    path.write_text(playlists(secret.name)[kind])
    with pytest.raises(audio.Unreadable):
        audio.load(path)
    with pytest.raises(audio.Unreadable):
        audio.header(path)


@pytest.mark.parametrize("extension", ["m3u8", "mp3", "mpd", "ffconcat"])
@pytest.mark.parametrize("kind", ["hls", "concat", "dash"])
def test_a_playlist_calls_nobody(tmp_path, listener, kind, extension):
    address, called = listener
    path = tmp_path / f"list.{extension}"
    path.write_text(playlists(f"http://{address}/clip.mp3")[kind])
    with pytest.raises(audio.Unreadable):
        audio.load(path)
    assert not called


@pytest.mark.parametrize("scheme", ["http", "tcp", "udp", "ftp", "rtmp", "rtsp"])
def test_an_address_is_not_a_file(listener, scheme):
    address, called = listener
    for text in (f"{scheme}://{address}/clip.mp3", f"{scheme}://{address}/clip.wav"):
        with pytest.raises(audio.Unreadable):
            audio.load(text)
    assert not called


def test_ffmpeg_s_other_protocols_are_names_of_files(tmp_path, secret, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (f"concat:{secret}|{secret}", f"subfile,,start,0,end,99,,:{secret}", f"crypto:{secret}", "pipe:0"):
        with pytest.raises(audio.Unreadable):
            audio.load(text + ".mp3")


def test_the_program_is_confined_as_well(tmp_path, secret):
    import ffmpeg

    path = tmp_path / "list.m4a"
    path.write_text(playlists(secret.name)["concat"])
    stream = ffmpeg.input(confined.address(path), **confined.LIMITS).output("pipe:", format="wav")
    with pytest.raises(ffmpeg.Error):
        stream.run(cmd=audio.ffmpeg(), capture_stdout=True, capture_stderr=True)
    stream = ffmpeg.input(confined.address(secret), **confined.LIMITS).output("pipe:", format="wav")
    assert len(stream.run(cmd=audio.ffmpeg(), capture_stdout=True, capture_stderr=True)[0]) > 30_000


def test_a_name_that_looks_like_an_option_or_an_address_is_read(tmp_path, secret, monkeypatch):
    import av

    monkeypatch.chdir(tmp_path)
    os.mkdir("http:")
    for name in ("-i.wav", "http:/a.wav", "a b%20'c.wav", "%03d.wav", "concat:x.wav"):
        os.link(secret, name)
        with confined.open_media(name) as container:
            assert isinstance(container, av.container.InputContainer) and container.streams.audio


@pytest.mark.parametrize("container", ["m4a", "mp4", "mkv", "webm", "opus", "ogg", "aac", "ac3", "amr", "wma", "mp3", "aiff", "au", "flv", "avi", "ts", "wv", "tta", "caf", "3gp", "mka", "nut", "mpg", "w64"])  # fmt: skip
def test_every_usual_container_still_opens(tmp_path, container):
    import av

    codecs = {"webm": "libopus", "opus": "libopus", "ogg": "libvorbis", "ac3": "ac3", "wma": "wmav2", "mp3": "libmp3lame",
              "aiff": "pcm_s16be", "au": "pcm_s16be", "avi": "mp2", "ts": "mp2", "mpg": "mp2", "wv": "wavpack", "tta": "tta",
              "caf": "pcm_s16le", "w64": "pcm_s16le", "flv": "libmp3lame", "amr": "libopencore_amrnb"}  # fmt: skip
    path, codec, rate_hz = tmp_path / f"clip.{container}", codecs.get(container, "aac"), 48_000
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec} encoder")
    if container in ("flv", "amr"):
        rate_hz = {"flv": 44_100, "amr": 8_000}[container]
    try:
        output = av.open(
            str(path), "w", format={"wma": "asf", "opus": "ogg", "aac": "adts", "mka": "matroska"}.get(container)
        )
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = 32_000
    except (ValueError, av.FFmpegError) as error:
        pytest.skip(f"this FFmpeg does not write it: {error}")
    wave = (0.3 * np.sin(np.arange(rate_hz) / 20)).astype(np.float32)[None]
    with output:
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(stream.format, "mono", rate_hz, frame_size=stream.frame_size or 0)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(part))
    samples, rate = audio.load(path)
    assert rate == rate_hz and samples.shape[1] >= 0.9 * rate_hz


def test_a_pipe_or_device_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "pipe.wav", "/dev/zero", tmp_path):
        with pytest.raises(audio.Unreadable, match="not a regular file"):
            audio.load(path)


def test_a_header_of_a_thousand_channels_costs_little_memory(tmp_path):
    """One block of samples is bounded, whatever the channels: 1024 of them were 2 GiB a block."""
    channels, frames = 1024, 1500
    body = bytes(channels * frames)
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(body), b"WAVE", b"fmt ", 16, 1, channels, 16_000,
                         16_000 * channels, channels, 8, b"data", len(body))  # fmt: skip
    (tmp_path / "many.wav").write_bytes(header + body)
    with audio.opened(tmp_path / "many.wav") as (found, blocks):
        assert found.channels == channels
        assert max(block.nbytes for block in blocks) <= 4 << 20


def test_an_odd_rate_in_a_header_costs_little_memory(tmp_path):
    """44,101 Hz wants filters of 2.8 GB in torchaudio's layout; any file can claim it."""
    soundfile.write(tmp_path / "odd.wav", np.zeros(4_000), 44_101)
    assert audio.mono16k(tmp_path / "odd.wav").shape == (1_452,)


def test_one_piece_of_memory_has_a_limit(secret):
    import ctypes

    import av

    with confined.open_media(secret):
        pass
    library = ctypes.CDLL(av._core.__file__)
    library.av_malloc.restype, library.av_free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    small = library.av_malloc(ctypes.c_size_t(1 << 20))
    assert small and not library.av_malloc(ctypes.c_size_t(confined.LARGEST_BYTES + 1))
    library.av_free(small)


def test_the_program_ends_at_its_limits(tmp_path, secret):
    import subprocess

    words = [audio.ffmpeg(), "-v", "error", "-stream_loop", "-1", "-i", str(secret), "-f", "null", "-"]
    limits = list(confined.PROGRAM)
    assert limits[0] == "-timelimit" and limits[2:] == ["-max_alloc", str(confined.LARGEST_BYTES)]
    limits[1] = "1"
    assert subprocess.run([*words[:1], *limits, *words[1:]], timeout=120, capture_output=True).returncode != 0
