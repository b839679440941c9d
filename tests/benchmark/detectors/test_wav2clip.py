import pytest
import real_clips
import torch
from golden_formula import golden, params, waves

from benchmark import detectors, trained
from features import extractors
from ingest.types import DataError


def _with_formula_weights(**config):
    state, _ = params("wav2clip")
    detector = detectors.build("wav2clip", weights="random", **config).eval()
    heads = {key: value for key, value in detector.state_dict().items() if key.startswith("head.")}
    detector.load_state_dict({**state, **heads})
    x = extractors.get(detector.input.feature, **detector.input.params).extract(waves(48_000))
    return detector, x


@torch.inference_mode()
def test_each_clip_alone_reproduces_the_reference():
    detector, x = _with_formula_weights()
    torch.testing.assert_close(detector.embed(x), golden("wav2clip", "encoder_single"), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_batch_form_reproduces_the_reference():
    detector, x = _with_formula_weights(norm="batch")
    spectrum = x.transpose(1, 2).unsqueeze(1)
    torch.testing.assert_close(spectrum[:, :, ::8, ::4], golden("wav2clip", "logspec_batchnorm"), rtol=1e-4, atol=1e-4)
    levels = []
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        module = getattr(detector.encoder, stage)
        module.register_forward_hook(lambda *seen: levels.append([float(seen[2].mean()), float(seen[2].std())]))
    embedding = detector.embed(x)
    torch.testing.assert_close(torch.tensor(levels), golden("wav2clip", "layer_mean_std"), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(embedding, golden("wav2clip", "encoder_batch2"), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        detector.transform(embedding), golden("wav2clip", "transform_batch2"), rtol=1e-4, atol=1e-4
    )


@torch.inference_mode()
def test_a_score_does_not_depend_on_the_rest_of_its_batch():
    detector, x = _with_formula_weights()
    torch.testing.assert_close(detector.score(x)[:1], detector.score(x[:1]), rtol=1e-5, atol=1e-5)


def test_parameters_are_those_of_table_ix():
    _, encoder_and_map = params("wav2clip")
    detector = detectors.build("wav2clip", weights="random")
    assert encoder_and_map == 11_695_552
    assert sum(p.numel() for p in detector.parameters()) == 11_696_065


def _published(tmp_path, detector, **more):
    """A file with the names of Wav2CLIP.pt: both towers flat, a window, an image map that nobody needs here."""
    names = {"encoder.": "audio_encoder.", "transform.": "audio_transform."}
    state = {"audio_encoder.spectrogram.window": torch.ones(512), "image_transform.sequential.0.weight": torch.ones(2)}
    for key, value in detector.state_dict().items():
        prefix = next((p for p in names if key.startswith(p)), None)
        if prefix:
            state[names[prefix] + key.removeprefix(prefix)] = value
    torch.save({**state, **more}, tmp_path / "Wav2CLIP.pt")
    return tmp_path / "Wav2CLIP.pt"


def test_a_file_without_a_head_starts_a_training_but_scores_nothing(tmp_path):
    """Its scores would be those of a head that no one has trained."""
    source = detectors.build("wav2clip", weights="random", width=8)
    path, small = _published(tmp_path, source), {"": {"width": 8}}
    with pytest.raises(
        DataError, match=r"Wav2CLIP\.pt is a starting point for training.*2 entries are missing \(first: head\."
    ):
        trained.from_weights(path, "wav2clip", small)
    torch.save(source.state_dict(), tmp_path / "whole.pt")
    assert trained.from_weights(tmp_path / "whole.pt", "wav2clip", small).detector == "wav2clip"


def test_the_published_names_load_and_the_report_counts(tmp_path):
    source = detectors.build("wav2clip", weights="random", width=8)
    path = _published(tmp_path, source)
    detector = detectors.build("wav2clip", weights="random", width=8)
    report = detector.load_weights(path)
    assert report.loaded == len(source.state_dict()) - 2
    assert report.missing == ("head.weight", "head.bias")
    assert report.unexpected == ("image_transform.sequential.0.weight",)
    assert torch.equal(detector.encoder.conv1.weight, source.encoder.conv1.weight)
    again = detectors.build("wav2clip", weights=str(path), width=8)
    assert torch.equal(again.transform.sequential[3].bias, source.transform.sequential[3].bias)


def test_a_complete_file_with_the_prefix_of_parallel_training_loads(tmp_path):
    source = detectors.build("wav2clip", weights="random", width=8)
    torch.save({f"module.{key}": value for key, value in source.state_dict().items()}, tmp_path / "own.pt")
    detector = detectors.build("wav2clip", weights="random", width=8)
    report = detector.load_weights(tmp_path / "own.pt")
    assert report.missing == report.unexpected == ()
    assert torch.equal(detector.head.weight, source.head.weight)


def test_a_file_of_another_shape_or_with_strangers_is_refused(tmp_path):
    small = detectors.build("wav2clip", weights="random", width=8)
    with pytest.raises(DataError, match="of another shape"):
        detectors.build("wav2clip", weights=str(_published(tmp_path, small)), width=16)
    with pytest.raises(DataError, match=r"1 unexpected \(first: encoder\.layer9"):
        small.load_weights(_published(tmp_path, small, **{"audio_encoder.layer9": torch.ones(1)}))


def test_absent_weights_name_the_file_and_the_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"Wav2CLIP\.pt.*--set weights=PATH"):
        detectors.build("wav2clip")


def test_sixteen_real_clips_are_learnt_and_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    detector = detectors.build("wav2clip", weights="random", width=8)
    data = real_clips.batch(detector)
    reached = real_clips.with_gradient(detector.train(), detector.loss(data))
    assert reached == {name for name, _ in detector.named_parameters()}
    assert real_clips.steps_to_learn(detector, data, lr=1e-3, at_most=60) is not None
