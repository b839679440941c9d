"""Databases on a disk that fills up at any byte: whole, or not there and a line that says why."""

import contextlib
import resource

import duckdb
import made_results

from benchmark import results
from ingest import catalog
from ingest.types import DataError


@contextlib.contextmanager
def no_file_over(size_bytes):
    """The kernel refuses to let a file grow beyond this, as it refuses writes on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def tables(path):
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute("SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY 1").fetchall()


def tried(action, path, whole, sizes):
    """Do it under each limit; returns how often there was room. `path` is whole or absent each time."""
    fitted = 0
    for size_bytes in sizes:
        path.unlink(missing_ok=True)
        try:
            with no_file_over(size_bytes):
                action()
            fitted += 1
        except DataError as error:
            assert "no room left" in str(error) and "\n" not in str(error)
            assert not path.exists()
        else:
            assert tables(path) == whole
        assert [p.name for p in path.parent.glob(f".{path.name}.*") if not p.name.endswith(".lock")] == []
    return fitted


def sizes_up_to(whole_bytes, count):
    return [whole_bytes * k // count // 4096 * 4096 for k in range(count)] + [whole_bytes * 2]


def test_results(tmp_path):
    made_results.make(tmp_path)
    path = tmp_path / "results.duckdb"
    results.collect(tmp_path, replicates=0, jobs=1)
    sizes = sizes_up_to(path.stat().st_size, 14)
    fitted = tried(lambda: results.collect(tmp_path, replicates=0, jobs=1), path, tables(path), sizes)
    assert 1 <= fitted < len(sizes)


def test_a_new_catalog(tmp_path):
    path = tmp_path / "catalog.duckdb"
    catalog.connect(path, read_only=False).close()
    sizes = sizes_up_to(path.stat().st_size, 14)
    fitted = tried(lambda: catalog.connect(path, read_only=False).close(), path, tables(path), sizes)
    assert 1 <= fitted < len(sizes)
