"""LibriSeVoc: lists of LibriTTS ids; every id is a recording in `gt` and a copy in each of six vocoder folders."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora._columns import constant, first_file, first_row, joined
from ingest.corpora._folders import audio_names
from ingest.types import Corpus, Count, DataError

PARTITIONS = {"train": 7920, "dev": 2640, "test": 2641}
_ID = r"\d+_\d+_\d{6}_\d{6}"  # reader_chapter_utterance_segment
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
    licence="not stated; LibriTTS is CC BY 4.0",
    citation="Sun et al., AI-synthesized voice detection using neural vocoder artifacts, CVPR Workshops 2023",
    counts=(
        *(Count(partition, "bonafide", ids, f"{partition}.txt", "V") for partition, ids in PARTITIONS.items()),
        *(
            Count(None, "spoof", 13201, "RobustSpeechDetection, Table I", "S", ("attack", attack))
            for attack, _ in VOCODERS.values()
        ),
    ),
    markers=("train.txt|dev.txt|test.txt",),
    audio=tuple(f"{folder}|*/{folder}" for folder in ("gt", *VOCODERS)),
    labels="train.txt, dev.txt and test.txt of the authors' repository",
    rate_hz=24_000,
    aliases={folder: attack for folder, (attack, _) in VOCODERS.items()},
    stems=dict.fromkeys(PARTITIONS, rf"{_ID}(_gen)?"),
    archives=dict.fromkeys(("gt", *VOCODERS), "LibriSeVoc.zip"),
)


def tables(root: Path) -> Iterator[pa.Table]:
    """Seven rows for every listed id, one table per list and folder.

    Raises DataError if no list is there, and if the folders' files were thrown together.
    """
    lists = {partition: path for partition in PARTITIONS if (path := first_file(root, f"{partition}.txt"))}
    if not lists:
        raise DataError(f"{root} holds none of train.txt, dev.txt, test.txt; put the official lists there")
    base = _base(root)
    loose = audio_names(root)
    if loose and not any((root / base / folder).is_dir() for folder in ("gt", *VOCODERS)):
        raise DataError(
            f"{root} holds {len(loose)} loose audio files (first: {loose[0]}) and none of the folders; "
            "copies of all vocoders have the same names, unpack them into their folders"
        )
    for partition, path in lists.items():
        listed = text.fields(path, ("name",))
        source = _sources(listed, path)
        for folder in ("gt", *VOCODERS):
            yield _rows(source, listed["line"], partition, base, folder, path.name)


def _base(root: Path) -> str:
    """Where the folders lie: in the root, or in the one folder beside the lists that the archive unpacks to."""
    above = sorted({path.parent.name for folder in ("gt", *VOCODERS) for path in root.glob(f"*/{folder}")})
    here = any((root / folder).is_dir() for folder in ("gt", *VOCODERS))
    return f"{above[0]}/" if len(above) == 1 and not here else ""


def _sources(listed: pa.Table, path: Path) -> pa.ChunkedArray:
    """The ids of a list; raises DataError for a line that is no bare name of a recording."""
    odd = pc.invert(pc.match_substring_regex(listed["name"], rf"^{_ID}(?i:\.wav)?$"))
    if row := first_row(listed, odd):
        raise DataError(
            f"{path} line {row['line']}: {row['name']!r} is no name like "
            f"27_123349_000006_000000.wav ({pc.sum(odd).as_py()} such lines); take the official list"
        )
    return pc.replace_substring_regex(listed["name"], r"\.[^.]*$", "")


def _rows(
    source: pa.ChunkedArray, line: pa.ChunkedArray, partition: str, base: str, folder: str, file: str
) -> pa.Table:
    rows = len(source)
    stem = source if folder == "gt" else joined(source, "_gen")
    attack, vocoder = VOCODERS.get(folder, (None, None))
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/{folder}/", stem),
            "partition": constant(partition, rows),
            "path": joined(f"{base}{folder}/", stem, ".wav"),
            "label": constant("bonafide" if folder == "gt" else "spoof", rows),
            "attack": constant(attack, rows),
            "attack_raw": constant(None if folder == "gt" else folder, rows),
            "source_id": source,
            "sentence": source,  # LibriTTS: reader, chapter, utterance, segment; other readings have other chapters
            "speaker": pc.replace_substring_regex(source, "_.*$", ""),  # reader_chapter_utterance_segment
            "language": constant("en", rows),
            "vocoder": constant(vocoder, rows),
            "file": constant(file, rows),
            "line": line,
        }
    )
