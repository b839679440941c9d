import pytest
import real_clips
import torch

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors.w2v2_two_stage import split, standardised


def _small(**config):
    torch.manual_seed(0)
    return detectors.build("w2v2_two_stage", weights="random", small=True, **config)


def _trained(detector, prefixes):
    return sum(p.numel() for name, p in detector.named_parameters() if name.startswith(tuple(prefixes)))


def test_the_stages_train_what_the_study_says():
    with torch.device("meta"):
        detector = detectors.build("w2v2_two_stage", weights="random")
    head, top = detector.TRAINING["phases"]
    assert _trained(detector, head["trainable"]) == 1538
    assert _trained(detector, top["trainable"]) == 14_178_818
    assert (head["lr"], top["lr"], head["epochs"], top["epochs"]) == (1e-3, 1e-5, 10, 10)
    assert (head.get("precision"), top["precision"]) == (None, "half")  # fp16 in stage 2 alone
    assert detector.input.samples is None
    assert detector.input.windows and detector.input.train_samples == 64_000
    assert detector.TRAINING["batch_size"] == 64  # windows


@pytest.mark.parametrize(
    ("samples", "windows"),
    [(64_000, 1), (64_001, 1), (79_999, 1), (80_000, 2), (128_000, 2), (5_000, 1), (150_000, 3)],
)
def test_windows_of_four_seconds_and_a_rest_of_at_least_one(samples, windows):
    found, row = split(torch.ones(1, samples))
    assert found.shape == (windows, 64_000)
    assert row.tolist() == [0] * windows
    assert int(found.sum()) == (samples if windows == -(-samples // 64_000) else 64_000)


def test_the_zeros_that_fill_a_batch_up_make_no_windows():
    x = torch.zeros(3, 150_000)
    x[0, :70_000], x[1] = 1, 1  # the third is silent throughout
    _, row = split(x)
    assert row.tolist() == [0, 1, 1, 1, 2, 2, 2]


def test_windows_are_standardised_each():
    x = standardised(3 + 2 * torch.randn(4, 64_000, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(x.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(1), torch.ones(4), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_score_is_the_mean_log_odds_of_its_windows():
    detector = _small().eval()
    x = 0.1 * torch.randn(2, 128_000, generator=torch.Generator().manual_seed(1))
    windows = x.reshape(4, 64_000)
    logits = detector.logits(windows)
    expected = (logits[:, 1] - logits[:, 0]).reshape(2, 2).mean(1)
    torch.testing.assert_close(detector.score(x), expected)


def test_stage_one_gives_a_gradient_to_the_head_only():
    detector = _small()
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(name.startswith("head."))
    batch = Batch(0.1 * torch.randn(2, 64_000), torch.tensor([0, 1]), ["a", "b"])
    assert real_clips.with_gradient(detector.train(), detector.loss(batch)) == {"head.weight", "head.bias"}


def test_sixteen_real_clips_are_learnt():
    detector = _small()
    data = real_clips.batch(detector, samples=32_000)
    assert real_clips.steps_to_learn(detector, data, lr=5e-3, at_most=60) is not None
