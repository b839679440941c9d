"""Every key of every JSON file of a run, left out or of another kind: a result, or one line that names the file."""

import copy
import errno
import json
import os

import made_results
import pytest
import trained_run

from benchmark import measure, recorded, results, status
from benchmark import trained as loading
from benchmark.__main__ import main as benchmark
from benchmark.inference import DeepfakeDetector
from ingest import files
from ingest.files import lock
from ingest.types import DataError
from reports import leaderboard

ASV = {
    "eval": {
        "": {"p_fa": 0.1, "p_miss": 0.1, "p_fa_spoof": 0.5},
        "melgan": {"p_fa": 0.1, "p_miss": 0.1, "p_fa_spoof": 0.4},
    }
}
WHOLE = {  # what a run records beside what trained_run writes
    "code_version": "abc", "git_commit": None, "git_dirty": False, "lock": "abc", "shards": "abc", "model_sha256": "abc",
    "backbone_sha256": None, "device": "a processor", "form": "fast", "energy_source": "estimate", "best_epoch": 1, "epochs": 2,
    "parameters": 81, "peak_memory_bytes": 1 << 20, "train_draws": 60, "scored_trials": 80, "catalog_version": 2, "processes": 1,
    "train_s": 0.2, "score_s": 0.1, "energy_j": 2.5, "versions": {"python": "3.11"}, "external": False, "source": None,
    "described": "abc", "sign": 1, "backbone": {"layers": 2}, "diagnostics": {"gate": "weight of the first"},
}  # fmt: skip
OTHERS = (None, "x", "", "../../x", 7, -1, 0.5, True, [], {}, ["x"], [None], {"x": 1}, {"x": ["x"]}, 10**30, float("nan"),
          float("inf"), "\ud800", [[["x"]]], {"": {"": {"": ""}}})  # fmt: skip

SETTINGS = {("config", key) for key in ("detector", "config", "input", "training", "weights")}
TRAINING = {("config", "training"), ("config", "detector"), ("config", "weights"), *((k,) for k in recorded.KEYS if k not in (
    "config", "detector", "trained", "train_key", "protocol", "train_fingerprint"))}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(data folder, run id) of a finished run with every file and every key."""
    folder = tmp_path_factory.mktemp("run")
    run_id = trained_run.make(folder, each=10, train=0)
    where = folder / "data/scores" / run_id
    about = json.loads((where / "run.json").read_text())
    about |= WHOLE | {
        "metrics": ["auc", "eer", "min_tdcf_2019"],
        "pooled": {"all": ["eval"]},
        "averages": {"mean": ["eval"]},
    }
    (where / "run.json").write_text(json.dumps(about))
    (where / "asv.json").write_text(json.dumps(ASV))
    return folder / "data", run_id


def places(value, at=()):
    """Every key of a JSON value, as a path of keys."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield (*at, key)
        yield from places(inner, (*at, key))


def damaged(value, place):
    """The value without that key, and with everything else in its place."""
    for other in ("left out", *OTHERS):
        new = copy.deepcopy(value)
        inner = new
        for key in place[:-1]:
            inner = inner[key]
        if other == "left out":
            del inner[place[-1]]
        else:
            inner[place[-1]] = other
        yield other, new


def outcome(call, *names):
    """None if the call ends well, else its message, which must be one line that names one of these."""
    try:
        call()
    except DataError as error:
        said = str(error)
        assert any(name in said for name in names) and len(said) < 2000 and "\n" not in said, said
        return said
    return None


def tried(path, call, *names, skip=()):
    """Every damage of every key, and what was said of it; the file is as it was afterwards."""
    good = path.read_text()
    value = json.loads(good)
    for place in places(value):
        if place[:2] not in skip:
            for other, new in damaged(value, place):
                path.write_text(json.dumps(new))
                yield place, other, outcome(call, *names)
    path.write_text(good)


@pytest.fixture
def unmeasured(monkeypatch):
    """Runs are collected without measuring their scores, which most keys have nothing to do with."""
    monkeypatch.setattr(results, "measure", lambda *_, **__: measure.Measured([], [], [], None, None))


def test_a_record_that_is_damaged_is_named_and_any_other_is_collected(whole, unmeasured):
    data, run_id = whole
    folder = data / "scores" / run_id

    def collected():
        status.status(data)
        results._run(folder, "s", 0)

    said = {(p, str(o)): text for p, o, text in tried(folder / "run.json", collected, "run.json", skip=SETTINGS)}
    assert said[("seed",), "x"].endswith(
        f"run.json: 'seed' is 'x', not a whole number; delete {folder} and run the cell again"
    )
    assert "has no 'detector'" in said[("detector",), "left out"] and said[("title",), "left out"] is None
    for key, kind in recorded.KEYS.items():
        refused = [text for (place, _), text in said.items() if place == (key,) and text]
        assert len(refused) >= 8 and any(kind.words in text for text in refused), key


