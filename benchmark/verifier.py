"""Error rates of the organisers' speaker verifier (ASV) on the trials of a run, which its min t-DCF needs."""

from collections.abc import Sequence
from dataclasses import asdict

import duckdb
import numpy as np
import pyarrow as pa

from benchmark.tdcf import asv_rates, cell_key
from ingest import catalog


def asv_file(
    con: duckdb.DuckDBPyConnection, rows: pa.Table, asked: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Error rates of the organisers' speaker verifier on the trials of a run, for its min t-DCF.

    con: the catalog. rows: role, subset, utt_id, label, attack of the scored trials. asked: metrics of the
    protocol; without a t-DCF among them nothing is computed. Returns {subset: {cell: {p_fa, p_miss, p_fa_spoof}}}
    with the cells of `tdcf.cell_key`: all trials, each attack, and where the ASV trials have codecs each codec and
    each attack through each codec, as the package of ASVspoof 2021 has it. A subset that spans several corpora or
    partitions, or has no ASV scores, is left out: its t-DCF is not defined.
    """
    if not any(name.startswith("min_tdcf") for name in asked):
        return {}
    with catalog.registered(con, "scored", rows.select(["role", "subset", "utt_id", "attack"])):
        places = con.sql("""
            SELECT s.subset, u.corpus, u.partition, list_sort(list(DISTINCT s.attack)) AS attacks,
                   list_sort(list(DISTINCT u.codec)) AS codecs
            FROM scored s JOIN utterance u USING (utt_id) WHERE s.role = 'test'
            GROUP BY ALL ORDER BY ALL""").fetchall()
    subsets = [place[0] for place in places]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for subset, corpus, partition, *words in places:
        if subsets.count(subset) == 1:
            attacks, codecs = ([w for w in found_words if w is not None] for found_words in words)
            rates = _asv_rates(con, corpus, partition, attacks, codecs)
            if rates:
                found[subset] = rates
    return found


def _asv_rates(
    con: duckdb.DuckDBPyConnection, corpus: str, partition: str | None, attacks: Sequence[str], codecs: Sequence[str]
) -> dict[str, dict[str, float]]:
    scores = con.execute(
        "SELECT key, attack, codec, score FROM asv_score WHERE corpus = ? AND partition IS NOT DISTINCT FROM ?",
        [corpus, partition],
    ).fetchnumpy()
    return cell_rates(*(np.asarray(scores[name]) for name in ("key", "attack", "codec", "score")), attacks, codecs)


def cell_rates(
    key: np.ndarray, attack: np.ndarray, codec: np.ndarray, score: np.ndarray, attacks: Sequence[str],
    codecs: Sequence[str],
) -> dict[str, dict[str, float]]:  # fmt: skip
    """{`tdcf.cell_key`: fields of AsvRates} of every cell that has targets, nontargets and spoofs.

    key (target, nontarget, spoof), attack, codec, score: (trial,) of the verifier; attacks, codecs: those that count.
    A verifier whose trials name none of the codecs is taken as it is.
    """
    attack, codec, score = attack.astype(str), codec.astype(str), score.astype(np.float64)
    named = np.isin(codec, list(codecs))
    here = {name: codec == name for name in codecs} | {None: named if named.any() else ~named}
    found = {}
    for name, members in ((None, list(attacks)), *((a, [a]) for a in attacks)):
        of = np.isin(attack, members)
        for channel, inside in here.items():
            spoof = score[(key == "spoof") & of & inside]
            target, nontarget = score[(key == "target") & inside], score[(key == "nontarget") & inside]
            if target.size and nontarget.size and spoof.size:
                found[cell_key(name, channel)] = asdict(asv_rates(target, nontarget, spoof))
    return dict(sorted(found.items()))
