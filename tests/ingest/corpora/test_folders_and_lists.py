"""WaveFake, LibriSeVoc, DECRO, In-the-Wild and CtrSVDD: aliases, stems that repeat, sources, languages."""

from collections import Counter

import miniatures
import pyarrow as pa
import pytest
from miniatures import by_id, parsed, put, tone

from ingest import corpora, scan
from ingest import rows as row_module
from ingest.corpora import ctrsvdd, decro, librisevoc, wavefake
from ingest.types import DataError

TTS = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"


def test_wavefake_rows(tmp_path):
    rows = by_id("wavefake", miniatures.build("wavefake", tmp_path))
    columns = ("label", "attack", "attack_raw", "source_id", "language", "path")
    read = {name: tuple(row[column] for column in columns) for name, row in rows.items()}
    generated = "generated_audio"
    assert read == {
        "ljspeech_melgan/LJ001-0001_gen": (
            "spoof", "melgan", "melgan", "LJ001-0001", "en", f"{generated}/ljspeech_melgan/LJ001-0001_gen.wav"),
        "ljspeech_hifiGAN/LJ001-0001_generated": (
            "spoof", "hifigan", "hifiGAN", "LJ001-0001", "en", f"{generated}/ljspeech_hifiGAN/LJ001-0001_generated.wav"),
        "ljspeech_waveglow/LJ001-0001": (
            "spoof", "waveglow", "waveglow", "LJ001-0001", "en", f"{generated}/ljspeech_waveglow/LJ001-0001.wav"),
        "jsut_parallel_wavegan/BASIC5000_0001_gen": (
            "spoof", "parallel_wavegan", "parallel_wavegan", "BASIC5000_0001", "ja",
            f"{generated}/jsut_parallel_wavegan/BASIC5000_0001_gen.wav"),
        f"{TTS}/gen_0": ("spoof", "tts", TTS, "gen_0", "en", f"{generated}/{TTS}/gen_0.wav"),
        "ljspeech/LJ001-0001": (
            "bonafide", None, None, "LJ001-0001", "en", "real_audio/LJSpeech-1.1/wavs/LJ001-0001.wav"),
        "jsut/BASIC5000_0001": (
            "bonafide", None, None, "BASIC5000_0001", "ja",
            "real_audio/jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav"),
    }  # fmt: skip
    assert {row["partition"] for row in rows.values()} == {None}


def test_wavefake_knows_ten_folders_and_their_counts():
    words = {name: (folder.attack, folder.language, folder.clips) for name, folder in wavefake.FOLDERS.items()}
    assert words == {
        "ljspeech_melgan": ("melgan", "en", 13100), "ljspeech_melgan_large": ("melgan_large", "en", 13100),
        "ljspeech_multi_band_melgan": ("multi_band_melgan", "en", 13100),
        "ljspeech_full_band_melgan": ("full_band_melgan", "en", 13100),
        "ljspeech_parallel_wavegan": ("parallel_wavegan", "en", 13100), "ljspeech_hifiGAN": ("hifigan", "en", 13100),
        "ljspeech_waveglow": ("waveglow", "en", 13100), "jsut_multi_band_melgan": ("multi_band_melgan", "ja", 5000),
        "jsut_parallel_wavegan": ("parallel_wavegan", "ja", 5000), TTS: ("tts", "en", 32566),
    }  # fmt: skip
    grades = {count.group: count.grade for count in wavefake.CORPUS.counts}
    assert [group for group, grade in grades.items() if grade == "U"] == [("attack,language", "tts,en")]


def test_wavefake_originals_may_lie_elsewhere(tmp_path):
    root = miniatures.build("wavefake", tmp_path / "WaveFake")
    lj = tone(tmp_path / "lj/wavs/LJ002-0002.wav").parent.parent
    jsut = tone(tmp_path / "jsut_ver1.1/basic5000/wav/BASIC5000_0007.wav").parents[2]
    rows = by_id("wavefake", root, ljspeech=lj, jsut=jsut)
    real = {name: (row["place"], row["path"]) for name, row in rows.items() if row["label"] == "bonafide"}
    assert real == {
        "ljspeech/LJ002-0002": ("ljspeech", "wavs/LJ002-0002.wav"),
        "jsut/BASIC5000_0007": ("jsut", "basic5000/wav/BASIC5000_0007.wav"),
    }
    with pytest.raises(DataError, match=r"LJSPEECH=\) holds no recording"):
        parsed("wavefake", root, ljspeech=jsut)


