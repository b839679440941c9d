"""Trial rows: counts worked out apart from the code, disjoint roles, seeded draws, refusals."""

import hashlib
import time
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest
import synthetic_catalog

import protocols
from ingest.types import DataError
from protocols import lists, types
from protocols.statements import statements

LISTED = {name for name in protocols.names() if protocols.load(name).lists}


@pytest.fixture(scope="module")
def con():
    return synthetic_catalog.connect()


def fold(source_id: str) -> float:
    """53 bits of md5 as a share of 1, by Python: the first eight bytes, least significant first."""
    return (int.from_bytes(hashlib.md5(source_id.encode()).digest()[:8], "little") >> 11) / 2**53


def write(folder: Path, text: str, name: str = "inner/mine") -> protocols.Protocol:
    path = folder / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'title = "t"\nscenario = "{path.parent.name}"\nsource = "s"\n{text}')
    return protocols.load(name, folder)


ROLES = """
[train]
where = "corpus = 'asvspoof2019_la' AND partition = 'train'"
[dev]
where = "corpus = 'asvspoof2019_la' AND partition = 'dev'"
[test.eval]
where = "corpus = 'asvspoof2019_la' AND partition = 'eval'"
"""


@pytest.mark.parametrize("name", sorted(set(protocols.names()) - LISTED))
def test_every_protocol_selects_both_labels_and_keeps_its_roles_apart(con, name):
    protocol = protocols.load(name)
    table = protocols.trials(con, protocol)
    found = protocols.counts(table)
    for role in protocol.roles:
        bonafide, spoof = found.get((role.role, role.subset), (0, 0))
        assert bonafide and spoof, f"{role.label}: {bonafide} bona fide, {spoof} spoof"
    seen = {role: set(table.filter(pc.equal(table["role"], role))["utt_id"].to_pylist()) for role in protocols.ROLES}
    assert not seen["train"] & seen["dev"]
    assert not (seen["train"] | seen["dev"]) & seen["test"]
    assert table.schema.names == protocols.SCHEMA.names
    assert "unknown" not in table["label"].to_pylist()


def test_inner_counts_follow_the_fold(con):
    table = protocols.trials(con, protocols.load("inner/librisevoc"))
    folds = [fold(f"{number % 9}_{number:03}_000000_000000") for number in range(60)]
    train, dev = sum(f < 0.6 for f in folds), sum(0.6 <= f < 0.8 for f in folds)
    found = protocols.counts(table)
    assert found[("train", None)] == (train, 6 * train)
    assert found[("dev", None)] == (dev, 6 * dev)
    assert found[("test", "eval")] == (60 - train - dev, 6 * (60 - train - dev))
    assert found[("test", "wavernn")] == (60 - train - dev, 60 - train - dev)


def test_cross_method_counts_by_hand(con):
    folds = [fold(f"LJ001-{number:04}") for number in range(60)]
    seen, late = sum(f < 0.8 for f in folds), sum(f >= 0.8 for f in folds)
    found = protocols.counts(protocols.trials(con, protocols.load("cross_method/wavefake")))
    assert found[("train", None)] == (sum(f < 0.6 for f in folds), 2 * seen)
    assert found[("dev", None)] == (sum(0.6 <= f < 0.8 for f in folds), 2 * late)
    assert found[("test", "hifigan")] == (late, 60)
    assert found[("test", "tts")] == (late, 60)
    strict = protocols.counts(protocols.trials(con, protocols.load("cross_method/wavefake_strict")))
    assert strict[("test", "hifigan")] == (late, late)


def test_strict_tests_no_source_of_train_or_dev(con):
    table = protocols.trials(con, protocols.load("cross_method/librisevoc_strict"))
    source = {True: set(), False: set()}
    for role, utt_id in zip(table["role"].to_pylist(), table["utt_id"].to_pylist()):
        source[role == "test"].add(utt_id.rpartition("/")[2].removesuffix("_gen"))
    assert source[True] and not source[True] & source[False]


def test_cross_dataset_counts_all_originals_in_every_subset(con):
    found = protocols.counts(protocols.trials(con, protocols.load("cross_dataset/librisevoc")))
    assert found[("test", "wavefake_waveglow")] == (60, 60)
    assert found[("test", "in_the_wild")] == (40, 20)
    assert found[("test", "decro_zh")] == (15, 60)


