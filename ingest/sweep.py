"""Measure many audio files: in parallel processes, with bounded memory, and going on where a killed run ended."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ingest import measure, memory, parallel
from ingest.files import atomic
from ingest.progress import Progress

CHUNK_FILES = 32
_PART_ROWS, _PART_EVERY_S = 20_000, 20.0


def sweep(files: pa.Table, folder: Path, *, jobs: int, what: str) -> pa.Table:
    """measure.SCHEMA of every file of `files` (file, size_bytes, mtime_ns), in no particular order.

    Finished rows are kept in `folder` as they come, so that the next call after a kill measures the rest only; a file
    with a fault is tried again, since a right that is given changes neither its size nor its time.
    Remove the folder with forget() once the result is stored. jobs: processes; 1 stays in this one.
    """
    kept = _kept(folder, files)
    left = files["file"].filter(pc.invert(pc.is_in(files["file"], value_set=kept["file"].combine_chunks())))
    parts, fresh, said = [kept], [], time.monotonic()
    with Progress(what, total=len(left), unit="file") as progress:
        for batch in _measured(left.to_pylist(), jobs):
            fresh.append(batch)
            progress.add(batch.num_rows)
            if sum(b.num_rows for b in fresh) >= _PART_ROWS or time.monotonic() - said > _PART_EVERY_S:
                parts.append(_store(folder, fresh))
                fresh, said = [], time.monotonic()
    if fresh:
        parts.append(pa.Table.from_batches(fresh))
    return pa.concat_tables(parts)


def forget(folder: Path) -> None:
    """Remove the rows that sweep() kept in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)


def stamp(files: pa.Table) -> pa.ChunkedArray:
    """One word per file that changes when the file does."""
    numbers = [pc.cast(files[name], pa.string()) for name in ("size_bytes", "mtime_ns")]
    return pc.binary_join_element_wise(files["file"], *numbers, ":")


def _measured(paths: Sequence[str], jobs: int) -> Iterator[pa.RecordBatch]:
    chunks = [paths[start : start + CHUNK_FILES] for start in range(0, len(paths), CHUNK_FILES)]
    if jobs == 1 or len(paths) <= CHUNK_FILES:
        memory.keep_freed()
        yield from map(measure.measure_all, chunks)
        return
    jobs = min(jobs, len(chunks))  # joblib starts them all at once
    yield from parallel.results(((measure.measure_all, (chunk,), {}) for chunk in chunks), jobs, what="audio")


def _store(folder: Path, batches: list[pa.RecordBatch]) -> pa.Table:
    table = pa.Table.from_batches(batches)
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("*.parquet")))
    with atomic(folder / f"{number:06}.parquet") as temporary:
        pyarrow.parquet.write_table(table, temporary)
    return table


def _kept(folder: Path, files: pa.Table) -> pa.Table:
    parts = [pyarrow.parquet.read_table(part) for part in sorted(folder.glob("*.parquet"))]
    parts = [part for part in parts if part.schema.equals(measure.SCHEMA)]
    kept = pa.concat_tables([*parts, measure.SCHEMA.empty_table()])
    known = stamp(files)
    sound = pc.and_(pc.is_null(kept["fault"]), pc.is_in(stamp(kept), value_set=known.combine_chunks()))
    return kept.filter(sound)