def test_wavefake_takes_the_generated_folder_itself_as_root(tmp_path):
    root = miniatures.build("wavefake", tmp_path) / "generated_audio"
    assert by_id("wavefake", root)["ljspeech_waveglow/LJ001-0001"]["path"] == "ljspeech_waveglow/LJ001-0001.wav"


def test_wavefake_unpacked_into_a_folder_of_the_archives_name(tmp_path):
    tone(tmp_path / "generated_audio/generated_audio/ljspeech_waveglow/LJ001-0001.wav")
    for given in ("", "generated_audio", "generated_audio/generated_audio"):
        root = scan.find_root(wavefake.CORPUS, tmp_path / given)
        (row,) = parsed("wavefake", root)
        assert (root / row["path"]).is_file()


@pytest.mark.parametrize("above", ["", "real_audio/"])
def test_wavefakes_originals_unpacked_into_folders_of_their_archives_names(above, tmp_path):
    tone(tmp_path / "generated_audio/ljspeech_waveglow/LJ001-0001.wav")
    lj = tone(tmp_path / above / "LJSpeech-1.1/LJSpeech-1.1/wavs/LJ001-0001.wav")
    jsut = tone(tmp_path / above / "jsut_ver1.1/jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav")
    found = {tmp_path / row["path"] for row in parsed("wavefake", tmp_path) if row["label"] == "bonafide"}
    assert (
        found
        == {lj, jsut}
        <= {tmp_path / path for path in scan.index(tmp_path, wavefake.CORPUS.audio, {})["path"].to_pylist()}
    )


def test_wavefake_tells_of_the_copy_inside_the_folder_of_synthesised_speech(tmp_path):
    root = miniatures.build("wavefake", tmp_path)
    tone(root / f"generated_audio/{TTS}/gen_1.wav")
    assert corpora.get("wavefake").notes(root) == []
    for name in ("gen_0.wav", "gen_1.wav", "other.wav"):
        tone(root / f"generated_audio/{TTS}/generated/{name}")
    (note,) = corpora.get("wavefake").notes(root)
    assert note.startswith(f"2 clips of {TTS} lie once more")


def test_wavefake_strangers_are_no_rows(tmp_path):
    root = miniatures.build("wavefake", tmp_path)
    before = len(parsed("wavefake", root))
    tone(root / f"generated_audio/{TTS}/generated/gen_0.wav")  # the nested copy
    tone(root / "generated_audio/ljspeech_melgan/LJ001-0001.wav")  # an original among the fakes
    tone(root / "generated_audio/my_vocoder/LJ001-0001_gen.wav")
    put(root / "generated_audio/ljspeech_melgan/._LJ001-0002_gen.wav", "stub")
    put(root / "generated_audio/ljspeech_melgan/LJ001-0002_gen.txt", "text")
    assert len(parsed("wavefake", root)) == before


def test_wavefake_converted_clips_keep_their_official_path(tmp_path):
    tone(tmp_path / "generated_audio/ljspeech_melgan/LJ001-0003_gen.flac")
    (row,) = parsed("wavefake", tmp_path)
    assert row["path"] == "generated_audio/ljspeech_melgan/LJ001-0003_gen.wav"


@pytest.mark.parametrize("base", ["generated_audio/", ""])
def test_wavefake_names_in_another_case_are_rows_and_noted(base, tmp_path):
    tone(tmp_path / base / "ljspeech_hifigan/LJ001-0001_generated.wav")
    tone(tmp_path / base / "ljspeech_waveglow/lj001-0002.WAV")
    tone(tmp_path / base / f"{TTS}/Gen_3.wav")
    (tmp_path / base / "ljspeech_melgan").mkdir()
    table = pa.concat_tables(row_module.complete(t, wavefake.CORPUS) for t in wavefake.tables(tmp_path))
    assert {name.removeprefix("wavefake/") for name in table["utt_id"].to_pylist()} == {
        "ljspeech_hifiGAN/LJ001-0001_generated", "ljspeech_waveglow/LJ001-0002", f"{TTS}/gen_3"
    }  # fmt: skip
    matched = scan.match(table, scan.index(tmp_path, wavefake.CORPUS.audio, {}), wavefake.CORPUS)
    assert (matched.file >= 0).all() and not matched.extra.size
    assert matched.notes[0].startswith("3 audio files differ from the official name in upper and lower case")