def test_inner_and_cross_language_share_their_training(con):
    marks = {
        name: protocols.fingerprint(protocols.trials(con, protocols.load(name)))
        for name in ("inner/decro_en", "cross_language/decro_en_zh", "inner/decro_zh", "cross_language/decro_zh_en")
    }
    assert marks["inner/decro_en"] == marks["cross_language/decro_en_zh"]
    assert marks["inner/decro_zh"] == marks["cross_language/decro_zh_en"]
    assert marks["inner/decro_en"] != marks["inner/decro_zh"]


def test_rows_come_sorted_and_the_same_from_a_file_read_only(con, tmp_path):
    synthetic_catalog.connect(tmp_path / "catalog.duckdb").close()
    with duckdb.connect(str(tmp_path / "catalog.duckdb"), read_only=True) as again:
        table = protocols.trials(again, protocols.load("cross_method/librisevoc"))
    assert table.equals(protocols.trials(con, protocols.load("cross_method/librisevoc")))
    keys = list(zip(*(table[name].to_pylist() for name in ("role", "subset", "utt_id"))))
    assert keys == sorted(keys, key=lambda key: (key[0], key[1] or "", key[2]))


def test_missing_audio_leaves_the_trials_and_is_counted(tmp_path):
    con = synthetic_catalog.connect()
    con.execute(
        "UPDATE utterance SET audio_present = false, audio_status = 'missing' "
        "WHERE utt_id IN ('librisevoc/gt/0_000_000000_000000', 'librisevoc/melgan/0_000_000000_000000_gen')"
    )
    protocol = protocols.load("inner/librisevoc")
    short = protocols.shortfalls(protocols.trials(con, protocol))
    role = "train" if fold("0_000_000000_000000") < 0.6 else "dev"
    mine = {(s.role, s.label): s.trials for s in short if s.subset is None}
    assert mine == {(role, "bonafide"): 1, (role, "spoof"): 1}


def test_the_test_as_published_needs_neither_audio_nor_train():
    con = synthetic_catalog.connect()
    protocol = protocols.load("cross_dataset/librisevoc")
    whole = protocols.trials(con, protocol)
    named = whole.filter(pc.equal(whole["role"], "test")).select(protocols.SCHEMA.names[:11])
    con.execute("UPDATE utterance SET audio_present = false, audio_status = 'missing'")
    con.execute("DELETE FROM utterance WHERE corpus = 'librisevoc'")
    con.execute("DELETE FROM corpus WHERE corpus = 'librisevoc'")
    tested = protocols.tested(con, protocol)
    assert tested.select(named.column_names).equals(named)
    assert protocols.shortfalls(tested) == []
    con.execute("DELETE FROM utterance WHERE corpus = 'in_the_wild'")
    con.execute("DELETE FROM corpus WHERE corpus = 'in_the_wild'")
    with pytest.raises(DataError, match=r"the test of .* needs in_the_wild.*--partial"):
        protocols.tested(con, protocol)
    tested = protocols.tested(con, protocol, partial=True)
    assert [(s.subset, s.why) for s in protocols.shortfalls(tested)] == [
        ("in_the_wild", "corpus in_the_wild not ingested")
    ]


def test_an_absent_corpus_is_named_and_partial_goes_on_without_it():
    con = synthetic_catalog.connect()
    con.execute("DELETE FROM corpus WHERE corpus = 'in_the_wild'")
    con.execute("DELETE FROM utterance WHERE corpus = 'in_the_wild'")
    protocol = protocols.load("cross_dataset/librisevoc")
    with pytest.raises(DataError, match=r"needs in_the_wild.*python -m ingest in_the_wild"):
        protocols.trials(con, protocol)
    table = protocols.trials(con, protocol, partial=True)
    assert ("test", "in_the_wild") not in protocols.counts(table)
    assert [s.subset for s in protocols.shortfalls(table)] == ["in_the_wild"]


def test_partial_is_advised_only_where_something_of_each_role_is_there():
    con = synthetic_catalog.connect()
    con.execute("DELETE FROM corpus WHERE corpus = 'librisevoc'")
    for name, advised in (("cross_dataset/librisevoc", False), ("inner/librisevoc", False), ("joint/all", True)):
        protocol = protocols.load(name)
        for selected in (protocols.trials, protocols.tested):
            if selected is protocols.tested and name == "cross_dataset/librisevoc":
                continue  # its test has none of it
            with pytest.raises(DataError, match=r"needs librisevoc.*python -m ingest librisevoc") as error:
                selected(con, protocol)
            assert ("with --partial)" in str(error.value) or "without it" in str(error.value)) == advised, name


