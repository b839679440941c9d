"""A recipe that needs more than crops, trained and scored by the command on simulated corpora, in a tiny configuration."""

import shutil

import numpy as np
import pytest
import small_corpus
import street

from ingest import catalog
from shards import writer

RECIPES = {
    "fd_add": ("width=8", "batch_size=32"),  # copies with pseudo labels, made on the fly
}


@pytest.mark.parametrize("name", RECIPES)
def test_it_trains_and_scores(made, tmp_path, name):
    for part in ("catalog.duckdb", "shards"):
        copy = shutil.copytree if (made[1] / part).is_dir() else shutil.copy
        copy(made[1] / part, tmp_path / part)
    settings = [f"{name}.{setting}" for setting in ("weights=random", "epochs=1", *RECIPES[name])]
    street.call("benchmark", "run", "--protocol", "inner/librisevoc", "--detector", name, "--set", *settings,
                "--jobs", "1", data=tmp_path)  # fmt: skip
    (run,) = street.records(tmp_path)
    values = np.array([row["score"] for row in street.scores(tmp_path, run["run_id"])])
    assert np.isfinite(values).all() and len(np.unique(values)) > 1


SPEAKERS = ("x", "y")
MODES = ("real", "zero", "mismatch", "noise", "silence", "snr10", "snr20", "1s", "3s")
RAT = "official/asvspoof5_track1_open_rat"


def voices(folder):
    """ASVspoof 5 in miniature: per partition two speakers with three bona fide and two spoof clips each."""
    rows = [
        (f"{part}_{who}_{label[0]}{i}", label, None if label == "bonafide" else "A01", "en", 16_000, "FLAC")
        for part in ("train", "dev", "eval") for who in SPEAKERS for label in ("bonafide", "spoof")
        for i in range(3 if label == "bonafide" else 2)
    ]  # fmt: skip
    data = small_corpus.build(folder, corpus="asvspoof5", rows=rows)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        stem = "split_part(utt_id, '/', 2)"
        con.execute(
            f"UPDATE utterance SET partition = split_part({stem}, '_', 1), speaker = split_part({stem}, '_', 2)"
        )
    writer.write_corpus("asvspoof5", data, jobs=1)
    return data


def test_rat_hears_a_reference_in_training_and_each_kind_of_it_when_scoring(tmp_path):
    data = voices(tmp_path)
    settings = ["rat.weights=random", "rat.small=true", "rat.epochs=1", "rat.draws=6"]
    street.call("benchmark", "run", "--protocol", RAT, "--detector", "rat", "--set", *settings, "--jobs", "1",
                data=data)  # fmt: skip
    (run,) = street.records(data)
    assert run["config"]["training"]["precision"] == "bfloat16"
    assert run["backbone"]["apply_spec_augment"] is False and run["backbone"]["layerdrop"] == 0
    by_mode = {mode: {} for mode in MODES}
    for row in street.scores(data, run["run_id"]):
        if row["subset"] and row["subset"].startswith("eval_ref_"):
            by_mode[row["subset"].removeprefix("eval_ref_")][row["utt_id"]] = row["score"]
    assert all(len(scores) == 10 and np.isfinite(list(scores.values())).all() for scores in by_mode.values())
    scores_of = {mode: np.array([scores[u] for u in sorted(scores)]) for mode, scores in by_mode.items()}
    for mode in ("zero", "mismatch", "noise", "silence", "snr10", "snr20"):
        assert not np.allclose(scores_of[mode], scores_of["real"], rtol=0, atol=1e-7), mode
    for mode in ("1s", "3s"):  # every clip is half a second: nothing is cut
        np.testing.assert_allclose(scores_of[mode], scores_of["real"], rtol=0, atol=1e-6)