def test_wavefake_flattened_into_one_of_its_folders_is_refused(tmp_path):
    root = tmp_path / "generated_audio/ljspeech_melgan"
    tone(root / "LJ001-0001_gen.wav")
    tone(root / "LJ001-0001.wav")  # may be the original
    assert len(parsed("wavefake", tmp_path)) == 1
    tone(root / "LJ001-0001_generated.wav")
    with pytest.raises(DataError, match=r"ljspeech_melgan holds 1 clips named as in other folders"):
        parsed("wavefake", tmp_path)


def test_wavefake_flattened_is_refused(tmp_path):
    tone(tmp_path / "generated_audio/LJ001-0001_gen.wav")
    with pytest.raises(
        DataError,
        match=r"1 loose audio files \(first: LJ001-0001_gen\.wav\), and clips of all vocoders have the same names",
    ):
        parsed("wavefake", tmp_path)


def test_librisevoc_lists_every_id_in_seven_folders(tmp_path):
    rows = by_id("librisevoc", miniatures.build("librisevoc", tmp_path))
    assert len(rows) == 4 * 7
    assert Counter((row["partition"], row["label"]) for row in rows.values()) == {
        ("train", "bonafide"): 2, ("train", "spoof"): 12, ("dev", "bonafide"): 1, ("dev", "spoof"): 6,
        ("test", "bonafide"): 1, ("test", "spoof"): 6,
    }  # fmt: skip
    real, fake = rows["gt/27_123349_000006_000000"], rows["parallel_wave_gan/27_123349_000006_000000_gen"]
    assert real["path"] == "gt/27_123349_000006_000000.wav"
    assert fake["path"] == "parallel_wave_gan/27_123349_000006_000000_gen.wav"
    assert real["source_id"] == fake["source_id"] == "27_123349_000006_000000"
    assert (fake["attack"], fake["attack_raw"], fake["speaker"]) == ("parallel_wavegan", "parallel_wave_gan", "27")
    assert {row["attack"]: row["vocoder"] for row in rows.values()} == {
        None: None, "diffwave": "non_autoregressive", "melgan": "non_autoregressive",
        "parallel_wavegan": "non_autoregressive", "wavegrad": "non_autoregressive", "wavenet": "autoregressive",
        "wavernn": "autoregressive",
    }  # fmt: skip


def test_librisevoc_flattened_is_refused(tmp_path):
    root = miniatures.build("librisevoc", tmp_path)
    tone(root / "27_123349_000006_000000_gen.wav")
    with pytest.raises(DataError, match="copies of all vocoders have the same names"):
        parsed("librisevoc", root)


def test_the_lists_of_ctrsvdd_are_not_those_of_librisevoc(tmp_path):
    root = miniatures.build("ctrsvdd", tmp_path)
    with pytest.raises(DataError, match=r"train\.txt line 1: 6 fields where 1"):
        parsed("librisevoc", root)
    root = miniatures.build("librisevoc", tmp_path)
    with pytest.raises(DataError, match=r"train\.txt: 1 columns, no labels"):
        parsed("ctrsvdd", root)


@pytest.mark.parametrize(
    ("word", "attack"),
    [("baidu", "baidu"), ("baidu_en", "baidu"), ("fs2", "fastspeech2"), ("FastSpeech2", "fastspeech2"),
     ("fs2mtts", "fastspeech2"), ("hifigan", "hifigan"), ("mbmelgan", "multi_band_melgan"),
     ("pwg", "parallel_wavegan"), ("nvcnet", "nvcnet"), ("nvcnet-cn", "nvcnet"), ("starganv2", "starganv2"),
     ("StarGAN", "starganv2"), ("tacotron", "tacotron"), ("Tacotron", "tacotron"), ("vits", "vits"),
     ("xunfei", "xunfei"), ("newsystem", "newsystem")],
)  # fmt: skip
def test_decro_system_words(word, attack, tmp_path):
    put(tmp_path / "ch_eval.txt", f"unknown a1 - {word} spoof")
    (row,) = parsed("decro", tmp_path)
    assert (row["attack"], row["attack_raw"]) == (attack, word)
    assert (word in decro.ALIASES) == (word != "newsystem")


