"""Vocals with a small Demucs of random weights: the same as Demucs' own separation, batched, safe, resumable."""

import json
import os
from fractions import Fraction

import numpy as np
import on_gpu
import pytest
import small_corpus
import torch

from ingest import catalog
from ingest.types import DataError
from shards import vocals, writer
from shards.__main__ import main
from shards.reader import Reader
from shards.vocals import Separator, find, network, write_vocals

demucs = pytest.importorskip("demucs.htdemucs")
SMALL = {
    "sources": ["drums", "bass", "other", "vocals"], "channels": 8, "dconv_comp": 2, "nfft": 512, "depth": 3, "t_layers": 1, "t_heads": 2,
    "bottom_channels": 16, "samplerate": 22_050, "segment": Fraction(3, 5), "t_hidden_scale": 1.0, "freq_emb": 0.2,
}  # fmt: skip


def made(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return demucs.HTDemucs(**SMALL)


def package(seed, **changes):
    model = made(seed)
    state = {key: value.half() for key, value in model.state_dict().items()}
    return {
        "klass": demucs.HTDemucs,
        "args": (),
        "kwargs": dict(SMALL),
        "state": state,
        "training_args": {"lr": 1},
    } | changes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bag of two networks, one .th as Demucs trains it, one .safetensors as it is published."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("small")
    torch.save(package(1), path / "aaaa.th")
    kwargs = SMALL | {"segment": {"_type": "fraction", "numerator": 3, "denominator": 5}}
    about = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(kwargs)}
    save_file({k: v.clone() for k, v in made(2).state_dict().items()}, path / "bbbb.safetensors", about)
    (path / "small.yaml").write_text("models: [aaaa, bbbb]\nweights: [[1, 1, 1, 3], [1, 1, 1, 1]]\n")
    return path


def song(seconds, rate_hz, channels, seed=0):
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(seed).standard_normal((channels, t.size))
    return (0.3 * np.sin(2 * np.pi * 300 * t) + 0.05 * noise).astype(np.float32)


def reference(folder, wave, rate_hz):
    """What Demucs' own code makes of one clip."""
    import torchaudio
    from demucs.apply import BagOfModels, apply_model

    bag = BagOfModels([network(folder / "aaaa.th"), network(folder / "bbbb.safetensors")],
                      [[1, 1, 1, 3], [1, 1, 1, 1]])  # fmt: skip
    mix = torch.from_numpy(wave if len(wave) == 2 else np.repeat(wave, 2, 0))
    mix = torchaudio.functional.resample(mix, rate_hz, 22_050)
    ref = mix.mean(0)
    out = apply_model(bag, ((mix - ref.mean()) / ref.std())[None], shifts=0)[0, 3] * ref.std() + ref.mean()
    return torchaudio.functional.resample(out.mean(0), 22_050, 16_000).numpy()


