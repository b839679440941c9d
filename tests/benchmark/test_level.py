"""The level of a clip: worked out by hand, and the same by every road from a file to a network."""

import dataclasses
import tempfile
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import small_corpus
import small_forms
import soundfile
import torch
import trained_run

from benchmark import card, detectors, explain, gradcam, level, run, settings, windows
from benchmark.feeds import Feed
from benchmark.inference import DeepfakeDetector
from benchmark.loader import Loader
from benchmark.trained import Trained
from features import extractors
from ingest.types import DataError
from shards import writer
from shards.reader import Reader

CLIP = ("singfake_lfcc_resnet", "singfake_spec_resnet")
CROP = (
    "singfake_aasist", "singfake_w2v2_aasist", "ctrsvdd_raw", "ctrsvdd_lfcc", "ctrsvdd_mfcc", "ctrsvdd_melspec",
    "ctrsvdd_spec", "ctrsvdd_xlsr",
)  # fmt: skip


class Clips:
    """A reader of a clip whose peak, 0.8, lies behind its first four samples, a short one, and silence."""

    WAVES = {"clip": [0.1, -0.2, 0.4, 0.0, -0.8, 0.2], "short": [0.25, -0.5], "still": [0.0] * 6}

    def wave(self, utt_id, variant="original"):
        return np.array(self.WAVES[utt_id], np.float32) * (1 if variant == "original" else 0.25)

    def length(self, utt_id, variant="original"):
        return len(self.WAVES[utt_id])

    def span(self, utt_id, start, stop, variant="original"):
        return self.wave(utt_id, variant)[start:stop]


def crops(how, *, train=False, crop="first", samples=4, **options):
    names = list(Clips.WAVES)
    rows = pa.table({"utt_id": names, "label": ["bonafide", "spoof", "spoof"]} | options.pop("columns", {}))
    spec = {"feature": "raw", "params": {}, "samples": samples, "train_crop": crop, "test_crop": crop,
            "short": "repeat", "level": how}  # fmt: skip
    made = Loader(Clips(), rows, spec, extractors.get("raw"), batch_size=1, seed=0, train=train, **options)
    return {batch.utt_id[0]: batch for batch in made.epoch()}


@pytest.mark.parametrize(("how", "clip", "short"), [
    ("as_is", [0.1, -0.2, 0.4, 0.0], [0.25, -0.5, 0.25, -0.5]),
    ("clip_peak", [0.125, -0.25, 0.5, 0.0], [0.5, -1.0, 0.5, -1.0]),  # divided by 0.8 and by 0.5
    ("crop_peak", [0.25, -0.5, 1.0, 0.0], [0.5, -1.0, 0.5, -1.0]),  # divided by 0.4 and by 0.5
])  # fmt: skip
@pytest.mark.parametrize("variant", ["original", "mp3-32k"])
def test_a_clip_whose_peak_lies_outside_its_crop(how, clip, short, variant):
    found = crops(how, columns={"variant": [variant] * 3})
    quiet = 0.25 if how == "as_is" and variant != "original" else 1
    np.testing.assert_allclose(found["clip"].x[0], quiet * np.array(clip), rtol=1e-6)
    np.testing.assert_allclose(found["short"].x[0], quiet * np.array(short), rtol=1e-6)
    assert not found["still"].x.any()  # and no division by zero


def test_the_level_is_that_of_what_training_makes_of_the_clip():
    """A random crop, of a clip that was changed before."""
    feed = Feed(transform=lambda wave, generator: 3 * np.abs(wave) + (wave == 0))  # zeros become 1, the peak 2.4
    for number in range(4):
        x = crops("clip_peak", train=True, crop="random", feed=feed, workers=1 + number)["clip"].x[0].numpy()
        whole = (np.array([0.3, 0.6, 1.2, 1.0, 2.4, 0.6]) / 2.4).astype(np.float32)
        assert any(np.allclose(x, whole[start : start + 4]) for start in range(3))


