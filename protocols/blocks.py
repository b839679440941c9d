"""Runs of rows whose labels look exchanged: what the audio measurements say against what the protocol file says.

A small boosted tree learns the labels of a corpus from the properties that ingest measured and from the form of the
file names, and judges rows it was not fitted on. A row's evidence is the log of how much better the other label
would fit it. The run of consecutive rows with the most evidence is an alarm where both its bona fide and its spoof
rows look like the other label, and the sum exceeds what chance gives any of the n(n + 1) / 2 runs: if the tree's
probabilities hold, the exponential of a run's evidence has mean one, so Markov's inequality and the union bound over
all runs keep false alarms below ALPHA per corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from protocols.statements import statements

ALPHA = 1e-3
FEWEST = 7  # rows of each label in a run
FOLDS = 5
BINS = 63  # of a property; finer ones than leaves cost most of the time and tell nothing
MOST_FITTED = 40_000  # rows that one tree is fitted to
MOST_NATS = 3.0  # of evidence that one row may give: no tree is surer than 20 to 1
TELLING_NATS = 0.1  # the least mean support that the labels of a corpus must have for its runs to be looked at
TRUSTED_NATS = 0.3  # the least mean support that the labels of the partition's other rows must have
_CATEGORIES = 200
_COLUMNS = ("place", "utt_id", "label", "recording", "part")


@dataclass(frozen=True, slots=True)
class Block:
    """A run of rows whose labels look exchanged; rows are consecutive in `order`, first and last are utt_ids."""

    corpus: str
    partition: str | None
    order: str  # as listed | by name | by recording
    bonafide: int
    spoof: int
    first: str
    last: str
    utt_ids: frozenset[str]

    @property
    def detail(self) -> str:
        """The finding in one line."""
        part = "" if self.partition is None else f" {self.partition}"
        return (
            f"{self.bonafide} bona fide and {self.spoof} spoof rows of {self.corpus}{part} in a row ({self.order}: "
            f"{self.first} to {self.last}) sound like the other label: are their labels exchanged?"
        )


def label_blocks(con: duckdb.DuckDBPyConnection, corpus: str) -> list[Block]:
    """The runs of rows of one corpus of the catalog whose labels look exchanged, at most one per partition."""
    rows = con.execute(statements("audit.sql")["labelled"], [corpus]).to_arrow_table()
    bonafide = np.asarray(pc.equal(rows["label"], "bonafide"))
    if min(bonafide.sum(), (~bonafide).sum()) < FOLDS * FEWEST:
        return []
    columns = _features(rows)
    nats = evidence(columns, bonafide) if columns.size else np.zeros(bonafide.size)
    if max(side.mean() for side in _sides(bonafide, nats)) > -TELLING_NATS:
        return []  # these properties do not tell the labels apart, so they cannot contradict them
    part, found = rows["part"].fill_null(""), []
    for name in pc.unique(part).to_pylist():
        here = np.flatnonzero(pc.equal(part, name))
        for order, index in _candidates(rows.take(here), bonafide[here], nats[here]):
            run = _confirmed(columns, bonafide, here[index], nats)
            if run is not None:
                names = rows["utt_id"].take(run).to_pylist()
                genuine = int(bonafide[run].sum())
                found.append(
                    Block(
                        corpus, name or None, order, genuine, len(names) - genuine, names[0], names[-1],
                        frozenset(names),
                    )
                )  # fmt: skip
                break
    return found


def evidence(columns: np.ndarray, bonafide: np.ndarray, *, doubted: np.ndarray | None = None) -> np.ndarray:
    """How much better the other label fits each row, in nats, by trees that were not fitted on the row.

    columns: (row, property), below all others where unknown; bonafide: (row,) bool. Returns (row,) float64, at most
    MOST_NATS either way. No tree is fitted on the rows `doubted` (indices). The log odds are scaled once over the other
    rows, so that they are as sure as they are right.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    fold = np.empty(bonafide.size, int)
    for label in (True, False):
        of_label = np.flatnonzero(bonafide == label)
        fold[generator.permutation(of_label)] = np.arange(of_label.size) % FOLDS
    odds, trusted = np.empty(bonafide.size), np.ones(bonafide.size, bool)
    if doubted is not None:
        trusted[doubted] = False
    for number in range(FOLDS):
        fitted = np.flatnonzero((fold != number) & trusted)
        if fitted.size > MOST_FITTED:
            fitted = generator.choice(fitted, MOST_FITTED, replace=False)
        binned = _binned(columns, fitted, bonafide[fitted])
        tree = HistGradientBoostingClassifier(
            max_iter=40, max_depth=3, max_bins=BINS, learning_rate=0.15, min_samples_leaf=max(5, fitted.size // 50),
            early_stopping=False, class_weight="balanced", random_state=0,
        )  # fmt: skip
        tree.fit(binned[fitted], bonafide[fitted])
        odds[fold == number] = tree.decision_function(binned[fold == number])
    scale = LogisticRegression(C=1.0, class_weight="balanced").fit(odds[trusted, None], bonafide[trusted])
    sure = np.clip(scale.decision_function(odds[:, None]), -MOST_NATS, MOST_NATS)
    return np.where(bonafide, -sure, sure)


def _binned(columns: np.ndarray, fitted: np.ndarray, bonafide: np.ndarray) -> np.ndarray:
    """(row, property): the numbers of BINS bins that hold as much of the weight of the rows `fitted` each.

    Both labels (bonafide: (fitted row,) bool) weigh as much. A property of at most BINS values stays as it is. The
    trees find the same bins by themselves, but sort a property anew for every edge.
    """
    weights = bonafide.size / (2 * np.where(bonafide, bonafide.sum(), (~bonafide).sum()))
    binned = columns.copy()
    for number, column in enumerate(columns.T):
        order = np.argsort(column[fitted])
        values = column[fitted][order]
        if np.count_nonzero(np.diff(values)) < BINS:
            continue
        below = np.cumsum(weights[order])
        wanted = np.linspace(0, 100, BINS + 1)[1:-1] / 100 * below[-1]
        at = np.searchsorted(below, wanted)
        after = np.minimum(at + (below[at] - wanted <= np.finfo(float).eps), values.size - 1)
        edges = np.unique((values[at] + values[after]) / 2)
        held = np.searchsorted(values, edges, side="right")  # fitted rows up to each edge
        binned[:, number] = np.searchsorted(edges[np.diff(held, prepend=0) > 0], column)
    return binned


def heaviest_run(nats: np.ndarray) -> tuple[int, int, float]:
    """The run [start, end) of consecutive rows with the largest sum of evidence, and that sum."""
    sums = np.concatenate([[0.0], np.cumsum(nats)])
    lowest = np.minimum.accumulate(sums)
    end = int(np.argmax(sums[1:] - lowest[:-1])) + 1
    start = int(np.argmin(sums[:end]))
    return start, end, float(sums[end] - sums[start])


def _candidates(rows: pa.Table, bonafide: np.ndarray, nats: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(order, its rows) of every order whose heaviest run speaks against both labels, the heaviest first."""
    found = []
    for order, index in _orders(rows):
        start, end, total = heaviest_run(nats[index])
        run = index[start:end]
        if all(side.size >= FEWEST and side.sum() > 0 for side in _sides(bonafide[run], nats[run])):
            found.append((total, order, index))
    return [(order, index) for _, order, index in sorted(found, key=lambda one: -one[0])]


def _confirmed(columns: np.ndarray, bonafide: np.ndarray, rows: np.ndarray, nats: np.ndarray) -> np.ndarray | None:
    """The heaviest run among `rows` (in order) when no tree has seen it, if it is more than chance gives."""
    start, end, _ = heaviest_run(nats[rows])
    nats = evidence(columns, bonafide, doubted=rows[start:end])[rows]
    start, end, total = heaviest_run(nats)
    run = rows[start:end]
    limit = np.log(rows.size * (rows.size + 1) / 2 / ALPHA)
    sides = _sides(bonafide[run], nats[start:end])
    if total < limit or any(side.size < FEWEST or np.median(side) <= 0 or side.sum() < limit / 4 for side in sides):
        return None  # one label alone that looks like the other is a hard attack or an odd speaker
    others = np.delete(nats, slice(start, end))
    if 2 * others.size < nats.size or others.mean() > -TRUSTED_NATS:
        return None  # nothing of this partition is as the trees say: new voices, not exchanged labels
    return run


def _sides(bonafide: np.ndarray, nats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return nats[bonafide], nats[~bonafide]


def _orders(rows: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """The orders in which a run may be one: as the protocol file lists the rows, by name, by recording."""
    yield "as listed", pc.sort_indices(rows, [("place", "ascending")]).to_numpy()
    yield "by name", pc.sort_indices(rows, [("utt_id", "ascending")]).to_numpy()
    yield "by recording", pc.sort_indices(rows, [("recording", "ascending"), ("utt_id", "ascending")]).to_numpy()


def _features(rows: pa.Table) -> np.ndarray:
    """(row, property) float64; words become the rank of their frequency; unknown values and rare words lie below."""
    columns = []
    for name in rows.column_names:
        if name in _COLUMNS:
            continue
        column = rows[name]
        if pa.types.is_string(column.type):
            counted = pc.value_counts(column.drop_null()).to_pylist()
            common = sorted(counted, key=lambda one: (-one["counts"], one["values"]))[:_CATEGORIES]
            column = pc.index_in(column, value_set=pa.array([one["values"] for one in common], pa.string()))
        if (pc.count_distinct(column).as_py() or 0) > 1:
            number = pc.cast(column, pa.float64())
            columns.append(pc.fill_null(number, pc.subtract(pc.min(number), 1.0)).to_numpy())
    return np.stack(columns, axis=1) if columns else np.zeros((rows.num_rows, 0))
