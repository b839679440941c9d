"""Variants as shards: what is written, entered and found again; repeats, kills, several plans, gc."""

import hashlib
import json

import numpy as np
import pytest
import small_corpus
import soundfile
import street
from webdataset import WebDataset

from ingest import catalog
from ingest.types import DataError
from shards import variant_plan, variant_writer, variants, writer
from shards.__main__ import main
from shards.noise import recordings
from shards.reader import Reader
from shards.variant_writer import write_variants

PLAN = """
[[use]]
variants = ["mp3-32k", "white-10db", "opus-16k_speed-130"]
[[use]]
variants = ["alaw", "g722", "speed-90", "reverb-200ms"]
draw = 2
[[use]]
where = "label = 'spoof'"
variants = ["aac-16k"]
"""
UTTERANCES = [f"tiny/{row[0]}" for row in small_corpus.ROWS]


@pytest.fixture
def data(tmp_path):
    return small_corpus.build(tmp_path)


def plan(text=PLAN, name="own", **given):
    return variant_plan.parse(text, name, **given)


def tables(data):
    with catalog.connect(data / "catalog.duckdb") as con:
        names = ("shard", "shard_member", "variant", "variant_plan")
        return [con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in names]


def tars(data):
    return {str(p.relative_to(data)): hashlib.sha256(p.read_bytes()).hexdigest() for p in (data / "shards").rglob("*.tar")}  # fmt: skip


def variants_of(data):
    found = {}
    for utt_id, variant, *_ in tables(data)[1]:
        found.setdefault(utt_id, set()).add(variant)
    return found


@pytest.mark.parametrize("codec", ["flac", "pcm"])
def test_every_planned_variant_is_found_by_the_reader(data, codec):
    writer.write_corpus("tiny", data, audio_codec=codec)
    counts = write_variants("tiny", data, plan(), audio_codec=codec)
    reader, original = Reader(data), {u: Reader(data).wave(u) for u in UTTERANCES}
    spoof = {f"tiny/{row[0]}" for row in small_corpus.ROWS if row[1] == "spoof"}
    members = 0
    for utt_id in UTTERANCES:
        words = plan().words(utt_id, [True, True, utt_id in spoof])
        assert variants_of(data)[utt_id] == {"original", *words}
        for word in words:
            members += 1
            wave = reader.wave(utt_id, word)
            assert wave.size == reader.length(utt_id, word) == variants.length(word, original[utt_id].size)
            want = variants.apply(small_corpus_source(data, utt_id), word, seed=seed_of(data, word, utt_id))
            np.testing.assert_array_equal(wave, want)
            np.testing.assert_array_equal(reader.span(utt_id, 7, 99, word), want[7:99])
    assert counts["members"] == members and counts["written"] == counts["shards"] > 0


def small_corpus_source(data, utt_id):
    from ingest import audio

    (path,) = (data.parent / "tiny/audio").glob(f"{utt_id.split('/')[1]}.*")
    return audio.mono16k(path)


def seed_of(data, word, utt_id):
    with catalog.connect(data / "catalog.duckdb") as con:
        (seed,) = con.execute("SELECT seed FROM variant WHERE variant = ?", [word]).fetchone()
    assert (seed is None) == ("white" not in word and "reverb" not in word)
    return f"{seed}/{utt_id}"


def test_the_catalog_says_how_each_variant_was_made(data):
    write_variants("tiny", data, plan())
    with catalog.connect(data / "catalog.duckdb") as con:
        rows = {row[0]: row[1:] for row in con.execute("SELECT variant, * EXCLUDE (variant) FROM variant").fetchall()}
        assert con.execute("SELECT plan, seed FROM variant_plan").fetchall() == [("own", 0)]
    _, steps, compression, speed, seed, versions, recordings = rows["opus-16k_speed-130"]
    coded, faster = json.loads(steps)
    assert (coded["encoder"], coded["bitrate_bps"], coded["decoded_hz"]) == ("libopus", 16_000, 48_000)
    assert faster == {"step": "speed-130", "stage": "speed", "percent": 130}
    assert (compression, speed, seed, recordings) == (4, 8, None, "{}")
    assert {"pyav", "libavcodec", "torchaudio"} <= set(json.loads(versions))
    assert rows["alaw"][2] is None and rows["white-10db"][4] == 0


