"""Stored features in place of computed ones: the same trained weights and scores, to the bit, and really read."""

import numpy as np
import pytest
import small_corpus
import torch
import trained_run

from benchmark import cells, detectors, run, settings
from benchmark.distribution import ALONE
from features import reader
from features.compute import Recipe, compute_corpus
from ingest import catalog
from shards import writer
from shards.reader import Reader

DETECTORS = {  # name -> its settings here
    "lfcc_gmm": {"components": 8, "iterations": 2}, "cqcc_gmm": {"components": 8, "iterations": 2, "spoof_every": 1},
    "lfcc_lcnn": {"epochs": 1, "batch_size": 8},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Clips of four lengths, two of which give the same number of frames."""
    with pytest.MonkeyPatch.context() as patch:
        whole = small_corpus.clip
        patch.setattr(small_corpus, "clip", lambda n, rate_hz: whole(n, rate_hz, (0.4, 0.401, 0.45, 0.5)[n % 4]))
        folder = small_corpus.build(tmp_path_factory.mktemp("stored"), corpus="librisevoc", rows=trained_run.rows(6))
    writer.write_corpus("librisevoc", folder, jobs=1)
    for name in DETECTORS:
        spec = detectors.get(name).INPUT
        recipe = Recipe.of(spec.feature, spec.params["preset"], {}, "float32")
        compute_corpus("librisevoc", folder, recipe, jobs=1)
    return folder


@pytest.fixture()
def batches(monkeypatch):
    """Counts the batches that come from stored features."""
    taken, whole = [], reader.FeatureReader.batch
    monkeypatch.setattr(reader.FeatureReader, "batch", lambda self, *clips: taken.append(clips) or whole(self, *clips))
    return taken


def outcome(data, name, folder, *, stored):
    """(weights, scores) of a detector trained and scored on one CPU thread."""
    with catalog.connect(data / "catalog.duckdb") as con:
        on = cells.trials(con, trained_run.PROTOCOL, partial=True)
    how = settings.resolve(name, {name: DETECTORS[name]}, clip=None, weights=None)
    cell = cells.cell(trained_run.PROTOCOL, on, how, 0, True)
    work = run.Work(data, folder, {cell.protocol: on}, run.Machine("cpu", stored=stored), None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Reader(data) as shards:
            detector, _ = run.final_detector(work, cell, shards, "cpu", ALONE)
            columns, _ = run.scores_of(detector, cell, on, shards, "cpu", {}, ALONE, stored=stored)
    finally:
        torch.set_num_threads(threads)
    return {key: value.numpy().tobytes() for key, value in detector.state_dict().items()}, columns["score"]


@pytest.mark.parametrize("name", DETECTORS)
def test_weights_and_scores_are_the_same_to_the_bit(data, name, tmp_path, batches):
    computed = outcome(data, name, tmp_path / "computed", stored=False)
    assert not batches
    read = outcome(data, name, tmp_path / "read", stored=True)
    assert len(batches) >= 4
    assert len(computed[1]) > 20 and np.ptp(list(computed[1].values())) > 0
    assert read == computed
