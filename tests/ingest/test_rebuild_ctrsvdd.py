"""Rebuilding CtrSVDD's bona fide clips: the cut, the traps of the timestamp files, resuming, the report."""

import hashlib
import shutil

import numpy as np
import pytest
import soundfile
from miniatures import put, tone
from shared_data import shared

from ingest import audio, rebuild_ctrsvdd
from ingest.rebuild_ctrsvdd import main, read_timestamps, rebuild
from ingest.types import DataError

OFUTON = "kagome/kagome.wav CtrSVDD_0000_T_0000001 0.0 0.5\ntombi/tombi.wav CtrSVDD_0000_T_0000002 0.25 1.0\n"
ONIKU = "kagome/kagome.wav CtrSVDD_0001_T_0000003 0.1 0.4\nonly/only.wav CtrSVDD_0001_T_0000004 0.0 0.3\n"


@pytest.fixture
def ctrsvdd(tmp_path):
    root = tmp_path / "CtrSVDD"
    put(root / "timestamps/ofuton_timestamps_train.txt", OFUTON)
    put(root / "timestamps/oniku_timestamps_train.txt", ONIKU)
    put(root / "train.txt", (
        "ofuton CtrSVDD_0000 CtrSVDD_0000_T_0000001 - - bonafide\nofuton CtrSVDD_0000 CtrSVDD_0000_T_0000002 - - bonafide\n"
        "oniku CtrSVDD_0001 CtrSVDD_0001_T_0000003 - - bonafide\noniku CtrSVDD_0001 CtrSVDD_0001_T_0000004 - - bonafide\n"
        "opencpop CtrSVDD_0002 CtrSVDD_0002_T_0000009 - A01 deepfake\n"
    ))  # fmt: skip
    return root


@pytest.fixture
def ofuton(tmp_path):
    folder = tmp_path / "OFUTON_P_UTAGOE_DB"
    tone(folder / "kagome/kagome.wav", seconds=1, rate_hz=44_100, hz=300, channels=2)
    tone(folder / "tombi/tombi.wav", seconds=1, rate_hz=44_100, hz=500)
    return folder


@pytest.fixture
def oniku(tmp_path):
    folder = tmp_path / "ONIKU_KURUMI_UTAGOE_DB"
    tone(folder / "kagome/kagome.wav", seconds=1, rate_hz=48_000, hz=700)
    tone(folder / "only/only.wav", seconds=1, rate_hz=48_000, hz=900)
    return folder


