"""The protocol linter: what roles share, what is empty or miscounted, and which single property gives it away."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from protocols import predicate
from protocols.labels import Doubt, doubts
from protocols.statements import statements
from protocols.trials import counts, select
from protocols.types import OVERLAPS, Protocol, Role, role_label

SHORTCUT_AUC = 0.75
# How many standard errors an AUC must lie off one half: a subset of a dozen clips reaches 0.75 by chance.
SHORTCUT_SIGMA = 4.0
_SAMPLE = 50_000  # trials per subset that are ranked
_COUNT_TOLERANCE = 0.05  # of counts drawn by fold
KNOWN_SHARED = {
    ("asvspoof2019_la", "decro"): "English DECRO takes its bona fide and its Tacotron spoof from ASVspoof 2019 LA",
    ("decro", "wavefake"): "English DECRO takes three vocoder attacks from WaveFake",
    ("asvspoof2019_la", "asvspoof2021_la"): "ASVspoof 2021 LA sends material of 2019 eval through codecs, or none",
    ("asvspoof2019_la", "asvspoof2021_df"): "source asvspoof of ASVspoof 2021 DF is material of 2019 eval",
    ("asvspoof2021_df", "asvspoof2021_la"): "both take material of ASVspoof 2019 eval",
    ("asvspoof2021_la", "decro"): "both take material of ASVspoof 2019 LA",
    ("asvspoof2021_df", "decro"): "both take material of ASVspoof 2019 LA",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark. level: fail (wrong, exit code 1), flag (to be looked at), declared (on purpose, with the
    protocol's reason), note. where: a pair of roles, a role, or a test subset."""

    protocol: str
    level: str
    kind: str
    where: str
    detail: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The findings on one protocol, failures first, and its class balance (see `balance`)."""

    protocol: str
    findings: list[Finding]
    trials: list[dict]

    @property
    def failed(self) -> bool:
        """Whether something is wrong, not only to be looked at."""
        return any(finding.level == "fail" for finding in self.findings)


def audit(
    con: duckdb.DuckDBPyConnection, protocol: Protocol, *, lists: Path | None = None,
    doubted: Sequence[Doubt] | None = None,
) -> Report:  # fmt: skip
    """Look at the protocol's trials in this catalog; refuses nothing but an absent trial list (DataError).

    doubted: what labels.doubts() says of the catalog, where the caller knows it already.
    """
    rows, short = select(con, protocol, lists=lists)
    doubted = doubts(con, _corpora(protocol, rows)) if doubted is None else doubted
    found = [
        Finding(protocol.name, "flag", "missing", role_label(s.role, s.subset),
                s.why if s.trials is None else f"{s.trials} {s.label} trials have no audio", s.trials)
        for s in short
    ]  # fmt: skip
    with con.cursor() as cursor:
        cursor.register("trial", rows)
        cursor.register("keyed", cursor.execute(statements("audit.sql")["keyed"]).to_arrow_table())
        found += _overlaps(cursor, protocol)
        found += _contradictions(cursor, protocol)
        found += _shortcuts(cursor, protocol)
    found += _doubted(protocol, rows, doubted)
    found += _counted(con, protocol, counts(rows))
    found += _unknown_words(con, protocol)
    order = ("fail", "flag", "declared", "note")
    return Report(protocol.name, sorted(found, key=lambda f: order.index(f.level)), balance(rows, protocol))


def shared_audio(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Identical audio in more than one corpus of the catalog; known material is a note, other a flag."""
    found = []
    for first, second, clips, _ in con.execute(statements("audit.sql")["shared_audio"]).fetchall():
        known = KNOWN_SHARED.get((first, second))
        detail = f"{clips} clips of {first} and {second} have the same samples" + (f" ({known})" if known else "")
        found.append(Finding("", "note" if known else "flag", "shared_audio", f"{first}/{second}", detail, clips))
    return found


