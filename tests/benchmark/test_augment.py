import numpy as np
import pytest
import torch
from golden_formula import waves

from benchmark import augment

RATE_HZ = 16_000


def _generator(seed=0):
    return np.random.default_rng(seed)


def _noise(samples=16_000, seed=0):
    return (0.1 * _generator(seed).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("swapped", [False, True])
def test_spec_augment_masks_stripes_with_the_mean(swapped):
    x = torch.arange(8 * 257 * 200, dtype=torch.float32).reshape(8, 257, 200) % 977
    masked = augment.spec_augment(x, swapped=swapped, generator=torch.Generator().manual_seed(0))
    changed = masked != x
    assert torch.equal(masked[changed], x.mean((1, 2), keepdim=True).expand_as(x)[changed])
    of_frames = changed.all(2).sum(1)  # frames masked whole
    of_bins = changed.all(1).sum(1)
    limit_frames, limit_bins = (2 * 26, 2 * 50) if swapped else (2 * 50, 2 * 26)
    assert 0 < of_frames.max() <= limit_frames
    assert 0 < of_bins.max() <= limit_bins
    assert len(set(of_frames.tolist())) > 1  # every clip has masks of its own


@pytest.mark.parametrize("algorithm", [1, 2, 3, 4, 5])
def test_rawboost_is_decided_by_its_generator_and_keeps_length_and_scale(algorithm):
    wave = _noise()
    one, two, other = (augment.rawboost(wave, algorithm, _generator(seed)) for seed in (1, 1, 2))
    assert one.dtype == np.float32
    assert one.shape == wave.shape
    assert np.abs(one).max() <= 1.5
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, wave)


def test_coloured_noise_has_the_drawn_ratio():
    wave = _noise()
    added = augment.coloured_noise(wave, _generator(3), snr_db=(20.0, 20.0)) - wave
    assert 20 * np.log10(np.linalg.norm(wave) / np.linalg.norm(added)) == pytest.approx(20, abs=0.05)


def test_impulsive_noise_touches_at_most_a_tenth_and_no_silence():
    wave = _noise()
    wave[:8000] = 0
    changed = augment.impulsive_noise(wave, _generator()) != wave
    assert 0 < changed.sum() <= 1600
    assert not changed[:8000].any()


def test_the_first_power_passes_convolutive_noise_at_no_more_than_unit_gain():
    spectrum = np.abs(np.fft.rfft(augment._notches(_generator(4), 0.0), 1024))
    assert spectrum.max() == pytest.approx(1.0)
    assert spectrum.min() < 0.1


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(ValueError, match="1 to 5"):
        augment.rawboost(_noise(), 9, _generator())


def test_time_mask_zeroes_one_block_of_a_fifth_to_a_half():
    for seed in range(20):
        silent = np.flatnonzero(augment.time_mask(np.ones(1000, np.float32), _generator(seed)) == 0)
        assert 200 <= silent.size <= 500
        assert silent[-1] - silent[0] + 1 == silent.size


def test_mu_law_keeps_the_ends_and_quantises_to_256_levels():
    ramp = np.linspace(-1, 1, 20_001, dtype=np.float32)
    coded = augment.mu_law(ramp)
    assert np.unique(coded).size == 256
    assert (coded[0], coded[-1]) == (-1, 1)
    small = np.abs(ramp) < 0.01
    assert np.abs(coded - ramp)[small].max() < 0.0006  # fine steps near zero,
    assert 0.005 < np.abs(coded - ramp).max() < 0.025  # coarse ones at full scale


@pytest.mark.parametrize(
    ("kind", "at_centre_db", "at_low_db", "at_high_db"),
    [("peaking", 6, 0, 0), ("low_shelf", 3, 6, 0), ("high_shelf", 3, 0, 6)],
)
def test_equalisers_have_their_gain_where_they_should(kind, at_centre_db, at_low_db, at_high_db):
    from scipy import signal

    sections = augment._equaliser(kind, 1000, 6.0, 0.7)
    _, response = signal.sosfreqz(sections, [5, 1000, 7990], fs=RATE_HZ)
    np.testing.assert_allclose(20 * np.log10(np.abs(response)), [at_low_db, at_centre_db, at_high_db], atol=0.1)


@pytest.mark.parametrize(
    ("kind", "lowest_hz", "highest_hz"),
    [("low_pass", 150, 7500), ("high_pass", 20, 2400), ("peaking", 50, 7500), ("low_shelf", 50, 4000)],
)
def test_filters_have_the_ranges_of_the_public_code(monkeypatch, kind, lowest_hz, highest_hz):
    from scipy import signal

    orders, corners = set(), []
    butter, equaliser = signal.butter, augment._equaliser
    monkeypatch.setattr(augment, "FILTERS", (kind,))
    monkeypatch.setattr(signal, "butter", lambda order, hz, *a, **k: [orders.add(order), corners.append(hz)]
                        and butter(order, hz, *a, **k))  # fmt: skip
    monkeypatch.setattr(augment, "_equaliser", lambda kind, hz, *a: [corners.append(hz)] and equaliser(kind, hz, *a))
    generator = _generator(0)
    for _ in range(1000):
        augment.filter_randomly(np.ones(10, np.float32), generator)
    assert lowest_hz <= min(corners) < 1.3 * lowest_hz + 20 and 0.97 * highest_hz < max(corners) <= highest_hz
    middle_hz = 700 * (np.sqrt((1 + lowest_hz / 700) * (1 + highest_hz / 700)) - 1)
    np.testing.assert_allclose(np.median(corners), middle_hz, rtol=0.15)
    assert orders == ({2, 3, 4} if "pass" in kind else set())


def test_coloured_noise_is_heard_as_that_of_the_public_code(monkeypatch):
    monkeypatch.setattr(augment, "add_at_snr", lambda wave, noise, snr_db: noise)
    infrasonic, treble = [], []
    for seed in range(120):
        noise = augment.add_noise(np.zeros(16_000, np.float32), _generator(seed))
        power = np.abs(np.fft.rfft(noise)) ** 2  # of every Hz
        infrasonic.append(power[:20].sum() / power.sum())
        treble.append(power[4_000:].sum() / power.sum())
    # of brown noise by 128 taps a third lies below 20 Hz; by as many as there are samples all of it would
    assert 0.2 < max(infrasonic) < 0.6
    assert 0.8 < max(treble) < 0.9  # of violet noise


def test_every_filter_and_noise_is_finite_and_repeats_itself():
    wave = _noise()
    for seed in range(40):
        for change in (augment.filter_randomly, augment.add_noise, augment.rat_set):
            one, two = change(wave, _generator(seed)), change(wave, _generator(seed))
            assert one.dtype == np.float32
            assert np.isfinite(one).all()
            np.testing.assert_array_equal(one, two)


def test_silence_before_speech_is_trimmed_but_never_everything():
    silence = np.zeros(16_000, np.float32)
    assert augment.trim_leading_silence(silence).size > 0
    speech = waves(48_000)[0].numpy()
    assert augment.trim_leading_silence(np.concatenate([1e-4 * _noise(), speech])).size < 16_000 + speech.size


def test_every_declared_transform_exists():
    from benchmark import detectors

    declared = set()
    for name in detectors.names():
        cls = detectors.get(name)
        declared.add(detectors.build(name, **{**cls.OFFLINE, **cls.SMALL}).TRANSFORM)
    declared.add(detectors.build("ssl_aasist", weights="random", small=True, recipe="DF").TRANSFORM)
    assert declared - {None} == set(augment.TRANSFORMS)
    for transform in augment.TRANSFORMS.values():
        assert transform(_noise(), _generator()).dtype == np.float32
