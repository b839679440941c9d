"""ASVspoof 5, track 1: three protocol files of ten columns, separated by spaces in spite of `.tsv`."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora._columns import constant, first_file, first_row, joined, published, same, without_dash, words
from ingest.types import Corpus, Count, DataError

ATTACKS = [f"A{number:02}" for number in range(1, 33)]  # train A01-A08, dev A09-A16, eval A17-A32
FILES = {
    "train": "ASVspoof5.train.tsv",
    "dev": "ASVspoof5.dev.track_1.tsv",
    "eval": "ASVspoof5.eval.track_1.tsv",
}
FOLDERS = {"train": "flac_T", "dev": "flac_D", "eval": "flac_E_eval"}
# E_1607 E_0009538969 M C05 2 E_0009486171 AC1 A26 spoof -
_COLUMNS = (
    "speaker", "stem", "gender", "codec", "codec_q", "codec_seed", "attack_tag", "attack", "key", "reserved",
)  # fmt: skip
# C01 in the protocols is C1 in codec.config.csv
CODECS = {"-": "none"} | {form: f"C{number:02}" for number in range(1, 12) for form in (f"C{number:02}", f"C{number}")}
# of the challenge package, and what its baseline calls them
_EARLY = [f"{above}ASVspoof5.*.{ending}" for ending in ("metadata.txt", "metainfor.txt") for above in ("", "*/")]
_QUALITY, _SEED = r"-|\d+", r"-|[TDE]_A?\d{10}"  # of clips without a codec the quality is -, and 0 in eval

CORPUS = Corpus(
    name="asvspoof5",
    title="ASVspoof 5 (track 1)",
    domain="speech",
    licence="ODC-BY 1.0",
    citation="Wang et al., ASVspoof 5: crowdsourced speech data, deepfakes, and adversarial attacks at scale, 2024",
    counts=(
        Count("train", "bonafide", 18797, "per-utterance list of the bona fide trials", "V"),
        Count("train", "spoof", 163560, "182,357 rows less 18,797", "A"),
        Count("dev", "bonafide", 31334, "per-utterance list of the bona fide trials", "V"),
        Count("dev", "spoof", 109616, "140,950 rows less 31,334", "A"),
        Count("eval", "bonafide", 138688, "analyses of ASVspoof5.eval.track_1.tsv", "S"),
        Count("eval", "spoof", 542086, "680,774 rows less 138,688", "S"),
    ),
    markers=("|".join(("ASVspoof5.*.tsv", "*/ASVspoof5.*.tsv", *_EARLY)),),
    labels="ASVspoof5_protocols.tar.gz",
    audio=("flac_T", "flac_D", "flac_E_eval|flac_E", "*/flac_T", "*/flac_D", "*/flac_E_eval|*/flac_E"),
    rate_hz=16_000,
    stem_unique=True,
    aliases=same(ATTACKS),
    stems={partition: rf"{partition[0].upper()}_\d{{10}}" for partition in FILES},
    attacks={"train": ATTACKS[:8], "dev": ATTACKS[8:16], "eval": ATTACKS[16:]},
    archives={
        "train": "flac_T_aa..ae.tar (36,500 files each, the last 36,357)",
        "dev": "flac_D_aa..ac.tar (47,400 files each, the last 47,334)",
        "eval": "flac_E_aa..aj.tar (68,188 files each, the last 68,180)",
    },
)


def tables(root: Path) -> Iterator[pa.Table]:
    """The rows of the train, dev and eval protocols of track 1 that are there.

    Track 2 lists (enrolment and trials by target speaker) are no detection protocols and are not read.
    Raises DataError if no protocol is there, or if one has not ten columns or other words in them.
    """
    protocols = {partition: first_file(root, name, f"*/{name}") for partition, name in FILES.items()}
    if not any(protocols.values()):
        early = [path for pattern in _EARLY for path in published(root, pattern)]
        found = f" ({early[0].name} is of the early challenge package, six columns)" if early else ""
        raise DataError(f"{root} holds none of {', '.join(FILES.values())}{found}; unpack ASVspoof5_protocols.tar.gz")
    for partition, path in protocols.items():
        if path:
            yield _rows(path, partition, path.relative_to(root).as_posix())


def _rows(path: Path, partition: str, file: str) -> pa.Table:
    width = text.width(path)
    if width == 5:
        raise DataError(
            f"{path}: 5 columns, a trial list of track 2, whose first column is the target speaker; take the "
            "file of track 1 (10 columns) from ASVspoof5_protocols.tar.gz"
        )
    table = text.fields(path, _COLUMNS)
    _refuse_other_words(table, path)
    stem, rows = table["stem"], table.num_rows
    attack = text.translate(table["attack"], {"bonafide": None, "-": None})
    uncoded = pc.equal(table["codec"], "-")
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/", stem),
            "partition": constant(partition, rows),
            "path": joined(f"{FOLDERS[partition]}/", stem, ".flac"),
            "label": table["key"],
            "attack": attack,
            "attack_raw": attack,
            "source_id": pc.coalesce(without_dash(table["codec_seed"]), stem),  # the uncoded original
            "speaker": table["speaker"],
            "language": constant("en", rows),
            "codec": words(table, "codec", CODECS, file=str(path)),
            "codec_class": pc.if_else(uncoded, "none", without_dash(table["codec_q"])),
            "gender": words(table, "gender", {"F": "F", "M": "M", "-": None}, file=str(path)),
            "file": constant(file, rows),
            "line": table["line"],
        }
    )


def _refuse_other_words(table: pa.Table, path: Path) -> None:
    """Raise DataError for the first codec quality that is no number and the first codec seed that is no stem."""
    for name, form, due in (("codec_q", _QUALITY, "a number"), ("codec_seed", _SEED, "a stem")):
        if row := first_row(table, pc.invert(pc.match_substring_regex(table[name], rf"^(?:{form})$"))):
            raise DataError(f"{path} line {row['line']}: {name} {row[name]!r} is neither - nor {due}")
