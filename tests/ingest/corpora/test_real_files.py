"""The published protocol files themselves give exactly the published counts; skipped where they are absent."""

import csv
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.compute as pc
import pytest
from miniatures import parsed
from shared_data import shared

from ingest import corpora, rows, text
from ingest.corpora import _keys2021, asvspoof5
from ingest.types import DataError

LA19 = "ASVspoof2019_LA_cm_protocols"
# published file -> where it belongs below the root
PLACES = {
    "asvspoof2019_la": {
        name: f"{LA19}/{name}"
        for name in (
            "ASVspoof2019.LA.cm.train.trn.txt", "ASVspoof2019.LA.cm.dev.trl.txt", "ASVspoof2019.LA.cm.eval.trl.txt",
        )
    },
    "asvspoof2021_df": {"trial_metadata.eval-part.txt": "keys/DF/CM/trial_metadata.txt"},
    "asvspoof5": {
        "ASVspoof5.train.bonafide-part.tsv": "ASVspoof5.train.tsv",
        "ASVspoof5.dev.track_1.bonafide-part.tsv": "ASVspoof5.dev.track_1.tsv",
    },
    "librisevoc": {name: name for name in ("train.txt", "dev.txt", "test.txt")},
    "decro": {name: name for name in ("en_train.txt", "en_dev.txt", "en_eval.txt", "ch_train.txt", "ch_dev.txt", "ch_eval.txt")},
    "ctrsvdd": {name: name for name in ("train.txt", "dev.txt", "test.txt")},
    "singfake": {"singfake.csv": "singfake.csv"},
}  # fmt: skip
# files counted whole; of the others only the labels named here are whole
WHOLE = {"asvspoof2021_df": ("bonafide",), "asvspoof5": ("bonafide",)}
SAMPLES = {
    "asvspoof2021_la": ("trial_metadata.sample.txt", "keys/LA/CM/trial_metadata.txt"),
    "asvspoof2021_df": ("trial_metadata.sample.txt", "keys/DF/CM/trial_metadata.txt"),
    "in_the_wild": ("meta.sample.csv", "release_in_the_wild/meta.csv"),
}


def laid_out(name: str, root: Path) -> list[str]:
    """Put the published files of a corpus where they belong; returns the names of those that are there."""
    folder, found = shared("protocols", name), []
    for published, place in PLACES[name].items():
        if unpacked(folder / published, root / place):
            found.append(published)
    return found


