"""Every extractor keeps the contract; each agrees with published or hand-made numbers."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from shared_data import shared
from torch.nn import functional as F

from features import extractors, imports
from features.extractors import _base, _spectrum
from ingest.types import DataError

ROOT = Path(__file__).resolve().parents[2]
CHEAP = [name for name in extractors.names() if name != "ssl"]
SETTINGS = [(name, preset) for name in CHEAP for preset in [None, *extractors.presets(name)]]


def tone(hz, samples=16_000, level=0.3):
    return level * torch.sin(2 * math.pi * hz * torch.arange(samples) / 16_000)[None]


def waves():
    generator = torch.Generator().manual_seed(3)
    return 0.1 * torch.randn(3, 20_000, generator=generator)


@pytest.mark.parametrize(("name", "preset"), SETTINGS)
def test_every_setting_gives_finite_frames_of_its_dimension(name, preset):
    extractor = extractors.get(name, preset=preset)
    x = extractor.extract(waves())
    assert x.dtype == torch.float32
    assert torch.isfinite(x).all()
    assert x.shape == ((3, 20_000) if name == "raw" else (3, x.shape[1], extractor.dim))
    assert extractor.name == name and extractor.rate_hz == 16_000
    assert set(extractor.params) == set(extractors.defaults(name))


@pytest.mark.parametrize(("name", "preset"), [s for s in SETTINGS if s[1] != "wav2clip_batch"])
def test_a_clip_gives_the_same_alone_and_among_others(name, preset):
    extractor, batch = extractors.get(name, preset=preset), waves()
    batch[1] *= 20  # a loud neighbour moves whatever is taken over the batch
    together = extractor.extract(batch)
    for block in (1, 2, 8):
        extractor.clips_per_block = lambda samples, block=block: block
        if extractor.alone:
            assert torch.equal(extractor.extract(batch), together)
        torch.testing.assert_close(extractor.extract(batch), together, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(extractor.extract(batch[2:])[0], together[2], rtol=1e-4, atol=1e-4)


def test_the_bits_of_a_product_do_not_hang_on_how_many_threads_it_may_take():
    code = """
