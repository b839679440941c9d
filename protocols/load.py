"""TOML files -> Protocol: finds them by file name, expands templates, refuses unknown keys."""

import functools
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ingest.types import DataError, nearest
from protocols import predicate
from protocols.types import (
    BALANCES,
    METRICS,
    OVERLAPS,
    PAIRS,
    REFERENCE_MODES,
    SCENARIOS,
    Count,
    Declared,
    Limit,
    Part,
    Protocol,
    Reference,
    Role,
    TrialList,
    role_label,
)  # fmt: skip

_HERE = Path(__file__).parent
_TOP = {
    "title", "scenario", "source", "note", "metrics", "averages", "pooled", "balance", "clip", "lists",
    "declares", "like", "for", "train", "dev", "test",
}  # fmt: skip
_PART = {"where", "bonafide", "spoof", "variant", "limit", "in", "not_in", "min_duration_s"}
_ROLE = _PART | {"part", "shares", "equal", "reference", "count", "about", "mean_over"}
_LABELS = ("bonafide", "spoof")
TRIAL_COLUMNS = ("label", "corpus", "attack", "speaker", "language", "domain", "partition")
DESCRIBED = ("codec", "vocoder", "codec_class", "transmission", "source_corpus", "gender", "trim")  # dev trials too
_UNFILLED = re.compile(r"(?<!\\[pP])\{[A-Za-z_]\w*\}")  # \p{Greek} is a class of letters


def names(folder: Path | None = None) -> list[str]:
    """Every protocol id, sorted: `folder/stem` of the files of this package and of the user's `folder`."""
    return sorted(_files(folder))


def load(name: str, folder: Path | None = None) -> Protocol:
    """The protocol of that id, from the user's `folder` (same layout as this package) or from this package.

    Raises DataError for an unknown id (with the nearest ones) and for whatever is wrong in the file, naming
    file and table.
    """
    files = _files(folder)
    if name not in files:
        raise nearest(name, files, what="protocol")
    path, values = files[name]
    if "{" not in path.stem and "for" in _read(path):
        raise DataError(f"{_place(path)}: [for] makes one protocol for each value; put {{word}} into the file's name")
    try:
        return _protocol(name, path, _fill(_table(path, folder), values))
    except (AttributeError, TypeError, ValueError) as error:  # a list where a table belongs, a word for a seed ...
        raise DataError(f"{_place(path)}: a value is not of the kind that its key takes ({error})") from None


def own(data: Path | None) -> Path | None:
    """The folder of the user's protocols, DATA/protocols, where there is one."""
    return data / "protocols" if data and (data / "protocols").is_dir() else None


def _files(folder: Path | None) -> dict[str, tuple[Path, dict]]:
    """Id -> file and the values of its template; the user's files win over those of the package."""
    found = {}
    for root in (_HERE, folder):
        if root is not None and not root.is_dir():
            raise DataError(f"{root} is not a folder of protocols (inner/, cross_method/, ... with *.toml)")
        here: dict[str, tuple[Path, dict]] = {}
        for scenario in SCENARIOS if root else ():
            for path in sorted((root / scenario).glob("*.toml")):
                for values in _values(path):
                    name = f"{scenario}/{_fill(path.stem, values)}"
                    if "{" in name:
                        raise DataError(f"{_place(path)}: [for] gives no value for the {{word}} in the file's name")
                    if name in here:
                        raise DataError(f"{_place(path)}: {name} comes twice (also of {_place(here[name][0])})")
                    here[name] = (path, values)
        found |= here
    return found


def _values(path: Path) -> list[dict]:
    """The assignments of a template: every combination of the lists of [for], or the tables of [[for]]."""
    if "{" not in path.stem:
        return [{}]
    return _assignments(_read(path).get("for"), _place(path))


def _assignments(given: object, place: str) -> list[dict]:
    if isinstance(given, list) and given and all(isinstance(item, dict) for item in given):
        tables = given
    elif isinstance(given, dict) and given and all(isinstance(item, list) for item in given.values()):
        tables = [dict(zip(given, row)) for row in itertools.product(*given.values())]
    else:
        raise DataError(f"{place}: a template needs [for] with lists of values, or [[for]] with one table each")
    return tables


