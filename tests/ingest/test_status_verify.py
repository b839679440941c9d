"""What status and verify say of clean corpora (nothing), and of each planted fault."""

import json
import os

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
import torchaudio
import whole_corpus
from whole_corpus import ingest, query

from ingest import catalog, status, sweep, verify
from ingest.types import DataError

WILD = "in_the_wild"


@pytest.fixture
def root(tmp_path):
    """A corpus of 24 clips of 16 kHz noise, half of them bona fide."""
    folder = tmp_path / "corpus/release_in_the_wild"
    lines = ["file,speaker,label"]
    for number in range(24):
        whole_corpus.noise(folder / f"{number}.wav", number)
        lines.append(f"{number}.wav,Speaker {number % 3},{('bona-fide', 'spoof')[number % 2]}")
    (folder / "meta.csv").write_text("\n".join(lines) + "\n")
    counts = {"counts": [[None, "bonafide", 12], [None, "spoof", 12]]}
    (tmp_path / "corpus/.siren-simulated").write_text(json.dumps(counts))
    return tmp_path / "corpus"


@pytest.fixture
def data(root, tmp_path):
    ingest(WILD, root, tmp_path / "data")
    return tmp_path / "data"


def clip(root, number):
    return root / f"release_in_the_wild/{number}.wav"


def found(data, **options):
    return {problem.kind: problem for problem in verify.verify(WILD, data, jobs=1, **options).problems}


