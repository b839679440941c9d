import pytest
import real_clips
import torch
import torchaudio.transforms
from golden_formula import golden, params, waves
from safetensors.torch import save_file

from benchmark import detectors
from benchmark.batch import Batch
from benchmark.detectors._sinc import sinc_filters
from benchmark.trained import load_own
from ingest.types import DataError

EXACT = {"rtol": 1e-4, "atol": 1e-4}
PARAMETERS = {"raw": 314_537, "lfcc": 376_210, "mfcc": 322_850, "melspec": 429_570, "spec": 901_806}


def _build(front_end, **config):
    torch.manual_seed(0)
    return detectors.build(f"ctrsvdd_{front_end}", **config)


@torch.inference_mode()
def test_the_raw_baseline_reproduces_the_reference():
    state, count = params("ctrsvdd_raw")
    detector = _build("raw").eval()
    detector.load_state_dict({**state, "sign": torch.ones(())})
    assert sum(p.numel() for p in detector.parameters()) == count == 314_537
    filters = sinc_filters(70, 128, 16_000)[[0, 35, 69]]
    torch.testing.assert_close(filters, golden("ctrsvdd_raw", "sinc_band_pass_rows_0_35_69"), **EXACT)
    wave = waves(64_000)
    code = detector.encode(wave)
    assert code.shape == (2, 64, 23, 29)
    torch.testing.assert_close(code.mean((2, 3)), golden("ctrsvdd_raw", "frontend_channel_mean"), **EXACT)
    embedding, logit = detector.embed(wave)
    torch.testing.assert_close(embedding, golden("ctrsvdd_raw", "last_hidden"), **EXACT)
    torch.testing.assert_close(logit, golden("ctrsvdd_raw", "logit"), **EXACT)
    torch.testing.assert_close(detector.score(wave), logit[:, 0])


@pytest.mark.parametrize("front_end", PARAMETERS)
def test_parameters_and_the_shape_of_the_map(front_end):
    detector = _build(front_end).eval()
    assert sum(p.numel() for p in detector.parameters()) == PARAMETERS[front_end]
    with torch.inference_mode():
        assert detector.encode(waves(64_000)[:1]).shape == (1, 64, 23, 29)


_STFT = {"n_fft": 512, "win_length": 512, "hop_length": 160}
_WITHIN = {**_STFT, "center": False}
TORCHAUDIO = {  # the modules of the public code
    "lfcc": lambda: torchaudio.transforms.LFCC(16_000, n_filter=20, n_lfcc=60, speckwargs=_WITHIN),
    "mfcc": lambda: torchaudio.transforms.MFCC(16_000, n_mfcc=40, melkwargs={**_WITHIN, "n_mels": 128}),
    "melspec": lambda: torchaudio.transforms.MelSpectrogram(16_000, n_mels=80, **_STFT),
    "spec": lambda: torchaudio.transforms.Spectrogram(power=2, normalized=True, **_STFT),
}


@pytest.mark.parametrize("front_end", TORCHAUDIO)
def test_the_features_are_torchaudio_s_of_one_clip(front_end):
    """Of one: torchaudio limits decibels below the peak of a whole batch."""
    found = _build(front_end).feature.extract(waves(64_000)).transpose(1, 2)
    for clip, wave in zip(found, waves(64_000), strict=True):
        expected = TORCHAUDIO[front_end]()(wave[None])[0]
        torch.testing.assert_close(clip, expected, rtol=0, atol=3e-6 * float(expected.abs().max()))
    if front_end == "lfcc":  # 60 coefficients of 20 filters: row 20 is nothing, those after it mirror those before
        assert float(found[:, 20].abs().max()) < 1e-4
        torch.testing.assert_close(found[:, 21:40], -found[:, 1:20].flip(1), rtol=0, atol=1e-3)


def _published(tmp_path, front_end, prefix=""):
    """As the challenge's files are: pooled by maxima, no attention, tables of the front end beside the weights (under
    whatever name the network has for it)."""
    source = _build(front_end, pooling="max")
    state = {f"{prefix}{key}": value for key, value in source.state_dict().items() if key != "sign"}
    if front_end in TORCHAUDIO:
        tables = TORCHAUDIO[front_end]().state_dict()
        assert tables
        state |= {
            f"{prefix}frontend.{named}.{key}": value for key, value in tables.items() for named in ("x", front_end)
        }
    path = tmp_path / f"{front_end}_model_weights.pt"
    torch.save(state, path)
    return path, source.eval()


@pytest.mark.parametrize("front_end", PARAMETERS)
@torch.inference_mode()
def test_a_published_file_loads_with_its_pooling_and_the_sign_turned(tmp_path, front_end):
    path, source = _published(tmp_path, front_end)
    detector = _build(front_end).eval()
    report = detector.load_weights(path)
    assert (report.missing, report.unexpected) == ((), ())
    wave = waves(64_000)[:1]
    torch.testing.assert_close(detector.score(wave), -source.score(wave))