def test_each_clip_is_separated_as_by_demucs_alone_whatever_is_in_the_batch(folder):
    clips = [(song(0.3, 16_000, 1), 16_000), (song(1.7, 44_100, 2, 1), 44_100), (song(0.9, 22_050, 2, 2), 22_050)]
    model = find("small", folder)
    together = list(Separator(model, batch=4).vocals(clips))
    for clip, voice in zip(clips, together, strict=True):
        (alone,) = Separator(model, batch=1).vocals([clip])
        want = reference(folder, *clip)
        assert voice.dtype == np.float32 and voice.shape == (-(-clip[0].shape[1] * 16_000 // clip[1]),)
        np.testing.assert_allclose(voice, alone, atol=2 / 32768)
        assert np.abs(want).max() > 1e-3
        np.testing.assert_allclose(voice, want[: voice.size], atol=2e-4 * np.abs(want).max() + 1 / 32768)


def test_a_gpu_makes_the_same_vocals_in_batches_that_fit_its_memory(folder, monkeypatch):
    clips = [(song(1.3, 22_050, 2, seed), 22_050) for seed in range(2)]
    here = list(Separator(find("small", folder)).vocals(clips))
    batches = []
    for name, found in (("memory_allocated", 1000), ("max_memory_allocated", 1100), ("mem_get_info", (500, 9000))):
        monkeypatch.setattr(torch.cuda, name, lambda device, found=found: found)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    with on_gpu.claimed():
        separator = Separator(find("small", folder), "cuda")
        for net in separator.networks:
            net.register_forward_pre_hook(lambda module, inputs: batches.append(tuple(inputs[0].shape[:1])))
        there = list(separator.vocals(clips))
    assert max(batches) == (3,)  # of a window's 100 bytes in 0.7 of 500 free ones
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2**-15)


def test_loudness_is_kept_and_nothing_is_clipped(folder):
    separator = Separator(find("small", folder))
    wave = song(0.8, 22_050, 2)
    quiet, loud = separator.vocals([(0.05 * wave, 22_050), (wave, 22_050)])
    np.testing.assert_allclose(20 * quiet, loud, atol=30 / 32768)
    (over,) = separator.vocals([(wave * np.float32(3 / np.abs(loud).max()), 22_050)])
    assert np.abs(over).max() == pytest.approx(3, rel=1e-3)
    (silent,) = separator.vocals([(np.zeros((2, 5000), np.float32), 22_050)])
    assert np.isfinite(silent).all() and silent.shape == (3629,)


@pytest.fixture
def data(tmp_path):
    made_at = small_corpus.build(tmp_path)
    with catalog.connect(made_at / "catalog.duckdb", read_only=False) as con:
        con.execute("UPDATE utterance SET \"condition\" = 'vocals' WHERE utt_id = 'tiny/s1'")
    return made_at


def test_vocals_become_a_variant_of_every_clip_that_is_none_yet(data, folder):
    writer.write_corpus("tiny", data)
    done = write_vocals("tiny", data, find("small", folder))
    assert done["members"] == 6 and done["written"] == done["shards"] == 5
    reader = Reader(data)
    for utt_id in ("tiny/b1", "tiny/j1", "tiny/s3"):
        assert reader.length(utt_id, "vocals") == reader.length(utt_id) == reader.wave(utt_id, "vocals").size
    with pytest.raises(DataError, match="no shard of variant 'vocals'"):
        reader.wave("tiny/s1", "vocals")
    with catalog.connect(data / "catalog.duckdb") as con:
        steps, versions = con.execute("SELECT steps, versions FROM variant WHERE variant = 'vocals'").fetchone()
    (step,) = json.loads(steps)
    assert step["model"] == "small" and set(step["files"]) == {"aaaa.th", "bbbb.safetensors"} and "demucs" in versions
    stamp = (data / "catalog.duckdb").stat().st_mtime_ns
    assert write_vocals("tiny", data, find("small", folder))["written"] == 0
    assert (data / "catalog.duckdb").stat().st_mtime_ns == stamp


def test_whole_songs_are_not_all_held_at_once(monkeypatch):
    """64 songs of four minutes took 29 GB."""
    taken = []

    class Noted:
        def vocals(self, clips):
            taken.append(clips)
            return iter(clips)

    monkeypatch.setattr(vocals, "_separator", lambda *_: Noted())
    monkeypatch.setattr(vocals.clip, "read", lambda row: row["utt_id"])
    recipe = vocals.Recipe(vocals.Model("small", (), None, None), "cpu", None)
    for lengths, want in [
        ([240] * 5, [2, 2, 1]), ([5] * 130, [64, 64, 2]), ([1200, 5, 5, 1200, 599, 1], [1, 2, 1, 2]), ([7200], [1]),
    ]:  # fmt: skip
        rows = [{"utt_id": i, "duration_s": float(s)} for i, s in enumerate(lengths)]
        taken.clear()
        assert list(recipe.waves(rows)) == list(range(len(lengths)))
        assert [len(some) for some in taken] == want


def test_another_gpu_of_a_machine_makes_the_same_vocals():
    """A separation that went on with --device cuda:1 after cuda began again from the first song."""
    model = vocals.Model("small", (("aaaa.th", "0" * 64),), None, None)
    made = [vocals.Recipe(model, device, None).identity for device in ("cuda", "cuda:0", "cuda:1", "cpu")]
    assert made[0] == made[1] == made[2] != made[3]


def test_a_run_that_was_cut_short_goes_on_shard_by_shard(data, folder, monkeypatch):
    made_of, real = [], vocals.Separator.vocals

    def cut_short(self, clips):
        made_of.append(len(clips))
        if len(made_of) == 3:
            raise KeyboardInterrupt
        return real(self, clips)

    monkeypatch.setattr(vocals.Separator, "vocals", cut_short)
    with pytest.raises(KeyboardInterrupt):
        write_vocals("tiny", data, find("small", folder))
    finished = {p: p.stat().st_mtime_ns for p in (data / "shards").rglob("*-vocals-*.tar")}
    assert len(finished) == 2
    assert write_vocals("tiny", data, find("small", folder))["written"] == 3
    assert finished == {p: p.stat().st_mtime_ns for p in finished}


def test_other_weights_make_other_shards(data, folder, tmp_path):
    write_vocals("tiny", data, find("small", folder))
    (tmp_path / "own").mkdir()
    torch.save(package(7), tmp_path / "own/cccc.th")
    done = write_vocals("tiny", data, find(str(tmp_path / "own")))
    assert done["written"] == done["shards"]


def test_a_bag_with_other_weights_or_windows_makes_other_shards(data, tmp_path):
    """An edited yaml left the vocals of before in place; a bag without weights keeps the vocals that it made."""
    identities = []
    torch.save(package(1), tmp_path / "aaaa.th")
    torch.save(package(2), tmp_path / "bbbb.th")
    for bag in ("", "weights: [[1, 1, 1, 3], [1, 1, 1, 1]]", "weights: [[1, 1, 1, 3], [1, 1, 1, 2]]", "segment: 0.4"):
        (tmp_path / "small.yaml").write_text(f"models: [aaaa, bbbb]\n{bag}\n")
        done = write_vocals("tiny", data, find(str(tmp_path)))
        assert done["written"] == done["shards"] == 5
        identities.append(vocals.Recipe(find(str(tmp_path)), "cpu", None).identity["steps"][0])
    assert [step.get("weights") for step in identities] == [
        None,
        [[1, 1, 1, 3], [1, 1, 1, 1]],
        [[1, 1, 1, 3], [1, 1, 1, 2]],
        None,
    ]


def test_weights_that_become_others_are_not_taken_for_those_of_before(tmp_path):
    """The catalog would name the sha256 of the file that the command found, or that its own node has."""
    torch.save(package(7), tmp_path / "cccc.th")
    model = find(str(tmp_path))
    torch.save(package(8), tmp_path / "cccc.th")
    with pytest.raises(DataError, match=r"cccc\.th is another file than when this command began"):
        Separator(model)


def test_absent_weights_are_named_with_the_way_to_bring_them(tmp_path, monkeypatch, data):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DataError) as raised:
        main(["vocals", "tiny", "--data", str(data)])
    said = str(raised.value)
    for part in (
        "955717e8.safetensors",
        "955717e8-8726e21a.th",
        str(tmp_path / "torch"),
        "adefossez/HTDemucs",
        "--weights DIR",
    ):
        assert part in said
    with pytest.raises(DataError, match=rf"which is not in {tmp_path}"):
        find("htdemucs", tmp_path)
    with pytest.raises(DataError, match="did you mean htdemucs"):
        find("htdemuc", tmp_path)
    with pytest.raises(DataError, match=r"holds 0 \.yaml and 0 \.th or \.safetensors files"):
        find(str(tmp_path))