import hashlib, torch
from features.extractors._spectrum import Bank
torch.manual_seed(3)
bank, power = Bank(torch.rand(513, 16)), torch.rand(1, 4000, 513)
print(hashlib.sha256(bank(power).numpy().tobytes()).hexdigest())
"""
    results = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout for threads in "124"
    }  # fmt: skip
    assert len(results) == 1 and len(results.pop()) == 65


@pytest.mark.parametrize("name", CHEAP)
def test_a_clip_of_one_sample_is_tiled_and_an_empty_one_refused(name):
    extractor = extractors.get(name)
    assert torch.isfinite(extractor.extract(torch.full((1, 1), 0.25))).all()
    for bad in (torch.zeros(1, 0), torch.zeros(5), torch.zeros(1, 400, dtype=torch.int16)):
        with pytest.raises(DataError, match="takes waves"):
            extractor.extract(bad)


@pytest.mark.parametrize("name", CHEAP)
def test_silence_is_finite(name):
    assert torch.isfinite(extractors.get(name).extract(torch.zeros(2, 8000))).all()


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("name", CHEAP)
def test_a_network_can_be_trained_on_what_comes_out(name, clips):
    x = extractors.get(name).extract(waves()[:1].repeat(clips, 1))
    weight = torch.ones((), requires_grad=True)
    (weight * x).sum().backward()
    assert weight.grad == pytest.approx(float(x.sum()), rel=1e-3)


def test_the_key_follows_name_parameters_and_nothing_else():
    keys = {
        (name, preset, tuple(extractors.get(name, preset=preset).params.items())): extractors.get(
            name, preset=preset
        ).key
        for name, preset in SETTINGS
    }
    by_setting = {(name, params): key for (name, _, params), key in keys.items()}
    assert len(set(by_setting.values())) == len(by_setting)
    assert extractors.get("logmel").key == extractors.get("logmel", bands=80).key
    assert extractors.get("logmel").key != extractors.get("logmel", bands=64).key


@pytest.mark.parametrize(("params", "same"), [
    ({"high_hz": 8000}, {}), ({"low_hz": -0.0}, {"low_hz": 0}), ({"top_db": 80}, {"top_db": 80.0}),
])  # fmt: skip
def test_equal_parameters_give_one_key(params, same):
    first, second = extractors.get("logmel", **params), extractors.get("logmel", **same)
    assert json.dumps(first.params) == json.dumps(second.params) and first.key == second.key


def test_a_change_of_one_source_file_changes_that_key_only(tmp_path):
    for file in Path(_base.__file__).parent.glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())

    def key(stem):
        return _base.source_hash(tmp_path / f"{stem}.py")

    before = {stem: key(stem) for stem in ("logmel", "mfcc", "raw")}
    (tmp_path / "logmel.py").write_text((tmp_path / "logmel.py").read_text() + "\n# changed\n")
    assert key("logmel") != before["logmel"]
    assert (key("mfcc"), key("raw")) == (before["mfcc"], before["raw"])
    (tmp_path / "_spectrum.py").write_text((tmp_path / "_spectrum.py").read_text() + "\n# changed\n")
    assert key("mfcc") != before["mfcc"]
    assert key("raw") == before["raw"]


def test_modules_that_a_feature_imports_change_its_key(tmp_path, monkeypatch):
    """Another filter in a folder on PYTHONPATH, or beside it: stored features of the old one stood in for it."""
    files = {"own.py": "from ._more import x\nfrom own_filters import bank", "_more.py": "", "lab/own_filters.py": "import own_table",
             "lab/own_table.py": ""}  # fmt: skip
    (tmp_path / "lab").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "lab"))
    imports._not_installed.cache_clear()
    seen = {_base.source_hash(tmp_path / "own.py")}
    for name in files:
        (tmp_path / name).write_text(files[name] + "\n# changed")
        seen.add(_base.source_hash(tmp_path / "own.py"))
    assert len(seen) == 5


@pytest.mark.parametrize("source", [b"\xef\xbb\xbfx = 'lfcc'  # \xc3\xa4", b"# coding: latin-1\nx = 'lfcc'  # \xe4"])
def test_own_sources_are_read_as_python_reads_them(tmp_path, source):
    """A detector or feature that an editor of Windows had saved ended every command in a traceback."""
    (tmp_path / "own.py").write_bytes(source)
    assert imports.of(tmp_path / "own.py") == ()


def test_packages_of_a_cluster_are_installed_ones(tmp_path, monkeypatch):
    """On PYTHONPATH, as module systems put them, they were read whole, minutes of it, and were part of every key."""
    (tmp_path / "site-packages" / "own_packaged").mkdir(parents=True)
    (tmp_path / "site-packages" / "own_packaged" / "__init__.py").touch()
    (tmp_path / "own.py").write_text("import own_packaged")
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    imports._not_installed.cache_clear()
    assert imports.of(tmp_path / "own.py") == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("logmell", None, {}), "unknown feature 'logmell'; did you mean logmel"),
        (("lfcc", "lcnn2012", {}), "unknown preset of lfcc 'lcnn2012'; did you mean lcnn2021"),
        (("logmel", None, {"band": 3}), "unknown parameter of logmel 'band'; did you mean bands"),
        (("logmel", None, {"bands": "many"}), "bands takes a whole number, not 'many'"),
        (("logmel", None, {"name": "lfcc"}), "unknown parameter of logmel 'name'"),
        (("logmel", None, {"bands": True}), "bands takes a whole number, not True"),
        (("logmel", None, {"high_hz": math.nan}), "high_hz takes a finite number, not nan"),
        (("logmel", None, {"high_hz": 10**400}), "high_hz takes a finite number, not 10"),
        (("logmel", None, {"log": "db", "top_db": "x"}), "top_db takes a finite number or null, not 'x'"),
        (("logspec", None, {"hop": None}), r"hop takes a whole number, not None \(default 187\)"),
        (("ssl", None, {"weights": None}), "weights takes a word, not None"),
        (("logmel", None, {"log": "log2"}), "logmel: log 'log2'"),
        (("logspec", None, {"hop": 0}), "logspec: hop 0"),
    ],
)
def test_wrong_names_and_values_are_one_clear_line(arguments, message):
    name, preset, params = arguments
    with pytest.raises(DataError, match=message):
        extractors.get(name, preset=preset, **params)


IMPOSSIBLE = [
    ("logmel", {"bands": 0}), ("logmel", {"low_hz": 8000.0}), ("logmel", {"high_hz": 8001.0}), ("logmel", {"win": 513}),
    ("logmel", {"n_fft": 0}), ("logmel", {"n_fft": 10**12}), ("logmel", {"top_db": -1.0}), ("logspec", {"hop": -1}),
    ("logspec", {"floor": -1.0}), ("logspec", {"floor": 0.0}), ("logspec", {"pre_emphasis": 1e9}),
    ("lfcc", {"bins": 5000}), ("lfcc", {"bins": -1}), ("lfcc", {"coefficients": -1}), ("lfcc", {"filters": 0}),
    ("lfcc", {"high_hz": 0.0}), ("lfcc", {"log_floor": -1.0}), ("lfcc", {"top_db": -1.0}), ("lfcc", {"delta": -1.0}),
    ("mfcc", {"coefficients": 81}), ("mfcc", {"coefficients": 0}), ("mfcc", {"top_db": -1.0}), ("mfcc", {"bands": -1}),
    ("cqcc", {"bins_per_octave": 0}), ("cqcc", {"first_octave": 0}), ("cqcc", {"delta_half": 0}),
    ("cqcc", {"coefficients": 0}), ("cqcc", {"low_hz": 0.0}), ("cqcc", {"high_hz": 62.5}), ("cqcc", {"high_hz": 63.0}),
    ("f0", {"hop": 0}), ("f0", {"low_hz": 1e-300}), ("f0", {"high_hz": 50.0}), ("f0", {"threshold": -0.1}),
    ("raw", {"rate_hz": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params"), IMPOSSIBLE)
def test_impossible_values_are_one_line_that_names_the_parameter(name, params):
    with pytest.raises(DataError, match=rf"^{name}: .*{next(iter(params))}"):
        extractors.get(name, **params)


def test_more_filters_than_bins_are_refused():
    with pytest.raises(DataError, match="lfcc: 300 filters are too many"):
        extractors.get("lfcc", edges="bins", filters=300)


def test_a_file_of_ones_own_that_is_no_feature_yet_is_one_line(monkeypatch):
    module = importlib.import_module("features.extractors.logmel")
    monkeypatch.delattr(module, "PRESETS")
    monkeypatch.setattr(module, "__doc__", None)
    assert extractors.presets("logmel") == {} and extractors.summary("logmel") == ""
    with pytest.raises(DataError, match="unknown preset of logmel 'wav2clip'"):
        extractors.get("logmel", preset="wav2clip")
    for build, found in ((None, "no `build`"), (module.build(), "`build = LogMel"), (torch.nn.Linear, "`build = <")):
        monkeypatch.setattr(module, "build", build)
        with pytest.raises(DataError, match=rf"features/extractors/logmel\.py has {found}.*a subclass of Extractor"):
            extractors.get("logmel")
    own = {"__init__": lambda self: torch.nn.Module.__init__(self), "features": lambda self, wave: wave}
    monkeypatch.setattr(module, "build", type("Own", (_base.Extractor,), own))
    with pytest.raises(DataError, match="logmel: Own sets no `dim`"):
        extractors.get("logmel")


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (lambda wave: wave.new_zeros(len(wave), 7, 40), r"shape \(2, 7, 40\) of torch.float32"),
        (lambda wave: wave.new_zeros(len(wave), 80, 7), r"shape \(2, 80, 7\)"),
        (lambda wave: wave.new_zeros(7, 80), r"shape \(7, 80\)"),
        (lambda wave: wave.new_zeros(len(wave), 80), r"shape \(2, 80\)"),
        (lambda wave: wave.new_zeros(len(wave), 0, 80), r"shape \(2, 0, 80\)"),
        (lambda wave: wave.new_zeros(len(wave), 7, 80, 1), r"shape \(2, 7, 80, 1\)"),
        (lambda wave: torch.zeros(len(wave), 7, 80, dtype=torch.complex64), "of torch.complex64"),
        (lambda wave: torch.zeros(len(wave), 7, 80, dtype=torch.int64), "of torch.int64"),
        (lambda wave: np.zeros((len(wave), 7, 80)), "a ndarray"),
        (lambda wave: None, "a NoneType"),
    ],
)
def test_an_own_feature_of_another_shape_or_type_is_one_line(made, found):
    extractor = extractors.get("logmel")
    extractor.features, extractor.clips_per_block = made, lambda samples: 2
    with pytest.raises(DataError, match=rf"features\(\) of LogMel made .*{found}.* of 2 clips; .* here 80$"):
        extractor.extract(waves()[[0, 1, 2, 0]])


def test_doubles_and_halves_of_an_own_feature_become_single_floats():
    extractor = extractors.get("logmel")
    for dtype in (torch.float64, torch.float16):
        extractor.features = lambda wave, dtype=dtype: torch.ones(len(wave), 7, 80, dtype=dtype)
        assert torch.equal(extractor.extract(waves()), torch.ones(3, 7, 80))


def test_buffers_move_with_the_module_and_stay_out_of_the_state_dict():
    for name in CHEAP:
        extractor = extractors.get(name)
        assert not extractor.state_dict()
        assert all(b.device.type == "meta" for b in extractor.to("meta").buffers())


def test_logmel_peaks_where_the_tone_is():
    x = extractors.get("logmel").extract(tone(1000.0))[0]
    edges = torch.linspace(0, 2595 * math.log10(1 + 8000 / 700), 82)
    band = int((edges[1:-1] - 2595 * math.log10(1 + 1000 / 700)).abs().argmin())
    assert x.shape == (101, 80)
    assert int(x.mean(0).argmax()) == band


def test_log_spectrogram_of_a_tone_by_hand():
    """A sine on bin 32 (1 kHz) has |X| = level * sum(window) / 2 there: sum of Hann(512) is 256."""
    x = extractors.get("logspec").extract(tone(1000.0, 48_000))
    assert x.shape == (1, 257, 257)
    assert math.isclose(x[0, 128, 32].item(), math.log((0.3 * 256 / 2) ** 2 + 1e-7), abs_tol=1e-4)


@pytest.mark.parametrize(("centre", "double"), [("reflect", False), ("partial", True)])
def test_a_long_clip_is_taken_by_parts_and_gives_what_it_gives_at_once(centre, double, monkeypatch):
    """Four minutes in float64 took three times as long as they need, and four hours more than 20 GB."""
    power = _spectrum.Power(1024, 480, 240, centre=centre, double=double)
    wave = torch.randn(1, 60 * 16_000, generator=torch.Generator().manual_seed(1))
    whole, rfft, taken = power._of(power.frames(wave)), torch.fft.rfft, []
    monkeypatch.setattr(torch.fft, "rfft", lambda x, **of: taken.append(x.shape[1]) or rfft(x, **of))
    assert torch.equal(power(wave), whole)
    assert sum(taken) == whole.shape[1] and max(taken) * 1024 <= _spectrum.BLOCK


def test_triangles_by_hand():
    bank = _spectrum.linear_bank(bins=7, high_hz=6.0, filters=2)  # edges 0 2 4 6
    assert bank.T.tolist() == [[0, 0.5, 1, 0.5, 0, 0, 0], [0, 0, 0, 0.5, 1, 0.5, 0]]


def test_logarithms_on_a_processor_are_those_of_torch():
    x = torch.cat([torch.logspace(-37, 37, 1001), torch.rand(5000), torch.tensor([1.0, 1e-10])]).view(1, -1)
    for ours, torchs in ((_spectrum.log_, torch.log), (_spectrum.log10_, torch.log10)):
        here = x.clone()
        assert ours(here) is here
        torch.testing.assert_close(here, torchs(x), rtol=1e-6, atol=1e-6)


def test_arithmetic_on_a_processor_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    wave = torch.randn(2, 900, generator=generator)
    torch.testing.assert_close(_spectrum.mirrored(wave, 256), F.pad(wave, (256, 256), mode="reflect"), rtol=0, atol=0)
    z = torch.randn(2, 30, 257, dtype=torch.complex64, generator=generator) * torch.logspace(-15, 15, 257)
    torch.testing.assert_close(_spectrum.squared(z[..., :200]), torch.view_as_real(z).square().sum(-1)[..., :200])
    assert _spectrum.squared(z.to(torch.complex128)).dtype == torch.float32
    assert _spectrum.pair_sums(torch.tensor([[[1.0, 2.0], [3.0, 5.0]]])).tolist() == [[3.0, 8.0]]


@pytest.mark.parametrize("frames", [1, 257, 2000])
@pytest.mark.parametrize("offset", [0.0, -13.8])
def test_standardised_clips_have_no_mean_and_unit_deviation(frames, offset):
    x = 3 * torch.randn(2, frames, 257, generator=torch.Generator().manual_seed(0)) + offset
    x[1] = offset  # a clip without any variation
    deviation, mean = torch.std_mean(x.double(), dim=(-2, -1), keepdim=True)
    added = _spectrum.standardise(x, 1e-2, add=True)
    torch.testing.assert_close(added, ((x - mean) / (deviation + 1e-2)).float(), rtol=0, atol=1e-5)
    floored = _spectrum.standardise(x, 1e-2, add=False)
    torch.testing.assert_close(floored, ((x - mean) / deviation.clamp(min=1e-2)).float(), rtol=0, atol=1e-5)
    assert not added[1].any() and not floored[1].any()


@pytest.mark.parametrize("name", ["logmel", "logspec", "mfcc", "lfcc", "cqcc", "f0"])
def test_another_device_needs_no_numpy(name):
    extractor, wave = extractors.get(name), waves()
    here = extractor.extract(wave)
    elsewhere = extractor.to("meta").features(wave.to("meta"))
    assert (elsewhere.shape, elsewhere.dtype) == (here.shape, torch.float32)


def test_deltas_by_hand():
    x = torch.tensor([[[1.0], [2.0], [4.0], [7.0]]])
    assert _spectrum.difference(x).flatten().tolist() == [1, 3, 5, 3]
    assert _spectrum.difference(x, 0.5).flatten().tolist() == [0.5, 1.5, 2.5, 1.5]
    assert _spectrum.regression(torch.arange(9.0)[None, :, None], 3)[0, 3:6, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["logmel", "logspec", "mfcc", "lfcc"])
def test_torchaudio_agrees(name):
    wave = waves()
    spectrum = {"n_fft": 512, "win_length": 400, "hop_length": 160}
    if name == "logmel":
        peer = torchaudio.transforms.MelSpectrogram(16_000, n_mels=80, **spectrum)
        want, got = peer(wave).clamp(min=1e-10).log(), extractors.get(name).extract(wave)
    elif name == "logspec":
        peer = torchaudio.transforms.Spectrogram(512, hop_length=187, power=2)
        want, got = (peer(wave) + 1e-7).log(), extractors.get(name).extract(wave)
    elif name == "mfcc":
        peer = torchaudio.transforms.MFCC(16_000, melkwargs={"n_mels": 80, **spectrum})
        want, got = torch.stack([peer(w) for w in wave]), extractors.get(name).extract(wave)
    else:
        kwargs = {"n_fft": 400, "hop_length": 160, "center": False}
        peer = torchaudio.transforms.LFCC(16_000, n_lfcc=60, speckwargs=kwargs)
        want = torch.stack([peer(w) for w in wave])
        got = extractors.get(name, preset="lcnn_s").extract(wave)
    torch.testing.assert_close(got.transpose(1, 2), want, rtol=1e-4, atol=2e-3)


# ------------------------------------------------------------------ published numbers

GMM = {
    "lfcc57_2021": ("lfcc", None, {}, 1e-4),
    "lfcc60_pyport": ("lfcc", "asvspoof2021_gmm_python", {}, 1e-4),
    "lfcc60_2019cfg": ("lfcc", "asvspoof2019_gmm", {}, 1e-4),
    "cqcc60_2021": ("cqcc", None, {}, 1e-3),
    "cqcc60_96bpo": ("cqcc", "asvspoof2019", {"coefficients": 20}, 1e-3),
}
LCNN = {"lfcc60_2021": "lcnn2021", "lfcc60_2019mega": "lcnn_fft512"}


def golden_wave(name):
    if name == "speech":
        path = shared("golden", "detectors", "speech", "asvspoof2015_D18_1000001.flac")
        return torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
    file = {"noise": "input_noise_seed0_64600.npy", "harmonic": "input_harmonic_64600.npy"}[name]
    return torch.from_numpy(np.load(shared("golden", "detectors", file)))[None]


@pytest.mark.parametrize("key", GMM)
def test_front_ends_of_the_gmm_baselines(key):
    golden = np.load(shared("golden", "detectors", "GMM_frontends_golden.npz"))
    name, preset, params, tolerance = GMM[key]
    cases = [case for case in golden if case.rpartition("_")[0] == key]
    assert cases
    for case in cases:
        x = extractors.get(name, preset=preset, **params).extract(golden_wave(case.rpartition("_")[2]))[0]
        np.testing.assert_allclose(x.numpy(), golden[case], rtol=0, atol=tolerance, err_msg=case)


def test_constant_q_power():
    golden = np.load(shared("golden", "detectors", "GMM_frontends_golden.npz"))
    x = extractors.get("cqcc").log_power(golden_wave("noise"))[0, :, :100].T
    np.testing.assert_allclose(x, golden["cqt_logpower_noise_first100frames"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("key", LCNN)
def test_front_ends_of_the_lcnn_baselines(key):
    golden = np.load(shared("golden", "detectors", "LFCC-LCNN_frontend_golden.npz"))
    cases = [case for case in golden if case.rpartition("_")[0] == key]
    assert cases
    for case in cases:
        x = extractors.get("lfcc", preset=LCNN[key]).extract(golden_wave(case.rpartition("_")[2]))[0]
        np.testing.assert_allclose(x.numpy(), golden[case], rtol=0, atol=1e-4, err_msg=case)
    kind = key.split("_")[1]
    bins, high_hz = (256, 4000.0) if kind == "2021" else (257, 8000.0)
    np.testing.assert_allclose(_spectrum.linear_bank(bins, high_hz, 20), golden[f"fb_{kind}"], atol=1e-5)


@pytest.mark.parametrize(("preset", "file"), [("lcnn_s", "LCNN-S_golden.npz"), ("asdg_s", "ASDG-S_golden.npz")])
def test_decibel_front_ends(preset, file):
    golden = np.load(shared("golden", "detectors", file))["lfcc_noise"]
    x = extractors.get("lfcc", preset=preset).extract(golden_wave("noise")[:, :48_000])[0]
    np.testing.assert_allclose(x.numpy().T, golden, rtol=0, atol=1e-2)


PART_B = [
    ("logspec", "fd_add", {}, "48000", "fd_add/logspec_persample_norm.npy", (slice(None, None, 8),) * 2),
    ("logspec", "wav2clip_batch", {}, "48000", "wav2clip/logspec_batchnorm.npy", (slice(None, None, 4), slice(None, None, 8))),
    ("logmel", "uniaudio", {}, "64000", "uniaudio/logmel_every_16th_frame.npy", (slice(None, None, 16), slice(None))),
    ("mfcc", "uniaudio", {}, "64000", "uniaudio/mfcc_single_every_16th_frame.npy", (slice(None, None, 16), slice(None))),
    ("mfcc", "uniaudio", {"top_db_over": "batch"}, "64000", "uniaudio/mfcc_every_16th_frame.npy", (slice(None, None, 16), slice(None))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "preset", "params", "samples", "file", "taken"), PART_B)
def test_front_ends_of_part_b(name, preset, params, samples, file, taken):
    wave = np.load(shared("golden", "detectors-b", "inputs", f"wave_{samples}_x2.npy"))
    golden = np.load(shared("golden", "detectors-b", *file.split("/")))[:, 0]
    x = extractors.get(name, preset=preset, **params).extract(torch.from_numpy(wave))
    np.testing.assert_allclose(x[(slice(None), *taken)].transpose(1, 2), golden, rtol=1e-4, atol=1e-4)


def test_front_end_of_singfake():
    wave = np.load(shared("golden", "detectors-b", "inputs", "wave_64000_x2.npy"))
    golden = np.load(shared("golden", "detectors-b", "singfake_lfcc_resnet", "lfcc_every_16th_frame.npy"))
    x = extractors.get("lfcc", preset="singfake").extract(torch.from_numpy(wave))[:, ::16]
    np.testing.assert_allclose(x, golden, rtol=1e-4, atol=1e-4)


def test_raw_at_another_rate_for_networks_made_for_it():
    wave = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)[None]
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(24_000) / 24_000)[None]
    assert torch.equal(extractors.get("raw").extract(wave), wave)
    got = extractors.get("raw", rate_hz=24_000).extract(wave)
    assert got.shape == (1, 24_000) and (got - expected)[:, 100:-100].abs().max() < 2e-3
