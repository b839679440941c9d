"""The linter finds what is planted and is silent on clean data."""

import json

import numpy as np
import pytest
import synthetic_catalog

import protocols
from protocols.__main__ import main
from protocols.audit import _unknown_words, auc, audit, separation, shared_audio
from protocols.blocks import evidence, heaviest_run
from protocols.labels import doubts

OFFICIAL = "official/asvspoof2019_la"


@pytest.fixture
def con():
    return synthetic_catalog.connect()


def faults(con, name, level="fail"):
    return {(f.kind, f.where) for f in audit(con, protocols.load(name), doubted=()).findings if f.level == level}


@pytest.fixture(scope="module")
def clean():
    return synthetic_catalog.connect()


@pytest.fixture(scope="module")
def clean_labels(clean):
    found = doubts(clean)
    assert found == []
    return found


@pytest.mark.parametrize("name", [name for name in protocols.names() if not protocols.load(name).lists])
def test_clean_data_gives_no_alarm(clean, clean_labels, name):
    report = audit(clean, protocols.load(name), doubted=clean_labels)
    assert [f for f in report.findings if f.level in ("fail", "flag")] == []


def test_shared_audio_of_clean_corpora_is_none(clean):
    assert shared_audio(clean) == []


def test_a_leaked_speaker_is_found(con):
    con.execute("UPDATE utterance SET speaker = 'LA_8400' WHERE utt_id = 'asvspoof2019_la/LA_E_1000001'")
    assert faults(con, OFFICIAL) == {("overlap_speaker", "train/test.eval")} | {
        ("overlap_speaker", f"train/test.A{number:02}") for number in range(7, 20)
    }


def test_speaker_numbers_of_decro_are_those_of_one_system_and_language(con):
    """As published: each system counts its speakers anew; StarGANv2's voices are the same in both languages."""
    name, shared = "cross_language/decro_zh_en", {("overlap_speaker", f"{role}/test.eval") for role in ("train", "dev")}
    for attack, language in {"fastspeech2": "en", "nvcnet": "zh"}.items():
        con.execute(f"UPDATE utterance SET speaker = '17' WHERE attack = '{attack}' AND language = '{language}'")
    assert not shared & (faults(con, name) | faults(con, name, "declared"))
    con.execute("UPDATE utterance SET speaker = 'p225' WHERE corpus = 'decro' AND attack = 'starganv2'")
    assert shared <= faults(con, name, "declared")


def test_copied_audio_under_a_new_name_is_found(con):
    con.execute(
        "UPDATE measurement SET audio_hash = (SELECT audio_hash FROM measurement WHERE utt_id = "
        "'asvspoof2019_la/LA_T_1000050') WHERE utt_id = 'asvspoof2019_la/LA_E_1000050'"
    )
    found = faults(con, OFFICIAL)
    assert ("overlap_audio", "train/test.eval") in found and ("contradiction", "all") not in found
    con.execute("UPDATE utterance SET label = 'bonafide', attack = NULL WHERE utt_id = 'asvspoof2019_la/LA_E_1000050'")
    assert ("contradiction", "all") in faults(con, OFFICIAL)


def test_a_copied_recording_of_another_corpus_is_found_by_its_hash(con):
    con.execute(
        "UPDATE measurement SET audio_hash = (SELECT audio_hash FROM measurement WHERE utt_id = "
        "'asvspoof2019_la/LA_T_1000000') WHERE utt_id IN (SELECT utt_id FROM utterance WHERE corpus = "
        "'in_the_wild' AND label = 'bonafide' LIMIT 1)"
    )
    assert faults(con, "cross_dataset/in_the_wild") == {("overlap_audio", "train/test.in_the_wild")}
    (finding,) = shared_audio(con)
    assert (finding.level, finding.where, finding.value) == ("flag", "asvspoof2019_la/in_the_wild", 1)


def test_known_shared_material_is_a_note(con):
    con.execute(
        "UPDATE measurement SET audio_hash = (SELECT audio_hash FROM measurement WHERE utt_id = "
        "'asvspoof2019_la/LA_T_1000000') WHERE utt_id = 'decro/en_train/en00001'"
    )
    (finding,) = shared_audio(con)
    assert finding.level == "note" and "takes its bona fide" in finding.detail