@pytest.mark.parametrize(("how", "divisor"), [("as_is", 1), ("clip_peak", 0.8), ("crop_peak", 0.4)])
def test_companions_and_references_have_it_too(how, divisor):
    beside = Feed(companions={"again": extractors.get("raw")}, reference=True)
    columns = {"reference": ["clip"] * 3, "reference_mode": ["real"] * 3}
    batch = crops(how, columns=columns, feed=beside)["clip"]
    assert torch.equal(batch.extra["again"], batch.x)
    whole = np.array(Clips.WAVES["clip"], np.float32)
    np.testing.assert_allclose(batch.extra["reference"][0], whole / (1 if how == "as_is" else 0.8), rtol=1e-6)
    np.testing.assert_allclose(batch.x[0], whole[:4] / divisor, rtol=1e-6)


def test_whole_utterances_in_training_are_followed_by_silence():
    found = crops("clip_peak", train=True, samples=None)
    for name, wave in Clips.WAVES.items():
        np.testing.assert_allclose(found[name].x[0], np.array(wave) / (max(map(abs, wave)) or 1), rtol=1e-6)


@pytest.mark.parametrize("name", detectors.names())
def test_each_detector_hears_the_level_of_its_recipe(name):
    found = settings.resolve(name, {}, clip=None, weights=None).input["level"]
    assert found == ("clip_peak" if name in CLIP else "crop_peak" if name in CROP else "as_is")


