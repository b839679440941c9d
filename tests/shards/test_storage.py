"""Shards and features in an S3 store: a real S3 protocol server on loopback, cut off on the way, and without the extra."""

import gc
import hashlib
import importlib
import io
import json
import os
import socket
import sys
import threading
import time

import numpy as np
import pytest
import small_corpus
import soundfile

from ingest import catalog
from ingest.types import DataError
from shards import root, storage, writer
from shards.__main__ import main
from shards.reader import Reader

UTTERANCES = [f"tiny/{row[0]}" for row in small_corpus.ROWS]
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def server():
    """moto's S3 server on a free port of 127.0.0.1, with one bucket; the environment points every client to it."""
    pytest.importorskip("s3fs", reason="needs s3fs: pip install 'sirenbench[cloud]'")
    moto = pytest.importorskip("moto.server", reason="needs moto[server] (dev)")
    import s3fs

    made = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("bucket")
        yield made
        s3fs.S3FileSystem.clear_instance_cache()
    made.stop()


@pytest.fixture
def data(tmp_path):
    return small_corpus.build(tmp_path)


@pytest.fixture
def local(tmp_path):
    """The same corpus with its shards on this machine."""
    folder = small_corpus.build(tmp_path / "local")
    writer.write_corpus("tiny", folder)
    return folder


def bucket(name):
    return storage.Remote(f"s3://bucket/{name}")


def held(place):
    """Name below `place` -> sha256 of every object or file, the indexes left out: those know their store's tags."""
    found = (path for path, _ in storage.files(place) if path.suffix == ".tar")
    return {str(path)[len(str(place)) :]: hashlib.sha256(storage.read_bytes(path)).hexdigest() for path in found}


def rows(data):
    with catalog.connect(data / "catalog.duckdb") as con:
        return [con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in ("shard", "shard_member")]


def test_every_stage_follows_the_root_that_shards_was_given(server, data, local):
    from features.compute import Recipe, compute_corpus

    assert main(["tiny", "--data", str(data), "--to", "s3://bucket/whole", "--jobs", "1"]) == 0
    assert held(bucket("whole")) == held(local) and rows(data) == rows(local)
    assert not list(data.rglob("*.tar"))
    assert writer.write_corpus("tiny", data)["written"] == 0
    recipe = Recipe.of("logmel", None, {})
    for folder in (data, local):
        assert compute_corpus("tiny", folder, recipe, jobs=1)["written"] == 5
    assert compute_corpus("tiny", data, recipe)["written"] == 0
    assert held(bucket("whole")) == held(local)
    reader, here = Reader(data), Reader(local)
    for utt_id in UTTERANCES:
        np.testing.assert_array_equal(reader.wave(utt_id), here.wave(utt_id))
        np.testing.assert_array_equal(reader.span(utt_id, 7, 99), here.span(utt_id, 7, 99))


