"""What a trained detector looks at, drawn from its stored weights: t-SNE, Grad-CAM, gate weights.

t-SNE (van der Maaten and Hinton, 2008) of the feature before the last linear layer, as in Figures 2 and 3 of Zhang et
al., Robust AI-Synthesized Speech Detection: up to PER_CLASS test clips each of bona fide and of the attacks. Grad-CAM
of both streams of fd_add, Figure 4 there. Mean gate weight of each expert of uniaudio over all of its test clips.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from benchmark import trained
from benchmark.results import read_scores
from ingest import catalog
from ingest.types import DataError
from reports import plots

PER_CLASS = 300  # clips of bona fide and of each attack
CLASSES = 8  # colours; bona fide and the attacks with the most clips
MAPPED = 5  # clips of a Grad-CAM figure
PERPLEXITY = 30.0
SEED = 0
TRIAL, REFERENCE = ("role", "subset", "utt_id", "variant"), ("reference", "reference_mode")


def every(con: duckdb.DuckDBPyConnection, data: Path) -> Iterator[tuple[str, Figure | str]]:
    """(name, figure or why there is none) of one run of each trained detector, and of the kinds without any run.

    con: the results catalog; of each detector the run of the first protocol by name with the lowest seed is drawn.
    """
    runs = con.execute(_RUNS).fetchall()
    kinds = {"tsne": 0, "gradcam": 0, "gates": 0}
    for run_id, detector in runs:
        for kind, figure in _of_run(data, run_id, detector):
            kinds[kind] += 1
            yield f"{kind}-{detector}", figure
    for kind, needs in (("tsne", "a trained detector"), ("gradcam", "fd_add"), ("gates", "uniaudio")):
        if not kinds[kind]:
            yield kind, f"no finished run of {needs} in {data}"


def _of_run(data: Path, run_id: str, detector: str) -> Iterator[tuple[str, Figure | str]]:
    try:
        subject = Subject(data, run_id)
    except DataError as error:
        yield "tsne", str(error)
        return
    kinds = {"tsne": tsne}
    if subject.network.MAPS:
        kinds["gradcam"] = gradcam
    if hasattr(subject.network, "fuse"):
        kinds["gates"] = gates
    for kind, draw in kinds.items():
        try:
            yield kind, draw(subject)
        except DataError as error:
            yield kind, str(error)


class Subject:
    """A finished run with its network and a seeded choice of its test clips.

    rows: the clips, bona fide first, then attack by attack; names: the class of each; scored: all of its score file.
    """

    def __init__(self, data: Path, run_id: str, *, per_class: int = PER_CLASS):
        loaded = trained.from_run(data, run_id)
        self.data, self.run_id, self.network, self.spec = data, run_id, loaded.network, loaded.input
        self.seed = loaded.provenance["seed"] or 0
        table = read_scores(data / "scores" / run_id / "scores.parquet")
        self.scored = _referenced(table, self._references(loaded.provenance) if self.network.REFERENCE else None)
        with duckdb.connect() as con:
            con.register("scored", self.scored)
            self.rows = con.execute(_CLIPS, {"each": per_class, "classes": CLASSES}).to_arrow_table()
        self.names = self.rows["name"].to_pylist()
        if len(set(self.names)) < 2:
            raise DataError(f"{run_id} has test scores of one class only")

    def _references(self, about: Mapping[str, Any]) -> pa.Table:
        """The reference of each test trial, which its protocol names and no score file does."""
        from benchmark import cells

        with catalog.connect(self.data / "catalog.duckdb") as con:
            test = cells.trials(con, about["protocol"], partial=bool(about["partial"])).role("test")
        return test.select([*TRIAL, *REFERENCE])

    def batches(self, rows: pa.Table | None = None) -> Iterator[Any]:
        """Batches of the clips as the benchmark scores them, in the order of the rows."""
        from benchmark import feeds
        from benchmark.loader import Loader
        from features import extractors
        from shards.reader import Reader

        rows = self.rows if rows is None else rows
        extractor = extractors.get(self.spec["feature"], **self.spec["params"])
        reader = Reader(self.data)
        loader = Loader(
            reader, rows, self.spec, extractor, batch_size=8, seed=self.seed, train=False,
            feed=feeds.of(self.network, train=False),
        )  # fmt: skip
        self.order = [draw.row for batch in loader.plan() for draw in batch]
        yield from loader.epoch()


def _referenced(scored: pa.Table, references: pa.Table | None) -> pa.Table:
    """The scored trials with the columns REFERENCE, NULL without references."""
    if references is None:
        for name in REFERENCE:
            scored = scored.append_column(name, pa.nulls(scored.num_rows, pa.string()))
        return scored
    with duckdb.connect() as con:
        con.register("scored", scored)
        con.register("named", references)
        return con.execute(f"FROM scored JOIN named USING ({', '.join(TRIAL)})").to_arrow_table()


def features(subject: Subject) -> np.ndarray:
    """(clip, feature) float64: what the last linear layer of the network reads, averaged over any time axis.

    Raises DataError for a network without a linear layer.
    """
    import torch
    from torch import nn

    from benchmark.detectors.fd_add import NormedLinear

    seen: dict[str, torch.Tensor] = {}

    def keep(module: nn.Module, inputs: tuple) -> None:
        seen["last"] = inputs[0].detach()

    hooks = [
        m.register_forward_pre_hook(keep) for m in subject.network.modules() if isinstance(m, nn.Linear | NormedLinear)
    ]
    found: list[np.ndarray] = []
    try:
        with torch.inference_mode():
            for batch in subject.batches():
                seen.clear()
                size = len(subject.network.score_batch(batch))
                if "last" not in seen or seen["last"].shape[0] % size:
                    raise DataError(f"{subject.run_id}: its network does not end in a linear layer")
                found.append(seen["last"].reshape(size, -1, seen["last"].shape[-1]).mean(1).double().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    result = np.empty((len(subject.names), found[0].shape[1]))
    result[subject.order] = np.concatenate(found)
    return result


def tsne(subject: Subject) -> Figure:
    """The clips of a run in the plane, coloured by attack."""
    from sklearn.manifold import TSNE

    latent = features(subject)
    if len(latent) < 5:
        raise DataError(f"{subject.run_id} has {len(latent)} test clips, too few for a t-SNE")
    spread = latent.std(0)
    latent = (latent - latent.mean(0)) / np.where(spread > 0, spread, 1)
    perplexity = min(PERPLEXITY, (len(latent) - 1) / 3)
    plane = TSNE(init="pca", perplexity=perplexity, random_state=SEED).fit_transform(latent)
    return plots.cloud(plane, subject.names)


def gradcam(subject: Subject) -> Figure:
    """Where the streams of fd_add look: one clip per class under its spectrogram, 1 = most for "spoof"."""
    from benchmark import gradcam

    chosen = [subject.names.index(name) for name in list(dict.fromkeys(subject.names))[:MAPPED]]
    pictures: dict[str, list[np.ndarray]] = {}
    batches = subject.batches(subject.rows.take(chosen))
    rows, done = ["spectrogram"], 0
    for batch in batches:
        both = gradcam.maps(subject.network, batch.x)
        rows[1:] = both
        for k in range(len(batch.x)):
            name = subject.names[chosen[subject.order[done]]]
            pictures[name] = [batch.x[k].T.numpy(), *(stream[k] for stream in both.values())]
            done += 1
    return plots.maps(pictures, rows)


def gates(subject: Subject) -> Figure:
    """Mean gate weight of each expert in percent by the domain of the clip: of all test clips, each once, as scored."""
    from benchmark.detectors._experts import NAMES

    lacking = {"domain", *(f"gate_{name}" for name in NAMES)} - set(subject.scored.column_names)
    if lacking:
        raise DataError(f"{subject.run_id}: its scores lack {min(lacking)}; run the cell again")
    means = ", ".join(f"100 * avg(gate_{name})" for name in NAMES)
    with duckdb.connect() as con:
        con.register("scored", subject.scored)
        rows = con.execute(_GATES.format(means=means)).fetchall()
    series = {name: [row[k] for row in rows] for k, name in enumerate(NAMES, start=1)}
    return plots.bars([row[0] for row in rows], series, label="mean gate weight, %")


_RUNS = """
    SELECT run_id, detector FROM current_run WHERE trained AND NOT "external" AND NOT starts_with(detector, 'shortcut_')
    QUALIFY row_number() OVER (PARTITION BY detector ORDER BY protocol, seed, finished_at DESC, run_id) = 1
    ORDER BY detector"""
_CLIPS = """
    WITH clips AS (
        SELECT DISTINCT ON (utt_id) * EXCLUDE (score), CASE label WHEN 'bonafide' THEN 'bona fide'
               ELSE coalesce(attack::VARCHAR, 'unknown') END AS name
        FROM scored WHERE role = 'test' ORDER BY utt_id, reference_mode IS DISTINCT FROM 'real', subset
    ), classes AS (
        SELECT name FROM clips GROUP BY name ORDER BY name <> 'bona fide', count(*) DESC, name LIMIT $classes
    )
    SELECT * FROM clips WHERE name IN (FROM classes)
    QUALIFY row_number() OVER (PARTITION BY name ORDER BY md5(utt_id), utt_id) <= $each
    ORDER BY name <> 'bona fide', name, utt_id"""

_GATES = """
    SELECT coalesce(domain::VARCHAR, 'unknown') AS word, {means}
    FROM (SELECT DISTINCT ON (utt_id, variant) * FROM scored WHERE role = 'test' ORDER BY utt_id, variant, subset)
    GROUP BY word ORDER BY word"""
