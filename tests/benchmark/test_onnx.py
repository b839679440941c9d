"""Every detector as an ONNX model: scores of onnxruntime beside ours, by name; those that have no such form say why.

Short or narrow forms of the same code, as an exported graph of full size takes its time to be computed.
"""

import dataclasses

import pytest
import torch

from benchmark import detectors, export, onnx_forms, onnx_model
from benchmark.detectors import aasist, ctrsvdd_raw, rawgat_st
from benchmark.detectors._residual import aasist_encoder
from benchmark.trained import Trained

SHORT = {name: {"samples": 16_000} for name in ("aasist", "aasist_l", "singfake_aasist", "rawnet2")}
NARROW = (8, 8, 8, 8, 8, 8)

onnxruntime = pytest.importorskip("onnxruntime")


def made(name: str) -> Trained:
    torch.manual_seed(0)
    cls = detectors.get(name)
    config = {**cls.OFFLINE, **cls.SMALL, **SHORT.get(name, {})}
    network = detectors.build(name, **config).eval()
    return Trained(name, network, config, dataclasses.asdict(network.input), None, None, {})


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(rawgat_st.RawGatSt, "CHANNELS", NARROW)
    monkeypatch.setattr(aasist.Aasist, "CHANNELS", NARROW)
    monkeypatch.setattr(aasist.Aasist, "DIMS", (8, 8))
    monkeypatch.setattr(ctrsvdd_raw, "aasist_encoder", lambda: aasist_encoder((8, 8, 8, 8, 8, 64)))


@pytest.mark.parametrize("name", sorted(set(detectors.names()) - set(onnx_forms.WITHOUT)))
def test_it_scores_as_the_network_does(name, narrow, tmp_path):
    trained = made(name)
    before = {key: value.clone() for key, value in trained.network.state_dict().items()}
    difference, what = onnx_model.write(trained, tmp_path / "model.onnx")
    assert difference <= export.ONNX_TOLERANCE
    assert trained.input["feature"] in what
    after = trained.network.state_dict()
    assert trained.network.fast
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", onnx_forms.WITHOUT)
def test_one_without_such_a_form_says_why(name, tmp_path):
    with pytest.raises(onnx_model.Inexpressible, match=onnx_forms.WITHOUT[name]):
        onnx_model.write(made(name), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_graph_that_does_not_run_is_a_reason_and_leaves_no_file(tmp_path, monkeypatch):
    trained = made("mean_pool")

    def fails(self, *_):
        raise RuntimeError("Split size 1 exceeds the axis\nand more")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", fails)
    with pytest.raises(onnx_model.Inexpressible, match=r"does not run in onnxruntime: Split size 1 exceeds the axis$"):
        onnx_model.write(trained, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_what_stands_in_is_gone_afterwards():
    before = [getattr(owner, name) for owner, name, _ in onnx_forms._FORMS]
    with onnx_forms.portable(detectors.build("lfcc_lcnn")):
        pass
    assert [getattr(owner, name) for owner, name, _ in onnx_forms._FORMS] == before
    assert "unfold" not in vars(torch.Tensor)
