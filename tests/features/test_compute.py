"""From audio shards to feature shards: values, bytes, resumption, faults, and stock webdataset."""

import hashlib
import io

import numpy as np
import pytest
import small_corpus
import street
import torch

from features import compute, extractors
from features.__main__ import main
from ingest import catalog
from ingest.types import DataError
from shards import variant_plan, variant_writer, writer
from shards.gc import unnamed
from shards.reader import Reader

UTTERANCES = [f"tiny/{row[0]}" for row in small_corpus.ROWS]


@pytest.fixture
def data(tmp_path):
    folder = small_corpus.build(tmp_path)
    writer.write_corpus("tiny", folder)
    return folder


def tars(data):
    folder = data / "features"
    return {str(p.relative_to(data)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.tar")}


def tables(data):
    with catalog.connect(data / "catalog.duckdb") as con:
        return [
            con.execute(f"FROM {t} ORDER BY ALL").fetchall() for t in ("feature", "feature_shard", "feature_member")
        ]


@pytest.mark.parametrize("name", ["raw", "logspec", "logmel", "mfcc", "lfcc"])
def test_stored_features_are_those_computed_on_the_fly(data, name):
    webdataset = pytest.importorskip("webdataset")
    assert main(["tiny", "--feature", name, "--data", str(data), "--jobs", "1"]) == 0
    extractor, reader = extractors.get(name), Reader(data)
    folder = data / "features" / f"{name}-{extractor.key[:8]}" / "tiny"
    paths = sorted(str(p) for p in folder.glob("*.tar"))
    samples = {s["__key__"]: s for s in webdataset.WebDataset(paths, shardshuffle=False, empty_check=False)}
    assert sorted(samples) == sorted(UTTERANCES)
    for utt_id in UTTERANCES:
        x = np.load(io.BytesIO(samples[utt_id]["npy"]))
        want = extractor.extract(torch.from_numpy(reader.wave(utt_id))[None])[0].numpy()
        np.testing.assert_array_equal(x, want)
        assert x.dtype == np.float32


def test_the_catalog_says_where_each_array_lies(data):
    main(["tiny", "--feature", "lfcc", "--preset", "lcnn2021", "--data", str(data), "--jobs", "1"])
    (feature,), shard, member = tables(data)
    assert feature[1] == "lfcc" and '"n_fft": 1024' in feature[2] and feature[5] == 60
    assert len(member) == len(UTTERANCES) and len(shard) == 5
    for _, utt_id, _, name, entry, offset, size, frames in member:
        raw = (data / "features" / name).read_bytes()[offset : offset + size]
        assert entry == f"{utt_id}.npy" and np.load(io.BytesIO(raw)).shape == (frames, 60)


def test_bytes_depend_on_nothing_but_the_input(data, tmp_path):
    main(["tiny", "--feature", "mfcc", "--data", str(data), "--jobs", "1"])
    other = small_corpus.build(tmp_path / "other")
    writer.write_corpus("tiny", other)
    main(["tiny", "--feature", "mfcc", "--data", str(other), "--jobs", "2"])
    assert (tars(other), tables(other)) == (tars(data), tables(data))


def test_only_what_changed_is_computed_again(data):
    recipe = compute.Recipe.of("logmel", None, {"bands": 20})
    assert compute.compute_corpus("tiny", data, recipe)["written"] == 5
    stamps = {p: p.stat().st_mtime_ns for p in [*(data / "features").rglob("*.tar"), data / "catalog.duckdb"]}
    assert compute.compute_corpus("tiny", data, recipe)["written"] == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}
    other = compute.Recipe.of("logmel", None, {"bands": 21})
    assert other.folder != recipe.folder
    assert compute.compute_corpus("tiny", data, other)["written"] == 5
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("UPDATE utterance SET speaker = 'x' WHERE utt_id = 'tiny/j1'")
    writer.write_corpus("tiny", data)
    assert compute.compute_corpus("tiny", data, recipe)["written"] == 1
    assert not unnamed(data)


def test_half_precision_is_another_feature_and_half_the_size(data):
    wide, narrow = (compute.Recipe.of("logmel", None, {}, dtype) for dtype in compute.DTYPES)
    assert wide.folder != narrow.folder
    sizes = [compute.compute_corpus("tiny", data, recipe)["size_bytes"] for recipe in (wide, narrow)]
    assert sizes[1] < 0.62 * sizes[0]
    x = np.load(io.BytesIO(first_member(data, narrow.folder)))
    assert x.dtype == np.float16


@pytest.mark.parametrize(("dtype", "value", "message"), [
    ("float16", -7e4, "tiny/a: lfcc has values up to 70000, beyond 65504 of float16; store it with --dtype float32"),
    ("float32", np.nan, "tiny/a: lfcc has values that are not finite numbers"),
])  # fmt: skip
def test_values_that_cannot_be_stored_are_refused(data, monkeypatch, dtype, value, message):
    """Infinities in a shard would end a training days later."""
    x = np.array([[1, value]], np.float32)
    monkeypatch.setattr(compute, "_features", lambda *_: iter([("tiny/a", x, b"{}")]))
    with pytest.raises(DataError, match=message):
        main(["tiny", "--feature", "lfcc", "--dtype", dtype, "--data", str(data), "--jobs", "1"])
    assert not tars(data)


def first_member(data, feature):
    with catalog.connect(data / "catalog.duckdb") as con:
        query = 'SELECT shard, "offset", size FROM feature_member WHERE feature = ? ORDER BY utt_id'
        name, offset, size = con.execute(query, [feature]).fetchone()
    return (data / "features" / name).read_bytes()[offset : offset + size]


def test_killed_at_any_moment_and_run_again(data, tmp_path):
    undisturbed = small_corpus.build(tmp_path / "undisturbed")
    writer.write_corpus("tiny", undisturbed)
    words = ("features", "tiny", "--feature", "logspec", "--jobs", "1")
    street.kill_on_the_way(*words, data=data, calm=undisturbed, times=6)
    main(["tiny", "--feature", "logspec", "--data", str(data), "--jobs", "1"])
    assert (tars(data), tables(data)) == (tars(undisturbed), tables(undisturbed))


def test_list_and_plan(data, capsys):
    assert main(["list", "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in extractors.names()) and "lcnn2021" in said
    assert main(["plan", "tiny", "--feature", "logmel", "--data", str(data)]) == 0
    row = capsys.readouterr().out.splitlines()[2].split()
    seconds = 0.5 * len(UTTERANCES)
    want = 4 * 80 * (401 / 4) * seconds + 2560 * len(UTTERANCES)  # frames of a 4 s clip: 1 + 64000 // 160
    assert row[:2] == ["logmel", "80"] and float(row[3]) == pytest.approx(want / 1e9, abs=6e-4)


def test_features_of_an_earlier_source_are_told_and_can_be_removed(data, monkeypatch, capsys):
    """Their rows stayed, so that `shards gc` kept the files, which nothing reads."""
    from features import stored

    kept = compute.Recipe.of("logmel", None, {})
    for recipe in (
        kept,
        compute.Recipe.of("mfcc", None, {}, "float16"),
        compute.Recipe.of("ssl", None, {"weights": "random"}),
    ):
        compute.compute_corpus("tiny", data, recipe)
    assert main(["remove", "outdated", "--data", str(data)]) == 0
    assert capsys.readouterr().out == "no stored feature is outdated\n"
    hashed = extractors.source_hash
    monkeypatch.setattr(extractors, "source_hash", lambda path: hashed(path) + "x" * (path.stem == "mfcc"))
    with catalog.connect(data / "catalog.duckdb") as con:
        (old,) = stored.outdated(con)
    assert old.startswith("mfcc-")
    main(["list", "--data", str(data)])
    assert [f"{old} " in line for line in capsys.readouterr().out.splitlines() if "outdated" in line] == [True]
    before = tables(data)
    assert main(["remove", "outdated", "--data", str(data)]) == 0
    assert f"{old}: 5 shards" in capsys.readouterr().out
    assert tables(data) == [[row for row in rows if old not in row] for rows in before]
    assert {path.parent.parent.name for path in unnamed(data)} == {old}
    assert main(["remove", kept.folder, "--data", str(data)]) == 0
    assert {path.parent.parent.name for path in unnamed(data)} == {old, kept.folder}
    capsys.readouterr()
    assert main(["remove", kept.folder, "--data", str(data)]) == 0  # the first was killed when all was done, say
    assert f"{kept.folder}: 0 shards" in capsys.readouterr().out
    with pytest.raises(DataError, match=f"unknown stored feature '{kept.folder}x'"):
        main(["remove", f"{kept.folder}x", "--data", str(data)])
    with pytest.raises(DataError, match="say which"):
        main(["remove", "--data", str(data)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "--feature", "logmell"], "unknown feature 'logmell'; did you mean logmel"),
        (["tiny", "--feature", "lfcc", "--preset", "lcnn"], "unknown preset of lfcc 'lcnn'"),
        (["tiny", "--set", "band=3"], "unknown parameter of logmel 'band'; did you mean bands"),
        (["tiny", "--set", "bands"], "--set takes KEY=VALUE, not 'bands'"),
        (["tiny", "--set", "high_hz=NaN"], "logmel: parameter high_hz takes a finite number, not nan"),
        (["tiny", "--set", f"bands={'9' * 5000}"], "logmel: parameter bands takes a whole number"),
        (["tiny", "--set", "preset=ctrsvdd"], "choose it with --preset NAME"),
        (["tinny"], "unknown corpus in the catalog 'tinny'; did you mean tiny"),
        (["tiny", "--variant", "mp3-16k"], "tiny has no shards of variant 'mp3-16k'"),
        (["tiny", "--device", "abacus"], "--device abacus cannot be used"),
        (["tiny", "--device", "meta"], "--device meta cannot be used"),
        (["tiny", "--feature", "logspec", "--set", "floor=-1.0"], r"logspec: floor -1\.0 is not within"),
    ],
)
def test_wrong_usage_is_one_clear_line(data, arguments, message):
    with pytest.raises(DataError, match=message):
        main([*arguments, "--data", str(data)])
    assert not tars(data)


def test_features_of_copies_that_are_removed_go_with_them(data):
    """They stayed in the catalog, where nothing could read them and no command could remove them."""
    plan = variant_plan.parse("[[use]]\nvariants = ['alaw', 'ulaw']", "two")
    variant_writer.write_variants("tiny", data, plan)
    for word in ("original", "alaw", "ulaw"):
        main(["tiny", "--feature", "f0", "--variant", word, "--data", str(data), "--jobs", "1"])
    one = variant_plan.parse("[[use]]\nvariants = ['ulaw']", "two")
    variant_writer.write_variants("tiny", data, one)
    with catalog.connect(data / "catalog.duckdb") as con:
        for table in ("feature_shard", "feature_member"):
            found = con.execute(f"SELECT DISTINCT variant FROM {table} ORDER BY 1").fetchall()
            assert found == [("original",), ("ulaw",)]
    left = {str(path) for path in unnamed(data)}
    assert left and all("-alaw-" in name for name in left) and any("/features/" in name for name in left)


def test_an_audio_shard_that_a_killed_command_wrote_anew_is_not_computed_from(data, monkeypatch):
    """Its features would have been entered as those of the shard before."""
    with monkeypatch.context() as killed:
        killed.setattr(writer, "enter", lambda *_, **__: None)
        writer.write_corpus("tiny", data, audio_codec="pcm")
    with pytest.raises(DataError, match=r"was written anew by a command that has not ended well; run: .*shards tiny"):
        main(["tiny", "--data", str(data), "--jobs", "1"])
    assert not tars(data)


def test_a_node_with_other_weights_computes_nothing(data, monkeypatch):
    """At the end the command said that the audio shards had been written again meanwhile."""

    def elsewhere(tasks, *_, **__):
        tasks = list(tasks)
        with monkeypatch.context() as node:
            node.setattr(compute.Recipe, "key", "0" * 64)
            yield from (function(*positional, **named) for function, positional, named in tasks)

    monkeypatch.setattr(writer.parallel, "results", elsewhere)
    with pytest.raises(DataError, match=r"would make logmel-.*otherwise than the command .*other weights"):
        compute.compute_corpus("tiny", data, compute.Recipe.of("logmel", None, {}), jobs=1)
    assert not tars(data)


def test_a_damaged_audio_shard_is_named(data):
    path = data / "shards/tiny/tiny-en-melgan-original-000000.tar"
    whole = path.read_bytes()
    second = whole.index(b"tiny/s2.wav") if b"tiny/s2.wav" in whole else whole.index(b"tiny/s2.flac")
    for broken in (whole[: len(whole) // 2], whole[:second], whole[:1500] + bytes(300) + whole[1800:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=rf"{path.name} is damaged .*run: python -m shards tiny"):
            main(["tiny", "--data", str(data), "--jobs", "1"])
    path.unlink()
    with pytest.raises(DataError, match=rf"{path.name} is missing; run: python -m shards tiny"):
        main(["tiny", "--data", str(data), "--jobs", "1"])


@pytest.mark.parametrize("error", [None, torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_a_clip_too_long_for_memory_is_named(data, monkeypatch, error):
    """WavLM holds a value for every pair of frames, which no machine has room for where a clip lasts an hour."""

    def features(self, wave):
        if error:
            raise error
        return torch.empty(1 << 45)

    monkeypatch.setattr(type(extractors.get("logmel")), "features", features)
    with pytest.raises(DataError, match=r"tiny/.*: logmel of .* s of sound does not fit into memory; try --jobs 1"):
        main(["tiny", "--feature", "logmel", "--data", str(data), "--jobs", "1"])
