"""What the page answers, without a browser: verdicts in words, and one line for everything that is refused."""

import fcntl
import json
import math
import os
import re
import socket
import time
import types

import numpy as np
import pytest
import soundfile

from benchmark import explain
from benchmark.__main__ import main
from benchmark.app import examples, figures, limits, page, server, shelf, words
from benchmark.inference import DeepfakeDetector, Verdict
from benchmark.windows import Recording
from ingest.audio import Header
from ingest.types import DataError


@pytest.fixture(scope="module")
def detectors(made):
    return shelf.Shelf({name: lambda run=run: DeepfakeDetector(run) for name, run in zip(("pool", "lcnn"), made)})


@pytest.fixture
def judge(detectors):
    return page.Judge(detectors, limits.Limits(seconds=8, size_bytes=1_000_000, per_minute=50))


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "<b>clip & co</b>.wav".replace("/", "_")
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(70_000), 16_000)
    return path


def text(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer))


def test_a_recording_gets_a_verdict_with_all_that_belongs_to_it(judge, clip):
    answer = judge.page(str(clip), "pool", page.NOBODY, "me")
    said = text(answer)
    assert ("Bona fide" in said) != ("Spoof" in said.replace("spoof", ""))
    for part in ("times", "threshold", "Cllr", "2 windows over 4.4 s", "What decided", "no convolution", "simulated;",
                 "sha256", "calibrated on", "Outside the training domain", "hint for research"):  # fmt: skip
        assert part in said, part
    assert "<b>" not in answer and answer.count("<svg") == 1 and answer.count("siren-result") == 1
    (heard,) = re.findall(r'role="alert">([^<]*)<', answer)
    assert heard in (
        "pool: Bona fide.",
        "pool: Spoof.",
        "pool: Bona fide, but undecided.",
        "pool: Spoof, but undecided.",
    )
    (drawn,) = re.findall(r'role="img" aria-label="([^"]*)"', answer)
    ends = re.search(r"lowest (\S+) from (\S+) to (\S+) s, highest (\S+) from (\S+) to (\S+) s", drawn)
    assert float(ends[1]) <= float(ends[4]) and {ends[2], ends[5]} == {"0.0", "1.4"}


def test_a_name_is_no_template(judge, clip):
    path = clip.rename(clip.with_name("{{constructor}} ${alert(1)} `x`.wav"))
    answer = judge.page(str(path), "pool", page.NOBODY, "me")
    assert "alert(1)" in answer and not re.search(r"\{\{|\$\{|`", answer)


def test_two_detectors_stand_side_by_side(judge, clip):
    answer = judge.page(str(clip), "pool", "lcnn", "me")
    assert answer.count("siren-result") == 2
    assert answer.count("<svg") == 3  # two time lines and one Grad-CAM
    assert re.search("detectors (agree|disagree)|cannot be compared", text(answer))
    ids = re.findall(r'id="([^"]+)"', answer)
    assert len(ids) == len(set(ids))
    assert judge.page(str(clip), "pool", "pool", "me").count("siren-result") == 1


def refused(answer):
    assert answer.count("<p") == 1 and 'role="alert"' in answer and "\n" not in answer
    return text(answer)


def test_what_is_refused_is_refused_in_one_line(judge, tmp_path, clip):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000 * 9)
    soundfile.write(tmp_path / "long.wav", noise, 16_000)
    soundfile.write(tmp_path / "large.wav", np.tile(noise, 4), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "bomb.flac", np.zeros(16_000 * 3600), 16_000)
    (tmp_path / "damaged.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + b"x" * 100)
    (tmp_path / "nan.wav").write_bytes(b"")
    assert (tmp_path / "bomb.flac").stat().st_size < 1_000_000
    for name, line in {
        "long.wav": "longer than 8 s", "bomb.flac": "longer than 8 s", "large.wav": "Larger than",
        "damaged.wav": "Not judged", "nan.wav": "empty file", "gone.wav": "upload it again",
    }.items():  # fmt: skip
        assert line in refused(judge.page(str(tmp_path / name), "pool", page.NOBODY, "me")), name
        assert str(tmp_path) not in judge.page(str(tmp_path / name), "pool", page.NOBODY, "me")
    assert "first" in refused(judge.page(None, "pool", page.NOBODY, "me"))
    for first in (None, "gone"):
        assert "Choose a detector" in refused(judge.page(str(clip), first, "pool", "me"))
    assert judge.page(str(clip), "pool", None, "me").count("siren-result") == 1


def test_a_playlist_with_the_name_of_a_recording_reaches_nothing(judge, tmp_path):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.2)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/a.ts"
        path = tmp_path / "playlist.wav"
        path.write_text(f"#EXTM3U\n#EXTINF:4,\n{address}\n#EXT-X-ENDLIST\n")
        refused(judge.page(str(path), "pool", page.NOBODY, "me"))
        with pytest.raises(TimeoutError):
            listening.accept()


