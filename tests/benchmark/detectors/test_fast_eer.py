"""The quick form ranks real clips as the plain one does: scores close, EER equal to 0.01 points."""

import numpy as np
import pytest
import torch

from benchmark import detectors, metrics, timing


@pytest.mark.parametrize("name", ["aasist", "rawnet2"])
def test_quick_and_plain_forms_agree_on_real_clips(name, real_clips):
    waves, target, _ = real_clips
    torch.manual_seed(0)
    model = detectors.build(name, samples=16_000).eval()
    with torch.inference_mode():
        quick = np.concatenate([model.score(part).double().numpy() for part in waves.split(8)])
        with timing.plain(model):
            plain = np.concatenate([model.score(part).double().numpy() for part in waves.split(8)])
    assert np.abs(quick - plain).max() < 1e-4
    real = target.numpy() == 1
    eers = [metrics.eer(scores[real], scores[~real])[0] for scores in (quick, plain)]
    assert abs(eers[0] - eers[1]) < 1e-4
