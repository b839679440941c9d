"""ASVspoof 2021 DF: one key of thirteen columns (eight in stage 1), compressed speech from three sources."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora import _keys2021
from ingest.corpora._columns import constant, first_row, joined, same, without_dash, words
from ingest.types import Corpus, Count, DataError

# LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -
_COLUMNS = (
    "speaker", "stem", "codec", "source", "attack", "key", "trim", "subset",
    "vocoder", "task", "team", "gender_pair", "language",
)  # fmt: skip
_STAGE_1 = _COLUMNS[:8]

# The double compressions, mp3 or ogg and then m4a, mix a low and a high bit rate: no class.
CODEC_CLASS = {
    "nocodec": "none", "low_mp3": "low", "high_mp3": "high", "low_m4a": "low", "high_m4a": "high",
    "low_ogg": "low", "high_ogg": "high", "mp3m4a": None, "oggm4a": None,
}  # fmt: skip
VOCODERS = {
    "bonafide": None, "-": None,
    "neural_vocoder_autoregressive": "autoregressive",
    "neural_vocoder_nonautoregressive": "non_autoregressive",
    "traditional_vocoder": "traditional",
    "waveform_concatenation": "concatenation",
    "unknown": "unknown",
}  # fmt: skip
GENDERS = {"-": None, "FF": "F", "MF": "F", "FM": "M", "MM": "M"}  # of source and target; heard is the target
LANGUAGES = {"-": "en", "E": "en", "F": "fi", "G": "de", "M": "zh"}  # published for VCC 2020 only
# The key names no language for genuine VCC 2020 clips. Their speakers do: TFF1 is a target (T, or source S) speaker of
# Finnish, female, number 1; in all 30,864 public spoof rows that letter is the language column.
_VCC_2020 = r"^[ST]([EFGM])[FM]\d$"
SOURCES = ("asvspoof", "vcc2018", "vcc2020")
_TEAMS = ("B00", "B01", *(f"D{n:02}" for n in range(1, 6)), *(f"N{n:02}" for n in range(3, 21)))  # VCC 2018
ATTACKS = [
    *(f"A{n:02}" for n in range(7, 20)),
    *(f"{task}-{team}" for task in ("HUB", "SPO") for team in _TEAMS),
    *(f"{task}-team{n:02}" for task in ("Task1", "Task2") for n in range(1, 34)),
]

CORPUS = Corpus(
    name="asvspoof2021_df",
    title="ASVspoof 2021 DF",
    domain="speech",
    licence="ODC-BY 1.0",
    citation="Liu et al., ASVspoof 2021: towards spoofed and deepfake speech detection in the wild, "
    "IEEE/ACM TASLP 31, 2023",
    counts=(
        Count("progress", "bonafide", 5768, "RobustSpeechDetection, Table V, train and validation", "A"),
        Count("progress", "spoof", 53557, "RobustSpeechDetection, Table V, train and validation", "A"),
        Count("eval", "bonafide", 14869, "all bona fide trials of phase eval", "V"),
        Count("eval", "spoof", 519059, "533,928 trials of phase eval less 14,869", "S"),
        Count("hidden", "bonafide", 1980, "22,617 less the other phases", "A"),
        Count("hidden", "spoof", 16596, "18,576 less 1,980", "A"),
    ),
    markers=("|".join(_keys2021.markers("DF")),),
    audio=(
        "ASVspoof2021_DF_eval", "ASVspoof2021_DF_eval_part0?", "*/ASVspoof2021_DF_eval",
        "*/ASVspoof2021_DF_eval_part0?", "flac",
    ),
    labels="DF-keys-full.tar.gz",
    rate_hz=16_000,
    stem_unique=True,
    aliases=same(ATTACKS),
    stems=dict.fromkeys(("progress", "eval", "hidden"), r"DF_E_\d{7}"),
    archives=dict.fromkeys(("progress", "eval", "hidden"), "ASVspoof2021_DF_eval_part00..03.tar.gz"),
)  # fmt: skip


def tables(root: Path) -> Iterator[pa.Table]:
    """The rows of the CM key, full (13 columns) or of stage 1 (8 columns).

    Raises DataError if the key is absent, of another kind, or disagrees with the trial list.
    """
    path = _keys2021.find(root, "DF")
    width = text.width(path)
    if width not in (len(_COLUMNS), len(_STAGE_1)):
        raise DataError(f"{path}: {width} columns; the full key has 13 (DF-keys-full.tar.gz), that of stage 1 has 8")
    table = text.fields(path, _COLUMNS if width == len(_COLUMNS) else _STAGE_1)
    _keys2021.refuse_other_track(table, path, "DF")
    _keys2021.refuse_asv_key(table, path)
    _keys2021.cross_check(root, "DF", table, path)
    yield _rows(table, path, path.relative_to(root).as_posix())


def notes(root: Path) -> list[str]:
    """What a reader should know of this copy: which version its key has, other keys, unlabelled trials."""
    path = _keys2021.find(root, "DF")
    told = [*_keys2021.passed_over(root, "DF"), *_keys2021.unlabelled(root, "DF")]
    if text.width(path) == len(_STAGE_1):
        bare = _keys2021.stage_1(text.fields(path, _STAGE_1), path, "DF")
        told += bare or [
            f"{path.name} is the key of stage 1 (8 columns): vocoder family, gender and the languages of VCC "
            "2020 are unknown; the full key of 13 columns is in DF-keys-full.tar.gz"
        ]
    return told


def _rows(table: pa.Table, path: Path, file: str) -> pa.Table:
    stem, rows, unsaid = table["stem"], table.num_rows, _keys2021.unsaid(table)
    attack, attack_raw = _keys2021.attacks(table)
    columns = {
        "utt_id": joined(f"{CORPUS.name}/", stem),
        "partition": words(table, "subset", _keys2021.SUBSETS, file=str(path)),
        "path": joined("ASVspoof2021_DF_eval/flac/", stem, ".flac"),
        "label": table["key"],
        "attack": attack,
        "attack_raw": attack_raw,
        "source_id": stem,
        "speaker": without_dash(table["speaker"]),
        "codec": words(table, "codec", same(CODEC_CLASS) | unsaid, file=str(path)),
        "codec_class": text.translate(table["codec"], CODEC_CLASS | unsaid),
        "source_corpus": words(table, "source", same(SOURCES) | unsaid, file=str(path)),
        "trim": words(table, "trim", _keys2021.TRIM, file=str(path)),
        "file": constant(file, rows),
        "line": table["line"],
    }
    if "vocoder" in table.column_names:
        _refuse_exchanged(table, path)
        columns |= {
            "vocoder": words(table, "vocoder", VOCODERS, file=str(path)),
            "gender": words(table, "gender_pair", GENDERS, file=str(path)),
        }
        words(table, "language", LANGUAGES, file=str(path))  # refuses any other word
    columns["language"] = _language(table)
    return pa.table(columns)


def _language(table: pa.Table) -> pa.ChunkedArray:
    """ISO 639: English, and for VCC 2020 what column 13 says, else the speaker's name; null in the key of stage 1."""
    if "language" not in table.column_names:
        return text.translate(table["source"], {"asvspoof": "en", "vcc2018": "en", "vcc2020": None, "-": None})
    by_name = text.translate(pc.replace_substring_regex(table["speaker"], _VCC_2020, r"\1"), LANGUAGES)
    named = pc.and_(pc.equal(table["source"], "vcc2020"), pc.match_substring_regex(table["speaker"], _VCC_2020))
    unsaid = pc.and_(pc.equal(table["language"], "-"), named)
    return pc.if_else(unsaid, by_name, text.translate(table["language"], LANGUAGES))


def _refuse_exchanged(table: pa.Table, path: Path) -> None:
    """Raise DataError for the first row whose vocoder class is `bonafide` and whose label is not, or the reverse."""
    bonafide, vocoder = pc.equal(text.labels(table["key"]), "bonafide"), table["vocoder"]
    named = pc.invert(pc.is_in(vocoder, pa.array(["bonafide", "-"])))
    odd = pc.or_(pc.and_(bonafide, named), pc.and_(pc.invert(bonafide), pc.equal(vocoder, "bonafide")))
    if row := first_row(table, odd):
        raise DataError(
            f"{path} line {row['line']}: {row['stem']} is {row['key']}, yet its vocoder class is {row['vocoder']!r} "
            f"({pc.sum(odd).as_py()} such rows); take the published key"
        )
