"""Weight files: what is accepted, and what is refused with nothing changed."""

import argparse
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors import _base
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
        (
            lambda s: s.update({"linear.weight": torch.ones(1, 3).to(torch.int8)}),
            r"1 of another type \(first: linear.we",
        ),
        (
            lambda s: s["linear.weight"].fill_(float("nan")),
            r"1 with numbers that are not finite \(first: linear.weight",
        ),
        (
            lambda s: s.update({"linear.bias": torch.tensor([1e300], dtype=torch.float64)}),
            r"1 with numbers that are not finite",
        ),
        (lambda s: s.update({0: torch.zeros(1)}), r"is not a state dict"),
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


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float8_e5m2, torch.float64])
def test_a_file_in_another_precision_or_with_a_command_line_beside_it_is_read(model, tmp_path, kind):
    state = {key: value.to(kind) for key, value in model.state_dict().items()}
    torch.save({"model": state, "args": argparse.Namespace(lr=1e-4)}, tmp_path / "w.pt")
    assert model.load_weights(tmp_path / "w.pt").loaded == 2
    assert all(torch.equal(value, state[key].float()) for key, value in model.state_dict().items())


@pytest.mark.parametrize("checked", [True, False])
def test_one_flipped_bit_of_a_weight_is_seen(model, tmp_path, checked):
    """By the checksum of the file, which torch.load leaves alone; a file that has none is taken."""
    torch.serialization.set_crc32_options(checked)
    try:
        torch.save({"linear.weight": torch.full((1, 3), 0.7), "linear.bias": torch.zeros(1)}, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    content = bytearray((tmp_path / "w.pt").read_bytes())
    content[content.index(torch.tensor(0.7).numpy().tobytes())] ^= 1
    (tmp_path / "w.pt").write_bytes(content)
    if checked:
        with pytest.raises(DataError, match=r"w\.pt is damaged .*download it again"):
            model.load_weights(tmp_path / "w.pt")
    else:
        assert model.load_weights(tmp_path / "w.pt").loaded == 2


@pytest.mark.filterwarnings("error::UserWarning")
def test_why_a_file_cannot_be_read_is_said_without_torchs_advice_to_run_it(model, tmp_path):
    whole = {"linear.weight": torch.zeros(1, 3), "linear.bias": torch.zeros(1)}
    torch.save(whole, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:-40])
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    (tmp_path / "page.pt").write_text("<!DOCTYPE html><title>not found</title>")
    (tmp_path / "none.pt").write_bytes(b"")
    (tmp_path / "sound.pt").write_bytes(b"RIFF\xe4\x5c\x01\x00WAVEfmt \x10\x00")
    told = {
        "cut": "cut short", "none": "cut short", "page": "not written by torch.save", "sound": "not written by torch.save", "script": "TorchScript archive",
        "module": r"Python object \(torch\.nn\.modules\.linear\.Linear\)",
    }  # fmt: skip
    for name, reason in told.items():
        with pytest.raises(DataError, match=rf"{name}\.pt cannot be read as a weight file: .*{reason}") as refused:
            model.load_weights(tmp_path / f"{name}.pt")
        assert "weights_only" not in str(refused.value) and "\n" not in str(refused.value)


def test_absent_broken_and_foreign_files_are_named(model, tmp_path):
    with pytest.raises(DataError, match="no such weight file; name the file itself"):
        model.load_weights(tmp_path / "none.pt")
    (tmp_path / "w.pt").write_bytes(b"not a weight file")
    with pytest.raises(DataError, match=r"w.pt cannot be read"):
        model.load_weights(tmp_path / "w.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DataError, match="is not a state dict"):
        model.load_weights(tmp_path / "list.pt")


def test_weights_that_torch_averaged_are_read(model, tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    other = detectors.build("mean_pool", bands=3)
    assert other.load_weights(tmp_path / "swa.pt").loaded == 2
    torch.testing.assert_close(other.state_dict(), model.state_dict())


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_an_archive_of_weights_is_to_be_unpacked(model, tmp_path, suffix):
    """The challenge's RawNet2 comes as pre_trained_DF_RawNet2.zip."""
    inside = tmp_path / "in" / "RawNet2"
    inside.mkdir(parents=True)
    torch.save(model.state_dict(), inside / "w.pth")
    path = shutil.make_archive(tmp_path / "RawNet2", suffix.replace("tar.gz", "gztar"), inside.parent, "RawNet2")
    with pytest.raises(DataError) as refused:
        model.load_weights(path)
    assert str(refused.value).startswith(f"{tmp_path}/RawNet2.{suffix} is an archive (first in it: 'RawNet2")
    assert str(refused.value).endswith("; unpack it and name the weight file")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_pointer_that_a_clone_without_git_lfs_leaves_is_told(model, tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:24\nsize 537302068\n")
    with pytest.raises(DataError, match=rf"{name} is a Git LFS pointer, not the weights; fetch them"):
        model.load_weights(tmp_path / name)


def test_default_loss_is_binary_cross_entropy_of_the_score(model):
    """Scores 0 and 0: both rows cost ln 2."""
    torch.nn.init.zeros_(model.linear.weight)
    torch.nn.init.zeros_(model.linear.bias)
    loss = model.loss(Batch(torch.randn(2, 5, 3), torch.tensor([1, 0]), ["a", "b"]))
    assert loss.item() == pytest.approx(0.693147, abs=1e-6)


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="no file here that opens and cannot be read")
def test_a_file_that_cannot_be_read_is_one_line():
    with pytest.raises(DataError, match=r"/proc/self/mem cannot be read as a weight file"):
        _base.read_state(Path("/proc/self/mem"))
