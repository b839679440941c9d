"""The ASVspoof corpora: columns, versions of the key, and what is easily taken for something else."""

from pathlib import Path

import miniatures
import pyarrow as pa
import pytest
from miniatures import by_id, parsed, put

from ingest import checks, corpora, rows, scan
from ingest.types import DataError

LA19 = "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm"
LA21, DF21 = "keys/LA/CM/trial_metadata.txt", "keys/DF/CM/trial_metadata.txt"


def test_a_2019_row(tmp_path):
    rows = by_id("asvspoof2019_la", miniatures.build("asvspoof2019_la", tmp_path))
    spoof = rows["LA_E_2834763"]
    assert spoof["partition"] == "eval" and spoof["attack"] == spoof["attack_raw"] == "A11"
    assert spoof["path"] == "ASVspoof2019_LA_eval/flac/LA_E_2834763.flac"
    assert (spoof["speaker"], spoof["language"], spoof["source_id"]) == ("LA_0039", "en", "LA_E_2834763")
    assert rows["LA_T_1138215"]["attack"] is rows["LA_T_1138215"]["attack_raw"] is None


def test_a_2019_train_protocol_named_trl_is_accepted(tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    (root / f"{LA19}.train.trn.txt").rename(root / f"{LA19}.train.trl.txt")
    assert sum(row["partition"] == "train" for row in parsed("asvspoof2019_la", root)) == 2


def test_a_2019_copy_of_four_columns_is_refused_by_name(tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    put(root / f"{LA19}.eval.trl.txt", "LA_0039 LA_E_2834763 A11 spoof\n")
    with pytest.raises(DataError, match=r"eval\.trl\.txt: 4 columns, an older copy"):
        parsed("asvspoof2019_la", root)


def test_2019_columns_3_and_4_swapped_are_refused(tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    put(root / f"{LA19}.dev.trl.txt", "LA_0069 LA_D_1047731 - - bonafide\nLA_0069 LA_D_1105538 A06 - spoof\n")
    with pytest.raises(DataError, match=r"dev\.trl\.txt line 2: environment 'A06'"):
        parsed("asvspoof2019_la", root)


def test_df_trials_under_a_2019_name_are_refused(tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    put(root / f"{LA19}.eval.trl.txt", "VCC2TM2 DF_E_2000042 - A07 spoof\n")
    with pytest.raises(DataError, match=r"eval\.trl\.txt line 1: .*DF_E_2000042.* is no eval utterance"):
        parsed("asvspoof2019_la", root)


@pytest.mark.parametrize("line", ["LA_0069 LA_D_1047731 - A01 bonafide", "LA_0069 LA_D_1047731 - - spoof"])
def test_2019_label_and_attack_must_agree(line, tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    put(root / f"{LA19}.dev.trl.txt", line)
    with pytest.raises(DataError, match=r"dev\.trl\.txt line 1"):
        parsed("asvspoof2019_la", root)


def test_2019_asv_scores_may_lie_in_the_root(tmp_path):
    put(tmp_path / "ASVspoof2019.LA.asv.dev.gi.trl.scores.txt", "bonafide target 18.5")
    assert corpora.get("asvspoof2019_la").asv_scores(tmp_path).num_rows == 1


def test_2019_asv_scores(tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    assert corpora.get("asvspoof2019_la").asv_scores(root) is None
    folder = root / "ASVspoof2019_LA_asv_scores"
    put(folder / "ASVspoof2019.LA.asv.dev.gi.trl.scores.txt", "bonafide target 18.5\nA01 spoof -2e-1\n")
    put(folder / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt", "bonafide nontarget -3\n")
    assert corpora.get("asvspoof2019_la").asv_scores(root).to_pylist() == [
        {"partition": "dev", "attack": None, "key": "target", "score": 18.5},
        {"partition": "dev", "attack": "A01", "key": "spoof", "score": -0.2},
        {"partition": "eval", "attack": None, "key": "nontarget", "score": -3.0},
    ]
    put(folder / "ASVspoof2019.LA.asv.dev.gi.trl.scores.txt", "bonafide target 1\nA01 spoof high\n")
    with pytest.raises(DataError, match=r"dev\.gi\.trl\.scores\.txt line 2: score 'high' is not a number"):
        corpora.get("asvspoof2019_la").asv_scores(root)


def test_a_2021_la_row(tmp_path):
    rows = by_id("asvspoof2021_la", miniatures.build("asvspoof2021_la", tmp_path))
    row = rows["LA_E_9332881"]
    assert (row["partition"], row["label"], row["attack"], row["trim"]) == ("eval", "spoof", "A07", "notrim")
    assert (row["codec"], row["codec_class"], row["transmission"]) == ("alaw", None, "ita_tx")
    assert row["path"] == "ASVspoof2021_LA_eval/flac/LA_E_9332881.flac"
    assert (rows["LA_E_6866159"]["codec_class"], rows["LA_E_6866159"]["transmission"]) == ("none", None)
    # the attack column of a bona fide trial says `bonafide` or `-`
    assert [rows[stem]["attack"] for stem in ("LA_E_6866159", "LA_E_5464494")] == [None, None]
    assert (rows["LA_E_4759417"]["partition"], rows["LA_E_4759417"]["trim"]) == ("hidden", "trim")


@pytest.mark.parametrize(("name", "track"), [("asvspoof2021_la", "LA"), ("asvspoof2021_df", "DF")])
@pytest.mark.parametrize("given", ["", "ASVspoof2021_{}_eval", "ASVspoof2021_{}_eval/flac"])
def test_the_key_of_2021_may_lie_beside_the_audio(given, name, track, tmp_path):
    source, root, audio = corpora.get(name), tmp_path / "root", f"ASVspoof2021_{track}_eval"
    put(root / audio / "trial_metadata.txt", next(iter(miniatures.FILES[name].values())))
    put(root / audio / "flac/score.txt", "")
    assert scan.find_root(source.corpus, root / given.format(track)) == root
    assert len(parsed(name, root)) == len(parsed(name, miniatures.build(name, tmp_path / "official")))
    assert source.notes(root) == [] and source.asv_scores(root) is None
    put(root / audio / "trial_metadata.txt", f"LA_0009 {track}_E_0000001 alaw ita_tx bonafide target notrim eval\n")
    with pytest.raises(DataError, match="this is the ASV key"):
        parsed(name, root)


def test_the_hidden_phase_of_2021_la_may_be_called_only_speech(tmp_path):
    put(tmp_path / LA21, "LA_0021 LA_E_7310647 none - bonafide bonafide only_speech hidden\n")
    (row,) = parsed("asvspoof2021_la", tmp_path)
    assert (row["partition"], row["trim"], row["codec"], row["attack"]) == ("hidden", "trim", "none", None)


def test_2021_la_phases_of_unverified_labels_are_held_against_their_totals(tmp_path):
    source = corpora.get("asvspoof2021_la")
    table = rows.complete(*source.tables(miniatures.build("asvspoof2021_la", tmp_path)), source.corpus)
    compared = checks.compare(table, source.counts(tmp_path))
    short = [(c.expected.partition, c.expected.label, c.found, c.expected.rows) for c in compared if c.short]
    assert short == [
        ("eval", "bonafide", 1, 14816), ("eval", "spoof", 1, 133360), ("progress", "any", 1, 16464),
        ("hidden", "any", 1, 16926),
    ]  # fmt: skip


def test_an_undocumented_transmission_word_is_kept(tmp_path):
    put(tmp_path / LA21, "LA_0009 LA_E_9332881 none somewhere_tx A07 spoof notrim eval\n")
    assert parsed("asvspoof2021_la", tmp_path)[0]["transmission"] == "somewhere_tx"


def test_the_asv_key_in_place_of_the_cm_key_is_refused(tmp_path):
    put(tmp_path / LA21, "- LA_E_9332881 - - - target notrim eval\n")
    with pytest.raises(DataError, match=r"trial_metadata\.txt line 1: key 'target': this is the ASV key"):
        parsed("asvspoof2021_la", tmp_path)


def test_the_df_key_in_place_of_the_la_key_is_refused(tmp_path):
    put(tmp_path / LA21, miniatures.FILES["asvspoof2021_df"][DF21])
    with pytest.raises(DataError, match="13 columns, the key of ASVspoof 2021 DF"):
        parsed("asvspoof2021_la", tmp_path)


def test_a_la_key_of_eight_columns_is_no_stage_1_key_of_df(tmp_path):
    put(tmp_path / DF21, miniatures.FILES["asvspoof2021_la"][LA21])
    with pytest.raises(DataError, match=r"line 1: LA_E_9332881: this is the key of ASVspoof 2021 LA \(8 columns\)"):
        parsed("asvspoof2021_df", tmp_path)


def test_a_stage_1_key_of_df_is_no_key_of_la(tmp_path):
    put(tmp_path / LA21, "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress\n")
    with pytest.raises(DataError, match=r"line 1: DF_E_2000011: this is the key of ASVspoof 2021 DF \(8 columns\)"):
        parsed("asvspoof2021_la", tmp_path)


def test_a_trial_list_that_lacks_trials_of_the_key_is_of_another_corpus(tmp_path):
    root = miniatures.build("asvspoof2021_la", tmp_path)
    listed = root / "ASVspoof2021_LA_eval/ASVspoof2021.LA.cm.eval.trl.txt"
    put(listed, "LA_E_9332881\nLA_E_6866159\nLA_E_5464494\nLA_E_4759417\nLA_E_1111111\n")
    assert len(parsed("asvspoof2021_la", root)) == 4
    put(listed, "LA_E_9332881\nLA_E_6866159\nLA_E_5464494\n")
    with pytest.raises(DataError, match=r"line 4: LA_E_4759417 is not in .*cm\.eval\.trl\.txt"):
        parsed("asvspoof2021_la", root)


@pytest.mark.parametrize(("name", "track"), [("asvspoof2021_la", "LA"), ("asvspoof2021_df", "DF")])
def test_the_stage_1_key_as_published_has_labels_and_phases_alone(name, track, tmp_path):
    key = tmp_path / f"{track}-keys-stage-1/keys/CM/trial_metadata.txt"
    put(key, (
        f"- {track}_E_2000011 - - - spoof - progress\n- {track}_E_2000012 - - - bonafide - eval\n"
        f"- {track}_E_2000013 - - - spoof - hidden_track\n"
    ))  # fmt: skip
    columns = ("partition", "label", "attack", "attack_raw")
    read = parsed(name, tmp_path)
    assert [tuple(row[column] for column in columns) for row in read] == [
        ("progress", "spoof", "unknown", None), ("eval", "bonafide", None, None), ("hidden", "spoof", "unknown", None),
    ]  # fmt: skip
    unknown = ("speaker", "codec", "codec_class", "transmission", "source_corpus", "vocoder", "trim")
    assert {row[column] for row in read for column in unknown} == {None}
    assert {row["language"] for row in read} == {"en" if track == "LA" else None}
    (note,) = corpora.get(name).notes(tmp_path)
    assert "labels and phases alone" in note and f"{track}-keys-full.tar.gz" in note
    put(key, key.read_text() + f"LA_0009 {track}_E_2000014 - - - spoof notrim eval\n")
    with pytest.raises(DataError, match=r"line 1: codec '-' is none of"):  # else a full key may not leave them out
        parsed(name, tmp_path)


def test_the_stage_1_verification_scores_name_no_attack_and_no_codec(tmp_path):
    keys = tmp_path / "keys"
    put(keys / "CM/trial_metadata.txt", "- LA_E_0000001 - - - spoof - eval\n")
    put(keys / "ASV/trial_metadata.txt", (
        "- LA_E_0000001-alaw-ita_tx - - - nontarget - eval\n- LA_E_0000002-none - - - spoof - eval\n"
        "- LA2021-LA_E_0000003 - - - target - hidden_track\n"
    ))  # fmt: skip
    put(
        keys / "ASV/ASVTorch_Kaldi/score.txt",
        "- LA_E_0000001-alaw-ita_tx -9.8\n- LA_E_0000002-none 1\n- LA2021-LA_E_0000003 16\n",
    )
    assert corpora.get("asvspoof2021_la").asv_scores(tmp_path).to_pylist() == [
        {"partition": "eval", "attack": None, "key": "nontarget", "score": -9.8, "codec": None},
        {"partition": "eval", "attack": "unknown", "key": "spoof", "score": 1.0, "codec": None},
        {"partition": "hidden", "attack": None, "key": "target", "score": 16.0, "codec": None},
    ]


@pytest.mark.parametrize("place", ["LA", "keys", "LA-keys-stage-1/keys"])
def test_2021_la_asv_scores_lie_beside_the_cm_key(place, tmp_path):
    put(tmp_path / place / "CM/trial_metadata.txt", "LA_0009 LA_E_0000001 alaw ita_tx A07 spoof notrim eval")
    put(tmp_path / place / "ASV/trial_metadata.txt", "- LA_E_0000001 alaw ita_tx bonafide target notrim eval")
    put(tmp_path / place / "ASV/ASVTorch_Kaldi/score.txt", "LA_1 LA_E_0000001 3.5")
    assert corpora.get("asvspoof2021_la").asv_scores(tmp_path).num_rows == 1


def test_2021_la_asv_scores_follow_the_asv_key(tmp_path):
    root = miniatures.build("asvspoof2021_la", tmp_path)
    source = corpora.get("asvspoof2021_la")
    assert source.asv_scores(root) is None
    put(root / "keys/LA/ASV/trial_metadata.txt", (
        "- LA_E_0000001 alaw ita_tx bonafide target notrim eval\n"
        "- LA_E_0000002 alaw ita_tx bonafide nontarget notrim progress\n"
        "- LA_E_0000003 none - A07 spoof trim hidden\n"
    ))  # fmt: skip
    score = root / "keys/LA/ASV/ASVTorch_Kaldi/score.txt"
    put(score, "LA_1 LA_E_0000001 3.5\nLA_1 LA_E_0000002 -1\nLA_2 LA_E_0000003 0.25\n")
    assert source.asv_scores(root).to_pylist() == [
        {"partition": "eval", "attack": None, "key": "target", "score": 3.5, "codec": "alaw"},
        {"partition": "progress", "attack": None, "key": "nontarget", "score": -1.0, "codec": "alaw"},
        {"partition": "hidden", "attack": "A07", "key": "spoof", "score": 0.25, "codec": "none"},
    ]
    put(score, "LA_1 LA_E_0000002 3.5\nLA_1 LA_E_0000001 -1\nLA_2 LA_E_0000003 0.25\n")
    with pytest.raises(DataError, match="does not follow"):
        source.asv_scores(root)


def test_2021_df_rows(tmp_path):
    rows = by_id("asvspoof2021_df", miniatures.build("asvspoof2021_df", tmp_path))
    columns = ("partition", "attack", "codec", "codec_class", "source_corpus", "vocoder", "gender", "language")
    read = {stem: tuple(row[name] for name in columns) for stem, row in rows.items()}
    assert read == {
        "DF_E_2000011": ("progress", "A14", "nocodec", "none", "asvspoof", "traditional", None, "en"),
        "DF_E_2000013": ("eval", "Task1-team20", "low_m4a", "low", "vcc2020", "non_autoregressive", "F", "en"),
        "DF_E_2000024": ("eval", "Task2-team12", "mp3m4a", None, "vcc2020", "unknown", "F", "de"),
        "DF_E_2000030": ("hidden", "HUB-B00", "high_ogg", "high", "vcc2018", "autoregressive", "M", "en"),
        "DF_E_2000026": ("eval", "A16", "oggm4a", None, "asvspoof", "concatenation", None, "en"),
        "DF_E_2000027": ("eval", None, "high_mp3", "high", "asvspoof", None, None, "en"),
    }
    assert rows["DF_E_2000027"]["label"] == "bonafide" and rows["DF_E_2000030"]["trim"] == "trim"
    assert corpora.get("asvspoof2021_df").notes(tmp_path) == []


@pytest.mark.parametrize(("letter", "code"), [("E", "en"), ("F", "fi"), ("G", "de"), ("M", "zh"), ("-", "en")])
def test_the_languages_of_vcc_2020(letter, code, tmp_path):
    put(
        tmp_path / DF21,
        f"TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval unknown Task1 team20 FF {letter}",
    )
    assert parsed("asvspoof2021_df", tmp_path)[0]["language"] == code


@pytest.mark.parametrize(
    ("speaker", "source", "code"),
    [("SEF1", "vcc2020", "en"), ("TFM1", "vcc2020", "fi"), ("TGF1", "vcc2020", "de"), ("TMM1", "vcc2020", "zh"),
     ("VCC2TM1", "vcc2018", "en"), ("LA_0044", "asvspoof", "en")],
)  # fmt: skip
def test_genuine_vcc_2020_clips_speak_the_language_of_their_speaker(speaker, source, code, tmp_path):
    put(tmp_path / DF21, f"{speaker} DF_E_2000079 high_m4a {source} - bonafide notrim eval bonafide - - - -")
    assert parsed("asvspoof2021_df", tmp_path)[0]["language"] == code


def test_the_stage_1_key_has_eight_columns_another_place_and_another_word(tmp_path):
    put(tmp_path / "keys/CM/trial_metadata.txt", (
        "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress\n"
        "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof trim hidden_track\n"
    ))  # fmt: skip
    first, second = parsed("asvspoof2021_df", tmp_path)
    assert (first["attack"], first["vocoder"], first["language"]) == ("A14", None, "en")
    assert (second["partition"], second["language"], second["codec_class"]) == ("hidden", None, "low")
    (note,) = corpora.get("asvspoof2021_df").notes(tmp_path)
    assert "stage 1" in note and "8 columns" in note
    with pytest.raises(DataError, match="LA-keys-full"):  # the same place, but not a key of LA
        parsed("asvspoof2021_la", tmp_path)


def test_a_key_of_another_width_says_what_is_due(tmp_path):
    put(tmp_path / DF21, "DF_E_2000011 spoof\n")
    with pytest.raises(DataError, match=r"2 columns; the full key has 13 .* stage 1 has 8"):
        parsed("asvspoof2021_df", tmp_path)


def test_asvspoof5_rows(tmp_path):
    rows = by_id("asvspoof5", miniatures.build("asvspoof5", tmp_path))
    row = rows["E_0009538969"]
    assert (row["codec"], row["codec_class"], row["gender"], row["attack"]) == ("C05", "2", "M", "A26")
    assert row["path"] == "flac_E_eval/E_0009538969.flac"
    assert row["source_id"] == "E_0009486171"  # the recording it is a coded copy of
    assert rows["T_0000000000"]["path"] == "flac_T/T_0000000000.flac"
    assert (rows["T_0000000000"]["codec"], rows["T_0000000000"]["codec_class"]) == ("none", "none")
    assert (rows["D_0000000190"]["label"], rows["D_0000000190"]["attack"]) == ("bonafide", None)
    assert rows["E_0000000001"]["codec_class"] == "8"


@pytest.mark.parametrize(("columns", "codec", "quality"), [("- 0 -", "none", "none"), ("- - -", "none", "none"),
                                                           ("C11 8 E_0000000002", "C11", "8"), ("C05 - -", "C05", None)])  # fmt: skip
def test_asvspoof5_clips_without_a_codec_have_no_quality(columns, codec, quality, tmp_path):
    put(tmp_path / "ASVspoof5.eval.track_1.tsv", f"E_1607 E_0009486171 M {columns} AC1 A26 spoof -\n")
    (row,) = parsed("asvspoof5", tmp_path)
    assert (row["codec"], row["codec_class"]) == (codec, quality)


def test_asvspoof5_codec_names_of_both_files_are_one(tmp_path):
    lines = [f"E_1607 E_000000000{n} M {codec} 2 - AC1 A26 spoof -" for n, codec in enumerate(("C05", "C5", "C11"))]
    put(tmp_path / "ASVspoof5.eval.track_1.tsv", "\n".join(lines))
    assert [row["codec"] for row in parsed("asvspoof5", tmp_path)] == ["C05", "C05", "C11"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [("C05 E_0009486171 2", "codec_q 'E_0009486171' is neither - nor a number"),
     ("C05 2 AC1", "codec_seed 'AC1' is neither - nor a stem"), ("- - flac_E_eval/E_0009486171", "nor a stem")],
)  # fmt: skip
def test_asvspoof5_codec_columns_hold_what_they_should(columns, told, tmp_path):
    put(tmp_path / "ASVspoof5.eval.track_1.tsv", f"E_1607 E_0009538969 M {columns} AC1 A26 spoof -\n")
    with pytest.raises(DataError, match=f"line 1: .*{told}"):
        parsed("asvspoof5", tmp_path)


def test_asvspoof5_track_2_is_not_read(tmp_path):
    root = miniatures.build("asvspoof5", tmp_path)
    put(root / "ASVspoof5.dev.track_2.trial.tsv", "D_0062 D_0000000009 F A11 spoof\n")
    put(root / "ASVspoof5.dev.track_2.enroll.tsv", "D_4205 D_A0000000562,D_A0000000898\n")
    assert len(parsed("asvspoof5", root)) == 6
    put(root / "ASVspoof5.dev.track_1.tsv", "D_0062 D_0000000009 F A11 spoof\n")
    with pytest.raises(DataError, match="5 columns, a trial list of track 2"):
        parsed("asvspoof5", root)


@pytest.mark.parametrize("name", ["metadata.txt", "metainfor.txt"])
def test_asvspoof5_early_package_is_named(name, tmp_path):
    put(tmp_path / f"ASVspoof5.dev.{name}", "D_0062 D_0000000001 F - A11 spoof\n")
    put(tmp_path / f"ASVspoof5.train.{name}", "T_4850 T_0000000000 F - A05 spoof\n")
    source = corpora.get("asvspoof5")
    with pytest.raises(
        DataError, match=rf"ASVspoof5\.dev\.{name} is of the early challenge package.*unpack ASVspoof5_pro"
    ):
        list(source.tables(scan.find_root(source.corpus, tmp_path)))


def test_asvspoof5_enrolment_stems_are_no_trials(tmp_path):
    put(tmp_path / "ASVspoof5.dev.track_1.tsv", "D_0062 D_A0000000001 F - - - AC1 A11 spoof -\n")
    with pytest.raises(DataError, match="no dev utterance"):
        parsed("asvspoof5", tmp_path)


@pytest.mark.parametrize("row", ["- spoof notrim eval bonafide", "A16 spoof notrim eval bonafide",
                                 "- bonafide notrim eval traditional_vocoder"])  # fmt: skip
def test_2021_df_label_and_vocoder_class_must_agree(row, tmp_path):
    put(tmp_path / "keys/DF/CM/trial_metadata.txt", f"LA_0044 DF_E_2000027 high_mp3 asvspoof {row} - - - -\n")
    with pytest.raises(DataError, match="line 1"):
        parsed("asvspoof2021_df", tmp_path)


def test_2019_protocols_may_lie_in_the_root(tmp_path):
    whole = parsed("asvspoof2019_la", miniatures.build("asvspoof2019_la", tmp_path / "a"))
    root = tmp_path / "b"
    for path, content in miniatures.FILES["asvspoof2019_la"].items():
        put(root / path.rpartition("/")[2], content)
    assert [row["utt_id"] for row in parsed("asvspoof2019_la", root)] == [row["utt_id"] for row in whole]


@pytest.mark.parametrize("given", ["", "LA", "protocols"])
@pytest.mark.parametrize("audio", ["", "LA"])
def test_2019_protocols_may_lie_in_a_folder_of_any_name_beside_the_audio(audio, given, tmp_path):
    whole, root = parsed("asvspoof2019_la", miniatures.build("asvspoof2019_la", tmp_path / "a")), tmp_path / "b"
    for path, content in miniatures.FILES["asvspoof2019_la"].items():
        put(root / "protocols" / Path(path).name, content)
    put(root / audio / "ASVspoof2019_LA_asv_scores/ASVspoof2019.LA.asv.dev.gi.trl.scores.txt", "bonafide target 18.5")
    for row in whole:
        put(root / audio / row["path"], b"x")
    (root / "LA").mkdir(exist_ok=True)
    source = corpora.get("asvspoof2019_la")
    assert scan.find_root(source.corpus, root / given) == root
    read = [rows.complete(table, source.corpus) for table in source.tables(root)]
    assert [row["utt_id"] for table in read for row in table.to_pylist()] == [row["utt_id"] for row in whole]
    found = scan.match(pa.concat_tables(read), scan.index(root, source.corpus.audio, {}), source.corpus)
    assert (found.file >= 0).all() and not len(found.extra)
    assert source.asv_scores(root).num_rows == 1


def test_two_train_protocols_of_2019_that_differ_are_refused(tmp_path):
    root = miniatures.build("asvspoof2019_la", tmp_path)
    trn = root / f"{LA19}.train.trn.txt"
    put(root / f"{LA19}.train.trl.txt", trn.read_bytes())
    assert len(parsed("asvspoof2019_la", root)) == 6
    put(root / f"{LA19}.train.trl.txt", "LA_0079 LA_T_1004644 - A02 spoof\n")
    with pytest.raises(DataError, match=r"train\.trn\.txt and .*train\.trl\.txt are both there and differ"):
        parsed("asvspoof2019_la", root)


def test_a_stem_with_a_folder_before_it_is_no_stem(tmp_path):
    put(tmp_path / f"{LA19}.eval.trl.txt", "LA_0039 flac/LA_E_2834763 - A11 spoof\n")
    with pytest.raises(DataError, match=r"line 1: 'asvspoof2019_la/flac/LA_E_2834763' is no eval utterance"):
        parsed("asvspoof2019_la", tmp_path)


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_a_stage_1_key_is_told_by_its_trials(separator, tmp_path):
    line = "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n".replace(" ", separator)
    put(tmp_path / "LA-keys-stage-1/keys/CM/trial_metadata.txt", line)
    assert len(parsed("asvspoof2021_la", tmp_path)) == 1
    with pytest.raises(DataError, match=r"holds no keys/DF/CM/trial_metadata\.txt"):
        parsed("asvspoof2021_df", tmp_path)


def test_two_keys_that_differ_are_refused(tmp_path):
    key = miniatures.FILES["asvspoof2021_la"][LA21]
    for folder in ("new", "old"):
        put(tmp_path / folder / LA21, key)
    assert len(parsed("asvspoof2021_la", tmp_path)) == 4
    put(tmp_path / "old" / LA21, key.replace("spoof", "bonafide"))
    with pytest.raises(DataError, match=r"new/keys/LA/.* and .*old/keys/LA/.* are both there and differ"):
        parsed("asvspoof2021_la", tmp_path)


@pytest.mark.parametrize(("name", "key"), [("asvspoof2021_la", LA21), ("asvspoof2021_df", DF21)])
def test_a_key_of_another_package_that_differs_is_noted(name, key, tmp_path):
    root, track = miniatures.build(name, tmp_path), name[-2:].upper()
    before, notes = by_id(name, root), corpora.get(name).notes(root)
    aside = put(root / f"{track}-keys-stage-1" / key, (root / key).read_text())
    assert corpora.get(name).notes(root) == notes
    aside.write_text(aside.read_text().replace("spoof", "bonafide"))
    assert by_id(name, root) == before
    other = f"{key} is read; {track}-keys-stage-1/{key} is another key of {track} and is not"
    assert corpora.get(name).notes(root) == [other, *notes]


def test_trials_of_the_list_without_a_label_and_odd_transmissions_are_noted(tmp_path):
    root = miniatures.build("asvspoof2021_la", tmp_path)
    assert corpora.get("asvspoof2021_la").notes(root) == []
    stems = [line.split()[1] for line in miniatures.FILES["asvspoof2021_la"][LA21].splitlines()]
    put(root / "ASVspoof2021_LA_eval/ASVspoof2021.LA.cm.eval.trl.txt", "\n".join([*stems, "LA_E_0000007"]))
    key = (root / LA21).read_text().replace("ita_tx", "moon_tx").replace("none - ", "none no_tx ")
    (root / LA21).write_text(key)
    assert corpora.get("asvspoof2021_la").notes(root) == [
        "1 of 5 trials of ASVspoof2021.LA.cm.eval.trl.txt are not in the key trial_metadata.txt (first: LA_E_0000007)",
        "transmission word 'moon_tx' is not documented and is kept (1 rows)",
        "transmission word 'no_tx' is not documented and is kept (1 rows)",
    ]


@pytest.mark.parametrize(
    ("name", "path", "line", "told"),
    [
        ("asvspoof2019_la", f"{LA19}.train.trn.txt", "LA_0079 LA_T_1004644 - A17 spoof", "1 rows of train name attack A17"),
        ("asvspoof5", "ASVspoof5.dev.track_1.tsv", "D_0062 D_0000000001 F - - - AC1 A17 spoof -", "of dev name attack A17"),
    ],
)  # fmt: skip
def test_an_attack_of_another_partition_is_noted(name, path, line, told, tmp_path):
    corpus = corpora.get(name).corpus
    root = miniatures.build(name, tmp_path)
    whole = pa.concat_tables(rows.complete(table, corpus) for table in corpora.get(name).tables(root))
    assert checks.misfit_attacks(whole, corpus) == []
    put(root / path, line)
    (note,) = [
        note for table in corpora.get(name).tables(root)
        for note in checks.misfit_attacks(rows.complete(table, corpus), corpus)
    ]  # fmt: skip
    assert told in note


def test_stage_1_keys_of_both_tracks_may_lie_side_by_side(tmp_path):
    df = "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress\n"
    put(tmp_path / "DF-keys-stage-1/keys/CM/trial_metadata.txt", df)
    put(tmp_path / "LA-keys-stage-1/keys/CM/trial_metadata.txt", miniatures.FILES["asvspoof2021_la"][LA21])
    assert len(parsed("asvspoof2021_la", tmp_path)) == 4
    assert [row["utt_id"] for row in parsed("asvspoof2021_df", tmp_path)] == ["asvspoof2021_df/DF_E_2000011"]


@pytest.mark.parametrize("above", ["", "audio"])
def test_the_parts_of_df_may_lie_in_folders_of_their_own(above, tmp_path):
    root = miniatures.build("asvspoof2021_df", tmp_path)
    (table,) = corpora.get("asvspoof2021_df").tables(root)
    for number, stem in enumerate(Path(path).name for path in table["path"].to_pylist()):
        miniatures.put(root / above / f"ASVspoof2021_DF_eval_part0{number % 4}/ASVspoof2021_DF_eval/flac" / stem, b"x")
    corpus = corpora.get("asvspoof2021_df").corpus
    rows_of = rows.complete(table, corpus)
    found = scan.match(rows_of, scan.index(root, corpus.audio, {}), corpus)
    assert (found.file >= 0).all() and not len(found.extra)


def test_an_attack_that_2021_df_does_not_know_is_noted(tmp_path):
    corpus = corpora.get("asvspoof2021_df").corpus
    lines = [
        f"LA_0023 DF_E_200001{n} nocodec asvspoof {attack} spoof notrim eval traditional_vocoder - - - -"
        for n, attack in enumerate(("A19", "HUB-D05", "SPO-N20", "Task2-team33", "A77"))
    ]
    put(tmp_path / "keys/DF/CM/trial_metadata.txt", "\n".join(lines))
    (table,) = corpora.get("asvspoof2021_df").tables(tmp_path)
    (note,) = checks.new_words(rows.complete(table, corpus), corpus)
    assert note == "attack word 'A77' has no canonical one and is kept (1 rows)"
