"""RawGAT-ST against the published weights (abs 5e-5) and against the references with formula parameters."""

import numpy as np
import pytest
import torch

from benchmark import detectors, metrics
from benchmark.detectors import rawgat_st
from ingest.types import DataError


@pytest.mark.parametrize("fast", [False, True])
def test_published_weights(golden, fast):
    model = detectors.build("rawgat_st").eval()
    assert model.load_weights(golden.root / "weights" / "RawGAT_ST_mul.pth").loaded == 237
    model.fast, told = fast, golden.arrays("RawGAT-ST-mul")
    with torch.inference_mode():
        encoded = model.encoder1(model.front(golden.waves))[:, :8]
        np.testing.assert_allclose(model.embed(golden.waves), told["embedding"], rtol=0, atol=5e-5)
        np.testing.assert_allclose(model.logits(golden.waves), told["logits"], rtol=0, atol=5e-5)
    np.testing.assert_allclose(encoded, told["encoder1_last"], rtol=0, atol=5e-5)


def test_speech_clips(golden):
    model = detectors.build("rawgat_st").eval()
    model.load_weights(golden.root / "weights" / "RawGAT_ST_mul.pth")
    for name, told in golden.summary["speech_clips"].items():
        x = golden.speech(name).repeat(3)[:64_600].unsqueeze(0)
        with torch.inference_mode():
            assert float(model.score(x)) == pytest.approx(told["RawGAT-ST-mul"][1], abs=5e-5), name


def test_weights_of_another_fusion_are_told_by_their_name(golden, capsys):
    """The entries of both are the same, and the scores are not."""
    path = golden.root / "weights" / "RawGAT_ST_mul.pth"
    detectors.build("rawgat_st").load_weights(path)
    assert capsys.readouterr().err == ""
    detectors.build("rawgat_st", fusion="add").load_weights(path)
    assert capsys.readouterr().err == f"{path} was trained with fusion mul, not add: --set fusion=mul\n"


def test_weights_of_another_fusion_are_told_by_their_folder_as_they_are_released(tmp_path, monkeypatch, capsys):
    path = tmp_path / "RawGAT_ST_add" / "Best_epoch.pth"
    path.parent.mkdir()
    torch.save(detectors.build("rawgat_st", fusion="add").state_dict(), path)
    detectors.build("rawgat_st", fusion="add").load_weights(path)
    assert capsys.readouterr().err == ""
    monkeypatch.chdir(path.parent)
    detectors.build("rawgat_st").load_weights(path.name)
    assert capsys.readouterr().err == "Best_epoch.pth was trained with fusion add, not mul: --set fusion=add\n"


@pytest.mark.parametrize("fusion", ["mul", "add", "cat"])
def test_state_dict_of_every_fusion(golden, fusion):
    model, file = detectors.build("rawgat_st", fusion=fusion), f"RawGAT-ST-{fusion}"
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == [
        row[1:3] for row in golden.table(file)
    ]
    assert sum(p.numel() for p in model.parameters()) == golden.summary[file]["params"]


def test_the_copy_published_with_aasist(golden):
    """The network of the other code base; its layers are compared in test_activations."""
    model = detectors.build("rawgat_st", layout="clovaai")
    assert sum(p.numel() for p in model.parameters()) == golden.summary["RawGAT-ST-clovaai"]["params"] == 437_034


def test_comparison_papers_form(golden):
    model, told = golden.build("RawGAT-ST-S", "rawgat_st_s"), golden.summary["RawGAT-ST-S"]
    with torch.inference_mode():
        embedding, scores = model.embed(golden.waves[:, :48_000]), model.score(golden.waves[:, :48_000])
    np.testing.assert_allclose(embedding, told["embedding"], rtol=1e-3, atol=1e-3 * 1358)
    np.testing.assert_allclose(scores, told["logit"], rtol=1e-3)


def test_frequency_mask_is_the_official_one():
    model = detectors.build("rawgat_st").train()
    torch.manual_seed(0)
    draws = [model._mask() for _ in range(300)]
    assert max(count for _, count in draws) == 13
    assert max(first + count for first, count in draws) <= 70
    assert max(first + count for first, count in draws) == 70  # the last filter is silenced, too
    assert detectors.build("rawgat_st", frequency_mask=False).train()._mask() is None
    assert detectors.build("rawgat_st", layout="clovaai").train()._mask() is None
    copy = detectors.build("rawgat_st", layout="clovaai", frequency_mask=True).train()
    assert max(copy._mask()[1] for _ in range(300)) == 19
    assert detectors.build("rawgat_st_s").train()._mask() is None


def test_unknown_fusion_and_layout_are_refused():
    with pytest.raises(DataError, match="did you mean mul"):
        detectors.build("rawgat_st", fusion="mult")
    with pytest.raises(DataError, match="did you mean official"):
        detectors.build("rawgat_st", layout="offical")


@pytest.mark.parametrize("name", ["rawgat_st", "rawgat_st_s"])
def test_narrow_blocks(name):
    model = detectors.build(name, channels=[4, 4, 4, 4, 4, 5])
    assert model.score(torch.zeros(2, model.INPUT.samples)).shape == (2,)
    shapes = [len(value) for key, value in model.state_dict().items() if key.endswith("conv2.weight")]
    assert shapes == [4, 4, 4, 4, 4, 5] * 2
    with pytest.raises(DataError, match="takes 6 numbers of channels"):
        detectors.build(name, channels=[4])


def test_the_published_scores_give_the_published_error_rate(golden):
    told = np.load(golden.root / "RawGAT_ST_mul_LA2019eval_scores.npz")
    score, bonafide = told["score"].astype(float), told["is_bonafide"]
    assert (bonafide.sum(), (~bonafide).sum()) == (7_355, 63_882)
    percent = 100 * metrics.eer(score[bonafide], score[~bonafide])[0]
    assert percent == pytest.approx(golden.summary["rawgat_published_scores_eer_percent"]["mul"], abs=1e-3)
    assert percent == pytest.approx(detectors.get("rawgat_st").EER["ASVspoof 2019 LA"], abs=5e-3)


@pytest.mark.parametrize(
    ("samples", "frames", "kept"), [(64_600, 29, 23), (48_000, 21, 17), (4_600, 2, 2), (4_502, 2, 2)]
)
def test_the_length_decides_the_temporal_nodes(samples, frames, kept):
    """Seven poolings by three behind filters of 129 samples; 0.81 of the frames stay, at least two."""
    model = detectors.build("rawgat_st", channels=[4] * 6, samples=samples)
    assert rawgat_st.time_nodes(samples) == frames and model.proj2.in_features == kept
    if samples < 10_000:
        assert model.input.samples == samples
        assert model.eval().score(torch.zeros(1, samples)).shape == (1,)


def test_a_length_of_fewer_frames_is_refused():
    with pytest.raises(DataError, match="at least 4502 samples, not 4501"):
        detectors.build("rawgat_st", samples=4_501)
