"""LibriSeVoc: lists of LibriTTS ids; every id is a recording in `gt` and a copy in each of six vocoder folders."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora._columns import constant, joined
from ingest.corpora._folders import audio_names
from ingest.types import Corpus, Count, DataError

PARTITIONS = {"train": 7920, "dev": 2640, "test": 2641}
# folder -> canonical attack, vocoder family
VOCODERS = {
    "diffwave": ("diffwave", "non_autoregressive"),
    "melgan": ("melgan", "non_autoregressive"),
    "parallel_wave_gan": ("parallel_wavegan", "non_autoregressive"),
    "wavegrad": ("wavegrad", "non_autoregressive"),
    "wavenet": ("wavenet", "autoregressive"),
    "wavernn": ("wavernn", "autoregressive"),
}

CORPUS = Corpus(
    name="librisevoc",
    title="LibriSeVoc",
    domain="speech",
    licence="research use",
    citation="Sun et al., AI-synthesized voice detection using neural vocoder artifacts, CVPR Workshops 2023",
    counts=(
        *(Count(partition, "bonafide", ids, f"{partition}.txt", "V") for partition, ids in PARTITIONS.items()),
        *(
            Count(None, "spoof", 13201, "RobustSpeechDetection, Table I", "S", ("attack", attack))
            for attack, _ in VOCODERS.values()
        ),
    ),
    markers=("train.txt|dev.txt|test.txt",),
    audio=("gt", *VOCODERS),
    rate_hz=24_000,
    aliases={folder: attack for folder, (attack, _) in VOCODERS.items()},
    stems=dict.fromkeys(PARTITIONS, r"\d+_\d+_\d{6}_\d{6}(_gen)?"),
    archives=dict.fromkeys(("gt", *VOCODERS), "LibriSeVoc.zip"),
)


def tables(root: Path) -> Iterator[pa.Table]:
    """Seven rows for every listed id, one table per list and folder.

    Raises DataError if no list is there, and if the folders' files were thrown together.
    """
    lists = {partition: root / f"{partition}.txt" for partition in PARTITIONS}
    if not any(path.is_file() for path in lists.values()):
        raise DataError(f"{root} holds none of train.txt, dev.txt, test.txt; put the official lists there")
    loose = audio_names(root)
    if loose and not any((root / folder).is_dir() for folder in ("gt", *VOCODERS)):
        raise DataError(
            f"{root} holds {len(loose)} loose audio files (first: {loose[0]}) and none of the folders; "
            "copies of all vocoders have the same names, unpack them into their folders"
        )
    for partition, path in lists.items():
        if path.is_file():
            listed = text.fields(path, ("name",))
            for folder in ("gt", *VOCODERS):
                yield _rows(listed, partition, folder, path.name)


def _rows(listed: pa.Table, partition: str, folder: str, file: str) -> pa.Table:
    rows = listed.num_rows
    source = pc.replace_substring_regex(listed["name"], r"\.wav$", "")
    stem = source if folder == "gt" else joined(source, "_gen")
    attack, vocoder = VOCODERS.get(folder, (None, None))
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/{folder}/", stem),
            "partition": constant(partition, rows),
            "path": joined(f"{folder}/", stem, ".wav"),
            "label": constant("bonafide" if folder == "gt" else "spoof", rows),
            "attack": constant(attack, rows),
            "attack_raw": constant(None if folder == "gt" else folder, rows),
            "source_id": source,
            "sentence": source,  # LibriTTS: reader, chapter, utterance, segment; other readings have other chapters
            "speaker": pc.replace_substring_regex(source, "_.*$", ""),  # reader_chapter_utterance_segment
            "language": constant("en", rows),
            "vocoder": constant(vocoder, rows),
            "file": constant(file, rows),
            "line": listed["line"],
        }
    )
