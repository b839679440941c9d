"""The words of variants: labels, lengths, alignment, repeatability; every listed word on one generated voice."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from shared_data import shared

from ingest import audio
from ingest.files import sha256
from ingest.types import DataError
from shards import codecs, noise, variants
from shards.rate import speed_changed
from shards.variants import COMPRESSIONS, apply, labels, length, names, parse, word_of

UNAVAILABLE = {name for name in names() if any("codec" in s.parameters and not codecs.available(s.parameters["codec"]) for s in parse(name))}  # fmt: skip


def voice(samples=24_123):
    """A buzz of 120 to 180 Hz through two resonances, in syllables: float32 (sample,)."""
    t = np.arange(samples) / 16_000
    phase = 2 * np.pi * np.cumsum(150 + 30 * np.sin(2 * np.pi * 1.3 * t)) / 16_000
    buzz = sum(np.cos(k * phase) / k for k in range(1, 25))
    noisy = buzz + 0.05 * np.random.default_rng(5).standard_normal(samples)
    return (0.15 * noisy * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def lag(a, b):
    """Samples by which b comes after a: the peak of their cross-correlation."""
    size = 1 << int(np.ceil(np.log2(len(a) + len(b))))
    spectrum = np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size))
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < size // 2 else peak - size


def test_the_words_are_ten_compressions_by_sixteen_speeds_and_more():
    assert len(names()) == len(set(names())) and len([n for n in names() if n not in variants.ROBUSTNESS]) == 160
    assert {labels(n) for n in names()[:160]} == {(c, s) for c in range(10) for s in range(16)}
    assert all("." not in name for name in names())


def test_pseudo_labels_are_those_of_the_paper():
    assert labels("original") == labels("vocals") == labels("white-20db") == (0, 5)
    assert [labels(word)[0] for word in ("aac-16k", "aac-64k", "opus-16k", "mp3-16k", "mp3-64k")] == [1, 3, 4, 7, 9]
    for k, speed in enumerate(np.arange(5, 21) / 10):  # table of section 7.6: 0.5 is 0, 1.0 is 5, 2.0 is 15
        assert labels(word_of(None, round(100 * speed)))[1] == k == round(10 * speed) - 5
    assert labels("opus-32k_speed-130") == (5, 8)
    for word in ("alaw", "mp3-24k", "speed-95"):
        with pytest.raises(DataError, match="has no pseudo-label"):
            labels(word)


DECODED = """
import resource
import numpy as np
import torch, torchaudio
from shards.rate import resampled
waves = [np.random.default_rng(0).standard_normal(n, np.float32) for n in (1, 20_000, 200_001, 5_760_000)]
made = [resampled(wave, 48_000, 16_000) for wave in waves[:-1]]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = peak()
made.append(resampled(waves[-1], 48_000, 16_000))
grown = peak() - before
torch.set_num_threads(1)
for wave, y in zip(waves, made):
    assert torch.equal(torchaudio.functional.resample(torch.from_numpy(wave), 48_000, 16_000), torch.from_numpy(y))
