"""The rows that a parser gives, checked and completed to the columns of table `utterance`.

A parser's table has string columns (null or "" where the corpus publishes nothing):

- utt_id, path, label, source_id: always. `path` is the official one, relative to the corpus root (or to the
  folder of `place`), with forward slashes. `label` is the published word; the accepted spellings become
  `bonafide` and `spoof` here, `unknown` is kept, any other word is an error.
- partition, attack, attack_raw, place, sentence, speaker, language, codec, codec_class, transmission, vocoder,
  source_corpus, gender, song, condition, trim: where known. `attack` is null for bona fide and never null
  for spoof; without that column it is `attack_raw` through Corpus.aliases. `place` names a folder of
  Corpus.places in which the user keeps this audio outside the root; null for audio below the root.
- file, and int64 line: the protocol file's name and the line the row comes from, for messages only; null
  where rows come from the folders themselves.
"""

from dataclasses import fields as dataclass_fields

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.types import LABELS, Corpus, DataError, Utterance, nearest

UTTERANCE_COLUMNS = [field.name for field in dataclass_fields(Utterance)]
PARSED_COLUMNS = [
    "utt_id", "partition", "place", "path", "label", "attack", "attack_raw", "source_id", "sentence", "speaker",
    "language", "codec", "codec_class", "transmission", "vocoder", "source_corpus", "gender", "song",
    "condition", "trim",
]  # fmt: skip
OWN_WORD = ("utt_id", "path", "source_id", "sentence")  # mostly a different word in each row: no dictionary
_REQUIRED = ("utt_id", "path", "label", "source_id")
_WORDS = {
    "vocoder": ("autoregressive", "non_autoregressive", "traditional", "concatenation", "unknown"),
    "gender": ("F", "M"),
    "condition": ("mixture", "vocals"),
    "trim": ("trim", "notrim"),
}
_CONTROL = r"\x00-\x1f\x7f"
_NUMBERS = {"duration_s": pa.float64(), "rate_hz": pa.int32(), "channels": pa.int32()}


def complete(table: pa.Table, corpus: Corpus) -> pa.Table:
    """Check one parser's table and add what it leaves out; audio is `missing` until somebody looks for it.

    Returns UTTERANCE_COLUMNS, file and line; columns of few words are dictionaries. Raises DataError for a column that
    is unknown or lacking, and naming file, line and reason for the first row that the catalog would refuse, or whose
    stem does not belong to its partition (Corpus.stems).
    """
    _same_columns(table, corpus)
    text_columns = {name: _column(table, name) for name in (*PARSED_COLUMNS, "file")}
    line = table["line"] if "line" in table.column_names else pa.nulls(table.num_rows, pa.int64())
    text_columns["label"] = text.labels(text_columns["label"])
    if "attack" not in table.column_names:
        attack = text.translate(text_columns["attack_raw"], corpus.aliases)
        spoof = pc.equal(text_columns["label"], "spoof")
        spoofs = pc.unique(attack.filter(spoof))  # a bona fide row with one of their words has a wrong label, or attack
        wrong = pc.and_(pc.equal(text_columns["label"], "bonafide"), pc.is_in(attack, spoofs))
        text_columns["attack"] = pc.if_else(pc.or_(spoof, wrong), attack, None)
    rows = table.num_rows
    said = pa.table({**text_columns, "line": line})
    _check(said, corpus)
    constant = {
        "corpus": _repeat(corpus.name, rows), "domain": _repeat(corpus.domain, rows),
        "audio_present": pa.repeat(False, rows), "audio_status": _repeat("missing", rows),
    }  # fmt: skip
    numbers = {name: pa.nulls(rows, kind) for name, kind in _NUMBERS.items()}
    words = {name: column if name in OWN_WORD else _coded(column) for name, column in text_columns.items()}
    columns = {**words, **constant, **numbers, "line": line}
    return pa.table({name: columns[name] for name in (*UTTERANCE_COLUMNS, "file", "line")})


def where(table: pa.Table, index: int) -> str:
    """`FILE line N` of one row, for messages; its path where it comes from no protocol file."""
    file, line = table["file"][index].as_py(), table["line"][index].as_py()
    return table["path"][index].as_py() if file is None else file if line is None else f"{file} line {line}"


