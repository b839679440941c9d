"""ASVspoof 2021 LA: one key of eight columns for 2019 eval material sent through telephone codecs."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora import _keys2021
from ingest.corpora._columns import constant, first_file, joined, numbers, same, without_dash, words
from ingest.types import ANY, Corpus, Count, DataError

ATTACKS = [f"A{number:02}" for number in range(7, 20)]
TRANSMISSIONS = ("-", "ita_tx", "sin_tx", "loc_tx", "mad_tx")
CODECS = {"none": "none"} | dict.fromkeys(("alaw", "pstn", "g722", "ulaw", "gsm", "opus"))  # -> codec_class
_COLUMNS = ("speaker", "stem", "codec", "transmission", "attack", "key", "trim", "subset")
_PACKAGE = "ASVspoof2021_LA_eval.tar.gz"
# of these two phases the totals have a source and the labels have none
_TOTALS = (
    Count("progress", ANY, 16464, "accounts of the phases of ASVspoof 2021"),
    Count("hidden", ANY, 16926, "accounts of the phases of ASVspoof 2021"),
)

CORPUS = Corpus(
    name="asvspoof2021_la",
    title="ASVspoof 2021 LA",
    domain="speech",
    licence="ODC-BY 1.0",
    citation="Liu et al., ASVspoof 2021: towards spoofed and deepfake speech detection in the wild, "
    "IEEE/ACM TASLP 31, 2023",
    counts=(
        Count("progress", "bonafide", 1676, "agrees with every sourced sum", "U"),
        Count("progress", "spoof", 14788, "agrees with every sourced sum", "U"),
        Count("eval", "bonafide", 14816, "ASVspoof 2021 journal paper", "S"),
        Count("eval", "spoof", 133360, "ASVspoof 2021 journal paper", "S"),
        Count("hidden", "bonafide", 1960, "agrees with every sourced sum", "U"),
        Count("hidden", "spoof", 14966, "agrees with every sourced sum", "U"),
    ),
    markers=("|".join(_keys2021.markers("LA")),),
    audio=("ASVspoof2021_LA_eval", "*/ASVspoof2021_LA_eval", "flac"),
    labels="LA-keys-full.tar.gz",
    rate_hz=16_000,
    stem_unique=True,
    aliases=same(ATTACKS),
    stems=dict.fromkeys(("progress", "eval", "hidden"), r"LA_E_\d{7}"),
    archives=dict.fromkeys(("progress", "eval", "hidden"), _PACKAGE),
)


def tables(root: Path) -> Iterator[pa.Table]:
    """The rows of the CM key; the label is its column 6.

    Raises DataError if the key is absent, is the ASV key, the DF key, or disagrees with the trial list.
    """
    path = _keys2021.find(root, "LA")
    if text.width(path) == 13:
        raise DataError(f"{path}: 13 columns, the key of ASVspoof 2021 DF; unpack LA-keys-full.tar.gz here")
    table = text.fields(path, _COLUMNS)  # LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval
    _keys2021.refuse_other_track(table, path, "LA")
    _keys2021.refuse_asv_key(table, path)
    _keys2021.cross_check(root, "LA", table, path)
    yield _rows(table, path, path.relative_to(root).as_posix())


def counts(root: Path) -> tuple[Count, ...]:
    """The published counts of each label, and those of a whole phase where the labels are unverified."""
    return (*CORPUS.counts, *_TOTALS)


def notes(root: Path) -> list[str]:
    """What a reader should know of this copy: other keys, unlabelled trials, transmissions that are not documented."""
    path = _keys2021.find(root, "LA")
    table = text.fields(path, _COLUMNS)
    counted = pc.value_counts(table["transmission"]).to_pylist()
    strange = [
        f"transmission word {count['values']!r} is not documented and is kept ({count['counts']} rows)"
        for count in counted
        if count["values"] not in TRANSMISSIONS
    ]
    told = _keys2021.stage_1(table, path, "LA")
    return [*_keys2021.passed_over(root, "LA"), *_keys2021.unlabelled(root, "LA"), *told, *strange]


def asv_scores(root: Path) -> pa.Table | None:
    """The organisers' speaker verification scores (partition, attack, key, score, codec), or None without them.

    The score file (speaker, trial, score) follows the ASV key row by row; DataError where it does not.
    """
    markers = [marker for marker in _keys2021.markers("LA") if "/CM/" in marker]
    key_path = first_file(root, *(marker.replace("/CM/", "/ASV/") for marker in markers))
    score_path = key_path and first_file(key_path.parent, "*/score.txt")
    if not score_path:
        return None
    key, scored = text.fields(key_path, _COLUMNS), text.fields(score_path, ("speaker", "stem", "score"))
    if key.num_rows != scored.num_rows or not key["stem"].equals(scored["stem"]):
        raise DataError(
            f"{score_path} ({scored.num_rows} rows) does not follow {key_path} ({key.num_rows} rows) trial by "
            "trial; unpack LA-keys-full.tar.gz again"
        )
    return pa.table(
        {
            "partition": words(key, "subset", _keys2021.SUBSETS, file=str(key_path)),
            "attack": _keys2021.attacks(key)[0],
            "key": words(key, "key", same(("target", "nontarget", "spoof")), file=str(key_path)),
            "score": numbers(scored, "score", file=str(score_path)),
            "codec": words(key, "codec", same(CODECS) | _keys2021.unsaid(key), file=str(key_path)),
        }
    )


def _rows(table: pa.Table, path: Path, file: str) -> pa.Table:
    stem, rows, unsaid = table["stem"], table.num_rows, _keys2021.unsaid(table)
    attack, attack_raw = _keys2021.attacks(table)
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/", stem),
            "partition": words(table, "subset", _keys2021.SUBSETS, file=str(path)),
            "path": joined("ASVspoof2021_LA_eval/flac/", stem, ".flac"),
            "label": table["key"],
            "attack": attack,
            "attack_raw": attack_raw,
            "source_id": stem,
            "speaker": without_dash(table["speaker"]),
            "language": constant("en", rows),
            "codec": words(table, "codec", same(CODECS) | unsaid, file=str(path)),
            "codec_class": text.translate(table["codec"], CODECS | unsaid),
            "transmission": without_dash(table["transmission"]),
            "trim": words(table, "trim", _keys2021.TRIM, file=str(path)),
            "file": constant(file, rows),
            "line": table["line"],
        }
    )
