"""LFCC-LCNN, LCNN-S and ASDG-S against the references; the NII release's weights on real speech."""

import numpy as np
import pytest
import torch

from benchmark import detectors, settings
from benchmark.batch import Batch
from benchmark.detectors._losses import P2sGrad
from benchmark.detectors.asdg import random_triplet_loss
from features import extractors
from ingest.types import DataError

FILE = "LFCC-LCNN_lstmsum_sig_fft512"


@pytest.fixture(scope="module")
def released(golden):
    model = detectors.build("lfcc_lcnn", preset="lcnn_fft512").eval()
    assert model.load_weights(golden.root / "weights" / f"{FILE}.pt").loaded == 60
    return model, extractors.get("lfcc", **model.input.params)


def test_released_weights_on_noise_tone_and_speech(released, golden):
    model, extractor = released
    clips = {
        "noise": golden.waves[0],
        "harmonic": golden.waves[1],
        "speech": golden.speech("asvspoof2015_D18_1000001"),
        "libri_real": golden.speech("libritts_11463_real_a")[:64_600],
        "libri_vocoded": golden.speech("libritts_11463_vocoded_a")[:64_600],
    }
    for name, wave in clips.items():
        with torch.inference_mode():
            score = float(model.score(extractor.extract(wave.unsqueeze(0))))
        assert score == pytest.approx(golden.summary[FILE][name]["logit"], abs=2e-4), name


def test_state_dict_is_that_of_the_release(released, golden):
    state = released[0].state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == [row[1:3] for row in golden.table(FILE)]