def _same_columns(table: pa.Table, corpus: Corpus) -> None:
    if not isinstance(table, pa.Table):
        raise DataError(f"{corpus.name}: its parser's tables() yields Arrow tables, not {type(table).__name__}")
    known = (*PARSED_COLUMNS, "file", "line")
    for name in table.column_names:
        if name not in known:  # passed over, "speakers" would leave every clip without a speaker
            raise nearest(name, known, what=f"column in a table of {corpus.name}'s parser")
    for name in _REQUIRED:
        if name not in table.column_names:
            raise DataError(f"{corpus.name}: a table of its parser has no column {name!r}; it has {table.column_names}")


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    column = table[name]
    keep = column.type == pa.string() or (pa.types.is_dictionary(column.type) and name not in OWN_WORD)
    column = column if keep else column.cast(pa.string())
    empty = pc.equal(column, "")  # the cell of a CSV that says nothing
    return pc.if_else(empty, None, column.cast(pa.string())) if pc.any(empty).as_py() else column


def _repeat(word: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([word]))


def _coded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as a dictionary: two million rows of few words take a tenth of the memory."""
    if column.null_count == len(column):
        nothing = pa.DictionaryArray.from_arrays(pa.nulls(len(column), pa.int32()), pa.array([], pa.string()))
        return pa.chunked_array([nothing])
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _check(table: pa.Table, corpus: Corpus) -> None:
    for name in _REQUIRED:
        _refuse(table, corpus, pc.is_null(table[name]), f"no {name}")
    above = "" if corpus.stem_unique else "[^/]+/"
    for stem in dict.fromkeys(corpus.stems.values()):
        partitions = [partition for partition, its in corpus.stems.items() if its == stem]
        here = pc.is_in(table["partition"], pa.array(partitions, pa.string()))
        fits = pc.match_substring_regex(table["utt_id"], rf"^[^/]*/{above}{_whole(stem)}$")
        shown = stem.replace("{", "{{").replace("}", "}}")  # the reason is a format string
        _refuse(
            table, corpus, pc.and_(here, pc.invert(fits)),
            f"{{utt_id!r}} is no {{partition}} utterance (their stems look like {shown}); "
            "this file belongs to another corpus or partition",
        )  # fmt: skip
    label, attack = table["label"], table["attack"]
    known = pc.is_in(label, pa.array(LABELS))
    _refuse(table, corpus, pc.invert(known), "label {label!r} is none of bonafide, spoof, unknown")
    bonafide, spoof, named = pc.equal(label, "bonafide"), pc.equal(label, "spoof"), pc.is_valid(attack)
    _refuse(table, corpus, pc.and_(bonafide, named), "bona fide, yet names the attack {attack!r}")
    _refuse(table, corpus, pc.and_(spoof, pc.invert(named)), "spoof, yet names no attack")
    well_formed = pc.match_substring_regex(table["utt_id"], rf"^{corpus.name}(/[^./{_CONTROL}]+)+$")
    form = f"{{utt_id!r}} cannot name an utterance: it is {corpus.name}/ and words without dots"
    _refuse(table, corpus, pc.invert(well_formed), form)
    bad_path = pc.match_substring_regex(table["path"], rf"^/|(^|/)(\.\.?)?(/|$)|\\|[{_CONTROL}]")
    _refuse(table, corpus, bad_path, "path {path!r} is not one below the corpus root")
    for name, words in _WORDS.items():
        odd = pc.and_(pc.is_valid(table[name]), pc.invert(pc.is_in(table[name], pa.array(words))))
        _refuse(table, corpus, odd, f"{name} {{{name}!r}} is none of {', '.join(words)}")


def _whole(stem: str) -> str:
    return f"(?:{stem.removeprefix('^').removesuffix('$')})"


def _refuse(table: pa.Table, corpus: Corpus, odd: pa.ChunkedArray, reason: str) -> None:
    count = pc.sum(odd).as_py()
    if count:
        index = pc.index(odd, True).as_py()
        row = {name: table[name][index].as_py() for name in table.column_names}
        others = f" ({count - 1} more such rows)" if count > 1 else ""
        raise DataError(f"{corpus.name}: {where(table, index)}: {reason.format(**row)}{others}")