def test_the_states_of_runs_name_the_unreadable_one_and_go_on(whole, tmp_path, capsys):
    data = tmp_path / "data"
    made_results.make(data)
    first, second, *_ = sorted(path.parent.name for path in data.glob("scores/*/run.json"))
    (data / "scores" / first / "run.json").write_text('{"seed": "x"}')
    (data / "scores/inner-librisevoc-aasist-s0-abc/failed.json").write_text('{"seed": []}')
    assert benchmark(["status", "--data", str(data)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("unreadable") and first in line and "'seed' is 'x'" in line for line in said)
    assert any(line.startswith(f"done     {second}  ") for line in said)
    assert said[-1].endswith("2 unreadable")


FILLED = {
    "what is needed": {},
    "nulls": dict.fromkeys(recorded.KEYS),
    "odd words": {k: "../../<b>|x" for k, kind in recorded.KEYS.items() if kind is recorded.TEXT},
    "empty": {
        "config": {},
        "versions": {},
        "metrics": [],
        "averages": {},
        "pooled": {},
        "diagnostics": {},
        "title": "",
    },
    "unknown subsets": {"averages": {"mean": ["nowhere"]}, "pooled": {"all": ["nowhere"], "none": []}},
    "unknown keys": {"new": [1, {"x": None}], "x": float("nan")},
}


@pytest.mark.parametrize("kind", FILLED)
def test_a_record_that_is_accepted_comes_to_the_leaderboard(tmp_path, kind):
    made_results.make(tmp_path)
    path = sorted(tmp_path.glob("scores/*/run.json"))[0]
    path.write_text(
        json.dumps(FILLED[kind] | {"detector": "lfcc_gmm", "protocol": "cross_method/librisevoc", "scenario": "x"})
    )
    results.collect(tmp_path, replicates=10, jobs=1)
    assert leaderboard.write(tmp_path).is_file()
    assert benchmark(["status", "--data", str(tmp_path)]) == 1  # made_results has a failed run


def test_verifier_rates_that_are_none_are_refused_by_name(whole):
    data, run_id = whole
    folder = data / "scores" / run_id
    said = list(tried(folder / "asv.json", lambda: recorded.asv(folder), "asv.json"))
    assert sum(text is None for *_, text in said) < len(said) / 8
    for content in ("[]", "7", "{", '{"eval": {"": {"p_fa": NaN, "p_miss": 0, "p_fa_spoof": 0}}}', "\ud800"):
        (folder / "asv.json").write_text(content, errors="surrogatepass")
        assert outcome(lambda: recorded.asv(folder), "asv.json")
    (folder / "asv.json").write_text(json.dumps(ASV))
    results._run(folder, "s", 0)


def test_a_failure_without_its_facts_is_told_and_one_of_another_kind_refused(tmp_path):
    about = {
        "run_id": "r",
        "protocol": "inner/x",
        "detector": "aasist",
        "seed": 0,
        "reason": "no room",
        "traceback": "",
    }
    path = tmp_path / "scores/r/failed.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(about))

    def told():
        (row,) = status.status(tmp_path)
        assert row["state"] in ("failed", "unreadable") and row["run_id"] == "r"
        results._failures(tmp_path)

    said = list(tried(path, told, "failed.json"))
    assert [text for place, other, text in said if other == "left out"] == [None] * len(about)
    assert sum(text is not None for *_, text in said) > 40


@pytest.mark.parametrize("look", [results._failures, status.status])
def test_a_cell_that_ends_well_while_its_failure_is_read_is_no_fault(tmp_path, monkeypatch, look):
    """`collect` beside `run` asked to delete the folder of a good run."""
    made_results.make(tmp_path)
    (failed,) = tmp_path.glob("scores/*/failed.json")
    assert failed.parent.name in str(look(tmp_path))
    read = recorded.read

    def ended(path, **named):
        if path == failed:
            path.unlink()
        return read(path, **named)

    monkeypatch.setattr(recorded, "read", ended)
    assert failed.parent.name not in str(look(tmp_path))


def test_the_state_of_a_folder_that_is_not_there_is_one_line(tmp_path):
    """A mistyped DATA was "0 done"."""
    assert benchmark(["status", "--data", str(tmp_path)]) == 0
    for command in ("status", "collect"):
        with pytest.raises(DataError, match="nothing is not a folder"):
            benchmark([command, "--data", str(tmp_path / "nothing")])
    assert not (tmp_path / "nothing").exists()


def test_settings_that_are_damaged_give_no_detector(whole, monkeypatch):
    """`detect --run` reads the input and the arguments of the detector; every other setting is for training."""
    data, run_id = whole
    path = data / "scores" / run_id / "run.json"
    monkeypatch.setattr(loading._Training, "told", lambda self: (None, [], ()))
    monkeypatch.setattr(loading, "on_dev", lambda *_, **__: (None, ()))
    clip = next(iter(trained_run.clips(data).values()))

    def heard():
        DeepfakeDetector(run_id, data=data, device="cpu").predict(clip)

    for place, other, text in tried(path, heard, "run.json", run_id, skip=TRAINING):
        if place in (("detector",), ("config", "config")) and other in ("left out", None, 7, []):
            assert text and "run.json" in text
        if place == ("config", "input", "samples") and other in (-1, 0.5, 10**30, "x"):
            assert text and "samples" in text


def test_status_asks_for_no_right_to_write(tmp_path, monkeypatch):
    """In a folder of somebody else's it ended with `Permission denied`."""
    (tmp_path / "models" / "training").mkdir(parents=True)
    (tmp_path / "models" / "training" / "lock").write_text("process 1 on here")
    real = os.open

    def opened(path, flags, *more, **named):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *more, **named)

    with lock(tmp_path / "models" / "training" / "lock"):
        monkeypatch.setattr(os, "open", opened)
        assert [row["state"] for row in status.status(tmp_path)] == ["running"]
    assert status.status(tmp_path) == []


def test_status_needs_no_locks_to_read(tmp_path, monkeypatch):
    """Runs that were copied to a disk without locks were not listed, for the lock files beside their models."""

    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    made_results.make(tmp_path)
    (tmp_path / "models/key").mkdir(parents=True)
    (tmp_path / "models/key/lock").touch()
    told = status.status(tmp_path)
    monkeypatch.setattr(files.fcntl, "flock", refuse)
    assert status.status(tmp_path) == told
