"""Each codec beside the ffmpeg program: the same bytes of audio in, the same sound out, in the same place."""

import os
import subprocess
import sys

import ffmpeg
import numpy as np
import pytest
from shared_data import shared

from ingest import audio
from ingest.types import DataError
from shards import codecs, variants
from shards.rate import resampled

# word -> container and encoder options of the ffmpeg program; it removes the delay that the container tells it of
PROGRAM = {
    **{f"aac-{k}k": ("mp4", {"c:a": "aac", "b:a": f"{k}k"}, "mp4") for k in (16, 32, 64)},
    **{f"mp3-{k}k": ("mp3", {"c:a": "libmp3lame", "b:a": f"{k}k"}, "mp3") for k in (16, 32, 64)},
    **{f"opus-{k}k": ("ogg", {"c:a": "libopus", "b:a": f"{k}k"}, "ogg") for k in (16, 32, 64)},
    "vorbis-q3": ("ogg", {"c:a": "libvorbis", "q:a": 3}, "ogg"),
    "alaw": ("wav", {"c:a": "pcm_alaw", "ar": 8000}, "wav"),
    "ulaw": ("wav", {"c:a": "pcm_mulaw", "ar": 8000}, "wav"),
    "g722": ("wav", {"c:a": "g722"}, "g722"),
    "amr-12k2": ("amr", {"c:a": "libopencore_amrnb", "b:a": "12.2k", "ar": 8000}, "amr"),
    "amr-4k75": ("amr", {"c:a": "libopencore_amrnb", "b:a": "4.75k", "ar": 8000}, "amr"),
}
RAW = {"format": "f32le", "acodec": "pcm_f32le", "ac": 1, "ar": 16_000}
UNTOLD = {"g722": 22, "amr-12k2": 80, "amr-4k75": 80}  # samples at 16 kHz of delay that these formats do not tell of


@pytest.fixture(scope="module")
def clip():
    path = sorted(shared("corpora", "mini-librisevoc", "gt").glob("*.wav"))[3]
    wave = audio.mono16k(path)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def by_program(wave, word, folder):
    """Through two runs of the ffmpeg program, encoder and decoder, as a user would."""
    container, options, suffix = PROGRAM[word]
    path = folder / f"x.{suffix}"
    name = {"mp4": "mp4", "wav": "wav", "g722": "g722"}.get(suffix, container)
    source = ffmpeg.input("pipe:", **RAW).output(str(path), format=name, **options)
    source.run(cmd=audio.ffmpeg(), input=wave.tobytes(), quiet=True, overwrite_output=True)
    if word.startswith("opus"):  # not by the program's own decoder, and moved at 48 kHz as ours is
        source, raw = ffmpeg.input(str(path), acodec="libopus"), RAW | {"ar": 48_000}
        decoded = np.frombuffer(source.output("pipe:", **raw).run(cmd=audio.ffmpeg(), quiet=True)[0], "<f4").copy()
        return resampled(codecs.in_place(decoded, variants.parse(word)[0].parameters["codec"].delay), 48_000, 16_000)
    decoded = ffmpeg.input(str(path)).output("pipe:", **RAW).run(cmd=audio.ffmpeg(), quiet=True)[0]
    return np.frombuffer(decoded, "<f4")


def error_db(a, b):
    """Energy of the difference over that of b."""
    return 10 * np.log10(np.sum((a - b) ** 2) / np.sum(b**2) + 1e-10)


