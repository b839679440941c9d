"""ASVspoof 2019 LA: CM protocols of five columns, FLAC per partition, the organisers' ASV scores."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ingest import text
from ingest.corpora._columns import constant, first_file, joined, numbers, same, the_same, without_dash, words
from ingest.types import Corpus, Count, DataError

ATTACKS = [f"A{number:02}" for number in range(1, 20)]  # A01-A06 in train and dev, A07-A19 in eval
PARTITIONS = {"train": "T", "dev": "D", "eval": "E"}
_FOLDER = "ASVspoof2019_LA_cm_protocols"
_FOLDERS = (f"{_FOLDER}/", "", "*/")  # loaders keep the lists beside the audio in folders of other names, too
_COLUMNS = ("speaker", "stem", "environment", "attack", "key")  # LA_0039 LA_E_2834763 - A11 spoof

ASV_COUNTS = {  # rows of the organisers' verification scores
    ("dev", "target"): 1484, ("dev", "nontarget"): 5768, ("dev", "spoof"): 22296,
    ("eval", "target"): 5370, ("eval", "nontarget"): 33327, ("eval", "spoof"): 63882,
}  # fmt: skip

CORPUS = Corpus(
    name="asvspoof2019_la",
    title="ASVspoof 2019 LA",
    domain="speech",
    licence="ODC-BY 1.0",
    citation="Wang et al., ASVspoof 2019: a large-scale public database of synthesized, converted and "
    "replayed speech, Computer Speech and Language 64, 2020",
    counts=(
        Count("train", "bonafide", 2580, "ASVspoof2019.LA.cm.train.trn.txt", "V"),
        Count("train", "spoof", 22800, "ASVspoof2019.LA.cm.train.trn.txt", "V"),
        Count("dev", "bonafide", 2548, "ASVspoof2019.LA.cm.dev.trl.txt", "V"),
        Count("dev", "spoof", 22296, "ASVspoof2019.LA.cm.dev.trl.txt", "V"),
        Count("eval", "bonafide", 7355, "ASVspoof2019.LA.cm.eval.trl.txt", "V"),
        Count("eval", "spoof", 63882, "ASVspoof2019.LA.cm.eval.trl.txt", "V"),
    ),
    markers=("|".join(f"{folder}ASVspoof2019.LA.cm.*.txt" for folder in _FOLDERS),),
    audio=(*(f"ASVspoof2019_LA_{partition}|*/ASVspoof2019_LA_{partition}" for partition in PARTITIONS), "flac"),
    rate_hz=16_000,
    stem_unique=True,
    aliases=same(ATTACKS),
    stems={partition: rf"LA_{letter}_\d{{7}}" for partition, letter in PARTITIONS.items()},
    attacks={"train": ATTACKS[:6], "dev": ATTACKS[:6], "eval": ATTACKS[6:]},
    archives=dict.fromkeys(PARTITIONS, "LA.zip"),
)


def tables(root: Path) -> Iterator[pa.Table]:
    """The rows of the CM protocols that are there, one table per partition.

    They lie in a folder of their own, of any name, or in the root. Raises DataError if there is none, or if one has
    another number of columns than five.
    """
    protocols = {partition: _protocol(root, partition) for partition in PARTITIONS}
    if not any(protocols.values()):
        raise DataError(
            f"{root / _FOLDER} holds no ASVspoof2019.LA.cm.{{train.trn,dev.trl,eval.trl}}.txt; unpack LA.zip"
        )
    for partition, path in protocols.items():
        if path:
            yield _rows(path, partition, path.relative_to(root).as_posix())


def asv_scores(root: Path) -> pa.Table | None:
    """The organisers' speaker verification scores, dev and eval (partition, attack, key, score), or None."""
    parts = []
    for partition in ("dev", "eval"):
        name = f"ASVspoof2019.LA.asv.{partition}.gi.trl.scores.txt"
        folder = "ASVspoof2019_LA_asv_scores/"
        path = first_file(root, f"{folder}{name}", name, f"*/{folder}{name}")  # where the protocols or the audio may be
        if path:
            parts.append(_scores(path, partition))
    return pa.concat_tables(parts) if parts else None


def _protocol(root: Path, partition: str) -> Path | None:
    # Officially .trn for train and .trl for the others; copies with the other ending circulate.
    endings = ("trn", "trl") if partition == "train" else ("trl", "trn")
    for folder in _FOLDERS:
        named = (first_file(root, f"{folder}ASVspoof2019.LA.cm.{partition}.{ending}.txt") for ending in endings)
        found = [path for path in named if path]
        if found:
            return the_same(found)
    return None


def _rows(path: Path, partition: str, file: str) -> pa.Table:
    if text.width(path) == 4:
        raise DataError(
            f"{path}: 4 columns, an older copy without the environment column; take the file with 5 columns "
            "(speaker stem - attack key) from LA.zip"
        )
    table = text.fields(path, _COLUMNS)
    words(table, "environment", {"-": None}, file=str(path))
    attack = without_dash(table["attack"])
    stem, rows = table["stem"], table.num_rows
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/", stem),
            "partition": constant(partition, rows),
            "path": joined(f"ASVspoof2019_LA_{partition}/flac/", stem, ".flac"),
            "label": table["key"],
            "attack": attack,
            "attack_raw": attack,
            "source_id": stem,
            "speaker": table["speaker"],
            "language": constant("en", rows),
            "file": constant(file, rows),
            "line": table["line"],
        }
    )


def _scores(path: Path, partition: str) -> pa.Table:
    table = text.fields(path, ("attack", "key", "score"))  # A07 spoof -3.21, bonafide target 7.98
    key = words(table, "key", same(("target", "nontarget", "spoof")), file=str(path))
    return pa.table(
        {
            "partition": constant(partition, table.num_rows),
            "attack": text.translate(table["attack"], {"bonafide": None, "-": None}),
            "key": key,
            "score": numbers(table, "score", file=str(path)),
        }
    )