print(grown)
"""


def test_what_opus_decodes_is_resampled_as_torchaudio_does_in_little_memory():
    done = subprocess.run([sys.executable, "-c", DECODED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80, done.stdout  # MiB, of two minutes; 7 are the result, and torchaudio takes 145


@pytest.mark.parametrize(("percent", "samples"), [(50, 96_000), (70, 68_572), (110, 43_637), (190, 25_264), (200, 24_000)])  # fmt: skip
def test_a_speed_gives_the_lengths_of_the_paper(percent, samples):
    assert speed_changed(np.zeros(48_000, np.float32), percent).size == length(f"speed-{percent}", 48_000) == samples


@pytest.mark.parametrize("percent", [50, 90, 130, 200])
def test_speed_is_the_published_resampling(percent):
    folder = shared("golden", "detectors-b")
    want = np.load(folder / f"fd_add_losses/speed_{percent // 100}p{percent % 100 // 10}.npy")
    clip = np.load(next(folder.rglob("wave_48000_x2.npy")))[0]
    np.testing.assert_allclose(speed_changed(clip, percent)[:6000], want, atol=2e-6)
    assert np.abs(apply(clip, f"speed-{percent}")[:6000] - want).max() < 1 / 65536 + 2e-6


@pytest.mark.parametrize("word", [n for n in names() if "_" not in n and n not in UNAVAILABLE])
def test_every_variant_has_its_length_and_is_repeatable(word):
    wave = voice()
    got = apply(wave, word, seed=3)
    assert got.dtype == np.float32 and got.shape == (length(word, wave.size),)
    np.testing.assert_array_equal(got, apply(wave, word, seed=3))
    assert np.isfinite(got).all() and (word == "original") == np.array_equal(got, wave)
    assert word == "original" or np.abs(got).max() > 1 or np.array_equal(got * 32768, np.rint(got * 32768))


@pytest.mark.parametrize("word", [n for n in names() if "speed" not in n and n not in UNAVAILABLE])
@pytest.mark.parametrize("samples", [1, 3, 575, 1024, 16_001])
def test_a_codec_keeps_the_length_of_any_clip(word, samples):
    assert apply(voice(samples), word).shape == (samples,)


@pytest.mark.parametrize("word", [n for n in names() if "speed" not in n and not n.startswith("amr") and n not in UNAVAILABLE])  # fmt: skip
def test_a_codec_moves_nothing_in_time(word):
    wave = voice()
    assert lag(wave, apply(wave, word)) == 0
    assert lag(wave[:8000], apply(wave[:8000], word)) == 0


def test_opus_moves_real_speech_by_less_than_half_a_sample():
    """Two samples of 48 kHz late at up to 8 kbit/s, one or two early above, if nothing were taken off or put in front."""
    for path in sorted(shared("corpora", "mini-librisevoc", "gt").glob("*.wav"))[:2]:
        wave = audio.mono16k(path)
        for kbit in (6, 7, 8, 9, 12, 16, 32, 48, 64):
            assert lag(wave, apply(wave, f"opus-{kbit}k")) == 0, kbit


@pytest.mark.parametrize("singer, sung, kbit", [(27, "D_0000576", 32), (27, "D_0000576", 34), (12, "T_0002962", 34)])
def test_opus_makes_no_frame_of_a_song_a_hundred_times_too_loud(singer, sung, kbit):
    """As FFmpeg's own decoder does in these: 124, 250 and 43 times full scale."""
    (path,) = shared("corpora", "mini-ctrsvdd").rglob(f"CtrSVDD_{singer:04}_{sung}.flac")
    wave = audio.mono16k(path)
    assert np.abs(apply(wave, f"opus-{kbit}k")).max() < 1.5 * np.abs(wave).max()


def test_lame_makes_a_clip_softer_by_half_a_decibel():
    wave = audio.mono16k(sorted(shared("corpora", "mini-librisevoc", "gt").glob("*.wav"))[0])
    coded = apply(wave, "mp3-64k")
    assert 20 * np.log10(np.dot(wave, coded) / np.dot(wave, wave)) == pytest.approx(-0.45, abs=0.02)


def group_delay(a, b):
    """Samples of 1/4 by which b comes after a between 500 and 3000 Hz: where their cross-spectrum is most in phase."""
    cross, hz = np.fft.rfft(b) * np.conj(np.fft.rfft(a)), np.fft.rfftfreq(len(a), 1 / 16_000)
    band, delays = (hz > 500) & (hz < 3000), np.arange(-40, 40, 0.25)
    return delays[np.argmax([np.abs(np.sum(cross[band] * np.exp(2j * np.pi * hz[band] * d / 16_000))) for d in delays])]


@pytest.mark.parametrize("word", [n for n in names() if n.startswith("amr") and n not in UNAVAILABLE])
def test_a_speech_coder_that_shifts_phases_moves_nothing_in_time(word):
    """Its delay is a mean over voices: the waveform is another, only the time of what is heard is kept."""
    folder = shared("corpora", "mini-librisevoc", "gt")
    waves = [audio.mono16k(path) for path in sorted(folder.glob("*.wav"))[:5]]
    assert abs(np.median([group_delay(wave, apply(wave, word)) for wave in waves])) <= 1


def test_a_missing_encoder_is_named():
    absent = sorted(UNAVAILABLE)
    for word in absent:
        with pytest.raises(DataError, match=rf"has no encoder '{parse(word)[0].parameters['codec'].encoder}'"):
            apply(voice(800), word)
    with pytest.raises(DataError, match="has no encoder 'libnothing'"):
        codecs.round_trip(voice(800), codecs.Codec("libnothing", "mp3float"))
    assert not codecs.available(codecs.Codec("libnothing", "mp3float"))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mp3-032k", "did you mean mp3-32k"), ("mp3-900k", "unknown step"), ("aac-8k", "unknown step"), ("", "unknown step"),
        ("speed-100", "changes nothing"), ("speed-90_mp3-32k", "in this order: room, noise, codec, speed"),
        ("alaw_ulaw", "at most one step of each kind"), ("mp3", "did you mean"), ("speed-49", "unknown step"),
        ("vorbis-q11", "unknown step"), ("mp3-33k", "MP3 at 16 kHz has 8 16 24 32 40 "), ("aac-73k", "unknown step"), ("white-20", "did you mean white-20db"), ("speed-0.9", "unknown step"),
    ],
)  # fmt: skip
def test_a_wrong_word_says_what_is_known(word, message):
    with pytest.raises(DataError, match=message):
        parse(word)


