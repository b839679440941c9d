"""CtrSVDD (SVDD challenge 2024, controlled track): lists of six columns, singing voice without accompaniment."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora._columns import constant, first_file, joined, same, without_dash, words
from ingest.types import Corpus, Count, DataError

ATTACKS = [f"A{number:02}" for number in range(1, 15)]  # A01-A08 in train and dev, A09-A14 in test
PARTITIONS = {"train": "T", "dev": "D", "test": "E"}
_COLUMNS = ("source", "singer", "stem", "dash", "attack", "key")
# jvsmusic CtrSVDD_0097 CtrSVDD_0097_D_0010993 - A06 deepfake
LANGUAGES = dict.fromkeys(("opencpop", "m4singer", "kising", "acesinger"), "zh") | dict.fromkeys(
    ("ofuton", "oniku", "kiritan", "jvsmusic"), "ja"
)

CORPUS = Corpus(
    name="ctrsvdd",
    title="CtrSVDD",
    domain="singing",
    licence="CC BY-NC-ND 4.0",
    citation="Zang et al., CtrSVDD: a benchmark dataset and baseline analysis for controlled singing voice "
    "deepfake detection, Interspeech 2024",
    counts=(
        Count("train", "bonafide", 12169, "SVDD 2024 evaluation plan, Table 1", "S"),
        Count("train", "spoof", 72235, "SVDD 2024 evaluation plan, Table 1", "S"),
        Count("dev", "bonafide", 6547, "SVDD 2024 evaluation plan, Table 1", "S"),
        Count("dev", "spoof", 37078, "SVDD 2024 evaluation plan, Table 1", "S"),
        Count("test", "bonafide", 13596, "count of test.txt", "S"),
        Count("test", "spoof", 79173, "count of test.txt", "S"),
    ),
    markers=("train.txt|dev.txt|test.txt",),
    # rebuilt clips lie in train_set and dev_set, beside archives that were unpacked into train and dev
    audio=(*(f"{partition}{end}" for partition in PARTITIONS for end in ("_set", "")), "flac"),
    labels="train.txt, dev.txt and test.txt of the published records",
    rate_hz=16_000,
    stem_unique=True,
    aliases=same(ATTACKS),
    stems={partition: rf"CtrSVDD_\d{{4}}_{letter}_\d{{7}}" for partition, letter in PARTITIONS.items()},
    attacks={"train": ATTACKS[:8], "dev": ATTACKS[:8], "test": ATTACKS[8:]},
    archives={
        "train": "train_set.zip, and for 2,238 licensed bona fide clips: python -m ingest rebuild-ctrsvdd",
        "dev": "dev_set.zip, and for 1,897 licensed bona fide clips: python -m ingest rebuild-ctrsvdd",
        "test": "test_set.zip",
    },
)


def tables(root: Path) -> Iterator[pa.Table]:
    """The rows of train.txt, dev.txt and test.txt that are there.

    Raises DataError if none is there, or if one has another number of columns than six.
    """
    lists = _lists(root)
    if not lists:
        raise DataError(f"{root} holds none of train.txt, dev.txt, test.txt; put the published lists there")
    for partition, path in lists.items():
        yield _rows(path, partition)


def notes(root: Path) -> list[str]:
    """What a reader should know of this copy: source corpora that are not known, singers other than the file's."""
    told = []
    for path in _lists(root).values():
        table = text.fields(path, _COLUMNS)
        for count in pc.value_counts(table["source"]).to_pylist():
            if _source(count["values"]) not in LANGUAGES:
                told.append(
                    f"source corpus {count['values']!r} of {path.name} is not known: its {count['counts']} rows have "
                    "no language"
                )
        singer = pc.replace_substring_regex(table["stem"], r"_[A-Z]_\d+$", "")
        other = table.filter(pc.not_equal(singer, table["singer"]))
        if other.num_rows:
            line, stem, named = (other[name][0].as_py() for name in ("line", "stem", "singer"))
            told.append(
                f"{other.num_rows} rows of {path.name} name another singer than their file does (first: line {line}, "
                f"{stem} and {named}); the column is kept"
            )
    return told


def _lists(root: Path) -> dict[str, Path]:
    found = {partition: first_file(root, f"{partition}.txt") for partition in PARTITIONS}
    return {partition: path for partition, path in found.items() if path}


def _source(word: str) -> str:
    """The published word for a source corpus, of which copies differ in case and in blanks: M4Singer, JVS-music."""
    plain = re.sub(r"[\W_]", "", word).lower()
    return plain if plain in LANGUAGES else word


def _rows(path: Path, partition: str) -> pa.Table:
    if text.width(path) in (1, 2, 3, 4):
        raise DataError(
            f"{path}: {text.width(path)} columns, no labels; take the list with 6 columns "
            "(source singer stem - attack key) of the published record"
        )
    table = text.fields(path, _COLUMNS)
    words(table, "dash", {"-": None}, file=str(path))
    attack, stem, rows = without_dash(table["attack"]), table["stem"], table.num_rows
    source = text.translate(table["source"], {word: _source(word) for word in table["source"].unique().to_pylist()})
    language = {word: LANGUAGES.get(word) for word in source.unique().to_pylist()}
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/", stem),
            "partition": constant(partition, rows),
            "path": joined(f"{partition}_set/", stem, ".flac"),
            "label": table["key"],
            "attack": attack,
            "attack_raw": attack,
            "source_id": stem,
            "speaker": table["singer"],
            "language": text.translate(source, language),
            "source_corpus": source,
            "file": constant(path.name, rows),
            "line": table["line"],
        }
    )
