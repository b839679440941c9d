import pytest
import real_clips
import torch
from golden_formula import waves

from benchmark import detectors
from benchmark.detectors import sfatnet
from ingest.types import DataError


def test_parameters_of_every_part():
    with torch.device("meta"):
        detector = detectors.build("sfatnet")
    parts = {"encoder": 50_860_032, "decoder": 13_363_456, "f0_decoder": 9_160_960, "predictor": 7_982_081}
    for name, parameters in parts.items():
        assert sum(p.numel() for p in getattr(detector, name).parameters()) == parameters, name
    assert sum(p.numel() for p in detector.parameters()) == 81_366_529


def test_patches_go_block_of_bins_by_block_of_bins_and_pixels_bin_by_bin():
    x = torch.arange(256 * 192).reshape(1, 256, 192)  # value = 192 bin + frame
    patches = sfatnet.to_patches(x)
    assert patches.shape == (1, 192, 256)
    assert patches[0, 0, :17].tolist() == [*range(16), 192]
    assert int(patches[0, 1, 0]) == 16  # the next block of frames
    assert int(patches[0, 12, 0]) == 16 * 192  # the next block of bins


def test_the_spectrogram_has_192_frames_of_256_bins():
    detector = detectors.build("sfatnet", **detectors.get("sfatnet").SMALL)
    assert detector.spectrum.extract(waves(48_000)).shape == (2, 192, 256)
    for target in sfatnet.F0_TARGETS:
        pitch = detectors.build("sfatnet", f0_target=target, width=64, depth=(1, 1, 1, 1)).pitch
        assert pitch.extract(waves(48_000)).shape == (2, 192, 1)


def test_the_pitch_map_marks_the_nearest_bin_and_blurs_it():
    f0 = torch.zeros(1, 192)
    f0[0, 5], f0[0, 100] = 127.0, 125.0  # bins 3 and 3 of 31.25 (k + 1) Hz: 125 Hz
    near, exact = sfatnet.f0_map(f0, exact=False), sfatnet.f0_map(f0, exact=True)
    assert near.shape == (1, 256, 192)
    assert near[0, 2:5, 4:7].mul(16).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert float(near.sum()) == pytest.approx(2.0)
    assert float(exact.sum()) == pytest.approx(1.0)  # only 125 Hz lies within 1 Hz of a bin
    assert float(exact[0, 3, 100]) == pytest.approx(0.25)


def test_settings_are_checked():
    with pytest.raises(DataError, match="did you mean nearest"):
        detectors.build("sfatnet", f0_target="neares")
    with pytest.raises(DataError, match="depth takes a list of 4, each a whole number"):
        detectors.build("sfatnet", depth=(1, 1))


def test_all_three_terms_train_every_parameter_and_real_clips_are_learnt():
    torch.manual_seed(0)
    detector = detectors.build("sfatnet", **detectors.get("sfatnet").SMALL)
    data = real_clips.batch(detector)
    pitch = detector.pitch.extract(data.x)
    detector.pitch.extract = lambda wave: pitch  # once for all steps
    terms = detector.losses(data)
    assert set(terms) == {"class", "spectrogram", "f0"}
    reached = real_clips.with_gradient(detector.train(), detector.loss(data))
    assert reached == {name for name, _ in detector.named_parameters()}
    only_class = real_clips.with_gradient(detector, detector.losses(data)["class"])
    assert not any(name.startswith(("decoder.", "f0_decoder.")) for name in only_class)
    assert real_clips.steps_to_learn(detector, data, lr=3e-3, at_most=60, every=3) is not None
