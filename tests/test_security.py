"""Attacks of docs/security.md that no other file tests; each must be refused, and must leave no trace."""

import contextlib
import csv
import gzip
import io
import json
import os
import pickle
import re
import socket
import zipfile

import made_results
import miniatures
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from benchmark import card, detectors, recorded, trained
from benchmark.detectors._base import read_state
from ingest import audio, measure, text
from ingest.types import DataError
from protocols import lists
from protocols.types import TrialList
from reports import score_files, sql


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("where", ["whole", "state_dict", "beside", "bare", "renamed"])
def test_a_checkpoint_runs_nothing(tmp_path, where):
    mark, path = tmp_path / "mark", tmp_path / "w.pth"
    attack = Attack(mark)
    if where == "bare":
        path.write_bytes(pickle.dumps(attack))
    elif where == "renamed":
        path = tmp_path / "w.safetensors"
        torch.save(attack, path)
    else:
        torch.save(
            {"whole": attack, "state_dict": {"state_dict": attack}, "beside": {"a": torch.zeros(1), "b": attack}}[
                where
            ],
            path,
        )
    with pytest.raises(DataError):
        read_state(path)
    assert not mark.exists()


def test_a_scripted_module_is_no_weight_file(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "w.pt")
    with pytest.raises(DataError):
        read_state(tmp_path / "w.pt")


def test_a_safetensors_header_of_exabytes_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(DataError):
        read_state(path)
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(DataError):
        read_state(path)


def deflated(path, archive):
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in source.infolist():
            packed.writestr(part.filename, source.read(part))
    return archive


def test_a_packed_checkpoint_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    """Ten megabytes of it would be ten gigabytes of zeros."""
    torch.save({"x": torch.zeros(1 << 20)}, tmp_path / "plain.pt")
    bomb = deflated(tmp_path / "plain.pt", tmp_path / "bomb.pt")
    assert bomb.stat().st_size < 1 << 16 and read_state(tmp_path / "plain.pt")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(DataError, match="unpack to"):
        read_state(bomb)
    pytest.importorskip("demucs")
    from shards import vocals

    with pytest.raises(DataError, match="unpack to"):
        vocals._pickled(bomb)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_number_that_claims_to_be_terabytes_is_refused(tmp_path):
    for tensor in (torch.zeros(1).expand(1 << 40), torch.zeros(3).to_sparse()):
        torch.save({"x": tensor}, tmp_path / "w.pt")
        with pytest.raises(DataError, match="claims more numbers"):
            read_state(tmp_path / "w.pt")


def test_a_dictionary_that_holds_itself_has_an_end(tmp_path):
    state = {"x": torch.zeros(1)}
    state["model"] = state
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(DataError, match="not a state dict"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("text", [
    "[" * 100_000, "- a", "models: 3", "models: [1]", "models: [a]\nweights: [[x]]", "models: [a]\nweights: 5", "models: [", "a: &a [*a]",
    "models: [a]\nsegment: soon", "!!python/object/apply:os.mkdir [mark]", "\xff",
])  # fmt: skip
def test_a_bag_of_demucs_is_data(tmp_path, monkeypatch, text):
    from shards import vocals

    pytest.importorskip("demucs")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bag.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(DataError):
        vocals.find(str(tmp_path))
    assert not (tmp_path / "mark").exists()


def test_an_export_s_weights_stay_in_its_folder(tmp_path):
    """settings.json chooses the detector and its settings, never a path."""
    save_file({"x": torch.zeros(1)}, tmp_path / trained.WEIGHTS)
    for detector in ("../../secret", "os", "_base", "__init__"):
        stored = {"format": 1, "detector": detector, "config": {}, "files": {}}
        (tmp_path / trained.SETTINGS).write_text(json.dumps(stored))
        with pytest.raises(DataError):
            trained.from_export(tmp_path)


@pytest.mark.parametrize("key", ["../../elsewhere", "/etc", "a/../../b"])
def test_a_run_record_does_not_lead_out_of_the_models(tmp_path, key):
    about = {"run_id": "r", "trained": True, "train_key": key}
    with pytest.raises(DataError, match="leaves the folder"):
        trained._run_weights(tmp_path, about, None)


@pytest.mark.parametrize("depth", [100_000])
def test_nested_json_is_one_line(tmp_path, depth):
    path = tmp_path / "run.json"
    path.write_text("[" * depth)
    with pytest.raises(DataError, match=r"run\.json cannot be read"):
        recorded.read(path)


def test_nested_toml_is_one_line(tmp_path):
    from benchmark import grid_files
    from protocols.load import load
    from shards import variant_plan

    place = tmp_path / "inner" / "x.toml"
    place.parent.mkdir()
    place.write_text("a = " + "[" * 100_000)
    for read in (
        lambda: load("inner/x", tmp_path),
        lambda: variant_plan.load(place),
        lambda: grid_files.load(str(place)),
    ):
        with pytest.raises(DataError):
            read()


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "..", "a/../../b", "LA_T_1;rm", "~root", "C:\\x", "a\x00b"]
)
def test_a_protocol_file_names_no_file_outside_its_corpus(tmp_path, name):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    path = next(root.rglob("*cm.train.trn.txt"))
    path.write_text(f"LA_0079 {name} - - bonafide\n")
    try:
        rows = [row["path"] for row in miniatures.parsed("asvspoof2019_la", root)]
    except DataError:
        return
    for relative in rows:
        assert os.path.realpath(root / relative).startswith(os.path.realpath(root) + os.sep)


