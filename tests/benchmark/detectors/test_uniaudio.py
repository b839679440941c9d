import json
import math

import pytest
import real_clips
import torch
from golden_formula import golden, params, tensor, waves
from shared_data import shared

from benchmark import detectors, train
from benchmark.batch import Batch
from benchmark.detectors import _experts, uniaudio
from features import extractors
from ingest.types import DataError

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def _small(name="uniaudio", **config):
    torch.manual_seed(0)
    return detectors.build(name, **{**detectors.get(name).SMALL, **config})


def _embeddings() -> torch.Tensor:
    return torch.stack([(1 + 0.3 * k) * tensor(4 * 512, 9000 + k, 4, 512) for k in range(3)], 1)


def _formula():
    state, count = params("uniaudio", "gate_fusion_params")
    detector = _small().eval()
    detector.load_state_dict({**detector.state_dict(), **state})
    assert count == 66_048 + 426_755 + 131_585
    return detector


@torch.inference_mode()
def test_gate_and_fusion_reproduce_the_reference():
    detector, embeddings = _formula(), _embeddings()
    torch.testing.assert_close(detector.gate(embeddings), golden("uniaudio", "gate_logits"), **CLOSE)
    for tau, name in ((1.5, "1p5"), (1.8, "1p8"), (1.2, "1p2")):
        detector.tau = tau
        alpha = detector.weigh(embeddings)
        torch.testing.assert_close(alpha, golden("uniaudio", f"gate_weights_tau_{name}"), **CLOSE)
    raised = uniaudio.floored(alpha, 0.12)
    torch.testing.assert_close(raised, golden("uniaudio", "gate_weights_tau_1p2_floor_0p12"), **CLOSE)
    logit = detector.fused_logit(embeddings, alpha)
    torch.testing.assert_close(logit[:, None], golden("uniaudio", "fused_logit_tau_1p2"), **CLOSE)


