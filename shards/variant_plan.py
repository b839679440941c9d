"""Which variants a corpus gets: a TOML file that lists words for every clip, or has k drawn per clip by a seed.

title = "..."                       source = "where this comes from"          seed = 0
[[use]]                             # any number; a clip gets what every one of them gives it
corpora  = ["ctrsvdd"]              # default: all; or except = ["asvspoof2021_df"]
where    = "partition = 'train'"    # default: every clip; a predicate as in protocols
variants = ["mp3-32k", "alaw"]      # all of these; with draw = 1, one of them, each with the same chance
draw     = 3                        # so many different ones per clip; with [[use.factor]] tables instead of
[[use.factor]]                      # variants: one word is drawn of each table by weight, and they are joined
original = 1
mp3-32k  = 9
"""

import functools
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.types import DataError, nearest
from protocols import predicate
from shards import variants

FOLDER = Path(__file__).with_name("plans")
_TOP = {"title", "source", "note", "seed", "use"}
_USE = {"corpora", "except", "where", "variants", "draw", "factor"}
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Use:
    """One [[use]] of a plan. factors: tables of word -> weight, drawn one each; without draw all `words` are made."""

    corpora: frozenset[str] | None
    shut_out: frozenset[str]
    where: str | None
    words: tuple[str, ...]
    draw: int | None
    factors: tuple[tuple[tuple[str, float], ...], ...]

    def wants(self, corpus: str) -> bool:
        """Whether clips of this corpus are meant, `where` apart."""
        return (self.corpora is None or corpus in self.corpora) and corpus not in self.shut_out

    def drawn(self, utt_id: str, seed: int, number: int) -> tuple[str, ...]:
        """The variants of one clip, sorted; number: of this [[use]] in its plan."""
        if self.draw is None:
            return self.words
        generator = np.random.default_rng(variants.derive(seed, "plan", number, utt_id))
        if not self.factors:
            return tuple(sorted(generator.choice(self.words, self.draw, replace=False).tolist()))
        found: set[str] = set()
        for _ in range(_TRIES):
            if len(found) == self.draw:
                break
            parts = [_drawn(factor, generator.random()) for factor in self.factors]
            found.add(_join(parts))
            found.discard("original")  # every clip has it, in the shards it is made from
        if len(found) < self.draw:  # the rest is rare: drawn among what is left, by the same weights
            left = {word: log_weight for word, log_weight in _combinations(self.factors) if word not in found}
            late = np.log(generator.exponential(size=len(left))) - np.array(list(left.values()))
            found.update(np.array(list(left))[np.argsort(late)[: self.draw - len(found)]].tolist())
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """A plan: its name, its seed, what it uses, and the text of its file."""

    name: str
    seed: int
    uses: tuple[Use, ...]
    text: str

    def words(self, utt_id: str, among: Sequence[bool] | None = None) -> tuple[str, ...]:
        """The variants of one clip beside `original`, sorted.

        among: for each [[use]] whether its `where` holds for the clip; None where no [[use]] has one.
        """
        corpus, found = utt_id.split("/")[0], set()
        for number, use in enumerate(self.uses):
            if use.wants(corpus) and (among is None or among[number]):
                found.update(use.drawn(utt_id, self.seed, number))
        return tuple(sorted(found))


def names() -> list[str]:
    """The plans that come with Siren, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str | Path, *, seed: int | None = None) -> VariantPlan:
    """The plan of that name, or of that TOML file; seed: in place of its own.

    Raises DataError for an unknown name and for whatever is wrong in the file, naming file and key.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in names():
            raise nearest(str(name), names(), what="variant plan (or pass a .toml file)")
        path = FOLDER / f"{name}.toml"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"plan {path} cannot be read ({error})") from None
    return parse(text, path.stem, seed=seed)


