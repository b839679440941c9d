"""Grad-CAM: by hand on a network of two numbers, in the right place in time, and for every detector a map or a reason."""

import numpy as np
import pytest
import small_forms
import torch
from torch import nn

from benchmark import detectors, gradcam
from benchmark.detectors._base import Detector
from features import extractors

WITHOUT = {  # detector -> the reason
    **dict.fromkeys(["constant", "cqcc_gmm", "lfcc_gmm", "mean_pool", "random_score", "sfatnet"], "no convolution"),
    "rawnet2_voc": "pieces",
    **dict.fromkeys(["rat", "w2v2_ft", "w2v2_two_stage", "wavlm_ft"], "transformer"),
}
LARGE = "ctrsvdd_xlsr"  # takes as long as all others; its back end is that of ctrsvdd_raw


class Two(Detector):
    """One convolution of two channels, weights 1 and -1; the score is their mean over time times (2, 1)."""

    def __init__(self, transposed=False):
        super().__init__()
        self.transposed = transposed
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)

    def score(self, x):
        y = self.conv((x.transpose(1, 2) if self.transposed else x).unsqueeze(1))
        return (y.mean((2, 3)) * torch.tensor([2.0, 1.0])).sum(1)


@pytest.mark.parametrize("transposed", [False, True])
def test_by_hand(transposed):
    x = torch.tensor([[[1.0, 0.0, 0.0], [4.0, 0.0, -2.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])  # (1, 4 frames, 3 bins)
    network = Two(transposed)
    # gradient means 2/12 and 1/12; the map is 2/12 x - 1/12 x = x/12, for spoof its opposite, what is negative cut off
    bonafide = gradcam.maps(network, x, towards="bonafide")
    assert bonafide["conv"][0] == pytest.approx(np.array([[0.25, 1, 0, 0], [0, 0, 0, 0.5], [0, 0, 0, 0]]))
    spoof = gradcam.maps(network, x)["conv"][0]
    assert spoof[2] == pytest.approx([0, 1, 0, 0]) and spoof[:2].sum() == 0


def test_nothing_that_speaks_for_an_answer_is_an_empty_map():
    assert gradcam.maps(Two(), torch.zeros(1, 4, 3))["conv"].sum() == 0


class Once(Two):
    """The same for inputs of four frames only."""

    def score(self, x):
        if x.shape[1] != 4:
            raise RuntimeError("four frames")
        return super().score(x)


@pytest.mark.parametrize("transposed", [False, True])
def test_time_is_found_where_the_length_is_built_in(transposed):
    x = torch.tensor([[[1.0, 0.0, 0.0], [4.0, 0.0, -2.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.5]]])
    assert np.array_equal(gradcam.maps(Once(transposed), x)["conv"], gradcam.maps(Two(transposed), x)["conv"])


class Level(Detector):
    """One convolution over the wave, 100 samples at a time: the score is their mean absolute sum."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 100, stride=100, bias=False)
        nn.init.ones_(self.conv.weight)

    def score(self, x):
        return self.conv(x.unsqueeze(1)).relu().mean((1, 2))


@pytest.mark.parametrize("start", [0, 700, 1900])
def test_a_burst_is_found_where_it_is(start):
    wave = torch.zeros(1, 2000)
    wave[0, start : start + 100] = 1.0
    found = gradcam.maps(Level(), wave, towards="bonafide")["conv"]
    assert found.shape == (1, 1, 20) and np.flatnonzero(found) == [start // 100]


@pytest.mark.parametrize("name", [name for name in detectors.names() if name != LARGE])
def test_every_detector_has_a_map_or_a_reason(name):
    cls = detectors.get(name)
    whole = {"samples": None} if name == "rawnet2_voc" else {}  # as published: in pieces
    network = small_forms.build(name, **whole)
    spec, was = network.input, network.fast
    extractor = extractors.get(spec.feature, **spec.params)
    x = extractor.extract(0.1 * torch.randn(1, spec.samples or small_forms.SAMPLES))
    if name in WITHOUT:
        with pytest.raises(gradcam.NoMap, match=WITHOUT[name]):
            gradcam.maps(network, x)
    else:
        found = gradcam.maps(network, x)
        assert set(found) == (set(cls.MAPS) or set(found)) and found
        for picture in found.values():
            assert picture.shape[:2] == ((1, 1) if x.dim() == 2 else (1, x.shape[2]))
            assert x.dim() == 2 or picture.shape[2] == x.shape[1]
            assert picture.shape[2] > 1 and np.isfinite(picture).all() and 0 <= picture.min() <= picture.max() <= 1
    assert network.fast == was and not any(module._forward_hooks for module in network.modules())
