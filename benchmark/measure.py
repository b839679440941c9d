"""Scores of one run -> rows: every metric of every subset, its interval, and every breakdown.

Pure: a table in, rows out; no model, no catalog. What cannot be measured becomes a row without a value and
with the reason.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from benchmark import breakdowns, metrics
from benchmark.bootstrap import Interval, auc_interval, cost_intervals, eer_interval, eer_interval_of
from benchmark.metrics import AsvRates, Ranked
from benchmark.tdcf import cell_key
from ingest.types import DataError

ALWAYS = ("eer", "eer_tie_safe", "tie_mass", "auc")
DECISIONS = ("accuracy", "precision", "recall", "f1")
IN_CELLS = ("eer", "auc", "min_dcf", "act_dcf", "cllr", "min_tdcf_2019", "min_tdcf_2021")
COST_REPLICATES = 200  # a least cost needs every trial drawn
BELOW_SPEAKERS = 200  # a table by speaker with more rows than this is nobody's reading


@dataclass(frozen=True, slots=True)
class Result:
    """The twin of table `result`."""

    run_id: str
    role: str
    subset: str
    kind: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str | None
    n_bonafide: int
    n_spoof: int
    note: str | None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The twin of table `breakdown`."""

    run_id: str
    subset: str
    factor: str
    level: str
    factor_2: str | None
    level_2: str | None
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str | None
    n_bonafide: int
    n_spoof: int
    note: str | None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """The twin of table `diagnostic`."""

    run_id: str
    subset: str
    domain: str | None
    name: str
    meaning: str
    value: float | None
    trials: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything a score file says."""

    results: list[Result]
    breakdowns: list[Breakdown]
    diagnostics: list[Diagnostic]
    dev_eer: float | None
    dev_threshold: float | None


class Scores:
    """The columns of one score table as arrays; `part(mask)` narrows it."""

    def __init__(self, score: np.ndarray, bonafide: np.ndarray, speaker: np.ndarray, factors: dict):
        self.score, self.bonafide, self.speaker, self.factors = score, bonafide, speaker, factors

    def part(self, where: np.ndarray) -> "Scores":
        factors = {name: breakdowns.Column(c.code[where], c.names) for name, c in self.factors.items()}
        return Scores(self.score[where], self.bonafide[where], self.speaker[where], factors)

    def split(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return values[self.bonafide], values[~self.bonafide]


def measure(
    run_id: str,
    table: pa.Table,
    *,
    asked: Sequence[str] = (),
    averages: Mapping[str, Sequence[str]] | None = None,
    pooled: Mapping[str, Sequence[str]] | None = None,
    asv: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    diagnostics: Mapping[str, str] | None = None,
    replicates: int = 200,
    threads: int = 1,
) -> Measured:
    """All rows of one run.

    table: role, subset, utt_id, label, score and any factor columns. asked: metrics of the protocol beside EER
    and AUC. averages, pooled: name -> subsets, of averages also other averages; a pooled subset counts an utterance
    once. asv: subset -> cell (`tdcf.cell_key`) -> AsvRates fields. diagnostics: columns that are figures of the
    detector's inside, and what each is; one that the table lacks is left out. Raises DataError naming the utterances of
    scores that are not finite, of duplicate trials, and of labels other than bonafide and spoof.
    """
    check(run_id, table)
    whole, subset = _scores(table), breakdowns.encode(table["subset"])
    role = breakdowns.encode(table["role"])
    names = list(dict.fromkeys([*ALWAYS, *asked]))
    dev = whole.part(role.among(["dev"])) if "dev" in role.names else None
    is_test, pools = role.among(["test"]), pooled or {}
    parts = {subset.names[code]: is_test & (subset.code == code) for code in breakdowns.present(subset, is_test)}
    parts |= {name: once(table, is_test & subset.among(members)) for name, members in pools.items()}
    results, cells, inside = [], [], []
    how = {"replicates": replicates, "threads": threads}
    if dev is not None:
        results += _rows((run_id, "dev", "dev", "subset"), dev, names, {}, None, how)
    threshold = metrics.eer(*dev.split(dev.score))[1] if dev is not None and _both(dev) else None
    for name, where in parts.items():
        part = whole.part(where)
        inside += _diagnostics(run_id, name, table, where, whole.factors.get("domain"), diagnostics or {})
        rates = (asv or {}).get(name, {})
        about = (run_id, "test", name, "pooled" if name in pools else "subset")
        results += _rows(about, part, names, rates, threshold, how)
        cells += _cells(run_id, name, part, [n for n in names if n in IN_CELLS], rates)
    for name in _inner_first(averages or {}):
        heard = [parts[member] for member in averages[name] if member in parts]
        parts[name] = once(table, np.logical_or.reduce(heard)) if heard else np.zeros(table.num_rows, bool)
        of_both = [int(both.sum()) for both in (parts[name] & whole.bonafide, parts[name] & ~whole.bonafide)]
        results += _averages(run_id, name, averages[name], results, of_both)
    dev_eer = next((r.value for r in results if r.role == "dev" and r.metric == "eer"), None)
    return Measured(results, cells, inside, dev_eer, threshold)


def _diagnostics(
    run_id: str, subset: str, table: pa.Table, where: np.ndarray, domain: breakdowns.Column | None,
    named: Mapping[str, str],
) -> Iterator[Diagnostic]:  # fmt: skip
    """Means over the trials of a subset, and over those of each domain in it."""
    levels = [(None, where)]
    if domain is not None:
        levels += [(domain.names[k], where & (domain.code == k)) for k in breakdowns.present(domain, where)]
    for name, meaning in named.items():
        if name in table.column_names and pa.types.is_floating(table[name].type):
            values = table[name].to_numpy(zero_copy_only=False)
            for level, inside in levels:
                mean = float(values[inside].mean()) if inside.any() else math.nan
                value = mean if math.isfinite(mean) else None
                yield Diagnostic(run_id, subset, level, name, meaning, value, int(inside.sum()))


def check(run_id: str, table: pa.Table) -> None:
    """Raise DataError for scores, labels or trials that no metric can use."""
    score = table["score"].to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(~np.isfinite(score))
    if bad.size:
        first = ", ".join(table["utt_id"].take(bad[:3]).to_pylist())
        raise DataError(f"{run_id}: {bad.size} of {score.size} scores are not finite (first: {first})")
    label = breakdowns.encode(table["label"])
    wrong = [n for n in label.names if n not in ("bonafide", "spoof")]
    if wrong or (label.code < 0).any():
        raise DataError(f"{run_id}: label {(wrong or ['NULL'])[0]!r} in its scores; known: bonafide, spoof")
    key = _trial(table, ("role", "subset"))
    first = np.unique(key, return_index=True)[1]
    if first.size < key.size:
        twice = np.setdiff1d(np.arange(key.size), first)
        where = f"{table['utt_id'][twice[0]]} in {table['subset'][twice[0]]}"
        raise DataError(f"{run_id}: {twice.size} scores are for a trial that has one already (first: {where})")


def _trial(table: pa.Table, also: Sequence[str] = ()) -> np.ndarray:
    """A number per row, equal for rows of the same utterance and variant (and of the same value of `also`)."""
    key = breakdowns.codes(table["utt_id"])[0]
    for name in ("variant", *also):
        if name in table.column_names:
            code, words = breakdowns.codes(table[name])
            key = key * (len(words) + 1) + code
    return key


def _scores(table: pa.Table) -> Scores:
    bonafide = breakdowns.encode(table["label"]).among(["bonafide"])
    factors = breakdowns.columns(table)
    speaker = np.full(bonafide.size, -1)
    if "speaker" in factors:
        speaker = factors["speaker"].code
        if "corpus" in factors:  # the same name in two corpora is two people
            names = len(factors["speaker"].names)
            speaker = np.where(speaker < 0, -1, speaker + names * factors["corpus"].code)
    return Scores(table["score"].to_numpy(zero_copy_only=False).astype(np.float64), bonafide, speaker, factors)


def once(table: pa.Table, where: np.ndarray) -> np.ndarray:
    """The first row of every utterance (and variant) among `where`, as a mask."""
    rows = np.flatnonzero(where)
    mask = np.zeros(where.size, bool)
    mask[rows[np.unique(_trial(table)[rows], return_index=True)[1]]] = True
    return mask


def _both(part: Scores) -> bool:
    return bool(part.bonafide.any() and not part.bonafide.all())


def _rows(
    about: tuple[str, str, str, str], part: Scores, names: Sequence[str], rates: Mapping,
    threshold: float | None, how: Mapping[str, int],
) -> Iterator[Result]:  # fmt: skip
    n, m = int(part.bonafide.sum()), int((~part.bonafide).sum())
    if not (n and m):
        note = f"not run: no {'bona fide' if not n else 'spoof'} trials"
        for name in names:
            yield Result(*about, name, None, None, None, None, n, m, note)
        return
    scores, speakers = part.split(part.score), part.split(part.speaker)
    ranked = metrics.rank(*scores)
    asv = AsvRates(**rates[""]) if "" in rates else None
    tested = about[1] == "test"  # the run was selected on dev: an interval would say nothing
    intervals = _intervals(names, scores, speakers, asv, how) if tested else {}
    for name in names:
        value, note = value_of(name, ranked, asv)
        interval = intervals.get(name) if value is not None else None
        interval = interval or Interval(None, None, None)
        yield Result(*about, name, value, interval.low, interval.high, interval.method, n, m, note)
    if threshold is not None:
        decided = metrics.confusion(ranked, threshold=float(np.nextafter(threshold, math.inf)))
        for name in DECISIONS:
            value = getattr(decided, name)
            note = None if value is not None else "nothing was called bona fide"
            yield Result(*about, name, value, None, None, None, n, m, note)


def value_of(name: str, ranked: Ranked, asv: AsvRates | None) -> tuple[float | None, str | None]:
    """(value, note) of one metric; the note is a warning, or says why there is no value."""
    if name == "eer":
        return metrics.eer(ranked)[0], "; ".join(metrics.warnings_of(ranked)) or None
    if name in ("min_tdcf_2019", "min_tdcf_2021"):
        return _tandem(name, ranked, asv)
    if name in ("t_eer", "a_dcf"):
        return None, "needs a speaker verification score for every trial"
    plain = {
        "eer_tie_safe": lambda: metrics.eer_tie_safe(ranked)[0],
        "tie_mass": lambda: metrics.tie_mass(ranked),
        "auc": lambda: metrics.auc(ranked),
        "min_dcf": lambda: metrics.min_dcf(ranked)[0],
        "act_dcf": lambda: metrics.act_dcf(ranked),
        "cllr": lambda: metrics.cllr(ranked),
    }
    return plain[name](), None


def _tandem(name: str, ranked: Ranked, asv: AsvRates | None) -> tuple[float | None, str | None]:
    if asv is None:
        return None, "no ASV scores of these trials in the catalog"
    if min(metrics.tdcf_weights(asv, form=name.rpartition("_")[2])) < 0:
        return None, "the ASV error rates give a negative weight"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = metrics.min_tdcf(ranked, asv=asv, form=name.rpartition("_")[2])[0]
    if value is None:
        return None, "fewer than 3 distinct scores"
    if math.isnan(value):
        return None, "the ASV system rejects every spoof"
    return value, None


def _intervals(
    names: Sequence[str], scores: tuple, speakers: tuple, asv: AsvRates | None, how: Mapping[str, int]
) -> dict[str, Interval]:
    """Intervals of the metrics that have one; costs share their replicates."""
    found = {"auc": auc_interval(*scores, speakers=speakers)}
    found["eer"] = eer_interval(*scores, speakers=speakers, **how)
    costs = {}
    for name in names:
        weights = (0.0, metrics.C_MISS * (1 - metrics.P_SPOOF), metrics.C_FA * metrics.P_SPOOF)
        if name.startswith("min_tdcf") and asv is not None:
            weights = metrics.tdcf_weights(asv, form=name.rpartition("_")[2])
        elif name != "min_dcf":
            continue
        default = weights[0] + min(weights[1:])
        if default > 0 and min(weights) >= 0:
            costs[name] = tuple(w / default for w in weights)
    if costs:
        how = {**how, "replicates": min(how["replicates"], COST_REPLICATES)}
        found |= zip(costs, cost_intervals(*scores, costs=list(costs.values()), speakers=speakers, **how))
    return found


def _cells(run_id: str, subset: str, part: Scores, names: Sequence[str], rates: Mapping) -> Iterator[Breakdown]:
    factors = dict(part.factors)
    if "speaker" in factors and len(breakdowns.present(factors["speaker"])) > BELOW_SPEAKERS:
        del factors["speaker"]
    for cell in breakdowns.cells(factors, part.bonafide):
        n, m = int(cell.bonafide.sum()), int(cell.spoof.sum())
        about = (run_id, subset, cell.factor, cell.level, cell.factor_2, cell.level_2)
        if not (n and m):
            note = f"no {'bona fide' if not n else 'spoof'} trials"
            yield Breakdown(*about, "eer", None, None, None, None, n, m, note)
            continue
        ranked = metrics.rank(part.score[cell.bonafide], part.score[cell.spoof])
        place = {cell.factor: cell.level} | ({cell.factor_2: cell.level_2} if cell.factor_2 else {})
        measured = rates.get(cell_key(**place)) if set(place) <= {"attack", "codec"} else None
        asv = AsvRates(**measured) if measured else None
        for name in names:
            value, note = (metrics.eer(ranked)[0], None) if name == "eer" else value_of(name, ranked, asv)
            if value is None and name.startswith("min_tdcf"):
                continue
            interval = eer_interval_of(value, n, m) if name == "eer" else Interval(None, None, None)
            yield Breakdown(*about, name, value, interval.low, interval.high, interval.method, n, m, note)


def _inner_first(averages: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of averages, those that stand in others before them."""
    waiting, order = list(averages), []
    while waiting:
        ready = [name for name in waiting if not any(member in waiting for member in averages[name])]
        order += ready or waiting  # those that name each other in a circle lack each other
        waiting = [name for name in waiting if name not in order]
    return order


def _averages(
    run_id: str, name: str, members: Sequence[str], results: Sequence[Result], trials: Sequence[int]
) -> Iterator[Result]:  # fmt: skip
    """Unweighted means over subsets of one run; never the metric of the pooled scores.

    trials: bona fide and spoof trials of all of them, each once: subsets often share their bona fide.
    """
    for metric in dict.fromkeys(r.metric for r in results if r.role == "test"):
        of = {r.subset: r for r in results if r.role == "test" and r.metric == metric}
        lacking = [m for m in members if m not in of or of[m].value is None]
        if lacking or not members:
            note = f"not run: {', '.join(lacking) or 'an average of no subset'}"
            yield Result(run_id, "test", name, "average", metric, None, None, None, None, *trials, note)
        else:
            value = float(np.mean([of[m].value for m in members]))
            low = high = method = None
            if all(of[m].ci_low is not None for m in members):  # right if all move together, else too wide
                low, high = (float(np.mean([getattr(of[m], end) for m in members])) for end in ("ci_low", "ci_high"))
                method = f"mean of {len(members)} intervals"
            yield Result(run_id, "test", name, "average", metric, value, low, high, method, *trials, None)