def test_steps_join_in_order_of_their_stages():
    wave = voice()
    got = apply(wave, "reverb-400ms_white-20db_mp3-32k_speed-90", seed=7)
    assert got.size == length("speed-90", wave.size)
    both = apply(wave, "mp3-32k_speed-90")
    np.testing.assert_allclose(both, apply(apply(wave, "mp3-32k"), "speed-90"), atol=2 / 32768)
    assert apply(wave, "white-10db_alaw", seed=1).tolist() != apply(wave, "white-10db_alaw", seed=2).tolist()


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("snr_db", [0, 20])
def test_noise_has_the_ratio_it_is_named_by(kind, snr_db):
    wave = 0.2 * voice()
    added = apply(wave, f"{kind}-{snr_db}db", seed=1).astype(float) - wave
    assert 10 * np.log10(np.mean(wave.astype(float) ** 2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.05)
    power = np.abs(np.fft.rfft(added)) ** 2
    hz = np.fft.rfftfreq(added.size, 1 / 16_000)
    octaves = [power[(hz >= f) & (hz < 2 * f)].mean() for f in (250, 500, 1000, 2000)]
    fall_db = 10 * np.log10(octaves[0] / octaves[3]) / 3
    assert fall_db == pytest.approx({"white": 0, "pink": 3}[kind], abs=0.6)
    assert not apply(np.zeros(100, np.float32), f"{kind}-{snr_db}db").any()


def test_a_room_decays_by_sixty_db_in_the_time_it_is_named_by():
    response = noise.impulse_response(0.4, np.random.default_rng(0))
    left = np.cumsum(response[::-1] ** 2)[::-1]  # Schroeder's backward integration
    decay_db = 10 * np.log10(left[41:] / left[41])
    fit = np.polyfit(np.arange(decay_db.size)[:3000] / 16_000, decay_db[:3000], 1)
    assert -60 / fit[0] == pytest.approx(0.4, rel=0.1)
    wave = voice()
    wet = apply(wave, "reverb-400ms", seed=1)
    assert np.mean(wet**2) == pytest.approx(np.mean(wave**2), rel=1e-3)


def test_recordings_are_kept_by_their_bytes(tmp_path, monkeypatch):
    """64 of them were, of any length: 2 GB of music in each process."""
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * np.ones(16_000) + i / 100, 16_000)
    decoded = []
    monkeypatch.setattr(noise.audio, "mono16k", lambda path: decoded.append(path.name) or np.ones(16_000, np.float32))
    monkeypatch.setattr(noise, "_KEPT_BYTES", 3 * 64_000)
    monkeypatch.setattr(noise, "_kept", {})
    asked = ["0", "1", "2", "0", "3", "0", "1"]  # 3 puts 1 out, the one that was not asked for for longest
    names = [(f"{name}.wav", sha256(tmp_path / f"{name}.wav")) for name in asked]
    waves = [noise._loaded(str(tmp_path), *name) for name in names]
    assert decoded == [f"{name}.wav" for name in ("0", "1", "2", "3", "1")] and len(noise._kept) == 3
    assert all(wave.size == 16_000 for wave in waves)
    monkeypatch.setattr(noise, "_KEPT_BYTES", 10)
    last = "5.wav", sha256(tmp_path / "5.wav")
    assert noise._loaded(str(tmp_path), *last).size == 16_000 and len(noise._kept) == 1


def test_a_recording_that_becomes_another_is_not_drawn(tmp_path, monkeypatch):
    """The catalog would go on saying that the noise of before was added, or that of the node which gave the command."""
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(16_000), 16_000)
    own = noise.recordings(tmp_path)
    apply(voice(), "noise-10db", seed=0, noises=own)
    soundfile.write(tmp_path / "a.wav", 0.2 * np.ones(16_000), 16_000)
    monkeypatch.setattr(noise, "_kept", {})  # of a process that has not heard it
    with pytest.raises(DataError, match=r"a\.wav is another file than when its folder was read"):
        apply(voice(), "noise-10db", seed=0, noises=own)


