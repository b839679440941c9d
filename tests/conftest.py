"""Make the modules beside this one importable from every test folder; the pipeline that several tests look at."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


LONG = ("test_ray.py", "test_faults.py", "test_kills.py", "test_learning.py", "test_bench_workers.py")


def pytest_collection_modifyitems(items):
    """Files that look at the pipeline below and other long ones first: short tests then even out the workers' ends."""
    first = {item.path for item in items if "made" in item.fixturenames or item.path.name in LONG}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(autouse=True, scope="session")
def _freed_memory_goes_back():
    """Tests share this process; the commands that they start keep what they freed, as users' do."""
    from ingest import memory

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(memory, "keep_freed", lambda: None)
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(folder of simulated corpora, DATA) after the whole street; shared by all workers of this session."""
    import street

    from ingest.files import lock

    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    corpora, data = base / "street" / "corpora", base / "street" / "data"
    with lock(base / "street" / "lock"):
        if not (base / "street" / "done").exists():
            street.call("ingest", "simulate", "--out", corpora, "--corpora", *street.CORPORA, start=street.started)
            for stage in street.stages(corpora):
                street.call(*stage, data=data, start=street.started)
            (base / "street" / "done").touch()
    return corpora, data
