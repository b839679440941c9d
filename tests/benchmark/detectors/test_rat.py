import pytest
import real_clips
import torch
from golden_formula import golden, params, tensor
from torch import nn

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors import rat
from ingest.types import DataError

EXACT = {"rtol": 1e-4, "atol": 1e-4}


def _small(**config):
    torch.manual_seed(0)
    return detectors.build("rat", weights="random", small=True, **config)


def _waves(rows=4, samples=8_000, seed=0):
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_the_block_reproduces_the_reference_in_every_variant():
    state, count = params("rat")
    detector, width = _small(), 1024
    detector.preattn_ln, detector.final_ln = nn.LayerNorm(width), nn.LayerNorm(width)
    detector.attn = nn.MultiheadAttention(width, 4)
    detector.attn_mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
    detector.classifier = rat._classifier(width)
    own = {key: value for key, value in detector.state_dict().items() if key.startswith("extractor.")}
    detector.eval().load_state_dict({**state, **own})
    test = 1.5 * tensor(4 * 2 * 12 * 1024, 7101, 4, 2, 12, 1024) + 0.2
    reference = 1.1 * tensor(4 * 2 * 9 * 1024, 7102, 4, 2, 9, 1024) - 0.1
    for name, other in (("rat", reference), ("zeroref", None), ("selfattn", test)):
        embedding = detector.pooled(detector.attend(test, other))
        torch.testing.assert_close(embedding, golden("rat", f"{name}_pooled_embedding"), **EXACT)
        logits = detector.classifier(embedding)
        torch.testing.assert_close(logits, golden("rat", f"{name}_logits"), **EXACT)
        if name == "rat":
            torch.testing.assert_close(logits.softmax(1), golden("rat", "rat_prob"), **EXACT)
    torch.testing.assert_close(detector.classifier(detector.pooled(test)), golden("rat", "baseline_logits"), **EXACT)
    assert count == 13_254_402


def test_full_size_parameters():
    with torch.device("meta"):
        detector = detectors.build("rat", weights="random")
    assert sum(p.numel() for p in detector.parameters()) == 315_437_696 + 13_254_402
    assert sum(p.numel() for p in detector.classifier.parameters()) == 658_178


@torch.inference_mode()
def test_a_score_does_not_depend_on_batch_mates_or_padding():
    detector = _small(reference="zero").eval()
    alone = _waves(1)
    torch.testing.assert_close(detector.normalised(alone).std(), torch.tensor(1.0), rtol=1e-3, atol=1e-3)
    padded = torch.zeros(2, 16_000)
    padded[0, :8_000], padded[1] = alone[0], _waves(1, 16_000, seed=3)[0]
    torch.testing.assert_close(detector.normalised(padded)[0, :8_000], detector.normalised(alone)[0])
    assert float(detector.normalised(padded)[0, 8_000:].abs().max()) == 0
    pair = torch.cat([alone, _waves(1, seed=4)])
    torch.testing.assert_close(detector.score(pair)[:1], detector.score(alone), rtol=1e-4, atol=1e-4)
    batch_wide = _small(reference="zero", norm="batch").eval()
    pair[1] *= 100
    assert not torch.allclose(batch_wide.score(pair)[:1], batch_wide.score(alone), rtol=1e-2)


@pytest.mark.parametrize("config", [{}, {"reference": "silence"}, {"reference": "none"}], ids=str)
@torch.inference_mode()
def test_a_clip_shorter_than_a_frame_is_scored(config):
    detector = _small(**config).eval()
    for samples in (1, 50, 399):
        assert bool(detector.score(_waves(2, samples)).isfinite().all())
    assert bool(detector.score(_waves(2), *([_waves(2, 300)] if not config else [])).isfinite().all())


