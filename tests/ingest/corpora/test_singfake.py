"""SingFake: clips and their conditions, songs of the annotation file, plain folders."""

import dataclasses
import os
import unicodedata

import miniatures
import pytest
from miniatures import by_id, parsed, put, tone

from ingest import corpora, scan
from ingest.corpora import singfake
from ingest.corpora._singfake_words import iso_639
from ingest.types import Count, DataError


def test_songs_where_there_is_no_audio(tmp_path):
    rows = by_id("singfake", miniatures.build("singfake", tmp_path))
    columns = ("partition", "label", "attack", "attack_raw", "speaker", "language")
    assert {name: tuple(row[column] for column in columns) for name, row in rows.items()} == {
        "songs/0001": ("Training", "bonafide", None, None, "Bella_Yao", "zh"),
        "songs/0002": ("Training", "spoof", "so_vits_svc", "Sovits4.0", "Bella_Yao", "zh"),
        "songs/0003": ("Validation", "unknown", "so_vits_svc", "sovits", "The_Landlord's_Cat", "yue"),
        "songs/0004": ("T01", "spoof", "unknown", "unknown", "Stefanie_Sun", "zh"),
        "songs/0005": ("T02", "spoof", "rvc", "RVC", "Teresa_Teng", "nan"),
        "songs/0006": ("T04", "bonafide", None, None, "Hayde", "fa"),
        "songs/0007": ("T04", "spoof", "OwnModel 7", "OwnModel 7", "Hayde", "fa"),
    }
    assert corpora.get("singfake").counts(tmp_path) == singfake.CORPUS.counts
    assert corpora.get("singfake").notes(tmp_path) == []


def test_clips_are_rows_and_songs_a_count(tmp_path):
    root = miniatures.build("singfake", tmp_path)
    clips = [
        "train/vocals/1_s0002_0", "train/mixtures/1_s0002_0", "train/mixtures/0_s0001_11", "dev/vocals/0_a_b_3",
        "test/mixtures/1_s0005_0", "codec_test/mp3_128k/mixtures/1_s0005_0", "codec_test/opus_64k/vocals/1_s0005_0",
        "additional_test/vocals/1_s0004_0", "persian_test/mixtures/0_s0006_2",
    ]  # fmt: skip
    for clip in clips:
        tone(root / f"{clip}.flac")
    rows = by_id("singfake", root)
    assert set(rows) == set(clips)
    columns = ("partition", "label", "condition", "codec", "source_id", "song")
    read = {name: tuple(row[column] for column in columns) for name, row in rows.items()}
    assert read["train/vocals/1_s0002_0"] == ("Training", "spoof", "vocals", None, "s0002_0", "s0002")
    assert read["train/mixtures/1_s0002_0"] == ("Training", "spoof", "mixture", None, "s0002_0", "s0002")
    assert read["train/mixtures/0_s0001_11"] == ("Training", "bonafide", "mixture", None, "s0001_11", "s0001")
    assert read["dev/vocals/0_a_b_3"] == ("Validation", "bonafide", "vocals", None, "a_b_3", "a_b")
    assert read["codec_test/mp3_128k/mixtures/1_s0005_0"] == ("T03", "spoof", "mixture", "mp3_128k", "s0005_0", "s0005")
    assert read["codec_test/opus_64k/vocals/1_s0005_0"][2:4] == ("vocals", "opus_64k")
    assert read["additional_test/vocals/1_s0004_0"][0] == "T01" and read["persian_test/mixtures/0_s0006_2"][0] == "T04"
    # what every song of a set shares is known of its clips, and T03 is T02
    assert rows["persian_test/mixtures/0_s0006_2"]["language"] == "fa"
    assert rows["codec_test/mp3_128k/mixtures/1_s0005_0"]["speaker"] == "Teresa_Teng"
    assert corpora.get("singfake").counts(root) == ()
    assert "Training: clips of 2 of the 2 songs in singfake.csv" in corpora.get("singfake").notes(root)