def _fill(value: object, values: Mapping[str, object]) -> object:
    """Put the template's values for {word}, in keys and strings at any depth; "{word}" alone may be no string."""
    if isinstance(value, str):
        for word, filling in values.items():
            if value == "{" + word + "}":
                return filling
            value = value.replace("{" + word + "}", str(filling))
        return value
    if isinstance(value, dict):
        return {_fill(key, values): _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    return value


@functools.lru_cache(maxsize=512)
def _parsed(path: Path, _mtime_ns: int) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{_place(path)}: not valid TOML: {error}") from None


def _read(path: Path) -> dict:
    return _parsed(path, path.stat().st_mtime_ns)


def _table(path: Path, folder: Path | None, seen: tuple[Path, ...] = ()) -> dict:
    """The file's table over that of the protocol it is `like`: a key given here replaces the other's whole."""
    table = _read(path)
    if "like" not in table:
        return table
    if path in seen:
        raise DataError(f"{_place(path)}: `like` goes round in a circle")
    files = _files(folder)
    if table["like"] not in files:
        raise DataError(f"{_place(path)}: {nearest(str(table['like']), files, what='protocol')}")
    base, values = files[table["like"]]
    return _fill(_table(base, folder, (*seen, path)), values) | table


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _known(table: Mapping, known: set[str], place: str) -> None:
    for key in table:
        if key not in known:
            raise DataError(f"{place}: {nearest(key, known, what='key')}")


def _protocol(name: str, path: Path, table: dict) -> Protocol:
    place = _place(path)
    _known(table, _TOP, place)
    for key in ("title", "scenario", "source"):
        if not str(table.get(key, "")).strip():
            raise DataError(f"{place}: needs a {key}")
    if table["scenario"] != name.split("/")[0]:
        raise DataError(f"{place}: scenario is {table['scenario']!r} but the file lies in {name.split('/')[0]}/")
    untrained = table["scenario"] == "test_only"
    for key in ("test",) if untrained else ("train", "dev", "test"):
        if not isinstance(table.get(key), dict) or not table[key]:
            raise DataError(f"{place}: needs a table [{key}]")
    if untrained and table.keys() & {"train", "dev"}:
        raise DataError(f"{place}: a test_only protocol has neither [train] nor [dev]")
    lists = _lists(table.get("lists", {}), place)
    test = tuple(_subsets(table["test"], place, lists))
    subsets = [role.subset for role in test]
    twice = [subset for subset in subsets if subsets.count(subset) > 1]
    if twice:
        raise DataError(f"{place} [test.{twice[0]}]: comes twice; put a {{word}} of its `for` into its name")
    both = sorted(set(table.get("averages", {})) & set(table.get("pooled", {})))
    if both:
        raise DataError(f"{place}: {both[0]} is a name in [averages] and in [pooled]; one of them needs another")
    clip = table.get("clip")
    if not (clip is None or (isinstance(clip, int) and clip > 0)):
        raise DataError(f"{place}: clip is a number of samples, not {clip!r}")
    return Protocol(
        name=name, title=table["title"], scenario=table["scenario"], source=table["source"],
        note=table.get("note", ""), path=path,
        train=_nobody("train") if untrained else _role("train", None, table["train"], place, lists),
        dev=_nobody("dev") if untrained else _role("dev", None, table["dev"], place, lists),
        test=test,
        metrics=tuple(
            _one_of(word, METRICS, "metric", place)
            for word in _strings(table.get("metrics", ["eer", "auc"]), f"{place} metrics")
        ),
        averages=_groups(table.get("averages", {}), subsets, f"{place} [averages]", nested=True),
        pooled=_groups(table.get("pooled", {}), subsets, f"{place} [pooled]"),
        balance=_one_of(table.get("balance", "none"), BALANCES, "balance", place),
        clip=clip,
        dev_mean_over=_of_trials(table.get("dev", {}).get("mean_over"), f"{place} [dev] mean_over", DESCRIBED),
        lists=lists,
        declares=tuple(
            _declared(text, subsets, place) for text in _strings(table.get("declares", []), f"{place} declares")
        ),
    )  # fmt: skip


def _subsets(table: dict, place: str, lists: Mapping[str, TrialList]) -> Iterator[Role]:
    """[test] holds defaults; each table in it is a subset, or several where it has a `for`."""
    reserved = ("limit", "reference", "shares")
    defaults = {key: value for key, value in table.items() if not isinstance(value, dict) or key in reserved}
    named = {key: value for key, value in table.items() if key not in defaults}
    _known(defaults, _ROLE, f"{place} [test]")
    if not named:
        raise DataError(f"{place} [test]: needs at least one subset, e.g. [test.eval]")
    for key, given in named.items():
        given = dict(given)
        loop = given.pop("for", None)
        for values in [{}] if loop is None else _assignments(loop, f"{place} [test.{key}]"):
            subset, own = _fill(key, values), _fill(given, values)
            both = [item["where"] for item in (defaults, own) if "where" in item]
            yield _role("test", subset, defaults | own | ({"where": both} if both else {}), place, lists)


def _nobody(role: str) -> Role:
    """The train and dev of a protocol that only tests."""
    return Role(role, None, (), None, (), None, None)


def _role(role: str, subset: str | None, table: dict, place: str, lists: Mapping[str, TrialList]) -> Role:
    where = f"{place} [{role_label(role, subset)}]"
    _known(table, _ROLE if role == "dev" else _ROLE - {"mean_over"}, where)
    shared = {key: value for key, value in table.items() if key in _PART}
    parts = []
    for given in table.get("part", [{}]):
        _known(given, _PART, f"{where} part")
        conditions = [text for one in (shared, given) for text in _strings(one.get("where", []), where)]
        parts.append(_part(shared | given | {"where": conditions}, where, lists))
    equal = tuple(_of_trials(word, f"{where} equal") for word in _strings(table.get("equal", []), where))
    shares, reference = _shares(table.get("shares"), where), _reference(table.get("reference"), where, lists)
    return Role(role, subset, tuple(parts), shares, equal, reference, _count(table, where))


def _part(table: dict, place: str, lists: Mapping[str, TrialList]) -> Part:
    if not table["where"] and not any(label in table for label in _LABELS):
        raise DataError(f"{place}: needs `where`, `bonafide` or `spoof`")
    wanted, refused = frozenset(), frozenset()
    for text in table["where"]:
        found, shut = predicate.check(_text(text, f"{place} where"), f"{place} where")
        wanted = _narrowed(wanted, found)
        refused |= shut
    labels = frozenset()
    for label in _LABELS:
        if label in table:
            found, shut = predicate.check(_text(table[label], f"{place} {label}"), f"{place} {label}")
            labels |= found - shut
    wanted = _narrowed(wanted, labels)
    if not table["where"] and not all(label in table for label in _LABELS):
        missing = next(label for label in _LABELS if label not in table)
        table = table | {missing: "false"}
    return Part(
        where=tuple(table["where"]), bonafide=table.get("bonafide"), spoof=table.get("spoof"),
        variant=_text(table.get("variant", "original"), f"{place} variant"), limit=_limit(table.get("limit"), place),
        within=_listed(table.get("in", []), lists, place),
        outside=_listed(table.get("not_in", []), lists, place),
        min_duration_s=_seconds(table.get("min_duration_s"), place), needs=wanted - refused,
    )  # fmt: skip


def _narrowed(corpora: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """The corpora that two conditions name together; one that names none narrows nothing."""
    return corpora & others if corpora and others else corpora | others


def _seconds(value: object, place: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")):
        return value
    raise DataError(f"{place}: min_duration_s is a number of seconds, not {value!r}")


def _shares(table: dict | None, place: str) -> tuple[str, dict[str, float]] | None:
    """`shares = { domain = { speech = 0.5, singing = 0.5 } }`: one column, a share for each of its values."""
    if table is None:
        return None
    if not (isinstance(table, dict) and len(table) == 1 and all(isinstance(v, dict) for v in table.values())):
        raise DataError(f"{place}: write shares = {{ column = {{ value = share, ... }} }}, not {table!r}")
    ((column, shares),) = table.items()
    for value, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < float("inf"):
            raise DataError(f"{place} shares: {value} is a positive number, not {share!r}")
    return _of_trials(column, f"{place} shares"), {value: float(share) for value, share in shares.items()}


def _limit(table: dict | None, place: str) -> Limit | None:
    if table is None:
        return None
    _known(table, {"bonafide", "spoof", "by", "seed"}, f"{place} limit")
    for label in _LABELS:
        value = table.get(label)
        share = isinstance(value, float) and 0 < value < 1
        number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not (value is None or share or number or value in _LABELS):
            raise DataError(f"{place} limit: {label} is a number, a share below 1, bonafide or spoof, not {value!r}")
    return Limit(
        table.get("bonafide"), table.get("spoof"), _column(table.get("by"), f"{place} limit"),
        int(table.get("seed", 0)),
    )  # fmt: skip


def _reference(table: dict | None, place: str, lists: Mapping[str, TrialList]) -> Reference | None:
    if table is None:
        return None
    _known(table, {"mode", "seed", "list"}, f"{place} reference")
    mode = _one_of(table.get("mode", "real"), REFERENCE_MODES, "reference mode", place)
    if (mode == "enrolled") != ("list" in table):
        raise DataError(f"{place} reference: mode enrolled and `list` go together")
    if "list" in table and lists[_one_of(table["list"], lists, "list", place)].members is None:
        raise DataError(f"{place} reference: list {table['list']!r} has no `members`: it names no clips of a speaker")
    return Reference(mode, int(table.get("seed", 0)), table.get("list"))


def _count(table: dict, place: str) -> Count | None:
    if "count" not in table and "about" not in table:
        return None
    value = table.get("count", table.get("about"))
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) for n in value)):
        raise DataError(f"{place}: a count is [bona fide, spoof], not {value!r}")
    return Count(value[0], value[1], exact="count" in table)


