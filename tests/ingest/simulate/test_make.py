"""Whole corpora on disk: same bytes, finished or not at all, the user's own recordings."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ingest import simulate
from ingest.simulate import make, recordings
from ingest.simulate.make import layout
from ingest.simulate.plan import File, Layout, Segment, Take, step
from ingest.simulate.render import write_files
from ingest.types import DataError

SMALL = "in_the_wild"


def hashes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def tiny(monkeypatch):
    """Three takes and six files in the place of every layout."""

    def three(name: str, seed: int) -> Layout:
        plan = Layout(texts={"list.txt": "a\r\n"})
        for number in range(3):
            take = Take(name, str(number), f"s{number % 2}", "F", "ja", 16_000)
            for word, steps in (("gt", ()), ("fake", (step("copy", vocoder="channel"),))):
                plan.files.append(File(f"{word}/{number}.flac", take, steps))
                plan.count(None, "spoof" if steps else "bonafide")
        return plan

    monkeypatch.setattr(make, "layout", three)
    monkeypatch.setattr(make, "CHUNK", 1)


def cut_short(name: str, seed: int) -> Layout:
    """The real layout of a corpus with a twentieth of its files."""
    plan = layout(name, seed)
    plan.files = plan.files[::20]
    return plan


def test_same_seed_same_bytes_whatever_the_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "layout", cut_short)
    some = ["asvspoof2021_df", "singfake", "wavefake"]  # between them every kind of step
    one = simulate.simulate(tmp_path / "one", corpora=some, jobs=1)
    two = simulate.simulate(tmp_path / "two", corpora=some, jobs=2)
    assert [made.files for made in one.values()] == [made.files for made in two.values()] == [10, 13, 20]
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    again = simulate.simulate(tmp_path / "one", corpora=some, jobs=1)
    assert not any(made.made for made in again.values())


def test_another_seed_makes_other_voices(tmp_path, tiny):
    simulate.simulate(tmp_path / "a", seed=1, corpora=[SMALL], jobs=1)
    before = hashes(tmp_path / "a")
    assert simulate.simulate(tmp_path / "a", seed=2, corpora=[SMALL], jobs=1)[SMALL].made
    after = hashes(tmp_path / "a")
    assert before.keys() == after.keys()
    assert all(before[path] != after[path] for path in before if path.endswith(".flac"))


def test_a_take_gives_the_same_audio_in_every_corpus(tmp_path):
    take = Take("asvspoof2019_la", "LA_T_1", "LA_0079", "F", "en", 16_000)
    copy = step("copy", vocoder="griffin_lim", iterations=3)
    write_files(tmp_path, [[File("a.flac", take, (copy,)), File("b.flac", take)], [File("c.wav", take, (copy,))]], 0)
    copied, original, repeated = (
        soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("a.flac", "b.flac", "c.wav")
    )
    assert np.array_equal(copied, repeated) and not np.array_equal(copied, original)


def test_the_marker_says_what_ingest_must_find(tmp_path, tiny):
    simulate.simulate(tmp_path, seed=7, corpora=[SMALL], jobs=1)
    marker = json.loads((tmp_path / SMALL / simulate.MARKER).read_text())
    assert marker["counts"] == [[None, "bonafide", 3], [None, "spoof", 3]]
    assert (marker["seed"], marker["speech"]) == (7, None)
    assert (tmp_path / SMALL / "list.txt").read_bytes() == b"a\r\n"


def test_what_a_killed_process_left_is_made_anew(tmp_path, tiny):
    part = tmp_path / f".{SMALL}.part" / "gt"
    part.mkdir(parents=True)
    (part / "0.flac").write_bytes(b"half")
    simulate.simulate(tmp_path, corpora=[SMALL], jobs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [SMALL]
    assert len(hashes(tmp_path)) == 8


_SLOW = """
import sys, time
from ingest.simulate import make, render, simulate
whole, write = make.layout, render.write_files
def layout(name, seed):
    plan = whole(name, seed)
    plan.files = plan.files[::20]
    return plan
def slow(*args):
    written = write(*args)
    time.sleep(0.5)
    return written
