"""_ssl.py: configurations, the three namings of weight files, what is frozen."""

import argparse
import json

import pytest
import torch
import torchaudio
from safetensors.torch import save_file

from benchmark import detectors
from benchmark.detectors import _pretrained, _ssl
from ingest.types import DataError

WAVE = 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))


def _small(architecture="xls-r-300m", **config):
    torch.manual_seed(0)
    return _ssl.Backbone(architecture, "random", detector="test", small=True, config=config).eval()


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [("wav2vec2-base-960h", 94_371_712), ("wavlm-base", 94_381_936), ("xls-r-300m", 315_438_720)],
)
def test_full_size_parameters(architecture, parameters):
    with torch.device("meta"):
        backbone = _ssl.Backbone(architecture, "random", detector="test")
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    assert backbone.model.config.apply_spec_augment is False


@pytest.mark.parametrize(("samples", "frames"), [(48_000, 149), (64_000, 199), (64_600, 201)])
@torch.inference_mode()
def test_frames(samples, frames):
    assert _small()(torch.zeros(1, samples)).shape == (1, frames, 32)


def test_a_run_records_the_dropouts_and_masking_of_its_backbone():
    still, plain = (detectors.build(name, **detectors.get(name).SMALL) for name in ("rat", "w2v2_ft"))
    told = _ssl.configuration(still)
    assert (told["model_type"], told["hidden_size"], told["num_hidden_layers"]) == ("wav2vec2", 32, 3)
    assert told["apply_spec_augment"] is False and told["layerdrop"] == told["hidden_dropout"] == 0
    assert _ssl.configuration(plain)["layerdrop"] == 0.1  # the hub's own value
    assert _ssl.configuration(detectors.build("mean_pool")) is None


def _torchaudio_twin(backbone):
    """torchaudio's own network with the small configuration; its state dict has torchaudio's names."""
    torch.manual_seed(7)
    return torchaudio.models.wav2vec2_model(
        extractor_mode="layer_norm", extractor_conv_bias=True,
        extractor_conv_layer_config=[(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2],
        encoder_embed_dim=32, encoder_projection_dropout=0.0, encoder_pos_conv_kernel=16, encoder_pos_conv_groups=4,
        encoder_num_layers=3, encoder_num_heads=4, encoder_attention_dropout=0.0, encoder_ff_interm_features=64,
        encoder_ff_interm_dropout=0.0, encoder_dropout=0.0, encoder_layer_norm_first=True, encoder_layer_drop=0.0,
        aux_num_out=None,
    ).eval()  # fmt: skip


@torch.inference_mode()
def test_a_torchaudio_file_gives_torchaudios_layer_outputs(tmp_path):
    backbone = _small()
    twin = _torchaudio_twin(backbone)
    path = tmp_path / "wav2vec2_xlsr_300m.pth"
    torch.save({f"model.{key}": value for key, value in twin.state_dict().items()}, path)
    report = backbone.load(path)
    assert (report.loaded, report.missing) == (len(twin.state_dict()), ("masked_spec_embed",))
    # torchaudio hands out the raw output of every layer when the norms stand in front
    outputs, _ = twin.extract_features(WAVE)
    torch.testing.assert_close(backbone.layer_outputs(WAVE), torch.stack(outputs), rtol=1e-4, atol=1e-5)


def _fairseq_names(state):
    """transformers -> fairseq, the other way round than the code does it, by plain replacement."""
    pairs = [
        ("feature_projection.layer_norm", "layer_norm"), ("feature_projection.projection", "post_extract_proj"),
        ("pos_conv_embed.conv.parametrizations.weight.original0", "pos_conv.0.weight_g"),
        ("pos_conv_embed.conv.parametrizations.weight.original1", "pos_conv.0.weight_v"),
        ("pos_conv_embed.conv.bias", "pos_conv.0.bias"), ("masked_spec_embed", "mask_emb"),
        ("feed_forward.intermediate_dense", "fc1"), ("feed_forward.output_dense", "fc2"),
        (".attention.", ".self_attn."),
    ]  # fmt: skip
    named = {}
    for key, value in state.items():
        name = key
        if "encoder.layers" in name and "final" not in name:
            name = name.replace(".layer_norm.", ".self_attn_layer_norm.")
        if name.startswith("feature_extractor"):
            name = name.replace(".conv.", ".0.").replace(".layer_norm.", ".2.1.")
        for ours, theirs in pairs:
            name = name.replace(ours, theirs)
        named[name] = value
    return named


def test_a_fairseq_file_loads_and_its_pre_training_parts_are_left_out(tmp_path):
    source, backbone = _small(), _small()
    torch.nn.init.normal_(source.model.encoder.layers[2].attention.k_proj.weight)
    named = _fairseq_names(source.model.state_dict())
    assert "encoder.layers.0.self_attn_layer_norm.weight" in named
    assert "feature_extractor.conv_layers.0.2.1.weight" in named
    beside = {"quantizer.vars": torch.ones(1), "project_q.weight": torch.ones(1), "final_proj.bias": torch.ones(1)}
    content = {"model": {**named, **beside}, "cfg": {"a": 1}, "args": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "xlsr2_300m.pt")
    report = backbone.load(tmp_path / "xlsr2_300m.pt")
    assert (report.loaded, report.missing, report.unexpected) == (len(named), (), tuple(beside))
    for key, value in source.model.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[key], value), key


