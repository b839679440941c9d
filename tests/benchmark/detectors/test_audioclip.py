import pytest
import real_clips
import torch
from golden_formula import golden, params, waves
from torch.nn import functional

from benchmark import detectors
from benchmark.detectors._fbsp import Fbsp, frames
from ingest.types import DataError


def _formula(**config):
    state, count = params("audioclip_esresnext")
    detector = detectors.build("audioclip", weights="random", **config).eval()
    detector.audio.load_state_dict(state)
    return detector, count


@pytest.mark.parametrize("scale", ["unit", "int16"])
@torch.inference_mode()
def test_front_end_and_embedding_reproduce_the_reference(scale):
    detector, count = _formula(input_scale=scale)
    name = {"unit": "unit", "int16": "int16scale"}[scale]
    wave = waves(48_000)
    decibels = detector.audio.fbsp(2 * (wave * detector.scale + 32768) / 65535 - 1)
    assert decibels.shape == (2, 3, 341, 84)
    gap = (decibels[:, None, :, ::8, ::4] - golden("audioclip_esresnext", f"fbsp_db_{name}")).abs()
    assert float(gap.flatten().quantile(0.99)) < 0.05
    embedding = detector.embed(wave)
    assert (
        float(functional.cosine_similarity(embedding, golden("audioclip_esresnext", f"embedding_{name}")).min())
        > 0.9995
    )
    if scale == "int16":
        exact = golden("audioclip_esresnext", "embedding_int16scale_float64").float()
        assert float(functional.cosine_similarity(embedding, exact).min()) > 0.9995
    assert sum(p.numel() for p in detector.audio.parameters()) == count == 32_104_771


@torch.inference_mode()
def test_kernels_reproduce_the_reference():
    detector, _ = _formula()
    rows = detector.audio.fbsp.kernel()[:, [0, 100, 1024]].permute(1, 2, 0)
    torch.testing.assert_close(rows, golden("audioclip_esresnext", "fbsp_kernel_rows_0_100_1024"), rtol=0, atol=2e-6)


def test_frames_pad_the_odd_sample_on_the_right():
    x = torch.ones(1, 48_000)  # 84 frames need 48,217 samples: 108 zeros in front, 109 behind
    found = frames(x)
    assert found.shape == (1, 84, 1654)
    assert (found[0, 0] == 0).sum() >= 108
    assert torch.count_nonzero(found[0, 0, :108]) == 0
    assert torch.count_nonzero(found[0, -1, -109:]) == 0
    assert found[0, -1, -110] > 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_the_spectrogram_of_a_quiet_clip_keeps_its_numbers_in_half_precision(kind):
    """At the comparison paper's scale speech lies 90 dB down: its power is nothing in float16."""
    layer, wave = Fbsp(), 1e-6 * waves(48_000)[:1]
    with torch.autocast("cpu", kind):
        found = layer(wave)
    assert torch.equal(found, layer(wave)) and bool(found.isfinite().all())


def test_gradients_of_the_kernel_parameters_have_unit_maximum():
    layer = Fbsp()
    torch.nn.init.constant_(layer.m, 0.5)
    layer(torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    for parameter in (layer.m, layer.fb, layer.fc):
        assert float(parameter.grad.abs().max()) == pytest.approx(1.0)


def _published(detector, prefix="audio."):
    audio = {f"{prefix}{key}": value for key, value in detector.audio.state_dict().items()}
    return {**audio, f"{prefix}window": torch.ones(1654)}


def test_the_full_file_and_the_audio_file_load(tmp_path):
    torch.manual_seed(0)
    source = detectors.build("audioclip", **detectors.get("audioclip").SMALL)
    full = {**_published(source), "visual.conv1.weight": torch.ones(1), "logit_scale": torch.ones(())}
    torch.save(full, tmp_path / "AudioCLIP-Full-Training.pt")
    detector = detectors.build("audioclip", **detectors.get("audioclip").SMALL)
    report = detector.load_weights(tmp_path / "AudioCLIP-Full-Training.pt")
    assert report.missing == ("head.weight", "head.bias")
    assert report.unexpected == ("visual.conv1.weight", "logit_scale")
    assert torch.equal(detector.audio.fc.weight, source.audio.fc.weight)

    alone = _published(source, prefix="")
    alone |= {"fc.weight": torch.ones(527, 2048), "fc.bias": torch.ones(527)}  # AudioSet's classes
    torch.save(alone, tmp_path / "ESRNXFBSP.pt")
    own = detector.audio.fc.weight.clone()
    fc = ("audio.fc.weight", "audio.fc.bias")
    left = detector.load_weights(tmp_path / "ESRNXFBSP.pt")
    assert (left.missing, left.unexpected) == ((*fc, "head.weight", "head.bias"), fc)
    assert left.loaded == report.loaded - 2
    assert torch.equal(detector.audio.fc.weight, own)
    assert torch.equal(detector.audio.layer4[0].conv1.weight, source.audio.layer4[0].conv1.weight)


def test_settings_are_checked():
    with pytest.raises(DataError, match="did you mean int16"):
        detectors.build("audioclip", weights="random", input_scale="int61")
    with pytest.raises(DataError, match="16000 or 44100"):
        detectors.build("audioclip", weights="random", rate_hz=8000)


def test_sixteen_real_clips_are_learnt_and_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    detector = detectors.build("audioclip", **detectors.get("audioclip").SMALL)
    torch.nn.init.constant_(detector.audio.fbsp.m, 0.5)  # at 0 the window is flat and its width has no effect
    data = real_clips.batch(detector, samples=12_000)
    reached = real_clips.with_gradient(detector.train(), detector.loss(data))
    assert {name for name, _ in detector.named_parameters()} - reached <= {"audio.fbsp.bias"}
    assert real_clips.steps_to_learn(detector, data, lr=1e-3, at_most=40) is not None