def test_a_test_utterance_in_train_is_refused(con, tmp_path):
    protocol = write(tmp_path, ROLES.replace("AND partition = 'eval'", "AND partition IN ('eval', 'train')"))
    with pytest.raises(DataError, match=r"90 test utterances are also in train or dev .first: asvspoof2019_la/LA_T_1"):
        protocols.trials(con, protocol)


def test_a_role_without_one_label_is_refused(con, tmp_path):
    protocol = write(tmp_path, ROLES.replace("[dev]\n", "[dev]\nbonafide = 'false'\n"))
    with pytest.raises(DataError, match="no bonafide trial for dev"):
        protocols.trials(con, protocol)


def test_shares_are_exact_and_equal_groups_equal_mass(con, tmp_path):
    protocol = write(tmp_path, """
[train]
equal = ["label"]
shares = { domain = { speech = 0.25, singing = 0.75 } }
[[train.part]]
where = "corpus = 'librisevoc' AND fold < 0.6"
[[train.part]]
where = "corpus = 'ctrsvdd' AND partition = 'train'"
[dev]
where = "corpus = 'ctrsvdd' AND partition = 'dev'"
[test.eval]
where = "corpus = 'ctrsvdd' AND partition = 'test'"
""")  # fmt: skip
    train = protocols.trials(con, protocol).to_pylist()
    train = [row for row in train if row["role"] == "train"]
    mass = {}
    for row in train:
        mass[row["corpus"], row["label"]] = mass.get((row["corpus"], row["label"]), 0) + row["weight"] / len(train)
    assert mass == pytest.approx({
        ("librisevoc", "bonafide"): 0.125, ("librisevoc", "spoof"): 0.125,
        ("ctrsvdd", "bonafide"): 0.375, ("ctrsvdd", "spoof"): 0.375,
    })  # fmt: skip


def test_a_limit_draws_by_md5_of_utterance_and_seed(con, tmp_path):
    protocol = write(tmp_path, ROLES + "limit = { spoof = 5, seed = 3 }\n")
    table = protocols.trials(con, protocol)
    drawn = {r["utt_id"] for r in table.to_pylist() if r["role"] == "test" and r["label"] == "spoof"}
    names = [f"asvspoof2019_la/LA_E_{1_000_030 + n}" for n in range(130)]
    assert drawn == set(sorted(names, key=lambda name: hashlib.md5(f"{name}:3".encode()).hexdigest())[:5])


def test_a_limit_can_follow_the_bona_fide_in_every_group(con, tmp_path):
    protocol = write(tmp_path, ROLES + 'bonafide = "utt_id < \'asvspoof2019_la/LA_E_1000004\'"\n'
                                       'limit = { spoof = "bonafide", by = "attack" }\n')  # fmt: skip
    assert protocols.counts(protocols.trials(con, protocol))[("test", "eval")] == (4, 13 * 4)


def test_the_time_of_a_limit_does_not_grow_with_the_square_of_the_rows():
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE trial_pool AS SELECT 'c/' || i AS utt_id, CASE WHEN i % 8 = 0 THEN 'bonafide' ELSE 'spoof' END "
        "AS label, 'c' AS corpus, 'A01' AS attack, '1' AS speaker, 'en' AS language, 'speech' AS domain, "
        "'eval' AS \"partition\", 'ok' AS audio_status FROM range(100000) AS r(i)"
    )
    draw = statements()["limited_part"].format(
        condition="true", by="NULL", seed=0, cap_bonafide="in_group", cap_spoof="all_bonafide"
    )
    began = time.monotonic()
    assert len(con.execute(draw).fetchall()) == 25_000
    assert time.monotonic() - began < 10  # half a second; windows over all rows took 40