def test_decro_rows(tmp_path):
    rows = by_id("decro", miniatures.build("decro", tmp_path))
    assert len(rows) == 12  # three of them share a stem
    ids = ["en_train/pwg_LJ045-0151_gen", "en_dev/LJ045-0151_gen", "en_eval/LJ045-0151_gen"]
    assert [rows[name]["attack"] for name in ids] == ["parallel_wavegan", "multi_band_melgan", "parallel_wavegan"]
    assert {rows[name]["source_id"] for name in ids} == {"LJ045-0151"}
    assert [rows[name]["path"] for name in ids[1:]] == ["en_dev/LJ045-0151_gen.wav", "en_eval/LJ045-0151_gen.wav"]
    real = rows["ch_train/T0055G0013S0234"]
    assert (real["source_corpus"], real["attack"], real["attack_raw"]) == ("aidatatang", None, None)
    assert (real["language"], real["partition"], real["speaker"]) == ("zh", "train", "G0013")
    assert rows["en_dev/LA_E_1138215"]["source_corpus"] == "asv19"
    assert rows["ch_eval/f2"]["speaker"] is None  # published as `unknown`
    assert rows["ch_eval/f2"]["source_corpus"] is None


@pytest.mark.parametrize(
    ("stem", "source"),
    [("mel_LJ001-0002_gen", "LJ001-0002"), ("pwg_LJ001-0002_gen", "LJ001-0002"), ("LJ001-0002_generated", "LJ001-0002"),
     ("LA_E_1000147", "LA_E_1000147"), ("vaenar_LJ041-0099_hifigan", "vaenar_LJ041-0099_hifigan"),
     ("test_014_003", "test_014_003"), ("SSB04820140_hifigan", "SSB04820140"), ("SSB00730007_mbmelgan", "SSB00730007"),
     ("SSB02000031_pwg", "SSB02000031"), ("SSB07940279_fs2", "SSB07940279_fs2")],
)  # fmt: skip
def test_decro_sources(stem, source, tmp_path):
    put(tmp_path / "en_train.txt", f"unknown {stem} - hifigan spoof")
    assert parsed("decro", tmp_path)[0]["source_id"] == source


def test_decro_files_with_rows_of_each_other_are_refused(tmp_path):
    put(tmp_path / "en_train.txt", "unknown LJ045-0151_gen - mbmelgan spoof\nLA_0079 LA_T_1138215 - asv19 bonafide")
    put(tmp_path / "en_eval.txt", "unknown LJ045-0151_gen - pwg spoof\nLA_0079 LA_T_1138215 - asv19 bonafide")
    with pytest.raises(DataError, match=r"en_eval.txt line 2: LA_T_1138215 of the same system is in en_train.txt too"):
        parsed("decro", tmp_path)


def test_decro_rows_may_repeat_between_the_languages(tmp_path):
    put(tmp_path / "en_train.txt", "003 test_014_003 - baidu spoof")
    put(tmp_path / "ch_train.txt", "003 test_014_003 - baidu spoof")
    assert set(by_id("decro", tmp_path)) == {"en_train/test_014_003", "ch_train/test_014_003"}


def test_decro_flattened_is_refused(tmp_path):
    root = miniatures.build("decro", tmp_path)
    tone(root / "LJ045-0151_gen.wav")
    with pytest.raises(DataError, match="names repeat between them"):
        parsed("decro", root)


def test_in_the_wild_rows(tmp_path):
    spoof, real = parsed("in_the_wild", miniatures.build("in_the_wild", tmp_path))
    assert (spoof["utt_id"], spoof["path"]) == ("in_the_wild/0", "release_in_the_wild/0.wav")
    assert (spoof["speaker"], spoof["attack"], spoof["attack_raw"]) == ("Alec Guinness", "unknown", None)
    assert (real["label"], real["attack"], real["partition"]) == ("bonafide", None, None)


def test_in_the_wild_without_its_header_is_refused(tmp_path):
    put(tmp_path / "meta.csv", "0.wav,Alec Guinness,spoof\n1.wav,Calvin Coolidge,bona-fide\n")
    with pytest.raises(DataError, match=r"meta\.csv line 1: the header"):
        parsed("in_the_wild", tmp_path)


def test_in_the_wild_commas_in_quotes_are_no_separators(tmp_path):
    put(tmp_path / "release_in_the_wild/meta.csv", 'file,speaker,label\n7.wav,"Kennedy, John F.",bona-fide\n')
    assert parsed("in_the_wild", tmp_path)[0]["speaker"] == "Kennedy, John F."


