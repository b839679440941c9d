import numpy as np
import pytest
import real_clips
import torch
from golden_formula import golden, params, r
from torch import nn

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors import _ssl

DEAD = {f"encoder.{block}.0.bn1.{part}" for block in range(1, 6) for part in ("weight", "bias")}
UNUSED = DEAD | {"ssl_model.model.masked_spec_embed"}


def _features() -> torch.Tensor:
    t, d = np.arange(201)[:, None], np.arange(1024)
    rows = [
        0.5 * r(201 * 1024, 5000 + b).reshape(201, 1024) + 0.5 * np.sin(0.05 * (b + 1) * t + 0.37 * d) for b in (0, 1)
    ]
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def _small(name="ssl_aasist", **config):
    torch.manual_seed(0)
    return detectors.build(name, weights="random", small=True, **config)


@torch.inference_mode()
def test_the_back_end_reproduces_the_reference():
    state, count = params("ssl_aasist_backend")
    detector = _small().eval()
    detector.LL = nn.Linear(1024, 128)
    backbone = {key: value for key, value in detector.state_dict().items() if key.startswith("ssl_model.")}
    detector.load_state_dict({**state, **backbone})
    assert count == 447_242 == sum(p.numel() for k, p in detector.named_parameters() if not k.startswith("ssl_model."))
    x = _features()
    close = {"rtol": 0, "atol": 2e-3}
    torch.testing.assert_close(x[:, :4], golden("ssl_aasist_backend", "ssl_features_first_frames"), rtol=0, atol=1e-5)
    found = {}
    detector.GAT_layer_S.register_forward_hook(lambda m, a, out: found.update(gat_S=out))
    torch.testing.assert_close(
        detector.encode(x).mean((2, 3)), golden("ssl_aasist_backend", "encoder_channel_mean"), **close
    )
    embedding, logits = detector.back_end(x)
    torch.testing.assert_close(found["gat_S"][:, ::6], golden("ssl_aasist_backend", "gat_S"), **close)
    torch.testing.assert_close(embedding, golden("ssl_aasist_backend", "last_hidden"), **close)
    torch.testing.assert_close(logits, golden("ssl_aasist_backend", "logits"), **close)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_published_trained_files_load(tmp_path, prefix):
    """best_SSL_model_LA.pth has fairseq's names under ssl_model.model, the DF file `module.` in front of all."""
    source = _small()
    renamed = {
        "feature_projection.layer_norm": "layer_norm", "feature_projection.projection": "post_extract_proj",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0": "encoder.pos_conv.0.weight_g",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original1": "encoder.pos_conv.0.weight_v",
        "encoder.pos_conv_embed.conv.bias": "encoder.pos_conv.0.bias", "masked_spec_embed": "mask_emb",
    }  # fmt: skip
    state = {"ssl_model.model.quantizer.vars": torch.ones(1), "ssl_model.model.final_proj.weight": torch.ones(1)}
    for key, value in source.state_dict().items():
        for ours, theirs in renamed.items():
            key = key.replace(ours, theirs)
        state[key] = value
    torch.save({f"{prefix}{key}": value for key, value in state.items()}, tmp_path / "best_SSL_model_LA.pth")
    torch.manual_seed(5)
    detector = detectors.build("ssl_aasist", weights="random", small=True)
    report = detector.load_weights(tmp_path / "best_SSL_model_LA.pth")
    assert report.loaded == len(source.state_dict())
    for key, value in source.state_dict().items():
        assert torch.equal(detector.state_dict()[key], value), key


def test_full_size_and_recipes():
    with torch.device("meta"):
        detector = detectors.build("ssl_aasist", weights="random")
    assert sum(p.numel() for p in detector.parameters()) == 315_438_720 + 447_242
    assert _small(recipe="LA").TRANSFORM == "rawboost_5"
    assert _small(recipe="DF").TRANSFORM == "rawboost_3"
    assert all(detector.ssl_model.model.config.to_dict()[key] == 0 for key in _ssl.STILL)


def test_the_two_label_orders():
    """SingFake's class 1 is spoof: its score is minus that logit, and its loss sees the reversed target."""
    logits = torch.tensor([[1.0, 3.0]])
    for name, score in (("ssl_aasist", 3.0), ("singfake_w2v2_aasist", -3.0)):
        detector = _small(name)
        detector.embed = lambda wave: (None, logits)
        assert float(detector.score(torch.ones(1, 4))) == score
        losses = [float(detector.loss(Batch(torch.ones(1, 4), torch.tensor([t]), ["u"]))) for t in (0, 1)]
        assert (losses[1] < losses[0]) == (score > 0)


@pytest.mark.parametrize("name", ["ssl_aasist", "singfake_w2v2_aasist"])
def test_every_living_parameter_gets_a_gradient_and_real_clips_are_learnt(name):
    detector = _small(name)
    data = real_clips.batch(detector, samples=8_000)
    reached = real_clips.with_gradient(detector.eval(), detector.loss(data))
    left = {key for key, _ in detector.named_parameters()} - reached
    assert {key for key in left if not key.endswith("k_proj.bias")} <= UNUSED
    assert left >= DEAD
    assert real_clips.steps_to_learn(detector, data, lr=2e-3, at_most=100) is not None