def test_a_wavlm_file_of_its_authors_loads(tmp_path):
    """It lacked its gates and relative positions, whose names are the authors' own."""
    source, backbone = _small("wavlm-base"), _small("wavlm-base")
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter)
    own = {
        "rel_attn_embed": "relative_attention_bias",
        "gru_rel_pos_linear": "grep_linear",
        "gru_rel_pos_const": "grep_a",
    }
    named = {}
    for key, value in _fairseq_names(source.model.state_dict()).items():
        for name, theirs in own.items():
            key = key.replace(f".{name}", f".{theirs}")
        named[key] = value
    assert {"encoder.layers.0.self_attn.grep_a", "encoder.layers.2.self_attn.grep_linear.bias"} <= named.keys()
    torch.save({"model": named, "cfg": {"normalize": False}}, tmp_path / "WavLM-Base.pt")
    assert backbone.load(tmp_path / "WavLM-Base.pt").missing == ()
    with torch.inference_mode():
        assert torch.equal(backbone(WAVE), source(WAVE))


def test_the_recogniser_of_fairseq_behind_the_hub_s_base_960h_loads_without_its_letters(tmp_path):
    source, backbone = (_small("wav2vec2-base-960h") for _ in range(2))
    torch.nn.init.normal_(source.model.encoder.layers[2].attention.k_proj.weight)
    named = {k.replace(".0.2.1.", ".0.2."): v for k, v in _fairseq_names(source.model.state_dict()).items()}
    state = {f"w2v_encoder.w2v_model.{key}": value for key, value in named.items()}
    letters = {"w2v_encoder.proj.weight": torch.ones(32, 4), "w2v_encoder.proj.bias": torch.ones(32)}
    torch.save({"args": argparse.Namespace(lr=1), "model": {**state, **letters}}, tmp_path / "wav2vec_small_960h.pt")
    report = backbone.load(tmp_path / "wav2vec_small_960h.pt")
    assert (report.loaded, report.missing, report.unexpected) == (len(named), (), tuple(letters))
    for key, value in source.model.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[key], value), key


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
@torch.inference_mode()
def test_a_hub_folder_loads_with_its_own_configuration(tmp_path, kind):
    source = _small({"wav2vec2": "wav2vec2-base", "wavlm": "wavlm-base"}[kind])
    config = source.model.config.to_dict() | {"apply_spec_augment": True}
    (tmp_path / "config.json").write_text(json.dumps(config, default=str))
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for key, value in source.model.state_dict().items():
        for new, before in old.items():
            key = key.replace(new, before)
        state[f"{kind}.{key}"] = value.clone()
    save_file({**state, "lm_head.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    known = {"wav2vec2": "wav2vec2-base-960h", "wavlm": "wavlm-base"}[kind]
    loaded = _ssl.Backbone(known, str(tmp_path), detector="test").eval()
    assert loaded.model.config.apply_spec_augment is False
    torch.testing.assert_close(loaded(WAVE), source(WAVE))
    assert _pretrained.began_from(loaded) == tmp_path / "model.safetensors"
    assert _pretrained.began_from(source) is None
    assert _pretrained.hashes(tmp_path)[-1:] == _pretrained.hashes(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"model_type": "wav2vec2",', r"config\.json is not JSON"), ("", r"config\.json is not JSON"),
        ("[1]", "is no configuration of a model"), ('{"hidden_size": "x"}', "no model can be built with its config.json"),
    ],
)  # fmt: skip
def test_a_damaged_configuration_is_refused_in_one_line(tmp_path, config, message):
    """It ended in a traceback: of JSON, or of whatever transformers raises."""
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(DataError, match=message) as caught:
        _ssl.Backbone("wav2vec2-base", str(tmp_path), detector="test")
    assert "\n" not in str(caught.value)


def test_a_folder_without_its_weights_says_what_to_do(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2", **_ssl.SMALL}))
    with pytest.raises(
        DataError, match=r"neither model\.safetensors nor pytorch_model\.bin; download the whole folder"
    ):
        _ssl.Backbone("wav2vec2-base", str(tmp_path), detector="test")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(DataError, match=r"parts of one \(model\.safetensors\.index\.json\), which are not read"):
        _ssl.Backbone("wav2vec2-base", str(tmp_path), detector="test")


def test_a_path_below_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(_small().model.state_dict(), tmp_path / "xlsr2_300m.pt")
    with pytest.raises(DataError, match=rf"^{tmp_path}/xlsr2_300m\.pt does not fit"):  # of the small one
        _ssl.Backbone("wav2vec2-base", "~/xlsr2_300m.pt", detector="test")


def test_what_was_taken_from_a_file_is_said(tmp_path, capsys):
    """A file without what a detector needs is refused; what it lacks beside, and has beside, is counted."""
    source = _small("wav2vec2-base-960h")
    (tmp_path / "config.json").write_text(json.dumps(source.model.config.to_dict(), default=str))
    state = {f"wav2vec2.{key}": value for key, value in source.model.state_dict().items() if "masked" not in key}
    save_file({**state, "lm_head.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    detectors.build("w2v2_ft", weights=str(tmp_path))
    assert capsys.readouterr().err == (
        f"w2v2_ft: {tmp_path}/model.safetensors: {len(state)} entries loaded, "
        "1 missing (as built; first: masked_spec_embed), 1 unexpected (left out; first: lm_head.weight)\n"
    )


def test_a_file_that_lacks_a_layer_or_is_no_backbone_is_refused(tmp_path):
    backbone = _small()
    state = backbone.model.state_dict()
    state.pop("encoder.layers.1.feed_forward.output_dense.bias")
    torch.save(state, tmp_path / "short.pt")
    with pytest.raises(DataError, match=r"1 missing \(first: encoder\.layers\.1\.feed_forward\.output_dense\.bias\)"):
        backbone.load(tmp_path / "short.pt")
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(DataError, match=r"no wav2vec 2\.0 or WavLM backbone"):
        backbone.load(tmp_path / "other.pt")


def test_absent_weights_name_the_files_and_the_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(_ssl, "_hub_cache", lambda name: None)
    with pytest.raises(DataError, match=r"facebook/wav2vec2-xls-r-300m.*xlsr2_300m\.pt.*--set weights=PATH"):
        _ssl.Backbone("xls-r-300m", None, detector="rat")
    with pytest.raises(DataError, match=r"weights=nowhere does not exist"):
        _ssl.Backbone("xls-r-300m", "nowhere", detector="rat")
    with pytest.raises(DataError, match="set weights=random too"):
        _ssl.Backbone("xls-r-300m", None, detector="rat", small=True)


def test_a_hub_model_that_was_never_fetched_is_not_looked_for_online(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert _ssl._hub_cache("facebook/wav2vec2-base-960h") is None


def test_a_frozen_backbone_stays_in_evaluation_mode_without_gradient():
    backbone = _small(layerdrop=0.0).requires_grad_(False).train()
    assert not any(part.training for part in backbone.model.modules())
    assert not backbone(WAVE).requires_grad
    for parameter in backbone.model.encoder.layers[2].parameters():
        parameter.requires_grad_(True)
    backbone.train()
    assert backbone.model.encoder.layers[2].training
    assert not backbone.model.encoder.layers[1].training
    assert not backbone.model.feature_extractor.training
    assert backbone(WAVE).requires_grad


def test_layer_outputs_are_taken_before_the_final_norm():
    backbone = _small()
    outputs = backbone.layer_outputs(WAVE)
    assert outputs.shape == (3, 2, 24, 32)
    torch.testing.assert_close(backbone.model.encoder.layer_norm(outputs[-1]), backbone(WAVE))
