"""Two of the same command at once: the second waits and names the first, or says who is at work; then it ends well."""

import importlib
import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import made_results
import pytest
import small_corpus
import street
import waiting
from miniatures import put, tone
from waiting import HOLDER

from benchmark import finished, recorded, request, run, throughput
from ingest import catalog, files
from ingest.types import DataError
from reports import sql
from shards import gc, writer

WAITING = {  # the lock below the street's folder, and the command that takes it
    "ingest simulate": ("corpora/.lock", ("ingest", "simulate", "--out", "{base}/corpora", "--corpora", "librisevoc")),
    "ingest": ("data/ingest/librisevoc.lock", ("ingest", "librisevoc", "--root", "{base}/corpora/librisevoc", "--jobs", "1")),
    "ingest verify": ("data/ingest/decro.lock", ("ingest", "verify", "decro", "--jobs", "1")),
    "shards": ("data/shards/librisevoc/.lock", ("shards", "librisevoc", "--jobs", "1")),
    "benchmark shortcuts": ("data/shortcuts.lock", ("benchmark", "shortcuts", "--protocol", "inner/librisevoc")),
    "benchmark collect": ("data/results.lock", ("benchmark", "collect")),
    "reports leaderboard": ("data/reports/.lock", ("reports", "leaderboard")),
    "reports site": ("data/reports/.lock", ("reports", "site")),
}  # fmt: skip

ONE_RUN = ("run", "--protocol", "inner/decro_zh", "--detector", "mean_pool", "--set", "epochs=1", "--jobs", "1")


@pytest.mark.parametrize("name", WAITING)
def test_the_second_waits_for_the_first_and_names_it(made, name, capsys):
    base = made[1].parent
    place, words = WAITING[name]
    words = [word.format(base=base) for word in words[1:]] + ["--data", str(made[1])]
    main = importlib.import_module(f"{WAITING[name][1][0]}.__main__").main
    assert waiting.second(base / place, lambda: main(words) or 0, capsys) == 0


def test_figures_wait_for_who_writes_reports(tmp_path, capsys):
    from reports.__main__ import main

    made_results.collected(tmp_path)
    drawn = waiting.second(tmp_path / "reports/.lock", lambda: main(["figures", "--data", str(tmp_path)]), capsys)
    assert drawn == 0 and list((tmp_path / "reports/figures").glob("*.svg"))


def test_a_repetition_is_not_removed_by_another_one_of_the_same_training(made, tmp_path, capsys):
    for name in ("catalog.duckdb", "shards"):
        (tmp_path / name).symlink_to(made[1] / name)
    main = importlib.import_module("benchmark.__main__").main
    main([*ONE_RUN, "--data", str(tmp_path)])
    (run_id,) = finished.names(tmp_path)
    words, (training,) = ["reproduce", run_id, "--data", str(tmp_path)], (tmp_path / "models").iterdir()
    assert waiting.second(tmp_path / f"reproduced/.{training.name}.lock", lambda: main(words), capsys) == 0
    assert sorted(path.name for path in (tmp_path / "reproduced").iterdir()) == ["models", "scores"]


def test_a_repetition_does_not_take_the_weights_of_another_run(made, tmp_path, capsys):
    """Those of an earlier repetition on other libraries were scored, and the outcome told as one of today's."""
    for name in ("catalog.duckdb", "shards"):
        (tmp_path / name).symlink_to(made[1] / name)
    main = importlib.import_module("benchmark.__main__").main
    protocols = ("inner/decro_zh", "cross_language/decro_zh_en")  # one training
    main([ONE_RUN[0], "--protocol", *protocols, *ONE_RUN[3:], "--data", str(tmp_path)])
    other, run_id = finished.names(tmp_path)
    main(["reproduce", other, "--data", str(tmp_path)])
    (training,) = (tmp_path / "reproduced/models").glob("*/train.json")
    about = recorded.training(training.parent) | {"train_s": 12345.0}
    training.write_text(json.dumps(about))
    assert main(["reproduce", run_id, "--data", str(tmp_path)]) == 0 and "the same" in capsys.readouterr().out
    assert recorded.training(training.parent)["train_s"] < 12345
    assert finished.names(tmp_path / "reproduced") == [other, run_id]


def test_throughput_waits_for_who_measures_and_for_who_writes_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(throughput, "ProcessPoolExecutor", lambda workers, *_, **__: ThreadPoolExecutor(workers))
    words = ["throughput", "--data", str(tmp_path), "--detector", "mean_pool", "--seconds", "0", "--device", "cpu"]
    main = importlib.import_module("benchmark.__main__").main
    assert waiting.second(tmp_path / "throughput/.lock", lambda: main(words), capsys) == 0
    table, (row,) = tmp_path / "here.csv", throughput.stored(tmp_path)
    waiting.second(tmp_path / ".here.csv.lock", lambda: throughput.write_table([row], table), capsys)
    assert list(throughput.table(table)) == ["mean_pool"] and not (tmp_path / ".here.csv.lock").exists()


