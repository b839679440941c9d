"""YIN finds the pitch that was put in, and none where there is none."""

import math

import numpy as np
import pytest
import torch

from features import extractors


def harmonics(hz):
    """A voice-like tone whose pitch follows hz (sample,), with 10 partials."""
    phase = 2 * math.pi * torch.as_tensor(hz, dtype=torch.float64).cumsum(0) / 16_000
    return sum(torch.sin(k * phase) / k for k in range(1, 11)).float()[None] * 0.1


@pytest.mark.parametrize("hz", [60.0, 100.0, 147.3, 220.0, 400.0])
def test_a_steady_pitch_is_found_within_half_a_percent(hz):
    x = extractors.get("f0").extract(harmonics(np.full(16_000, hz)))
    assert x.shape == (1, 64, 1)
    np.testing.assert_allclose(x[0, 4:-4, 0], hz, rtol=5e-3)


def test_a_gliding_pitch_is_followed():
    hz = 120 + 30 * np.sin(2 * np.pi * 0.7 * np.arange(48_000) / 16_000)
    x = extractors.get("f0").extract(harmonics(hz))[0, :, 0]
    np.testing.assert_allclose(x[4:-4], hz[::250][4:-4], rtol=0.03)


def test_noise_and_silence_have_no_pitch():
    generator = torch.Generator().manual_seed(0)
    x = extractors.get("f0").extract(torch.randn(1, 16_000, generator=generator))
    assert (x == 0).float().mean() > 0.95
    assert (extractors.get("f0").extract(torch.zeros(1, 16_000)) == 0).all()


def test_frames_match_the_spectrogram_of_sfatnet():
    wave = harmonics(np.full(48_000, 100.0))
    assert extractors.get("f0", preset="sfatnet").extract(wave).shape == (1, 192, 1)
    assert extractors.get("f0", preset="sfatnet_authors").extract(wave).shape == (1, 192, 1)
    assert extractors.get("logspec", preset="sfatnet").extract(wave).shape == (1, 192, 256)


def directly(extractor, wave):
    """YIN by its definition, equation 6 as the sum of squares that it is, without transforms."""
    frames, window = extractor._frames(wave.double()), extractor.longest
    later = frames.unfold(-1, window, 1)[..., : window + 2, :]
    difference = (frames[..., None, :window] - later).square().sum(-1)
    mean = difference[..., 1:].cumsum(-1) / torch.arange(1, window + 2)
    silent = later[..., :1, :].square().sum(-1) < 1e-10
    ratio = torch.where(silent | (mean <= 0), 1.0, difference[..., 1:] / mean)
    extractor._aperiodicity = lambda _: torch.nn.functional.pad(ratio, (1, 0), value=1.0)
    return extractor._hz(frames).float()[..., None]


def test_the_authors_pitch_is_of_all_that_a_lag_leaves_of_the_frame():
    generator = torch.Generator().manual_seed(3)
    wave = harmonics(110 + 5 * np.sin(np.arange(4_000) / 900)) + 0.002 * torch.randn(1, 4_000, generator=generator)
    expected = []
    for frame in wave[0].double().unfold(0, 1_600, 242).numpy():
        difference = [np.square(frame[: 1_600 - lag] - frame[lag:]).sum() for lag in range(1, 800)]
        ratio = np.array(difference) * np.arange(1, 800) / np.cumsum(difference)  # of lags 1 to 799
        rises = np.append(np.diff(ratio) >= 0, True) & (np.cumsum(ratio < 0.1) > 0)
        rises[:2] = False  # 9,000 Hz: lag 1, and torch-yin begins two lags later
        expected.append(16_000 / (1 + rises.argmax()) if rises.any() else 0.0)
    found = extractors.get("f0", preset="sfatnet_authors").extract(wave)[0, :, 0]
    assert len(set(expected)) > 3
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("preset", [None, "sfatnet_authors"])
@pytest.mark.parametrize("level", [0.1, 0.3, 0.5, 1.0, -0.25, 1 / 3, 1e-5])
def test_a_constant_has_no_pitch(level, preset):
    x = extractors.get("f0", preset=preset).extract(torch.full((1, 48_000), level))
    assert not x.any()


@pytest.mark.parametrize("levels", [(0.3, 0.0), (0.0, 0.3), (1.0, 1e-5), (1e-5, 1.0), (0.5, -0.5)])
def test_steps_between_constants_have_no_pitch(levels):
    wave = torch.tensor(levels).repeat_interleave(4000).repeat(1, 2)[:, 1000:11_000]
    assert not directly(extractors.get("f0"), wave).any()
    assert not extractors.get("f0").extract(wave).any()


@pytest.mark.parametrize("hz", [100.0, 147.3])
@pytest.mark.parametrize(("amplitude", "offset"), [(0.3, 0.5), (1e-4, 0.0), (1e-4, 0.5), (1e-6, 1e-3)])
def test_a_faint_sine_beside_an_offset_keeps_its_pitch(hz, amplitude, offset):
    phase = 2 * math.pi * hz * torch.arange(12_000, dtype=torch.float64) / 16_000
    wave = (offset + amplitude * torch.sin(phase)).float()[None]
    x = extractors.get("f0").extract(wave)
    np.testing.assert_allclose(x[0, 4:-4, 0], hz, rtol=5e-3)
    torch.testing.assert_close(x, directly(extractors.get("f0"), wave), rtol=1e-5, atol=0)