def test_a_download_cache_serves(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub/checkpoints/955717e8-8726e21a.th"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not these")
    with pytest.raises(DataError, match="is damaged: its sha256 does not begin with 8726e21a"):
        find("htdemucs")


class Runs:
    """A pickle that would run a command."""

    def __reduce__(self):
        return os.system, ("touch /tmp/siren-pickle-ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: package(1, training_args=Runs()), "no Demucs model that can be read safely"),
        (lambda: package(1, klass=dict), "no Demucs model that can be read safely"),
        (lambda: package(1, klass="demucs.htdemucs.HTDemucs"), "names no network"),
        (lambda: package(1, state={"__quantized": True}), "quantised"),
        (lambda: package(1, kwargs=SMALL | {"channels": 12}), "does not fit the network"),
        (lambda: package(1, kwargs=SMALL | {"sources": ["a", "b", "c", "d"]}), "no vocals"),
        (lambda: [1], "names no network"),
    ],
)
def test_files_that_are_no_model_run_no_code_and_are_named(content, message, tmp_path):
    torch.save(content(), tmp_path / "x.th")
    with pytest.raises(DataError, match=message) as raised:
        network(tmp_path / "x.th")
    assert "x.th" in str(raised.value) and not os.path.exists("/tmp/siren-pickle-ran")
    (tmp_path / "x.th").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"x\.th is no Demucs model"):
        network(tmp_path / "x.th")


TINY = {"sources": ["drums", "bass", "other", "vocals"], "channels": 4, "depth": 1, "dconv_mode": 0, "segment": 1}


@pytest.mark.parametrize(
    ("bag", "message"),
    [
        ("segment: 0", r"t\.yaml asks for windows \(segment\) of 0 seconds"),
        ("segment: .nan", r"t\.yaml asks for windows \(segment\) of nan seconds"),
        ("segment: 1.0e-9", r"t\.yaml asks for windows \(segment\) of 1e-09 seconds"),
        ("segment: 2020-13-01", r"t\.yaml is not a bag of Demucs \(month"),
        ("weights: [[1., 1.]]", r"t\.yaml has 2 weights for x\.safetensors, which has 4 sources \(drums, bass, other, vo"),
        ("weights: [[1., 1., 1., 0.]]", r"t\.yaml has weights of the vocals that add up to 0\.0"),
        ("weights: [[1., 1., 1., .nan]]", r"t\.yaml is not a bag of Demucs"),
        ("weights: [[1., 1., 1., 1" + 400 * "0" + "]]", r"t\.yaml is not a bag of Demucs"),
    ],
)  # fmt: skip
def test_a_bag_that_cannot_be_used_is_named(bag, message, data, tmp_path):
    tiny(tmp_path / "own")
    (tmp_path / "own/t.yaml").write_text(f"models: [x]\n{bag}\n")
    with pytest.raises(DataError, match=message):
        main(["vocals", "tiny", "--model", str(tmp_path / "own"), "--data", str(data)])