@torch.inference_mode()
def test_an_own_file_keeps_its_sign_and_needs_no_second_turn(tmp_path):
    path, _ = _published(tmp_path, "raw", prefix="module.")
    detector = _build("raw").eval()
    detector.load_weights(path)
    torch.save(detector.state_dict(), tmp_path / "own.pt")
    again = _build("raw").eval()
    again.load_weights(tmp_path / "own.pt")
    wave = waves(64_000)[:1]
    torch.testing.assert_close(again.score(wave), detector.score(wave))
    current = _build("raw").eval()  # a file of the present public code has attention and the plain sign
    state = {key: value for key, value in current.state_dict().items() if key != "sign"}
    torch.save(state, tmp_path / "current.pt")
    again.load_weights(tmp_path / "current.pt")
    torch.testing.assert_close(again.score(wave), current.score(wave))


@torch.inference_mode()
def test_what_was_trained_from_a_published_file_comes_back_from_its_settings(tmp_path):
    """As `detect --run` and `export` build it: pooling is not among the settings, the file decides it."""
    path, _ = _published(tmp_path, "lfcc")
    trained = _build("lfcc").eval()
    trained.load_weights(path)
    save_file({key: value.contiguous() for key, value in trained.state_dict().items()}, tmp_path / "model.safetensors")
    again = _build("lfcc").eval()
    load_own(again, tmp_path / "model.safetensors")
    wave = waves(64_000)[:1]
    torch.testing.assert_close(again.score(wave), trained.score(wave))


def test_a_broken_file_changes_nothing(tmp_path):
    path, _ = _published(tmp_path, "raw")
    state = torch.load(path, weights_only=True)
    state.pop("backend.out_layer.bias")
    torch.save(state, path)
    detector = _build("raw")
    before = detector.backend
    with pytest.raises(DataError, match=r"1 missing \(first: backend\.out_layer\.bias\)"):
        detector.load_weights(path)
    assert detector.backend is before
    with pytest.raises(DataError, match="did you mean max"):
        _build("raw", pooling="maxx")


def test_the_loss_is_focal_on_smoothed_labels():
    detector = _build("raw")
    detector.score = lambda x: torch.tensor([0.0])  # p = 1/2: 0.25 * (1 - 1/2)^2 * ln 2 whatever the label
    for target in (0, 1):
        value = detector.loss(Batch(torch.zeros(1, 1), torch.tensor([target]), ["u"]))
        assert float(value) == pytest.approx(0.25 * 0.25 * 0.693147, abs=1e-6)


def test_sixteen_real_clips_are_learnt_and_every_living_parameter_gets_a_gradient():
    detector = _build("mfcc")
    data = real_clips.batch(detector)
    reached = real_clips.with_gradient(detector.eval(), detector.loss(data))
    left = {name for name, _ in detector.named_parameters()} - reached
    assert left == {f"frontend.encoder.{block}.0.bn1.{part}" for block in (1, 2, 3) for part in ("weight", "bias")}
    assert real_clips.steps_to_learn(detector, data, lr=3e-3, at_most=40) is not None


@pytest.mark.parametrize("front_end", ["raw", "lfcc", "melspec"])
@torch.inference_mode()
def test_fast_scores_are_the_plain_ones(front_end):
    detector, wave = _build(front_end).eval(), waves(64_000)
    fast = detector.score(wave)
    detector.fast = False
    torch.testing.assert_close(fast, detector.score(wave), rtol=0, atol=2e-5)


def test_the_xlsr_front_end():
    with torch.device("meta"):
        whole = _build("xlsr", weights="random")
    assert whole.frontend.linear.in_features == 2048
    detector = _build("xlsr", weights="random", small=True).train()
    batch = Batch(0.1 * torch.randn(2, 64_000), torch.tensor([0, 1]), ["a", "b"])
    reached = real_clips.with_gradient(detector, detector.loss(batch))
    assert "ssl_model.model.feature_extractor.conv_layers.0.conv.weight" in reached
    assert detector.eval().score(batch.x).shape == (2,)


def test_the_xlsr_front_end_of_the_public_code_loads(tmp_path):
    """fairseq's backbone lies in the front end there, with what only its pre-training used."""
    source = detectors.build("ctrsvdd_xlsr", weights="random", small=True)
    state = {"frontend.model.quantizer.vars": torch.ones(1)}
    for key, value in source.state_dict().items():
        if key != "sign":
            key = key.replace("ssl_model.model.", "frontend.model.").replace("masked_spec_embed", "mask_emb")
            state[key.replace("feature_projection.projection", "post_extract_proj")] = value
    torch.save(state, tmp_path / "xlsr.pt")
    torch.manual_seed(5)
    detector = detectors.build("ctrsvdd_xlsr", weights="random", small=True)
    assert detector.load_weights(tmp_path / "xlsr.pt").missing == ()
    for key, value in source.state_dict().items():
        assert torch.equal(detector.state_dict()[key], value), key


def test_the_learning_rate_falls_for_ten_epochs_and_rises_again():
    from benchmark.train import learning_rate

    how = _build("raw").TRAINING
    rates = [learning_rate(how["schedule"], how["lr"], step=0, total=1, epoch=epoch) for epoch in (0, 5, 10, 15, 20)]
    assert rates == pytest.approx([1e-3, 5.005e-4, 1e-6, 5.005e-4, 1e-3])