def parse(text: str, name: str, *, seed: int | None = None) -> VariantPlan:
    """The plan that the text of a TOML file holds; seed: in place of its own. Raises DataError, as load() does."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f"plan {name}: not valid TOML: {error}") from None
    _known(table, _TOP, f"plan {name}")
    uses = table.get("use")
    if not isinstance(uses, list) or not uses or not all(isinstance(use, dict) for use in uses):
        raise DataError(f"plan {name}: at least one [[use]] says which variants are made (as in {FOLDER}/fd_add.toml)")
    own_seed = table.get("seed", 0)
    for value in (own_seed, own_seed if seed is None else seed):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise DataError(f"plan {name}: seed is a whole number from 0 on, below 2**63, not {value!r}")
    read = tuple(_use(use, f"plan {name} [[use]] {number}") for number, use in enumerate(uses, start=1))
    return VariantPlan(name, own_seed if seed is None else seed, read, text)


@functools.lru_cache(maxsize=8)
def cached(name: str) -> VariantPlan:
    """load(name), read once a process."""
    return load(name)


def _use(table: Mapping[str, Any], place: str) -> Use:
    _known(table, _USE, place)
    corpora, shut_out = (_words(table.get(key), f"{place} {key}") for key in ("corpora", "except"))
    where, draw, factors = table.get("where"), table.get("draw"), table.get("factor", [])
    if where is not None:
        if not isinstance(where, str):
            raise DataError(f"{place} where: a predicate in quotes, as in protocols")
        predicate.check(where, f"{place} where")
    words = _words(table.get("variants"), f"{place} variants")
    if not isinstance(factors, list):
        raise DataError(f"{place} factor: [[use.factor]] tables of variant = weight, not {factors!r}")
    if bool(words) == bool(factors):
        raise DataError(f"{place}: either variants = [...] or [[use.factor]] tables")
    for word in words:
        _parsed(word, place)
        if word == "original":
            raise DataError(f"{place}: original is no variant of a plan; every clip has it: python -m shards CORPUS")
    if draw is not None and (not isinstance(draw, int) or isinstance(draw, bool) or draw < 1):
        raise DataError(f"{place} draw: a number of variants from 1 on, not {draw!r}")
    if factors and draw is None:
        raise DataError(f"{place}: [[use.factor]] needs draw = K, the number of variants per clip")
    tables = tuple(_factor(factor, place) for factor in factors)
    for word, _ in _combinations(tables):
        _parsed(word, f"{place} factor")
    room = len(words) or len(_combinations(tables))
    if draw is not None and draw > room:
        raise DataError(f"{place}: draw = {draw} different variants out of {room}")
    return Use(frozenset(corpora) or None, frozenset(shut_out), where, words, draw, tables)


def _factor(table: object, place: str) -> tuple[tuple[str, float], ...]:
    weights = table.items() if isinstance(table, dict) else ()
    if not weights or any(isinstance(w, bool) or not isinstance(w, int | float) or not 0 < w < 1e9 for _, w in weights):
        raise DataError(f"{place} factor: a table of variant = weight above 0")
    return tuple((word, float(weight)) for word, weight in weights)


@functools.lru_cache(maxsize=64)
def _combinations(tables: tuple[tuple[tuple[str, float], ...], ...]) -> tuple[tuple[str, float], ...]:
    """Every word that can be drawn of the tables, with the natural log of its weight, `original` left out."""
    found: dict[str, float] = {}
    for parts in itertools.product(*tables):
        word, log_weight = _join([word for word, _ in parts]), sum(math.log(weight) for _, weight in parts)
        found[word] = float(np.logaddexp(found.get(word, -np.inf), log_weight))
    found.pop("original", None)  # every clip has it
    return tuple(found.items())


def _join(parts: Sequence[str]) -> str:
    return "_".join(part for part in parts if part != "original") or "original"


def _parsed(word: str, place: str) -> None:
    if word.startswith("vocals"):
        raise DataError(f"{place}: vocals is made by its own command, python -m shards vocals")
    try:
        variants.parse(word)
    except DataError as error:
        raise DataError(f"{place}: {error}") from None


def _drawn(factor: tuple[tuple[str, float], ...], u: float) -> str:
    """The word whose stretch of the summed weights holds u in [0, 1)."""
    left = u * sum(weight for _, weight in factor)
    for word, weight in factor:
        left -= weight
        if left < 0:
            return word
    return factor[-1][0]


def _known(table: Mapping[str, Any], keys: set[str], place: str) -> None:
    for key in table:
        if key not in keys:
            raise DataError(f"{place}: {nearest(key, keys, what='key')}")


def _words(value: object, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise DataError(f"{place}: a list of words in quotes")
    if len(set(value)) < len(value):
        raise DataError(f"{place}: a word stands there twice")
    return tuple(value)
