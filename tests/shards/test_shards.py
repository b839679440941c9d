"""From catalog and audio to shards and back: contents, bytes, faults, and stock webdataset."""

import hashlib
import io
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import doc_blocks
import numpy as np
import pyarrow as pa
import pytest
import small_corpus
import soundfile
import street
import torch
import torchaudio

from features.__main__ import main as features
from ingest import catalog
from ingest.types import DataError
from shards import root, writer
from shards.__main__ import main
from shards.clip import at_most_bytes, at_most_bytes_made, encoded, quantised
from shards.reader import Reader
from shards.tar import member_bytes

UTTERANCES = [f"tiny/{row[0]}" for row in small_corpus.ROWS]
NAMES = [
    "tiny-en-bonafide-original-000000.tar", "tiny-en-melgan-original-000000.tar",
    "tiny-en-unlabelled-original-000000.tar", "tiny-ja-bonafide-original-000000.tar",
    "tiny-und-hifi_gan_v1-original-000000.tar",
]  # fmt: skip


@pytest.fixture
def data(tmp_path):
    return small_corpus.build(tmp_path)


def expected(number):
    """The clip as the shards should give it: read as 16 bits, then to 16 kHz by torchaudio."""
    rate_hz = small_corpus.ROWS[number][4]
    wave = quantised(small_corpus.clip(number, rate_hz), 16).astype(np.float32) / 32768
    if rate_hz != 16_000:
        wave = torchaudio.functional.resample(torch.from_numpy(wave), rate_hz, 16_000).numpy()
    return wave


def tables(data):
    with catalog.connect(data / "catalog.duckdb") as con:
        return [con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in ("shard", "shard_member")]


def tars(data):
    return {
        str(p.relative_to(data)): hashlib.sha256(p.read_bytes()).hexdigest() for p in (data / "shards").rglob("*.tar")
    }


@pytest.mark.parametrize(("codec", "step"), [("flac", 2**-23), ("pcm", 2**-15)])
def test_every_clip_comes_back(data, codec, step):
    writer.write_corpus("tiny", data, audio_codec=codec)
    reader = Reader(data)
    for number, utt_id in enumerate(UTTERANCES):
        want = expected(number)
        got = reader.wave(utt_id)
        assert got.dtype == np.float32 and reader.length(utt_id) == want.size == 8000
        exact = small_corpus.ROWS[number][4] == 16_000
        np.testing.assert_allclose(got, want, rtol=0, atol=0 if exact else 0.51 * step)
        np.testing.assert_array_equal(reader.span(utt_id, 100, 228), got[100:228])
    assert [w.size for w in reader.waves(UTTERANCES[::-1])] == [8000] * len(UTTERANCES)
    np.testing.assert_array_equal(reader.waves(UTTERANCES)[3], reader.wave(UTTERANCES[3]))


def test_what_the_page_shows_counts_clips_that_stock_webdataset_loses(data, monkeypatch):
    """At a header that is damaged it takes the tar for ended."""
    pytest.importorskip("webdataset")
    (page,) = [block for block in doc_blocks.blocks(street.ROOT / "docs/cluster.md") if block.language == "python"]
    writer.write_corpus("tiny", data, audio_codec="pcm")
    monkeypatch.chdir(data.parent)
    exec(page.body, {})
    tar = data / "shards/tiny" / NAMES[0]
    content = bytearray(tar.read_bytes())
    content[content.index(b"tiny/b2")] ^= 1
    tar.write_bytes(content)
    with pytest.raises(AssertionError, match=f"{NAMES[0]}': '1 of 2 clips'"):
        exec(page.body, {})


@pytest.mark.parametrize("codec", ["flac", "pcm"])
def test_stock_webdataset_reads_the_shards(data, codec):
    webdataset = pytest.importorskip("webdataset")
    writer.write_corpus("tiny", data, audio_codec=codec)
    paths = sorted(str(p) for p in (data / "shards/tiny").glob("*.tar"))
    extension = {"flac": "flac", "pcm": "wav"}[codec]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False, empty_check=False))
    assert sorted(s["__key__"] for s in samples) == sorted(UTTERANCES)
    reader = Reader(data)
    for sample in samples:
        assert set(sample) >= {extension, "json"}
        labels = json.loads(sample["json"])
        row = small_corpus.ROWS[UTTERANCES.index(labels["utt_id"])]
        assert (labels["label"], labels.get("attack"), labels.get("language")) == row[1:4]
        wave, rate_hz = soundfile.read(io.BytesIO(sample[extension]), dtype="float32")
        np.testing.assert_array_equal(wave, reader.wave(labels["utt_id"]))
        assert rate_hz == 16_000


