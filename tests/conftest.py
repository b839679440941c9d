"""Make the modules beside this one importable from every test folder; the pipeline that several tests look at."""

import contextlib
import ctypes
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


@pytest.fixture(autouse=True, scope="module")
def _memory():
    """Blocks are used again within a file, as users' commands do, and go back after it: tests share this process."""
    from ingest import memory

    memory.keep_freed()
    yield
    with contextlib.suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(folder of simulated corpora, DATA) after the whole street; shared by all workers of this session."""
    import street

    with _once(tmp_path_factory, "street") as (folder, to_do):
        corpora, data = folder / "corpora", folder / "data"
        if to_do:
            words = ("simulate", "--out", corpora, "--corpora", *street.CORPORA, "--jobs", "1")
            street.call("ingest", *words, start=street.started)
            for stage in street.stages(corpora):
                street.call(*stage, data=data, start=street.started)
    return corpora, data


@pytest.fixture(scope="session")
def simulated_la(tmp_path_factory):
    """The root of a simulated ASVspoof 2019 LA, to read; shared by all workers of this session."""
    import street

    with _once(tmp_path_factory, "simulated") as (folder, to_do):
        if to_do:
            street.call("ingest", "simulate", "--out", folder, "--corpora", "asvspoof2019_la", "--jobs", "1")
    return folder / "asvspoof2019_la"


@contextlib.contextmanager
def _once(tmp_path_factory, name):
    """(folder of this session, is it still to be filled?); other workers wait meanwhile."""
    from ingest.files import lock

    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    done = base / f"{name}.done"
    with lock(base / f"{name}.lock"):
        yield base / name, not done.exists()
        done.touch()
