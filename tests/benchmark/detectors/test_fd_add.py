import json

import pytest
import real_clips
import torch
from golden_formula import golden, params, tensor, waves
from shared_data import shared

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors import _decomposition as terms
from benchmark.detectors import fd_add
from benchmark.detectors._losses import focal
from features import extractors
from ingest.types import DataError

EXACT = {"rtol": 1e-4, "atol": 1e-4}
LABELS = {"speed": [5, 0] * 8, "compression": [0, 9] * 8}
CONTENT, SYNTHESIZER = "feature_model.model.layer4.", "feature_model.layer4_copy."


def _values() -> dict:
    return json.loads(shared("golden", "detectors-b", "fd_add_losses", "values.json").read_text())


def _small(**config):
    torch.manual_seed(0)
    return detectors.build("fd_add", weights="random", width=8, attacks=["a", "b"], **config).train()


def _batch(detector, rows: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 65, 65, generator=generator)
    target = torch.arange(rows) % 2
    attack = [None if t else "ab"[i % 4 // 2] for i, t in enumerate(target.tolist())]
    extra = {"attack": attack, **{key: value[:rows] for key, value in LABELS.items()}}
    return Batch(x, target, [str(i) for i in range(rows)], extra)


@torch.inference_mode()
def test_the_network_reproduces_the_reference_from_the_wave():
    state, count = params("fd_add")
    detector = detectors.build("fd_add", weights="random").eval()
    detector.load_state_dict(state)
    assert sum(p.numel() for p in detector.parameters()) == count == 19_581_922
    x = extractors.get(detector.input.feature, **detector.input.params).extract(waves(48_000))
    torch.testing.assert_close(
        x.transpose(1, 2)[:, None, ::8, ::8], golden("fd_add", "logspec_persample_norm"), **EXACT
    )
    f = detector.features(x)
    found = {
        "hidden_channel_mean": f.hidden.mean((2, 3)),
        "content_feature": f.content,
        "vocoder_feature": f.synthesizer,
        "feature": torch.cat([f.content, f.synthesizer], 1),
        "speed_logit": detector.cls_speed(f.content),
        "compression_logit": detector.cls_compression(f.content),
        "vocoder_logit": detector.cls_voc(f.synthesizer),
        "content_voc_logit": detector.cls_voc(f.content),
        "logit": detector.score(x),
    }
    for name, value in found.items():
        torch.testing.assert_close(value, golden("fd_add", name), **EXACT, msg=lambda m, name=name: f"{name}: {m}")


def test_the_losses_have_the_values_of_the_formulas():
    expected = _values()
    synthesizer, content = tensor(6 * 512, 9500, 6, 512) + 0.4, tensor(6 * 512, 9501, 6, 512) + 0.2
    y, y_s = torch.tensor(expected["y_real1"]), torch.tensor(expected["y_s"])
    for alpha, name in ((0.4, "0p4"), (0.1, "0p1")):
        eq5 = terms.contrastive(synthesizer, y_s, alpha=alpha)
        eq11 = terms.contrastive(torch.cat([content, synthesizer], 1), y, alpha=alpha)
        assert float(eq5) == pytest.approx(expected[f"CL_eq5_alpha{name}"], abs=1e-6)
        assert float(eq11) == pytest.approx(expected[f"CL_eq11_alpha{name}"], abs=1e-6)
    assert float(terms.against_uniform(tensor(42, 9504, 6, 7))) == pytest.approx(
        expected["adv_uniform_ce_mean"], abs=1e-6
    )
    assert float(terms.against_uniform(torch.zeros(3, 7))) == pytest.approx(expected["adv_minimum_ln7"], abs=1e-6)


def test_the_authors_contrast_is_of_distances_with_its_roles_inverted():
    features = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]], requires_grad=True)
    label = torch.tensor([1, 1, 2])
    root = 2**0.5  # between the directions of rows 0 and 1, and of 1 and 2; 2 between 0 and 2
    expected = (3 * 2.5 + 2 * (2.5 - root) + 2 * root + 2 * 2) / 9
    value = terms.contrastive_of_authors(features, label)
    torch.testing.assert_close(value, torch.tensor(expected))
    value.backward()
    assert features.grad.isfinite().all()


