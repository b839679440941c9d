"""RawNet2 and its three relatives against the reference networks with formula parameters."""

import numpy as np
import pytest
import torch

from benchmark import detectors, settings
from benchmark.batch import Batch
from benchmark.detectors import _vocoders, rawnet2_voc
from ingest.types import DataError


def test_rawnet2(golden):
    model, told = golden.build("RawNet2", "rawnet2"), golden.arrays("RawNet2")
    with torch.inference_mode():
        np.testing.assert_allclose(model.embed(golden.waves), told["embedding"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(model.log_probabilities(golden.waves), told["log_softmax"], rtol=0, atol=1e-4)
        assert float(model.score(golden.waves[:1])) == pytest.approx(told["log_softmax"][0, 1], abs=1e-4)


def test_rawnet2_voc_at_24_khz(golden):
    model, told = golden.build("RawNet2-Voc", "rawnet2_voc"), golden.arrays("RawNet2-Voc")
    x = golden.waves_24k()
    with torch.inference_mode():
        binary, multi = model.embed(x)
        np.testing.assert_allclose(binary, told["emb_binary"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(multi, told["emb_multi"], rtol=0, atol=1e-4)
        binary, multi = model.log_probabilities(x)
    np.testing.assert_allclose(binary, told["binary_log_softmax"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(multi, told["multi_log_softmax"], rtol=0, atol=1e-4)


def test_rawnet2_voc_averages_the_probabilities_of_whole_segments(golden):
    """Noise and tone one after the other, and a rest that does not count: the golden probabilities' mean."""
    model, told = golden.build("RawNet2-Voc", "rawnet2_voc"), golden.arrays("RawNet2-Voc")["binary_log_softmax"][:, 1]
    noise, tone = golden.waves_24k()
    one = torch.cat([noise, tone, noise[:50_000]])
    with torch.inference_mode():
        score = float(model.score(one[None]))
        short = model.score(noise[None, :40_000])
        again = model.score(noise[:40_000].repeat(3)[None, :96_000])
    assert score == pytest.approx(np.log(np.exp(told).mean()), abs=1e-4)
    assert torch.equal(short, again)  # shorter than a segment: repeated


def test_rawnet2_voc_scores_many_segments_in_parts(monkeypatch):
    torch.manual_seed(0)
    model = detectors.build("rawnet2_voc", hidden=16).eval()
    x = 0.1 * torch.randn(2, 2 * rawnet2_voc.SEGMENT + 5)
    with torch.inference_mode():
        whole = model.score(x)
        monkeypatch.setattr(rawnet2_voc, "AT_ONCE", 1)
        torch.testing.assert_close(model.score(x), whole)


def test_rawnet2_voc_trains_on_four_seconds_and_takes_a_protocols_length():
    published = settings.resolve("rawnet2_voc", {}, clip=None, weights=None).input
    assert (published["samples"], published["train_samples"], published["train_crop"]) == (None, 64_000, "first")
    given = settings.resolve("rawnet2_voc", {}, clip=48_000, weights=None)
    assert (given.input["samples"], given.input["train_samples"], given.config["samples"]) == (48_000, 48_000, 48_000)


def test_rawnet2_s(golden):
    model, told = golden.build("RawNet2-S", "rawnet2_s"), golden.arrays("RawNet2-S")
    x = golden.waves[:, :48_000]
    with torch.inference_mode():
        np.testing.assert_allclose(model.embed(x), told["embedding"], rtol=0, atol=1e-3)
        np.testing.assert_allclose(model.score(x), told["out0"][:, 0], rtol=0, atol=1e-3)


def test_rawnet2_voc_s(golden):
    model, told = golden.build("RawNet2-Voc-S", "rawnet2_voc_s"), golden.arrays("RawNet2-Voc-S")
    with torch.inference_mode():
        embedding = model.embed(golden.waves[:, :48_000])
        binary, multi = model.logits(golden.waves[:, :48_000])
    np.testing.assert_allclose(embedding, told["embedding"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(binary, told["out0"][:, 0], rtol=0, atol=1e-3)
    np.testing.assert_allclose(multi, told["out1"], rtol=0, atol=1e-3)


def test_vocoder_classes_follow_the_list():
    batch = Batch(
        torch.zeros(4, 1), torch.tensor([1, 0, 0, 0]), list("abcd"), {"attack": [None, "melgan", "wavegrad", "new"]}
    )
    found = _vocoders.classes(batch, ("wavegrad", "melgan"))
    assert found.tolist() == [0, 2, 1, _vocoders.UNNAMED]


def test_vocoder_term_is_a_mean_over_the_rows_with_a_class():
    """Uniform logits over three classes cost ln 3 per row, however many rows have no class."""
    loss = _vocoders.vocoder_cross_entropy(torch.zeros(3, 3), torch.tensor([0, 2, _vocoders.UNNAMED]))
    assert float(loss) == pytest.approx(1.098612, abs=1e-6)
    assert float(_vocoders.vocoder_cross_entropy(torch.zeros(1, 3), torch.tensor([_vocoders.UNNAMED]))) == 0


@pytest.mark.parametrize("name", ["rawnet2_voc", "rawnet2_voc_s"])
def test_attacks_set_the_width_of_the_second_head(name):
    model = detectors.build(name, attacks=["a", "b"], hidden=16)
    assert {module.out_features for module in model.children() if isinstance(module, torch.nn.Linear)} >= {3}
    with pytest.raises(DataError, match="different attack words"):
        detectors.build(name, attacks=["a", "a"])
    with pytest.raises(DataError, match="attacks takes a list, each a word, not 'melgan'"):
        detectors.build(name, attacks="melgan")


def test_a_batch_without_attacks_is_refused():
    model = detectors.build("rawnet2_voc_s", hidden=16)
    with pytest.raises(DataError, match="need the column attack"):
        model.loss(Batch(torch.zeros(2, 48_000), torch.tensor([0, 1]), ["a", "b"]))
