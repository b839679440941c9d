"""DECRO: English and Chinese in three partitions each; stems repeat between files, system words change."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora._columns import constant, first_file, first_row, joined, words
from ingest.corpora._folders import audio_names
from ingest.types import Corpus, Count, DataError

LANGUAGES = {"en": "en", "ch": "zh"}
PARTITIONS = ("train", "dev", "eval")
FILES = [f"{prefix}_{partition}" for prefix in LANGUAGES for partition in PARTITIONS]
_COLUMNS = ("speaker", "stem", "dash", "system", "key")  # 4 4-727-124443-0055 - baidu spoof
ALIASES = {
    "baidu": "baidu", "baidu_en": "baidu",
    "fs2": "fastspeech2", "FastSpeech2": "fastspeech2", "fs2mtts": "fastspeech2",
    "hifigan": "hifigan",
    "mbmelgan": "multi_band_melgan",
    "pwg": "parallel_wavegan",
    "nvcnet": "nvcnet", "nvcnet-cn": "nvcnet",
    "starganv2": "starganv2", "StarGAN": "starganv2",
    "tacotron": "tacotron", "Tacotron": "tacotron",
    "vits": "vits",
    "xunfei": "xunfei",
}  # fmt: skip
SOURCES = {"asv19": "en"} | dict.fromkeys(("aidatatang", "aishell1", "aishell3", "freeST", "magicdata"), "ch")
"""`system` of bona fide rows -> prefix of their file"""
# WaveFake clips keep the id of their LJSpeech original: LJ045-0151_gen, mel_LJ045-0151_gen, LJ001-0001_generated
_WAVEFAKE = r"^(?:mel_|pwg_)?(LJ\d{3}-\d{4})(?:_gen|_generated)$"
# and Chinese vocoder clips that of their AISHELL-3 original, which is bona fide elsewhere: SSB04820140_hifigan
_AISHELL_3 = r"^(SSB\d{8})_(?:hifigan|mbmelgan|pwg)$"

CORPUS = Corpus(
    name="decro",
    title="DECRO",
    domain="speech",
    licence="CC BY 4.0",
    citation="Ba et al., Transferring audio deepfake detection capability across languages, WWW 2023",
    counts=tuple(
        Count(partition, label, rows, f"{prefix}_{partition}.txt", "V", ("language", LANGUAGES[prefix]))
        for (prefix, partition), both in {
            ("en", "train"): (5128, 17413), ("en", "dev"): (3049, 10503), ("en", "eval"): (4306, 14884),
            ("ch", "train"): (9000, 17850), ("ch", "dev"): (6109, 12015), ("ch", "eval"): (6109, 12015),
        }.items()
        for label, rows in zip(("bonafide", "spoof"), both)
    ),
    markers=("|".join(f"{file}.txt" for file in FILES),),
    audio=tuple(FILES),
    rate_hz=None,  # not documented
    aliases=ALIASES,
    archives=dict.fromkeys(FILES, "DECRO-dataset-v1.2.zip"),
)  # fmt: skip


def tables(root: Path) -> Iterator[pa.Table]:
    """The rows of the protocol files that are there, one table per file.

    Raises DataError if none is there, if one has rows of another, and if the folders' files were thrown together.
    """
    present = {file: path for file in FILES if (path := first_file(root, f"{file}.txt"))}
    if not present:
        raise DataError(f"{root} holds none of {', '.join(f'{file}.txt' for file in FILES)}; unpack DECRO there")
    loose = audio_names(root)
    if loose and not any((root / file).is_dir() for file in FILES):
        raise DataError(
            f"{root} holds {len(loose)} loose audio files (first: {loose[0]}) and none of the folders "
            f"{', '.join(FILES)}; names repeat between them, unpack them into their folders"
        )
    before: dict[Path, pa.ChunkedArray] = {}
    for file, path in present.items():
        table = text.fields(path, _COLUMNS)
        before[path] = _refuse_repeated(table, path, before)
        yield _rows(table, path, file)


def _rows(table: pa.Table, path: Path, file: str) -> pa.Table:
    words(table, "dash", {"-": None}, file=str(path))
    prefix, _, partition = file.partition("_")
    stem, system, rows = table["stem"], table["system"], table.num_rows
    nothing = pa.scalar(None, pa.string())
    bonafide = pc.equal(text.labels(table["key"]), "bonafide")  # their `system` is the source corpus
    _refuse_exchanged(table, bonafide, path)
    _refuse_other_language(table, prefix, path)
    attack = pc.if_else(bonafide, nothing, text.translate(system, {"-": None}))
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/{file}/", stem),
            "partition": constant(partition, rows),
            "path": joined(f"{file}/", stem, ".wav"),
            "label": table["key"],
            "attack": text.translate(attack, ALIASES),
            "attack_raw": attack,
            "source_id": pc.replace_substring_regex(stem, f"{_WAVEFAKE}|{_AISHELL_3}", r"\1\2"),
            "sentence": _sentence(stem),
            "speaker": text.translate(table["speaker"], {"unknown": None, "-": None}),
            "language": constant(LANGUAGES[prefix], rows),
            "source_corpus": pc.if_else(bonafide, text.translate(system, {"-": None}), nothing),
            "file": constant(path.name, rows),
            "line": table["line"],
        }
    )


_LIBRISPEECH = r"^[^-]+-(\d+-\d+-\d{4})$"  # 5-742-128034-0056: voice 5 of Baidu, LibriSpeech 742-128034-0056


def _sentence(stem: pa.ChunkedArray) -> pa.ChunkedArray:
    """The LJSpeech or LibriSpeech id of the text, which Baidu, Xunfei and copies of WaveFake keep in their names."""
    nothing = pa.scalar(None, pa.string())
    found = [
        pc.if_else(pc.match_substring_regex(stem, form), pc.replace_substring_regex(stem, form, r"\1"), nothing)
        for form in (_WAVEFAKE, _LIBRISPEECH)
    ]
    return pc.coalesce(*found)


def _refuse_repeated(table: pa.Table, path: Path, before: Mapping[Path, pa.ChunkedArray]) -> pa.ChunkedArray:
    """Raise DataError if a row has stem, system and key of one in another file: there stems repeat, whole rows do not.

    before: what this function returned for the other files. Between the languages two published stems repeat, of which
    the systems are not known; there the source corpora tell a file under a wrong name.
    """
    said = joined(table["stem"], " ", table["system"], " ", table["key"])
    for other, rows in before.items():
        if other.name[:2] != path.name[:2]:
            continue
        again = pc.is_in(said, value_set=rows.combine_chunks())
        if row := first_row(table, again):
            raise DataError(
                f"{path} line {row['line']}: {row['stem']} of the same system is in {other.name} too "
                f"({pc.sum(again).as_py()} such rows); one of the two files has the other's content, take the "
                "published one"
            )
    return said


def _refuse_exchanged(table: pa.Table, bonafide: pa.ChunkedArray, path: Path) -> None:
    """Raise DataError for the first bona fide row that names a synthesiser, or spoof row that names a source corpus."""
    genuine, made = (pc.is_in(table["system"], pa.array(list(words))) for words in (SOURCES, ALIASES))
    odd = pc.or_(pc.and_(bonafide, made), pc.and_(pc.invert(bonafide), genuine))
    if row := first_row(table, odd):
        raise DataError(
            f"{path} line {row['line']}: {row['stem']} is {row['key']}, yet its system is {row['system']!r} "
            f"({pc.sum(odd).as_py()} such rows); labels and systems are exchanged, take the published file"
        )


def _refuse_other_language(table: pa.Table, prefix: str, path: Path) -> None:
    """Raise DataError for the first row whose source corpus is one of the other language: a file under a wrong name."""
    other = pc.is_in(table["system"], pa.array([word for word, its in SOURCES.items() if its != prefix]))
    if row := first_row(table, other):
        raise DataError(
            f"{path} line {row['line']}: {row['stem']} is of {row['system']}, a corpus of the files "
            f"{SOURCES[row['system']]}_*.txt ({pc.sum(other).as_py()} such rows); this file has another one's name"
        )
