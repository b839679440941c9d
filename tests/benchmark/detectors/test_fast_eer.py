"""The quick form ranks real clips as the plain one does: scores close, EER equal to 0.01 points."""

import numpy as np
import pytest
import real_clips
import small_forms
import torch

from benchmark import metrics, timing

# one of every kind of quick form: tiles, channels last, attention; test_forms asks every detector on noise
KINDS = (
    "aasist", "asdg", "audioclip", "ctrsvdd_lfcc", "ctrsvdd_raw", "fd_add", "lfcc_lcnn", "lfcc_lcnn_s", "rat",
    "rawgat_st", "rawnet2", "sfatnet", "singfake_spec_resnet", "uniaudio", "w2v2_ft", "wav2clip", "wavlm_ft",
)  # fmt: skip
TOLERANCE = 1e-4  # of the largest score, or of 1
AT_ONCE = 4


def scored(model, x):
    with torch.inference_mode():
        return np.concatenate([model.score(part).double().numpy() for part in x.split(AT_ONCE)])


@pytest.mark.parametrize("name", KINDS)
def test_quick_and_plain_forms_agree_on_real_clips(name):
    model = small_forms.build(name)
    data = real_clips.batch(model, samples=model.input.samples or small_forms.SAMPLES)
    x, real = data.x[::2], data.target.numpy()[::2] == 1  # four clips of each class
    quick = scored(model, x)
    with timing.plain(model):
        plain = scored(model, x)
    assert np.abs(quick - plain).max() <= TOLERANCE * max(1.0, np.abs(plain).max())
    eers = [metrics.eer(scores[real], scores[~real])[0] for scores in (quick, plain)]
    assert abs(eers[0] - eers[1]) < 1e-4
