"""Self-supervised embeddings: shapes, layers, pooling, folders, and what is said without weights."""

import json

import pytest
import torch

from features import extractors
from features.extractors import ssl
from ingest.types import DataError

WAVE = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1))


def small(**params):
    return extractors.get("ssl", weights="random", **params)


@pytest.mark.parametrize("preset", sorted(extractors.presets("ssl")))
def test_every_architecture_gives_frames_of_its_width(preset):
    extractor = small(preset=preset)
    x = extractor.extract(WAVE)
    assert x.shape == (2, 49, extractor.dim) and x.dtype == torch.float32 and extractor.dim == 32
    torch.testing.assert_close(extractor.extract(WAVE[1:])[0], x[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(small(preset=preset).extract(WAVE), x)  # random weights are the same each time


@pytest.mark.parametrize("preset", sorted(extractors.presets("ssl")))
def test_layers_are_those_of_transformers(preset):
    extractor = small(preset=preset, normalise=False)
    with torch.no_grad():
        said = extractor.model(WAVE, output_hidden_states=True)
    for layer in range(3):
        torch.testing.assert_close(
            small(preset=preset, normalise=False, layer=layer).extract(WAVE), said.hidden_states[layer]
        )
    torch.testing.assert_close(extractor.extract(WAVE), said.last_hidden_state)
    assert len({small(preset=preset, layer=layer).key for layer in (-1, 0, 1, 2, 3)}) == 5


@pytest.mark.parametrize("preset", sorted(extractors.presets("ssl")))
def test_listed_layers_lie_side_by_side_in_that_order(preset):
    several = small(preset=preset, layers="3,0,-1")
    x = several.extract(WAVE)
    assert several.dim == x.shape[2] == 3 * 32
    alone = [small(preset=preset, layer=layer).extract(WAVE) for layer in (3, 0, -1)]
    torch.testing.assert_close(x, torch.cat(alone, dim=2))
    pooled = small(preset=preset, layers="3,1", pool="mean_std")
    assert pooled.dim == 2 * 2 * 32
    every = small(preset=preset, pool="mean_std").extract(WAVE).view(2, 3, 2, 32)
    torch.testing.assert_close(pooled.extract(WAVE).view(2, 2, 2, 32), every[:, [2, 0]])


@pytest.mark.parametrize(("layers", "message"), [
    ("5;9", "not a list of different numbers"), ("1,1", "not a list of different numbers"),
    ("1,4", r"layer 4 is not within -1\.\.3"), ("1,", "not a list"), ("1,-2", "not a list"),
])  # fmt: skip
def test_a_wrong_list_of_layers_is_one_line(layers, message):
    with pytest.raises(DataError, match=message):
        small(layers=layers)


@pytest.mark.parametrize("params", [{}, {"layers": "0,3", "pool": "mean_std"}])
def test_long_clips_of_one_length_are_taken_few_at_a_time(params, monkeypatch):
    """A GPU got 64 clips of a minute at once, whose activations take 80 GB, and a processor eight of four minutes."""
    extractor, calls = small(**params), []
    waves = 0.1 * torch.randn(5, 8_000, generator=torch.Generator().manual_seed(1))
    whole = extractor.features(waves)
    extractor.model.register_forward_pre_hook(lambda module, args: calls.append(args[0].numel()))
    monkeypatch.setattr(ssl, "AT_ONCE", 2 * 8_000)
    torch.testing.assert_close(extractor.features(waves), whole, rtol=1e-4, atol=1e-5)
    assert calls == [16_000, 16_000, 8_000]
    assert [extractor.clips_per_block(16_000 * seconds) for seconds in (4, 10, 240)] == [8, 6, 1]


def test_pooling_is_mean_and_deviation_of_every_layer():
    x = small(pool="mean_std").extract(WAVE)
    assert x.shape == (2, 1, 2 * 3 * 32)
    second = small(layer=2).extract(WAVE)
    torch.testing.assert_close(x[:, 0, 64:96], second.mean(1))
    torch.testing.assert_close(x[:, 0, 96:128], second.std(1, unbiased=False))


@pytest.mark.parametrize("preset", sorted(extractors.presets("ssl")))
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here"))])  # fmt: skip
def test_half_precision_stays_near(preset, device):
    wide, narrow = (small(preset=preset, precision=precision).to(device).extract(WAVE.to(device))
                    for precision in ("float32", "bfloat16"))  # fmt: skip
    assert narrow.dtype == torch.float32
    assert (wide - narrow).abs().mean() < 0.05 * wide.abs().mean()


@pytest.mark.parametrize("preset", sorted(extractors.presets("ssl")))
def test_a_folder_is_loaded_whole_and_its_place_does_not_matter(preset, tmp_path):
    model = small(preset=preset).model
    for place in ("a", "b"):
        model.save_pretrained(tmp_path / place)
    first, second = (extractors.get("ssl", preset=preset, weights=str(tmp_path / place)) for place in ("a", "b"))
    torch.testing.assert_close(first.extract(WAVE), small(preset=preset).extract(WAVE))
    assert first.key == second.key != small(preset=preset).key


@pytest.mark.parametrize(("change", "same"), [
    ({"_name_or_path": "elsewhere", "transformers_version": "4.0.0"}, True),
    ({"hidden_act": "relu"}, False), ({"do_stable_layer_norm": True}, False),
])  # fmt: skip
def test_a_folder_with_another_configuration_is_another_feature(change, same, tmp_path):
    model = small().model
    for place in ("a", "b"):
        model.save_pretrained(tmp_path / place)
    path = tmp_path / "b/config.json"
    path.write_text(json.dumps({**dict(reversed(json.loads(path.read_text()).items())), **change}))
    first, second = (extractors.get("ssl", weights=str(tmp_path / place)) for place in ("a", "b"))
    assert (first.key == second.key) is torch.equal(first.extract(WAVE), second.extract(WAVE)) is same


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "is no configuration of a model")])
def test_a_damaged_configuration_is_named(text, message, tmp_path):
    small().model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=rf"config\.json {message}"):
        extractors.get("ssl", weights=str(tmp_path))


