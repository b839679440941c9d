"""Training in bfloat16: every detector has a finite loss and finite gradients there, close to those of float32."""

import numpy as np
import pyarrow as pa
import pytest
import small_forms
import torch

from benchmark import detectors, score
from benchmark.distribution import Hardware, mixed_precision
from benchmark.loader import Loader
from features import extractors
from ingest.types import DataError

LOSS_TOLERANCE = 0.1  # of a loss; losses are of the order of 1
LEARNING = [name for name in detectors.names() if not hasattr(detectors.get(name), "fit")]


class Noise:
    """A reader of two clips."""

    def wave(self, utt_id, variant="original"):
        return 0.1 * np.random.default_rng(ord(utt_id)).standard_normal(16_000).astype(np.float32)

    def length(self, utt_id, variant="original"):
        return 16_000

    def span(self, utt_id, start, stop, variant="original"):
        return self.wave(utt_id)[start:stop]


@pytest.fixture(scope="module", params=LEARNING)
def seen(request):
    """(name, detector without dropout whose batch norms have seen the batch, the batch)."""
    model = small_forms.build(request.param)
    batch = small_forms.batch(model)
    for layer in model.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
        if isinstance(layer, torch.nn.Dropout | torch.nn.Dropout2d):
            layer.p = 0.0
    with torch.no_grad():
        model.train().loss(batch)
    return request.param, model, batch


@pytest.fixture(scope="module")
def narrow_numbers():
    return Hardware(torch.device("cpu"), "bfloat16")


def test_loss_and_gradients_in_bfloat16(seen, narrow_numbers):
    name, model, batch = seen
    model.train().zero_grad(set_to_none=True)
    torch.manual_seed(1)
    exact = float(model.loss(batch).detach())
    torch.manual_seed(1)
    with narrow_numbers.autocast():
        loss = model.loss(batch)
    narrow_numbers.backward(loss)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(bool(g.isfinite().all()) and g.dtype == torch.float32 for g in gradients)
    assert float(loss.detach()) == pytest.approx(exact, abs=LOSS_TOLERANCE * max(1.0, abs(exact))), name


def test_scores_are_computed_in_float32_whatever_trained(narrow_numbers):
    """A pool that keeps the best nodes may keep others when their scores are rounded: a score must not hang on that."""
    model = small_forms.build("aasist")
    rows = pa.table({"utt_id": ["a", "b"], "label": ["bonafide", "spoof"]})
    spec = {"feature": "raw", "params": {}, "samples": 16_000, "test_crop": "first", "short": "repeat"}
    found = score.score(model, Loader(Noise(), rows, spec, extractors.get("raw"), batch_size=2, seed=0, train=False))
    with torch.inference_mode():
        told = model.score(torch.from_numpy(np.stack([Noise().wave("a"), Noise().wave("b")])))
    np.testing.assert_array_equal(found, told.double().numpy())


def test_a_mixture_is_computed_in_float64_whatever_is_asked(narrow_numbers):
    model = small_forms.build("lfcc_gmm")
    batch = small_forms.batch(model)
    with torch.inference_mode(), narrow_numbers.autocast():
        assert model.score_batch(batch).dtype == torch.float64


def test_half_is_what_the_machine_has():
    kinds = [(word, device) for word in ("float32", "bfloat16", "half") for device in ("cpu", "cuda")]
    assert [mixed_precision(*kind) for kind in kinds] == ["no", "no", "bf16", "bf16", "bf16", "fp16"]
    assert mixed_precision("float16", "cuda") == "fp16"
    with pytest.raises(DataError, match="float16 needs a GPU"):
        mixed_precision("float16", "cpu")


def test_a_second_phase_in_float16_takes_the_scale_off_once(monkeypatch):
    """Clipping took it off for the optimizer of every phase so far: what the first one trained stood still after it."""
    hardware = Hardware(torch.device("cpu"))  # which has no such training of its own: its parts are put in
    scaled = hardware._accelerator
    monkeypatch.setitem(type(scaled.state)._shared_state, "_mixed_precision", "fp16")
    scaled.scaler, scaled.native_amp = torch.amp.GradScaler("cpu", init_scale=1024.0), True
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.loss = lambda batch: layer(batch).mean()
    for phase in range(2):
        torch.nn.init.zeros_(layer.weight)
        loss_of, optimizer = hardware.prepare(layer, torch.optim.SGD(layer.parameters(), lr=1.0))
        hardware.backward(loss_of(torch.tensor([[3.0]])))
        hardware.clip(layer, optimizer, 100.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        assert float(layer.weight.detach()) == -3, phase


def test_batches_made_meanwhile_change_no_gradient(narrow_numbers):
    """A weight that a loss uses twice is cast once, so that its gradients meet in bfloat16: 256 + 1 = 256 there. A worker
    that made features meanwhile had it cast anew, now and then, and the same training gave other weights."""
    rows = pa.table({"utt_id": ["a", "b"], "label": ["bonafide", "spoof"]})
    spec = {"feature": "raw", "params": {}, "samples": 16_000, "test_crop": "first", "short": "repeat"}
    loader = Loader(Noise(), rows, spec, extractors.get("raw"), batch_size=1, seed=0, train=False)
    layer = torch.nn.Linear(1, 1, bias=False)
    with narrow_numbers.autocast():
        loss = layer(torch.tensor([[256.0]]))
        assert len(list(loader.epoch())) == 2
        loss = loss + layer(torch.tensor([[1.0]]))
    loss.sum().backward()
    assert float(layer.weight.grad) == 256