def said(data, capsys, *names):
    code = status.main(data, names, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (code == 0)
    return code, told["corpora"]


def test_a_clean_corpus_has_nothing_wrong(data, capsys):
    assert found(data) == {}
    assert found(data, deep=True) == {}
    code, (corpus,) = said(data, capsys)
    assert code == 0 and not corpus["short"] and corpus["simulated"] and not corpus["cures"]
    assert [(row["label"], row["rows"], row["ok"], row["missing"]) for row in corpus["rows"]] == [
        ("bonafide", 12, 12, 0), ("spoof", 12, 12, 0)
    ]  # fmt: skip
    assert status.main(data, [], as_json=False) == 0
    assert "bonafide        12    12     12        0        0" in capsys.readouterr().out


def test_unchanged_files_are_not_decoded_again_unless_deep(data, monkeypatch):
    assert verify.verify(WILD, data, deep=True, jobs=1).decoded == 24
    monkeypatch.setattr(sweep.measure, "measure_all", lambda paths: pytest.fail(f"decodes {paths}"))
    assert verify.verify(WILD, data).decoded == 0


def test_a_file_that_vanished_is_missing_and_one_that_came_back_is_not(data, root, capsys):
    before = whole_corpus.everything(data)
    moved = clip(root, 4).rename(root / "elsewhere.wav")
    assert found(data)["missing"].count == 1
    code, (corpus,) = said(data, capsys)
    assert code == 1 and corpus["partial"] and "unpack" in corpus["cures"][0]
    assert query(data, "SELECT count(*) AS n FROM measurement") == [{"n": 23}]
    assert status.main(data, [], as_json=False) == 1
    assert "missing: 1 of 12 bonafide; unpack release_in_the_wild.zip" in capsys.readouterr().out
    moved.rename(clip(root, 4))
    assert found(data) == {}
    assert whole_corpus.everything(data) == before


def test_files_of_no_row_are_told_as_they_are_now(data, root, capsys):
    for name in ("99.wav", "98.wav"):
        whole_corpus.noise(root / f"release_in_the_wild/{name}", 99)
    for _ in range(2):
        assert verify.main(data, [], deep=False, jobs=1, as_json=False) == 0
        assert "extra: 2 (first: release_in_the_wild/98.wav); no rows" in capsys.readouterr().out
        assert [row["path"] for row in query(data, "FROM finding WHERE kind = 'extra' ORDER BY path")] == [
            "release_in_the_wild/98.wav", "release_in_the_wild/99.wav"
        ]  # fmt: skip
    (root / "release_in_the_wild/98.wav").unlink()
    assert verify.verify(WILD, data, jobs=1).extra == 1
    code, (corpus,) = said(data, capsys)
    assert code == 0 and [(one["kind"], one["count"]) for one in corpus["findings"]] == [("extra", 1)]


def test_a_file_that_moves_about_is_the_row_of_a_new_ingest(tmp_path):
    root = whole_corpus.build("decro", tmp_path / "corpus")
    data, clip = tmp_path / "data", root / "en_train/pwg_LJ045-0151_gen.wav"
    ingest("decro", root, data)
    before = whole_corpus.everything(data)
    places = (
        root / "en_train/deep/pwg_LJ045-0151_gen.wav",
        root / "en_train/pwg_LJ045-0151_gen.WAV",
        tmp_path / "x",
        clip,
    )
    for place in places:  # deeper, another name, away, and back
        place.parent.mkdir(exist_ok=True)
        clip.rename(place)
        clip = place
        verify.verify("decro", data, jobs=1)
        (row,) = query(data, "FROM utterance WHERE utt_id = 'decro/en_train/pwg_LJ045-0151_gen'")
        there = place.is_relative_to(root)
        assert row["path"] == (place.relative_to(root).as_posix() if there else "en_train/pwg_LJ045-0151_gen.wav")
        assert row["audio_present"] == there
    assert whole_corpus.everything(data) == before


def test_a_damaged_file_that_gets_another_name_is_named_once(data, root):
    clip(root, 3).write_bytes(clip(root, 3).read_bytes()[:3000])
    assert found(data)["truncated"].count == 1
    clip(root, 3).rename(clip(root, 3).with_suffix(".WAV"))
    assert found(data)["truncated"].first == "release_in_the_wild/3.WAV"
    assert [row["path"] for row in query(data, "FROM finding WHERE kind = 'corrupt'")] == ["release_in_the_wild/3.WAV"]


def test_damaged_files_are_decoded_again_and_named(data, root):
    clip(root, 2).write_bytes(b"")
    whole = clip(root, 3).read_bytes()
    clip(root, 3).write_bytes(whole[:3000])
    problems = found(data)
    assert (problems["unreadable"].count, problems["truncated"].count) == (1, 1)
    assert problems["truncated"].first == "release_in_the_wild/3.wav"
    assert verify.verify(WILD, data).decoded == 0, "they are known to be damaged"
    clip(root, 3).write_bytes(whole)
    assert set(found(data)) == {"unreadable"}
    assert len(query(data, "FROM finding WHERE kind = 'corrupt'")) == 1


def test_rates_that_differ_by_folder_are_looked_at_too(tmp_path):
    root = whole_corpus.build("wavefake", tmp_path / "corpus")
    rates = {"real_audio/jsut_ver1.1": 48_000, "generated_audio/jsut": 24_000}
    for path in root.rglob("*.wav"):
        name = path.relative_to(root).as_posix()
        whole_corpus.noise(
            path, len(name), rate_hz=next((r for key, r in rates.items() if name.startswith(key)), 22_050)
        )
    ingest("wavefake", root, tmp_path / "data")
    told = [one for one in verify.verify("wavefake", tmp_path / "data", jobs=1).problems if one.kind == "wrong_rate"]
    assert not told
    whole_corpus.noise(root / "generated_audio/ljspeech_waveglow/LJ001-0001.wav", 3, rate_hz=16_000)
    whole_corpus.noise(root / "generated_audio/jsut_parallel_wavegan/BASIC5000_0001_gen.wav", 3, rate_hz=48_000)
    told = [one for one in verify.verify("wavefake", tmp_path / "data", jobs=1).problems if one.kind == "wrong_rate"]
    assert [(one.count, one.cure[:32]) for one in told] == [
        (1, "they are published at 22050 Hz: "), (1, "they are published at 24000 Hz: ")
    ]  # fmt: skip


def test_wrong_rate_silence_and_clipping(data, root):
    whole_corpus.noise(clip(root, 5), 5, rate_hz=8000)
    soundfile.write(clip(root, 6), np.zeros(8000), 16_000)
    soundfile.write(clip(root, 7), np.random.default_rng(0).standard_normal(8000).clip(-1, 1), 16_000)
    problems = found(data)
    assert set(problems) == {"changed", "wrong_rate", "silent", "clipped"} and problems["changed"].count == 3
    assert [problems[kind].first for kind in ("wrong_rate", "silent", "clipped")] == [
        f"release_in_the_wild/{number}.wav" for number in (5, 6, 7)
    ]
    assert "published at 16000 Hz" in problems["wrong_rate"].cure


def test_channels_that_cancel_each_other_are_told(data, root):
    """Their mean, which is what is heard, is silent: the clips were said to be sound."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    soundfile.write(clip(root, 5), np.stack([wave, -wave], 1), 16_000)
    soundfile.write(clip(root, 6), np.stack([wave, 0.9 * wave], 1), 16_000)
    problems = found(data)
    assert set(problems) == {"changed", "cancelled"}
    assert (problems["cancelled"].count, problems["cancelled"].first) == (1, "release_in_the_wild/5.wav")


def test_a_format_under_the_name_of_another_is_told(data, root):
    wave, rate_hz = soundfile.read(clip(root, 5))
    soundfile.write(clip(root, 5), wave, rate_hz, format="FLAC")
    problem = found(data)["other_format"]
    assert (problem.count, problem.first) == (1, "release_in_the_wild/5.wav")
    clip(root, 5).rename(clip(root, 5).with_suffix(".FLAC"))
    assert "other_format" not in found(data), "a converted file that says so"


def test_copied_audio_is_found_by_its_samples(data, root):
    soundfile.write(clip(root, 9), soundfile.read(clip(root, 8))[0], 16_000, format="WAV", subtype="PCM_16")
    problem = found(data)["duplicate_audio"]
    assert problem.count == 1 and problem.first == "release_in_the_wild/8.wav = release_in_the_wild/9.wav"
    assert "1 recordings, 1 of them under both labels" in problem.cure


def test_upsampled_material_has_a_narrow_band(data, root):
    for number in (1, 3, 5):
        falling = scipy.signal.lfilter([0.1], [1, -0.9], soundfile.read(clip(root, number))[0])  # as speech does
        narrow = torchaudio.functional.resample(torch.from_numpy(falling), 16_000, 8000)
        soundfile.write(clip(root, number), torchaudio.functional.resample(narrow, 8000, 16_000).numpy(), 16_000)
    problem = found(data)["narrow_band"]
    assert problem.count == 3 and problem.cure.startswith("3 of 12 spoof files")


def test_a_format_that_only_one_label_has_is_told(data, root):
    for number in range(1, 24, 2):
        wave = soundfile.read(clip(root, number))[0]
        soundfile.write(clip(root, number), wave, 16_000, subtype="PCM_24")
    problem = found(data)["format_tells_label"]
    assert "100% of the files" in problem.cure and "PCM_24" in problem.cure


def test_deep_finds_what_size_and_time_hide(data, root):
    path, before = clip(root, 10), clip(root, 10).stat()
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(data) == {}
    assert found(data, deep=True)["changed_unseen"].first == "release_in_the_wild/10.wav"


def test_a_file_with_other_samples_is_told_once(data, root):
    """`verify` took a replaced file into the catalog and said "nothing wrong"."""
    path = clip(root, 10)
    wave, rate_hz = soundfile.read(path)
    path.touch()
    assert found(data) == {}  # the same samples, copied anew
    soundfile.write(path, wave[::-1], rate_hz)
    problem = found(data)["changed"]
    assert (problem.count, problem.first) == (
        1,
        "release_in_the_wild/10.wav",
    ) and "make the shards anew" in problem.cure
    assert found(data) == {}


def test_counts_that_fell_short_are_listed(root, tmp_path, capsys):
    meta = root / "release_in_the_wild/meta.csv"
    meta.write_text("\n".join(meta.read_text().splitlines()[:-1]))
    ingest(WILD, root, tmp_path / "d", partial=True)
    capsys.readouterr()
    code, (corpus,) = said(tmp_path / "d", capsys, WILD)
    assert code == 1 and [(c["label"], c["found"], c["short"]) for c in corpus["expected"]] == [
        ("bonafide", 12, False), ("spoof", 11, True)
    ]  # fmt: skip
    assert [(f["kind"], f["count"]) for f in corpus["findings"]] == [("extra", 1)]
    status.main(tmp_path / "d", [], as_json=False)
    assert "spoof: 11 rows, expected 12" in capsys.readouterr().out


def test_unknown_names_and_absent_folders_are_refused(data, root, tmp_path):
    with pytest.raises(DataError, match="did you mean in_the_wild"):
        status.main(data, ["in_the_wood"], as_json=False)
    with pytest.raises(DataError, match="ingest a corpus first"):
        status.main(tmp_path / "none", [], as_json=False)
    root.rename(tmp_path / "away")
    with pytest.raises(DataError, match="is not there; mount the disk"):
        verify.verify(WILD, data)


def test_verify_prints_and_returns_its_verdict(data, root, capsys):
    assert verify.main(data, [], deep=False, jobs=1, as_json=False) == 0
    assert capsys.readouterr().out == f"{WILD}: 24 files, 0 decoded, nothing wrong\n"
    clip(root, 0).write_bytes(b"")
    assert verify.main(data, [WILD], deep=False, jobs=1, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["corpora"][0]["problems"][0]["kind"] == "unreadable"


def test_one_that_cannot_be_looked_at_keeps_no_other_from_it(data, root, capsys):
    """A corpus whose parser was deleted, or whose disk is away, ended the command before the next one."""
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        for name in ("ours", "decro"):
            con.execute("INSERT INTO corpus SELECT ?, * EXCLUDE (corpus) FROM corpus WHERE corpus = ?", [name, WILD])
        con.execute("UPDATE corpus SET root = '/nowhere' WHERE corpus = 'decro'")
    clip(root, 0).write_bytes(b"")
    for as_json in (False, True):
        with pytest.raises(DataError, match=r"^2 of 3 corpora not verified: decro: /nowhere .*; ours: .*ours.py, its"):
            verify.main(data, [], deep=False, jobs=1, as_json=as_json)
    text, told = capsys.readouterr().out.split("{", 1)
    assert text.startswith(f"{WILD}: 24 files, 1 decoded, problems: 1") and not json.loads("{" + told)["ok"]
    with pytest.raises(DataError, match=r"^ours: ingest/corpora/ours\.py"):
        verify.main(data, ["ours"], deep=False, jobs=1, as_json=True)
    assert not capsys.readouterr().out
