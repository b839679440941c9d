"""Weight files: what is accepted, and what is refused with nothing changed."""

import pytest
import torch
from safetensors.torch import save_file

from benchmark import detectors
from benchmark.batch import Batch
from ingest.types import DataError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return detectors.build("mean_pool", bands=3)


def test_safetensors_and_parallel_prefix_are_read(model, tmp_path):
    state = {key: value + 1 for key, value in model.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    assert model.load_weights(tmp_path / "w.safetensors").loaded == 2
    torch.testing.assert_close(model.linear.bias, state["linear.bias"])
    torch.save({"state_dict": {f"module.{k}": v + 1 for k, v in state.items()}, "epoch": 3}, tmp_path / "w.pt")
    model.load_weights(tmp_path / "w.pt")
    torch.testing.assert_close(model.linear.bias, state["linear.bias"] + 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("linear.bias"), r"1 missing \(first: linear.bias\)"),
        (lambda s: s.update(more=torch.zeros(1)), r"1 unexpected \(first: more\)"),
        (lambda s: s.update({"linear.weight": torch.zeros(1, 4)}), r"1 of another shape \(first: linear.weight\)"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(model, tmp_path, change, told):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(DataError, match=told):
        model.load_weights(tmp_path / "w.pt")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_that_would_run_code_is_refused(model, tmp_path, capsys):
    torch.save({"linear.weight": Evil()}, tmp_path / "w.pt")
    with pytest.raises(DataError, match="cannot be read as a weight file"):
        model.load_weights(tmp_path / "w.pt")
    assert "executed" not in capsys.readouterr().out


def test_absent_broken_and_foreign_files_are_named(model, tmp_path):
    with pytest.raises(DataError, match="no such weight file"):
        model.load_weights(tmp_path / "none.pt")
    (tmp_path / "w.pt").write_bytes(b"not a weight file")
    with pytest.raises(DataError, match=r"w.pt cannot be read"):
        model.load_weights(tmp_path / "w.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DataError, match="is not a state dict"):
        model.load_weights(tmp_path / "list.pt")


def test_default_loss_is_binary_cross_entropy_of_the_score(model):
    """Scores 0 and 0: both rows cost ln 2."""
    torch.nn.init.zeros_(model.linear.weight)
    torch.nn.init.zeros_(model.linear.bias)
    loss = model.loss(Batch(torch.randn(2, 5, 3), torch.tensor([1, 0]), ["a", "b"]))
    assert loss.item() == pytest.approx(0.693147, abs=1e-6)