def test_shuffle_is_real_only_if_both_are_and_focal_weighs_both_classes():
    expected = _values()
    y = torch.tensor(expected["y_real1"])
    y_star = y * y[expected["shuffle_permutation_j_for_Fs"]]
    assert y_star.tolist() == expected["y_star"]
    logits = 3 * tensor(6, 9503)
    assert float(focal(logits, y_star)) == pytest.approx(expected["focal_standard_alpha_t_mean"], abs=1e-6)
    one_sided = focal(logits, y_star, two_sided=False)
    assert float(one_sided) == pytest.approx(expected["focal_constant_alpha_mean"], abs=1e-6)
    real = y_star == 1  # the printed formula has the term of the positive class alone
    positive = float(focal(logits[real], y_star[real], two_sided=False)) * int(real.sum()) / len(y_star)
    assert positive == pytest.approx(expected["focal_positive_term_only_mean"], abs=1e-6)


def test_blending_follows_algorithm_1():
    how = _values()["blend"]
    feature = tensor(6 * 512, 9500, 6, 512) + 0.4
    z = terms.blend(feature[:1], feature[3:4], how["r"])
    torch.testing.assert_close(z[0], golden("fd_add_losses", "blend_without_noise"), rtol=1e-5, atol=1e-5)
    z = terms.perturb(
        z, scale=how["r1"] * how["beta1"], uniform=tensor(512, 9505),
        shift=how["r2"] * how["beta2"], normal=1.7 * tensor(512, 9506),
    )  # fmt: skip
    torch.testing.assert_close(z[0], golden("fd_add_losses", "blend_with_noise"), rtol=1e-5, atol=1e-5)


def test_partners_come_from_the_same_class_and_noise_stays_within_eta():
    target = torch.tensor([1, 0, 1, 0, 0, 1, 0])
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        order = terms.permutation_within(target, generator)
        assert sorted(order.tolist()) == list(range(7))
        assert torch.equal(target[order], target)
    z = torch.ones(7, 512) + torch.arange(512) / 512
    noisy = terms.augment(z, target, style=False, eta=0.1, generator=generator)
    assert 0 < float((noisy - z).abs().max()) < 0.1 * (2 + 5)  # scale: at most eta of |z|; shift: eta times a normal
    assert torch.equal(terms.augment(z, target, style=False, eta=0.0, generator=generator), z)


def test_the_adversarial_loss_reaches_the_content_stage_and_nothing_else():
    detector = _small()
    hidden = detector.features(_batch(detector).x).hidden
    reached = real_clips.with_gradient(detector, detector.adversarial_loss(hidden))
    assert reached
    assert all(name.startswith(CONTENT) for name in reached)
    assert reached == {name for name, _ in detector.named_parameters() if name.startswith(CONTENT)}


def test_the_adversarial_loss_leaves_all_other_gradients_as_they_were():
    gradients = []
    for adversarial in (True, False):
        detector = _small(adversarial=adversarial, dropout=0.0, blending="none", shuffle=False, mask=False)
        detector.loss(_batch(detector)).backward()
        gradients.append({name: p.grad for name, p in detector.named_parameters()})
    for name, gradient in gradients[0].items():
        same = torch.equal(gradient, gradients[1][name])
        assert same != name.startswith(CONTENT), name


def test_the_second_pass_can_leave_the_running_statistics_alone():
    counts = {}
    for frozen in (False, True):
        detector = _small(frozen_statistics=frozen)
        detector.loss(_batch(detector))
        counts[frozen] = int(detector.feature_model.model.layer4[0].bn1.num_batches_tracked)
        assert detector.feature_model.model.layer4.training
    assert counts == {False: 2, True: 1}


def test_every_parameter_is_trained_by_the_whole_loss():
    detector = _small()
    reached = real_clips.with_gradient(detector, detector.loss(_batch(detector)))
    assert reached == {name for name, _ in detector.named_parameters()}


EVERY_TERM = {
    "class", "class_contrastive", "augmentation", "synthesizer", "synthesizer_contrastive", "speed", "compression",
    "adversarial",
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "gone"),
    [
        ({}, set()),
        ({"shuffle": False}, {"augmentation"}),
        ({"adversarial": False}, {"adversarial"}),
        ({"pseudo_labels": "none"}, {"speed", "compression"}),
        ({"synthesizer_contrastive": "none"}, {"synthesizer_contrastive"}),
        ({"synthesizer_contrastive": "authors"}, set()),
        ({"blending": "noise_only"}, set()),
        ({"blending": "none"}, set()),
        ({"streams": "single"}, EVERY_TERM - {"class", "class_contrastive"}),
        ({"streams": "content"}, {"augmentation", "synthesizer", "synthesizer_contrastive", "adversarial"}),
        ({"streams": "synthesizer"}, {"augmentation", "speed", "compression", "adversarial"}),
    ],
)
def test_every_term_can_be_switched_off(config, gone):
    detector = _small(**config)
    found = detector.losses(_batch(detector))
    assert set(found) == EVERY_TERM - gone
    reached = real_clips.with_gradient(detector, detector.loss(_batch(detector)))
    unused = {name for name, _ in detector.named_parameters()} - reached
    assert not any(not name.startswith(("cls_speed", "cls_compression")) for name in unused)
    assert detector.eval().score(_batch(detector).x).shape == (16,)