def test_frozen_front_end_is_ours(golden):
    told = np.load(golden.root / "LFCC-LCNN_frontend_golden.npz")
    for preset, suffix in (("lcnn2021", "2021"), ("lcnn_fft512", "2019mega")):
        front = detectors.build("lfcc_lcnn", preset=preset).m_frontend[0]
        np.testing.assert_allclose(front.lfcc_fb, told[f"fb_{suffix}"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(front.l_dct.weight, told[f"dct_{suffix}"], rtol=0, atol=1e-6)


def test_weights_of_another_front_end_name_the_setting(golden):
    with pytest.raises(DataError, match="try --set preset=lcnn_fft512"):
        detectors.build("lfcc_lcnn").load_weights(golden.root / "weights" / f"{FILE}.pt")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_released_weights_load_in_any_precision(golden, tmp_path, kind):
    """The fixed tables of the file are rounded, too, and ours take their place."""
    path = golden.root / "weights" / "LFCC-LCNN_lstmsum_sig_fft512.pt"
    state = torch.load(path, map_location="cpu", weights_only=True)
    torch.save({key: value.to(kind) for key, value in state.items()}, tmp_path / "w.pt")
    model = detectors.build("lfcc_lcnn", preset="lcnn_fft512")
    table = model.m_frontend[0].lfcc_fb.clone()
    assert model.load_weights(tmp_path / "w.pt").loaded == 60
    assert torch.equal(model.m_frontend[0].lfcc_fb, table)


def test_challenge_network(golden):
    model, told = golden.build("LFCC-LCNN-2021", "lfcc_lcnn"), golden.summary["LFCC-LCNN-2021"]
    features = np.load(golden.root / "LFCC-LCNN_frontend_golden.npz")
    for name in ("noise", "speech"):
        x = torch.from_numpy(features[f"lfcc60_2021_{name}"]).unsqueeze(0)
        with torch.inference_mode():
            np.testing.assert_allclose(model.embed(x)[0], told[name]["pooled"], rtol=0, atol=1e-4)
            assert float(model.score(x)) == pytest.approx(told[name]["logit"], abs=1e-4)


def test_a_clip_shorter_than_the_poolings_is_scored():
    model = detectors.build("lfcc_lcnn").eval()
    with torch.inference_mode():
        assert bool(model.score(torch.randn(3, 2, 60)).isfinite().all())


def test_p2sgrad_by_hand():
    """Directions (3, 0) and (0, 5): (3, 4) has the cosines 0.6 and 0.8, (-1, 0) has -1 and 0."""
    head = P2sGrad(2)
    head.weight.data = torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    embedding = torch.tensor([[3.0, 4.0], [-1.0, 0.0]])
    torch.testing.assert_close(head.cosines(embedding), torch.tensor([[0.6, 0.8], [-1.0, 0.0]]))
    loss = head(embedding, torch.tensor([1, 0]))
    assert loss.item() == pytest.approx((0.6**2 + 0.2**2 + 2**2 + 0**2) / 4)


def test_p2sgrad_form_has_the_names_of_the_release_and_learns_the_sign():
    torch.manual_seed(0)
    model = detectors.build("lfcc_lcnn", loss="p2sgrad")
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert shapes["m_output_act.0.weight"] == [64, 96] and shapes["m_angle.0.weight"] == [64, 2]
    target = torch.tensor([0, 1] * 4)
    batch = Batch(x=torch.randn(8, 64, 60) + 3 * (target[:, None, None] - 0.5), target=target, utt_id=[""] * 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    with torch.inference_mode():
        scores = model.eval().score(batch.x)
    assert scores[target == 1].min() > scores[target == 0].max() and scores.abs().max() <= 1


@torch.inference_mode()
def test_p2sgrad_form_sums_over_time_where_the_sigmoid_form_takes_the_mean():
    """The models of the study, project 03-asvspoof-mega of the release: of lfcc-lcnn-lstmsum-*, sig alone averages."""
    model, plain = detectors.build("lfcc_lcnn", loss="p2sgrad").eval(), detectors.build("lfcc_lcnn").eval()
    shared = {k: v for k, v in plain.state_dict().items() if not k.startswith("m_output_act.")}
    model.load_state_dict(shared, strict=False)
    x = torch.randn(2, 5 * 16 + 3, 60)
    summed = 5 * plain.embed(x)
    torch.testing.assert_close(model.embed(x), summed)
    cosines = torch.nn.functional.cosine_similarity(model.m_output_act[0](summed), model.m_angle[0].weight[:, 1], dim=1)
    torch.testing.assert_close(model.score(x), cosines)


def test_an_unknown_loss_is_named():
    with pytest.raises(DataError, match="p2sgrad"):
        detectors.build("lfcc_lcnn", loss="p2sgard")


def test_lcnn_s(golden):
    model, told = golden.build("LCNN-S", "lfcc_lcnn_s"), golden.arrays("LCNN-S")
    x = extractors.get("lfcc", **model.input.params).extract(golden.waves[:, :48_000])
    np.testing.assert_allclose(x[0].T, told["lfcc_noise"], rtol=0, atol=1e-2)
    with torch.inference_mode():
        np.testing.assert_allclose(model.embed(x), told["embedding"], rtol=1e-3, atol=0.1)
        np.testing.assert_allclose(model.score(x), told["logit"][:, 0], rtol=1e-3)


def test_asdg(golden):
    model, told = golden.build("ASDG-S", "asdg"), golden.arrays("ASDG-S")
    x = extractors.get("lfcc", **model.input.params).extract(golden.waves[:, :48_000])
    np.testing.assert_allclose(x[0].T, told["lfcc_noise"], rtol=0, atol=1e-2)
    with torch.inference_mode():
        embedding = model.embed(x)
        np.testing.assert_allclose(embedding, told["embedding"], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(model.score(x), told["logit"][:, 0], rtol=1e-3)
        np.testing.assert_allclose(model.domain_logits(embedding), told["domain_logits"], rtol=1e-3, atol=1e-6)


def test_triplet_loss_by_hand():
    """Two real clips at 0 and 3, one fake at 1: |0 - 3| - |0 - 1| + .1, |3 - 0| - |3 - 1| + .1, and for the fake,
    which is alone, 0 - (its distance to the real one drawn) + .1 < 0: mean of 2.1, 1.1 and 0."""
    loss = random_triplet_loss(torch.tensor([[0.0], [3.0], [1.0]]), torch.tensor([-1, -1, 0]), margin=0.1)
    assert float(loss) == pytest.approx((2.1 + 1.1) / 3, abs=1e-5)


def test_domain_gradient_is_reversed_with_growing_strength():
    model = detectors.build("asdg")
    embedding = torch.randn(4, 512, requires_grad=True)

    def gradient(progress):
        model.progress = progress
        (out,) = torch.autograd.grad(model.domain_logits(embedding)[:, 0].sum(), embedding)
        return out

    forward = model.fc_domain.weight[0].detach()
    assert bool((gradient(0.0) == 0).all())
    torch.testing.assert_close(gradient(1.0)[0], -forward * 0.9999092, rtol=1e-4, atol=1e-6)


def test_domain_loss_sees_bona_fide_only():
    """The domain head's gradient does not depend on the spoofs' domains when the triplet term is out of the way."""
    torch.manual_seed(0)
    model = detectors.build("asdg").eval()
    x, target = torch.randn(4, 40, 80), torch.tensor([1, 1, 0, 0])
    grads = []
    for spoof in ("en", "es"):
        model.zero_grad()
        model.loss(Batch(x, target, list("abcd"), {"language": ["en", "de", spoof, spoof]})).backward()
        grads.append(model.fc_domain.bias.grad.clone())
    torch.testing.assert_close(*grads)
    assert float(grads[0].abs().max()) > 0


def test_a_batch_without_its_domain_column_is_refused():
    model = detectors.build("asdg", domain_column="corpus", domains=["a", "b"])
    with pytest.raises(DataError, match="needs the column corpus"):
        model.loss(Batch(torch.randn(2, 40, 80), torch.tensor([0, 1]), ["a", "b"], {"language": ["en", "en"]}))


def test_any_better_validation_loss_is_a_gain():
    how = settings.resolve("lfcc_lcnn", {}, clip=None, weights=None).training
    assert (how.min_delta, how.patience, how.selection) == (0.0, 50, "loss")
    assert settings.resolve("asdg", {}, clip=None, weights=None).training.balance == "oversample"