def _lists(tables: dict, place: str) -> dict[str, TrialList]:
    found = {}
    for name, table in tables.items():
        where = f"{place} [lists.{name}]"
        if not re.fullmatch(r"\w+", name):
            raise DataError(f"{where}: a list's name is made of letters, digits and _")
        _known(table, {"file", "column", "id", "members"}, where)
        if "file" not in table or "column" not in table:
            raise DataError(f"{where}: needs `file` and `column`")
        file, columns = table["file"], [table[key] for key in ("column", "members") if key in table]
        if not isinstance(file, str) or not _is_below(file):
            raise DataError(f"{where}: `file` is the name of a file below the folder of lists, not {file!r}")
        if {type(column) for column in columns} not in ({str}, {int}):
            raise DataError(f"{where}: `column` and `members` are words of the header or numbers from 1, not {columns}")
        kind = _one_of(table.get("id", "utt_id"), ("utt_id", "source_id", "stem", "speaker"), "id", where)
        found[name] = TrialList(name, file, table["column"], kind, table.get("members"))
    return found


def _is_below(file: str) -> bool:
    """Whether a path names something below the folder that it is relative to."""
    return bool(file.strip("/.")) and "\0" not in file and file[0] != "/" and ".." not in file.split("/")


def _listed(given: Sequence[str], lists: Mapping[str, TrialList], place: str) -> tuple[tuple[str, str], ...]:
    found = [lists[_one_of(name, lists, "list", place)] for name in _strings(given, place)]
    if enrols := [entry.name for entry in found if entry.members is not None]:
        raise DataError(f"{place}: list {enrols[0]!r} has `members`, so it is one for `reference`")
    return tuple((entry.name, entry.id) for entry in found)