def test_a_shared_recording_fails_unless_declared(con):
    con.execute(
        "UPDATE utterance SET source_id = 'BASIC5000_0000' WHERE corpus = 'wavefake' AND source_id = "
        "(SELECT min(source_id) FROM utterance WHERE corpus = 'wavefake' AND language = 'en')"
    )
    con.execute("UPDATE utterance SET language = 'ja' WHERE utt_id = 'wavefake/ljspeech/LJ001-0000'")
    assert faults(con, "inner/wavefake") == set()
    declared = faults(con, "cross_method/librisevoc", "declared")
    assert {("overlap_source", "train/test.diffwave"), ("overlap_source", "dev/test.diffwave")} <= declared
    assert faults(con, "cross_method/librisevoc") == set()


def test_a_silence_shortcut_is_flagged(con):
    con.execute(
        "UPDATE measurement SET leading_silence_s = leading_silence_s + 5 WHERE utt_id IN "
        "(SELECT utt_id FROM utterance WHERE attack = 'A07')"
    )
    found = [f for f in audit(con, protocols.load(OFFICIAL), doubted=()).findings if f.kind == "shortcut"]
    assert [(f.level, f.where) for f in found] == [("flag", "test.A07")]
    assert "leading_silence_s" in found[0].detail and found[0].value > 0.99


def test_upsampled_material_of_one_class_is_flagged(con):
    con.execute(
        "UPDATE measurement SET bandwidth_hz = 4000 WHERE utt_id IN "
        "(SELECT utt_id FROM utterance WHERE corpus = 'in_the_wild' AND label = 'spoof')"
    )
    con.execute("UPDATE measurement SET bandwidth_hz = 7900 + bandwidth_hz WHERE bandwidth_hz < 100")
    found = [
        f for f in audit(con, protocols.load("cross_dataset/in_the_wild"), doubted=()).findings if f.kind == "shortcut"
    ]
    assert [f.value for f in found] == [1.0]


def test_counts_are_held_against_the_stated_ones_where_corpora_are_complete(con):
    assert not faults(con, OFFICIAL)
    con.execute("UPDATE corpus SET simulated = false WHERE corpus = 'asvspoof2019_la'")
    assert ("count", "train") in faults(con, OFFICIAL)
    con.execute("UPDATE corpus SET partial = true WHERE corpus = 'asvspoof2019_la'")
    assert not faults(con, OFFICIAL)


def test_an_empty_subset_is_flagged_and_an_empty_role_fails(con):
    con.execute("DELETE FROM utterance WHERE attack = 'A07' OR (label = 'bonafide' AND partition = 'dev')")
    assert ("empty", "test.A07") in faults(con, OFFICIAL, "flag")
    assert ("empty", "dev") in faults(con, OFFICIAL)


def test_a_word_that_no_row_has_is_flagged_where_corpora_are_complete(con, tmp_path):
    (tmp_path / "inner").mkdir()
    con.execute("UPDATE corpus SET simulated = false")
    for name, words in (("right", "'vits', 'nvcnet'"), ("wrong", "'vits', 'nvcnett'")):
        (tmp_path / "inner" / f"{name}.toml").write_text(
            "like = 'inner/decro_en'\n[test.some]\nwhere = \"corpus = 'decro' AND partition = 'eval'\"\n"
            f'spoof = "attack IN ({words})"\n'
        )
        found = audit(con, protocols.load(f"inner/{name}", tmp_path), doubted=()).findings
        told = [(f.level, f.where, f.detail) for f in found if f.kind == "unknown_word"]
        assert told == ([] if name == "right" else [("flag", "test.some", "no row of decro has attack 'nvcnett'")])
    for name in protocols.names():
        assert not list(_unknown_words(con, protocols.load(name))), name
    con.execute("UPDATE corpus SET partial = true")
    assert not list(_unknown_words(con, protocols.load("inner/wrong", tmp_path)))


