"""Every detector as an ONNX model: scores of onnxruntime beside ours, by name; those that have no such form say why.

Short or narrow forms of the same code, as an exported graph of full size takes its time to be computed.
"""

import dataclasses

import numpy as np
import pytest
import small_forms
import torch

from benchmark import detectors, export, onnx_forms, onnx_model
from benchmark.trained import Trained

onnxruntime = pytest.importorskip("onnxruntime")


def made(name: str) -> Trained:
    network = small_forms.build(name)
    return Trained(name, network, small_forms.config(name), dataclasses.asdict(network.input), None, None, {})


@pytest.mark.parametrize("name", sorted(set(detectors.names()) - set(onnx_forms.WITHOUT)))
def test_it_scores_as_the_network_does(name, tmp_path):
    trained = made(name)
    before = {key: value.clone() for key, value in trained.network.state_dict().items()}
    difference, what = onnx_model.write(trained, tmp_path / "model.onnx")
    assert difference <= export.ONNX_TOLERANCE
    assert trained.input["feature"] in what
    after = trained.network.state_dict()
    assert trained.network.fast
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_one_and_two_segments_of_a_whole_utterance_are_averaged(tmp_path):
    network = small_forms.build("rawnet2_voc", samples=None)
    trained = Trained("rawnet2_voc", network, {}, dataclasses.asdict(network.input), None, None, {})
    assert onnx_model.write(trained, tmp_path / "model.onnx")[0] <= export.ONNX_TOLERANCE


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


@pytest.mark.parametrize("wrong", [0, 1])
def test_scores_that_are_not_numbers_do_not_count_as_equal(wrong, tmp_path, monkeypatch):
    """Of either batch: the larger of 0 and NaN was 0, and the model was kept as equal within 0."""
    calls, run = [], onnxruntime.InferenceSession.run

    def scores(self, names, values):
        (score,) = run(self, names, values)
        calls.append(score)
        return [np.full_like(score, np.nan) if len(calls) == 1 + wrong else score]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", scores)
    assert np.isnan(onnx_model.write(made("mean_pool"), tmp_path / "model.onnx")[0])


def test_what_stands_in_is_gone_afterwards():
    before = [getattr(owner, name) for owner, name, _ in onnx_forms._FORMS]
    with onnx_forms.portable(detectors.build("lfcc_lcnn")):
        pass
    assert [getattr(owner, name) for owner, name, _ in onnx_forms._FORMS] == before
    assert "unfold" not in vars(torch.Tensor)
