"""Score files of other people: whichever of the usual layouts, read into utterance, score and what else they tell.

Blank- or comma-separated, with or without a header, gzip or not. With a header the columns are found by name;
without, by content: the first is the file (the one of names where it numbers the rows), the numeric one the score, the
one of label words the label. That covers `file score`, `file score label`, ASVspoof 2019 (`file attack label score`),
2021 (`file score`), 5 (`filename cm-score`, and asv-score and sasv-score of track 2) and RAT (`file,score,label`, label
0 = bona fide).
"""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.scan import AUDIO_SUFFIXES
from ingest.text import content, fields, first_line, width
from ingest.types import LABEL_WORDS, DataError

IDS = (
    "utt", "utt_id", "file", "filename", "file_name", "audio_file_name", "trial", "trial_anon", "path", "name",
    "utterance", "audio", "id",
)  # fmt: skip
SCORE_WORDS = ("score", "cm-score", "cm_score", "cm_scores", "scores", "logit", "logits", "llr")
COLUMN_WORDS = {
    "label": ("label", "cm_label", "cm-label", "key", "target"),
    "asv_label": ("asv_label", "asv-label"),
    "asv_score": ("asv_score", "asv-score"),
    "sasv_score": ("sasv_score", "sasv-score"),
    "attack": ("attack", "attack_id", "attack-id", "attack_anon", "system"),
    "codec": ("codec", "compr", "compression"),
    "vocoder": ("vocoder",),
    "transmission": ("trans", "transmission"),
    "speaker": ("speaker", "spk", "spk_id", "speaker_id", "tar_spk_anon", "singer"),
    "language": ("language", "lang"),
    "domain": ("domain",),
    "gender": ("gender", "sex"),
    "trim": ("trim", "trim_flag"),
    "subset": ("subset", "phase"),
}
FACTORS = (
    "attack", "codec", "vocoder", "transmission", "speaker", "language", "domain", "gender", "trim", "subset",
)  # fmt: skip
UNSAID = {"attack": ("", "-", "bonafide"), "speaker": ("", "-"), "subset": ("",)}  # words that name none
NUMBERED = {"0": "bonafide", "1": "spoof", "nan": None}  # RAT's labels; nan: not known
VERIFIED = {"target": "bonafide", "nontarget": "bonafide", "spoof": "spoof"}  # labels of ASVspoof 5, track 2
AUDIO_SUFFIX = rf"\.({'|'.join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))})$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # Python reads more: 1_000, other digits
_NAN_OR_NUMBER = re.compile(rf"{_NUMBER.pattern}|[+-]?(nan|inf|infinity)|", re.ASCII | re.IGNORECASE)


def read(path: Path, *, sign: float = 1.0) -> pa.Table:
    """Columns file, score (times sign), and those of label, attack, codec, ... and of track 2 that the file has.

    `file` is as written, without an audio suffix. Labels become bonafide or spoof, NULL where the file says nan;
    so do attack, speaker and subset where it is blank.
    Remarks about how the file was read are in the schema's metadata: see `remarks`. Raises DataError naming
    the file and what is wrong: an unreadable layout, a score that is not a finite number (first line named),
    an unknown label word.
    """
    words, header = _table(path)
    columns = _by_name(path, words) if header else _by_content(path, words)
    told = []
    if "file" in columns and (named := _beside_numbers(words, columns, header)):
        first, other = (words.column_names.index(name) + 1 for name in (columns["file"], named))
        told.append(
            f"column {first} numbers the rows; the files are taken from column {other} (first: {words[named][0]})"
        )
        columns = {what: name for what, name in columns.items() if name != named} | {"file": named}
    if "file" in columns:
        file = pc.replace_substring_regex(words[columns["file"]], f"(?i){AUDIO_SUFFIX}", "")
    else:
        file = pa.array([f"row {k}" for k in range(1 + header, words.num_rows + 1 + header)])
        told.append("no column names the files; its rows are taken as one trial each")
    if _blank(words[columns["score"]]) and "sasv_score" in columns:
        cure = f"copy {columns['sasv_score']} there for its a-DCF; the other figures need the detector's own score"
        raise DataError(f"{path}: {columns['score']} is - in every row; {cure}")
    found = {"file": file, "score": pa.array(sign * _scores(path, words[columns["score"]], header, file))}
    for name in FACTORS:
        if name in columns:
            values = words[columns[name]]
            found[name] = pc.if_else(pc.is_in(values, pa.array(UNSAID.get(name, ()), pa.string())), None, values)
    for name in ("asv_score", "sasv_score"):
        if name in columns and not _blank(words[columns[name]]):
            found[name] = pa.array(_scores(path, words[columns[name]], header, file))
    if label := columns.get("label") or columns.get("asv_label"):
        found |= _labels(path, words[label], told)
    if "asv_label" in columns:
        found["asv_label"] = pc.utf8_lower(words[columns["asv_label"]])
    return pa.table(found).replace_schema_metadata({"remarks": json.dumps(told)})