def test_stock_webdataset_reads_variant_shards(data):
    write_variants("tiny", data, plan())
    paths = sorted(str(p) for p in (data / "shards/tiny").glob("*-mp3-32k-*.tar"))
    samples = list(WebDataset(paths, shardshuffle=False, empty_check=False))
    assert sorted(s["__key__"] for s in samples) == sorted(UTTERANCES)
    assert {json.loads(s["json"])["variant"] for s in samples} == {"mp3-32k"}


def test_bytes_depend_on_nothing_but_input_and_seed(data, tmp_path):
    write_variants("tiny", data, plan(), jobs=1)
    again = small_corpus.build(tmp_path / "again")
    write_variants("tiny", again, plan(), jobs=2)
    assert (tars(again), tables(again)) == (tars(data), tables(data))
    stamps = {p: p.stat().st_mtime_ns for p in [*(data / "shards").rglob("*.tar"), data / "catalog.duckdb"]}
    assert write_variants("tiny", data, plan())["written"] == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}
    other = small_corpus.build(tmp_path / "other")
    write_variants("tiny", other, plan(seed=5))
    assert variants_of(other) != variants_of(data)
    white = [name for name in tars(data) if "white" in name]
    assert white and all(tars(other)[name] != tars(data)[name] for name in white)


def test_plans_share_variants_and_leave_one_by_one(data):
    writer.write_corpus("tiny", data)
    narrow = plan("[[use]]\nwhere = \"label = 'bonafide'\"\nvariants = ['mp3-32k', 'ulaw']", "narrow")
    wide = plan("[[use]]\nvariants = ['mp3-32k']", "wide")
    write_variants("tiny", data, narrow)
    assert sum("mp3-32k" in words for words in variants_of(data).values()) == 3
    write_variants("tiny", data, wide)
    both = tars(data), tables(data)
    assert {frozenset(words) for words in variants_of(data).values()} == {
        frozenset({"original", "mp3-32k"}), frozenset({"original", "mp3-32k", "ulaw"})}  # fmt: skip
    assert write_variants("tiny", data, narrow)["written"] == 0
    assert (tars(data), tables(data)) == both
    write_variants("tiny", data, wide, remove=True)
    assert sum("mp3-32k" in words for words in variants_of(data).values()) == 3
    write_variants("tiny", data, narrow, remove=True)
    assert set().union(*variants_of(data).values()) == {"original"}
    assert tables(data)[2:] == [[], []]
    main(["gc", "--data", str(data)])
    assert {name.split("-")[3] for name in tars(data)} == {"original"}
    write_variants("tiny", data, wide, remove=True)  # out before: run again after a kill, or by two at once
    assert tables(data)[2:] == [[], []]
    with pytest.raises(DataError, match="has no variants of a plan wild; its plans: none"):
        write_variants("tiny", data, "wild", remove=True)


def test_an_edited_plan_drops_what_it_no_longer_asks_for(data):
    write_variants("tiny", data, plan("[[use]]\nvariants = ['alaw', 'ulaw']"))
    write_variants("tiny", data, plan("[[use]]\nvariants = ['ulaw']"))
    assert set().union(*variants_of(data).values()) == {"ulaw"}
    assert main(["gc", "--data", str(data)]) == 0
    assert not [name for name in tars(data) if "alaw" in name]


def test_a_plan_is_removed_by_its_name(data, tmp_path, capsys):
    (tmp_path / "own.toml").write_text("[[use]]\nvariants = ['alaw']")
    given = ["variants", "all", "--plan", str(tmp_path / "own.toml"), "--data", str(data), "--jobs", "1"]
    main(given)
    (tmp_path / "own.toml").unlink()
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("INSERT INTO corpus BY NAME SELECT * REPLACE ('other' AS corpus) FROM corpus")
    assert main([*given, "--remove"]) == 0
    assert "other: no variants of a plan own; passed over" in capsys.readouterr().out
    assert tables(data) == [[], [], [], []]
    before = tables(data)
    for corpus in ("all", "tiny"):  # the first was killed when all was done, say
        given[1] = corpus
        assert main([*given, "--remove"]) == 0
        assert "tiny: " in capsys.readouterr().out
    assert tables(data) == before
    given[3] = "owm"
    with pytest.raises(DataError, match="tiny has no variants of a plan owm; its plans: none"):
        main([*given, "--remove"])
    given[1] = "all"
    with pytest.raises(DataError, match="no corpus has variants of a plan owm; their plans: none"):
        main([*given, "--remove"])