def test_equation_14_weighs_the_terms():
    weights = {
        name: weight for name, (weight, _) in _small(b0=2.0, b1=3.0, b2=5.0, b3=7.0).losses(_batch(None)).items()
    }
    assert weights == {
        "class": 1.0, "augmentation": 2.0, "synthesizer": 3.0, "synthesizer_contrastive": 1.5, "speed": 5.0,
        "compression": 5.0, "adversarial": 5.0, "class_contrastive": 7.0,
    }  # fmt: skip


def test_synthesizer_labels_are_the_order_of_the_attacks_and_zero_for_bona_fide():
    detector = _small()
    batch = Batch(torch.zeros(3, 1), torch.tensor([1, 0, 0]), ["x", "y", "z"], {"attack": [None, "b", "a"]})
    assert detector.synthesizer_labels(batch).tolist() == [0, 2, 1]
    assert detector.cls_voc.weight().shape == (3, 64)
    batch.extra["attack"][2] = "c"
    with pytest.raises(DataError, match=r"1 attacks.*first: c; known: a, b"):
        detector.synthesizer_labels(batch)


def test_training_says_what_the_batch_lacks():
    detector, batch = _small(), _batch(None)
    del batch.extra["speed"]
    with pytest.raises(DataError, match=r"on speed and the batch has none.*pseudo_labels=none"):
        detector.loss(batch)
    del batch.extra["attack"]
    with pytest.raises(DataError, match="attack of every training trial"):
        detector.loss(batch)
    with pytest.raises(DataError, match="did you mean style"):
        _small(blending="styl")


def test_only_convolution_weights_decay_unless_told_otherwise():
    detector = _small()
    decayed, kept = detector.parameter_groups(1e-5)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (1e-5, 0.0)
    assert {p.ndim for p in decayed["params"]} == {4}
    assert len(decayed["params"]) + len(kept["params"]) == len(list(detector.parameters()))
    assert len(_small(decay="all").parameter_groups(0.01)) == 1
    assert _small(decay="all").TRAINING["weight_decay"] == 0.01


def test_both_streams_start_from_the_published_last_stage(tmp_path):
    source = detectors.build("wav2clip", weights="random", width=8)
    state = {f"audio_{key}": value for key, value in source.state_dict().items() if not key.startswith("head")}
    torch.save({**state, "audio_encoder.spectrogram.window": torch.ones(512)}, tmp_path / "Wav2CLIP.pt")
    detector = detectors.build("fd_add", weights=str(tmp_path / "Wav2CLIP.pt"), width=8)
    for prefix in (CONTENT, SYNTHESIZER):
        assert torch.equal(detector.state_dict()[f"{prefix}0.conv1.weight"], source.encoder.layer4[0].conv1.weight)
    report = detector.load_weights(tmp_path / "Wav2CLIP.pt")
    assert report.loaded == len(detector.state_dict()) - len(report.missing)
    assert all(name.startswith("cls_") for name in report.missing)
    assert all(name.startswith("transform.") for name in report.unexpected)


def test_sixteen_real_clips_are_learnt():
    detector = _small()
    data = real_clips.batch(detector, extra=LABELS)
    assert real_clips.steps_to_learn(detector, data, lr=1e-3, at_most=80) is not None


def test_pitch_instead_of_pseudo_labels_by_hand():
    predicted = torch.tensor([[0.0, 0.02, 0.0], [0.01, 0.0, 0.0]])
    hz = torch.tensor([[90.0, 180.0, 0.0], [0.0, 0.0, 0.0]]).unsqueeze(2)
    assert float(fd_add.f0_error(predicted, hz)) == pytest.approx(2 * 0.01**2 / 6)  # unvoiced points count as 0 Hz


def test_table_xii_is_a_setting_that_the_loader_feeds():
    from benchmark import feeds

    detector = _small(pseudo_labels="f0")
    feed = feeds.of(detector, train=True)
    assert feed.variants is None and list(feed.companions) == ["f0"]
    f0 = feed.companions["f0"].extract(waves(48_000))
    assert f0.shape == (2, 192, 1)
    batch = _batch(detector, rows=2)
    batch.extra["f0"] = f0
    reached = real_clips.with_gradient(detector, detector.losses(batch)["f0"][1])
    assert "cls_f0.weight_v" in reached and any(name.startswith(CONTENT) for name in reached)
    assert not any(name.startswith((SYNTHESIZER, "cls_voc", "cls_final")) for name in reached)