def remarks(scores: pa.Table) -> list[str]:
    """What `read` had to decide about a file."""
    return json.loads((scores.schema.metadata or {}).get(b"remarks", b"[]"))


def _scores(path: Path, texts: pa.ChunkedArray, header: bool, file: pa.Array | pa.ChunkedArray) -> np.ndarray:
    score = _numbers(texts)
    if score is None or not np.isfinite(score).all():
        listed = texts.to_pylist()
        bad = [k for k, text in enumerate(listed) if not _finite(text)]
        if bad == [0] and not header and not _NAN_OR_NUMBER.fullmatch(listed[0]):
            raise DataError(f"{path}: line 1 has {listed[0]!r} for a score; if it is a header, call that column score")
        some = f"{len(bad)} of {len(listed)} scores are not finite numbers"
        first = ", ".join(file[k].as_py() for k in bad[:3])
        raise DataError(f"{path}: {some} (first: {listed[bad[0]]!r}, row {bad[0] + 1 + header}; of {first})")
    return score


def verification(path: Path) -> dict[str, np.ndarray]:
    """Speaker verification scores: key (target, nontarget, spoof), attack, codec, subset, score; each (trial,).

    `source label score`, or columns found by the names of a header; "" where it has no codec or subset. Raises
    DataError for a layout without labels, another label word, and a score that is not a finite number.
    """
    words, header = _table(path)
    names = {name.lower(): name for name in words.column_names}
    columns = {"attack": names["source"]} if "source" in names else {}
    columns |= _by_name(path, words) if header else {}
    if not header and words.num_columns == 3:
        columns = dict(zip(("attack", "label", "score"), words.column_names))
    if lacking := [name for name in ("attack", "label", "score") if name not in columns]:
        told = "columns are source, label (target, nontarget, spoof), score, or a header names them"
        raise DataError(f"{path}: no column for {lacking[0]}; {told}")
    rows = pa.array([f"row {k + 1 + header}" for k in range(words.num_rows)])
    found = {"score": _scores(path, words[columns["score"]], header, rows)}
    for name, column in (("key", "label"), ("attack", "attack"), ("codec", "codec"), ("subset", "subset")):
        there = column in columns
        found[name] = np.array(words[columns[column]].to_pylist() if there else [""] * words.num_rows)
    if unknown := sorted(set(found["key"]) - set(VERIFIED)):
        raise DataError(f"{path}: unknown label word {str(unknown[0])!r}; known: {', '.join(VERIFIED)}")
    return found


def _finite(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text) and np.isfinite(float(text)))


def _table(path: Path) -> tuple[pa.Table, bool]:
    """All columns as words, and whether the first line was a header."""
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    head = _first_line(path)
    names, table = _comma_separated(path) if "," in head else _blank_separated(path, head)
    header = any(name.lower() in SCORE_WORDS for name in names)
    table = table.rename_columns(_unique(names)).slice(1) if header else table
    if table.num_columns < 2 or not table.num_rows:
        raise DataError(f"{path}: every line needs a file name and a score; the first is {head[:80]!r}")
    return table.combine_chunks(), header


