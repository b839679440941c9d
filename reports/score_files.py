"""Score files of other people: whichever of the usual layouts, read into utterance, score and what else they tell.

Blank- or comma-separated, with or without a header, gzip or not. With a header the columns are found by name;
without, by content: the first is the file, the numeric one the score, the one of label words the label. That
covers `file score`, `file score label`, ASVspoof 2019 (`file attack label score`), 2021 (`file score`) and 5
(`filename cm-score`).
"""

import csv
import gzip
import io
import re
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.text import fields, width
from ingest.types import LABEL_WORDS, DataError

SCORE_WORDS = ("score", "cm-score", "cm_score", "cm_scores", "scores", "logit", "logits", "llr")
COLUMN_WORDS = {
    "label": ("label", "cm_label", "cm-label", "key", "target"),
    "attack": ("attack", "attack_id", "attack-id", "system"),
    "codec": ("codec", "compr", "compression"),
    "speaker": ("speaker", "spk", "spk_id", "speaker_id", "singer"),
    "subset": ("subset", "phase"),
}
_UNREADABLE = (OSError, EOFError, UnicodeDecodeError, zlib.error)
AUDIO_SUFFIX = r"\.(flac|wav|mp3|m4a|ogg|opus)$"


def read(path: Path, *, sign: float = 1.0) -> pa.Table:
    """Columns file, score (times sign), and those of label, attack, codec, speaker, subset that the file has.

    `file` is as written, without an audio suffix. Labels become bonafide or spoof. Raises DataError naming
    the file and what is wrong: an unreadable layout, a score that is not a finite number (first line named),
    an unknown label word.
    """
    words, header = _table(path)
    columns = _by_name(path, words) if header else _by_content(path, words)
    score = _numbers(words[columns["score"]])
    if score is None or not np.isfinite(score).all():
        texts = words[columns["score"]].to_pylist()
        bad = [k for k, text in enumerate(texts) if not _finite(text)]
        line = bad[0] + 1 + header
        some = f"{len(bad)} of {len(texts)} scores are not finite numbers"
        raise DataError(f"{path}: {some} (first: {texts[bad[0]]!r}, row {line})")
    file = pc.replace_substring_regex(words[columns["file"]], f"(?i){AUDIO_SUFFIX}", "")
    found = {"file": file, "score": pa.array(sign * score)}
    for name in ("attack", "codec", "speaker", "subset"):
        if name in columns:
            values = words[columns[name]]
            found[name] = pc.if_else(pc.is_in(values, pa.array(["", "-", "bonafide"])), None, values) \
                if name == "attack" else values  # fmt: skip
    if "label" in columns:
        found["label"] = _labels(path, words[columns["label"]])
    return pa.table(found)


def _finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _table(path: Path) -> tuple[pa.Table, bool]:
    """All columns as words, and whether the first line was a header."""
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    head = _first_line(path)
    if "," in head:
        try:
            with io.TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="") as file:
                rows = [row for row in csv.reader(file) if row]
        except (*_UNREADABLE, csv.Error) as error:
            raise DataError(f"{path} is not a text file of comma-separated values ({error})") from None
        widths = {len(row) for row in rows}
        if len(widths) > 1:
            short = next(k for k, row in enumerate(rows) if len(row) != len(rows[0]))
            raise DataError(f"{path} line {short + 1}: {len(rows[short])} columns, the first line has {len(rows[0])}")
        names, columns = [c.strip() for c in rows[0]], zip(*rows, strict=True)
        table = pa.table([pa.array([c.strip() for c in column], pa.string()) for column in columns], _unique(names))
    else:
        names, table = head.split(), fields(path, [f"c{k}" for k in range(width(path))]).drop_columns("line")
        if len(names) != table.num_columns:  # other blanks than these: a no-break space, a control character
            raise DataError(f"{path} line 1: {table.num_columns} columns, or {len(names)} by its unusual blanks")
        table = table.rename_columns(_unique(names))
    header = any(name.lower() in SCORE_WORDS for name in names)
    table = table.slice(1) if header else table.rename_columns([f"c{k}" for k in range(table.num_columns)])
    if table.num_columns < 2 or not table.num_rows:
        raise DataError(f"{path}: every line needs a file name and a score; the first is {head[:80]!r}")
    return table.combine_chunks(), header


def _unique(names: list[str]) -> list[str]:
    return [name if names.index(name) == k else f"{name} ({k})" for k, name in enumerate(names)]


def _opened(path: Path) -> io.BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")


def _first_line(path: Path) -> str:
    try:
        with _opened(path) as file:
            for line in file:
                if line.strip():
                    return line.decode("utf-8-sig").strip()
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a text file ({error})") from None
    raise DataError(f"{path} is empty")


def _by_name(path: Path, words: pa.Table) -> dict[str, str]:
    lower = {name.lower(): name for name in words.column_names}
    score = next(lower[word] for word in SCORE_WORDS if word in lower)
    found = {"score": score}
    for column, known in COLUMN_WORDS.items():
        name = next((lower[word] for word in known if word in lower), None)
        if name is not None:
            found[column] = name
    ids = ("utt", "utt_id", "file", "filename", "file_name", "trial", "path", "name", "utterance", "audio", "id")
    found["file"] = next((lower[word] for word in ids if word in lower), words.column_names[0])
    if found["file"] == score:
        raise DataError(f"{path}: no column names the files; expected one of {', '.join(ids)}")
    return found


def _by_content(path: Path, words: pa.Table) -> dict[str, str]:
    names = words.column_names
    numeric = [name for name in names[1:] if _numbers(words[name]) is not None]
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


def _numbers(texts: pa.ChunkedArray) -> np.ndarray | None:
    try:
        return pc.cast(texts, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None


def _labels(path: Path, words: pa.ChunkedArray) -> pa.Array:
    lower = pc.utf8_lower(words).combine_chunks().dictionary_encode()
    lower = lower.combine_chunks() if isinstance(lower, pa.ChunkedArray) else lower
    for word in lower.dictionary.to_pylist():
        if word not in LABEL_WORDS:
            raise DataError(f"{path}: unknown label word {word!r}; known: {', '.join(sorted(LABEL_WORDS))}")
    return pa.array([LABEL_WORDS[w] for w in lower.dictionary.to_pylist()], pa.string()).take(lower.indices)


def stem(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """The last part of a path."""
    return pc.replace_substring_regex(names, r"^.*[/\\]", "")


def slug(text: str) -> str:
    """A word for a folder name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_") or "scores"