def bytes_of(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.flac"))}


def test_clips_are_cut_after_resampling_the_whole_source(ctrsvdd, ofuton):
    (one, two) = rebuild(ctrsvdd, {"ofuton": ofuton})
    assert (one.corpus, one.wanted, one.there, one.cut, one.absent) == ("ofuton", 2, 0, 2, {})
    assert (two.corpus, two.cut) == ("oniku", 0) and two.absent == {
        "no --external oniku=DIR": ("CtrSVDD_0001_T_0000003", "CtrSVDD_0001_T_0000004")
    }
    clip, rate_hz = soundfile.read(ctrsvdd / "train_set/CtrSVDD_0000_T_0000002.flac", dtype="float32")
    whole = audio.mono16k(ofuton / "tombi/tombi.wav")
    assert rate_hz == 16_000 and clip.shape == (12_000,)
    np.testing.assert_allclose(clip, whole[4_000:16_000], atol=2**-15)


def test_two_channels_become_their_mean(ctrsvdd, tmp_path, ofuton):
    left, right = np.full(44_100, 0.5), np.full(44_100, -0.25)
    soundfile.write(ofuton / "kagome/kagome.wav", np.stack([left, right], axis=1), 44_100)
    rebuild(ctrsvdd, {"ofuton": ofuton})
    clip, _ = soundfile.read(ctrsvdd / "train_set/CtrSVDD_0000_T_0000001.flac")
    assert clip.ndim == 1 and np.abs(clip[1000:7000] - 0.125).max() < 1e-3


def test_a_second_run_does_nothing_and_a_killed_one_goes_on(ctrsvdd, ofuton, oniku):
    externals = {"ofuton": ofuton, "oniku": oniku}
    rebuild(ctrsvdd, externals)
    whole = bytes_of(ctrsvdd)
    assert len(whole) == 4
    assert [(one.there, one.cut) for one in rebuild(ctrsvdd, externals)] == [(2, 0), (2, 0)]
    (ctrsvdd / "train_set/CtrSVDD_0000_T_0000001.flac").unlink()
    (ctrsvdd / "train_set/CtrSVDD_0001_T_0000004.flac").write_bytes(b"fLaC cut off")
    tone(ctrsvdd / "train_set/CtrSVDD_0001_T_0000003.flac", seconds=0.3, rate_hz=48_000)  # resampled by no one
    assert [(one.there, one.cut) for one in rebuild(ctrsvdd, externals)] == [(1, 1), (0, 2)]
    assert bytes_of(ctrsvdd) == whole


def test_several_processes_cut_the_same_bytes(ctrsvdd, ofuton, oniku, tmp_path):
    externals = {"ofuton": ofuton, "oniku": oniku}
    rebuild(ctrsvdd, externals, out=tmp_path / "one")
    rebuild(ctrsvdd, externals, out=tmp_path / "two", jobs=2)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two") != {}
    assert not (ctrsvdd / "train_set").exists()


def test_names_common_to_ofuton_and_oniku_need_a_folder_each(ctrsvdd, ofuton, oniku, tmp_path):
    with pytest.raises(DataError, match="is given as ofuton and as oniku"):
        rebuild(ctrsvdd, {"ofuton": ofuton, "oniku": ofuton})
    with pytest.raises(DataError, match=r"ofuton=.*ONIKU.*: holds recordings of oniku .*only/only\.wav.* 1 names"):
        rebuild(ctrsvdd, {"ofuton": oniku})
    merged = shutil.copytree(ofuton, tmp_path / "merged")
    shutil.copytree(oniku, merged, dirs_exist_ok=True)
    with pytest.raises(DataError, match="holds recordings of oniku"):
        rebuild(ctrsvdd, {"ofuton": merged})
    assert not (ctrsvdd / "train_set").exists()


def test_the_folder_above_is_understood(ctrsvdd, ofuton, tmp_path):
    assert rebuild(ctrsvdd, {"ofuton": tmp_path})[0].cut == 2
    put(ctrsvdd / "kiritan_timestamps_dev.txt", "01.wav CtrSVDD_0050_D_0000001 0 0.5\n")
    tone(tmp_path / "kiritan_singing/wav/01.wav", seconds=1, rate_hz=48_000)
    rebuild(ctrsvdd, {"kiritan": tmp_path / "kiritan_singing"}, timestamps=ctrsvdd)
    assert (ctrsvdd / "dev_set/CtrSVDD_0050_D_0000001.flac").is_file()


def test_nothing_is_written_below_a_source_corpus(ctrsvdd, ofuton):
    with pytest.raises(DataError, match="nothing is written below a source corpus"):
        rebuild(ctrsvdd, {"ofuton": ofuton}, out=ofuton / "clips")


def test_what_libsndfile_cannot_read_ffmpeg_decodes(ctrsvdd, ofuton):
    import ffmpeg

    wav, m4a = ofuton / "kagome/kagome.wav", ofuton / "kagome/kagome.m4a"
    ffmpeg.input(str(wav)).output(str(m4a), acodec="aac", loglevel="error").run(cmd=audio.ffmpeg())
    wav.unlink()
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(m4a)
    assert rebuild(ctrsvdd, {"ofuton": ofuton})[0].cut == 2
    clip, _ = soundfile.read(ctrsvdd / "train_set/CtrSVDD_0000_T_0000001.flac")
    spectrum = np.abs(np.fft.rfft(clip[2000:6000]))
    assert clip.shape == (8000,) and abs(np.argmax(spectrum) * 16_000 / 4000 - 300) < 8


def test_what_is_absent_damaged_or_short_is_named(ctrsvdd, ofuton, oniku):
    put(ofuton / "tombi/tombi.wav", "<html>not found</html>")
    tone(oniku / "only/only.wav", seconds=0.1, rate_hz=48_000)
    (oniku / "kagome/kagome.wav").unlink()
    one, two = rebuild(ctrsvdd, {"ofuton": ofuton, "oniku": oniku})
    assert (one.cut, [len(stems) for stems in one.absent.values()]) == (1, [1])
    assert "tombi.wav cannot be decoded" in next(iter(one.absent))
    assert two.cut == 0 and sorted(two.absent.values()) == [("CtrSVDD_0001_T_0000003",), ("CtrSVDD_0001_T_0000004",)]
    assert any("ends at 0.10 s" in why for why in two.absent) and any("is not below" in why for why in two.absent)


def test_clips_of_an_archive_that_was_unpacked_into_train_have_audio(ctrsvdd, ofuton, capsys):
    put(ctrsvdd / "train/CtrSVDD_0001_T_0000003.flac", b"x")
    main(["--root", str(ctrsvdd), "--jobs", "1", "--external", f"ofuton={ofuton}"])
    assert capsys.readouterr().out.splitlines()[-1] == (
        "train.txt: 3 of 4 bona fide clips have audio, 1 have not (first: CtrSVDD_0001_T_0000004.flac)"
    )


def test_the_command_reports_and_its_exit_code_says_whether_all_is_there(ctrsvdd, ofuton, oniku, capsys):
    arguments = ["--root", str(ctrsvdd), "--jobs", "1", "--external", f"ofuton={ofuton}"]
    assert main(arguments) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "ofuton train: 2 clips, 0 were there, 2 cut now, 0 absent",
        "oniku train: 2 clips, 0 were there, 0 cut now, 2 absent",
        "  2 absent: no --external oniku=DIR (first: CtrSVDD_0001_T_0000003)",
        "2 of 4 clips are there, 2 still absent",
        "train.txt: 2 of 4 bona fide clips have audio, 2 have not (first: CtrSVDD_0001_T_0000003.flac)",
    ]
    assert main([*arguments, "--external", f"oniku={oniku}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "train.txt: 4 of 4 bona fide clips have audio"


@pytest.mark.parametrize(
    ("words", "message"),
    [(["oniki=x"], "unknown external corpus 'oniki'; did you mean oniku"), (["oniku"], "write NAME=DIR"),
     (["oniku="], "write NAME=DIR"), (["jvs=a", "jvsmusic=b"], "given twice"), (["oniku=/nowhere/x"], "no such folder")],
)  # fmt: skip
def test_wrong_externals(words, message, ctrsvdd):
    with pytest.raises(DataError, match=message):
        main(["--root", str(ctrsvdd), *(part for word in words for part in ("--external", word))])


def test_without_timestamp_files_there_is_nothing_to_cut_by(tmp_path):
    with pytest.raises(DataError, match="timestamps of CtrSVDD_Utils"):
        rebuild(tmp_path, {})


@pytest.mark.parametrize("separator", [" ", "\t", "  \t"])
def test_timestamps_are_split_at_blanks_or_tabs_from_the_right(separator, tmp_path):
    line = separator.join(["my songs/a b.wav", "CtrSVDD_0050_D_0000001", "0.5", "7.14"])
    path = put(tmp_path / "jvs_timestamps_dev.txt", f"\ufeff{line}\r\n\r\n")
    (segment,) = read_timestamps(path)
    assert (segment.source, segment.stem, segment.begin_s, segment.end_s) == (
        "my songs/a b.wav", "CtrSVDD_0050_D_0000001", 0.5, 7.14,
    )  # fmt: skip
    assert segment.samples == slice(8_000, 114_240) and segment.path == "dev_set/CtrSVDD_0050_D_0000001.flac"


@pytest.mark.parametrize(
    ("line", "message"),
    [("a.wav CtrSVDD_0050_T_0000001 0 1", r"line 2: .* not a dev clip; revisions before 10 January 2024"),
     ("a.wav CtrSVDD_0050_D_0000001 0", "line 2: 3 fields"), ("a.wav X 0 1", "line 2: 'X' is no stem"),
     ("a.wav CtrSVDD_0050_D_0000001 1 1", "line 2: 1 1 are no begin and end"),
     ("a.wav CtrSVDD_0050_D_0000001 0 inf", "line 2: 0 inf are no begin"),
     ("a.wav CtrSVDD_0050_D_0000001 0 nan", "line 2: 0 nan are no begin"),
     ("a.wav CtrSVDD_0050_D_0000009 0 1", r"line 2: CtrSVDD_0050_D_0000009 again \(first on line 1\)")],
)  # fmt: skip
def test_timestamp_lines_that_are_wrong_are_named(line, message, tmp_path):
    path = put(tmp_path / "jvs_timestamps_dev.txt", f"a.wav CtrSVDD_0050_D_0000009 0 1\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_timestamps(path)


def test_a_path_that_leaves_its_folder_is_refused(ctrsvdd, ofuton):
    put(ctrsvdd / "timestamps/ofuton_timestamps_train.txt", "../x.wav CtrSVDD_0000_T_0000001 0.0 0.5\n")
    with pytest.raises(DataError, match="leaves the folder"):
        rebuild(ctrsvdd, {"ofuton": ofuton})


@pytest.mark.parametrize(
    ("name", "rows", "sources", "hours"),
    [("ofuton_timestamps_train", 394, 57, 0.900), ("oniku_timestamps_train", 451, 56, 1.160),
     ("jvs_timestamps_train", 1393, 200, 1.802), ("jvs_timestamps_dev", 1372, 200, 1.783)],
)  # fmt: skip
def test_the_published_timestamp_files(name, rows, sources, hours):
    segments = read_timestamps(shared("protocols", "ctrsvdd", f"{name}.txt"))
    assert len(segments) == rows and len({segment.source for segment in segments}) == sources
    assert sum(segment.end_s - segment.begin_s for segment in segments) / 3600 == pytest.approx(hours, abs=5e-4)


def test_ofuton_and_oniku_share_29_paths():
    ofuton, oniku = (
        {segment.source for segment in read_timestamps(shared("protocols", "ctrsvdd", f"{name}_timestamps_train.txt"))}
        for name in ("ofuton", "oniku")
    )
    assert len(ofuton & oniku) == 29


def test_the_four_source_corpora():
    assert set(rebuild_ctrsvdd.EXTERNALS) == {"ofuton", "oniku", "jvs", "kiritan"}
