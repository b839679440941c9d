"""AASIST and AASIST-L against the published weights' numbers (golden data: abs 2e-5)."""

import json

import numpy as np
import pytest
import torch
from shared_data import shared

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors.aasist import Aasist
from ingest.audio import mono16k
from ingest.types import DataError

FILES = {"aasist": "AASIST", "aasist_l": "AASIST-L"}


@pytest.fixture(scope="module", params=FILES)
def published(request, golden):
    model = detectors.build(request.param).eval()
    report = model.load_weights(golden.root / "weights" / f"{FILES[request.param]}.pth")
    assert (report.loaded, report.missing, report.unexpected) == (229, (), ())
    return model, FILES[request.param]


def test_state_dict_is_that_of_the_release(published, golden):
    model, file = published
    told = golden.table(file)
    assert [(key, list(value.shape)) for key, value in model.state_dict().items()] == [
        (k, v[0]) for k, v in told.items()
    ]


@pytest.mark.parametrize("fast", [False, True])
def test_every_stage_on_noise(published, golden, fast):
    model, file = published
    model.fast, arrays = fast, golden.arrays(file)
    seen = {}
    hooks = [
        getattr(model, layer).register_forward_hook(lambda _, __, y, key=key: seen.update({key: y[0].numpy()}))
        for key, layer in {
            "gat_S": "GAT_layer_S",
            "gat_T": "GAT_layer_T",
            "pool_S": "pool_S",
            "pool_T": "pool_T",
        }.items()
    ]
    with torch.inference_mode():
        embedding, logits = model.embed(golden.waves[:1])
        encoded = model.encode(golden.waves[:1])[0].numpy()
    for hook in hooks:
        hook.remove()
    for key, value in seen.items():
        np.testing.assert_allclose(value, arrays[f"{key}_noise"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(embedding[0], arrays["embedding_noise"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(logits[0], arrays["logits_noise"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(encoded, arrays["e_enc5_noise"], rtol=0, atol=2e-5)


def test_sinc_outputs(published, golden):
    model, file = published
    with torch.inference_mode():
        y = model.conv_time(golden.waves[:1, :1000])[0, :, :200]
    np.testing.assert_allclose(y, golden.arrays(file)["conv_time_noise_first200"], rtol=0, atol=3e-7)


def test_at_the_comparison_length(published, golden):
    model, file = published
    with torch.inference_mode():
        embedding, logits = model.embed(golden.waves[:1, :48_000])
    np.testing.assert_allclose(embedding[0], golden.arrays(file)["embedding_noise_48000"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(logits[0], golden.arrays(file)["logits_noise_48000"], rtol=0, atol=2e-5)


def test_harmonic_tone(golden):
    model = detectors.build("aasist").eval()
    model.load_weights(golden.root / "weights" / "AASIST.pth")
    with torch.inference_mode():
        embedding, logits = model.embed(golden.waves[1:])
    np.testing.assert_allclose(embedding[0], golden.arrays("AASIST")["embedding_harmonic"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(logits[0], golden.arrays("AASIST")["logits_harmonic"], rtol=0, atol=2e-5)


def test_speech_clips(published, golden):
    """Cut or repeated to 64,600 samples; the score is the second logit."""
    model, file = published
    for name, told in golden.summary["speech_clips"].items():
        wave = golden.speech(name)
        x = wave.repeat(3)[:64_600].unsqueeze(0)
        with torch.inference_mode():
            assert float(model.score(x)) == pytest.approx(told[file][1], abs=2e-5), name


def test_published_scores_of_real_clips(golden):
    """Six clips of the mini corpora at 16 kHz, which need no resampling (tolerance 1e-4)."""
    told = json.loads((golden.root / "aasist_real_clips.json").read_text())["corpora"]["mini-decro"]["scores"]
    model = detectors.build("aasist").eval()
    model.load_weights(golden.root / "weights" / "AASIST.pth")
    for clip, score in list(told.items())[:6]:
        wave = np.asarray(mono16k(shared("corpora", "mini-decro", clip)))
        x = torch.from_numpy(np.resize(wave, 64_600)).unsqueeze(0)
        with torch.inference_mode():
            assert float(model.score(x)) == pytest.approx(score, abs=1e-4), clip


def test_one_output_is_the_comparison_papers_form():
    model = detectors.build("aasist", outputs=1, samples=48_000)
    assert sum(p.numel() for p in model.parameters()) == 297_866 - 161
    assert model.input.samples == 48_000
    assert model.input.test_crop == "middle"
    assert model.TRAINING["schedule"]["steps"] == 200_000
    assert model.TRAINING["balance"] == "oversample"
    with pytest.raises(DataError, match="outputs is 1 or 2"):
        detectors.build("aasist", outputs=3)


@pytest.mark.parametrize("name", ["aasist", "aasist_l"])
def test_the_papers_recipe_trains_to_its_end_and_averages(name):
    how = detectors.build(name).TRAINING
    assert (how["epochs"], how["batch_size"], how["patience"]) == (100, 24, 0)
    assert how["swa"] is True and how["selection"] == "eer"


def test_weighted_loss_follows_the_logits(golden):
    """The example of the golden summary through the detector's own loss: only the logits are replaced."""
    told = golden.summary["weighted_ce_example"]

    class Told(Aasist):
        def embed(self, wave):
            return wave, torch.tensor(told["logits"])

    loss = Told().loss(Batch(torch.zeros(2, 1), torch.tensor(told["labels"]), ["a", "b"]))
    assert float(loss) == pytest.approx(told["loss"], abs=1e-5)


def test_dead_norm_follows_the_data_and_changes_nothing(golden):
    model = detectors.build("aasist").eval()
    with torch.inference_mode():
        before = model.score(golden.waves[:, :8_000])
        model.encoder[3][0].bn1.weight.fill_(7.0)
        assert torch.equal(model.score(golden.waves[:, :8_000]), before)
    norm = model.encoder[3][0].bn1
    model.train()
    model.embed(golden.waves[:, :8_000])
    assert int(norm.num_batches_tracked) == 1
    assert float(norm.running_mean.abs().max()) > 0


def test_frequency_mask_silences_neighbours_in_training_only(golden):
    model = detectors.build("aasist", frequency_mask=True)
    assert model.eval()._mask() is None
    model.train()
    torch.manual_seed(0)
    draws = [model._mask() for _ in range(200)]
    assert max(count for _, count in draws) == 19
    assert all(first + count <= 70 for first, count in draws)
    y = model.conv_time(golden.waves[:1, :500], (10, 5))
    assert bool((y[:, 10:15] == 0).all())
    assert bool((y[:, 15:].abs().amax(2) > 0).all())