def test_too_many_requests_are_refused_with_the_time_to_wait(detectors, clip):
    judge = page.Judge(detectors, limits.Limits(seconds=8, per_minute=1))
    assert "siren-result" in judge.page(str(clip), "pool", page.NOBODY, "me")
    assert re.search(r"More than 1 a minute: try again in \d+ s", refused(judge.page(str(clip), "pool", "none", "me")))
    assert "siren-result" in judge.page(str(clip), "pool", page.NOBODY, "another")


def test_a_limiter_counts_any_sixty_seconds_of_each_visitor():
    now = [0.0]
    limiter = limits.Limiter(2, clock=lambda: now[0])
    assert [limiter.wait_s("a"), limiter.wait_s("a"), limiter.wait_s("b")] == [0, 0, 0]
    now[0] = 45.0
    assert limiter.wait_s("a") == 15
    now[0] = 60.0
    assert limiter.wait_s("a") == 0  # what was refused did not count
    assert limiter.wait_s("a") == 0
    assert limiter.wait_s("a") == 60


def test_a_limiter_remembers_a_bounded_number_of_visitors(monkeypatch):
    monkeypatch.setattr(limits, "VISITORS", 3)
    limiter = limits.Limiter(1, clock=lambda: 0.0)
    for visitor in "abcd":
        assert limiter.wait_s(visitor) == 0
    assert limiter.wait_s("d") == 60 and limiter.wait_s("a") == 0
    assert len(limiter._seen) == 3


@pytest.mark.parametrize(("ratio", "said"), [
    (1.5, "no support for either"), (3, "3.0 times more often in bona fide.*weak support for bona fide"),
    (15.4, "15 times.*moderate"), (1234, "1,200 times.*strong support"), (5e7, "extremely strong"),
    (1 / 3, "3.0 times more often in spoof than in bona fide.*weak support for spoof"), (1 / 1e5, "very strong support for spoof"),
])  # fmt: skip
def test_a_ratio_in_words(ratio, said):
    assert re.search(said, words.support(math.log(ratio)))


def test_an_endless_ratio_has_words():
    assert "extremely strong" in words.support(-math.inf)


def verdict(windows, which=None, **named):
    about = {"detector": "d", "corpora": []}
    return Verdict("x.wav", windows[0][2], windows, 0.0, windows[-1][1], None, named.get("threshold"), which, [], about)


@pytest.mark.parametrize(("samples", "crop", "length", "which", "wanted"), [
    (16_000, "first", 40_000, "spoof", (0.0, 1.0)), (16_000, "middle", 40_000, "spoof", (0.75, 1.75)),
    (16_000, "first", 8_000, "spoof", (0.0, 1.0)), (None, "first", 40_000, "spoof", (1.0, 2.0)),
    (None, "first", 40_000, "bonafide", (2.0, 3.0)),
])  # fmt: skip
def test_which_window_decides(samples, crop, length, which, wanted):
    spans = [(0.0, 1.0, 0.0)] if length == 8_000 else [(0.0, 1.0, 0.0), (1.0, 2.0, -3.0), (2.0, 3.0, 2.0)]
    spec = {"samples": samples, "test_crop": crop}
    detector = types.SimpleNamespace(trained=types.SimpleNamespace(input=spec))
    detector.own_start = lambda length: DeepfakeDetector.own_start(detector, length)
    recording = Recording("x.wav", Header("WAV", "PCM_16", 16_000, 1, length), np.zeros(length, np.float32), 0.0)
    span, _ = explain.deciding(detector, recording, verdict(spans, which))
    assert span[:2] == wanted


def test_a_spectrogram_shows_a_tone_at_its_frequency_and_bounds_its_width():
    t = np.arange(16_000 * 20) / 16_000
    picture = figures.spectrogram(np.sin(2 * np.pi * 1000 * t))
    assert picture.shape[0] == figures.BANDS and picture.shape[1] <= figures.COLUMNS + 1
    assert picture.max() == 0 and picture.min() >= -figures.FLOOR_DB
    assert abs(picture[:, 100].argmax() - 1000 / 8000 * figures.BANDS) <= 1
    assert np.isfinite(figures.spectrogram(np.zeros(10, np.float32))).all()


def test_examples_are_made_here_and_the_same_every_time(tmp_path):
    first, again = examples.write(tmp_path / "a"), examples.write(tmp_path / "b")
    assert [p.read_bytes() for p in first.values()] == [p.read_bytes() for p in again.values()]
    waves = {said: soundfile.read(path)[0] for said, path in first.items()}
    assert len({wave.tobytes() for wave in waves.values()}) == 4
    assert all(5 < wave.size / 16_000 < 9 and np.abs(wave).max() > 0.05 for wave in waves.values())
    spliced, voice, copied = waves["copied from 3 s on"], waves["a voice"], waves["its vocoder copy"]
    assert spliced[: 2 * 16_000] == pytest.approx(voice[: 2 * 16_000], abs=1e-4)
    assert spliced[4 * 16_000 :] == pytest.approx(copied[4 * 16_000 :], abs=1e-4)


