"""Track 2 of ASVspoof 5: what a score file with verification scores beside the detector's gives in addition.

Its trials are targets and nontargets, both bona fide, and spoofs. A spoofing-aware score gets the a-DCF; a detector
and a verifier get the min t-DCF (with the verifier's own rates and with the organisers' fixed ones) and the t-EER.
"""

import warnings
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from benchmark import breakdowns, metrics
from benchmark.measure import Result
from ingest.types import DataError

CLASSES = ("target", "nontarget", "spoof")


def rates(table: pa.Table) -> dict[str, dict[str, dict[str, float]]]:
    """{subset: {"": rates of the verifier}} from columns asv_score and asv_label; empty without them."""
    found = {}
    if "asv_score" in table.column_names:
        for subset, of in _parts(table):
            found[subset] = {"": asdict(metrics.asv_rates(*_split(table, "asv_score", of)))}
    return found


def rows(table: pa.Table) -> Iterator[Result]:
    """a_dcf, t_eer_percent and min_tdcf_asvspoof5 of each subset, of those whose scores the file has."""
    if not {"asv_score", "sasv_score"} & set(table.column_names):
        return
    for subset, of in _parts(table):
        about = ("", "test", subset, "subset")
        counts = (int(of["target"].sum() + of["nontarget"].sum()), int(of["spoof"].sum()))
        for name, value in _values(table, of):
            yield Result(*about, name, value, None, None, None, *counts, None)


def _values(table: pa.Table, of: dict[str, np.ndarray]) -> Iterator[tuple[str, float | None]]:
    if "sasv_score" in table.column_names:
        yield "a_dcf", metrics.a_dcf(*_split(table, "sasv_score", of))[0]
    if "asv_score" in table.column_names:
        target, nontarget, spoof = _split(table, "score", of)
        detector = metrics.rank(np.concatenate([target, nontarget]), spoof)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield "min_tdcf_asvspoof5", metrics.min_tdcf(detector, asv=metrics.ASVSPOOF5_ASV, form="2021")[0]
        yield "t_eer_percent", metrics.t_eer(detector, None, *_split(table, "asv_score", of))


def _parts(table: pa.Table) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each subset with (trial,) bool of each class; DataError where a class has no trial in it."""
    if "asv_label" not in table.column_names:
        raise DataError("verification scores need labels: a column asv_label of target, nontarget and spoof")
    subset, label = breakdowns.encode(table["subset"]), breakdowns.encode(table["asv_label"])
    for code in breakdowns.present(subset):
        names = {word: label.names.index(word) if word in label.names else -2 for word in CLASSES}
        of = {word: (subset.code == code) & (label.code == names[word]) for word in CLASSES}
        lacking = [word for word in CLASSES if not of[word].any()]
        if lacking:
            raise DataError(f"subset {subset.names[code]}: no {lacking[0]} trials, which verification scores need")
        yield subset.names[code], of


def _split(table: pa.Table, column: str, of: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    score = table[column].to_numpy(zero_copy_only=False)
    return tuple(score[of[word]] for word in CLASSES)
