"""Every activation and output that the golden summary tells of, layer by layer and model by model."""

import functools
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmark import detectors
from features import extractors

PUBLISHED = {
    "AASIST": ("aasist", "AASIST.pth", {}),
    "AASIST-L": ("aasist_l", "AASIST-L.pth", {}),
    "RawGAT-ST-mul": ("rawgat_st", "RawGAT_ST_mul.pth", {}),
    "LFCC-LCNN_lstmsum_sig_fft512": ("lfcc_lcnn", "LFCC-LCNN_lstmsum_sig_fft512.pt", {"preset": "lcnn_fft512"}),
}
BY_FORMULA = {
    "RawNet2": ("rawnet2", {}),
    "RawNet2-Voc": ("rawnet2_voc", {}),
    "RawGAT-ST-clovaai": ("rawgat_st", {"layout": "clovaai"}),
    "ASDG-S": ("asdg", {}),
    "LCNN-S": ("lfcc_lcnn_s", {}),
    "RawNet2-S": ("rawnet2_s", {}),
    "RawNet2-Voc-S": ("rawnet2_voc_s", {}),
    "RawGAT-ST-S": ("rawgat_st_s", {}),
    "LFCC-LCNN-2021": ("lfcc_lcnn", {}),
}
RENAMED = {"Sinc_conv": "sinc"}
AFTER_SELU = {("AASIST", "first_bn"), ("AASIST-L", "first_bn")}  # the reference's SELU worked in place
TIED = {"pool_ST", "proj_ST"}  # of the clovaai copy: with formula parameters all scores are equal
ARRAYS = {"RawGAT-ST-mul": {"gat1": "GAT_layer1", "gat2": "GAT_layer2", "pool3": "pool3"}}  # beside the summary
TOLERANCE = 2e-5  # of the largest magnitude of a layer


@functools.lru_cache(maxsize=1)  # tests of one model follow each other
def built(golden, model):
    if model in PUBLISHED:
        name, file, config = PUBLISHED[model]
        detector = detectors.build(name, **config).eval()
        detector.load_weights(golden.root / "weights" / file)
    else:
        detector = golden.build(model, BY_FORMULA[model][0], **BY_FORMULA[model][1])
    detector.take_form(fast=False)  # layer by layer, so that each can be seen
    return detector


def fed(golden, detector, clip):
    """What the reference saw: both waves, or one clip, as features."""
    if detector.input.params.get("rate_hz") == 24_000:
        return golden.waves_24k()
    waves = {
        "": golden.waves, "noise": golden.waves[:1], "harmonic": golden.waves[1:],
        "speech": golden.speech("asvspoof2015_D18_1000001")[None],
    }[clip]  # fmt: skip
    samples = 48_000 if detector.input.samples == 48_000 else None
    return extractors.get(detector.input.feature, **detector.input.params).extract(waves[:, :samples])


def seen(detector, x, wanted):
    """Name -> output of the layers in `wanted`; of several outputs the first, and each as name.0, name.1, ..."""
    found = {"lfcc": x.transpose(1, 2)[:, None] if x.dim() == 3 else x}

    def keep(name, y):
        if isinstance(y, tuple):
            found[name] = y[0].clone()
            found.update({f"{name}.{part}": v.clone() for part, v in enumerate(y) if isinstance(v, torch.Tensor)})
        else:
            found[name] = y.clone()

    layers = {name: layer for name, layer in detector.named_modules() if name in wanted}
    hooks = [m.register_forward_hook(lambda _, __, y, name=name: keep(name, y)) for name, m in layers.items()]
    with torch.inference_mode():
        if hasattr(detector, "log_probabilities"):
            detector.log_probabilities(x)
        else:
            detector.score(x)
        if isinstance(detector, detectors.get("lfcc_lcnn")):
            found["pooled_64or96"] = detector.embed(x)
    for hook in hooks:
        hook.remove()
    return found


def told(golden, model):
    """(clip, layer -> statistics) of every set of activations."""
    summary = golden.summary[model]
    for key in ("act_stats", "activations"):
        if key in summary:
            yield "", summary[key]
    for clip, inner in summary.items():
        if isinstance(inner, dict) and "activations" in inner:
            yield clip, inner["activations"]


def close(ours, theirs, scale, what):
    np.testing.assert_allclose(np.asarray(ours, float), theirs, rtol=0, atol=TOLERANCE * scale, err_msg=what)


@pytest.mark.parametrize("model", [*PUBLISHED, *BY_FORMULA])
def test_every_layer(golden, model):
    detector, compared, arrays = built(golden, model), 0, ARRAYS.get(model, {})
    for clip, layers in told(golden, model):
        names = {RENAMED.get(layer, layer) for layer in layers} | set(arrays.values())
        found = seen(detector, fed(golden, detector, clip), names | {re.sub(r"\.\d$", "", name) for name in names})
        for layer, want in layers.items():
            what, scale = f"{model} {clip} {layer}", want["absmax"]
            y = found[RENAMED.get(layer, layer)][: want["shape"][0]]
            y = functional.selu(y) if (model, layer) in AFTER_SELU else y
            assert [n for n in y.shape if n > 1] == [n for n in want["shape"] if n > 1], what
            if layer in TIED:
                continue
            compared += 1
            deviation = y.double().std() if y.numel() > 1 else want["std"]
            close([y.double().mean(), deviation, y.abs().max()], [want["mean"], want["std"], scale], scale, what)
            if "first8" in want:
                close(y.flatten()[:8], want["first8"][: y.numel()], scale, what)
        for key, layer in arrays.items():
            want = np.squeeze(golden.arrays(model)[key])
            np.testing.assert_allclose(found[layer], want, rtol=0, atol=5e-5, err_msg=key)
    assert compared >= 7