def loud_at_the_end(number, rate_hz, seconds=0.5):
    """Clips of 0.7 s and more, the last tenth of a second three times as loud as the rest."""
    t = np.arange(int((0.7 + 0.1 * number) * rate_hz)) / rate_hz
    wave = 0.2 * np.sin(2 * np.pi * (200 + 37 * number) * t) + 0.01 * np.random.default_rng(number).standard_normal(
        t.size
    )
    wave[-rate_hz // 10 :] *= 3
    return wave


@pytest.fixture(scope="module", params=["flac", "pcm"])
def data(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_corpus, "clip", loud_at_the_end)
        folder = small_corpus.build(tmp_path_factory.mktemp(request.param))
    writer.write_corpus("tiny", folder, jobs=1, audio_codec=request.param)
    return folder


@pytest.mark.parametrize("how", level.LEVELS)
@pytest.mark.parametrize("crop", ["first", "middle"])
def test_detect_hears_what_the_loader_gives(data, how, crop):
    """The network's own input of each clip, from the shards and from the file."""
    network = detectors.build("mean_pool").eval()
    spec = dataclasses.asdict(detectors.get("mean_pool").INPUT)
    spec |= {"feature": "raw", "samples": 8_000, "test_crop": crop, "level": how}
    judge = DeepfakeDetector(Trained("mean_pool", network, {}, spec, None, None, {}))
    rows = pa.table({"utt_id": [f"tiny/{row[0]}" for row in small_corpus.ROWS[:6]], "label": ["bonafide", "spoof"] * 3})
    files, rounding = trained_run.clips(data), 6 * 2.0**-15 if "pcm" in str(data) else 0  # of 16 bits, at the peak
    with Reader(data) as reader:
        made = Loader(reader, rows, spec, judge.extractor, batch_size=4, seed=0, train=False)
        batches = list(made.epoch())
        for batch in batches:
            for utt_id, expected in zip(batch.utt_id, batch.x, strict=True):
                recording = judge.heard(windows.read(files[utt_id]))
                start = judge.own_start(recording.wave.size)
                (found,) = judge.features([recording.cut(start, start + 8_000)])
                torch.testing.assert_close(found, expected, rtol=0, atol=rounding)
                whole = reader.wave(utt_id)
                cut = whole[start : start + 8_000]
                peak = {"as_is": 1, "clip_peak": np.abs(whole).max(), "crop_peak": np.abs(cut).max()}[how]
                np.testing.assert_array_equal(expected, cut / peak)
                if how == "clip_peak":
                    assert 0 < np.abs(cut).max() < 0.6 * peak
    assert sum(len(batch.utt_id) for batch in batches) == 6
    made.plain = False
    assert all(torch.equal(a.x, b.x) for a, b in zip(batches, made.epoch(), strict=True))


def test_the_peak_of_a_recording_in_pieces_is_that_of_the_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, loud_at_the_end(9, 16_000), 16_000)
    whole = windows.read(path).at("clip_peak")
    assert float(np.abs(whole.cut(0, whole.wave.size)).max()) == 1.0
    monkeypatch.setattr(windows, "WHOLE_SAMPLES", 5_000)
    monkeypatch.setattr(windows, "KEPT_SAMPLES", 3_000)
    monkeypatch.setattr(windows, "_PIECE", 1_000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pieces = windows.read(path).at("clip_peak")
    assert isinstance(pieces.wave, np.memmap) and pieces.divisor == whole.divisor
    np.testing.assert_array_equal(pieces.cut(100, 900), whole.cut(100, 900))
    assert windows.read(path).at("crop_peak").divisor == windows.read(path).at("as_is").divisor == 1
    soundfile.write(path, np.zeros(9_000), 16_000)
    assert windows.read(path).at("clip_peak").divisor == 1


@pytest.mark.parametrize("name", ["singfake_lfcc_resnet", "ctrsvdd_mfcc"])
def test_score_and_detect_agree_and_do_not_hear_the_gain(data, tmp_path, name):
    """One clip with its peak behind the crop, at two gains; its score in the loader, in detect, and in its windows."""
    torch.manual_seed(0)
    network = small_forms.build(name).eval()
    spec = dataclasses.asdict(network.input) | {"samples": 64_000}
    judge = DeepfakeDetector(Trained(name, network, small_forms.config(name), spec, None, None, {}))
    wave = np.concatenate([loud_at_the_end(n, 16_000) for n in (44, 9)])  # 4.9 s and 1.4 s
    wave = np.rint(8_192 * wave) / 32_768
    scores, begin = [], wave[:64_000]
    for gain in (1, 2):
        soundfile.write(tmp_path / "a.wav", gain * wave, 16_000)
        verdict = judge.predict(tmp_path / "a.wav")
        scores += [verdict.score, verdict.windows[0][2]]
        told = explain.explain(judge, windows.read(tmp_path / "a.wav"), verdict)
        assert (told.start_s, told.score) == (0.0, verdict.score)
    peak = np.abs(wave if name in CLIP else begin).max()
    x = torch.from_numpy((begin / peak).astype(np.float32))[None]
    with torch.inference_mode():
        scores.append(float(network.score(x)))
    assert np.ptp(scores) < 1e-4 * max(1, abs(scores[0]))
    with torch.inference_mode():
        assert abs(float(network.score(0.25 * x)) - scores[0]) > 1e-3, "the network itself hears the level"
    assert isinstance(gradcam.maps(network, x), dict)


def test_stored_features_stand_in_only_for_clips_as_they_are(data, monkeypatch):
    asked = []
    monkeypatch.setattr("features.reader.stored", lambda *_, changed, **__: asked.append(changed))
    rows = pa.table({"utt_id": ["tiny/b1", "tiny/s1"], "label": ["bonafide", "spoof"]})
    with Reader(data) as reader:
        for how in level.LEVELS:
            resolved = settings.resolve("lfcc_gmm", {"": {"level": how}}, clip=None, weights=None)
            cell = SimpleNamespace(settings=resolved, seed=0)
            run._loader(detectors.build("lfcc_gmm", components=2), rows, cell, reader, "cpu")
    assert asked == [False, True, True]


def test_it_is_a_setting_and_an_unknown_word_is_told():
    found = settings.resolve("singfake_aasist", {"": {"level": "as_is"}}, clip=None, weights=None)
    assert found.input["level"] == "as_is"
    with pytest.raises(DataError, match="unknown level of aasist 'clip'; did you mean clip_peak"):
        settings.resolve("aasist", {"": {"level": "clip"}}, clip=None, weights=None)


def test_a_recorded_input_without_it_is_refused_where_the_network_took_the_level_itself():
    for name in ("aasist", "ctrsvdd_raw"):
        spec = dataclasses.asdict(detectors.get(name).INPUT)
        settings.check_input(name, spec)
        del spec["level"]
        if name == "aasist":
            settings.check_input(name, spec)
        else:
            with pytest.raises(DataError, match=r"ctrsvdd_raw: its input has no 'level'.*train it again"):
                settings.check_input(name, spec)


@pytest.mark.parametrize(("name", "told"), [
    ("singfake_lfcc_resnet", "the clip divided by its peak before it is cut"), ("ctrsvdd_raw", "divided by its own peak"),
    ("aasist", "as raw."),
])  # fmt: skip
def test_the_card_of_an_export_tells_it(name, told):
    network = small_forms.build(name)
    spec = dataclasses.asdict(network.input)
    assert told in card._opening(Trained(name, network, {}, spec, None, None, {}))