def test_tables_of_several_data_folders_lose_no_row(tmp_path):
    """Each reads the table, adds its row and writes it: without a lock all but the last are lost."""
    table, names = tmp_path / "here.csv", throughput.detectors.names()[:8]
    rows = [throughput.Throughput(name, "fast", "a CPU", 1, 48_000, 4, 1, 1, 1.0, 1.0, 1, "v") for name in names]
    several = [threading.Thread(target=throughput.write_table, args=([row], table)) for row in rows]
    for one in several:
        one.start()
    for one in several:
        one.join(60)
    assert list(throughput.table(table)) == sorted(names) and list(tmp_path.iterdir()) == [table]


def test_detectors_of_a_grid_that_begin_at_once_are_all_of_it(tmp_path):
    """Each adds its levels to the grid's file: without a lock all but the last were lost, and for good."""
    grid = SimpleNamespace(name="width", title="t", source="s", note="", levels={"default": {}}, columns={})
    several = [threading.Thread(target=request.note_levels, args=(tmp_path, grid, [("default", f"run{i}")]))
               for i in range(8)]  # fmt: skip
    for one in several:
        one.start()
    for one in several:
        one.join(60)
    levels = recorded.grid(tmp_path / "grids" / "width.json")["levels"]
    assert levels == [["default", f"run{i}"] for i in range(8)]


def test_clips_of_ctrsvdd_are_cut_by_one_at_a_time(tmp_path, capsys):
    root, source = tmp_path / "CtrSVDD", tmp_path / "OFUTON_P_UTAGOE_DB"
    put(root / "timestamps/ofuton_timestamps_train.txt", "a/a.wav CtrSVDD_0000_T_0000001 0.0 0.5\n")
    tone(source / "a/a.wav", seconds=1)
    words = ["rebuild-ctrsvdd", "--root", str(root), "--external", f"ofuton={source}", "--jobs", "1"]
    main = importlib.import_module("ingest.__main__").main
    assert waiting.second(root / ".lock", lambda: main(words), capsys) == 0
    assert sorted(path.name for path in root.iterdir()) == ["timestamps", "train_set"]


def test_clips_of_singfake_are_cut_by_one_at_a_time(tmp_path, capsys):
    put(
        tmp_path / "singfake.csv",
        "Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url\nTraining,bonafide,English,a,b,N/A,u\n",
    )
    tone(tmp_path / "songs/0001.wav", seconds=4)
    words = [
        "singfake-media",
        "--csv",
        tmp_path / "singfake.csv",
        "--media",
        tmp_path / "songs",
        "--out",
        tmp_path / "out",
    ]
    main = importlib.import_module("ingest.__main__").main
    call = lambda: main([*map(str, words), "--no-codecs", "--jobs", "1"])  # noqa: E731
    assert waiting.second(tmp_path / "out/.lock", call, capsys) == 0
    assert (tmp_path / "out/train/mixtures/0_0001_0.flac").is_file() and not (tmp_path / "out/.lock").exists()


@pytest.fixture
def other_audio(made, tmp_path):
    """(words of a run on a copy of the street's catalog, what another command does that ingests other audio of its
    corpus and makes the shards of that)."""
    shutil.copy(made[1] / "catalog.duckdb", tmp_path)
    (tmp_path / "shards").symlink_to(made[1] / "shards")

    def ingest():
        with catalog.connect(tmp_path / "catalog.duckdb", read_only=False) as con:
            con.execute("UPDATE measurement SET audio_hash = 'another' WHERE corpus = 'decro'")
            con.execute("UPDATE shard_member SET source = md5_number_upper('another') WHERE utt_id LIKE 'decro/%'")

    return [*ONE_RUN, "--data", str(tmp_path)], ingest


def test_a_run_is_not_done_on_what_was_ingested_while_it_ran(other_audio, capsys, monkeypatch):
    """What a request came to was kept as that of the catalog at its end: the next one was told that all is done."""
    (words, ingest), main, work = other_audio, importlib.import_module("benchmark.__main__").main, run.run

    def ingested_meanwhile(*given, **named):
        failures = work(*given, **named)
        ingest()
        return failures

    with monkeypatch.context() as patched:
        patched.setattr(run, "run", ingested_meanwhile)
        assert main(words) == 0 and "1 cells, 0 done before, 1 to run" in capsys.readouterr().out
    assert main(words) == 0
    assert "1 cells, 0 done before, 1 to run" in capsys.readouterr().out