def test_a_plan_that_would_be_refused_today_can_be_taken_out(data):
    for name, word in (("old", "alaw"), ("new", "ulaw")):
        write_variants("tiny", data, plan(f"[[use]]\nvariants = ['{word}']", name), jobs=1)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("""UPDATE variant_plan SET "text" = '[[use]]\nvariants = ["mp3-33k"]' WHERE plan = 'old'""")
    with pytest.raises(DataError, match=r"mp3-33k.* take it out: python -m shards variants tiny --plan old --remove"):
        write_variants("tiny", data, "new", remove=True)
    write_variants("tiny", data, "old", remove=True)
    assert set().union(*variants_of(data).values()) == {"ulaw"} == {row[1] for row in tables(data)[2]}
    assert [row[1] for row in tables(data)[3]] == ["new"]


def test_unknown_corpora_of_a_plan_are_refused(data):
    for key, wrong, near in (("corpora", "librisevok", "librisevoc"), ("except", "tinny", "tiny")):
        with pytest.raises(
            DataError, match=rf"plan own \[\[use\]\] 1 {key}: unknown corpus '{wrong}'; did you mean {near}"
        ):
            write_variants("tiny", data, plan(f"[[use]]\n{key} = ['{wrong}']\nvariants = ['alaw']"))


def test_two_seeds_for_one_noise_are_refused(data):
    write_variants("tiny", data, plan("[[use]]\nvariants = ['white-10db']", "a"))
    with pytest.raises(DataError, match=r"white-10db: the plans a and b ask for it with the seeds 0 and 3"):
        write_variants("tiny", data, plan("[[use]]\nvariants = ['white-10db']", "b", seed=3))


@pytest.mark.parametrize("entered", [None, "other format", "other audio"])
def test_plans_that_change_meanwhile_are_seen_and_nothing_is_entered(data, monkeypatch, entered):
    """Two commands at once: the second one is done between what the first one reads and what it enters.

    entered: the first one was there, its rows stay the same, its shards change for this reason.
    """
    first, second = (plan(f"[[use]]\nvariants = ['{word}']", name) for word, name in (("alaw", "a"), ("ulaw", "b")))
    if entered:
        write_variants("tiny", data, first, audio_codec="pcm" if entered == "other format" else "flac", jobs=1)
    if entered == "other audio":
        small_corpus.ingest_again(data, UTTERANCES[0])
    before = tables(data)[1] if entered else []

    def meanwhile(*given):
        monkeypatch.undo()
        write_variants("tiny", data, second, jobs=1)

    monkeypatch.setattr(variant_writer, "_check_encoders", meanwhile)
    with pytest.raises(DataError, match="plans of tiny changed meanwhile; run this command again"):
        write_variants("tiny", data, first, jobs=1)
    assert [row[1] for row in tables(data)[3]] == [*(["a"] if entered else []), "b"]
    assert set(before) < set(tables(data)[1])
    write_variants("tiny", data, first, jobs=1)
    assert set().union(*variants_of(data).values()) == {"alaw", "ulaw"}
    assert [row[1] for row in tables(data)[3]] == ["a", "b"]


@pytest.mark.parametrize("remove", [False, True])
def test_one_command_twice_at_the_same_time_is_done_twice(data, monkeypatch, remove):
    given = plan("[[use]]\nvariants = ['alaw', 'ulaw']", "a")
    write_variants("tiny", data, plan("[[use]]\nvariants = ['alaw']", "b"), jobs=1)
    if remove:
        write_variants("tiny", data, given, jobs=1)

    def meanwhile(*given_encoders):
        monkeypatch.undo()
        write_variants("tiny", data, given, jobs=1, remove=remove)

    monkeypatch.setattr(variant_writer, "_check_encoders", meanwhile)
    write_variants("tiny", data, given, jobs=1, remove=remove)
    assert [row[1] for row in tables(data)[3]] == (["b"] if remove else ["a", "b"])
    assert set().union(*variants_of(data).values()) == ({"alaw"} if remove else {"alaw", "ulaw"})


FACTORS = """
[[use]]
draw = 1
[[use.factor]]
{} = 1
[[use.factor]]
speed-90 = 1
"""


