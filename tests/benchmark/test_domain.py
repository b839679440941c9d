import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
import trained_run
from shared_data import shared

from benchmark import domain
from ingest import audio, catalog, measure

MEASURED = {"rate_hz": 16_000, "duration_s": 3.0, "loudness_db": -25.0, "noise_floor_db": -60.0, "bandwidth_hz": 7_900.0,
            "edge_db": 10.0, "tilt_db_per_octave": -6.0, "zero_crossing_hz": 1_500.0}  # fmt: skip


def table(n=400, **columns):
    random = np.random.default_rng(0)
    spread = {
        "loudness_db": 3,
        "noise_floor_db": 5,
        "bandwidth_hz": 60,
        "edge_db": 2,
        "tilt_db_per_octave": 1,
        "zero_crossing_hz": 300,
    }
    made = {name: MEASURED[name] + s * random.standard_normal(n) for name, s in spread.items()}
    made |= {"corpus": ["c"] * n, "domain": ["speech"] * n, "language": ["en"] * n, "rate_hz": [16_000] * n,
             "duration_s": random.uniform(1, 8, n)}  # fmt: skip
    return pa.table(made | columns)


@pytest.fixture(scope="module")
def speech():
    return domain._domain(table())


def test_a_recording_like_the_training_has_no_remark(speech):
    assert domain.remarks(speech, MEASURED, 0.0) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"rate_hz": 8_000}, "sampled at 8000 Hz, training at 16000 Hz"), ({"duration_s": 90.0}, "lasts 90.0 s"),
     ({"duration_s": 0.1}, "lasts 0.1 s"), ({"bandwidth_hz": 3_400.0}, "nothing above 3.4 kHz, training reaches 7.9 kHz"),
     ({"noise_floor_db": -110.0}, "noise floor -110 dB"), ({"loudness_db": -3.0}, "loudness -3 dB"),
     ({"zero_crossing_hz": 6_000.0}, "zero crossings 6000 Hz")],
)  # fmt: skip
def test_what_differs_is_said_in_words(speech, changed, words):
    said = domain.remarks(speech, MEASURED | changed, 0.0)
    assert said and all(text.startswith("outside the training domain: ") for text in said)
    assert any(words in text for text in said)


def test_singing_is_told_from_speech(speech):
    assert "sounds like singing" in domain.remarks(speech, MEASURED, 0.2)[0]
    song = dataclasses.replace(speech, domains=("singing",))
    assert "sounds like speech" in domain.remarks(song, MEASURED, 0.0)[0]
    both = dataclasses.replace(speech, domains=("singing", "speech"))
    assert domain.remarks(both, MEASURED, 0.0) == domain.remarks(both, MEASURED, 0.5) == []
    assert domain.remarks(speech, MEASURED, None) == []


def test_the_distance_is_mahalanobis_and_one_percent_lies_beyond_the_limit(speech):
    rows = table().select(list(domain.FEATURES)).to_pylist()
    distance = [speech.distance(row) for row in rows]
    assert np.mean(np.array(distance) > speech.limit) == pytest.approx(0.01, abs=0.005)
    centre = dict(zip(domain.FEATURES, speech.mean))
    assert speech.distance(centre) == 0


def test_a_training_set_that_hardly_varies_gives_no_absurd_distance():
    """All clips reach the Nyquist frequency and are equally loud: a difference there counts in steps worth noting."""
    even = domain._domain(table(bandwidth_hz=[8_000.0] * 400, loudness_db=[-23.0] * 400))
    centre = dict(zip(domain.FEATURES, even.mean))
    assert even.distance(centre | {"bandwidth_hz": 3_500.0}) == pytest.approx(4_500 / 50)
    assert even.distance(centre | {"loudness_db": -25.0}) == pytest.approx(2)
    assert 0 < even.limit < 6 and domain.remarks(even, {**MEASURED, **centre}, 0.0) == []
    said = domain.remarks(even, {**MEASURED, **centre, "bandwidth_hz": 3_400.0}, 0.0)
    assert "distance 92.0, 99 % of training" in said[-1]


def test_where_training_varies_the_distance_is_as_it_was(speech):
    """By the definition: standardised, covariance shrunk by a twentieth to the identity, inverted."""
    points = np.stack([domain._vector(row) for row in table().select(list(domain.FEATURES)).to_pylist()])
    assert (points.std(axis=0) > list(domain.LEAST_SPREAD.values())).all()
    x = (points - points.mean(axis=0)) / points.std(axis=0)
    inverse = np.linalg.inv(0.95 * np.cov(x.T, bias=True) + 0.05 * np.eye(6))
    distance = np.sqrt(np.einsum("ij,jk,ik->i", x, inverse, x))
    assert speech.limit == pytest.approx(np.quantile(distance, 0.99), rel=1e-9)
    np.testing.assert_allclose(speech.precision, inverse, rtol=1e-9)