def unpacked(source: Path, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    packed = source.with_name(source.name + ".gz")
    if packed.exists():
        target.write_bytes(gzip.decompress(packed.read_bytes()))
    elif source.exists():
        target.write_bytes(source.read_bytes())
    return target.exists()


@pytest.mark.parametrize("name", list(PLACES))
def test_published_files_give_the_published_counts(name, tmp_path):
    found = laid_out(name, tmp_path)
    if not found:
        pytest.skip("none of its files is there")
    tables = [rows.complete(table, corpora.get(name).corpus) for table in corpora.get(name).tables(tmp_path)]
    tally = Counter()
    for table in tables:
        columns = [table[column].to_pylist() for column in ("partition", "language", "attack", "label")]
        tally.update(zip(*columns))
    checked = 0
    with open(shared("protocols", "expected_counts.csv")) as file:
        for row in csv.DictReader(file):
            if row["corpus"] != name or row["grade"] != "V" or row["label"] not in WHOLE.get(name, (row["label"],)):
                continue
            if name == "decro" and f"{row['group']}_{row['split']}.txt" not in found:
                continue
            language = {"en": "en", "ch": "zh"}.get(row["group"])
            count = sum(
                n for (partition, spoken, _, label), n in tally.items()
                if label == row["label"] and partition == (partition if row["split"] == "all" else row["split"])
                and spoken == (language or spoken)
            )  # fmt: skip
            assert count == int(row["count"]), row
            checked += 1
    assert checked
    ids = [table["utt_id"] for table in tables]
    assert sum(pc.count_distinct(column).as_py() for column in ids) == sum(len(column) for column in ids)


def test_2019_attacks_and_speakers(tmp_path):
    laid_out("asvspoof2019_la", tmp_path)
    attacks, speakers = defaultdict(Counter), defaultdict(set)
    for row in corpora.get("asvspoof2019_la").tables(tmp_path):
        for partition, attack, speaker in zip(*(row[c].to_pylist() for c in ("partition", "attack", "speaker"))):
            attacks[partition][attack] += 1
            speakers[partition].add(speaker)
    for partition, first, last, each in (("train", 1, 6, 3800), ("dev", 1, 6, 3716), ("eval", 7, 19, 4914)):
        del attacks[partition][None]
        assert attacks[partition] == {f"A{n:02}": each for n in range(first, last + 1)}
    assert [len(speakers[partition]) for partition in ("train", "dev", "eval")] == [20, 20, 67]
    assert not speakers["train"] & speakers["dev"] and not speakers["dev"] & speakers["eval"]


def test_2019_asv_scores(tmp_path):
    for partition in ("dev", "eval"):
        name = f"ASVspoof2019.LA.asv.{partition}.gi.trl.scores.txt"
        assert unpacked(shared("protocols", "asvspoof2019_la") / name, tmp_path / "ASVspoof2019_LA_asv_scores" / name)
    scores = corpora.get("asvspoof2019_la").asv_scores(tmp_path)
    assert Counter(zip(scores["partition"].to_pylist(), scores["key"].to_pylist())) == {
        ("dev", "target"): 1484, ("dev", "nontarget"): 5768, ("dev", "spoof"): 22296,
        ("eval", "target"): 5370, ("eval", "nontarget"): 33327, ("eval", "spoof"): 63882,
    }  # fmt: skip


def test_2021_la_trial_list(tmp_path):
    name = "ASVspoof2021.LA.cm.eval.trl.txt"
    unpacked(shared("protocols", "asvspoof2021_la") / name, tmp_path / name)
    listed = _keys2021.trial_list(tmp_path / name)
    assert len(listed) == pc.count_distinct(listed).as_py() == 181566
    # the sample of the key names trials of this list, a changed one does not
    key = tmp_path / "keys/LA/CM/trial_metadata.txt"
    unpacked(shared("protocols", "asvspoof2021_la", "trial_metadata.sample.txt"), key)
    assert len(parsed("asvspoof2021_la", tmp_path)) == 6
    key.write_text(key.read_text().replace("LA_E_9332881", "LA_E_0000000"))
    with pytest.raises(DataError, match="LA_E_0000000 is not in"):
        parsed("asvspoof2021_la", tmp_path)


def test_2021_df_part(tmp_path):
    laid_out("asvspoof2021_df", tmp_path)
    (table,) = corpora.get("asvspoof2021_df").tables(tmp_path)
    assert table.num_rows == 70691 and set(table["partition"].to_pylist()) == {"eval"}
    assert pc.count_distinct(table["attack"]).as_py() == 110 and pc.count_distinct(table["speaker"]).as_py() == 93
    real = table.filter(pc.equal(table["label"], "bonafide"))
    assert Counter(real["source_corpus"].to_pylist()) == {"asvspoof": 7939, "vcc2018": 3780, "vcc2020": 3150}
    voices = real.filter(pc.equal(real["source_corpus"], "vcc2020"))["language"].to_pylist()
    assert Counter(voices) == {"en": 1800, "fi": 450, "de": 450, "zh": 450}
    concatenated = table.filter(pc.equal(table["vocoder"], "concatenation"))
    assert set(concatenated["attack"].to_pylist()) == {"A16"}


def test_decro_collisions_and_sources(tmp_path):
    if not {"en_dev.txt", "en_eval.txt"} <= set(laid_out("decro", tmp_path)):
        pytest.skip("needs en_dev.txt and en_eval.txt")
    by_file = {table["file"][0].as_py(): table for table in corpora.get("decro").tables(tmp_path)}
    stem = {name: {utt.split("/")[-1]: attack for utt, attack in zip(t["utt_id"].to_pylist(), t["attack"].to_pylist())}
            for name, t in by_file.items()}  # fmt: skip
    shared_stems = [
        name for name, attack in stem["en_dev.txt"].items()
        if attack == "multi_band_melgan" and stem["en_eval.txt"].get(name) == "parallel_wavegan"
    ]  # fmt: skip
    assert len(shared_stems) == 1500
    sources = pc.match_substring_regex(by_file["en_train.txt"]["source_id"], r"^LJ\d{3}-\d{4}$")
    assert pc.sum(sources).as_py() == 6000  # 2,000 each of hifigan, mbmelgan, pwg
    words = {
        row["attack_raw"]: row["attack"]
        for t in by_file.values()
        for row in t.select(["attack_raw", "attack"]).to_pylist()
    }
    assert set(words) - {None} <= set(corpora.get("decro").corpus.aliases)


def test_librisevoc_readers(tmp_path):
    laid_out("librisevoc", tmp_path)
    readers = defaultdict(set)
    for table in corpora.get("librisevoc").tables(tmp_path):
        readers[table["partition"][0].as_py()] |= set(table["speaker"].to_pylist())
    assert {partition: len(found) for partition, found in readers.items()} == {"train": 216, "dev": 208, "test": 207}
    assert len(set.union(*readers.values())) == 221 and len(readers["test"] & readers["train"]) == 205


def test_singfake_words(tmp_path):
    laid_out("singfake", tmp_path)
    (table,) = corpora.get("singfake").tables(tmp_path)
    languages = Counter(table["language"].to_pylist())
    assert languages == {"zh": 1072, "yue": 213, "en": 64, "fa": 58, "ja": 51, "es": 14, "nan": 5, "ru": 2, "fr": 2}
    assert pc.count_distinct(table["speaker"]).as_py() == 39
    known = {*corpora.get("singfake").corpus.aliases}
    assert set(table["attack_raw"].to_pylist()) - {None} <= known


@pytest.mark.parametrize("name", list(SAMPLES))
def test_quoted_lines_parse(name, tmp_path):
    published, place = SAMPLES[name]
    unpacked(shared("protocols", name, published), tmp_path / place)
    read = {row["utt_id"].split("/")[-1]: row for row in parsed(name, tmp_path)}
    expected = {
        "asvspoof2021_la": (6, "LA_E_8589971", {"partition": "progress", "codec": "alaw", "transmission": "loc_tx"}),
        "asvspoof2021_df": (4, "DF_E_2000024", {"language": "de", "gender": "F", "vocoder": "traditional"}),
        "in_the_wild": (8, "12", {"label": "bonafide", "speaker": "Calvin Coolidge"}),
    }[name]
    assert len(read) == expected[0]
    assert {column: read[expected[1]][column] for column in expected[2]} == expected[2]


def test_quoted_lines_of_several_files_parse(tmp_path):
    lines = shared("protocols", "asvspoof5", "ASVspoof5.sample.tsv").read_text().splitlines()
    for letter, name in (("T", "train"), ("D", "dev.track_1"), ("E", "eval.track_1")):
        (tmp_path / f"ASVspoof5.{name}.tsv").write_text("\n".join(line for line in lines if line[0] == letter))
    assert Counter(row["partition"] for row in parsed("asvspoof5", tmp_path)) == {"train": 2, "dev": 4, "eval": 1}
    lines = shared("protocols", "ctrsvdd", "metadata.sample.txt").read_text().splitlines()
    for letter, name in (("T", "train"), ("D", "dev"), ("E", "test")):
        (tmp_path / f"{name}.txt").write_text("\n".join(line for line in lines if f"_{letter}_" in line))
    read = {row["utt_id"].split("/")[-1]: row for row in parsed("ctrsvdd", tmp_path)}
    assert [read[stem]["label"] for stem in ("CtrSVDD_0000_T_0000000", "CtrSVDD_0125_E_0000001")] == [
        "bonafide",
        "spoof",
    ]
    assert len(read) == 4


def test_asvspoof5_enrolment_lists_are_no_protocols(tmp_path):
    for name in ("ASVspoof5.dev.track_2.enroll.tsv", "ASVspoof5.eval.track_2.enroll.tsv"):
        unpacked(shared("protocols", "asvspoof5", name), tmp_path / name)
    with pytest.raises(DataError, match="holds none of ASVspoof5"):
        parsed("asvspoof5", tmp_path)


def test_every_damaged_file_is_refused_with_its_reason(tmp_path):
    damaged = sorted(shared("protocols", "damaged").iterdir())
    assert damaged
    for source in damaged:
        name = source.name.removesuffix(".gz")
        if not name.startswith("ASVspoof2019.LA"):
            continue
        content = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
        (tmp_path / LA19).mkdir(exist_ok=True)
        (tmp_path / LA19 / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} line 1: .*DF_E_2000042.* another corpus or partition"):
            parsed("asvspoof2019_la", tmp_path)


MINI = {
    "asvspoof2019_la": "mini-asvspoof2019-la/LA", "asvspoof2021_la": "mini-asvspoof2021-la",
    "asvspoof2021_df": "mini-asvspoof2021-df", "wavefake": "mini-wavefake", "librisevoc": "mini-librisevoc",
    "decro": "mini-decro", "in_the_wild": "mini-in-the-wild", "ctrsvdd": "mini-ctrsvdd", "singfake": "mini-singfake",
}  # fmt: skip


@pytest.mark.parametrize("name", list(MINI))
def test_the_corpora_of_real_clips_parse_to_their_documented_counts(name):
    root = shared("corpora", *MINI[name].split("/"))
    found = Counter()
    for row in parsed(name, root):
        if (root / row["path"]).is_file():  # librisevoc lists every id in seven folders, few clips are there
            found[row["partition"], row["label"]] += 1
    expected = Counter()
    for line in shared("corpora", "README.md").read_text().partition("## Counts by split and language")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0] == MINI[name].split("/")[0] and len(cells) == 5:
            partition = None if cells[1] == "(none)" else cells[1]
            expected += Counter({(partition, "bonafide"): int(cells[3]), (partition, "spoof"): int(cells[4])})
        if line.startswith("## Counts by synthesizer"):
            break
    assert expected and found == expected