def test_a_seed_is_that_of_the_plans_that_give_the_word(data):
    joined = plan(FACTORS.format("white-20db_mp3-32k"), "joined", seed=7)
    write_variants("tiny", data, joined)
    assert [row[5] for row in tables(data)[2]] == [7]
    parts = (
        "[[use]]\ndraw = 1\n[[use.factor]]\nwhite-20db = 1\n[[use.factor]]\nmp3-32k = 1\n[[use.factor]]\nspeed-90 = 1"
    )
    with pytest.raises(DataError, match="the plans joined and parts ask for it with the seeds 3 and 7"):
        write_variants("tiny", data, plan(parts, "parts", seed=3))


def test_a_plan_that_asks_nothing_of_a_corpus_is_not_entered(data, tmp_path, capsys):
    (tmp_path / "other.toml").write_text("[[use]]\ncorpora = ['decro']\nvariants = ['white-10db']")
    given = ["variants", "tiny", "--plan", str(tmp_path / "other.toml"), "--data", str(data), "--jobs", "1"]
    assert main(given) == 0 and "tiny: plan other asks nothing of it; not entered" in capsys.readouterr().out
    write_variants("tiny", data, plan("[[use]]\nvariants = ['white-10db']", "b", seed=3))
    assert [row[1] for row in tables(data)[3]] == ["b"]
    write_variants("tiny", data, plan("[[use]]\ncorpora = ['decro']\nvariants = ['alaw']", "b"))
    assert tables(data) == [[], [], [], []]


def test_a_predicate_that_does_not_fit_the_data_is_named(data):
    with pytest.raises(DataError, match=r"plan own \[\[use\]\] 1 where, on tiny: Conversion Error.* path::INT > 3"):
        write_variants("tiny", data, plan("[[use]]\nvariants = ['alaw']\nwhere = 'path::INT > 3'"))


def test_what_cannot_be_made_is_said_before_anything_is_written(data, tmp_path):
    with pytest.raises(DataError, match=r"variant noise-10db: pass a folder of noise recordings: --noises DIR"):
        write_variants("tiny", data, plan("[[use]]\nvariants = ['alaw', 'noise-10db']"))
    absent = [w for w in ("gsm",) if not variants.codecs.available(variants.parse(w)[0].parameters["codec"])]
    for word in absent:
        with pytest.raises(DataError, match=rf"first: {word} needs libgsm\); leave them out of the plan, or"):
            write_variants("tiny", data, plan(f"[[use]]\nvariants = ['alaw', '{word}']"))
    assert not tars(data)
    (tmp_path / "tiny/audio/s1.flac").unlink()
    with pytest.raises(DataError, match=r"tiny/s1\) is missing though"):
        write_variants("tiny", data, plan("[[use]]\nvariants = ['alaw']"), jobs=1)
    with pytest.raises(DataError, match="did you mean tiny"):
        write_variants("tinny", data, plan())


def test_other_recordings_make_other_shards(data, tmp_path):
    text = "[[use]]\nvariants = ['noise-10db', 'room']"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        wave = np.random.default_rng(len(name) + ord(name[0])).standard_normal(20_000) * 0.1
        soundfile.write(tmp_path / name / "n.wav", wave, 16_000)
    (tmp_path / "own.toml").write_text(text)
    given = ["variants", "tiny", "--plan", str(tmp_path / "own.toml"), "--data", str(data), "--jobs", "1"]
    hashes = []
    for name in ("one", "two"):
        assert main([*given, "--noises", str(tmp_path / name), "--rooms", str(tmp_path / name)]) == 0
        hashes.append(tars(data))
    assert all(hashes[0][path] != hashes[1][path] for path in hashes[0]) and hashes[0]


def test_a_plan_leaves_words_of_others_without_their_recordings(data, tmp_path):
    """It asked for the folder of noises that the other plan's copies were made with, though these stay as they are."""
    soundfile.write(tmp_path / "n.wav", np.random.default_rng(0).standard_normal(20_000) * 0.1, 16_000)
    noises = recordings(tmp_path)
    some = "[[use]]\nwhere = \"label = 'bonafide'\"\nvariants = ['noise-10db', 'alaw']"
    for text, name in (("[[use]]\nvariants = ['noise-10db']", "all"), (some, "some")):
        write_variants("tiny", data, plan(text, name), noises=noises, jobs=1)
    before = {row for row in tables(data)[1] if row[1] == "noise-10db"}
    write_variants("tiny", data, plan("[[use]]\nvariants = ['ulaw']", "some"), jobs=1)  # edited
    write_variants("tiny", data, "some", remove=True)
    assert {*tables(data)[1]} == before and len(before) == len(UTTERANCES)
    write_variants("tiny", data, plan(some, "some"), noises=noises, jobs=1)
    with pytest.raises(DataError, match="variant noise-10db: pass a folder"):
        write_variants("tiny", data, "all", remove=True)  # of fewer clips, so made anew


