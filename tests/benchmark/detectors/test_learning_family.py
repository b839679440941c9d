"""Every detector learns sixteen real clips: here those whose own tests do not show it, and the proof that none is left.

Narrow or short forms of the same code, so that the family takes seconds; what must get a gradient is asked in
evaluation mode of the batch norms' twins, the blocks whose output the published networks discard.
"""

import re
from pathlib import Path

import pytest
import real_clips
import torch

from benchmark import detectors
from benchmark.detectors._residual import aasist_encoder
from benchmark.detectors.ctrsvdd_lfcc import Lfcc
from benchmark.detectors.ctrsvdd_melspec import build as MelSpec
from benchmark.detectors.ctrsvdd_mfcc import build as Mfcc
from benchmark.detectors.ctrsvdd_spec import build as Spec
from benchmark.detectors.singfake_aasist import SingFakeAasist

SECOND = 16_000  # 100 frames, of which four poolings by three leave one
DEAD = r"encoder\.[1-5]\.0\.bn1\."  # discarded by every published network of this family


class ShortLfcc(Lfcc):
    COLUMNS = 60


class ShortMfcc(Mfcc):
    COLUMNS = 40


class ShortMelSpec(MelSpec):
    COLUMNS = 80


class ShortSpec(Spec):
    COLUMNS = 257


class NarrowSingFake(SingFakeAasist):
    CHANNELS, DIMS = (8, 8, 8, 8, 8, 8), (8, 8)


def small(name):
    return lambda: detectors.build(name, **{**detectors.get(name).OFFLINE, **detectors.get(name).SMALL})


def narrow(make, *channels):
    """The same with fewer channels in front of the last residual block."""

    def made():
        model = make()
        model.frontend.encoder = aasist_encoder(channels)
        return model

    return made


def xlsr():
    """One second is 49 frames, too few for four poolings by three: two are left out."""
    model = small("ctrsvdd_xlsr")()
    for block in model.frontend.encoder[2:]:
        block[0].pool = torch.nn.Identity()
    model.frontend.linear = torch.nn.Linear(5 * model.ssl_model.width, model.frontend.linear.out_features)
    return model


# what makes it, samples, learning rate, steps, parameters that must stay without a gradient
SSL_DEAD = r"|masked_spec_embed"
FAMILY = {
    "ctrsvdd_raw": (narrow(small("ctrsvdd_raw"), 8, 8, 16, 16, 16, 64), 4_600, 3e-3, 60, DEAD),
    "ctrsvdd_lfcc": (narrow(ShortLfcc, 8, 8, 16, 64), SECOND, 3e-3, 40, DEAD),
    "ctrsvdd_mfcc": (narrow(ShortMfcc, 8, 8, 16, 64), SECOND, 3e-3, 40, DEAD),
    "ctrsvdd_melspec": (narrow(ShortMelSpec, 8, 8, 16, 64), SECOND, 3e-3, 40, DEAD),
    "ctrsvdd_spec": (narrow(ShortSpec, 4, 4, 8, 64), SECOND, 3e-3, 40, DEAD),
    "ctrsvdd_xlsr": (xlsr, SECOND, 3e-3, 60, DEAD + SSL_DEAD),
    "singfake_aasist": (NarrowSingFake, 4_600, 3e-3, 80, DEAD),
    "singfake_spec_resnet": (
        lambda: detectors.build("singfake_spec_resnet", width=4),
        64_000,
        1e-3,
        60,
        r"resnet\.fc_mu",
    ),
    "uniaudio_dann": (small("uniaudio_dann"), SECOND, 1e-3, 100, SSL_DEAD[1:]),
}


def made(name):
    """The detector without dropout, as it must learn by heart, and with batch norms that follow within a few steps."""
    torch.manual_seed(0)
    model = FAMILY[name][0]()
    model.progress = 0.5
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout | torch.nn.Dropout2d):
            layer.p = 0.0
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = 0.5
    return model, real_clips.batch(model, samples=FAMILY[name][1], extra={"domain": ["speech", "singing"] * 8})


@pytest.mark.parametrize("name", FAMILY)
def test_sixteen_real_clips_are_learned(name):
    model, data = made(name)
    _, _, lr, steps, _ = FAMILY[name]
    assert real_clips.steps_to_learn(model, data, lr=lr, at_most=steps) is not None


@pytest.mark.parametrize("name", FAMILY)
def test_gradients_reach_every_parameter_that_matters_and_no_other(name):
    model, data = made(name)
    reached = real_clips.with_gradient(model.eval(), model.loss(data))
    # keys' biases shift every attention logit alike: their gradient is zero but for rounding
    every = {key for key, _ in model.named_parameters() if not key.endswith("k_proj.bias")}
    dead = {key for key in every if re.search(FAMILY[name][4], key)}
    assert every - reached == dead


def test_no_detector_is_left_out():
    """A test file that names a detector and asks for 0 training EER covers it; a new one must do so too."""
    here = Path(__file__).parent
    asking = [
        p.read_text()
        for p in here.glob("test_*.py")
        if "steps_to_learn" in p.read_text() or "eer(model" in p.read_text()
    ]
    covered = {name for name in detectors.names() if any(f'"{name}' in text for text in asking)}
    fits = {"constant", "random_score"}  # floors, which learn nothing
    assert set(detectors.names()) - covered - fits == set()


def test_the_gradient_of_every_detector_is_looked_at():
    """Likewise for the test that a gradient reaches what it should; mixtures have none."""
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    looking = [text for text in texts if "with_gradient" in text or ".grad is not None" in text]
    covered = {name for name in detectors.names() if any(f'"{name}' in text for text in looking)}
    without = {name for name in detectors.names() if hasattr(detectors.get(name), "fit")}
    assert set(detectors.names()) - covered - without == set()
