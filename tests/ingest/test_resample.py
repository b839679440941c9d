import numpy as np
import pytest
import torch
import torchaudio

from ingest import audio, resample

RATES = [4_000, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]


def noise(samples, seed=0):
    return (0.3 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def in_pieces(wave, rate_hz, sizes):
    resampler, parts, start = resample.Resampler(rate_hz), [], 0
    while start < len(wave):
        size = sizes[len(parts) % len(sizes)]
        parts.append(resampler.push(wave[start : start + size]))
        start += size
    return np.concatenate([*parts, resampler.end()])


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("samples", [1, 7, 440, 441, 442, 12_345])
def test_pieces_are_the_whole(rate_hz, samples):
    wave = noise(samples)
    whole = audio.resampled(wave, rate_hz)
    for sizes in ([samples], [1000, 17, 3], [333]):
        pieces = in_pieces(wave, rate_hz, sizes)
        assert pieces.dtype == np.float32 and pieces.shape == whole.shape
        np.testing.assert_allclose(pieces, whole, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 16_004, 22_050, 44_100, 192_000])
@pytest.mark.parametrize("samples", [1, 500, 6_000])
def test_the_direct_form_is_torchaudio_s(rate_hz, samples):
    """Beside torchaudio in float64: in float32 its own filters are off by 1e-5."""
    wave = noise(samples)
    expected = torchaudio.functional.resample(torch.from_numpy(wave).double(), rate_hz, 16_000).numpy()
    np.testing.assert_allclose(resample.direct(wave, rate_hz), expected, atol=5e-7)


def test_the_direct_form_takes_channels():
    wave = noise(3_000).reshape(2, 1_500)
    both = resample.direct(wave, 44_100)
    np.testing.assert_array_equal(both[1], resample.direct(wave[1], 44_100))


@pytest.mark.parametrize("rate_hz", [11_127, 15_999, 44_101, 48_001, 655_351])
def test_an_odd_rate_needs_no_huge_filter(rate_hz):
    assert resample.large(rate_hz)
    wave = noise(4_000)
    whole = audio.resampled(wave, rate_hz)
    assert whole.shape == (-(-4_000 * 16_000 // rate_hz),)
    np.testing.assert_allclose(in_pieces(wave, rate_hz, [700, 1, 64]), whole, atol=1e-6)


def test_a_tone_survives_an_odd_rate():
    time_s = np.arange(44_101) / 44_101
    tone = np.sin(2 * np.pi * 1_000 * time_s).astype(np.float32)
    heard = audio.resampled(tone, 44_101)[100:-100]
    expected = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)[100:-100]
    np.testing.assert_allclose(heard, expected, atol=2e-3)


def test_a_stream_of_an_hour_does_not_drift():
    """Sample n lies at n / 16,000 s however many came before: whole numbers, no accumulated fraction."""
    resampler = resample.Resampler(44_100)
    block, got = np.zeros(441_000, np.float32), 0
    for _ in range(60):
        got += resampler.push(block).size
    got += resampler.end().size
    assert got == 60 * 160_000