def test_shards_are_grouped_and_known_to_the_catalog(data):
    counts = writer.write_corpus("tiny", data)
    assert [path.split("/")[-1] for path in sorted(tars(data))] == NAMES
    shard, member = tables(data)
    assert counts["members"] == len(member) == len(UTTERANCES)
    assert {row[0].split("/")[1]: row[8] for row in shard} == {k.split("/")[-1]: v for k, v in tars(data).items()}
    for utt_id, _, name, member_name, offset, size, *_ in member:
        raw = (data / "shards" / name).read_bytes()
        wave, _ = soundfile.read(io.BytesIO(raw[offset : offset + size]))
        assert member_name == f"{utt_id}.flac" and wave.shape == (8000,)


def test_flac_that_fits_already_is_copied_byte_for_byte(data, tmp_path):
    writer.write_corpus("tiny", data)
    source = (tmp_path / "tiny/audio/b1.flac").read_bytes()
    assert source in (data / "shards/tiny" / NAMES[0]).read_bytes()


def test_bytes_depend_on_nothing_but_the_input(data, tmp_path):
    writer.write_corpus("tiny", data)
    first = tars(data), tables(data)
    again = small_corpus.build(tmp_path / "again")
    writer.write_corpus("tiny", again, jobs=2)
    assert (tars(again), tables(again)) == first


def test_a_second_run_writes_nothing(data):
    writer.write_corpus("tiny", data)
    stamps = {p: p.stat().st_mtime_ns for p in [*(data / "shards").rglob("*.tar"), data / "catalog.duckdb"]}
    assert writer.write_corpus("tiny", data)["written"] == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


