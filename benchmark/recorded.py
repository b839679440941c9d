"""The JSON files that runs leave, every key checked when it is read: run, asv, failed, train.json and grids.

Other versions, other programs and hands write them as well. What a reader relies on is a row of a table here, so that a
damaged file is one line with its name, whichever command meets it first.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.finished import RUN
from ingest.types import DataError
from protocols.types import METRICS as known_metrics

ASV, FAILED, TRAINED = "asv.json", "failed.json", "train.json"
_LARGEST = 1 << 63  # what a column of the results takes


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value has to be, in words and as a question."""

    words: str
    holds: Callable[[Any], bool]


def _is_groups(value: Any) -> bool:
    return isinstance(value, dict) and all(map(WORDS.holds, value.values()))


def _is_rates(value: Any) -> bool:
    names = {"p_fa", "p_miss", "p_fa_spoof"}
    return isinstance(value, dict) and all(
        isinstance(rates, dict) and set(rates) == names and all(map(_is_share, rates.values()))
        for rates in value.values()
    )


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(point, list) and len(point) == 3 and WHOLE.holds(point[0]) and TEXT.holds(point[1])
        and type(point[2]) in (int, float)
        for point in value
    )  # fmt: skip


TEXT = Kind("text", lambda value: isinstance(value, str))
NAME = Kind(
    "the name of a folder", lambda value: TEXT.holds(value) and "/" not in value and value not in ("", ".", "..")
)
WHOLE = Kind("a whole number", lambda value: type(value) is int and abs(value) < _LARGEST)
NUMBER = Kind("a number", lambda value: type(value) in (int, float) and abs(value) < _LARGEST)
TRUTH = Kind("true or false", lambda value: isinstance(value, bool))
TABLE = Kind("a table", lambda value: isinstance(value, dict))
WORDS = Kind("a list of words", lambda value: isinstance(value, list) and all(map(TEXT.holds, value)))
NAMES = Kind("a table of words", lambda v: isinstance(v, dict) and all(map(TEXT.holds, v.values())))
GROUPS = Kind("a table of lists of words", _is_groups)
METRICS = Kind(
    f"a list of metrics ({', '.join(known_metrics)})", lambda v: WORDS.holds(v) and set(v) <= set(known_metrics)
)
RATES = Kind("a table of p_fa, p_miss and p_fa_spoof, each from 0 to 1", _is_rates)
CURVE = Kind("a list of epoch, name and value", _is_curve)
RUNS = Kind(
    "a list of pairs of words", lambda v: isinstance(v, list) and all(WORDS.holds(p) and len(p) == 2 for p in v)
)
PLACES = Kind("a table of pairs of words", lambda value: _is_groups(value) and all(len(p) == 2 for p in value.values()))

KEYS = {  # of run.json; null stands for what is not known
    **dict.fromkeys(
        ("run_id", "detector", "protocol", "scenario", "title", "train_fingerprint", "trials_fingerprint", "described",
         "code_version", "git_commit", "lock", "shards", "model_sha256", "backbone_sha256", "device", "form",
         "energy_source", "finished_at", "source"), TEXT),
    **dict.fromkeys(
        ("seed", "best_epoch", "epochs", "parameters", "peak_memory_bytes", "train_draws", "scored_trials",
         "missing_trials", "catalog_version", "processes", "sign"), WHOLE),
    **dict.fromkeys(("train_s", "score_s", "energy_j"), NUMBER),
    **dict.fromkeys(("trained", "external", "simulated", "partial", "git_dirty"), TRUTH),
    **dict.fromkeys(("config", "versions", "backbone"), TABLE),
    "train_key": NAME, "metrics": METRICS, "diagnostics": NAMES, "averages": GROUPS, "pooled": GROUPS,
}  # fmt: skip
_FAILED_KEYS = {"detector": TEXT, "protocol": TEXT, "seed": WHOLE, "reason": TEXT, "again": TEXT}
_TRAINED_KEYS = {"train_s": NUMBER, "train_draws": WHOLE, "best_epoch": WHOLE, "epochs": WHOLE, "curve": CURVE}
_GRID_KEYS = {"grid": TEXT, "title": TEXT, "source": TEXT, "note": TEXT, "order": WORDS, "columns": PLACES,
              "levels": RUNS}  # fmt: skip
_AGAIN = "delete {} and run the cell again"


def run(folder: Path, *, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The record of a finished run; its run_id is the name of the folder.

    needed: keys that must be there and not null. Raises DataError naming the file and the key.
    """
    path = folder / RUN
    about = read(path)
    _check(path, about, KEYS, needed, _AGAIN.format(folder))
    return about | {"run_id": folder.name}


def asv(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """subset -> attack ("" = all) -> error rates of the speaker verifier; empty where the protocol asks for none."""
    path = folder / ASV
    if not path.exists():
        return {}
    found = read(path)
    _check(path, found, dict.fromkeys(found, RATES), tuple(found), _AGAIN.format(folder))
    return found


def failure(folder: Path) -> dict[str, Any] | None:
    """detector, protocol, seed and reason of a cell that failed, and the command for it; None for what is not known.

    None for a cell that did not fail, or has just ended well.
    """
    try:
        about = read(folder / FAILED)
    except DataError:
        if (folder / FAILED).exists():
            raise
        return None
    _check(folder / FAILED, about, _FAILED_KEYS, (), _AGAIN.format(folder))
    return {name: about.get(name) for name in _FAILED_KEYS}


def training(folder: Path) -> dict[str, Any]:
    """What DATA/models/KEY holds beside the weights: epochs, seconds, curve. DataError names a damaged file."""
    about = read(folder / TRAINED)
    _check(folder / TRAINED, about, _TRAINED_KEYS, ("train_s", "curve"), _AGAIN.format(folder))
    return about


def grid(path: Path) -> dict[str, Any]:
    """What `run --grid` left in DATA/grids: which run is which level, and how the grid is shown."""
    again = "delete it and run the grid again"
    about = read(path, again=again)
    _check(path, about, _GRID_KEYS, ("grid", "order", "columns", "levels"), again)
    return about


def read(path: Path, *, again: str | None = None) -> dict[str, Any]:
    """A JSON object from a file. Raises DataError naming the file if it is none, or holds what no text can."""
    again = again or _AGAIN.format(path.parent)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is JSON, but no text
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); {again}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object; {again}")
    return value


def need(folder: Path, about: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise DataError unless a record has these keys, none of them null."""
    _check(folder / RUN, about, {}, names, _AGAIN.format(folder))


def _check(path: Path, about: Mapping[str, Any], kinds: Mapping[str, Kind], needed: Sequence[str], again: str) -> None:
    for name in needed:
        if about.get(name) is None or about[name] == "":
            raise DataError(f"{path} has no {name!r}; {again}")
    for name, kind in kinds.items():
        value = about.get(name)
        if value is not None and not kind.holds(value):
            raise DataError(f"{path}: {name!r} is {_short(value)}, not {kind.words}; {again}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