def test_auc_by_hand():
    assert auc(np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0])) == pytest.approx((0.5 + 1 + 1 + 1 + 1) / 6)


def test_chance_in_a_small_subset_is_no_separation():
    import pyarrow as pa

    labels = np.array([True] * 4 + [False] * 4)
    assert separation(pa.chunked_array([[1.0, 2, 3, 4, 5, 6, 7, 8]]), labels) is None
    many = np.array([True] * 40 + [False] * 40)
    assert separation(pa.chunked_array([np.arange(80.0)]), many) == 1.0
    assert separation(pa.chunked_array([["WAV"] * 40 + ["FLAC"] * 40]), many) == 1.0
    assert separation(pa.chunked_array([["WAV"] * 80]), many) is None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    synthetic_catalog.connect(folder / "catalog.duckdb").close()
    return folder


def test_show_prints_counts_next_to_the_stated_ones(data, capsys):
    assert main(["show", "official/asvspoof2019_la", "--data", str(data)]) is None
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["train", "30", "60", "2,580", "/", "22,800"] for line in lines)
    assert any(line.split() == ["test.A19", "30", "10", "7,355", "/", "4,914"] for line in lines)


def test_list_says_what_is_missing(data, capsys):
    assert main(["list", "--data", str(data), "--json"]) is None
    rows = {row["protocol"]: row["missing"] for row in json.loads(capsys.readouterr().out)}
    assert rows["inner/decro_en"] == []
    assert rows["inner/wavefake_published"] == ["list WaveFake/val.csv", "list WaveFake/test.csv"]


def test_list_marks_what_a_partial_corpus_makes_partial(tmp_path, capsys):
    con = synthetic_catalog.connect(tmp_path / "catalog.duckdb")
    con.execute("UPDATE corpus SET partial = corpus IN ('wavefake', 'librisevoc')")
    con.execute("UPDATE utterance SET audio_status = 'missing', audio_present = false WHERE corpus = 'librisevoc'")
    con.close()
    main(["list", "--data", str(tmp_path)])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["inner/decro_en"].endswith(" [runnable]")
    assert lines["inner/wavefake"].endswith(" [runnable; partial: wavefake]")
    assert lines["inner/librisevoc"].endswith(" [runnable; partial: librisevoc without audio]")
    assert lines["inner/wavefake_published"].endswith("; partial: wavefake]")
    main(["audit", "inner/wavefake", "--data", str(tmp_path)])
    assert capsys.readouterr().out.startswith("inner/wavefake (wavefake partial, simulated): ")


def test_list_without_a_catalog_names_what_to_ingest(tmp_path, capsys):
    """It printed [needs no catalog]."""
    main(["list", "--data", str(tmp_path)])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["cross_dataset/in_the_wild"].endswith(" [needs corpus asvspoof2019_la, corpus in_the_wild]")


