"""What each detector costs on the device at hand: parameters, MACs, utterances a second, memory (the papers' Table IX).

Each detector is measured in a process of its own, at full size with random weights, on made clips. The figures lie
in DATA/throughput and become the table `throughput` of results.duckdb.
"""

import csv
import json
import math
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmark import detectors
from ingest import memory, parallel
from ingest.cli import THREADS, Parser, add_data, whole
from ingest.files import atomic, lock
from ingest.types import DataError, nearest

TABLE = Path(__file__).with_name("throughput_here.csv")  # what the README's table shows
TABLE_COLUMNS = ("detector", "form", "device", "threads", "samples", "batch_size", "macs", "train_per_s", "score_per_s")
MOST = 1 << 31  # samples of a clip, clips of a batch: more than any memory holds
WHOLE_SAMPLES = 64_600  # for detectors that read whole utterances
FORMS = {
    "fast": "as a run computes it: float32, tile by tile where the detector has that",
    "plain": "eager float32, operation by operation as published",
    "channels_last": "fast, channels innermost in memory",
    "bfloat16": "fast, under bfloat16 autocast",
    "compiled": "fast, through torch.compile",
}


@dataclass(frozen=True, slots=True)
class Throughput:
    """One detector on one device in one form; None where a figure does not exist (no training, killed for memory)."""

    detector: str
    form: str
    device: str
    threads: int
    samples: int
    batch_size: int
    parameters: int
    macs: int | None
    train_per_s: float | None
    score_per_s: float | None
    peak_memory_bytes: int | None
    code_version: str
    note: str | None = None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_rate(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value < math.inf)


KINDS = {  # what a stored figure must hold
    **dict.fromkeys(("detector", "form", "device", "code_version"), _is_text),
    **dict.fromkeys(("threads", "samples", "batch_size", "parameters"), _is_count),
    **dict.fromkeys(("macs", "peak_memory_bytes"), lambda value: value is None or _is_count(value)),
    **dict.fromkeys(("train_per_s", "score_per_s"), _is_rate),
    "note": lambda value: value is None or _is_text(value),
}


def _alone(name: str, threads: int, options: dict[str, Any]) -> Throughput:
    """In a fresh process, so that its peak memory is the detector's own."""
    import torch

    from benchmark.timing import measured

    torch.set_num_threads(threads)
    memory.keep_freed()
    try:
        return measured(name, **options)
    except Exception as error:
        why = " ".join(str(error).split())[:160]
        if memory.lacking(error):
            return _unmeasured(name, threads, options, f"does not fit into memory ({why})")
        if options["form"] not in ("fast", "plain"):
            return _unmeasured(name, threads, options, f"does not run in this form here ({why})")
        if options["samples"] is not None:  # too few for its layers
            return _unmeasured(name, threads, options, f"does not run on so many samples ({why})")
        raise


def measure_all(
    data: Path, names: Sequence[str], *, device: str = "cpu", threads: int = 1, forms: Sequence[str] = ("fast",),
    batch_size: int = 4, seconds: float = 3.0, samples: int | None = None,
) -> Iterator[Throughput]:  # fmt: skip
    """Measure detectors one after the other, each in its own process, and keep every figure in DATA/throughput.

    A detector whose process is killed, that wants more memory than there is, or that does not run in a form that none
    needs or on `samples`, gives a row of its own with the reason, which replaces no figure. Raises DataError for an
    unknown form.
    """
    for form in forms:
        if form not in FORMS:
            raise nearest(form, FORMS, what="form")
    for name in names:
        detectors.get(name)
    with lock(data / "throughput" / ".lock"):  # two at once would measure each other
        yield from _measured(data, names, device, threads, forms, batch_size, seconds, samples)


def _measured(
    data: Path, names: Sequence[str], device: str, threads: int, forms: Sequence[str], batch_size: int, seconds: float,
    samples: int | None,
) -> Iterator[Throughput]:  # fmt: skip
    for name in names:
        for form in forms:
            options = {"form": form, "device": device, "batch_size": batch_size, "seconds": seconds, "samples": samples}
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, spawn, initializer=parallel.end_with, initargs=(os.getpid(),)) as pool:
                try:
                    row = pool.submit(_alone, name, threads, options).result()
                except BrokenProcessPool:
                    row = _unmeasured(name, threads, options, "killed, perhaps for want of memory")
            path = data / "throughput" / f"{name}-{form}-{device.replace(':', '')}.json"
            if row.note and any(_place(other) == _place(row) and other.note is None for other in stored(data)):
                yield replace(row, note=f"{row.note}; the figure of before is kept")
                continue
            with atomic(path) as temporary:
                temporary.write_text(json.dumps(asdict(row), indent=1, sort_keys=True))
            for other in (data / "throughput").glob(f"{name}-{form}-*.json"):  # of cuda, after cuda:0 on the same card
                if other != path and _read(other).device == row.device:
                    other.unlink()
            yield row


def _unmeasured(name: str, threads: int, options: dict[str, Any], note: str) -> Throughput:
    from benchmark import record

    about = detectors.describe(name)
    samples = options["samples"] or about["input"].samples or WHOLE_SAMPLES
    return Throughput(
        name, options["form"], record.device_name(options["device"]), threads, samples, options["batch_size"],
        about["parameters"], None, None, None, None, "", note,
    )  # fmt: skip