def _groups(table: dict, subsets: Sequence[str], place: str, *, nested: bool = False) -> dict[str, tuple[str, ...]]:
    """Name -> subsets; a member may be a pattern such as `wavefake_*`, in the order of the file, or where `nested` a
    group that stands before it."""
    groups: dict[str, tuple[str, ...]] = {}
    for name, members in table.items():
        found: list[str] = []
        for member in _strings(members, f"{place} {name}"):
            hits = [subset for subset in subsets if fnmatchcase(subset, member)]
            if nested and member in groups:
                hits = [member]
            if not hits:
                known = [*subsets, *groups] if nested else subsets
                raise DataError(f"{place} {name}: {nearest(member, known, what='subset')}")
            found += [subset for subset in hits if subset not in found]
        groups[name] = tuple(found)
        if name in subsets:
            raise DataError(f"{place} {name}: is also the name of a subset")
    return groups


def _declared(text: str, subsets: Sequence[str], place: str) -> Declared:
    """`[pair or subset] kind, kind: reason`, e.g. `train/test source: unseen attacks are tested whole`."""
    head, colon, reason = text.partition(":")
    words = head.replace(",", " ").split()
    pair = subset = None
    if words and words[0] in PAIRS:
        pair = words.pop(0)
    elif words and words[0].startswith("test."):
        subset = _one_of(words.pop(0).removeprefix("test."), subsets, "subset", f"{place} declares")
    if not colon or not reason.strip() or not words:
        raise DataError(f"{place} declares: write `kind: reason` or `train/test kind: reason`, not {text!r}")
    kinds = tuple(_one_of(word, OVERLAPS, "kind of overlap", f"{place} declares") for word in words)
    return Declared(pair, subset, kinds, reason.strip())


def _one_of(word: str, known: Sequence[str] | Mapping, what: str, place: str) -> str:
    if word not in known:
        raise DataError(f"{place}: {nearest(str(word), known, what=what)}")
    return word


def _of_trials(word: str | None, place: str, more: Sequence[str] = ()) -> str | None:
    """A column of the catalog that trials still have when they are weighed or averaged over."""
    known = (*TRIAL_COLUMNS, *more)
    if _column(word, place) not in (None, *known):
        raise DataError(
            f"{place}: {word} is a column of the catalog and none of the trials, which have {', '.join(known)}"
        )
    return word


def _column(word: str | None, place: str) -> str | None:
    return word if word is None else _one_of(word, predicate.columns(), "column", place)


def _strings(value: object, place: str) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
        raise DataError(f"{place}: {value!r} is neither a string nor a list of them")
    return found


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place}: needs a string, not {value!r}")
    if unfilled := _UNFILLED.search(value):
        raise DataError(f"{place}: no `for` gives {unfilled[0]} a value: {value}")
    return value