def test_clips_in_a_folder_beside_the_annotation_are_refused_and_not_absent(tmp_path):
    root = miniatures.build("singfake", tmp_path)
    tone(root / "split_dump/train/vocals/1_s0002_0.flac")
    with pytest.raises(DataError, match=r"no clips, but .*/split_dump holds clips; put the annotation file there"):
        parsed("singfake", root)
    os.rename(root / "singfake.csv", root / "split_dump/singfake.csv")
    assert list(by_id("singfake", root / "split_dump")) == ["train/vocals/1_s0002_0"]


def test_what_the_songs_of_a_set_do_not_share_stays_unknown(tmp_path):
    put(tmp_path / "singfake.csv", (
        "Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url\n"
        "Training,spoof,Mandarin,Same,T1,RVC,u\nTraining,spoof,English,Same,T2,sovits,u\n"
    ))  # fmt: skip
    tone(tmp_path / "train/vocals/1_7_0.flac")
    (row,) = parsed("singfake", tmp_path)
    assert (row["speaker"], row["language"], row["attack"]) == ("Same", None, "unknown")


def test_song_ids_of_our_own_segmentation_are_matched(tmp_path):
    root = miniatures.build("singfake", tmp_path)
    tone(root / "train/vocals/1_0002_0.flac")
    put(root / "songs.csv", (
        "song,set,label,language,singer,title,model,url,media,clips\n"
        "0002,Training,spoof,Mandarin+Japanese,Bella_Yao,T,Sovits4.0,https://a.example/2,x.webm,1\n"
    ))  # fmt: skip
    (row,) = parsed("singfake", root)
    assert (row["speaker"], row["language"], row["attack"]) == ("Bella_Yao", "zh", "so_vits_svc")


def test_plain_folders(tmp_path):
    for path in ("bonafide/a.wav", "spoof/x.y z.mp3.wav", "test/fake/deep/b.wav", "T01/real/c.wav", "spoofed/d.wav"):
        tone(tmp_path / path)
    tone(tmp_path / "spoof/a.wav")
    tone(tmp_path / "spoof/a.flac")
    rows = by_id("singfake", tmp_path)
    assert {name: (row["label"], row["partition"], row["path"]) for name, row in rows.items()} == {
        "bonafide/a": ("bonafide", None, "bonafide/a.wav"),
        "spoof/a": ("spoof", None, "spoof/a.flac"),
        "spoof/a_wav": ("spoof", None, "spoof/a.wav"),
        "spoof/x_y z_mp3": ("spoof", None, "spoof/x.y z.mp3.wav"),
        "test/fake/deep_b": ("spoof", "T02", "test/fake/deep/b.wav"),
        "T01/real/c": ("bonafide", "T01", "T01/real/c.wav"),
    }
    assert all(row["attack"] == ("unknown" if row["label"] == "spoof" else None) for row in rows.values())


@pytest.mark.parametrize("folders", [("real", "fake"), ("Bonafide", "Deepfake"), ("T02/Genuine", "T02/SPOOF")])
def test_plain_folders_of_any_label_word_are_looked_into(folders, tmp_path):
    root = miniatures.build("singfake", tmp_path)
    for folder, name in zip(folders, "ab"):
        tone(root / folder / f"{name}.wav")
    rows = parsed("singfake", root)
    assert {row["song"]: row["label"] for row in rows} == {"a": "bonafide", "b": "spoof"}
    files = scan.index(root, singfake.CORPUS.audio, {})
    assert sorted(row["path"] for row in rows) == sorted(files["path"].to_pylist())