def test_own_recordings_are_drawn_from_and_hashed(tmp_path):
    for name, hz in (("a.wav", 300), ("deep/b.flac", 500)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, 0.3 * np.sin(2 * np.pi * hz * np.arange(4000) / 16_000), 16_000)
    wave, own = voice(), noise.recordings(tmp_path)
    assert own.names == ("a.wav", "deep/b.flac")
    heard = set()
    for seed in range(12):
        added = apply(wave, "noise-10db", seed=seed, noises=own) - wave
        heard.add(round(np.argmax(np.abs(np.fft.rfft(added, 16_000))) / 100) * 100)
    assert heard == {300, 500}
    assert apply(wave, "room", seed=0, rooms=noise.recordings(tmp_path, responses=True)).shape == wave.shape
    with pytest.raises(DataError, match=r"draws from own noise recordings; pass their folder: --noises DIR"):
        apply(wave, "noise-10db")
    with pytest.raises(DataError, match=r"--rooms DIR"):
        apply(wave, "room")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no recording"):
        noise.recordings(tmp_path / "none")


def test_recordings_of_any_kind_are_found_behind_links_too(tmp_path):
    """Folders that a link leads to, and .aiff or .opus, were left out without a word."""
    wave = 0.1 * np.random.default_rng(0).standard_normal(1600)
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "a.wav", wave, 16_000)
    own = tmp_path / "own"
    (own / "folder.wav").mkdir(parents=True)
    soundfile.write(own / "folder.wav" / "b.aiff", wave, 16_000)
    (own / "linked").symlink_to(tmp_path / "elsewhere")
    (own / "round").symlink_to(own)
    (own / "LICENSE").write_text("free\n")
    (own / "._b.wav").write_bytes(b"a stub of another system")
    assert noise.recordings(own).names == ("folder.wav/b.aiff", "linked/a.wav")
    (own / "gone.wav").symlink_to(tmp_path / "nowhere")
    noise.recordings.cache_clear()
    with pytest.raises(DataError, match=r"gone\.wav: cannot be read \(No such file"):
        noise.recordings(own)
    with pytest.raises(DataError, match=r"nowhere is not a folder"):
        noise.recordings(tmp_path / "nowhere")


def test_a_room_is_heard_by_the_first_microphone(tmp_path):
    """The mean of an array's channels is a comb of 18 dB, no room."""
    response = noise.impulse_response(0.4, np.random.default_rng(0)).astype(np.float32) / 8
    array = np.stack([np.pad(response, (4 * i, 28 - 4 * i)) for i in range(8)], axis=1)
    soundfile.write(tmp_path / "array.wav", array, 16_000, subtype="FLOAT")
    wave, own = voice(), noise.recordings(tmp_path, responses=True)
    expected = noise.reverberated(wave, array[:, 0])
    np.testing.assert_allclose(apply(wave, "room", seed=0, rooms=own), expected, atol=2e-5)


def test_noise_among_impulse_responses_is_named(tmp_path):
    """As in OpenSLR's RIRS_NOISES, whose folders hold both."""
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "hall.wav", noise.impulse_response(5.0, generator) / 8, 16_000)
    assert noise.recordings(tmp_path, responses=True).responses
    soundfile.write(tmp_path / "noise.wav", 0.1 * generator.standard_normal(80_000), 16_000)
    noise.recordings.cache_clear()
    with pytest.raises(DataError, match=r"noise\.wav is no impulse response: .* takes 2\.5 s"):
        noise.recordings(tmp_path, responses=True)
    assert not noise.recordings(tmp_path).responses


def test_a_stretch_of_recorded_noise_is_never_silent(tmp_path):
    wave = np.zeros(200_000)
    wave[150_000:150_400] = 0.1 * np.random.default_rng(0).standard_normal(400)
    soundfile.write(tmp_path / "rare.wav", wave, 16_000)
    own, clip = noise.recordings(tmp_path), voice(2000)
    for seed in range(30):
        added = apply(clip, "noise-10db", seed=seed, noises=own)
        assert not np.array_equal(added, clip)
        np.testing.assert_array_equal(added, apply(clip, "noise-10db", seed=seed, noises=own))


def test_the_telephone_band_ends_where_it_should():
    impulse = np.zeros(8192, np.float32)
    impulse[4000] = 1
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(apply(0.5 * impulse, "phone"))) / 0.5 + 1e-9)
    hz = np.fft.rfftfreq(8192, 1 / 16_000)
    assert np.abs(gain_db[(hz > 450) & (hz < 3200)]).max() < 0.5
    assert gain_db[(hz < 100) | (hz > 4200)].max() < -40


def test_real_speech_stays_in_its_place():
    path = sorted(shared("corpora", "mini-librisevoc", "gt").glob("*.wav"))[0]
    wave = audio.mono16k(path)
    for word in (*COMPRESSIONS, "g722", "alaw", "vorbis-q3"):
        coded = apply(wave, word)
        assert lag(wave, coded) == 0 and coded.size == wave.size, word
        assert np.corrcoef(wave, coded)[0, 1] > 0.8, (word, codecs.versions())