def balance(rows: pa.Table, protocol: Protocol) -> list[dict]:
    """Per role and subset: bona fide, spoof and spoof per bona fide (None without bona fide)."""
    there = counts(rows)
    table = []
    for role in protocol.roles:
        bonafide, spoof = there.get((role.role, role.subset), (0, 0))
        table.append({
            "role": role.role, "subset": role.subset, "bonafide": bonafide, "spoof": spoof,
            "spoof_per_bonafide": round(spoof / bonafide, 3) if bonafide else None,
            "stated": [role.count.bonafide, role.count.spoof] if role.count else None,
            "exact": role.count.exact if role.count else None,
        })  # fmt: skip
    return table


def auc(bonafide: np.ndarray, spoof: np.ndarray) -> float:
    """Share of (bona fide, spoof) pairs with the larger value on the bona fide side, ties half; in [0, 1]."""
    ordered = np.sort(spoof)
    wins = np.searchsorted(ordered, bonafide) + np.searchsorted(ordered, bonafide, side="right")
    return float(wins.sum() / 2 / (bonafide.size * spoof.size))


def _overlaps(cursor: duckdb.DuckDBPyConnection, protocol: Protocol) -> Iterator[Finding]:
    for kind in ("utterance", *OVERLAPS):
        query = statements("audit.sql")["overlap"].format(kind=kind)
        for first, second, subset, words, trials, example in cursor.execute(query).fetchall():
            reason = _declared(protocol, f"{first}/{second}", subset, kind)
            detail = f"{words} {kind}s of {first} recur in {trials} trials (first: {example})"
            level = "fail" if reason is None else "declared"
            detail += "" if reason is None else f"; declared: {reason}"
            where = f"{first}/{role_label(second, subset)}"
            yield Finding(protocol.name, level, f"overlap_{kind}", where, detail, words)


def _declared(protocol: Protocol, pair: str, subset: str | None, kind: str) -> str | None:
    """The protocol's reason for an overlap of this kind, None where it gives none."""
    for entry in protocol.declares:
        if entry.pair in (None, pair) and entry.subset in (None, subset) and kind in entry.kinds:
            return entry.reason
    return None


def _contradictions(cursor: duckdb.DuckDBPyConnection, protocol: Protocol) -> Iterator[Finding]:
    number, example = cursor.execute(statements("audit.sql")["contradictions"]).fetchone()
    if number:
        detail = f"{number} clips are bona fide and spoof with the same samples (first hash: {example})"
        yield Finding(protocol.name, "fail", "contradiction", "all", detail, number)


def _doubted(protocol: Protocol, rows: pa.Table, doubted: Sequence[Doubt]) -> Iterator[Finding]:
    """Labels of this protocol's corpora, or of its very trials, that something else contradicts."""
    corpora, here = _corpora(protocol, rows), set(rows["utt_id"].to_pylist())
    for doubt in doubted:
        if corpora & set(doubt.corpora) and (doubt.utt_ids is None or here & doubt.utt_ids):
            yield Finding(protocol.name, "fail", doubt.kind, "/".join(doubt.corpora), doubt.detail, doubt.rows)


def _corpora(protocol: Protocol, rows: pa.Table) -> frozenset[str]:
    """The corpora that the protocol names, and those of its trials: a condition need not name one."""
    return protocol.needs | set(pc.unique(rows["corpus"]).to_pylist())


def _counted(con: duckdb.DuckDBPyConnection, protocol: Protocol, there: dict) -> Iterator[Finding]:
    """Empty roles, and counts against the stated ones where every corpus of the role is complete."""
    query = "SELECT corpus FROM corpus WHERE NOT partial AND NOT simulated"
    complete = {row[0] for row in con.execute(query).fetchall()}
    for role in protocol.roles:
        found = there.get((role.role, role.subset), (0, 0))
        for label, number in zip(("bonafide", "spoof"), found):
            if number == 0:
                level = "flag" if role.role == "test" else "fail"
                yield Finding(protocol.name, level, "empty", role.label, f"no {label} trial", 0)
        if role.count is not None and role.needs and role.needs <= complete:
            yield from _miscounted(protocol, role, found)


