"""Track 2 of ASVspoof 5: what a score file with verification scores beside the detector's gives in addition.

Its trials are targets and nontargets, both bona fide, and spoofs. A spoofing-aware score gets the a-DCF; a detector
and a verifier get the min t-DCF (with the verifier's own rates and with the organisers' fixed ones) and the t-EER.
Their intervals hold the verifier as it was measured.
"""

import warnings
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from benchmark import breakdowns, metrics
from benchmark.bootstrap import Interval, cost_intervals
from benchmark.measure import COST_REPLICATES, Result
from benchmark.tandem_bootstrap import Three, a_dcf_interval, t_eer_interval
from ingest.types import DataError

CLASSES = ("target", "nontarget", "spoof")


def rates(table: pa.Table) -> dict[str, dict[str, dict[str, float]]]:
    """{subset: {"": rates of the verifier}} from columns asv_score and asv_label; empty without them."""
    found = {}
    if "asv_score" in table.column_names:
        for subset, of in _parts(table):
            found[subset] = {"": asdict(metrics.asv_rates(*_split(table, "asv_score", of)))}
    return found


def rows(table: pa.Table, *, replicates: int = COST_REPLICATES) -> Iterator[Result]:
    """a_dcf, t_eer_percent and min_tdcf_asvspoof5 of each subset, of those whose scores the file has.

    Their intervals resample the column speaker, if the table has one, else trials, at most `COST_REPLICATES` times.
    """
    if not {"asv_score", "sasv_score"} & set(table.column_names):
        return
    for subset, of in _parts(table):
        about = ("", "test", subset, "subset")
        counts = (int(of["target"].sum() + of["nontarget"].sum()), int(of["spoof"].sum()))
        speakers = None
        if "speaker" in table.column_names:
            code = breakdowns.encode(table["speaker"]).code
            speakers = tuple(code[of[word]] for word in CLASSES)
        for name, value, interval, note in _values(table, of, speakers, min(replicates, COST_REPLICATES)):
            ends = (interval.low, interval.high, interval.method) if value is not None else (None, None, None)
            yield Result(*about, name, value, *ends, *counts, note)


def _values(
    table: pa.Table, of: dict[str, np.ndarray], speakers: Three | None, replicates: int
) -> Iterator[tuple[str, float | None, Interval, str | None]]:
    """(metric, value, interval, note) of what the columns allow."""
    how = {"speakers": speakers, "replicates": replicates}
    if "sasv_score" in table.column_names:
        scores = _split(table, "sasv_score", of)
        yield "a_dcf", metrics.a_dcf(*scores)[0], a_dcf_interval(*scores, **how), None
    if "asv_score" in table.column_names:
        scores, verifier = _split(table, "score", of), _split(table, "asv_score", of)
        detector = metrics.rank(np.concatenate(scores[:2]), scores[2])
        yield "min_tdcf_asvspoof5", *_fixed_tandem(detector, scores, **how)
        yield "t_eer_percent", metrics.t_eer(detector, None, *verifier), t_eer_interval(*scores, verifier, **how), None


def _fixed_tandem(
    detector: metrics.Ranked, scores: Three, *, speakers: Three | None, replicates: int
) -> tuple[float | None, Interval, str | None]:
    """min t-DCF with the organisers' rates of the verifier: value, interval, note."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = metrics.min_tdcf(detector, asv=metrics.ASVSPOOF5_ASV, form="2021")[0]
    c0, c1, c2 = metrics.tdcf_weights(metrics.ASVSPOOF5_ASV, form="2021")
    default = c0 + min(c1, c2)
    classes, speakers = ((of and (np.concatenate(of[:2]), of[2])) for of in (scores, speakers))
    costs = [(c0 / default, c1 / default, c2 / default)]
    interval = cost_intervals(*classes, costs=costs, speakers=speakers, replicates=replicates)[0]
    return value, interval, None if value is not None else "fewer than 3 distinct scores"


def _parts(table: pa.Table) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each subset with (trial,) bool of each class; DataError where a class has no trial in it."""
    if "asv_label" not in table.column_names:
        raise DataError("verification scores need labels: a column asv_label of target, nontarget and spoof")
    subset, label = breakdowns.encode(table["subset"]), breakdowns.encode(table["asv_label"])
    for code in breakdowns.present(subset):
        of = {word: (subset.code == code) & label.among([word]) for word in CLASSES}
        lacking = [word for word in CLASSES if not of[word].any()]
        if lacking:
            raise DataError(f"subset {subset.names[code]}: no {lacking[0]} trials, which verification scores need")
        yield subset.names[code], of


def _split(table: pa.Table, column: str, of: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    score = table[column].to_numpy(zero_copy_only=False)
    return tuple(score[of[word]] for word in CLASSES)