@pytest.mark.parametrize("remove", [False, True])
def test_words_of_clips_that_are_gone_leave(data, remove):
    """Their rows stayed for good, for the plan as it is gives them to no clip: not even --remove took them out."""
    drawn = plan("[[use]]\nvariants = ['alaw', 'ulaw', 'g722', 'speed-90', 'speed-110']\ndraw = 1", "drawn")
    write_variants("tiny", data, drawn, jobs=1)
    left = {word for utt_id in UTTERANCES[:1] for word in drawn.words(utt_id)}
    assert left < {row[1] for row in tables(data)[2]}
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute(
            "UPDATE utterance SET audio_present = false, audio_status = 'missing' WHERE utt_id <> ?", UTTERANCES[:1]
        )
    write_variants("tiny", data, drawn, jobs=1, remove=remove)
    assert (
        {row[1] for row in tables(data)[2]} == set().union(*variants_of(data).values()) == (set() if remove else left)
    )
    assert main(["gc", "--data", str(data)]) == 0
    assert len(tars(data)) == len(tables(data)[0])


def test_a_node_with_other_versions_of_packages_writes_nothing(data, monkeypatch):
    """The catalog told the versions of the command, and every run of it wrote those shards again."""

    def elsewhere(tasks, *_, **__):
        tasks = list(tasks)
        with monkeypatch.context() as node:
            node.setattr(variant_writer, "versions", lambda word: {"numpy": "1.0"})
            yield from (function(*positional, **named) for function, positional, named in tasks)

    monkeypatch.setattr(writer.parallel, "results", elsewhere)
    with pytest.raises(DataError, match=r"would make tiny/.*otherwise than the command .*other versions of packages"):
        write_variants("tiny", data, plan(), jobs=1)
    assert not tars(data)


def test_shards_of_variants_are_no_larger_than_asked(data):
    write_variants("tiny", data, plan("[[use]]\nvariants = ['speed-50', 'mp3-64k']"), max_bytes=80_000)
    sizes = [p.stat().st_size for p in (data / "shards").rglob("*.tar")]
    assert max(sizes) <= 80_000 and len(sizes) > 10


def test_the_command_line(data, tmp_path, capsys):
    assert main(["variants", "--list"]) == 0
    assert "mp3-32k_speed-90" in capsys.readouterr().out
    assert main(["variants", "tiny", "--plan", "fd_add", "--data", str(data), "--jobs", "1"]) == 0
    assert "tiny: 21 clips of" in capsys.readouterr().out
    assert all(len(words) == 3 for words in variants_of(data).values())
    for wrong, message in [
        (["variants", "tiny"], "name a corpus"), (["variants", "tiny", "--plan", "fd_ad"], "did you mean fd_add"),
        (["variants", "tiny", "--plan", "fd_add", "--seed", "-1"], "from 0 on"),
        (["variants", "tiny", "--plan", "fd_add", "--seed", str(2**63)], "below 2"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=message):
            main([*wrong, "--data", str(data)])


def test_killed_at_any_moment_and_run_again(data, tmp_path):
    """SIGKILL at several moments, then once to the end: the same shards and rows as without."""
    undisturbed = small_corpus.build(tmp_path / "undisturbed")
    (tmp_path / "own.toml").write_text(PLAN)
    command = ["variants", "tiny", "--plan", str(tmp_path / "own.toml"), "--jobs", "1"]
    street.kill_on_the_way("shards", *command, data=data, calm=undisturbed, times=4)
    assert main([*command, "--data", str(data)]) == 0
    main(["gc", "--data", str(data)])
    assert (tars(data), tables(data)) == (tars(undisturbed), tables(undisturbed))
    assert not list((data / "shards").rglob("*.tmp"))


def test_a_clip_that_no_encoder_takes_is_named(data, monkeypatch):
    writer.write_corpus("tiny", data)

    def refuse(wave, codec):
        raise DataError("libx cannot code it")

    monkeypatch.setattr(variants.codecs, "round_trip", refuse)
    with pytest.raises(DataError, match=r"^tiny: tiny/\w\d as mp3-32k: libx cannot code it$"):
        write_variants("tiny", data, plan('[[use]]\nvariants = ["mp3-32k"]\n'), jobs=1)
