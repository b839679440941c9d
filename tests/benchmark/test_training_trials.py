"""Training reads train, selection reads dev, and neither ever reads a test trial: watched for every protocol."""

import numpy as np
import pytest
import synthetic_catalog
import torch

import protocols
from benchmark import cells, detectors, run, settings
from ingest.types import DataError

LISTED = {name for name in protocols.names() if protocols.load(name).lists}
SETTINGS = {"mean_pool": {"epochs": 1, "samples": 800, "batch_size": 256}}


class Watched:
    """A reader of noise that remembers every utterance it was asked for."""

    def __init__(self):
        self.read = set()

    def wave(self, utt_id, variant="original"):
        self.read.add(utt_id)
        return np.random.default_rng(len(self.read)).standard_normal(800).astype(np.float32)

    def span(self, utt_id, start, stop, variant="original"):
        return self.wave(utt_id, variant)[start:stop]

    def length(self, utt_id, variant="original"):
        return 800


@pytest.fixture(scope="module")
def con():
    return synthetic_catalog.connect(ids=40)


def trained(con, name, tmp_path):
    """(what training and selection of mean_pool read, the protocol's trials)."""
    on = cells.trials(con, name, partial=True)
    how = settings.resolve("mean_pool", SETTINGS, clip=None, weights=None)
    cell = cells.cell(name, on, how, 0, True)
    work = run.Work(tmp_path, tmp_path, {name: on}, run.Machine("cpu"), None)
    reader = Watched()
    torch.manual_seed(0)
    run._train(work, cell, detectors.build("mean_pool"), reader, "cpu")
    return reader.read, on


@pytest.mark.parametrize("name", sorted(set(protocols.names()) - LISTED))
def test_training_never_reads_a_test_trial(con, name, tmp_path):
    on = cells.trials(con, name, partial=True)
    if not on.role("train").num_rows:
        with pytest.raises(DataError, match="no training trials"):
            trained(con, name, tmp_path)
        return
    read, on = trained(con, name, tmp_path)
    role = {word: set(on.role(word)["utt_id"].to_pylist()) for word in ("train", "dev", "test")}
    assert not read & role["test"]
    assert read <= role["train"] | role["dev"]
    assert read >= role["dev"]  # the watch saw what was read


def test_the_watch_notices_a_test_trial_in_dev(con, tmp_path, monkeypatch):
    """A protocol whose dev were its test would be caught: the check above is no tautology."""
    real = cells.Trials.role
    monkeypatch.setattr(cells.Trials, "role", lambda on, word: real(on, "test" if word == "dev" else word))
    read, on = trained(con, "inner/librisevoc", tmp_path)
    assert read & set(real(on, "test")["utt_id"].to_pylist())
