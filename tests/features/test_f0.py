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
