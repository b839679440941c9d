"""The model card of a run, from its record and the results catalog: training data, errors, known failures, the floor.

The headings follow Mitchell et al., Model Cards for Model Reporting, 2019. Every figure is a query; the same results
give the same bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from benchmark import detectors, level, results
from benchmark.calibration import Calibration
from benchmark.domain import Domain
from benchmark.trained import Trained
from ingest import catalog
from ingest.audio import RATE_HZ
from ingest.types import DataError

FAILS_ABOVE = 0.3  # EER of a subset or cell that counts as a known failure
LEAST_TRIALS = 20  # of each class, for a cell to be printed
ALWAYS = ("language", "gender", "codec", "duration")  # what a reader looks for, also where nothing can be said
FACTORS = ("language", "gender", "domain", "codec", "codec_class", "transmission", "duration", "attack")
SHOWN = 40  # rows of one table

_SUBSETS = """
    SELECT subset, n_bonafide AS "bona fide", n_spoof AS spoof, format('{:.2f}', 100 * value) AS "EER %",
           CASE WHEN ci_low IS NULL THEN '' ELSE format('{:.2f} to {:.2f}', 100 * ci_low, 100 * ci_high) END AS "95 %",
           coalesce(note, '') AS note
    FROM result WHERE run_id = ? AND role = 'test' AND metric = 'eer' ORDER BY kind, subset"""
_CELLS = """
    SELECT subset, level, n_bonafide AS "bona fide", n_spoof AS spoof, format('{:.2f}', 100 * value) AS "EER %"
    FROM breakdown WHERE run_id = ? AND factor = ? AND factor_2 IS NULL AND metric = 'eer' AND value IS NOT NULL
      AND least(n_bonafide, n_spoof) >= ? ORDER BY subset, level"""
_LEVELS = """
    SELECT level, max(n_bonafide), max(n_spoof) FROM breakdown
    WHERE run_id = ? AND factor = ? AND factor_2 IS NULL AND metric = 'eer' GROUP BY level ORDER BY level"""
_FAILURES = """
    SELECT subset AS what, value, n_bonafide, n_spoof FROM result
    WHERE run_id = $run AND role = 'test' AND metric = 'eer' AND kind <> 'average' AND value > $above
    UNION ALL
    SELECT factor || ' ' || level || ' in ' || subset, value, n_bonafide, n_spoof FROM breakdown
    WHERE run_id = $run AND factor <> 'speaker' AND factor_2 IS NULL AND metric = 'eer' AND value > $above
      AND least(n_bonafide, n_spoof) >= $least
    ORDER BY value DESC, what LIMIT $shown"""
_SAME = """(
    SELECT DISTINCT c.entry, c.protocol, c.config_id
    FROM run r JOIN current_run c ON c.detector = r.detector AND c.protocol = r.protocol
         AND c.config IS NOT DISTINCT FROM r.config AND c.trained = r.trained AND c."external" = r."external"
    WHERE r.run_id = $run) same USING (entry, protocol, config_id)"""  # other configurations are other detectors
_FLAGS = f"SELECT DISTINCT seed, subset, note FROM flagged SEMI JOIN {_SAME} ORDER BY seed, subset, note"
_SEEDS = f"""
    SELECT subset, runs, format('{{:.2f}}', 100 * mean) AS "mean EER %", format('{{:.2f}}', 100 * low) AS lowest,
           format('{{:.2f}}', 100 * high) AS highest
    FROM seeds SEMI JOIN {_SAME} WHERE metric = 'eer' AND runs > 1 ORDER BY subset"""
_FLOOR = """
    SELECT l.subset, arg_min(l.detector, l.value) AS probe,
           format('{:.2f}', 100 * min(l.value)) AS "its tie-safe EER %",
           format('{:.2f}', 100 * any_value(o.value)) AS "this detector's EER %"
    FROM leaderboard l JOIN run r ON r.run_id = $run
    JOIN result o ON o.run_id = $run AND o.subset = l.subset AND o.metric = 'eer' AND o.role = 'test'
    WHERE l.protocol = r.protocol AND starts_with(l.detector, 'shortcut_') AND l.metric = 'eer_tie_safe'
          AND l.value IS NOT NULL
    GROUP BY l.subset ORDER BY l.subset"""


def model(data: Path, trained: Trained) -> str:
    """The card as Markdown. data: the folder of the run; its results catalog is brought up to date first.

    Raises DataError if the trained detector has no run.
    """
    run_id = trained.provenance.get("run_id")
    if run_id is None:
        raise DataError("a model card needs a run: python -m benchmark run, or score for given weights")
    results.collect(data)
    with catalog.opened(data / "results.duckdb") as con:
        parts = [
            f"# {trained.detector}\n\n{_opening(trained)}",
            f"## Intended use\n\n{_use(trained)}",
            f"## Training data\n\n{_training(trained)}",
            f"## Decision and calibration\n\n{_calibration(trained.calibration)}",
            f"## Error\n\n{_errors(con, run_id)}",
            f"## Known failures\n\n{_failures(con, run_id)}",
            f"## The shortcut floor\n\n{_floor(con, run_id)}",
            f"## Provenance\n\n{_provenance(trained)}",
        ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; None is an empty cell. No cell is markup, a link or an image."""
    lines = [names, ["---"] * len(names), *(["" if v is None else plain(str(v)) for v in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text from outside (an attack, a speaker, a title) as one line of Markdown that shows it and does nothing."""
    line = " ".join(text.splitlines()).replace("|", "\\|").replace("<", "&lt;")
    return line.replace("](", "]\\(").replace("][", "]\\[")


def _query(con: duckdb.DuckDBPyConnection, text: str, values: Any) -> str:
    found = con.execute(text, values)
    names, rows = [column[0] for column in found.description], found.fetchall()
    if not rows:
        return ""
    more = f"\n\n{len(rows) - SHOWN} more rows in the results catalog." if len(rows) > SHOWN else ""
    return table(names, rows[:SHOWN]) + more


def _opening(trained: Trained) -> str:
    about, spec = detectors.describe(trained.detector), trained.input
    seconds = (spec["samples"] or 0) / RATE_HZ
    length = f"{spec['samples']:,} samples at 16 kHz ({seconds:.2f} s)" if spec["samples"] else "the whole utterance"
    lines = [
        "A detector of synthetic or converted speech and singing. Its score is higher for bona fide recordings.",
        f"Design: {about['paper'] or 'see the source file'}. "
        f"{trained.network.parameter_count:,} parameters; hears {length} as {spec['feature']}"
        f"{level.SAID[trained.level]}.",
    ]
    if trained.provenance.get("simulated"):
        lines.append("**Trained or scored on simulated corpora: its figures say nothing about real recordings.**")
    if trained.provenance.get("partial"):
        lines.append("**Some trials of the protocol were missing: its figures are not those of the whole corpus.**")
    return "\n\n".join(lines)


def _use(trained: Trained) -> str:
    titles = [_title(corpus) for corpus in trained.provenance.get("corpora") or []]
    corpora = ", ".join(titles) or "its training corpora"
    return (
        f"Research on deepfake detection, and a first hint on recordings like those of {corpora}. Not evidence: an "
        "error rate holds for the trials below, and falls apart on synthesizers, languages, codecs and microphones "
        "that training did not hold. `detect` says when a recording lies outside the training domain. Do not act on "
        "its word against a person."
    )


def _training(trained: Trained) -> str:
    corpora = trained.provenance.get("corpora") or []
    if not corpora:
        return "Not known here: the weights were given, or the catalog they were trained from is gone."
    names = ["corpus", "licence", "bona fide", "spoof", "attacks heard", "citation"]
    rows = [
        [_title(c), c["licence"], c["bonafide"], c["spoof"], _attacks(c.get("attacks") or []), c["citation"]]
        for c in corpora
    ]
    parts = [table(names, rows), *_began(trained)]
    return "\n\n".join([*parts, *([] if trained.domain is None else [_domain(trained.domain)])])


def _title(corpus: Mapping[str, Any]) -> str:
    """The corpus's title; a simulated one says that it is, as it only has the name of the published one."""
    return f"{corpus['title']} (simulated)" if corpus.get("simulated") else corpus["title"]


def _attacks(words: Sequence[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def _began(trained: Trained) -> list[str]:
    """What the network knew before this training: of that neither corpora nor licences are in the table."""
    said, start, inside = [], trained.provenance.get("started_from"), trained.config.get("weights")
    backbone = trained.provenance.get("backbone_sha256")
    if start:
        said.append(
            f"Training began from a weight file (sha256 `{start}`). What that had been trained on was heard, too, "
            "and its licence binds as well; it is not known here."
        )
    if backbone or (isinstance(inside, str) and inside != "random"):  # of the hub's cache the settings name nothing
        which = ", ".join(
            [*([f"`{plain(inside)}`"] if inside else []), *([f"sha256 `{backbone}`"] if backbone else [])]
        )
        said.append(
            f"A part of the network ({which}) was pretrained by others on recordings of their own: see there for what "
            "it heard and for its licence."
        )
    return said


def _domain(domain: Domain) -> str:
    words = [
        f"{domain.utterances:,} utterances; {' and '.join(domain.domains)}; "
        f"languages {', '.join(domain.languages) or 'not given'}; rates {', '.join(map(str, domain.rates_hz))} Hz."
    ]
    rows = [[name, *(f"{value:.4g}" for value in values)] for name, values in domain.ranges.items()]
    if rows:
        words.append(table(["measured", "lowest", "median", "highest"], rows))
    return "\n\n".join(words)


def _calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return "Not calibrated: there are no dev scores. Scores rank recordings; they decide nothing by themselves."
    low, high = calibration.limits
    return (
        f"From {calibration.source}: {calibration.n_bonafide} bona fide and {calibration.n_spoof} spoof trials. "
        f"Threshold {calibration.threshold:.6g} (EER {100 * calibration.eer:.2f} % there): above it, bona fide. "
        f"Log-likelihood ratio = {calibration.slope:.6g} score {calibration.offset:+.6g}, kept within {low:.2f} to "
        f"{high:.2f}, which is what so many trials support. Cllr {calibration.cllr_before:.4f} bits before, "
        f"{calibration.cllr_after:.4f} after (1 = says nothing)."
    )


def _errors(con: duckdb.DuckDBPyConnection, run_id: str) -> str:
    parts = [_query(con, _SUBSETS, [run_id]) or "No test scores."]
    seeds = _query(con, _SEEDS, {"run": run_id})
    if seeds:
        parts.append(f"Over the seeds of this configuration:\n\n{seeds}")
    for factor in FACTORS:
        found = _query(con, _CELLS, [run_id, factor, LEAST_TRIALS])
        if found or factor in ALWAYS:
            parts.append(f"### By {factor.replace('_', ' ')}\n\n{found or _why_none(con, run_id, factor)}")
    parts.append(f"Cells with fewer than {LEAST_TRIALS} trials of a class are left out.")
    return "\n\n".join(parts)


def _why_none(con: duckdb.DuckDBPyConnection, run_id: str, factor: str) -> str:
    levels = con.execute(_LEVELS, [run_id, factor]).fetchall()
    if not levels:
        return f"Not known: the test utterances have no {factor}, or only one."
    named = ", ".join(f"{plain(level)} ({n} bona fide, {m} spoof)" for level, n, m in levels[:SHOWN])
    return f"Too few trials for an error rate: {named}."


def _failures(con: duckdb.DuckDBPyConnection, run_id: str) -> str:
    values = {"run": run_id, "above": FAILS_ABOVE, "least": LEAST_TRIALS, "shown": SHOWN}
    rows = con.execute(_FAILURES, values).fetchall()
    lines = [f"- {plain(what)}: EER {100 * value:.1f} % ({n} bona fide, {m} spoof)" for what, value, n, m in rows]
    flags = con.execute(_FLAGS, {"run": run_id}).fetchall()
    lines += [f"- seed {seed}, {plain(subset)}: {note}" for seed, subset, note in flags]
    head = (
        f"Subsets and cells with an EER above {100 * FAILS_ABOVE:.0f} %, and warnings about the scores of any seed:\n\n"
    )
    return head + ("\n".join(lines) if lines else "- none among these trials")


def _floor(con: duckdb.DuckDBPyConnection, run_id: str) -> str:
    found = _query(con, _FLOOR, {"run": run_id})
    if not found:
        return "Not measured on this protocol; python -m benchmark shortcuts scores what duration or silence can tell."
    return f"What the best probe of duration, silence, level, ... reaches without hearing any synthesis:\n\n{found}"


def _provenance(trained: Trained) -> str:
    about = trained.provenance
    names = ("run_id", "protocol", "title", "seed", "trained", "best_epoch", "epochs", "code_version", "git_commit",
             "train_fingerprint", "trials_fingerprint", "weights_sha256")  # fmt: skip
    return table(["what", "value"], [[name, about.get(name)] for name in names])