def _miscounted(protocol: Protocol, role: Role, found: tuple[int, int]) -> Iterator[Finding]:
    for label, number, stated in zip(("bonafide", "spoof"), found, (role.count.bonafide, role.count.spoof)):
        slack = 0 if role.count.exact else _COUNT_TOLERANCE * stated
        if abs(number - stated) > slack:
            detail = f"{number} {label} trials, stated {'' if role.count.exact else '~'}{stated}"
            yield Finding(protocol.name, "fail", "count", role.label, detail, number - stated)


def _unknown_words(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> Iterator[Finding]:
    """Words that a role compares a column with and no row of the protocol's corpora has, where these are complete."""
    needs, complete = sorted(protocol.needs), "SELECT corpus FROM corpus WHERE NOT partial AND NOT simulated"
    if not needs or not set(needs) <= {row[0] for row in con.execute(complete).fetchall()}:
        return
    texts = {row[0] for row in con.execute("DESCRIBE trial_pool").fetchall() if row[1] == "VARCHAR"} - {"corpus"}
    known: dict[str, set[str]] = {}
    for role in protocol.roles:
        conditions = {text for part in role.parts for text in (*part.where, part.bonafide, part.spoof) if text}
        for column, word in sorted({pair for text in conditions for pair in predicate.words(text)}):
            if column in texts and column not in known:
                query = f'SELECT DISTINCT "{column}" FROM trial_pool WHERE list_contains(?, corpus)'
                known[column] = {row[0] for row in con.execute(query, [needs]).fetchall()}
            if column in texts and word not in known[column]:
                detail = f"no row of {', '.join(needs)} has {column} {word!r}"
                yield Finding(protocol.name, "flag", "unknown_word", role.label, detail)


def _shortcuts(cursor: duckdb.DuckDBPyConnection, protocol: Protocol) -> Iterator[Finding]:
    table = cursor.execute(statements("audit.sql")["properties"]).to_arrow_table()
    for role in protocol.test:
        rows = table.filter(pc.equal(table["subset"], role.subset))
        if len(rows) > _SAMPLE:
            rows = rows.take(np.sort(np.random.default_rng(0).choice(len(rows), _SAMPLE, replace=False)))
        bonafide = np.asarray(pc.equal(rows["label"], "bonafide"))
        for name in table.column_names[2:]:
            area = separation(rows[name], bonafide)
            if area is not None and area > SHORTCUT_AUC:
                detail = f"{name} alone tells bona fide from spoof with AUC {area:.3f}"
                yield Finding(protocol.name, "flag", "shortcut", role.label, detail, round(area, 4))


def separation(values: pa.ChunkedArray, bonafide: np.ndarray) -> float | None:
    """How well one property separates the labels: AUC in [0.5, 1], None where chance could give it.

    Words are ordered by the share of spoof that has them; missing values are left out.
    """
    there = np.asarray(pc.is_valid(values))
    values, bonafide = values.filter(pa.array(there)), bonafide[there]
    if bonafide.sum() == 0 or bonafide.all():
        return None
    if pa.types.is_string(values.type):
        codes = values.combine_chunks().dictionary_encode().indices.to_numpy()
        share = np.bincount(codes, weights=bonafide) / np.bincount(codes)
        numbers = share[codes]
    else:
        numbers = pc.cast(values, pa.float64()).to_numpy()
    area = auc(numbers[bonafide], numbers[~bonafide])
    area = max(area, 1 - area)
    error = np.sqrt((bonafide.size + 1) / (12 * bonafide.sum() * (~bonafide).sum()))
    return area if area - 0.5 > SHORTCUT_SIGMA * error else None