def _comma_separated(path: Path) -> tuple[list[str], pa.Table]:
    """The words of the first line, and all lines as columns c0, c1, ..."""
    reader = csv.reader(io.StringIO(content(path), newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path} is not a text file of comma-separated values ({error})") from None
    first = rows[0][1]
    for line, row in rows:
        if len(row) != len(first):
            raise DataError(f"{path} line {line}: {len(row)} columns, the first line has {len(first)}")
    columns = zip(*(row for _, row in rows), strict=True)
    table = {f"c{k}": pa.array([word.strip() for word in column], pa.string()) for k, column in enumerate(columns)}
    return [word.strip() for word in first], pa.table(table)


def _blank_separated(path: Path, head: str) -> tuple[list[str], pa.Table]:
    """The words of the first line, and all lines as columns c0, c1, ..."""
    try:
        names, table = head.split(), fields(path, [f"c{k}" for k in range(width(path))]).drop_columns("line")
    except DataError as error:
        if "\t" not in head:
            raise
        why = "tabs are read as blanks, so an empty cell is none: write - for it, or commas for the tabs"
        raise DataError(f"{error}; {why}") from None
    if len(names) != table.num_columns:  # other blanks than these: a no-break space, a control character
        raise DataError(f"{path} line 1: {table.num_columns} columns, or {len(names)} by its unusual blanks")
    return names, table


def _unique(names: list[str]) -> list[str]:
    return [name if names.index(name) == k else f"{name} ({k})" for k, name in enumerate(names)]


def _first_line(path: Path) -> str:
    try:
        line = first_line(path).decode().strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file ({error})") from None
    if not line:
        raise DataError(f"{path} is empty")
    return line


def _by_name(path: Path, words: pa.Table) -> dict[str, str]:
    lower = {name.lower(): name for name in words.column_names}
    score = next(lower[word] for word in SCORE_WORDS if word in lower)
    found = {"score": score}
    for column, known in COLUMN_WORDS.items():
        name = next((lower[word] for word in known if word in lower), None)
        if name is not None:
            found[column] = name
    file = next((lower[word] for word in IDS if word in lower), None)
    if file is None and words.column_names[0] not in found.values():
        file = words.column_names[0]
    if file is not None:
        found["file"] = file
    elif not found.keys() & {"label", "asv_label"}:
        raise DataError(f"{path}: no column names the files; expected one of {', '.join(IDS)}")
    return found


def _by_content(path: Path, words: pa.Table) -> dict[str, str]:
    names = words.column_names
    numeric = [name for name in names[1:] if _numbers(words[name]) is not None]
    if not numeric:  # a word among the scores: _scores names its row
        numeric = [name for name in names[1:] if 2 * sum(map(_finite, words[name].to_pylist())) > words.num_rows]
    if len(names) == 3 and len(numeric) == 2 and _numbered(words[names[2]]) and not _numbered(words[names[1]]):
        return {"file": names[0], "score": names[1], "label": names[2]}
    if len(numeric) != 1:
        raise DataError(
            f"{path}: {len(numeric)} of the columns after the first are numbers, one (the score) is expected; "
            "add a header line that names the columns: file, score, label"
        )
    found = {"file": names[0], "score": numeric[0]}
    known = pa.array(list(LABEL_WORDS))
    for name in names[1:]:
        if name != numeric[0] and pc.all(pc.is_in(pc.utf8_lower(words[name].unique()), known)).as_py():
            found["label"] = name
    rest = [name for name in names[1:] if name not in found.values()]
    if len(names) == 4 and len(rest) == 1:
        found["attack"] = rest[0]
    return found


def _beside_numbers(words: pa.Table, columns: Mapping[str, str], header: bool) -> str | None:
    """The column that names the files where the one taken for it numbers the rows, as the index of a data frame does.

    None: its name says that it is the file, it holds words, or no other column has one of its own in every row.
    """
    file = words[columns["file"]]
    if columns["file"].lower() in IDS[:-1] or not _whole(file):
        return None
    taken = {name for what, name in columns.items() if header or what != "attack"}  # that by its place alone
    for name in words.column_names:
        texts = words[name]
        if name in taken or len(texts.unique()) < words.num_rows:
            continue
        if _numbers(texts) is None or (_whole(texts) and _counts(file) and not _counts(texts)):
            return name
    return None


def _blank(texts: pa.ChunkedArray) -> bool:
    """Are all of them -, as track 2 of ASVspoof 5 writes for a score that a system does not have?"""
    return pc.all(pc.equal(texts, "-")).as_py()


def _whole(texts: pa.ChunkedArray) -> bool:
    return pc.all(pc.match_substring_regex(texts, "^[0-9]{1,9}$")).as_py()


def _counts(texts: pa.ChunkedArray) -> bool:
    """Is each of these whole numbers one more than that of the row before?"""
    return bool((np.diff(_numbers(texts)) == 1).all())


def _numbers(texts: pa.ChunkedArray) -> np.ndarray | None:
    try:
        return pc.cast(texts, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None


def _numbered(texts: pa.ChunkedArray) -> bool:
    """Are all of them 0, 1 or nan?"""
    return pc.all(pc.is_in(pc.utf8_lower(texts.unique()), pa.array(list(NUMBERED)))).as_py()


def _labels(path: Path, words: pa.ChunkedArray, told: list[str]) -> dict[str, pa.Array]:
    """Column label, and asv_label where the words are those of track 2; what was assumed is added to `told`."""
    lower = pc.utf8_lower(words).combine_chunks().dictionary_encode()
    lower = lower.combine_chunks() if isinstance(lower, pa.ChunkedArray) else lower
    there = lower.dictionary.to_pylist()
    known = next((k for k in (LABEL_WORDS, NUMBERED, VERIFIED) if set(there) <= set(k)), None)
    if known is None:
        word = next((w for w in there if w not in LABEL_WORDS and w not in VERIFIED), there[0])
        raise DataError(f"{path}: unknown label word {word!r}; known: {', '.join(sorted(LABEL_WORDS))}")
    if known is NUMBERED:
        told.append("labels are read as 0 = bona fide, 1 = spoof; write them as words if the file means the reverse")
    found = {"label": pa.array([known[w] for w in there], pa.string()).take(lower.indices)}
    if known is VERIFIED:
        found["asv_label"] = lower.dictionary.take(lower.indices)
    return found


def slug(text: str) -> str:
    """A word for a folder name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_") or "scores"