def test_a_model_in_parts_is_named(tmp_path):
    small().model.save_pretrained(tmp_path, max_shard_size="20KB")
    with pytest.raises(
        DataError, match=r"holds its model in parts \(model\.safetensors\.index\.json\); save it as one"
    ):
        extractors.get("ssl", weights=str(tmp_path))


def test_a_folder_of_another_architecture_is_named(tmp_path):
    small(preset="wavlm").model.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="holds a wavlm model; set architecture=wavlm"):
        extractors.get("ssl", weights=str(tmp_path))


def test_weights_that_do_not_fit_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    small().model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["encoder.layers.1.attention.k_proj.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks 1 weights .*encoder\.layers\.1\.attention\.k_proj\.weight"):
        extractors.get("ssl", weights=str(tmp_path))


@pytest.mark.parametrize(("name", "damaged"), [
    ("model.safetensors", lambda data: data[: len(data) // 2]), ("model.safetensors", lambda data: b""),
    ("config.json", lambda data: data.replace(b'"hidden_size": 32', b'"hidden_size": -1')),
    ("config.json", lambda data: data.replace(b'"hidden_act": "gelu"', b'"hidden_act": "no such"')),
])  # fmt: skip
def test_a_damaged_model_is_one_line(name, damaged, tmp_path):
    small().model.save_pretrained(tmp_path)
    path = tmp_path / name
    before = path.read_bytes()
    path.write_bytes(damaged(before))
    assert path.read_bytes() != before
    with pytest.raises(
        DataError, match=r"ssl: .*model\.safetensors and its config\.json cannot be loaded .* again$"
    ) as said:
        extractors.get("ssl", weights=str(tmp_path))
    assert "\n" not in str(said.value)


def test_weights_of_another_shape_and_pickles_are_refused(tmp_path):
    small().model.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 64', '"intermediate_size": 96'))
    with pytest.raises(DataError, match=r"9 weights of .* have other shapes than config\.json says \(first: encoder"):
        extractors.get("ssl", weights=str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": tmp_path}, tmp_path / "pytorch_model.bin")  # a Path is no tensor: it would run code
    with pytest.raises(DataError, match=r"pytorch_model\.bin and its config\.json cannot be loaded \(UnpicklingError"):
        extractors.get("ssl", weights=str(tmp_path))


def test_loading_says_nothing_of_its_own(tmp_path, capfd):
    small().model.save_pretrained(tmp_path)
    capfd.readouterr()
    extractors.get("ssl", weights=str(tmp_path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("weights", ["", "/nowhere/at/all", "~nobody-of-that-name/model"])
def test_without_weights_the_message_says_how_to_supply_them(weights):
    with pytest.raises(DataError, match=r"--set weights=DIR takes a folder with config\.json and model\.safetensors"):
        extractors.get("ssl", weights=weights)
    with pytest.raises(DataError, match=r"layer 4 is not within -1\.\.3"):
        small(layer=4)