def test_ctrsvdd_rows(tmp_path):
    rows = by_id("ctrsvdd", miniatures.build("ctrsvdd", tmp_path))
    fake = rows["CtrSVDD_0097_D_0010993"]
    assert (fake["label"], fake["attack"], fake["partition"]) == ("spoof", "A06", "dev")
    assert (fake["path"], fake["speaker"]) == ("dev_set/CtrSVDD_0097_D_0010993.flac", "CtrSVDD_0097")
    languages = {row["source_corpus"]: row["language"] for row in rows.values()}
    assert languages == {
        "ofuton": "ja", "opencpop": "zh", "m4singer": "zh", "jvsmusic": "ja", "kising": "zh", "newsource": None,
    }  # fmt: skip
    assert set(ctrsvdd.LANGUAGES) == {
        "opencpop", "m4singer", "kising", "acesinger", "ofuton", "oniku", "kiritan", "jvsmusic",
    }  # fmt: skip


def test_the_rebuilt_clips_of_ctrsvdd_may_lie_beside_the_unpacked_ones(tmp_path):
    root = miniatures.build("ctrsvdd", tmp_path)
    source = corpora.get("ctrsvdd")
    table = pa.concat_tables(row_module.complete(part, source.corpus) for part in source.tables(root))
    for path in table["path"].to_pylist():
        unpacked = path if path.endswith("T_0000000.flac") else path.replace("_set/", "/")  # train_set/ beside train/
        put(root / unpacked, b"x")
    found = scan.match(table, scan.index(root, source.corpus.audio, {}), source.corpus)
    assert (found.file >= 0).all() and not len(found.extra)


def test_ctrsvdd_stems_carry_their_partition(tmp_path):
    put(tmp_path / "dev.txt", "jvsmusic CtrSVDD_0097 CtrSVDD_0097_T_0010993 - A06 deepfake\n")
    with pytest.raises(DataError, match=r"dev\.txt line 1: .* is no dev utterance"):
        parsed("ctrsvdd", tmp_path)


@pytest.mark.parametrize("name", ["wavefake", "decro", "librisevoc"])
def test_stems_repeat_but_utterances_do_not(name, tmp_path):
    read = parsed(name, miniatures.build(name, tmp_path))
    assert len({row["utt_id"] for row in read}) == len(read)
    assert not corpora.get(name).corpus.stem_unique


def test_librisevoc_folders_are_those_of_the_archive():
    assert list(librisevoc.VOCODERS) == ["diffwave", "melgan", "parallel_wave_gan", "wavegrad", "wavenet", "wavernn"]


@pytest.mark.parametrize("row", ["LA_0079 LA_T_1138215 - asv19 spoof", "4 4-727-124443-0055 - baidu_en bonafide"])
def test_decro_labels_and_systems_must_agree(row, tmp_path):
    put(tmp_path / "en_train.txt", f"LA_0079 LA_T_1000000 - asv19 bonafide\n{row}")
    with pytest.raises(DataError, match=r"line 2: .* yet its system is"):
        parsed("decro", tmp_path)


def test_sentences_are_told_where_they_are_published(tmp_path):
    wavefake = by_id("wavefake", miniatures.build("wavefake", tmp_path / "wavefake"))
    assert wavefake["ljspeech_hifiGAN/LJ001-0001_generated"]["sentence"] == "LJ001-0001"
    assert wavefake["jsut/BASIC5000_0001"]["sentence"] == "BASIC5000_0001"
    assert next(row for row in wavefake.values() if row["attack"] == "tts")["sentence"] is None
    libri = by_id("librisevoc", miniatures.build("librisevoc", tmp_path / "librisevoc"))
    assert libri["melgan/27_123349_000006_000000_gen"]["sentence"] == "27_123349_000006_000000"
    put(tmp_path / "en_train.txt", (
        "5 5-742-128034-0056 - baidu spoof\naisxping aisxping-4813-248638-0052 - xunfei spoof\n"
        "unknown pwg_LJ045-0151_gen - pwg spoof\n003 test_014_003 - vits spoof\nLA_0079 LA_T_1138215 - asv19 bonafide"
    ))  # fmt: skip
    sentences = [row["sentence"] for row in parsed("decro", tmp_path)]
    assert sentences == ["742-128034-0056", "4813-248638-0052", "LJ045-0151", None, None]