def test_plain_folders_may_be_links(tmp_path):
    root = tmp_path / "corpus"
    tone(root / "bonafide/a.wav")
    tone(tmp_path / "elsewhere/deep/b.wav")
    (root / "spoof").mkdir()
    (root / "spoof/batch").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/round").symlink_to(tmp_path / "elsewhere")
    tone(root / "spoof/.trash/c.wav")
    files = scan.index(root, singfake.CORPUS.audio, {})["path"].to_pylist()
    assert [row["path"] for row in parsed("singfake", root)] == files == ["bonafide/a.wav", "spoof/batch/deep/b.wav"]


def test_plain_files_of_a_set_count_as_its_songs(tmp_path):
    root = miniatures.build("singfake", tmp_path)
    tone(root / "Training/bonafide/Bella_Yao_x.wav")
    notes = corpora.get("singfake").notes(root)
    assert notes[0] == "Training: clips of 1 of the 2 songs in singfake.csv"
    assert notes[1] == "Validation: clips of 0 of the 1 songs in singfake.csv"


def test_a_copy_is_incomplete_while_a_recording_of_its_annotation_has_no_clip(tmp_path, monkeypatch):
    row = "{},{},Mandarin,S,{},N/A,https://www.bilibili.com/video/{}/?x={}\n"
    rows = [
        ("Training", "bonafide", "a", "BV1vP411m73H", 1), ("Training", "spoof", "b", "BV1XX4y1S79e", 2),
        ("Training", "spoof", "b again", "BV1XX4y1S79e", 3), ("T02", "unknown", "c", "BV1du4y1d7pH", 4),
    ]  # fmt: skip
    put(tmp_path / "singfake.csv", ",".join(singfake.HEADER) + "\n" + "".join(row.format(*one) for one in rows))
    source = corpora.get("singfake")
    assert not source.incomplete(tmp_path)  # songs without any clip are rows without audio
    tone(tmp_path / "train/vocals/0_0001_0.flac")
    assert source.incomplete(tmp_path)
    tone(tmp_path / "train/vocals/1_0002_0.flac")
    assert source.incomplete(tmp_path)  # of an annotation that is cut
    assert source.notes(tmp_path)[-1] == "singfake.csv has 4 of the 1481 published songs"
    published = (Count("Training", "bonafide", 1, "a test"), Count("Training", "spoof", 2, "a test"))
    monkeypatch.setattr(singfake, "CORPUS", dataclasses.replace(singfake.CORPUS, counts=published))
    assert not source.incomplete(tmp_path)


def test_plain_files_named_by_singer_and_title_are_matched(tmp_path):
    root = miniatures.build("singfake", tmp_path)
    tone(root / "spoof/Teresa_Teng_T2.wav")
    (row,) = parsed("singfake", root)
    assert (row["speaker"], row["language"], row["attack"]) == ("Teresa_Teng", "nan", "rvc")


@pytest.mark.parametrize(
    ("words", "code"),
    [("Mandarin", "zh"), ("Cantonese", "yue"), ("English", "en"), ("Persian", "fa"), ("Japanese", "ja"),
     ("Spanish", "es"), ("Hokkien", "nan"), ("Russian", "ru"), ("French", "fr"), ("Mandarin+Japanese", "zh"),
     ("Accented Mandarin", "zh"), ("Szechuan", "zh"), ("Klingon", None), ("", None)],
)  # fmt: skip
def test_languages_are_iso_639(words, code):
    assert iso_639(words) == code


def test_a_language_that_is_not_known_is_noted(tmp_path):
    header = "Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url\n"
    put(tmp_path / "singfake.csv", header + "T01,spoof,Klingon,A,B,C,D\nT01,spoof,English,A,B,C,E\n")
    told = ["language 'Klingon' of singfake.csv is not known: 1 songs have none"]
    assert corpora.get("singfake").notes(tmp_path) == told
    tone(tmp_path / "test/vocals/1_s1_0.flac")
    assert corpora.get("singfake").notes(tmp_path)[:1] == told


def test_a_set_that_does_not_exist_is_refused(tmp_path):
    put(tmp_path / "singfake.csv", "Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url\nT03,spoof,English,A,B,C,D\n")
    with pytest.raises(DataError, match=r"singfake\.csv line 2: Set 'T03' is none of Training"):
        parsed("singfake", tmp_path)