def test_a_file_where_the_folder_of_weights_is_due_is_named(folder):
    """The file was said not to be in itself."""
    with pytest.raises(DataError, match=rf"aaaa\.th is a file; pass the folder that it lies in: --weights {folder}"):
        find("htdemucs", folder / "aaaa.th")


def test_a_bag_with_weights_and_windows_of_its_own_is_used(tmp_path):
    tiny(tmp_path)
    (tmp_path / "t.yaml").write_text("models: [x]\nweights: [[0, 0, 0, 2]]\nsegment: 0.5\n")
    (voice,) = Separator(find(str(tmp_path))).vocals([(song(0.7, 16_000, 1), 16_000)])
    assert voice.shape == (11_200,) and np.isfinite(voice).all()


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"args": "[1,"}, "metadata args or kwargs that are not Demucs'"),
        ({"args": 100_000 * "["}, "metadata args or kwargs that are not Demucs'"),
        ({"kwargs": '{"segment": {"_type": "fraction"}}'}, r"metadata args or kwargs that are .* \('numerator'\)"),
        ({"kwargs": '{"segment": {"_type": "fraction", "numerator": 1, "denominator": 0}}'}, "metadata args or kwargs"),
        ({"kwargs": "[]"}, "does not fit the network"),
        ({"kwargs": json.dumps(TINY | {"channels": "x"})}, "does not fit the network"),
        ({"kwargs": json.dumps(TINY | {"segment": 0})}, "windows .segment. of 0 seconds"),
        ({"kwargs": json.dumps(TINY | {"segment": "x"})}, "windows .segment. of x seconds"),
    ],
)
def test_a_safetensors_file_with_arguments_of_no_network_is_named(about, message, data, tmp_path):
    tiny(tmp_path / "own", about)
    with pytest.raises(DataError, match=message) as raised:
        main(["vocals", "tiny", "--model", str(tmp_path / "own"), "--data", str(data)])
    assert "x.safetensors" in str(raised.value)


def tiny(folder, about=()):
    """x.safetensors of the smallest Demucs, with some of its metadata changed."""
    from demucs.demucs import Demucs
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    described = {"klass": "demucs.demucs.Demucs", "args": "[]", "kwargs": json.dumps(TINY)} | dict(about)
    save_file(Demucs(**TINY).state_dict(), folder / "x.safetensors", described)


def test_a_safetensors_file_names_no_class_of_its_own_choice(tmp_path):
    from safetensors.torch import save_file

    save_file(
        {"a": torch.zeros(1)}, tmp_path / "x.safetensors", {"klass": "os.system", "args": '["true"]', "kwargs": "{}"}
    )
    with pytest.raises(DataError, match="names the network 'system'"):
        network(tmp_path / "x.safetensors")


def test_the_command_line(data, folder, capsys):
    assert main(["vocals", "tiny", "--model", str(folder), "--data", str(data), "--audio-codec", "pcm"]) == 0
    assert "tiny: vocals of 6 clips in 5 shards" in capsys.readouterr().out
    with pytest.raises(DataError, match="--device cudda cannot be used"):
        main(["vocals", "tiny", "--model", str(folder), "--device", "cudda", "--data", str(data)])
    with pytest.raises(DataError, match="--batch takes a number"):
        main(["vocals", "tiny", "--model", str(folder), "--batch", "0", "--data", str(data)])
    with pytest.raises(DataError, match="holds no corpus of singing; name the one"):
        main(["vocals", "all", "--model", str(folder), "--data", str(data)])
    path = small_corpus.build(data.parent / "stems", rows=[("v", "bonafide", None, "en", 16_000, "WAV")])
    with catalog.connect(path / "catalog.duckdb", read_only=False) as con:
        con.execute("UPDATE utterance SET \"condition\" = 'vocals'")
    with pytest.raises(DataError, match="all 1 clips are published as vocals already"):
        main(["vocals", "tiny", "--model", str(folder), "--data", str(path)])


def test_stereo_sources_are_separated_as_stereo(folder):
    """The mean of the channels comes after the separation, not before it."""
    wave = song(0.5, 22_050, 2)
    wave[1] *= -1
    (voice,) = Separator(find("small", folder)).vocals([(wave, 22_050)])
    want = reference(folder, wave, 22_050)
    np.testing.assert_allclose(voice, want[: voice.size], atol=1e-3 * np.abs(want).max() + 1 / 32768)