def test_the_folder_goes_with_its_server_and_one_that_was_killed_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path))
    killed, alive, foreign = (tmp_path / f"{server.PREFIX}{name}" for name in ("killed", "alive", "foreign"))
    for folder in (killed, alive, foreign):
        folder.mkdir()
    (killed / server.LOCK).touch()
    with open(alive / server.LOCK, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError), server.scratch() as folder:
            assert folder.stat().st_mode & 0o077 == 0 and folder.parent == tmp_path
            (folder / "upload").write_text("x")
            raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{server.PREFIX}alive", f"{server.PREFIX}foreign"]


def test_uploads_of_any_kind_go_when_they_are_old(tmp_path):
    for name, age_s in (
        ("old/a.wav", 700),
        ("old/b.wav", 700),
        ("new/a.wav", 10),
        ("both/a.wav", 700),
        ("both/b", 0),
        ("part", 900),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        os.utime(path, (time.time() - age_s,) * 2)
    for name in ("old", "both"):
        os.utime(tmp_path / name, (time.time() - 700,) * 2)
    server.expire(tmp_path, 600)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["both", "both/b", "new", "new/a.wav"]


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("127.8.8.8", False), ("::1", False), ("0.0.0.0", True),
                                              ("::", True), ("10.0.0.1", True)])  # fmt: skip
def test_an_address_that_others_reach_is_warned_about(host, warned):
    assert (server.warning(host) is not None) == warned == (server._names(host) is None)


@pytest.mark.parametrize("samples", [1, 10, 500, 5_000])
def test_the_shortest_recordings_get_an_answer(judge, tmp_path, samples):
    soundfile.write(tmp_path / "short.wav", 0.1 * np.random.default_rng(1).standard_normal(samples), 16_000)
    assert "siren-" in judge.page(str(tmp_path / "short.wav"), "pool", "lcnn", "me")


def test_a_detector_that_does_not_load_tells_the_server_and_not_the_visitor(clip, capsys):
    def broken():
        raise DataError("/home/me/secret/run.json cannot be read")

    judge = page.Judge(shelf.Shelf({"broken": broken}), limits.Limits())
    assert "secret" not in refused(judge.page(str(clip), "broken", page.NOBODY, "me"))
    assert "/home/me/secret" in capsys.readouterr().err


@pytest.mark.parametrize(("words_", "line"), [
    (["--max-seconds", "0"], "--max-seconds 0 is not"), (["--max-megabytes", "-1"], "--max-megabytes -1 is not"),
    (["--per-minute", "0"], "--per-minute 0 is not"), (["--max-seconds", "nan"], "--max-seconds nan is not"),
    ([], "holds no trained run"), (["--run", "nothing"], "holds no finished run"), (["--model", "nowhere"], "export"),
    (["--weights", "w.pth"], "--detector"), (["--weights", "w.pth", "--detector", "aasist"], "not a file"),
    (["--set", "samples=1"], "go with --weights"),
])  # fmt: skip
def test_usage_that_is_wrong_is_one_line(tmp_path, words_, line):
    pytest.importorskip("gradio")
    with pytest.raises(DataError, match=line):
        main(["app", "--data", str(tmp_path), *words_])


def test_without_the_extra_one_line_names_it(monkeypatch, tmp_path):
    found = server.importlib.util.find_spec
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None if name == "gradio" else found(name))
    with pytest.raises(DataError, match=r"pip install sirenbench\[app\]"):
        main(["app", "--data", str(tmp_path)])


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", None), ("127.0.0.1", 99_999), ("127.0.0.1", -1),
                                            ("192.0.2.1", 0), ("no name", 0), ("x" * 300, 0)])  # fmt: skip
def test_an_address_that_cannot_be_had_is_one_line(host, port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DataError, match="--port 0 takes a free one"):
            server.bound(host, taken.getsockname()[1] if port is None else port)
    with server.bound("127.0.0.1", 0) as free:
        assert free.getsockname()[1] > 0


def test_the_shelf_offers_every_trained_run_and_keeps_a_few(made, monkeypatch):
    data = made[0].parents[1]
    arguments = types.SimpleNamespace(
        data=data, run=[], model=[], weights=None, detector=None, set=[], calibrate_on=None, device="cpu", lists=None
    )
    assert shelf.of(arguments).names == [made[0].name]
    arguments.detector = "mean_pool"
    assert shelf.of(arguments).names == [made[0].name]
    arguments.detector, arguments.run = None, [str(made[0]), str(made[1]), str(made[0])]
    found = shelf.of(arguments)
    assert found.names == [made[0].name, made[1].name, f"{made[0].name} #2"]
    monkeypatch.setattr(shelf, "KEPT", 1)
    kept = found.get(made[1].name)
    assert list(found._loaded.values()) == [kept] and found.get(made[1].name) is kept


def test_a_broken_export_is_one_line_at_the_start(made, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"format": 1}))
    arguments = types.SimpleNamespace(
        data=tmp_path,
        run=[],
        model=[tmp_path],
        weights=None,
        detector=None,
        set=[],
        calibrate_on=None,
        device="cpu",
        lists=None,
    )
    with pytest.raises(DataError, match=r"model\.safetensors"):
        shelf.of(arguments)