@pytest.mark.parametrize("folder", ["generated_audio/", ""])
def test_loose_clips_beside_the_folders_of_wavefake_are_refused(folder, tmp_path):
    tone(tmp_path / folder / "ljspeech_melgan/LJ001-0001_gen.wav")
    tone(tmp_path / folder / "gen_7.wav")
    with pytest.raises(DataError, match=r"holds 1 loose audio files \(first: gen_7\.wav\)"):
        parsed("wavefake", tmp_path)


def test_everything_below_generated_audio_is_seen(tmp_path):
    for path in ("ljspeech_melgan/LJ001-0001_gen.wav", "ljspeech_hifigan/LJ001-0001_generated.wav"):
        tone(tmp_path / "generated_audio" / path)
    files = scan.index(tmp_path, wavefake.CORPUS.audio, {})["path"].to_pylist()
    assert files == [
        "generated_audio/ljspeech_hifigan/LJ001-0001_generated.wav", "generated_audio/ljspeech_melgan/LJ001-0001_gen.wav"
    ]  # fmt: skip


def test_the_lists_of_librisevoc_may_lie_beside_its_folder(tmp_path):
    root = miniatures.build("librisevoc", tmp_path)
    tone(root / "LibriSeVoc/gt/27_123349_000006_000000.wav")
    rows = by_id("librisevoc", root)
    assert rows["gt/27_123349_000006_000000"]["path"] == "LibriSeVoc/gt/27_123349_000006_000000.wav"
    files = scan.index(root, corpora.get("librisevoc").corpus.audio, {})
    assert files["path"].to_pylist() == ["LibriSeVoc/gt/27_123349_000006_000000.wav"]


@pytest.mark.parametrize("name", ["27_123349_000006_000000", "27_123349_000006_000000.WAV"])
def test_a_listed_name_of_librisevoc_may_lack_its_extension(name, tmp_path):
    put(tmp_path / "train.txt", name)
    assert (
        by_id("librisevoc", tmp_path)["wavenet/27_123349_000006_000000_gen"]["source_id"] == "27_123349_000006_000000"
    )


@pytest.mark.parametrize("name", ["gt/27_123349_000006_000000.wav", "27_123349_000006_000000_gen.wav", "x.wav"])
def test_a_listed_name_of_librisevoc_that_is_no_recording_is_refused(name, tmp_path):
    put(tmp_path / "dev.txt", f"27_123349_000006_000001.wav\n{name}\n")
    with pytest.raises(DataError, match=r"dev\.txt line 2: '.*' is no name like"):
        parsed("librisevoc", tmp_path)


@pytest.mark.parametrize("word", ["ACESinger", "acesinger", "ace_singer", "Ace-Singer"])
def test_the_source_corpora_of_ctrsvdd_are_known_in_any_case(word, tmp_path):
    put(tmp_path / "test.txt", f"{word} CtrSVDD_0125 CtrSVDD_0125_E_0000001 - A14 deepfake\n")
    (row,) = parsed("ctrsvdd", tmp_path)
    assert (row["source_corpus"], row["language"]) == ("acesinger", "zh")


def test_what_is_odd_in_a_list_of_ctrsvdd_is_noted(tmp_path):
    put(tmp_path / "train.txt", (
        "ofuton CtrSVDD_0000 CtrSVDD_0000_T_0000000 - - bonafide\n"
        "somewhere CtrSVDD_0001 CtrSVDD_0002_T_0000001 - A01 deepfake\n"
    ))  # fmt: skip
    assert [row["speaker"] for row in parsed("ctrsvdd", tmp_path)] == ["CtrSVDD_0000", "CtrSVDD_0001"]
    assert corpora.get("ctrsvdd").notes(tmp_path) == [
        "source corpus 'somewhere' of train.txt is not known: its 1 rows have no language",
        "1 rows of train.txt name another singer than their file does (first: line 2, CtrSVDD_0002_T_0000001 and "
        "CtrSVDD_0001); the column is kept",
    ]


@pytest.mark.parametrize(("file", "word"), [("ch_dev", "asv19"), ("en_dev", "aishell3")])
def test_a_decro_file_under_the_name_of_the_other_language_is_refused(file, word, tmp_path):
    put(tmp_path / f"{file}.txt", f"unknown a - vits spoof\nX b - {word} bonafide")
    with pytest.raises(DataError, match=rf"{file}\.txt line 2: b is of {word}, a corpus of the files"):
        parsed("decro", tmp_path)