OUTPUTS = [  # model, entry of the summary, clip, samples, what the detector calls it
    ("AASIST", "logits_noise", "noise", None, lambda d, x: d.embed(x)[1][0]),
    ("AASIST", "logits_harmonic", "harmonic", None, lambda d, x: d.embed(x)[1][0]),
    ("AASIST", "logits_48000", "", 48_000, lambda d, x: d.embed(x)[1]),
    ("AASIST", "score_noise", "noise", None, lambda d, x: d.score(x)[0]),
    ("AASIST-L", "logits_noise", "noise", None, lambda d, x: d.embed(x)[1][0]),
    ("AASIST-L", "logits_noise_48000", "noise", 48_000, lambda d, x: d.embed(x)[1][0]),
    ("AASIST-L", "score_noise", "noise", None, lambda d, x: d.score(x)[0]),
    ("RawGAT-ST-mul", "logits_noise", "noise", None, lambda d, x: d.logits(x)[0]),
    ("RawGAT-ST-mul", "logits_harmonic", "harmonic", None, lambda d, x: d.logits(x)[0]),
    ("RawNet2", "fc2_noise", "noise", None, lambda d, x: d.fc2_gru(d.embed(x))[0]),
    ("RawNet2", "fc2_harmonic", "harmonic", None, lambda d, x: d.fc2_gru(d.embed(x))[0]),
    ("RawNet2", "log_softmax_noise", "noise", None, lambda d, x: d.log_probabilities(x)[0]),
    ("RawNet2", "log_softmax_harmonic", "harmonic", None, lambda d, x: d.log_probabilities(x)[0]),
    ("RawNet2-Voc", "binary_log_softmax", "", None, lambda d, x: d.log_probabilities(x)[0]),
    ("RawNet2-Voc", "multi_log_softmax", "", None, lambda d, x: d.log_probabilities(x)[1]),
    ("RawNet2-S", "outputs", "", None, lambda d, x: d.score(x)[None, :, None]),
    ("RawGAT-ST-S", "logit", "", None, lambda d, x: d.score(x)),
    ("RawGAT-ST-S", "embedding", "", None, lambda d, x: d.embed(x)),
    ("ASDG-S", "logit", "", None, lambda d, x: d.score(x)),
    ("ASDG-S", "domain_logits", "", None, lambda d, x: d.domain_logits(d.embed(x))),
    ("LCNN-S", "logit", "", None, lambda d, x: d.score(x)),
    *(
        (model, f"{clip}.{entry}", clip, None, ours)
        for model, clips in (
            ("LFCC-LCNN-2021", ("noise", "speech")),
            ("LFCC-LCNN_lstmsum_sig_fft512", ("noise", "harmonic", "speech")),
        )
        for clip in clips
        for entry, ours in (("logit", lambda d, x: d.score(x)[0]), ("pooled", lambda d, x: d.embed(x)[0]))
    ),
]


@pytest.mark.parametrize(
    ("model", "entry", "clip", "samples", "ours"), OUTPUTS, ids=[f"{o[0]} {o[1]}" for o in OUTPUTS]
)
def test_every_output(golden, model, entry, clip, samples, ours):
    detector, want = built(golden, model), golden.summary[model]
    for key in entry.split("."):
        want = want[key]
    with torch.inference_mode():
        found = ours(detector, fed(golden, detector, clip)[:, :samples])
    loose = 50 if model in ("RawGAT-ST-S", "RawNet2-S") else 1  # 1e-3, as the README has it
    close(found, want, loose * max(1.0, float(np.abs(want).max())), entry)


def test_parameters_in_use(golden):
    """Of the official RawGAT-ST every later block holds a convolution and a norm that nothing uses (detectors-a, 6)."""
    for fusion in ("mul", "add", "cat"):
        told = golden.summary[f"RawGAT-ST-{fusion}"]
        model = detectors.build("rawgat_st", fusion=fusion)
        unused = sum(p.numel() for key, p in model.named_parameters() if ".conv_1." in key and ".0.0." not in key)
        unused += sum(p.numel() for key, p in model.named_parameters() if ".bn1." in key)
        assert sum(p.numel() for p in model.parameters()) - unused == told["params_used"]
    for model, name in (("AASIST", "aasist"), ("AASIST-L", "aasist_l")):
        state = dict(detectors.build(name).named_buffers())
        fixed = sum(b.numel() for key, b in state.items() if key != "conv_time.filters")
        assert fixed == golden.summary[model]["buffers"]