def test_a_changed_label_rewrites_its_shard_and_gc_removes_what_is_left(data, capsys):
    writer.write_corpus("tiny", data)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("UPDATE utterance SET attack = 'waveglow' WHERE utt_id = 'tiny/s3'")
        con.execute("UPDATE corpus SET fingerprint = 'f1'")
    assert writer.write_corpus("tiny", data)["written"] == 1
    stale = data / "shards/tiny" / NAMES[4]
    (data / f"shards/tiny/.{NAMES[0]}.1.tmp").write_bytes(b"half")
    assert main(["gc", "--data", str(data), "--dry-run"]) == 0
    assert stale.exists()
    assert main(["gc", "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert str(stale) in said and "3 files" in said
    assert not stale.exists() and len(tars(data)) == 5
    for utt_id in UTTERANCES:
        Reader(data).wave(utt_id)


def test_a_shard_left_by_a_run_cut_short_is_kept_only_if_its_bytes_agree(data):
    planned = writer.plan(catalog.connect(data / "catalog.duckdb"), "tiny", audio_codec="flac")
    for shard in planned:
        writer.write_shard(shard, data / "shards")
    before = tars(data)
    path = data / "shards/tiny" / NAMES[2]
    path.write_bytes(bytes(path.stat().st_size))  # as after a power cut: the size is right, the content is not
    assert writer.write_corpus("tiny", data)["written"] == 1
    assert tars(data) == before


def test_shards_are_no_larger_than_asked(data):
    size = 30_000
    writer.write_corpus("tiny", data, audio_codec="pcm", max_bytes=size)
    assert {path.stat().st_size <= size for path in (data / "shards").rglob("*.tar")} == {True}
    assert len(tars(data)) == 7
    writer.write_corpus("tiny", data, audio_codec="flac", max_bytes=1)  # one clip each, none left out
    assert len(tables(data)[1]) == 7


LONG = ["x" * 95, "x" * 96, "x" * 240, "é", "日本" * 35, "b"]


@pytest.mark.parametrize("codec", ["flac", "pcm"])
def test_shards_of_long_names_are_no_larger_than_asked_either(tmp_path, codec):
    rows = [(name[len("tiny/") :] if name[0] == "x" else name, "bonafide", None, "en", 16_000, "WAV") for name in LONG]
    data = small_corpus.build(tmp_path, rows=rows)
    con = catalog.connect(data / "catalog.duckdb")
    table = writer.clips(con, "tiny")
    labels = {"speaker": ["\x1f" * 300] * len(rows), "song": ["歌" * 900] * len(rows)}
    for _ in range(2):  # labels as they are, and long ones
        sizes = at_most_bytes(table, codec)
        for size, row in zip(sizes, table.to_pylist(), strict=True):
            extension, audio, samples = encoded(row, codec)
            label = writer.label_json(row, "original", samples)
            took = member_bytes(f"{row['utt_id']}.{extension}", len(audio)) + member_bytes(
                f"{row['utt_id']}.json", len(label)
            )
            assert took <= size
        for name, values in labels.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
    con.close()
    writer.write_corpus("tiny", data, audio_codec=codec, max_bytes=60_000)
    assert all(path.stat().st_size <= 60_000 for path in (data / "shards").rglob("*.tar"))
    assert len(tables(data)[1]) == len(rows)


def test_a_plain_name_takes_as_much_as_before():
    """3072 bytes beside the audio: shards of such names stay as they are."""
    table = pa.table({"utt_id": ["tiny/a", "x" * 95, "x" * 96, "é"], "file": ["f" * 3000] * 4, "song": ["s"] * 4})
    long = 2 * 1536 + 2048
    assert (at_most_bytes_made(np.zeros(4), table) - 8192).tolist() == [3072, 3072, long, long]


def test_the_reader_serves_threads_and_other_processes(data):
    writer.write_corpus("tiny", data)
    reader = Reader(data)
    with ThreadPoolExecutor(4) as pool:
        waves = list(pool.map(reader.wave, UTTERANCES * 5))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as worker:
        elsewhere = list(worker.map(reader.wave, UTTERANCES))
    with catalog.connect(data / "catalog.duckdb") as con:
        from_connection = Reader(con)
        for number, utt_id in enumerate(UTTERANCES):
            np.testing.assert_array_equal(waves[number], elsewhere[number])
            np.testing.assert_array_equal(waves[number], from_connection.wave(utt_id))


@pytest.mark.parametrize("folder", ["seed=0", "variant=vocals", "offset=7/shard=x"])
def test_a_folder_named_like_a_partition_says_nothing_of_the_shards_below_it(tmp_path, folder):
    """DuckDB takes `seed=0` in a path for a column: a traceback; `variant=vocals` made every clip a vocal stem."""
    data = small_corpus.build(tmp_path / folder)
    writer.write_corpus("tiny", data)
    reader = Reader(data)
    assert all(reader.wave(utt_id).size == reader.length(utt_id) for utt_id in UTTERANCES)
    assert not reader.has(UTTERANCES[0], "vocals")


def test_another_root_that_is_chosen_meanwhile_is_seen_and_nothing_is_entered(data, tmp_path, monkeypatch):
    """Two corpora at once, one of them with --to: the other one ended in a traceback, its tars below the old root."""
    write_all = writer._write_all

    def moved(*given):
        root.choose(data, str(tmp_path / "elsewhere"))
        return write_all(*given)

    with monkeypatch.context() as beside, pytest.raises(DataError, match=r"chose .*elsewhere in place of .*again"):
        beside.setattr(writer, "_write_all", moved)
        writer.write_corpus("tiny", data)
    assert not Reader(data).has("tiny/b1")
    assert writer.write_corpus("tiny", data)["written"] == len(NAMES)
    assert len([*(tmp_path / "elsewhere/shards").rglob("*.tar")]) == len(NAMES) and Reader(data).has("tiny/b1")


def test_a_clip_that_the_catalog_names_twice_is_refused(data):
    writer.write_corpus("tiny", data)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("INSERT INTO shard_member SELECT * FROM shard_member ORDER BY utt_id LIMIT 1")
    with pytest.raises(
        DataError, match=r"names 1 clips twice, the first in .*000000\.tar: it is damaged; move it away"
    ):
        Reader(data).has("anything")


def test_reader_errors_name_the_shard_and_the_command(data):
    with pytest.raises(DataError, match=r"has no shards; run: python -m shards CORPUS"):
        Reader(data).wave("tiny/b1")
    writer.write_corpus("tiny", data)
    with pytest.raises(DataError, match=r"tiny/zz is in no shard of variant 'original'; run: python -m shards tiny"):
        Reader(data).wave("tiny/zz")
    with pytest.raises(DataError, match=r"in no shard of variant 'mp3-16k'"):
        Reader(data).wave("tiny/b1", "mp3-16k")
    with pytest.raises(DataError, match=r"8000 samples; 7000\.\.8001"):
        Reader(data).span("tiny/b1", 7000, 8001)
    path = data / "shards/tiny" / NAMES[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:700])
    with pytest.raises(DataError, match=rf"{NAMES[1]} is damaged: tiny/s1 ends before"):
        Reader(data).wave("tiny/s1")
    path.write_bytes(whole[:1200] + bytes(400) + whole[1600:])
    with pytest.raises(DataError, match=rf"{NAMES[1]} is damaged: tiny/s1 "):
        Reader(data).wave("tiny/s1")
    path.unlink()
    with pytest.raises(DataError, match=rf"{NAMES[1]} cannot be opened .*python -m shards tiny"):
        Reader(data).wave("tiny/s1")
    assert writer.write_corpus("tiny", data)["written"] == 1
    assert path.read_bytes() == whole


def test_tars_that_a_killed_command_wrote_anew_are_not_read_by_the_rows_of_before(data, monkeypatch):
    """PCM shards, and a command that was to make FLAC of them and died before its rows were entered: noise was read."""
    writer.write_corpus("tiny", data, audio_codec="pcm")
    early, late = Reader(data), Reader(data)
    before = {utt_id: early.wave(utt_id) for utt_id in UTTERANCES}
    late.has("tiny/b1")  # the index is there, no tar is open

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(writer, "enter", die)
        writer.write_corpus("tiny", data, audio_codec="flac")
    for reader in (late, Reader(data)):
        for utt_id in UTTERANCES:
            with pytest.raises(
                DataError, match=r"is not the one of the catalog: .*; let it end, or run: .*shards tiny"
            ):
                reader.wave(utt_id)
    for utt_id, wave in before.items():  # what is open is the old file
        np.testing.assert_array_equal(early.wave(utt_id), wave)
    early.close()
    with pytest.raises(DataError, match="is not the one of the catalog"):
        early.wave(UTTERANCES[0])
    assert writer.write_corpus("tiny", data, audio_codec="flac")["written"] == 0
    for utt_id in UTTERANCES:
        np.testing.assert_allclose(Reader(data).wave(utt_id), before[utt_id], atol=2 / 32768)


def damage_missing(path):
    path.unlink()


def damage_changed(path):
    soundfile.write(path, np.zeros(4000), 16_000)


def damage_touched(path):
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_missing, "is missing though"),
        (damage_changed, "has changed since ingest"),
        (damage_touched, "has changed"),
    ],
)
def test_a_source_that_is_not_what_was_ingested(data, tmp_path, damage, message, capsys):
    damage(tmp_path / "tiny/audio/s1.flac")
    with pytest.raises(DataError, match=message) as raised:
        main(["tiny", "--data", str(data), "--jobs", "1"])
    assert "tiny/s1" in str(raised.value) and "python -m ingest tiny" in str(raised.value)
    assert not (data / "shards/tiny" / NAMES[1]).exists()
    assert not list((data / "shards").rglob("*.tmp"))