def test_annotation_without_header_is_refused(tmp_path):
    put(tmp_path / "singfake.csv", "Training,bonafide,Mandarin,A,B,N/A,u\n")
    with pytest.raises(DataError, match=r"singfake\.csv line 1: the header"):
        parsed("singfake", tmp_path)


def test_folders_named_by_their_set_are_read_like_those_of_the_official_code(tmp_path):
    for path in ("Training/vocals/1_a_0.flac", "T02/mixtures/0_b_1.flac", "T03/mp3_128k/vocals/0_b_1.flac"):
        tone(tmp_path / path)
    rows = by_id("singfake", tmp_path)
    columns = ("partition", "label", "codec", "condition")
    assert {name: tuple(row[column] for column in columns) for name, row in rows.items()} == {
        "Training/vocals/1_a_0": ("Training", "spoof", None, "vocals"),
        "T02/mixtures/0_b_1": ("T02", "bonafide", None, "mixture"),
        "T03/mp3_128k/vocals/0_b_1": ("T03", "bonafide", "mp3_128k", "vocals"),
    }
    assert scan.find_root(singfake.CORPUS, tmp_path) == tmp_path
    assert scan.index(tmp_path, singfake.CORPUS.audio, {}).num_rows == 3


def test_a_set_under_both_of_its_names_is_refused_and_a_link_is_not(tmp_path):
    tone(tmp_path / "test/vocals/1_a_0.flac")
    (tmp_path / "T02").symlink_to("test")
    assert set(by_id("singfake", tmp_path)) == {"test/vocals/1_a_0"}
    (tmp_path / "T02").unlink()
    tone(tmp_path / "T02/vocals/1_a_0.flac")
    with pytest.raises(DataError, match="holds clips of T02 in test and in T02, two names of one set"):
        parsed("singfake", tmp_path)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_the_same_on_every_file_system(form, tmp_path):
    put(tmp_path / "singfake.csv", (
        "Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url\nT02,bonafide,French,Zoé,Été à 2,N/A,u\n"
    ))  # fmt: skip
    for path in ("spoof/ö x.wav", "bonafide/Zoé_Été à 2.wav", "test/vocals/0_Zoé_0.flac"):
        tone(tmp_path / unicodedata.normalize(form, path))
    rows = by_id("singfake", tmp_path)
    assert set(rows) == {"spoof/ö x", "bonafide/Zoé_Été à 2", "test/vocals/0_Zoé_0"}
    assert rows["bonafide/Zoé_Été à 2"]["language"] == "fr"
    assert {row["source_id"] for row in rows.values()} == {"ö x", "Zoé_Été à 2", "Zoé_0"}
    files = scan.index(tmp_path, singfake.CORPUS.audio, {})["path"].to_pylist()
    assert sorted(row["path"] for row in rows.values()) == sorted(files)


def test_names_that_are_not_utf8_are_refused_with_the_cure(tmp_path):
    for path in ("bonafide/a.wav", "spoof/b.wav"):
        tone(tmp_path / path)
    os.rename(tmp_path / "spoof/b.wav", os.fsencode(tmp_path) + b"/spoof/\xd6\xd0.wav")
    with pytest.raises(DataError, match=r"1 file names are not in UTF-8 \(first: spoof/\\xd6\\xd0\.wav\).*convmv"):
        parsed("singfake", tmp_path)


def test_clips_without_the_annotation_say_what_is_unknown(tmp_path):
    """One clip of one song was a complete copy."""
    tone(tmp_path / "train/vocals/1_a_0.flac")
    (note,) = corpora.get("singfake").notes(tmp_path)
    assert note.startswith("no singfake.csv in") and "no speaker and no language" in note
    assert note.endswith("absent: partial; put it there") and corpora.get("singfake").incomplete(tmp_path)