@pytest.mark.parametrize("step", ["run", "scores_of"])
def test_audio_that_was_ingested_while_a_run_waited_is_not_taken_for_that_of_its_trials(
    other_audio, step, capsys, monkeypatch
):
    """It was trained and scored on the new audio, and recorded as one of the old."""
    (words, ingest), main, work = other_audio, importlib.import_module("benchmark.__main__").main, getattr(run, step)

    def after(*given, **named):
        ingest()
        return work(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(run, step, after)
        assert main(words) == 1 and "audio was ingested anew, or variants" in capsys.readouterr().out
    assert main(words) == 0
    assert "1 cells, 0 done before, 1 to run" in capsys.readouterr().out


def test_a_cell_that_is_scored_waits_for_who_has_the_catalog_open(other_audio, capsys, monkeypatch):
    """It failed after a minute, and all of its scoring was lost."""
    (words, _), main, work = other_audio, importlib.import_module("benchmark.__main__").main, run.scores_of
    code = "import duckdb, sys, time; con = duckdb.connect(sys.argv[1]); print('up', flush=True); time.sleep(2)"

    def held(*given, **named):
        scored = work(*given, **named)
        writing = subprocess.Popen([sys.executable, "-c", code, f"{words[-1]}/catalog.duckdb"], stdout=subprocess.PIPE)
        assert writing.stdout.readline() == b"up\n"
        return scored

    monkeypatch.setattr(run, "scores_of", held)
    monkeypatch.setitem(catalog.connect.__kwdefaults__, "wait_s", 0.5)
    monkeypatch.setitem(run.refuse_changed.__kwdefaults__, "wait_s", 0.5)
    assert main(words) == 0 and "1 of 1 cells done" in capsys.readouterr().out


@pytest.fixture
def tiny(tmp_path):
    data = small_corpus.build(tmp_path)
    writer.write_corpus("tiny", data, jobs=1)
    return data


def test_gc_leaves_alone_what_somebody_is_writing(tiny):
    fresh = tiny / "shards/tiny/tiny-en-new-original-000000.tar"  # finished, and not yet in the catalog
    fresh.write_bytes(b"new")
    with files.lock(tiny / "shards/tiny/.lock"), pytest.raises(DataError, match=f"in use by {HOLDER}"):
        gc.remove(tiny)
    assert fresh.exists()
    assert list(gc.remove(tiny)) == [fresh] and not fresh.exists()


def test_a_catalog_in_use_names_its_holder(tiny, monkeypatch, capsys):
    path = tiny / "catalog.duckdb"
    code = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    writing = subprocess.Popen([sys.executable, "-c", code, str(path)], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, cwd=street.ROOT)  # fmt: skip
    assert writing.stdout.readline() == "up\n"
    monkeypatch.setattr(catalog, "QUIET_S", 0.1)
    with pytest.raises(DataError, match=rf"in use by process {writing.pid} \(python\S*\) on \S+; wait"):
        catalog.connect(path, wait_s=0.5)
    assert capsys.readouterr().err.startswith(f"waiting for process {writing.pid} (python")
    monkeypatch.setattr(sql, "WAIT_S", 0.5)
    with pytest.raises(DataError, match=f"is being written by process {writing.pid} "):
        sql.query(tiny, "FROM utterance")
    (said,) = capsys.readouterr().err.splitlines()  # once
    assert said.startswith(f"waiting for process {writing.pid} (python")
    writing.communicate()
    catalog.connect(path, wait_s=5).close()


def test_a_lock_that_is_not_kept_is_gone_and_still_excludes(tmp_path):
    """Many processes take it in turn, and each removes it: never two at once."""
    code = (
        "import sys, os, time; from pathlib import Path; from ingest.files import lock\nhere = Path(sys.argv[1])\n"
        "for _ in range(60):\n    with lock(here / '.lock', keep=False):\n"
        "        os.close(os.open(here / 'inside', os.O_CREAT | os.O_EXCL)); time.sleep(0.001); os.unlink(here / 'inside')\n"
    )
    several = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=street.ROOT, stdout=subprocess.DEVNULL)
               for _ in range(3)]  # fmt: skip
    assert [one.wait(120) for one in several] == [0, 0, 0]
    assert not list(tmp_path.iterdir())


def test_the_words_of_duckdb_that_name_nobody():
    assert catalog.holder("IO Error: Could not set lock on file") == "another process"


def test_a_damaged_catalog_is_not_taken_for_one_in_use(tiny):
    """Its message speaks of a block, which holds the word lock: that was waited for, a minute long."""
    path = tiny / "catalog.duckdb"
    data = bytearray(path.read_bytes())
    data[4096 + 100 : 12_000] = bytes(12_000 - 4196)
    path.write_bytes(bytes(data))
    started = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be read|can be read"):
        catalog.connect(path, wait_s=30)
    assert time.monotonic() - started < 20