def test_a_damaged_source_is_named_also_from_a_worker(data, tmp_path):
    path = tmp_path / "tiny/audio/b2.wav"
    stat = path.stat()
    path.write_bytes(b"junk" * (stat.st_size // 4))
    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    with pytest.raises(DataError, match=r"b2\.wav \(tiny/b2\) .* though it was sound at ingest"):
        writer.write_corpus("tiny", data, jobs=2)


def test_command_line(data, tmp_path, capsys):
    assert main(["tiny", "--data", str(data), "--jobs", "1"]) == 0
    assert "tiny: 7 clips in 5 shards" in capsys.readouterr().out
    with pytest.raises(DataError, match="unknown corpus in the catalog 'tinny'; did you mean tiny"):
        main(["tinny", "--data", str(data)])
    with pytest.raises(DataError, match="does not exist; ingest a corpus first"):
        main(["tiny", "--data", str(tmp_path / "nowhere")])
    for wrong in (["--dry-run"], ["--jobs", "0"], ["--max-bytes", "many"], ["--audio-codec", "mp3"], ["--bogus"]):
        with pytest.raises(SystemExit) as ended:
            main(["tiny", "--data", str(data), *wrong])
        assert ended.value.code == 2


def test_protocol_files_alone_have_neither_shards_nor_features(data, capsys):
    """`make CORPUS PARTIAL=1` ended with 2, and `shards all` stopped before the corpora that follow."""
    words = ["--data", str(data), "--jobs", "1"]
    assert main(["tiny", *words]) == 0 and features(["tiny", *words]) == 0
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("UPDATE utterance SET audio_status = 'missing', audio_present = false")
    capsys.readouterr()
    for corpus in ("tiny", "all"):
        assert main([corpus, *words]) == 0 and features([corpus, *words]) == 0
    assert main(["variants", "all", "--plan", "robustness", *words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("), ")[2] or line.partition("; ")[2] for line in said] == [
        "so no shards", "so no features", "so no shards", "so no features", "passed over"
    ]  # fmt: skip
    with catalog.connect(data / "catalog.duckdb") as con:
        assert con.execute("SELECT (SELECT count(*) FROM shard), (SELECT count(*) FROM feature_shard)").fetchone() == (
            0,
            0,
        )
    with pytest.raises(DataError, match="tiny: no utterance has audio"):
        main(["variants", "tiny", "--plan", "robustness", *words])


def test_killed_at_any_moment_and_run_again(data, tmp_path):
    """SIGKILL at several moments, then once to the end: the same shards and rows as without."""
    undisturbed = small_corpus.build(tmp_path / "undisturbed")
    street.kill_on_the_way("shards", "tiny", "--jobs", "1", data=data, calm=undisturbed, times=8)
    assert main(["tiny", "--data", str(data), "--jobs", "1"]) == 0
    main(["gc", "--data", str(data)])
    assert (tars(data), tables(data)) == (tars(undisturbed), tables(undisturbed))
    assert not list((data / "shards").rglob("*.tmp"))
