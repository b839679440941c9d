"""Filter banks against the references' tensors."""

import numpy as np
import pytest
import torch

from benchmark.detectors._sinc import LearnedSincBank, SincBank, mel_edges, sinc_filters


@pytest.mark.parametrize(("filters", "length", "rate_hz"), [(70, 128, 16_000), (20, 1024, 16_000), (20, 1024, 24_000)])
def test_fixed_filters(golden, filters, length, rate_hz):
    told = np.load(golden.root / f"sinc_filters_{filters}x{length + 1}_sr{rate_hz}.npy").reshape(filters, -1)
    np.testing.assert_allclose(sinc_filters(filters, length, rate_hz), told, rtol=0, atol=3e-7)


def test_edges_are_equally_spaced_in_mel():
    """The first and last edges of 70 filters at 16 kHz (detectors-a, 2.1)."""
    edges = mel_edges(0, 8000, 71)
    assert edges[:4].tolist() == pytest.approx([0, 25.659, 52.259, 79.833], abs=1e-3)
    assert edges[-2:].tolist() == pytest.approx([7692.371, 8000], abs=1e-3)


def test_the_fixed_bank_has_no_state():
    assert not SincBank(70, 128).state_dict()
    assert not list(SincBank(70, 128).parameters())


def test_learned_filters_start_mel_spaced_and_receive_gradients():
    bank = LearnedSincBank()
    assert bank.low_hz_[0].item() == pytest.approx(30, abs=1e-3)
    assert (bank.low_hz_[-1] + bank.band_hz_[-1]).item() == pytest.approx(7900, abs=1e-2)
    filters = bank.filters()
    assert filters.shape == (20, 1025)
    torch.testing.assert_close(filters, filters.flip(1))
    bank(torch.randn(1, 2000)).square().mean().backward()
    assert float(bank.low_hz_.grad.abs().min()) > 0
    assert float(bank.band_hz_.grad.abs().min()) > 0
