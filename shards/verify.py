"""python -m shards verify: stored tars held against the sha256 that the catalog has of them."""

import contextlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from joblib import cpu_count, delayed

from ingest import catalog, parallel
from ingest.cli import Parser, add_data, with_data
from ingest.files import lock
from ingest.progress import Progress
from ingest.types import DataError, nearest
from shards import index, reader, root, storage

_EXAMPLE = """examples:
  python -m shards verify                      all tars of audio and features, read whole
  python -m shards verify wavefake --remove    take away what is wrong; then run again what it tells
"""
SHUT = "may not be read (permission denied): make it readable, it need not be made anew"


@dataclass(frozen=True, slots=True)
class Named:
    """A tar that the catalog names; made_by: the command that makes it."""

    path: str  # below the root
    corpus: str
    sha256: str
    size_bytes: int
    made_by: str


def main(argv: Sequence[str] | None = None) -> int:
    """Read the tars of some corpora or of all, name those that are not the catalog's, and remove them if asked to."""
    parser = Parser(prog="python -m shards verify", epilog=_EXAMPLE,
                    description="Hold tars of audio and of features against the catalog.")  # fmt: skip
    parser.add_argument("corpus", nargs="*", help="corpora of the catalog (default: all)")
    parser.add_argument("--remove", action="store_true", help="delete the tars that are wrong, with their indexes")
    parallel.add_jobs(parser)
    add_data(parser)
    options = parser.parse_args(argv)
    with catalog.connect(options.data / "catalog.duckdb") as con:
        top, tars = root.root(con, options.data), _named(con, options.corpus)
    if not tars:
        raise DataError(f"{options.data} has no shards; run: {with_data('python -m shards all', options.data)}")
    size_bytes = sum(tar.size_bytes for tar in tars)
    jobs = parallel.chosen(options)
    wrong = _wrong(top, tars, min(cpu_count(), 1 + (size_bytes >> 30)) if jobs is None else jobs)
    size = size_bytes / 1e6
    if not wrong:
        print(f"{len(tars)} shards, {size:.1f} MB: nothing wrong")
        return 0
    for tar, reason in wrong.items():
        print(f"{top / tar.path}: {reason}")
    print(f"{len(wrong)} of {len(tars)} shards, {size:.1f} MB, are wrong")
    lost = [tar for tar, reason in wrong.items() if reason != SHUT]
    if not lost:
        return 1
    if options.remove:
        print(f"{_remove(options.data, top, lost)} removed; make them anew, with the same options as before:")
    else:
        print("take them away with --remove, then make them anew, with the same options as before:")
    for command in dict.fromkeys(tar.made_by for tar in lost):  # audio before the features that are computed from it
        print(f"  {with_data(command, options.data)}")
    return int(not options.remove or len(lost) < len(wrong))


def check(tar: storage.Place, sha256: str) -> str | None:
    """What is wrong with a tar of that sha256, or with its index; None: nothing. The tar is read whole."""
    about = index.read_about(tar) if _whole_index(tar) else None
    try:
        found = storage.digest(tar)
    except FileNotFoundError:
        return "absent"
    except PermissionError:
        return SHUT
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if about is None:
        return "its index is absent or damaged"
    if found == sha256 == about.get("sha256"):
        return None
    if found == about.get("sha256"):
        return "another tar than the catalog names: the command that wrote it is busy, or was killed"
    return "damaged: its bytes are not those that were written"


def _whole_index(tar: storage.Place) -> bool:
    try:
        index.read_members(tar)
    except (OSError, pa.ArrowException):
        return False
    return True


def _named(con: duckdb.DuckDBPyConnection, corpora: Sequence[str]) -> list[Named]:
    """Every tar of these corpora (none: all), in order. Raises DataError for a corpus without any beside others."""
    found = []
    if root.has_table(con, "shard"):
        for name, corpus, variant, codec, *about in con.execute(
            "SELECT shard, corpus, variant, audio_codec, sha256, size_bytes FROM shard ORDER BY shard"
        ).fetchall():
            found.append(Named(f"shards/{name}", corpus, *about, reader.making(corpus, variant, codec)))
    if root.has_table(con, "feature_shard"):
        for name, corpus, variant, feature, params, dtype, *about in con.execute(
            "SELECT shard, corpus, variant, name, params, dtype, sha256, size_bytes "
            "FROM feature_shard JOIN feature USING (feature) ORDER BY shard"
        ).fetchall():
            command = _computing(corpus, variant, feature, params, dtype)
            found.append(Named(f"features/{name}", corpus, *about, command))
    known = {tar.corpus for tar in found}
    for corpus in corpora if known else ():
        if corpus not in known:
            raise nearest(corpus, known, what="corpus with shards")
    return [tar for tar in found if not corpora or tar.corpus in corpora]


def _computing(corpus: str, variant: str, feature: str, params: str, dtype: str) -> str:
    """The command that computes a stored feature."""
    words = ["python", "-m", "features", corpus, "--feature", feature]
    for key, value in json.loads(params).items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join([*words, "--dtype", dtype, "--variant", variant])


def _wrong(top: storage.Place, tars: Sequence[Named], jobs: parallel.Jobs) -> dict[Named, str]:
    """The tars that are wrong, in order, and why."""
    tasks = (delayed(_checked)(top, tar) for tar in tars)
    found = {}
    with Progress("verify", total=sum(tar.size_bytes for tar in tars) >> 20, unit="MiB") as progress:
        done = 0
        for tar, reason in parallel.results(tasks, jobs, what="verify", batch=1, seen=root.sign(top)):
            before, done = done, done + tar.size_bytes
            progress.add((done >> 20) - (before >> 20))
            if reason is not None:
                found[tar] = reason
    return {tar: found[tar] for tar in tars if tar in found}


def _checked(top: storage.Place, tar: Named) -> tuple[Named, str | None]:
    return tar, check(top / tar.path, tar.sha256)


def _remove(data: Path, top: storage.Place, tars: Sequence[Named]) -> int:
    """Delete these tars and their indexes if they are still wrong; returns how many.

    Raises DataError, with nothing deleted, while a process writes into one of their folders.
    """
    removed = 0
    with contextlib.ExitStack() as alone:
        for folder in sorted({Path(tar.path).parent for tar in tars}):
            alone.enter_context(lock(data / folder / ".lock", wait=False, keep=False))
        for tar in tars:
            path = top / tar.path
            if check(path, tar.sha256) not in (None, SHUT):
                for file in (index.index_path(path), path):  # without its index a tar is not finished
                    with contextlib.suppress(FileNotFoundError):
                        storage.remove(file)
                removed += 1
    return removed