@torch.inference_mode()
def test_the_figures_of_tables_7_and_8_come_clip_by_clip(monkeypatch):
    detector, embeddings = _formula(), _embeddings()
    monkeypatch.setattr(detector, "embed", lambda wave: (embeddings, torch.zeros(4, 3)))
    scores, found = detector.diagnose(Batch(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64), list("abcd")))
    alpha = detector.weigh(embeddings)
    torch.testing.assert_close(scores, -detector.fused_logit(embeddings, alpha))
    torch.testing.assert_close(torch.stack([found[f"gate_{name}"] for name in _experts.NAMES], 1), alpha)
    torch.testing.assert_close(found["gate_largest"], alpha.max(1).values)
    one = [
        torch.nn.functional.cosine_similarity(embeddings[0, a], embeddings[0, b], 0)
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    torch.testing.assert_close(found["embedding_cosine"][0], sum(one) / 3)
    torch.testing.assert_close(found["embedding_cosine"].mean(), uniaudio.similarity(embeddings))


@torch.inference_mode()
def test_the_loss_has_the_reference_values():
    expected = json.loads(shared("golden", "detectors-b", "uniaudio", "loss_values.json").read_text())
    detector, embeddings = _formula(), _embeddings()
    experts = torch.tensor([expected["expert_logits"][name] for name in _experts.NAMES]).T
    fused = uniaudio.Fused(torch.tensor(expected["fused_logits"]), experts, embeddings, detector.weigh(embeddings))
    terms = detector.losses(fused, 1 - torch.tensor(expected["labels_spoof1"]))
    for name, key in (("main", "main"), ("aux", "aux_mean"), ("entropy", "entropy"), ("similarity", "similarity")):
        assert float(terms[name]) == pytest.approx(expected[key], abs=1e-5)
    assert float(detector.combine(terms)) == pytest.approx(expected["total"], abs=1e-5)


@pytest.mark.parametrize(
    ("feature", "over", "name"),
    [("logmel", "clip", "logmel"), ("mfcc", "clip", "mfcc_single"), ("mfcc", "batch", "mfcc")],
)
def test_front_ends_reproduce_the_reference(feature, over, name):
    x = extractors.get(feature, preset="uniaudio", top_db_over=over).extract(waves(64_000))
    every_16th = x.transpose(1, 2)[:, None, :, ::16]
    torch.testing.assert_close(every_16th, golden("uniaudio", f"{name}_every_16th_frame"), **CLOSE)


def test_full_size_parameters():
    with torch.device("meta"):
        whole = detectors.build("uniaudio", weights="random")
        alone = detectors.build("uniaudio_logmel")
    counts = {
        name: sum(p.numel() for p in getattr(whole, name).parameters())
        for name in ("logmel", "mfcc", "gate", "w2v_proj", "fusion_head")
    }
    assert counts == {
        "logmel": 11_433_409,
        "mfcc": 11_433_409,
        "gate": 426_755,
        "w2v_proj": 66_048,
        "fusion_head": 131_585,
    }
    assert sum(p.numel() for p in alone.parameters()) == 11_433_409


def test_the_temperature_is_saved_with_the_weights(tmp_path):
    detector = _small()
    detector.tau = 1.7
    torch.save(detector.state_dict(), tmp_path / "a.pt")
    again = _small()
    assert again.tau == pytest.approx(1.2)
    again.load_weights(tmp_path / "a.pt")
    assert again.tau == pytest.approx(1.7)
    x = waves(64_000)[:1]
    with torch.inference_mode():
        assert torch.equal(again.eval().score(x), detector.eval().score(x))


def test_the_floor_acts_in_training_only():
    detector, embeddings = _small(floor=0.3), 3 * torch.randn(50, 3, 512, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert float(detector.eval().weigh(embeddings).min()) < 0.3
        low = detector.train().weigh(embeddings)
    assert float(low.min()) >= 0.3 / (1 + 2 * 0.3)
    torch.testing.assert_close(low.sum(1), torch.ones(50))


def test_stages_open_what_the_text_says():
    detector = _small()
    names = [name for name, _ in detector.named_parameters()]
    *experts, first, second, third = detector.TRAINING["phases"]
    for stage in (*experts, first, second):
        for prefix in stage["trainable"]:
            assert any(name.startswith(prefix) for name in names), prefix
        assert stage["mix"] == {"domain": {"speech": 1.0}}
    assert not any(name.startswith("logmel.resnet") for name in first["trainable"])
    assert {"logmel.resnet.backbone.layer4.", "w2v_rn.cnn."} <= set(second["trainable"])
    assert third["trainable"] == [] and third["batch_size"] == 16 and third["mix"] == {}
    taus = [stage["settings"]["tau"] for stage in (first, second, third)]
    assert taus == [1.5, {"from": 1.8, "to": 1.2}, 1.2]
    for key, value in third["settings"].items():
        setattr(detector, key, value)
    assert detector.tau == pytest.approx(1.2)
    with pytest.raises(DataError, match="floor"):
        _small(floor=0.5)


def test_tables_6_to_10_are_settings():
    last = _small(tau=(2.0, 1.0), speech_share=0.9).TRAINING["phases"][-1]
    assert last["mix"]["domain"] == {"speech": 0.9, "singing": pytest.approx(0.1)}
    assert last["settings"]["tau"] == 1.0
    assert [stage["name"] for stage in _small(experts=False, stages=2).TRAINING["phases"]] == ["heads", "tops"]
    for wrong in ({"speech_share": 1.0}, {"stages": 4}, {"tau": (1.0, 0.0)}):
        with pytest.raises(DataError, match="uniaudio"):
            _small(**wrong)


def test_experts_are_trained_on_their_own_losses():
    detector, x = _small().eval(), waves(64_000)
    batch = Batch(x, torch.tensor([1, 0]), ["a", "b"])
    reached = {}
    for stage in ("spectral", "wav2vec"):
        detector.stage = stage
        detector.zero_grad()
        reached[stage] = {name.split(".")[0] for name in real_clips.with_gradient(detector, detector.loss(batch))}
    assert reached == {"spectral": {"logmel", "mfcc"}, "wav2vec": {"w2v_rn"}}
    with torch.inference_mode():
        expected = -(detector.w2v_rn(x)[1])
        torch.testing.assert_close(detector.score(x), expected)


def test_the_domain_term_joins_in_the_last_stage_alone():
    phases = _small("uniaudio_dann", stages=2, speech_share=0.7).TRAINING["phases"]
    assert [stage["settings"]["adapting"] for stage in phases] == [False, False, False, True]
    assert "domain_heads." in phases[-1]["trainable"] and "w2v_rn.cnn." in phases[-1]["trainable"]
    assert phases[-1]["mix"]["domain"]["speech"] == 0.7
    assert phases[-1]["settings"]["progress"] == {"from": 0.0, "before": 1.0}
    stage3 = _small("uniaudio_dann").TRAINING["phases"][-1]  # p = epoch / epochs (5 of them)
    shares = [train._settings(stage3, epoch, stage3["epochs"])["progress"] for epoch in range(5)]
    assert shares == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    tops = phases[-1] | {"settings": {"tau": {"from": 1.8, "to": 1.2}}}  # 25 epochs, the last at 1.2
    taus = [train._settings(tops, epoch, 25)["tau"] for epoch in (0, 12, 24)]
    assert taus == pytest.approx([1.8, 1.5, 1.2])


def test_class_one_of_the_network_is_spoof():
    detector = _small()
    detector.fuse = lambda wave: uniaudio.Fused(torch.tensor([2.0]), None, None, None)
    assert float(detector.score(torch.zeros(1, 4))) == -2.0
    assert float(_experts.spoof_entropy(torch.tensor([5.0]), torch.tensor([0]))) < 0.01
    weighted = _experts.spoof_entropy(torch.zeros(4), torch.tensor([1, 1, 1, 0]), weighted=True)
    assert float(weighted) == pytest.approx(math.log(2) * (3 + 3) / 4)  # one spoof weighs as three bona fide


def test_the_reversal_reaches_the_experts_with_the_other_sign_and_the_heads_with_the_plain_one():
    detector = _small("uniaudio_dann", lambda_domain=0.5)
    domain = torch.tensor([0.0, 1.0])
    gradients = {}
    for progress in (0.0, 1.0):
        detector.progress = progress
        torch.manual_seed(0)
        embeddings = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(2)).requires_grad_()
        detector.zero_grad()
        detector.domain_loss(embeddings, domain).backward()
        head = detector.domain_heads["mfcc"][6].weight.grad.clone()
        gradients[progress] = embeddings.grad, head
    assert float(gradients[0.0][0].abs().sum()) == 0  # no reversal at the start: the experts feel nothing
    assert float(gradients[1.0][0].abs().sum()) > 0
    assert torch.equal(gradients[0.0][1], gradients[1.0][1])
    assert detector.reversal == pytest.approx(0.5 * (2 / (1 + math.exp(-10)) - 1))


def test_domain_training_needs_domains():
    detector = _small("uniaudio_dann", w2v_only=True)
    assert list(detector.domain_heads) == ["w2v_rn"]
    batch = Batch(0.1 * torch.randn(2, 16_000), torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(DataError, match="domain"):
        detector.loss(batch)
    batch.extra["domain"] = ["speech", "singing"]
    assert torch.isfinite(detector.loss(batch))


@pytest.mark.parametrize("name", ["uniaudio", "uniaudio_logmel", "uniaudio_mfcc", "uniaudio_w2v"])
def test_sixteen_real_clips_are_learnt_and_every_parameter_gets_a_gradient(name):
    detector = _small(name)
    data = real_clips.batch(detector, samples=16_000)
    reached = real_clips.with_gradient(detector.eval(), detector.loss(data))
    left = {key for key, _ in detector.named_parameters()} - reached
    assert not {key for key in left if not key.endswith(("masked_spec_embed", "k_proj.bias"))}
    assert real_clips.steps_to_learn(detector, data, lr=1e-3, at_most=100) is not None