def test_a_list_of_the_user_selects_and_shuts_out(con, tmp_path):
    protocol = write(tmp_path, ROLES.replace("[dev]", 'not_in = ["held"]\n[dev]') + """
[lists.held]
file = "held.csv"
column = "file"
id = "stem"
""")  # fmt: skip
    with pytest.raises(DataError, match=r"needs the trial list held\.csv.*--lists DIR"):
        protocols.trials(con, protocol)
    (tmp_path / "held.csv").write_text("n,file\n0,wav/LA_T_1000000.wav\n1,wav/LA_T_1000001.wav\n")
    table = protocols.trials(con, protocol, lists=tmp_path)
    assert protocols.counts(table)[("train", None)] == (28, 60)
    assert not protocols.shortfalls(table)


@pytest.mark.parametrize(("key", "trials"), [("in", 2), ("not_in", 158)])
def test_entries_of_a_list_that_name_nothing_are_counted(key, trials, con, tmp_path):
    protocol = write(
        tmp_path, ROLES + f'{key} = ["held"]\n[lists]\nheld = {{ file = "held.csv", column = "file", id = "stem" }}\n'
    )
    entries = ["LA_E_1000000.wav", "LA_E_9999999.wav", "LA_E_1000001.wav", "LA_E_9999998.wav"]
    (tmp_path / "held.csv").write_text("\ufefffile ,n\r\n" + "".join(f"{one} ,1\r\n" for one in entries))
    table = protocols.trials(con, protocol, lists=tmp_path)
    assert sum(protocols.counts(table)[("test", "eval")]) == trials
    (short,) = protocols.shortfalls(table)
    assert (short.role, short.subset, short.trials) == ("test", "eval", None)
    assert short.why == "2 of 4 entries of held.csv name no utterance of this catalog (first: LA_E_9999998)"


def test_entries_of_a_list_are_known_where_no_condition_names_a_corpus(con, tmp_path):
    roles = ROLES.replace("corpus = 'asvspoof2019_la'", "starts_with(utt_id, 'asvspoof2019_la/')")
    protocol = write(tmp_path, roles + 'in = ["held"]\n[lists]\nheld = { file = "held", column = 1, id = "stem" }\n')
    (tmp_path / "held").write_text("LA_E_1000000\nLA_E_1000020\n")
    assert not protocol.needs and not protocols.shortfalls(protocols.trials(con, protocol, lists=tmp_path))


@pytest.mark.parametrize(
    ("entry", "stem"),
    [
        ("wav/LA_T_1.flac", "LA_T_1"),
        ("LA_T_1", "LA_T_1"),
        ("a/Song feat. X.v2.MP3", "Song feat. X.v2"),
        ("Mr. Y", "Mr. Y"),
    ],
)
def test_the_stem_of_an_entry_ends_before_its_extension(entry, stem, tmp_path):
    listed = types.TrialList("held", "held.csv", "file", "stem", None)
    (tmp_path / "held.csv").write_text(f"file\n{entry}\n")
    assert lists.values(listed, tmp_path / "held.csv") == [stem]


