"""Loss, gradient and sign agree: each detector learns sixteen real clips, and gradients go where they should."""

import re

import pytest
import torch

from benchmark import detectors, metrics
from benchmark.batch import Batch
from benchmark.detectors.aasist import Aasist
from benchmark.detectors.aasist_l import AasistL
from benchmark.detectors.rawgat_st import RawGatSt
from benchmark.detectors.rawgat_st_s import RawGatStS
from features import extractors

SAMPLES = 4_600  # of raw waves: two time nodes behind six poolings by three
RECURRENT_SAMPLES = 8_600  # two steps of the recurrent layer behind seven


class NarrowAasist(Aasist):
    """The same code with channels that a CPU trains in seconds."""

    CHANNELS, DIMS = (8, 8, 8, 8, 8, 8), (8, 8)


class NarrowAasistL(AasistL):
    CHANNELS, DIMS = (8, 8, 6, 6, 6, 6), (6, 8)


class NarrowRawGat(RawGatSt):
    CHANNELS = (8, 8, 8, 8, 8, 8)


class NarrowRawGatS(RawGatStS):
    CHANNELS = (8, 8, 8, 8, 8, 8)


def rawnet2_s(name):
    """The 48,000-sample normalisation on shorter clips."""
    model = detectors.build(name, hidden=64, **({"attacks": ["hifigan"]} if "voc" in name else {}))
    model.ln.gamma = torch.nn.Parameter(torch.ones(RECURRENT_SAMPLES))
    model.ln.beta = torch.nn.Parameter(torch.zeros(RECURRENT_SAMPLES))
    return model


# detector, what makes it, learning rate; then the parameters that must stay without a gradient
MAKERS = {
    "mean_pool": (lambda: detectors.build("mean_pool"), 3e-2, None),
    "lfcc_lcnn": (lambda: detectors.build("lfcc_lcnn"), 1e-3, r"^input_|^output_|m_frontend"),
    "lfcc_lcnn_s": (lambda: detectors.build("lfcc_lcnn_s"), 1e-3, None),
    "asdg": (lambda: detectors.build("asdg"), 1e-3, r"lcnn\.(fc29|batchnorm31|fc32)"),
    "rawnet2": (lambda: detectors.build("rawnet2", hidden=64), 1e-3, r"bn1"),
    "rawnet2_voc": (
        lambda: detectors.build("rawnet2_voc", hidden=64, attacks=["hifigan"], samples=RECURRENT_SAMPLES),
        1e-3,
        r"bn1",
    ),
    "rawnet2_s": (lambda: rawnet2_s("rawnet2_s"), 1e-3, None),
    "rawnet2_voc_s": (lambda: rawnet2_s("rawnet2_voc_s"), 1e-3, None),
    "aasist": (NarrowAasist, 6e-3, r"bn1"),
    "aasist one output": (lambda: NarrowAasist(outputs=1), 3e-3, r"bn1"),
    "aasist_l": (NarrowAasistL, 6e-3, r"bn1"),
    "rawgat_st": (lambda: NarrowRawGat(samples=SAMPLES), 1e-2, r"bn1|\.[1-5]\.0\.conv_1"),
    "rawgat_st cat": (lambda: NarrowRawGat(fusion="cat", samples=SAMPLES), 2e-2, r"bn1|\.[1-5]\.0\.conv_1"),
    "rawgat_st clovaai": (lambda: NarrowRawGat(layout="clovaai", samples=SAMPLES), 2e-2, r"bn1"),
    "rawgat_st_s": (lambda: NarrowRawGatS(samples=SAMPLES), 2e-2, r"bn1|\.[1-5]\.0\.conv_1"),
}
STEPS = 80


def batch_of(model, clips):
    waves, target, attacks = clips
    if model.input.feature == "raw":
        x = waves[:, 6_000 : 6_000 + (RECURRENT_SAMPLES if hasattr(model, "gru") else SAMPLES)]
    else:
        x = extractors.get(model.input.feature, **model.input.params).extract(waves)
    return Batch(x, target, [str(i) for i in range(16)], {"attack": attacks, "language": ["en", "de"] * 8})


def eer(model, batch):
    """Training EER in evaluation mode, after one pass that sets the batch norms to these clips."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    with torch.inference_mode():
        for norm in norms:
            norm.momentum = 1.0
        model.loss(batch)
        for norm in norms:
            norm.momentum = 0.1
        scores = model.eval().score(batch.x).double().numpy()
    model.train()
    real = batch.target.numpy() == 1
    return metrics.eer(scores[real], scores[~real])[0]


@pytest.mark.parametrize("name", MAKERS)
def test_sixteen_real_clips_are_learned(name, real_clips):
    make, lr, _ = MAKERS[name]
    torch.manual_seed(0)
    model = make().train().to(memory_format=torch.channels_last)  # in which so few channels take half the time
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout | torch.nn.Dropout2d):
            layer.p = 0.0  # here it must learn by heart
    batch = batch_of(model, real_clips)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(STEPS):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
        if step % 5 == 4 and eer(model, batch) == 0:
            return
    pytest.fail(f"{name} does not learn 16 clips in {STEPS} steps: EER {eer(model, batch):.3f}")


@pytest.mark.parametrize("name", MAKERS)
def test_gradients_reach_every_parameter_that_matters_and_no_other(name, real_clips):
    make, _, dead = MAKERS[name]
    torch.manual_seed(0)
    model = make().train()
    if name == "asdg":
        model.progress = 0.5
    model.loss(batch_of(model, real_clips)).backward()
    reached = {key for key, p in model.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
    outside = {key for key, _ in model.named_parameters() if dead and re.search(dead, key)}
    assert not reached & outside
    assert {key for key, _ in model.named_parameters()} - outside == reached


@pytest.mark.parametrize("name", ["lfcc_gmm", "cqcc_gmm"])
def test_mixtures_learn_sixteen_real_clips(name, real_clips):
    model = detectors.build(name, components=32, spoof_every=1)
    batch = batch_of(model, real_clips)
    model.fit(lambda: iter([batch]), seed=0)
    assert eer(model, batch) == 0


def test_floors_learn_nothing(real_clips):
    for name in ("constant", "random_score"):
        model = detectors.build(name)
        batch = batch_of(model, real_clips)
        model.fit(lambda batch=batch: iter([batch]), seed=5)
        assert model.score(batch.x).shape == (16,)
    assert int(detectors.build("constant").score(batch.x).abs().sum()) == 0


def test_random_scores_depend_on_clip_and_seed_alone(real_clips):
    model = detectors.build("random_score")
    first = model.score(real_clips[0])
    assert torch.equal(model.score(real_clips[0][3:5]), first[3:5])
    assert len(first.unique()) == 16
    model.fit(lambda: iter([]), seed=1)
    assert not torch.equal(model.score(real_clips[0]), first)