make.CHUNK, make.layout, render.write_files = 1, layout, slow
simulate(sys.argv[1], corpora=["in_the_wild"], jobs=1)
"""


def test_kill_in_the_middle_then_again_gives_the_same_bytes(tmp_path, monkeypatch):
    killed = tmp_path / "killed"
    running = subprocess.Popen([sys.executable, "-c", _SLOW, str(killed)])
    deadline = time.monotonic() + 60
    while not list(killed.glob(".*.part/*/*.wav")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    running.wait()
    assert list(killed.glob(".*.part/*/*.wav")) and not (killed / SMALL).exists()
    monkeypatch.setattr(make, "layout", cut_short)
    simulate.simulate(killed, corpora=[SMALL], jobs=1)
    simulate.simulate(tmp_path / "whole", corpora=[SMALL], jobs=1)
    assert hashes(killed) == hashes(tmp_path / "whole")


def test_a_folder_that_is_not_ours_is_never_touched(tmp_path, tiny):
    (tmp_path / SMALL).mkdir()
    (tmp_path / SMALL / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="was not made by simulate"):
        simulate.simulate(tmp_path, corpora=[SMALL], jobs=1)
    assert (tmp_path / SMALL / "thesis.txt").read_text() == "precious"


def test_an_unknown_corpus_is_named_with_the_nearest():
    with pytest.raises(DataError, match="wavefake"):
        simulate.simulate("unused", corpora=["wavefak"])


@pytest.fixture
def speech(tmp_path):
    """A folder of recordings: stereo WAV of 44.1 kHz, MP3, a text, a clip that is too short."""
    folder, rng = tmp_path / "my recordings", np.random.default_rng(0)
    (folder / "ann").mkdir(parents=True)
    (folder / "bob").mkdir()
    soundfile.write(folder / "ann" / "a.wav", 0.1 * rng.normal(size=(44_100 * 5, 2)), 44_100)
    soundfile.write(folder / "bob" / "b.mp3", 0.1 * rng.normal(size=16_000 * 3), 16_000)
    soundfile.write(folder / "bob" / "short.wav", 0.1 * rng.normal(size=8_000), 16_000)
    (folder / "bob" / "readme.txt").write_text("not audio")
    return folder


def test_own_recordings_take_the_place_of_the_voice(tmp_path, speech, tiny):
    simulate.simulate(tmp_path / "out", corpora=[SMALL], speech=speech, jobs=1)
    marker = json.loads((tmp_path / "out" / SMALL / simulate.MARKER).read_text())
    assert len(marker["speech"]) == 64 and marker["singing"] == recordings.SINGING_NOTE
    wave, rate_hz = soundfile.read(tmp_path / "out" / SMALL / "gt" / "0.flac", dtype="float32")
    assert rate_hz == 16_000 and 1.0 <= len(wave) / rate_hz <= 4.6
    assert not simulate.simulate(tmp_path / "out", corpora=[SMALL], speech=speech, jobs=1)[SMALL].made
    soundfile.write(speech / "ann" / "a.wav", np.zeros((44_100 * 5, 2)) + 0.1, 44_100)
    assert simulate.simulate(tmp_path / "out", corpora=[SMALL], speech=speech, jobs=1)[SMALL].made


def test_own_recordings_may_have_names_that_are_not_utf8(tmp_path, speech, tiny):
    os.rename(speech / "ann", os.fsencode(speech) + b"/\xd6\xd0")
    assert simulate.simulate(tmp_path / "out", corpora=[SMALL], speech=speech, jobs=1)[SMALL].made


def test_segments_are_disjoint_and_inside_the_recording(speech):
    found = recordings.segments(speech / "ann" / "a.wav", 60.0, seed=0)
    assert found[0].start_s == 0 and len(found) > 15
    for before, after in itertools.pairwise(found):
        assert after.start_s == pytest.approx(before.start_s + before.length_s)
    assert found[-1].start_s + found[-1].length_s <= 60.0 + 1e-9
    assert all(1.0 <= one.length_s <= 4.5 for one in found)
    assert recordings.segments(speech / "bob" / "short.wav", 0.5, seed=0) == []


def test_speakers_get_recordings_of_their_own(speech):
    takes = [Take("c", str(number), f"s{number % 2}", "F", "en", 16_000) for number in range(4)]
    plan = Layout(files=[File(f"{take.key}.flac", take) for take in takes])
    recordings.assign({"c": plan}, speech, seed=0)
    folder = {file.take.speaker: Path(file.take.segment.file).parent.name for file in plan.files}
    assert sorted(folder.values()) == ["ann", "bob"]


def test_cut_takes_the_stretch_that_was_asked_for(tmp_path):
    wave = (0.2 * np.sin(np.arange(32_000) / 7)).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")
    got = recordings.cut(Segment(str(tmp_path / "x.wav"), 0.5, 1.0), 16_000)
    assert got == pytest.approx(wave[8_000:24_000], abs=1e-6)
    assert len(recordings.cut(Segment(str(tmp_path / "x.wav"), 0.5, 1.0), 24_000)) == 24_000


@pytest.mark.parametrize("what", ["absent", "a file", "empty", "only text", "only short"])
def test_bad_recordings_are_refused_in_one_line(tmp_path, what):
    folder = tmp_path / "speech"
    if what == "a file":
        folder.write_text("x")
    elif what != "absent":
        folder.mkdir()
    if what == "only text":
        (folder / "a.wav").write_text("not audio")
    if what == "only short":
        soundfile.write(folder / "a.wav", np.zeros(4_000), 16_000)
    with pytest.raises(DataError, match="--speech") as error:
        simulate.simulate(tmp_path / "out", corpora=[SMALL], speech=folder, jobs=1)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, tiny):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError):
        simulate.simulate(tmp_path / "file" / "out", corpora=[SMALL], jobs=1)