def test_a_profile_from_before_the_least_spread_loads_and_is_no_longer_absurd(speech):
    stored = {**speech.as_json(), "scale": [1e-6] * 6}
    older = domain.from_json(json.loads(json.dumps(stored)))
    assert older.scale == (1e-6,) * 6
    assert older.distance(MEASURED | {"bandwidth_hz": 3_400.0}) < 500


def test_few_utterances_have_no_distance_and_missing_numbers_do_no_harm():
    few = domain._domain(table(n=20))
    assert few.limit is None and few.distance(MEASURED) is None
    holes = domain._domain(table(loudness_db=pa.array([None, np.nan] * 200, pa.float64())))
    assert holes.limit is None and "loudness_db" not in holes.ranges
    assert domain.remarks(holes, MEASURED, 0.0) == []


@pytest.mark.parametrize("change", [
    {"mean": []}, {"mean": ["x"] * 6}, {"scale": [0.0] * 6}, {"limit": "x"}, {"limit": ""}, {"limit": []}, {"utterances": None}, {"limit": float("nan")}, {"rates_hz": [None]},
    {"corpora": [1]}, {"precision": [[1.0] * 6] * 5}, {"precision": (-np.eye(6)).tolist()}, {"mean": [1e300] * 6},
    {"ranges": {"loudness_db": [1.0, 2.0]}}, {"ranges": {}}, {"limit": None},
])  # fmt: skip
def test_a_profile_of_another_kind_is_none(speech, change):
    """Each would be a traceback, or a distance that is no number, at the first recording."""
    stored = json.loads(json.dumps({**speech.as_json(), **change}))
    with pytest.raises((ValueError, TypeError)):
        domain.from_json(stored)


def test_it_survives_json(speech):
    assert domain.from_json(speech.as_json()) == speech
    assert domain.from_json(None) is None


def test_the_catalog_tells_the_domain_of_training_trials(tmp_path):
    trained_run.make(tmp_path, each=10, train=0)
    with catalog.connect(tmp_path / "data" / "catalog.duckdb") as con:
        rows = con.sql("SELECT utt_id FROM utterance").to_arrow_table()
        found = domain.of_training(con, rows)
    assert (found.utterances, found.corpora, found.rates_hz) == (110, ("librisevoc",), (16_000, 24_000))
    own = measure.measure(next(iter(trained_run.clips(tmp_path / "data").values())))
    assert found.distance(own) < found.limit


def test_a_long_note_is_steady_and_a_glide_or_noise_is_not():
    t = np.arange(16_000 * 3) / 16_000
    assert domain.steady_pitch(trained_run.tone(3).astype(np.float32)) > 0.9
    glide = 0.3 * np.sin(2 * np.pi * (120 * t + 60 * t**2))
    assert domain.steady_pitch(glide.astype(np.float32)) < domain.SUNG
    noise = 0.1 * torch.randn(48_000, generator=torch.Generator().manual_seed(0)).numpy()
    assert domain.steady_pitch(noise) == 0
    assert domain.steady_pitch(noise[:20_000]) is None


def test_real_singing_and_speech_fall_on_their_sides():
    """Half of the sung clips at least are noticed, and hardly any spoken one is taken for singing."""

    def shares(*parts, every):
        paths = sorted(p for p in shared("corpora", *parts).rglob("*") if p.suffix in (".wav", ".flac"))[::every]
        found = [domain.steady_pitch(audio.mono16k(path)) for path in paths]
        return np.array([share for share in found if share is not None])

    sung, spoken = shares("mini-ctrsvdd", "train_set", every=4), shares("mini-decro", every=10)
    assert np.mean(sung > domain.SUNG) > 0.5
    assert np.mean(spoken > domain.SUNG) < 0.07
    assert sung.size > 15 and spoken.size > 20


def test_telephone_speech_is_outside_a_wide_band_domain(speech, tmp_path):
    random = np.random.default_rng(0)
    wave = audio.resampled((0.05 * random.standard_normal(3 * 16_000)).astype(np.float32), 16_000)
    narrow = wave[::2]
    soundfile.write(tmp_path / "phone.wav", narrow, 8_000)
    said = domain.remarks(speech, measure.measure(tmp_path / "phone.wav"), 0.0)
    assert any("8000 Hz" in text for text in said) and any("nothing above 4.0 kHz" in text for text in said)
