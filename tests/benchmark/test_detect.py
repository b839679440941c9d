"""python -m benchmark detect and export, by the command line."""

import csv
import io
import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import trained_run

from benchmark import detect_cli, verdicts
from ingest.cli import Parser
from ingest.types import DataError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(data folder, run id, export folder)."""
    folder = tmp_path_factory.mktemp("run")
    run_id = trained_run.make(folder)
    call("export", run_id, "--to", folder / "model", "--data", folder / "data")
    return folder / "data", run_id, folder / "model"


def call(*words):
    parser = Parser(prog="benchmark")
    detect_cli.add(parser.add_subparsers(dest="command", required=True))
    arguments = parser.parse_args([str(word) for word in words])
    return arguments.does(arguments)


@pytest.fixture
def files(tmp_path):
    """A folder with two good files, one bad, one that is no audio, and a hidden one."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(70_000), 16_000)
    soundfile.write(folder / "deep" / "b.flac", trained_run.tone(2, 24_000), 24_000)
    (folder / "c.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("not audio")
    shutil.copy(folder / "a.wav", folder / ".hidden.wav")
    return folder


@pytest.mark.parametrize("out", ["v.jsonl", "v.csv", "v.parquet"])
def test_a_folder_is_judged_and_the_bad_file_named_and_counted(made, files, tmp_path, capsys, out):
    assert call("detect", files, "--model", made[2], "--out", tmp_path / out) == 1
    said = capsys.readouterr()
    assert "1 of 3 files could not be judged" in said.err and "c.wav" in said.err
    assert "Cllr" in said.err and "threshold" in said.err
    lines = said.out.splitlines()
    assert len(lines) == 3 and sum("not judged" in line for line in lines) == 1
    rows = READ[out](tmp_path / out)
    assert [row["path"] for row in rows] == [str(files / name) for name in ("a.wav", "c.wav", "deep/b.flac")]
    good = rows[0]
    assert good["verdict"] in ("bonafide", "spoof") and float(good["llr"]) and not good["error"]
    assert len(loaded(good["windows"])) > 1 and loaded(good["provenance"])["detector"] == "mean_pool"
    assert rows[1]["error"] and not rows[1]["verdict"] and loaded(rows[1]["windows"]) == []


READ = {
    "v.jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    "v.csv": lambda path: list(csv.DictReader(path.open())),
    "v.parquet": lambda path: pq.read_table(path).to_pylist(),
}


def loaded(value):
    return json.loads(value) if isinstance(value, str) else value


def test_the_run_its_only_detector_and_its_export_agree(made, files, capsys):
    data, run_id, model = made
    said = []
    for words in (
        ("--run", run_id),
        ("--detector", "mean_pool"),
        ("--model", model),
        ("--run", data / "scores" / run_id),
    ):
        assert call("detect", files / "a.wav", *words, "--data", data) == 0
        said.append(capsys.readouterr().out)
    assert len(set(said)) == 1 and said[0].startswith(f"{files / 'a.wav'}: ")


def test_weights_alone_give_a_raw_score_and_say_so_once(made, files, capsys):
    weights = made[0] / "models" / "mean_pool-s0-abc" / "model.safetensors"
    assert call("detect", files / "a.wav", files / "deep", "--weights", weights, "--detector", "mean_pool") == 0
    said = capsys.readouterr()
    assert said.err.count("not calibrated") == 1 and "no verdict; score" in said.out and "llr" not in said.out
    assert (
        call("detect", files / "a.wav", "--weights", weights, "--detector", "mean_pool", "--threshold", "-1000000") == 0
    )
    assert "bonafide; score" in capsys.readouterr().out


def test_singing_is_noticed_by_a_detector_of_speech(made, files, capsys):
    call("detect", files / "deep", "--model", made[2])
    assert "sounds like singing" in capsys.readouterr().out


def test_bad_names_and_bad_numbers_are_lines_among_the_others(made, tmp_path, capsys):
    """No file ends a batch: not by its name, not by numbers that no network survives."""
    wave = 0.1 * np.random.default_rng(0).standard_normal(20_000)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("=1+1.wav", "caf\udce9.wav", "\u00fcn\u00ef \U0001f3a4 'q\".wav", "new\nline\x1b[31m.wav"):
        soundfile.write(os.fsencode(folder / name), wave, 16_000)
    soundfile.write(folder / "huge.wav", wave * 1e30, 16_000, subtype="FLOAT")
    soundfile.write(folder / "loud.wav", wave * 2.0**36, 16_000, subtype="FLOAT")
    (folder / "link.wav").symlink_to("nowhere")
    for out in ("v.jsonl", "v.csv", "v.parquet"):
        words = (folder, "x" * 300 + ".wav", "--model", made[2], "--out", tmp_path / out)
        assert call("detect", *words) == 1
        rows = {row["path"].removeprefix(f"{folder}/"): row for row in READ[out](tmp_path / out)}
        assert len(rows) == 8 and "caf\\xe9.wav" in rows and "new\nline\x1b[31m.wav" in rows
        assert "times full scale" in rows["huge.wav"]["error"] and "No such file" in rows["link.wav"]["error"]
        assert "too long" in rows["x" * 300 + ".wav"]["error"]
        assert sum(not row["error"] for row in rows.values()) >= 4
    assert "\x1b" not in capsys.readouterr().out


def test_a_spreadsheet_takes_no_name_for_a_formula(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wave = 0.1 * np.random.default_rng(0).standard_normal(20_000)
    for name in ("=1+1.wav", "-x.wav", "@x.wav"):
        soundfile.write(name, wave, 16_000)
    (tmp_path / "+broken.wav").write_bytes(b"RIFF")
    call("detect", "=1+1.wav", "+broken.wav", "*x.wav", "--model", made[2], "--out", "v.csv")
    cells = [cell for row in csv.reader((tmp_path / "v.csv").open()) for cell in row]
    assert "./=1+1.wav" in cells and "./-x.wav" in cells
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@") or cell[:2] == "-x"]


def test_an_interrupted_batch_goes_on_and_gives_the_same_bytes(made, files, tmp_path, monkeypatch):
    from benchmark.inference import DeepfakeDetector

    words = ("detect", files, "--model", made[2], "--out")
    call(*words, tmp_path / "whole.jsonl")
    asked, predict = [], DeepfakeDetector.predict

    def once(self, path):
        asked.append(path.name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return predict(self, path)

    monkeypatch.setattr(DeepfakeDetector, "predict", once)
    with pytest.raises(KeyboardInterrupt):
        call(*words, tmp_path / "v.jsonl")
    assert not (tmp_path / "v.jsonl").exists()
    part = tmp_path / ".v.jsonl.part"
    with part.open("ab") as file:
        file.write(b'["torn')  # as a kill in the middle of a line leaves it
    call(*words, tmp_path / "v.jsonl")
    assert asked[3:] == ["c.wav", "b.flac"]  # not a.wav; the bad file once more
    assert (tmp_path / "v.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not part.exists()


def test_what_another_detector_judged_or_has_changed_is_judged_again(made, files, tmp_path):
    path, judge = files / "a.wav", {"detector": "mean_pool", "threshold": 0.5}
    row = {"path": str(path), "error": None}

    def interrupted(judge):
        with pytest.raises(KeyboardInterrupt), verdicts.journal(tmp_path / "v.csv", judge) as kept:
            before = kept.before(path)
            kept.add(path, row, verdicts.state(path))
            raise KeyboardInterrupt
        return before

    assert interrupted(judge) is None and interrupted(judge) == row
    assert interrupted({**judge, "threshold": 0.6}) is None
    assert interrupted({**judge, "threshold": 0.6}) == row
    soundfile.write(path, np.zeros(2000), 16_000)
    assert interrupted({**judge, "threshold": 0.6}) is None


def test_a_file_that_grows_while_it_is_judged_is_judged_again(made, files, tmp_path, monkeypatch):
    """A recording that was still being copied kept the verdict of its first part."""
    words = ("detect", files / "a.wav", files / "deep", "--model", made[2], "--out", tmp_path / "v.jsonl")
    judged = detect_cli._judged

    def disturbed(detector, path):
        if path.name == "b.flac":
            raise KeyboardInterrupt
        row = judged(detector, path)
        soundfile.write(path, 0.3 * np.random.default_rng(1).standard_normal(90_000), 16_000)
        return row

    monkeypatch.setattr(detect_cli, "_judged", disturbed)
    with pytest.raises(KeyboardInterrupt):
        call(*words)
    monkeypatch.undo()
    assert call(*words) == 0
    assert json.loads((tmp_path / "v.jsonl").read_text().splitlines()[0])["duration_s"] == 90_000 / 16_000


def test_two_writers_of_one_file_are_kept_apart(tmp_path):
    said = f"v.csv is being written by process {os.getpid()}"
    with (
        verdicts.journal(tmp_path / "v.csv", {}),
        verdicts.journal(tmp_path / "w.csv", {}),
        pytest.raises(DataError, match=said),
        verdicts.journal(tmp_path / "v.csv", {}),
    ):
        pass


def test_standard_input_is_judged(made, files, monkeypatch, capsys, tmp_path):
    call("detect", files / "a.wav", "--model", made[2])
    named = capsys.readouterr().out.split(": ", 1)[1]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper((files / "a.wav").open("rb")))
    assert call("detect", "-", "--model", made[2], "--out", tmp_path / "v.jsonl") == 0
    assert capsys.readouterr().out == f"/dev/stdin: {named}"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    assert call("detect", "-", "--model", made[2]) == 1
    assert "/dev/stdin: not judged: empty file" in capsys.readouterr().out


def test_a_folder_holds_what_telephones_record_and_says_what_it_leaves_out(files, capsys):
    for name in ("call.AMR", "film.mov", "b.m4b"):
        shutil.copy(files / "a.wav", files / name)
    names = [path.name for path in detect_cli.found([str(files)])]
    assert names == ["a.wav", "b.m4b", "c.wav", "call.AMR", "b.flac", "film.mov"]
    assert "1 files left out by their extension" in capsys.readouterr().err


def test_linked_folders_are_searched_once(files, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(files / "a.wav", tmp_path / "elsewhere" / "d.wav")
    (files / "linked").symlink_to(tmp_path / "elsewhere")
    (files / "twice").symlink_to(tmp_path / "elsewhere")
    (files / "deep" / "back").symlink_to(files)
    names = [str(path.relative_to(files)) for path in detect_cli.found([str(files)])]
    assert names == ["a.wav", "c.wav", "deep/b.flac", "linked/d.wav"]


def test_a_recording_is_not_overwritten_by_its_verdict(made, files):
    shutil.copy(files / "a.wav", files / "a.csv")
    with pytest.raises(DataError, match="is one of the files to judge"):
        call("detect", files / "a.wav", files / "a.csv", "--model", made[2], "--out", files / "deep" / ".." / "a.csv")
    assert (files / "a.csv").read_bytes() == (files / "a.wav").read_bytes()


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(files, monkeypatch):
    monkeypatch.setattr(os, "scandir", lambda place: (_ for _ in ()).throw(PermissionError(13, "denied", str(place))))
    with pytest.raises(DataError, match="cannot be listed"):
        detect_cli.found([str(files)])


@pytest.mark.parametrize("hours", ["nan", "0", "-1"])
def test_the_longest_is_a_number_of_hours(made, files, hours):
    with pytest.raises(DataError, match="--longest"):
        call("detect", files / "a.wav", "--model", made[2], "--longest", hours)


def test_globs_folders_and_names_mean_each_file_once(files, monkeypatch):
    monkeypatch.chdir(files)
    names = [str(path) for path in detect_cli.found(["*.wav", "a.wav", "deep", "absent.wav"])]
    assert names == ["a.wav", "c.wav", "deep/b.flac", "absent.wav"]
    assert [path.name for path in detect_cli.found(["**/*.flac"])] == ["b.flac"]
    (files / "empty").mkdir()
    for nothing in (["*.opus"], ["empty"], ["empty", "absent.wav"]):
        with pytest.raises(DataError, match="no audio file"):
            detect_cli.found(nothing)
    with pytest.raises(DataError, match=r"absent\.wav: no such file \(nor in 1 others\)"):
        detect_cli.found(["absent.wav", "empty"])
    assert [str(path) for path in detect_cli.found(["empty", "*.opus", "a.wav"])] == ["empty", "*.opus", "a.wav"]


def test_what_means_nothing_is_a_line_among_the_others(made, files, tmp_path, capsys):
    """In the order of the command line, the good ones judged and written, the count at the end."""
    (files / "empty").mkdir()
    words = (files / "absent.wav", files / "a.wav", files / "empty", files / "*.opus", files / "c.wav", files / "deep")
    for out in ("v.jsonl", "v.csv", "v.parquet"):
        assert call("detect", *words, "--model", made[2], "--out", tmp_path / out) == 1
        said = capsys.readouterr()
        lines = said.out.splitlines()
        assert [line.split(": ")[0] for line in lines] == [*map(str, words[:5]), str(files / "deep/b.flac")]
        assert ["not judged" in line for line in lines] == [True, False, True, True, True, False]
        assert "No such file" in lines[0] and "folder without an audio file" in lines[2]
        assert said.err.splitlines()[-1].startswith("4 of 6 files could not be judged (first: ")
        assert [bool(row["error"]) for row in READ[out](tmp_path / out)] == [True, False, True, True, True, False]


def test_names_that_mean_nothing_end_before_a_detector_is_loaded(made, tmp_path, monkeypatch):
    monkeypatch.setattr(detect_cli, "_detector", lambda arguments: pytest.fail("loaded"))
    with pytest.raises(DataError, match="no such file"):
        call("detect", tmp_path / "a.wav", "--model", made[2], "--out", tmp_path / "v.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "say which detector"), (["--run", "a", "--model", "b"], "say which detector"), (["--model", "."], "settings.json"),
     (["--weights", "absent.pth", "--detector", "aasist"], "not a file"), (["--run", "x", "--set", "lr=1"], "--set goes with"),
     (["--model", ".", "--out", "v.txt"], "extension"), (["--detector", "aasist"], "no trained run of aasist"),
     (["--detector", "aasst"], "unknown detector 'aasst'; did you mean aasist"), (["--run", "x", "--out", "folder.csv"], "is a folder")],
)  # fmt: skip
def test_wrong_usage_is_one_line(tmp_path, monkeypatch, words, said):
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=said):
        call("detect", tmp_path / "a.wav", "--data", tmp_path, *words)


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "", "100000000000"])
def test_threads_must_be_a_number_of_threads(made, files, number, capsys):
    with pytest.raises(SystemExit, match="2"):
        call("detect", files, "--model", made[2], "--threads", number)
    assert "--threads: takes a whole number from 1 to 1024" in capsys.readouterr().err