def test_gc_removes_objects_that_no_row_names(server, data, capsys):
    main(["tiny", "--data", str(data), "--to", "s3://bucket/gc", "--jobs", "1"])
    before = held(bucket("gc"))
    storage.write_bytes(bucket("gc/shards/tiny/tiny-en-old-original-000000.tar"), b"left")
    assert main(["gc", "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "s3://bucket/gc/shards/tiny/tiny-en-old-original-000000.tar" in said and "1 files" in said
    assert held(bucket("gc")) == before


def test_stock_webdataset_streams_from_the_store(server, data, local):
    webdataset = pytest.importorskip("webdataset")
    import s3fs

    main(["tiny", "--data", str(data), "--to", "s3://bucket/stream", "--jobs", "1"])
    tars = sorted(str(path) for path in held(bucket("stream")))
    urls = [f"pipe:curl -s -f '{s3fs.S3FileSystem().sign(f'bucket/stream{name}')}'" for name in tars]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert sorted(s["__key__"] for s in samples) == sorted(UTTERANCES)
    reader = Reader(local)
    for sample in samples:
        wave, _ = soundfile.read(io.BytesIO(sample["flac"]), dtype="float32")
        np.testing.assert_array_equal(wave, reader.wave(json.loads(sample["json"])["utt_id"]))


def test_an_upload_that_was_cut_is_made_again_and_a_changed_object_is_seen(server, data, local):
    main(["tiny", "--data", str(data), "--to", "s3://bucket/cut", "--jobs", "1"])
    whole, names = held(bucket("cut")), sorted(held(bucket("cut")))
    storage.remove(bucket("cut") / names[0][1:].replace(".tar", ".index.parquet"))  # put the tar, then died
    changed = bucket("cut") / names[1][1:]
    content = storage.read_bytes(changed)
    storage.write_bytes(changed, content[:-512])
    with pytest.raises(DataError, match="is not the one of the catalog"):
        Reader(data).wave("tiny/s1")
    storage.write_bytes(changed, bytes(len(content)))
    storage.remove(bucket("cut") / names[2][1:])
    with pytest.raises(DataError, match=r"s3://bucket/cut/shards/tiny/.*cannot be opened.*python -m shards tiny"):
        Reader(data).wave("tiny/u1")
    assert writer.write_corpus("tiny", data)["written"] == 3
    assert held(bucket("cut")) == whole == held(local)


@pytest.mark.parametrize("forked", [False, True])
def test_shards_written_anew_while_they_are_read_are_not_taken_for_those_of_before(server, data, forked):
    """A training that goes on got the audio of other clips: where it looks, their samples lie now."""
    main(["tiny", "--data", str(data), "--to", f"s3://bucket/anew{forked}", "--jobs", "1", "--audio-codec", "pcm"])
    reader = Reader(data)
    waves = {utt_id: reader.wave(utt_id) for utt_id in UTTERANCES}
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("DELETE FROM utterance WHERE utt_id = 'tiny/s1'")
    assert writer.write_corpus("tiny", data, jobs=1, audio_codec="pcm")["written"] == 1
    for file in reader._files.values() if forked else ():
        file._process = 1
    for utt_id in ("tiny/s1", "tiny/s2"):
        with pytest.raises(DataError, match=r"melgan-\S+\.tar was written anew since it was opened; run the same"):
            reader.wave(utt_id)
    np.testing.assert_array_equal(reader.wave("tiny/b1"), waves["tiny/b1"])
    reader.close()  # as with more shards than are kept open
    with pytest.raises(DataError, match="is not the one of the catalog"):
        reader.wave("tiny/s2")
    np.testing.assert_array_equal(Reader(data).wave("tiny/s2"), waves["tiny/s2"])


def test_an_object_put_anew_while_it_is_read_to_its_end_is_said(server, monkeypatch):
    """As features read tars; the network and the credentials were blamed."""
    monkeypatch.setattr(storage, "READ_AHEAD_BYTES", 1 << 10)
    monkeypatch.setattr(storage, "_BUFFER_BYTES", 1 << 10)
    where = bucket("turn/x.tar")
    storage.write_bytes(where, bytes(1 << 20))
    with (
        storage.opened(where) as file,
        pytest.raises(DataError, match=r"turn/x\.tar was written anew since it was opened; run the same"),
    ):
        file.read(10)
        storage.write_bytes(where, b"1" * (1 << 20))
        file.read()


def test_shards_that_another_store_tagged_otherwise_are_read(server, data, local):
    """A copy of a bucket, put in other parts, has other tags, as its indexes do not know."""
    main(["tiny", "--data", str(data), "--to", "s3://bucket/first", "--jobs", "1"])
    for path, _ in list(storage.files(bucket("first"))):
        content = storage.read_bytes(path)
        if path.suffix == ".parquet":
            tar = path.parent / path.name.replace(".index.parquet", ".tar")
            content = content.replace(storage.stamp(tar)[1].encode(), b"0" * 32)
        storage.write_bytes(path, content)
    for utt_id in UTTERANCES:
        np.testing.assert_array_equal(Reader(data).wave(utt_id), Reader(local).wave(utt_id))


@pytest.fixture
def failing(server, monkeypatch):
    """The same store behind a server that takes `uploads` objects and refuses the others; then it is shut down."""
    import s3fs
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application, left = DomainDispatcherApplication(create_backend_app), {"uploads": 8}

    def limited(environ, start):
        if environ["REQUEST_METHOD"] == "PUT":
            left["uploads"] -= 1
            if left["uploads"] < 0:
                start("403 Forbidden", [("Content-Type", "text/plain")])
                return [b"cut"]
        return application(environ, start)

    served = make_server("127.0.0.1", 0, limited, threaded=True)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{served.server_port}")
    s3fs.S3FileSystem.clear_instance_cache()
    yield served, left
    served.shutdown()
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_store_that_goes_away_is_one_line_and_the_rerun_ends_with_the_same_bytes(failing, data, local):
    served, left = failing
    with pytest.raises(DataError, match=r"s3://bucket/away/shards/tiny/.* cannot be .*run the same command again"):
        main(["tiny", "--data", str(data), "--to", "s3://bucket/away", "--jobs", "1"])
    left["uploads"] = 1000
    assert writer.write_corpus("tiny", data, jobs=1)["written"] == 2
    assert held(bucket("away")) == held(local) and rows(data) == rows(local)
    served.shutdown()
    served.server_close()
    with pytest.raises(DataError, match=r"s3://bucket/away/\S+ cannot be reached"):
        writer.write_corpus("tiny", data, jobs=1)


def test_a_folder_url_is_the_local_path_with_its_fast_reads(data, local, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    assert main(["tiny", "--data", str(data), "--to", f"file://{elsewhere}", "--jobs", "1"]) == 0
    assert root.folder(data, "shards") == elsewhere / "shards"
    assert held(elsewhere) == held(local) and rows(data) == rows(local)


def test_the_root_moves_only_with_its_tars(data, tmp_path):
    main(["tiny", "--data", str(data), "--jobs", "1"])
    with pytest.raises(DataError, match=r"5 of 5 tars .* are not below .*copy shards/ and features/"):
        main(["tiny", "--data", str(data), "--to", str(tmp_path / "new")])
    (tmp_path / "new").mkdir()
    (data / "shards").rename(tmp_path / "new" / "shards")
    main(["gc", "--data", str(data), "--to", str(tmp_path / "new")])
    assert Reader(data).wave("tiny/b1").size == 8000
    (tmp_path / "new" / "shards").rename(data / "shards")
    main(["gc", "--data", str(data), "--to", str(data)])
    assert root.folder(data, "shards") == data / "shards" and writer.write_corpus("tiny", data)["written"] == 0


def test_a_root_belongs_to_one_catalog(data, local, tmp_path):
    shared = tmp_path / "shared"
    assert main(["tiny", "--data", str(data), "--to", str(shared), "--jobs", "1"]) == 0
    assert main(["tiny", "--data", str(data), "--to", str(shared)]) == 0  # again: the mark is known
    with pytest.raises(
        DataError, match=r"shared belongs to another catalog \(.*data on .*\); name another --to.*no more, remove"
    ):
        main(["tiny", "--data", str(local), "--to", str(shared)])
    with pytest.raises(DataError, match=r"is the DATA of another catalog; name another --to"):
        main(["tiny", "--data", str(local), "--to", str(data)])
    assert root.folder(local, "shards") == local / "shards"
    catalog.connect(shared / "catalog.duckdb", read_only=False).close()  # a DATA folder in the root of another
    with pytest.raises(DataError, match="belongs to another catalog"):
        root.claim(shared)
    (shared / "catalog.duckdb").unlink()
    (shared / root.MARK).write_text("f00 /elsewhere on host")
    with pytest.raises(DataError, match=r"belongs to another catalog \(/elsewhere on host\)"):
        main(["tiny", "--data", str(data)])  # it was given to another meanwhile
    (shared / root.MARK).unlink()
    assert main(["tiny", "--data", str(data)]) == 0 and (shared / root.MARK).exists()


def test_damaged_objects_are_named_and_taken_away(server, data, capsys):
    main(["tiny", "--data", str(data), "--to", "s3://bucket/rot", "--audio-codec", "pcm", "--jobs", "1"])
    before = held(bucket("rot"))
    tar = next(path for path, _ in storage.files(bucket("rot/shards")) if path.suffix == ".tar")
    found = bytearray(storage.read_bytes(tar))
    found[700] ^= 1
    storage.write_bytes(tar, bytes(found))
    assert main(["verify", "--data", str(data), "--remove"]) == 0
    assert f"{tar}: damaged" in capsys.readouterr().out and len(held(bucket("rot"))) == len(before) - 1
    main(["tiny", "--data", str(data), "--audio-codec", "pcm", "--jobs", "1"])
    assert main(["verify", "--data", str(data)]) == 0 and held(bucket("rot")).keys() == before.keys()


def test_gc_leaves_what_others_keep_in_the_root(data, tmp_path, capsys):
    shared = tmp_path / "shared"
    main(["tiny", "--data", str(data), "--to", str(shared), "--jobs", "1"])
    ours = [
        "shards/tiny/tiny-en-old-mp3-32k-000001.tar", "shards/tiny/tiny-en-old-mp3-32k-000001.index.parquet",
        "shards/tiny/.tiny-en-old-original-000000.tar.tmp", "shards/tiny/.tiny-ja-bonafide-vocals-1234567.tar.2.tmp",
        "features/logmel-0123abcd/tiny/tiny-en-old-original-000000.tar",
        "features/logmel-0123abcd/tiny/.tiny-en-old-original-000000.index.parquet.tmp",
    ]  # fmt: skip
    others = [
        "shards/mine.tar", "shards/tiny/mine.tar", "shards/tiny/x.tmp", "shards/tiny/more/tiny-en-old-original-000000.tar",
        "shards/decro/decro-en-bonafide-original-000000.tar", "shards/tiny/decro-en-bonafide-original-000000.tar",
        "features/mine/tiny/tiny-en-old-original-000000.tar", "features/tiny/tiny-en-old-original-000000.tar",
        "features/logmel-0123abcd/decro/decro-en-bonafide-original-000000.tar", "tiny/tiny-en-old-original-000000.tar",
    ]  # fmt: skip
    for name in (*ours, *others):
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).write_bytes(b"data")
    before = {path for path in shared.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["gc", "--data", str(data)]) == 0
    assert "6 files" in capsys.readouterr().out
    assert before - {path for path in shared.rglob("*") if path.is_file()} == {shared / name for name in ours}


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_gc_touches_only_a_root_of_its_own(data, tmp_path, more):
    shared = tmp_path / "shared"
    main(["tiny", "--data", str(data), "--to", str(shared), "--jobs", "1"])
    left = shared / "shards/tiny/tiny-en-old-original-000000.tar"
    left.write_bytes(b"data")
    mark = (shared / root.MARK).read_text()
    (shared / root.MARK).write_text("f00 /elsewhere on host")
    with pytest.raises(DataError, match="belongs to another catalog"):
        main(["gc", "--data", str(data), *more])
    (shared / root.MARK).unlink()
    with pytest.raises(DataError, match=r"bears no mark .*run: python -m shards gc --data \S+ --to \S+$"):
        main(["gc", "--data", str(data), *more])
    assert left.exists()
    assert main(["gc", "--data", str(data), "--to", str(shared)]) == 0 and not left.exists()
    assert (shared / root.MARK).read_text() == mark


def test_a_store_belongs_to_one_catalog_too(server, data, local):
    main(["tiny", "--data", str(data), "--to", "s3://bucket/mine", "--jobs", "1"])
    with pytest.raises(
        DataError, match=r"s3://bucket/mine belongs to another catalog .*remove s3://bucket/mine/\.siren-root"
    ):
        main(["tiny", "--data", str(local), "--to", "s3://bucket/mine/"])


def test_a_root_that_cannot_be_written_is_not_remembered(failing, data):
    _, left = failing
    left["uploads"] = 0
    with pytest.raises(DataError, match=r"s3://bucket/full/\.siren-root cannot be"):
        main(["tiny", "--data", str(data), "--to", "s3://bucket/full", "--jobs", "1"])
    assert root.folder(data, "shards") == data / "shards"


def test_faults_are_one_line(data, monkeypatch):
    with pytest.raises(DataError, match=r"gopher:// is no kind of storage"):
        main(["tiny", "--data", str(data), "--to", "gopher://hole"])
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(DataError, match=r"needs the package s3fs; run: pip install 'sirenbench\[cloud\]'"):
        main(["tiny", "--data", str(data), "--to", "s3://bucket/x"])


@pytest.mark.parametrize("to", ["", " ", "s3://", "ftp:///", "file://", "github://x", "reference://x"])
def test_a_root_that_names_nothing_is_refused(data, tmp_path, monkeypatch, to):
    """As `--to s3://$BUCKET` is where BUCKET is not set."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"names no place for shards; give|cannot hold shards; name"):
        main(["tiny", "--data", str(data), "--to", to])
    assert sorted(tmp_path.iterdir()) == before and root.folder(data, "shards") == data / "shards"


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_kind_of_storage_that_asks_for_more_is_refused_before_it_is_made(data):
    with pytest.raises(DataError, match="ftp:// cannot hold shards; name a folder"):
        main(["tiny", "--data", str(data), "--to", "ftp://host/x"])
    gc.collect()


@pytest.mark.parametrize("to", ["rel", "file://rel"])
def test_a_relative_root_is_stored_as_absolute(data, tmp_path, monkeypatch, to):
    monkeypatch.chdir(tmp_path)
    main(["tiny", "--data", str(data), "--to", to, "--jobs", "1"])
    assert root.folder(data, "shards") == tmp_path / "rel/shards"


def test_a_store_that_can_only_be_read_is_one_line(data, monkeypatch):
    def refuse(*_):
        raise NotImplementedError

    monkeypatch.setattr("fsspec.AbstractFileSystem.put_file", refuse)
    with pytest.raises(DataError, match=r"memory://x/\.siren-root cannot be reached or used \(NotImplementedError\)"):
        storage.write_bytes(storage.Remote("memory://x/.siren-root"), b"mark")


def test_an_upload_that_finds_no_container_is_one_line(monkeypatch):
    """Of stores whose buckets cannot be asked for, and of buckets that may be written and not seen; a traceback."""

    def absent(*_):
        raise FileNotFoundError("no such\ncontainer")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.put_file", absent, raising=False)
    with pytest.raises(DataError, match=r"memory://x/a\.tar cannot be written \(no such container\); see that its"):
        storage.write_bytes(storage.Remote("memory://x/a.tar"), b"data")


@pytest.mark.parametrize(
    "to, said",
    [("s3:/bucket/x", "lacks a slash; write s3://"), ("file:/x", "lacks a slash"), ("memory://x", "gone when the")],
)
def test_a_root_that_would_keep_nothing_where_it_is_looked_for_is_refused(data, tmp_path, monkeypatch, to, said):
    """The first two were folders of that name in the folder at hand; into the third, shards were written and lost."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=said):
        main(["tiny", "--data", str(data), "--to", to])
    assert sorted(tmp_path.iterdir()) == before and root.folder(data, "shards") == data / "shards"


@pytest.mark.parametrize(
    "to, said",
    [
        ("s3://key:s3cret@bucket/x", r"s3://bucket/\.\.\. was given with"),
        ("ftp://me:s3cret@host", "ftp://host/... was given with"),
        ("az://container/x?sv=1&sig=s3cret", "az://container/x was given with a password or a .query"),
        ("s3://bucket/x?versionId=s3cret", "s3://bucket/x was given with"),
    ],
)
def test_a_root_with_a_secret_is_neither_kept_nor_repeated(data, to, said):
    """The catalog kept a signature; s3fs took all that followed ?versionId= for one object, and wrote over it."""
    with pytest.raises(DataError, match=said) as caught:
        main(["tiny", "--data", str(data), "--to", to])
    assert "s3cret" not in str(caught.value) and root.folder(data, "shards") == data / "shards"
    assert storage.place("abfs://container@account.dfs.core.windows.net/x").name == "x"


def test_no_such_bucket(server, data):
    with pytest.raises(DataError, match=r"s3://nowhere/x.*no such bucket"):
        main(["tiny", "--data", str(data), "--to", "s3://nowhere/x", "--jobs", "1"])


def test_a_store_that_takes_calls_and_never_answers_is_named_and_given_up(server, monkeypatch, capsys):
    """An upload waited for ever, and without a word, for the leave to send that it asks for."""
    import s3fs

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(storage, "WORD_S", 0.2)
        monkeypatch.setattr(storage, "LIMIT_S", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(DataError, match=r"s3://bucket/x cannot be reached or used \(no answer in time\)"):
            storage.write_bytes(storage.Remote("s3://bucket/x"), b"data")
    s3fs.S3FileSystem.clear_instance_cache()
    assert capsys.readouterr().err == (
        "waiting for s3://bucket/x for 0 s; the way to the store is slow, or it does not answer\n"
    )


def test_a_store_is_waited_for_with_a_word_while_it_reads_not_while_we_work(monkeypatch, capsys):
    from fsspec.implementations.memory import MemoryFile

    where = storage.Remote("memory://slow/x.tar")
    storage.write_bytes(where, b"data")
    monkeypatch.setattr(storage, "WORD_S", 0.1)
    with storage.opened(where) as file:
        assert file.read(2) == b"da" and file.seek(1) == 1 and file.read() == b"ata"
        time.sleep(0.3)
    assert not capsys.readouterr().err
    monkeypatch.setattr(MemoryFile, "read", lambda *_: time.sleep(0.3) or b"")
    with storage.opened(where) as file:
        assert file.read() == b""
    assert "waiting for memory://slow/x.tar for 0 s" in capsys.readouterr().err


def test_scratch_files_of_processes_that_are_gone_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "gettempdir", lambda: str(tmp_path))
    folder, theirs = (tmp_path / f"siren-{os.getuid()}-{host}" for host in (socket.gethostname(), "elsewhere"))
    for one in (folder, theirs):
        one.mkdir()
        (one / "999999999-x-a.tar").write_bytes(b"left")
    (folder / f"{os.getpid()}-x-b.tar").write_bytes(b"mine")
    storage.write_bytes(storage.Remote("memory://t/c.tar"), b"data")
    assert [path.name for path in folder.iterdir()] == [f"{os.getpid()}-x-b.tar"]
    assert [path.name for path in theirs.iterdir()] == ["999999999-x-a.tar"]  # its process may be at work there
    assert storage.read_bytes(storage.Remote("memory://t/c.tar"), 1, 3) == b"at"


def test_a_file_that_a_writer_renames_meanwhile_is_not_listed(tmp_path, monkeypatch):
    for name in ("a.tar", ".b.tar.tmp", "c.tar"):
        (tmp_path / name).write_bytes(b"12")
    walk = os.walk

    def walk_then_rename(folder):
        for found in walk(folder):
            (tmp_path / ".b.tar.tmp").rename(tmp_path / "b.tar")
            yield found

    monkeypatch.setattr(storage.os, "walk", walk_then_rename)
    assert sorted(storage.files(tmp_path)) == [(tmp_path / "a.tar", 2), (tmp_path / "c.tar", 2)]
    assert not list(storage.files(tmp_path / "absent"))
