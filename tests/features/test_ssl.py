"""Self-supervised embeddings: shapes, layers, pooling, folders, and what is said without weights."""

import pytest
import torch

from features import extractors
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


def test_layers_are_those_of_transformers():
    extractor = small()
    with torch.no_grad():
        said = extractor.model(WAVE, output_hidden_states=True)
    for layer in range(3):
        torch.testing.assert_close(small(layer=layer).extract(WAVE), said.hidden_states[layer])
    torch.testing.assert_close(extractor.extract(WAVE), said.last_hidden_state)
    assert len({small(layer=layer).key for layer in (-1, 0, 1, 2, 3)}) == 5


def test_pooling_is_mean_and_deviation_of_every_layer():
    x = small(pool="mean_std").extract(WAVE)
    assert x.shape == (2, 1, 2 * 3 * 32)
    second = small(layer=2).extract(WAVE)
    torch.testing.assert_close(x[:, 0, 64:96], second.mean(1))
    torch.testing.assert_close(x[:, 0, 96:128], second.std(1, unbiased=False))


def test_half_precision_stays_near():
    wide, narrow = small().extract(WAVE), small(precision="bfloat16").extract(WAVE)
    assert narrow.dtype == torch.float32
    assert (wide - narrow).abs().mean() < 0.05 * wide.abs().mean()


def test_a_folder_is_loaded_whole_and_its_place_does_not_matter(tmp_path):
    model = small(preset="wavlm").model
    for place in ("a", "b"):
        model.save_pretrained(tmp_path / place)
    first, second = (extractors.get("ssl", preset="wavlm", weights=str(tmp_path / place)) for place in ("a", "b"))
    torch.testing.assert_close(first.extract(WAVE), small(preset="wavlm").extract(WAVE))
    assert first.key == second.key != small(preset="wavlm").key
    with pytest.raises(DataError, match="holds a wavlm model; set architecture=wavlm"):
        extractors.get("ssl", weights=str(tmp_path / "a"))


def test_weights_that_do_not_fit_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    small().model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["encoder.layers.1.attention.k_proj.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks 1 weights .*encoder\.layers\.1\.attention\.k_proj\.weight"):
        extractors.get("ssl", weights=str(tmp_path))


@pytest.mark.parametrize("weights", ["", "/nowhere/at/all"])
def test_without_weights_the_message_says_how_to_supply_them(weights):
    with pytest.raises(DataError, match=r"--set weights=DIR takes a folder with config\.json and model\.safetensors"):
        extractors.get("ssl", weights=weights)
    with pytest.raises(DataError, match=r"layer 4 is not within -1\.\.3"):
        small(layer=4)