def test_the_corpora_of_real_clips_have_the_documented_labels():
    """Every clip's label and attack word as its provenance says; languages where the corpus tells them."""
    for name, folder in MINI.items():
        root = shared("corpora", *folder.split("/"))
        top = shared("corpora", folder.split("/")[0])
        with open(top / "provenance.csv", newline="") as file:
            told = {str(top / row["file"]): row for row in csv.DictReader(file)}
        seen = 0
        for row in parsed(name, root):
            origin = told.get(str(root / row["path"]))
            if origin:
                seen += 1
                assert row["label"] == origin["label"], (name, row["path"])
                if name == "ctrsvdd" or name.startswith("asvspoof"):
                    assert (row["attack_raw"] or "") == (origin["attack"] if row["label"] == "spoof" else "")
        assert seen == len(told), name


def test_wavefake_sources_pair_real_and_fake():
    root = shared("corpora", "mini-wavefake")
    with open(root / "provenance.csv", newline="") as file:
        utterance = {row["file"]: row["utterance"] for row in csv.DictReader(file)}
    for row in parsed("wavefake", root):
        if row["attack"] != "tts":
            assert row["source_id"] == utterance[row["path"]]


def test_the_trial_lists_of_seed_002_name_rows_of_the_key(tmp_path):
    laid_out("asvspoof2021_df", tmp_path)
    (table,) = corpora.get("asvspoof2021_df").tables(tmp_path)
    known = dict(zip(table["source_id"].to_pylist(), zip(table["label"].to_pylist(), table["attack"].to_pylist())))
    with gzip.open(shared("protocols", "seed002_splits", "asvspoof2021df_test-inner.csv.gz"), "rt") as file:
        for row in csv.DictReader(file):  # here 1 means real
            label, attack = known[row["trial"]]
            assert label == {"1": "bonafide", "0": "spoof"}[row["label"]] and (attack or "-") == row["attack"]