def test_audit_exits_1_on_a_failure(tmp_path, capsys):
    con = synthetic_catalog.connect(tmp_path / "catalog.duckdb")
    con.execute("UPDATE utterance SET speaker = 'LA_8400' WHERE utt_id = 'asvspoof2019_la/LA_E_1000001'")
    con.close()
    assert main(["audit", "inner/librisevoc", "--data", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["audit", OFFICIAL, "inner/librisevoc", "--data", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failed"] == [OFFICIAL]


def test_labels_that_other_columns_folders_and_corpora_contradict_are_found(con, clean_labels):
    assert clean_labels == []
    con.execute("UPDATE utterance SET label = 'bonafide', attack = NULL WHERE utt_id = 'asvspoof2019_la/LA_T_1000050'")
    con.execute("UPDATE utterance SET label = 'bonafide', attack = NULL, attack_raw = NULL WHERE utt_id IN "
                "(SELECT utt_id FROM utterance WHERE corpus = 'librisevoc' AND attack = 'melgan' LIMIT 3)")  # fmt: skip
    con.execute(
        "UPDATE utterance SET label = 'spoof', attack = 'x', source_id = 'LA_T_1000000' WHERE utt_id IN "
        "(SELECT utt_id FROM utterance WHERE corpus = 'decro' AND label = 'bonafide' LIMIT 1)"
    )
    changed = ["asvspoof2019_la", "decro", "librisevoc"]
    found = {(doubt.kind, doubt.corpora, doubt.rows) for doubt in doubts(con, changed)}
    assert ("label_columns", ("asvspoof2019_la",), 1) in found
    assert ("label_folder", ("librisevoc",), 3) in found
    assert ("label_elsewhere", ("asvspoof2019_la", "decro"), 1) in found
    failed = {f.kind for f in audit(con, protocols.load("inner/librisevoc")).findings if f.level == "fail"}
    assert failed == {"label_folder"}


def test_labels_are_doubted_where_no_condition_names_a_corpus(tmp_path, capsys):
    con = synthetic_catalog.connect(tmp_path / "catalog.duckdb")
    con.execute("UPDATE utterance SET label = 'bonafide', attack = NULL WHERE utt_id = 'asvspoof2019_la/LA_T_1000050'")
    con.execute("UPDATE corpus SET partial = true, simulated = false")
    con.close()
    roles = "".join(
        f"[{role}]\nwhere = \"starts_with(utt_id, 'asvspoof2019_la/LA_{letter}')\"\ncount = [1, 1]\n"
        for role, letter in (("train", "T"), ("dev", "D"), ("test.eval", "E"))
    )
    (tmp_path / "protocols/inner").mkdir(parents=True)
    head = 'title = "t"\nscenario = "inner"\nsource = "s"\ndeclares = ["attack: known"]\n'
    (tmp_path / "protocols/inner/mine.toml").write_text(head + roles)
    assert main(["audit", "inner/mine", "--data", str(tmp_path), "--json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)["protocols"]
    assert {f["kind"] for f in report["findings"] if f["level"] == "fail"} == {"label_columns"}


def test_the_heaviest_run_by_hand():
    assert heaviest_run(np.array([-1.0, 2, -0.5, 3, -4, 1])) == (1, 4, 4.5)
    assert heaviest_run(np.array([-1.0, -2])) == (0, 1, -1.0)


def test_evidence_is_against_exchanged_labels_and_no_run_is_found_where_nothing_tells():
    rng = np.random.default_rng(0)
    bonafide = rng.random(400) < 0.5
    columns = bonafide[:, None] * 2.0 + rng.normal(size=(400, 3))
    labels = bonafide.copy()
    labels[100:160] = ~labels[100:160]
    nats = evidence(columns, labels)
    assert nats[100:160].mean() > 0.5 and np.delete(nats, slice(100, 160)).mean() < -0.5
    start, end, _ = heaviest_run(nats)
    assert abs(start - 100) < 8 and abs(end - 160) < 8
    assert abs(evidence(rng.normal(size=(400, 3)), labels).mean()) < 0.1


def test_the_bins_are_those_that_trees_find_by_themselves(monkeypatch):
    rng = np.random.default_rng(0)
    bonafide = rng.random(500) < 0.3
    columns = bonafide[:, None] * 0.7 + rng.normal(size=(500, 3))
    columns[:, 0] = columns[:, 0].round(2)  # ties
    columns[:, 1] = columns[:, 1].round(0)  # fewer values than bins
    found = evidence(columns, bonafide)
    monkeypatch.setattr("protocols.blocks._binned", lambda columns, *_: columns)
    np.testing.assert_array_equal(found, evidence(columns, bonafide))


def test_a_sentence_that_recurs_is_found_apart_from_its_recording(con):
    con.execute("UPDATE utterance SET sentence = source_id WHERE corpus = 'librisevoc'")
    assert faults(con, "inner/librisevoc") == set()  # one text for each recording: the recordings are compared already
    con.execute("UPDATE utterance SET sentence = '742-128034-0056' WHERE utt_id IN "
                "('asvspoof2019_la/LA_T_1000050', 'asvspoof2019_la/LA_E_1000050')")  # fmt: skip
    assert ("overlap_sentence", "train/test.eval") in faults(con, OFFICIAL)
