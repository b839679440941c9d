"""Every simulated layout, read back by the parsers of the real corpora (no audio is rendered here)."""

import collections
import itertools
import re
from pathlib import Path

import duckdb
import pytest

from ingest import corpora, simulate
from ingest.simulate.make import layout
from ingest.simulate.plan import Layout
from ingest.simulate.seeds import fold, numbers, stratified
from ingest.types import LABEL_WORDS
from protocols.audit import KNOWN_SHARED

NAMES = simulate.names()


def written(plan: Layout, root: Path) -> Path:
    """The layout on disk, audio files empty."""
    for path, text in {**plan.texts, **{file.path: "" for file in plan.files}}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
    return root


def rows(name: str, root: Path) -> list[dict]:
    below = root / "LA" if name == "asvspoof2019_la" else root
    prefix = "LA/" if name == "asvspoof2019_la" else ""
    return [
        {
            "partition": None,
            "attack": None,
            **row,
            "path": prefix + row["path"],
            "label": LABEL_WORDS[row["label"].lower()],
        }
        for table in corpora.get(name).tables(below)
        for row in table.to_pylist()
    ]


@pytest.fixture(scope="module", params=NAMES)
def corpus(request, tmp_path_factory):
    plan = layout(request.param, 3)
    return request.param, plan, rows(request.param, written(plan, tmp_path_factory.mktemp(request.param)))


def test_there_is_a_layout_for_every_corpus():
    assert corpora.names() == NAMES


def test_every_listed_file_exists_and_none_is_unlisted(corpus):
    name, plan, found = corpus
    files = [file.path for file in plan.files]
    assert len(set(files)) == len(files)
    enrolment = {path for path in files if name == "asvspoof5" and "_A" in path}
    for path in enrolment:  # listed by track 2, which is no detection protocol
        lists = plan.texts["ASVspoof5.dev.track_2.enroll.tsv"] + plan.texts["ASVspoof5.eval.track_2.enroll.tsv"]
        assert Path(path).stem in lists
    assert sorted(row["path"] for row in found) == sorted(set(files) - enrolment)


def test_the_expected_counts_are_those_of_the_protocol_files(corpus):
    _, plan, found = corpus
    assert collections.Counter((row["partition"], row["label"]) for row in found) == plan.counts


def test_exactly_the_spoofs_are_copies(corpus):
    _, plan, found = corpus
    copies = {file.path: any(word == "copy" for word, _ in file.steps) for file in plan.files}
    for row in found:
        assert copies[row["path"]] == (row["label"] == "spoof"), row


def test_attacks_are_canonical_words_and_stems_official(corpus):
    name, _, found = corpus
    known = corpora.get(name).corpus
    if known.aliases and name not in ("singfake", "asvspoof2021_df"):
        assert {row["attack"] for row in found if row["label"] == "spoof"} == set(known.aliases.values())
    for row in found:
        pattern = known.stems.get(row["partition"])
        assert pattern is None or re.fullmatch(pattern, Path(row["path"]).stem), row


def test_both_labels_in_every_partition_and_every_codec(corpus):
    _, _, found = corpus
    for column in ("partition", "codec", "language"):
        seen = collections.defaultdict(set)
        for row in found:
            seen[row["partition"], row.get(column)].add(row["label"])
        for value, labels in seen.items():
            assert labels == {"bonafide", "spoof"}, (column, value)


def test_every_seed_fills_the_folds():
    for seed in range(5):
        for name in ("wavefake", "librisevoc"):
            for language in {file.take.language for file in layout(name, seed).files}:
                ids = {
                    file.take.key
                    for file in layout(name, seed).files
                    if file.take.language == language and not file.take.key.startswith("tts")
                }
                thirds = collections.Counter((fold(one) >= 0.6) + (fold(one) >= 0.8) for one in ids)
                assert thirds == {0: 0.6 * len(ids), 1: 0.2 * len(ids), 2: 0.2 * len(ids)}


def test_fold_is_the_one_of_the_catalog():
    macro = Path(simulate.__file__).parents[1] / "schema.sql"
    con = duckdb.connect()
    con.execute(macro.read_text())
    for name in ("LJ001-0001", "27_123349_000006_000000", "é"):
        assert con.execute("SELECT fold_of(?)", [name]).fetchone()[0] == fold(name)


def test_numbers_and_stratified_choose_without_repetition():
    assert len(set(numbers(500, 10, 600, "key"))) == 500
    chosen = stratified((f"id{number % 60}" for number in range(400)), 20)
    assert len(set(chosen)) == 20 and sum(fold(one) < 0.6 for one in chosen) == 12


def test_asv_scores_are_read_and_separate_targets_from_others(tmp_path):
    for name, folder in (("asvspoof2019_la", "LA"), ("asvspoof2021_la", "")):
        root = written(layout(name, 0), tmp_path / name) / folder
        scores = corpora.get(name).asv_scores(root)
        by_key = collections.defaultdict(list)
        for row in scores.to_pylist():
            by_key[row["partition"], row["key"]].append(row["score"])
        for partition in {partition for partition, _ in by_key}:
            mean = {
                key: sum(by_key[partition, key]) / len(by_key[partition, key])
                for key in ("target", "nontarget", "spoof")
            }
            assert mean["nontarget"] < mean["spoof"] < mean["target"]


def test_decro_repeats_what_the_original_repeats():
    decro, base = layout("decro", 0), layout("asvspoof2019_la", 0)
    clips = {Path(file.path).stem: file for file in base.files}
    bonafide = [file for file in decro.files if file.path.startswith("en_") and not file.steps]
    assert len(bonafide) == sum(not file.steps for file in base.files)
    assert all((clips[Path(file.path).stem].take, ()) == (file.take, file.steps) for file in bonafide)
    fakes = {(file.take, file.steps) for file in layout("wavefake", 0).files}
    hifigan = [file for file in decro.files if "_generated" in file.path]
    assert hifigan and all((file.take, file.steps[:-1]) in fakes for file in hifigan)
    stems = collections.Counter(Path(file.path).stem for file in decro.files)
    assert max(stems.values()) > 1  # a stem may occur in several lists


def test_codec_config_has_the_line_ends_of_the_archive():
    text = layout("asvspoof5", 0).texts["ASVspoof5.codec.config.csv"]
    assert text.startswith("ID,CODEC,CODEC_Q,Bitrate(kbps)\r\nC1,opus_wb,1,6\r\n")
    assert text.count("\r\n") == text.count("\n") == 1 + 10 * 5 + 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_no_clip_is_in_a_corpus_twice(name, seed):
    made = [(file.take, file.steps) for file in layout(name, seed).files]
    assert len(set(made)) == len(made)


def test_corpora_share_only_what_the_published_ones_share():
    heard = collections.defaultdict(set)
    for name in NAMES:
        for file in layout(name, 0).files:
            heard[file.take, file.steps].add((name, Path(file.path).stem))
    shared = collections.Counter()
    for files in heard.values():
        shared.update({tuple(sorted({name for name, _ in files}))} - {(name,) for name in NAMES})
    assert {pair for names in shared for pair in itertools.combinations(names, 2)} <= set(KNOWN_SHARED)
    first = {(file.take, file.steps) for file in layout("asvspoof2019_la", 0).files if file.steps}
    again = [file for file in layout("decro", 0).files if (file.take, file.steps) in first]
    assert again and all("_E_" in file.path for file in again)  # Tacotron alone, which keeps the names of 2019