@pytest.mark.parametrize("part, bonafide, spoof", [("train", 970, 1662), ("test_A", 218, 316), ("test_B", 28, 29)])
def test_labels_of_wildsvdd_are_read(part, bonafide, spoof):
    table = text.csv_rows(shared("protocols", "singfake", f"wildsvdd_{part}.csv.gz"), ("Title", "Bonafide Or Deepfake"))
    assert Counter(text.labels(table["Bonafide Or Deepfake"]).to_pylist()) == {"bonafide": bonafide, "spoof": spoof}


def test_codecs_of_asvspoof5_are_those_of_its_list():
    """58 lines name a codec and its quality, then comes a second table."""
    table = text.content(shared("protocols", "asvspoof5", "ASVspoof5.codec.config.csv"))
    lines = [line.split(",") for line in table.split(",,,")[0].splitlines()[1:]]
    assert len(lines) == 58
    assert {asvspoof5.CODECS[line[0]] for line in lines} == {*asvspoof5.CODECS.values()} - {"none"}


def test_expected_counts_are_the_constants():
    """Every published count is a constant of its parser, or is about files and not rows."""
    stated = {
        name: Counter(
            {(count.partition, count.label, count.rows, count.grade): 1 for count in corpora.get(name).corpus.counts}
        )
        for name in corpora.names()
    }
    skipped = []
    with open(shared("protocols", "expected_counts.csv")) as file:
        for row in csv.DictReader(file):
            partition = None if row["split"] in ("none", "all") else row["split"]
            wanted = {(partition, row["label"], int(row["count"]), grade) for grade in (row["grade"], "U")}
            if not wanted & set(stated[row["corpus"]]):
                skipped.append((row["corpus"], row["split"], row["group"]))
    assert skipped == [
        ("librisevoc", "all", "gt"),  # the sum of the three lists
        ("ctrsvdd", "train", "audio_in_zip"), ("ctrsvdd", "dev", "audio_in_zip"),  # files, not rows
    ], json.dumps(skipped)  # fmt: skip
