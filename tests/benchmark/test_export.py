import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
import torch
import trained_run
from safetensors.torch import save_file

from benchmark import detectors, export, onnx_model, trained
from benchmark.detectors import _ssl
from benchmark.inference import DeepfakeDetector
from ingest.types import DataError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder / "data", trained_run.make(folder)


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    export.export(*made, folder)
    return folder


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_folder_alone_judges_as_the_run_does(made, exported, tmp_path):
    data, run_id = made
    alone = tmp_path / "elsewhere"
    shutil.copytree(exported, alone)
    ours, theirs = DeepfakeDetector(run_id, data=data), DeepfakeDetector(alone, data=tmp_path / "nothing")
    for path in list(trained_run.clips(data).values())[::20]:
        assert theirs.predict(path).as_json() == ours.predict(path).as_json()
    assert theirs.trained.domain == ours.trained.domain


def test_the_same_run_gives_the_same_bytes(made, exported, tmp_path):
    export.export(*made, tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(exported)
    assert set(hashes(exported)) == {"README.md", "model.safetensors", "settings.json"}
    export.export(*made, tmp_path / "again")  # over an export: allowed, and still the same
    assert hashes(tmp_path / "again") == hashes(exported)


def test_a_folder_with_other_things_is_left_alone(made, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for target in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(DataError, match="something else"):
            export.export(*made, target)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("content", ['{"editor.fontSize": 12}', '{"files": 1}', "[]", "{"])
def test_settings_of_something_else_make_no_export(made, tmp_path, content):
    for name, text in {"settings.json": content, "README.md": "My project", "thesis.tex": "years of work"}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="something else"):
        export.export(*made, tmp_path)
    assert (tmp_path / "README.md").read_text() == "My project"


def test_a_backbone_of_another_size_is_told_before_anything_is_written(tmp_path):
    network = detectors.build("w2v2_ft", weights="random", small=True)
    next(m for m in network.modules() if isinstance(m, _ssl.Backbone)).model.save_pretrained(tmp_path / "hub")
    run_id = trained_run.make(tmp_path, "w2v2_ft", own={"weights": str(tmp_path / "hub")}, each=4, train=0)
    with pytest.raises(DataError, match="hub is not of the size that w2v2_ft has"):
        export.export(tmp_path / "data", run_id, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_pooling_that_a_published_file_chose_is_exported(tmp_path):
    run_id = trained_run.make(tmp_path, "ctrsvdd_mfcc", each=3, train=0)
    (path,) = (tmp_path / "data" / "models").glob("*/model.safetensors")
    state = detectors.build("ctrsvdd_mfcc", pooling="max").state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    export.export(tmp_path / "data", run_id, tmp_path / "to")
    assert trained.from_export(tmp_path / "to").network.state_dict().keys() == state.keys()


def test_an_export_that_was_killed_is_made_by_the_same_command_again(made, exported, tmp_path):
    for left in ((), ("model.safetensors",), ("model.safetensors", "README.md")):
        folder = tmp_path / str(len(left))
        folder.mkdir()
        for name in left:
            shutil.copy(exported / name, folder)
        (folder / ".model.safetensors.tmp").write_bytes(b"half")
        export.export(*made, folder)
        assert hashes(folder) == hashes(exported) and not (tmp_path / f".{folder.name}.lock").exists()
    other = tmp_path / "somebody's"
    other.mkdir()
    (other / "README.md").write_text("a project of its own")
    with pytest.raises(DataError, match="something else"):
        export.export(*made, other)


def test_changed_weights_and_newer_formats_are_refused(exported, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    weights = bytearray((folder / trained.WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / trained.WEIGHTS).write_bytes(weights)
    with pytest.raises(DataError, match="sha256"):
        DeepfakeDetector(folder)
    stored = json.loads((exported / trained.SETTINGS).read_text())
    (folder / trained.SETTINGS).write_text(json.dumps(stored | {"format": 2}))
    with pytest.raises(DataError, match="format 2"):
        DeepfakeDetector(folder)


@pytest.mark.parametrize("broken", ["{", "[]", "{}", '{"format": 1}', '{"format": 1, "detector": "../x", "files": {}}'])
def test_broken_settings_are_one_line(exported, tmp_path, broken):
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    (folder / trained.SETTINGS).write_text(broken)
    with pytest.raises(DataError):
        DeepfakeDetector(folder)


@pytest.mark.parametrize(
    "key", ["detector", "config", "input", "calibration", "domain", "provenance", "remarks", "files"]
)
@pytest.mark.parametrize("value", [None, "x", {"x": 1}, [1]])
def test_settings_of_a_wrong_kind_are_one_line(exported, tmp_path, key, value):
    if value is None and key in ("calibration", "domain"):
        pytest.skip("allowed: not known")
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    stored = json.loads((exported / trained.SETTINGS).read_text())
    (folder / trained.SETTINGS).write_text(json.dumps(stored | {key: value}))
    if (key, value) == ("provenance", {"x": 1}):
        pytest.skip("of the right kind")
    with pytest.raises(DataError):
        DeepfakeDetector(folder)


def test_the_card_says_what_it_was_trained_on_and_where_it_fails(made, exported):
    data, run_id = made
    card = (exported / "README.md").read_text()
    for heading in ("Intended use", "Training data", "Decision and calibration", "Error", "Known failures",
                    "The shortcut floor", "Provenance"):  # fmt: skip
        assert f"\n## {heading}\n" in card
    calibration = DeepfakeDetector(run_id, data=data).trained.calibration
    for words in ("own", run_id, f"{100 * calibration.eer:.2f} %", "| eval |", "simulated corpora", "Not measured"):
        assert words in card
    assert "| T (simulated) | own |" in card  # the corpus with its licence
    for word in ("None", "| nan", "nan %", "inf "):
        assert word not in card


def test_a_subset_that_fails_is_a_known_failure(tmp_path):
    run_id = trained_run.make(tmp_path, train=0)  # an untrained network cannot tell
    export.export(tmp_path / "data", run_id, tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    failures = card.split("## Known failures")[1].split("\n## ")[0]
    assert "- eval: EER" in failures


@pytest.mark.parametrize("name", ["mean_pool", "rawnet2"])
def test_onnx_scores_as_pytorch_does(made, tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    from benchmark import detectors

    torch.save(detectors.build(name).state_dict(), tmp_path / "w.pt")
    loaded = trained.from_weights(tmp_path / "w.pt", name)
    difference, what = onnx_model.write(loaded, tmp_path / "model.onnx")
    assert difference <= export.ONNX_TOLERANCE and loaded.input["feature"] in what
    first = (tmp_path / "model.onnx").read_bytes()
    onnx_model.write(loaded, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == first
    session = onnxruntime.InferenceSession(first)
    from features import extractors

    x = extractors.get(loaded.input["feature"], **loaded.input["params"]).extract(
        0.1 * torch.randn(5, loaded.input["samples"])
    )
    theirs = session.run(None, {"x": x.numpy()})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(loaded.network.score(x).numpy(), theirs, atol=1e-4)


def test_a_model_that_differs_is_not_kept(made, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(export, "ONNX_TOLERANCE", -1.0)
    assert any("so it is not kept" in line for line in export.export(*made, tmp_path / "model", onnx=True))
    assert not (tmp_path / "model" / export.ONNX).exists()


def test_a_network_without_an_onnx_form_is_a_line(made, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")

    def fails(*_, **__):
        raise RuntimeError("no symbolic for aten::fft")

    monkeypatch.setattr(torch.onnx, "export", fails)
    lines = export.export(*made, tmp_path / "model", onnx=True)
    assert any("cannot be expressed in ONNX (no symbolic for aten::fft)" in line for line in lines)
    assert DeepfakeDetector(tmp_path / "model").trained.detector == "mean_pool"


def test_onnx_without_its_packages_leaves_the_folder_as_it_was(made, exported, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    (folder / export.ONNX).write_bytes(b"of the export before")
    before = hashes(folder)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for to in (folder, tmp_path / "new"):
        with pytest.raises(DataError, match=r"--onnx needs the packages .*pip install sirenbench\[onnx\]$"):
            export.export(*made, to, onnx=True)
    assert hashes(folder) == before and not (tmp_path / "new").exists()