def _place(row: Throughput) -> tuple[str, str, str]:
    """Of rows with the same place one is kept."""
    return row.detector, row.form, row.device


def stored(data: Path) -> list[Throughput]:
    """What `measure_all` kept, by detector and form. Raises DataError naming a file that holds no such figure."""
    found: dict[tuple[str, str, str], tuple[Path, Throughput]] = {}
    for path in sorted((data / "throughput").glob("*.json")):
        row = _read(path)
        other, _ = found.setdefault(_place(row), (path, row))
        if other != path:
            raise DataError(f"{other} and {path} both have {row.detector}, {row.form}, on {row.device}; remove one")
    return [row for _, row in found.values()]


def _read(path: Path) -> Throughput:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        values = None
    names = {f.name for f in fields(Throughput)}
    if not isinstance(values, dict) or set(values) != names or not all(KINDS[n](v) for n, v in values.items()):
        raise DataError(f"{path} is not a throughput figure; remove it and run: python -m benchmark throughput")
    return Throughput(**values)


def table(path: Path = TABLE) -> dict[str, dict[str, str]]:
    """The committed figures by detector, as text; empty where there are none."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["detector"]: row for row in csv.DictReader(file)}


def write_table(rows: Iterable[Throughput], path: Path = TABLE) -> None:
    """Replace the committed figures of the detectors in `rows`, and drop those of detectors that are no more."""
    with lock(path.with_name(f".{path.name}.lock"), keep=False):  # two with different DATA share this file
        _write_table(rows, path)


def _write_table(rows: Iterable[Throughput], path: Path) -> None:
    known, figures = set(detectors.names()), table(path)
    figures |= {row.detector: as_text(row) for row in rows}
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, TABLE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(figures[name] for name in sorted(known & set(figures)))


def as_text(row: Throughput) -> dict[str, str]:
    """A figure as the committed table has it: rates of three digits without an exponent, empty where there is none."""
    values = {name: getattr(row, name) for name in TABLE_COLUMNS}
    for name in ("train_per_s", "score_per_s"):
        values[name] = values[name] and f"{float(f'{values[name]:.3g}'):.9g}"
    return {name: "" if value is None else str(value) for name, value in values.items()}


def per_second(row: Throughput | None) -> tuple[str, str]:
    """Training and scoring utterances a second as text, empty where there is no figure."""
    rates = (row.train_per_s, row.score_per_s) if row else (None, None)
    return tuple("" if rate is None else f"{rate:,.2f}" for rate in rates)


def line(row: Throughput) -> str:
    """A row of Table IX: detector, form, parameters, GMAC, training and scoring utterances/s, MiB."""
    work = "" if row.macs is None else f"{row.macs / 1e9:.3f}"
    rates = per_second(row)
    peak = "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 2**20:,.0f}"
    what = f"{row.detector:22s} {row.form:13s} {row.parameters:>12,d}"
    return f"{what} {work:>8s} {rates[0]:>9s} {rates[1]:>9s} {peak:>8s}"


HEAD = (
    f"{'detector':22s} {'form':13s} {'parameters':>12s} {'GMAC':>8s} {'train/s':>9s} {'score/s':>9s} {'peak MiB':>8s}"
)


def add(commands: Any, examples: str) -> None:
    """The command `throughput` of `python -m benchmark`."""
    what = "measure parameters, MACs, utterances/s and memory of detectors here"
    command: Parser = commands.add_parser("throughput", help=what, description=what, epilog=examples)
    add_data(command)
    many = {"nargs": "+", "action": "extend", "metavar": "NAME"}
    command.add_argument("--detector", **many, help="default: all")
    command.add_argument("--form", **many, help=f"{', '.join(FORMS)} (default: fast)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")
    command.add_argument("--threads", type=whole(THREADS), metavar="N", default=1, help="CPU threads (default: 1)")
    command.add_argument("--batch", type=whole(MOST), default=4, metavar="N", help="clips in a batch (default: 4)")
    command.add_argument("--samples", type=whole(MOST), metavar="N", help="clip length (default: the detector's own)")
    command.add_argument("--seconds", type=float, default=3.0, help="time for each figure (default: 3)")
    command.add_argument("--write-table", action="store_true", help="bring the README's figures up to date, too")
    command.set_defaults(does=_measure)


def _measure(arguments: Any) -> int:
    from benchmark import results
    from benchmark.devices import device_of

    if not 0 <= arguments.seconds <= 3600:
        raise DataError(f"--seconds {arguments.seconds:g} is not a number of seconds from 0 to 3600")
    rows = measure_all(
        arguments.data, arguments.detector or detectors.names(), device=device_of(arguments.device),
        threads=arguments.threads, forms=arguments.form or ["fast"], batch_size=arguments.batch,
        seconds=arguments.seconds, samples=arguments.samples,
    )  # fmt: skip
    print(HEAD)
    unmeasured = 0
    for row in rows:
        unmeasured += row.note is not None
        print(line(row), row.note or "", flush=True)
        if arguments.write_table and row.form == "fast" and row.note is None:
            write_table([row])
    results.collect(arguments.data)
    print(f"kept in {arguments.data / 'results.duckdb'}, table throughput")
    return 1 if unmeasured else 0
