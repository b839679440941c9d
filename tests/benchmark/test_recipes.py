"""A recipe that needs more than crops, trained and scored by the command on simulated corpora, in a tiny configuration."""

import shutil

import numpy as np
import pytest
import street

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
