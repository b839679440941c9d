"""Every detector in a short and narrow form of the same code, for suites that compute each of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors import aasist, aasist_l, ctrsvdd_raw, rawgat_st
from benchmark.detectors._base import Detector
from benchmark.detectors._residual import aasist_encoder
from benchmark.timing import material

SAMPLES = 16_000  # of detectors whose length is free
NARROW = (8, 8, 8, 8, 8, 8)


@contextmanager
def narrow() -> Iterator[None]:
    """Within it AASIST and its relatives are built with few channels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rawgat_st.RawGatSt, "CHANNELS", NARROW)
        patch.setattr(aasist.Aasist, "CHANNELS", NARROW)
        patch.setattr(aasist.Aasist, "DIMS", (8, 8))
        patch.setattr(aasist_l.AasistL, "CHANNELS", (8, 8, 6, 6, 6, 6))
        patch.setattr(aasist_l.AasistL, "DIMS", (6, 8))
        patch.setattr(ctrsvdd_raw, "aasist_encoder", lambda: aasist_encoder((*NARROW[1:], 64)))
        yield


def config(name: str) -> dict:
    """Settings that make it small, without any file."""
    cls = detectors.get(name)
    free = "samples" in detectors.settings(name) and not cls.INPUT.fixed
    length = {"samples": SAMPLES} if free else {}
    return {**cls.OFFLINE, **cls.SMALL, **length}


def build(name: str, *, drawn: int = 0, **more: object) -> Detector:
    """Detector `name`, small, in evaluation mode, with parameters of seed `drawn`."""
    torch.manual_seed(drawn)
    with narrow():
        return detectors.build(name, **{**config(name), **more}).eval()


def batch(detector: Detector, clips: int = 4) -> Batch:
    """Clips of noise with every column that a recipe may ask for."""
    attacks = tuple(getattr(detector, "labels", None) or getattr(detector, "attacks", "a"))
    return material(detector, clips, attacks=attacks, samples=detector.input.samples or SAMPLES)