def test_a_list_may_name_speakers(con, tmp_path):
    lists = '[lists]\nheld = { file = "held.txt", column = 1, id = "speaker" }\n'
    protocol = write(tmp_path, ROLES.replace("[dev]", 'not_in = ["held"]\n[dev]') + lists)
    everyone = {
        row["speaker"] for row in protocols.trials(con, write(tmp_path, ROLES)).to_pylist() if row["role"] == "train"
    }
    (tmp_path / "held.txt").write_text(f"{min(everyone)}\n")
    rows = protocols.trials(con, protocol, lists=tmp_path).to_pylist()
    assert {row["speaker"] for row in rows if row["role"] == "train"} == everyone - {min(everyone)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"held\.csv: holds no line; expected the header file"),
        ("file\n", r"held\.csv holds no entry"),
        ("name\nx\n", r"held\.csv line 1: the header 'name' lacks file"),
        ("file,n\nx\n", r"held\.csv line 2: 1 cells where the header has 2"),
    ],
)
def test_a_list_that_is_cut_or_another_is_refused(content, message, con, tmp_path):
    lists = '[lists]\nheld = { file = "held.csv", column = "file" }\n'
    protocol = write(tmp_path, ROLES.replace("[dev]", 'not_in = ["held"]\n[dev]') + lists)
    (tmp_path / "held.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        protocols.trials(con, protocol, lists=tmp_path)


def test_references_are_of_the_same_speaker_and_never_the_trial(con, tmp_path):
    protocol = write(tmp_path, ROLES + 'reference = { mode = "real", seed = 1 }\n')
    rows = protocols.trials(con, protocol).to_pylist()
    speaker = {row["utt_id"]: row["speaker"] for row in rows if row["label"] == "bonafide"}
    test = [row for row in rows if row["role"] == "test"]
    assert all(row["reference"] is None for row in rows if row["role"] != "test")
    assert all(speaker[row["reference"]] == row["speaker"] for row in test)
    assert all(row["reference"] != row["utt_id"] for row in test)
    assert len({row["reference"] for row in test}) > 20  # 30 bona fide clips of 5 speakers
    again = protocols.trials(con, protocol, seed=1).to_pylist()
    assert [row["reference"] for row in again if row["role"] == "test"] != [row["reference"] for row in test]


@pytest.mark.parametrize("place", ["given", "corpus", "corpus/ASVspoof5_protocols"])
def test_enrolled_references_are_clips_beside_the_trials(tmp_path, place):
    """Track 2 enrols clips that are in no protocol file: ingest knows them as extra files and nothing else."""
    con = synthetic_catalog.connect(ids=12)
    extra = ["flac_D/D_A0000000001.flac", "flac_D/D_A0000000002.flac", "flac_E_eval/E_A0000000003.wav", "flac_D/._x"]
    con.executemany("INSERT INTO finding VALUES ('asvspoof5', 'extra', ?, 'in no protocol file')", [[e] for e in extra])
    con.execute("UPDATE corpus SET root = ? WHERE corpus = 'asvspoof5'", [str(tmp_path / "corpus")])
    folder, lists = tmp_path / place, tmp_path / "given"
    folder.mkdir(parents=True)
    protocol = protocols.load("official/asvspoof5_track1_open_enrolled")
    with pytest.raises(DataError, match=rf"put it .* into {lists}, "):
        protocols.trials(con, protocol, lists=lists)
    (folder / "ASVspoof5.dev.track_2.enroll.tsv").write_text("D_0001 D_A0000000001,D_A0000000002\n")
    (folder / "ASVspoof5.eval.track_2.enroll.tsv").write_text("E_0003 E_A0000000003,E_A0000000008\nE_0002 E_A9\n")
    assert not protocols.obstacles(con, protocol, lists)
    rows = protocols.trials(con, protocol, lists=lists).to_pylist()
    named = {(row["role"], row["speaker"], row["reference"]) for row in rows if row["role"] != "train"}
    assert named == {
        *(("dev", f"D_000{k}", None) for k in (0, 2, 3)), *(("test", f"E_000{k}", None) for k in (0, 1, 2)),
        *(("dev", "D_0001", f"asvspoof5/D_A000000000{k}") for k in (1, 2)),
        ("test", "E_0003", "asvspoof5/E_A0000000003"),
    }  # fmt: skip


def test_a_mismatched_reference_is_of_another_speaker_of_the_partition(con, tmp_path):
    protocol = write(tmp_path, ROLES + 'reference = { mode = "mismatch" }\n')
    rows = [row for row in protocols.trials(con, protocol).to_pylist() if row["role"] == "test"]
    speaker = {row["utt_id"]: row["speaker"] for row in rows if row["label"] == "bonafide"}
    assert all(speaker[row["reference"]] != row["speaker"] for row in rows)
    assert len({speaker[row["reference"]] for row in rows}) == 5


def test_an_utterance_that_two_parts_select_is_refused(con, tmp_path):
    parts = "part = [{ bonafide = \"speaker = 'LA_8400'\" }, { bonafide = \"speaker <> 'LA_8401'\" }]\n"
    protocol = write(tmp_path, ROLES.replace("[dev]", f"{parts}[dev]"))
    with pytest.raises(DataError, match=r"66 utterances are selected twice for one role"):
        protocols.trials(con, protocol)


def test_every_protocol_says_what_it_still_needs(con):
    absent = duckdb.connect()
    absent.execute("CREATE TABLE corpus (corpus VARCHAR, root VARCHAR)")
    for name in protocols.names():
        protocol = protocols.load(name)
        assert {f"corpus {corpus}" for corpus in protocol.needs} <= set(protocols.obstacles(absent, protocol))
        assert bool(protocols.obstacles(con, protocol)) == bool(protocol.lists)
