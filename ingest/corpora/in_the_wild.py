"""In-the-Wild: one CSV of file, speaker and label; no partitions, no attacks."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora._columns import constant, first_file, first_row, joined
from ingest.types import Corpus, Count, DataError

FOLDER = "release_in_the_wild"
_HEADER = ("file", "speaker", "label")  # 0.wav,Alec Guinness,spoof

CORPUS = Corpus(
    name="in_the_wild",
    title="In-the-Wild",
    domain="speech",
    licence="CC BY-SA 4.0",
    citation="Mueller et al., Does audio deepfake detection generalize?, Interspeech 2022",
    counts=(
        Count(None, "bonafide", 19963, "survey of data sets and two loaders", "S"),
        Count(None, "spoof", 11816, "survey of data sets and two loaders", "S"),
    ),
    markers=(f"{FOLDER}/meta.csv|meta.csv",),
    audio=(f"{FOLDER}|.",),  # where meta.csv lies: mirrors rename the folder
    rate_hz=16_000,
    stem_unique=True,
    archives={FOLDER: "release_in_the_wild.zip"},
)


def tables(root: Path) -> Iterator[pa.Table]:
    """The rows of meta.csv. Raises DataError if it is absent, has no header, or names something but a wav."""
    path = first_file(root, f"{FOLDER}/meta.csv", "meta.csv")
    if path is None:
        raise DataError(f"{root} holds no {FOLDER}/meta.csv; unpack release_in_the_wild.zip there")
    table = text.csv_rows(path, _HEADER)
    prefix = f"{FOLDER}/" if path.parent.name == FOLDER and path.parent != root else ""
    odd = pc.invert(pc.match_substring_regex(table["file"], r"^\d+\.wav$"))
    if row := first_row(table, odd):
        raise DataError(f"{path} line {row['line']}: file {row['file']!r} is no NUMBER.wav")
    stem, rows = pc.replace_substring_regex(table["file"], r"\.wav$", ""), table.num_rows
    bonafide = pc.equal(text.labels(table["label"]), "bonafide")
    yield pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/", stem),
            "path": joined(prefix, table["file"]),
            "label": table["label"],
            "attack": pc.if_else(bonafide, pa.scalar(None, pa.string()), pa.scalar("unknown")),
            "attack_raw": constant(None, rows),
            "source_id": stem,
            "speaker": text.translate(table["speaker"], {"": None}),
            "language": constant("en", rows),
            "file": constant(f"{prefix}meta.csv", rows),
            "line": table["line"],
        }
    )
