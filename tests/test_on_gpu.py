"""Every detector and every feature as on a GPU: nothing is left on the host, and the numbers are those of a processor."""

import contextlib

import on_gpu
import pytest
import small_forms
import torch
from torch import nn

from benchmark import detectors, timing
from benchmark.devices import device_of
from features import compute, extractors
from features.compute import Recipe
from shards.device import check_device
from shards.vocals import Model, Separator

WAVE = 0.1 * torch.randn(3, 12_000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [1e-3], [0.0]])
FEATURES = [(name, preset) for name in extractors.names() for preset in (None, *extractors.presets(name))]
SSL = ({}, {"pool": "mean_std"}, {"layers": "0,1,3"}, {"precision": "bfloat16"})


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", detectors.names())
def test_a_detector_scores_and_trains_there(name):
    detector = small_forms.build(name)
    batch = small_forms.batch(detector, clips=2)
    with torch.inference_mode():
        here = detector.score_batch(batch)
    with on_gpu.claimed():
        detector, batch = detector.to("cuda"), batch.to("cuda")
        held = [*detector.parameters(), *detector.buffers(), batch.x, batch.target]
        assert all(tensor.device == on_gpu.CUDA for tensor in held)
        with torch.inference_mode():
            scores = detector.score_batch(batch)
        assert scores.device == on_gpu.CUDA
        torch.testing.assert_close(scores.cpu(), here, rtol=1e-4, atol=1e-5)
        if hasattr(detector, "fit"):
            detector.fit(lambda: [batch], seed=0)
            assert detector.score_batch(batch).device == on_gpu.CUDA
            return
        trained = [p for p in detector.parameters() if p.requires_grad]
        groups = detector.parameter_groups(1e-4) if hasattr(detector, "parameter_groups") else trained
        optimizer = torch.optim.AdamW(groups)
        loss = detector.train().loss(batch)
        assert loss.device == on_gpu.CUDA
        loss.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
        assert all(bool(p.isfinite().all()) and p.device == on_gpu.CUDA for p in trained)


@pytest.mark.parametrize(("name", "preset"), FEATURES)
def test_a_feature_is_computed_there(name, preset):
    for more in SSL if name == "ssl" else ({},):
        extractor = extractors.get(name, preset=preset, **({"weights": "random"} if name == "ssl" else {}), **more)
        for wave in (WAVE, WAVE[:, :5]):  # as it is, and tiled
            here = extractor.to("cpu").extract(wave)
            with on_gpu.claimed():
                there = extractor.to("cuda").extract(wave.to("cuda"))
                assert there.device == on_gpu.CUDA and there.dtype == torch.float32
                torch.testing.assert_close(there.cpu(), here, rtol=1e-5, atol=1e-6 * float(here.abs().max()))


def test_what_is_claimed_to_lie_there_behaves_as_there():
    with on_gpu.claimed():
        there, host = torch.ones(3, device="cuda"), torch.ones(3)
        assert (there.device.type, host.device.type, host.to("cuda").device.type) == ("cuda", "cpu", "cuda")
        assert host.device.type == "cpu" and there.to(torch.float64).is_cuda and not there.cpu().is_cuda
        assert (2 * there + torch.tensor(1.0)).cpu().numpy().tolist() == [3, 3, 3]
        assert there[torch.tensor([0])].is_cuda and there.to(host).is_cpu
        with pytest.raises(RuntimeError, match="same device"):
            there + host
        with pytest.raises(RuntimeError, match="indices"):
            host[torch.zeros(1, dtype=torch.int64, device="cuda")]
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
    assert there.device.type == "cpu"


WAYS = {
    "a word": lambda: check_device("cpu"),
    "no word": lambda: device_of("auto"),
    "features": lambda: Recipe.of("raw", None, {"rate_hz": 24_000}).extractor,
    "vocals": lambda: Separator(Model("none", (), None, None)),
    "throughput": lambda: timing.measured("constant", seconds=0.0, batch_size=1),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_a_device_computes_in_float32(way, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    compute._extractor.cache_clear()
    with contextlib.suppress(IndexError):  # a separator without a network
        WAYS[way]()
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