def test_padded_frames_are_left_out_of_the_pooling_when_scoring():
    detector = _small().eval()
    wave = torch.zeros(2, 1000)
    wave[0, :250], wave[1] = 1, 1
    inside = detector._frames_inside(wave, 10)
    assert inside.sum(1).tolist() == [3, 10]
    layers = torch.arange(10.0).reshape(1, 1, 10, 1).expand(4, 2, 10, 5)
    assert detector.pooled(layers, inside)[:, 0].tolist() == pytest.approx([1.0, 4.5])
    assert detector.train()._frames_inside(wave, 10) is None


def test_training_needs_a_reference_or_another_setting():
    batch = Batch(_waves(), torch.tensor([1, 0, 1, 0]), list("abcd"))
    with pytest.raises(DataError, match=r"no reference.*set reference=zero"):
        _small().loss(batch)
    with pytest.raises(DataError, match="did you mean zero"):
        _small(reference="zeros")
    for reference, combine in (("zero", "difference"), ("none", "difference"), ("none", "concatenation")):
        with pytest.raises(DataError, match=f"reference={reference} has none; use silence"):
            _small(reference=reference, combine=combine)


@pytest.mark.parametrize(
    "config",
    [
        {"reference": reference, "combine": combine}
        for combine in ("attention", "difference", "concatenation")
        for reference in ("real", "silence", "self")
    ]
    + [{"reference": "zero"}, {"reference": "none"}],
    ids=str,
)
def test_every_variant_trains_and_scores(config):
    detector = _small(**config).train()
    extra = {"reference": _waves(seed=9)} if config["reference"] == "real" else {}
    loss = detector.loss(Batch(_waves(), torch.tensor([1, 0, 1, 0]), list("abcd"), extra))
    assert torch.isfinite(loss)
    assert "classifier.6.weight" in real_clips.with_gradient(detector, loss)
    reference = {"reference": extra["reference"]} if extra else {}
    assert detector.eval().score(_waves(), **reference).shape == (4,)


@torch.inference_mode()
def test_without_a_reference_a_score_falls_back_to_the_zero_reference():
    real, zero = _small().eval(), _small(reference="zero").eval()
    torch.testing.assert_close(real.score(_waves()), zero.score(_waves()))
    assert not torch.allclose(real.score(_waves(), _waves(seed=5)), zero.score(_waves()))


def test_stage_one_trains_the_block_and_the_classifier_only():
    detector = _small(reference="zero")
    chosen = tuple(detector.TRAINING["phases"][0]["trainable"])
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(name.startswith(chosen))
    reached = real_clips.with_gradient(
        detector.train(), detector.loss(Batch(_waves(), torch.tensor([1, 0, 1, 0]), list("abcd")))
    )
    assert reached
    assert not any(name.startswith("extractor.") for name in reached)
    assert not detector.extractor.model.training


def test_a_file_with_torchaudios_backbone_and_module_prefix_loads(tmp_path):
    source, detector = _small(), _small()
    for parameter in source.parameters():
        nn.init.normal_(parameter, std=0.02)
    state = {}
    for key, value in source.state_dict().items():
        if key.startswith("extractor.model."):
            name = key.removeprefix("extractor.model.")
            name = name.replace("encoder.", "encoder.transformer.", 1) if name.startswith("encoder.") else name
            name = f"encoder.{name}" if name.startswith("feature_projection") else name
            key = f"extractor.model.model.{name}"
        state[f"module.{key}"] = value
    torch.save(state, tmp_path / "rat.pth")
    assert detector.load_weights(tmp_path / "rat.pth").loaded == len(source.state_dict())
    for key, value in source.state_dict().items():
        assert torch.equal(detector.state_dict()[key], value), key


def test_class_zero_is_bona_fide_and_sixteen_real_clips_are_learnt():
    detector = _small(reference="zero")
    data = real_clips.batch(detector, samples=16_000)
    assert real_clips.steps_to_learn(detector, data, lr=2e-3, at_most=100) is not None
    logits = detector.eval().logits(data.x)
    assert (logits[:8, 0] - logits[:8, 1]).mean() > (logits[8:, 0] - logits[8:, 1]).mean()