def test_a_link_to_a_secret_is_decoded_as_audio_and_nothing_else(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the password is swordfish\n" * 100)
    (tmp_path / "clip.wav").symlink_to(secret)
    row = measure.measure(tmp_path / "clip.wav")
    assert row["fault"] and "swordfish" not in str(row)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "LARGEST_TEXT_BYTES", 1 << 20)
    path = tmp_path / "trials.txt.gz"
    path.write_bytes(gzip.compress(b"a b\n" * (1 << 20)))
    with pytest.raises(DataError, match="unpacks to more"):
        text.fields(path, ["one", "two"])
    entry = TrialList("all", path.name, 1, "stem", None)
    for read in (lists.values, lambda _, place: score_files.read(place)):
        with pytest.raises(DataError, match="unpacks to more"):
            read(entry, path)
    path.write_bytes(gzip.compress(b"\n" * (1 << 22)))
    assert text.first_line(path) == b""
    path.write_bytes(gzip.compress(b"x" * (1 << 26)))
    assert len(text.first_line(path)) == 1 << 24


def test_silence_for_days_in_a_few_kilobytes_is_bounded(tmp_path):
    """A FLAC of silence packs three thousand to one; what is held at a time does not grow with it."""
    from benchmark import windows

    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros(8_000 * 60, np.int16))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(audio.Unreadable, match="longer than"):
        windows.read(path, longest_s=600)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_results.collected(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("query", [
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_blob('/etc/hostname')", "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/*.parquet')", "SELECT * FROM '/proc/self/environ'", "FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x')", "SELECT * FROM read_parquet('s3://bucket/x')", "LOAD httpfs", "INSTALL httpfs",
    "ATTACH '/tmp/x.duckdb'", "COPY run TO '/tmp/x'", "EXPORT DATABASE '/tmp/x'", "IMPORT DATABASE '/tmp/x'", "CALL pragma_version()",
    "PRAGMA enable_external_access = true", "SET lock_configuration = false", "RESET enable_external_access", "CREATE SECRET (TYPE s3)",
    "SELECT 1; DROP TABLE run", "CREATE TABLE t AS SELECT 1; SELECT 1", "CREATE PERSISTENT SECRET s (TYPE http); SELECT 1",
    "CREATE MACRO f(x) AS x; SELECT f(1)", "INSERT INTO run SELECT * FROM run", "UPDATE run SET seed = 7", "SELECT getenv('PATH')",
    "FROM scores('/etc')", "FROM sqlite_scan('/tmp/x', 't')", "WITH x AS (DELETE FROM run RETURNING *) FROM x", "VACUUM", "CHECKPOINT",
    "USE memory", "PREPARE q AS SELECT 1", "BEGIN", "DETACH results", "SELECT * FROM query('SELECT * FROM ''/etc/passwd''')",
    "FROM query_table('/etc/passwd')", "SELECT write_log('x') FROM duckdb_secrets(1)", "SET VARIABLE x = 1",
])  # fmt: skip
def test_sql_reads_the_two_databases_and_nothing_else(data, no_network, query):
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    with pytest.raises(DataError):
        sql.query(data, query)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_sql_takes_a_bounded_share_of_the_machine(data, monkeypatch):
    with pytest.raises(DataError, match="stopped after"):
        sql.query(data, "SELECT count(*) FROM range(1000000000000) a, range(1000000) b", timeout_s=0.3)
    monkeypatch.setattr(sql, "MEMORY", "64MiB")
    with pytest.raises(DataError, match="Out of Memory"):
        sql.query(data, "SELECT list(range) FROM range(100000000)")
    monkeypatch.setattr(sql, "LARGEST_BYTES", 1 << 20)
    with pytest.raises(DataError, match="LIMIT"):
        sql.query(data, "SELECT range FROM range(1000000)")


HOSTILE = "=cmd|' /C calc'!A0 <script>alert(1)</script> [x](javascript:1) ![x](http://127.0.0.1/t.png) & % _ $ # { } ~ ^ \\ \r\n| --- |"


def test_a_name_is_shown_and_does_nothing_in_any_format(data):
    table = sql.query(data, f"SELECT {sql.quoted(HOSTILE)} AS name, -1.5 AS number, '-' AS sign, '-2.5e-3' AS text")
    shown = {form: sql._RENDER[form](table).decode() for form in ("csv", "markdown", "latex", "table", "json")}
    (row,) = list(csv.reader(io.StringIO(shown["csv"])))[1:]
    assert row[0] == f"'{HOSTILE}" and row[1:] == ["-1.5", "-", "-2.5e-3"]
    for page in (shown["markdown"], card.table(["name"], [[HOSTILE]])):
        assert "<script" not in page and "](" not in page and page.strip().count("\n") == 2
    assert not re.search(r"(?<!\\)[&%$#_](?=\s)", shown["latex"].split("\\midrule")[1].split("&")[0])
    assert json.loads(shown["json"])[0]["name"] == HOSTILE


@pytest.mark.parametrize("name", [n for n in detectors.names() if "weights" in detectors.get(n).OFFLINE])
def test_no_detector_fetches_weights_by_itself(monkeypatch, tmp_path, no_network, name):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with contextlib.suppress(DataError), torch.device("meta"):  # it may need a file; it never fetches one
        detectors.build(name)


def test_no_source_calls_a_shell_evaluates_text_or_unpickles():
    """What the whole project must not do, by its syntax trees."""
    import ast
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    found = []
    for path in (
        p
        for name in ("ingest", "protocols", "shards", "features", "benchmark", "reports")
        for p in (root / name).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called, options = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
                bad = called in (
                    "eval",
                    "exec",
                    "os.system",
                    "os.popen",
                    "pickle.load",
                    "pickle.loads",
                    "joblib.load",
                    "marshal.loads",
                    "yaml.load",
                )
                bad |= (
                    called.endswith("extractall")
                    or options.get("shell") == "True"
                    or options.get("allow_pickle") == "True"
                )
                bad |= called == "torch.load" and options.get("weights_only") != "True"
                bad |= options.get("trust_remote_code") == "True"
                bad |= called in ("av.open",) and path.name != "confined.py"
                found += [f"{path.relative_to(root)}:{node.lineno} {called}"] if bad else []
    assert not found, found


def test_a_file_does_not_steer_the_terminal(capsys):
    from ingest import cli

    def fails(_):
        raise DataError("clip\x1b[2J\x07.wav \u202e: \x9bnot audio\nsecond line")

    with pytest.raises(SystemExit):
        cli.run(fails)
    said = capsys.readouterr().err
    assert said == "clip\\x1b[2J\\x07.wav \\x202e: \\x9bnot audio second line\n"