def tilt_db(a, b, top_hz):
    """Mean difference of the levels of a and b in 32 bands up to top_hz."""
    levels = []
    for wave in (a, b):
        power = np.abs(np.fft.rfft(wave))[: wave.size * top_hz // 16_000 // 32 * 32] ** 2
        levels.append(10 * np.log10(power.reshape(32, -1).mean(1) + 1e-4))
    return np.abs(levels[0] - levels[1]).mean()


# Energy of the difference to the program's output over that of the output, at most; measured, with 2 to 4 dB to spare.
# Other builds of LAME, libopus and FFmpeg's AAC decide differently on a bit here and there, the coarser the more.
LIMIT_DB = {
    "aac-16k": -11, "aac-32k": -20, "aac-64k": -33, "mp3-16k": -13, "mp3-32k": -16, "mp3-64k": -18, "opus-16k": -13,
    "opus-32k": -22, "opus-64k": -40, "vorbis-q3": -45, "alaw": -33, "ulaw": -33, "g722": -80, "amr-12k2": -16,
    "amr-4k75": -9,
}  # fmt: skip


@pytest.mark.parametrize("word", [w for w in PROGRAM if "codec" not in variants.parse(w)[0].parameters or codecs.available(variants.parse(w)[0].parameters["codec"])])  # fmt: skip
def test_every_codec_sounds_as_the_ffmpeg_program_makes_it(word, clip, tmp_path):
    ours = variants.apply(clip, word)
    theirs = by_program(clip, word, tmp_path)[UNTOLD.get(word, 0) :][: clip.size]
    assert theirs.size > 0.98 * clip.size
    ours = ours[: theirs.size]
    assert error_db(ours, theirs) < LIMIT_DB[word]
    assert tilt_db(ours, theirs, 3400 if "ar" in PROGRAM[word][1] else 8000) < 1
    errors = [error_db(np.roll(ours, shift), theirs) for shift in (-1, 0, 1)]
    assert "amr" in word or np.argmin(errors) == 1  # and in the same place, to the sample


def has_encoder(word):
    codec = variants.parse(word)[0].parameters.get("codec")
    return codec is None or codecs.available(codec)


CODERS = [w for w in (*variants.COMPRESSIONS, *variants.ROBUSTNESS) if variants.parse(w)[0].stage == "codec" and has_encoder(w)]  # fmt: skip


@pytest.fixture(scope="module")
def voice():
    """A buzz in syllables that just reaches full scale, float32 (sample,)."""
    t = np.arange(16_000) / 16_000
    buzz = sum(np.cos(2 * np.pi * k * (150 * t + 4 * np.sin(8 * t))) / k for k in range(1, 25))
    wave = (buzz + 0.05 * np.random.default_rng(5).standard_normal(t.size)) * (0.55 + 0.45 * np.sin(20 * t))
    return (wave / np.abs(wave).max()).astype(np.float32)


def level_db(wave):
    return 10 * np.log10(np.mean(np.square(wave, dtype=float)))


@pytest.mark.parametrize("word", CODERS)
def test_a_clip_above_full_scale_keeps_its_level(word, voice):
    at_full_scale = variants.apply(voice, word)
    lost_db = level_db(voice) - level_db(at_full_scale)
    assert lost_db < (7 if word == "phone" else 1.5 if "amr" in word else 0.6)
    for times in (1.5, 1e5, 2.0**31):
        loud = np.float32(times) * voice
        coded = variants.apply(loud, word)
        assert level_db(loud) - level_db(coded) == pytest.approx(lost_db, abs=0.6)
    error = coded / np.float32(2**31) - at_full_scale  # a power of two changes nothing but the rounding to 16 bits
    assert np.abs(error).max() <= 0.5 / 32768


@pytest.mark.parametrize("word", CODERS)
def test_a_clip_within_full_scale_is_not_scaled(word, voice, monkeypatch):
    waves = (voice, np.sign(voice), 0.2 * voice, 0 * voice, voice[:1])
    coded = [variants.apply(wave, word).tobytes() for wave in waves]
    monkeypatch.setattr(codecs, "_doublings", lambda wave: 0)
    assert coded == [variants.apply(wave, word).tobytes() for wave in waves]


def test_noise_far_above_full_scale_does_not_end_the_process():
    noise = np.random.default_rng(0).uniform(-1e5, 1e5, 8000).astype(np.float32)
    for word in CODERS:
        assert np.abs(variants.apply(noise, word)).max() > 1e4, word


LONG = """
import numpy as np
from shards import variants
wave = np.zeros(2_300_000, np.float32)
wave[-9000:] = np.random.default_rng(0).standard_normal(9000) / 10
made = variants.apply(wave, "vorbis-q3")
assert made.shape == wave.shape and np.corrcoef(made[-9000:], wave[-9000:])[0, 1] > 0.9
"""


def test_a_song_of_minutes_fits_the_stack_of_vorbis():
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_a_clip_that_an_encoder_refuses_is_one_line(monkeypatch):
    for value in (np.nan, np.inf):
        for word in ("mp3-32k", "vorbis-q3"):
            with pytest.raises(DataError, match=r"clip of 2 samples cannot be coded: .* not finite"):
                variants.apply(np.array([0, value], np.float32), word)
    monkeypatch.setattr(codecs, "_doublings", lambda wave: 0)
    with pytest.raises(DataError, match=r"aac cannot code a clip of 2 samples .*Invalid argument"):
        variants.apply(np.array([0, np.nan], np.float32), "aac-32k")


WAITS = """
import resource, sys
import numpy as np
from shards import codecs, variants
from shards.rate import resampled
if sys.argv[1] == "leave":
    codecs.no_threads = lambda: None
wave = np.sin(np.arange(4000) / 9).astype(np.float32)
variants.apply(wave, "g722")
before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
for _ in range(50):
    variants.apply(wave, "g722")
print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="FFmpeg starts no threads on one processor")
def test_a_round_trip_waits_for_no_thread():
    if not codecs.no_threads():
        pytest.skip("this PyAV has no libavutil of its own that could be told")

    def waits(how):
        done = subprocess.run([sys.executable, "-c", WAITS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert waits("tell") * 4 < waits("leave")
