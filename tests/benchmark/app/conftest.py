"""Two small runs that the page offers."""

import pytest
import trained_run


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Folders of the runs of a detector without and one with convolutions."""
    pool, lcnn = tmp_path_factory.mktemp("pool"), tmp_path_factory.mktemp("lcnn")
    first = trained_run.make(pool, each=6, train=40)
    second = trained_run.make(lcnn, "lfcc_lcnn", each=3, train=0)
    return pool / "data/scores" / first, lcnn / "data/scores" / second