def test_a_variable_without_a_value_is_not_this_folder(files, monkeypatch):
    monkeypatch.chdir(files)
    with pytest.raises(DataError, match="a FILE is empty"):
        detect_cli.found(["a.wav", ""])


def test_a_bar_on_the_terminal_makes_room_for_the_verdicts(made, files, monkeypatch):
    """As it arrives at a terminal: no verdict begins behind a bar."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", terminal)
    call("detect", files / "a.wav", files / "deep", "--model", made[2])
    shown = [line.split("\r")[-1] for line in terminal.getvalue().split("\n")]
    assert sum(line.startswith(str(files)) for line in shown) == 2 and not any("file/s]/" in line for line in shown)
    assert "detect: 100%" in terminal.getvalue()


def test_the_voice_alone_is_heard_when_asked(made, tmp_path):
    """With a small random separator: the score is that of the vocals that `shards vocals` would keep."""
    demucs = pytest.importorskip("demucs.htdemucs")
    import torch

    from benchmark.inference import DeepfakeDetector
    from shards.vocals import Separator, find

    small = {"sources": ["other", "vocals"], "channels": 8, "nfft": 512, "depth": 3, "t_layers": 1, "t_heads": 2,
             "bottom_channels": 16, "samplerate": 22_050, "segment": 1.0, "t_hidden_scale": 1.0}  # fmt: skip

    def save(seed):
        torch.manual_seed(seed)
        state = demucs.HTDemucs(**small).state_dict()
        torch.save({"klass": demucs.HTDemucs, "args": (), "kwargs": small, "state": state}, tmp_path / "abcd.th")

    save(0)
    wave = 0.2 * np.random.default_rng(0).standard_normal((48_000, 2))
    soundfile.write(tmp_path / "song.wav", wave, 24_000)
    separator = Separator(find(str(tmp_path)))
    stored, _ = soundfile.read(tmp_path / "song.wav", dtype="float32")
    (voice,) = separator.vocals([(np.ascontiguousarray(stored.T), 24_000)])
    data, run, _ = made
    soundfile.write(tmp_path / "voice.wav", voice, 16_000, subtype="PCM_16")
    heard = DeepfakeDetector(run, data=data, separator=separator).predict(tmp_path / "song.wav")
    plain = DeepfakeDetector(run, data=data)
    assert heard.score == pytest.approx(plain.predict(tmp_path / "voice.wav").score, abs=1e-5)
    assert abs(heard.score - plain.predict(tmp_path / "song.wav").score) > 1e-3
    out = tmp_path / "verdict.jsonl"
    assert call("detect", tmp_path / "song.wav", "--run", run, "--data", data, "--vocals", tmp_path, "--out", out) == 0
    first = json.loads(out.read_text())
    assert first["score"] == pytest.approx(heard.score, abs=1e-3)
    assert set(first["provenance"]["vocals"]["files"]) == {"abcd.th"}
    with pytest.raises(DataError, match="--vocals-weights is for --vocals"):
        call("detect", tmp_path / "song.wav", "--run", run, "--data", data, "--vocals-weights", tmp_path)
    _goes_on_with_the_same_separator_only(tmp_path, ("--run", run, "--data", data, "--vocals", tmp_path), save, first)


def _goes_on_with_the_same_separator_only(folder, words, save, first):
    """A command that was interrupted kept its verdicts when other weights had been put into the folder."""
    out, files = folder / "two.jsonl", (folder / "song.wav", folder / "voice.wav")
    with pytest.MonkeyPatch.context() as patch:
        judged = detect_cli._judged
        patch.setattr(
            detect_cli, "_judged", lambda detector, path: judged(detector, path) if path == files[0] else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            call("detect", *files, *words, "--out", out)
    save(1)
    assert call("detect", *files, *words, "--out", out) == 0
    again = json.loads(out.read_text().splitlines()[0])
    assert again["score"] != first["score"] and again["provenance"]["vocals"] != first["provenance"]["vocals"]
