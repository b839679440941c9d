"""One target, with inputs that atheris makes, led by what they reach; run.py starts it, and again after a crash.

The branches of our own parsers are watched; those of libraries written in C are not. An input that takes a new branch is
changed further: half of the changes are libFuzzer's, half those of run.mutated(), which keep a grammar. An input that
ends in anything but a result or a DataError is kept, one for each place where that happens. One that ends the process,
takes more than run.SLOW_S or more than run.MEMORY_BYTES is kept by libFuzzer, which then ends this process.
"""

import argparse
import atexit
import json
import traceback
from pathlib import Path
from typing import Any

import atheris
import run

WATCHED = ["ingest", "protocols", "shards", "benchmark", "reports", "targets", "miniatures", "tomllib"]
TOLD_EVERY = 100  # inputs: what is counted outlives a crash


def main() -> None:
    """Fuzz one target until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--told", type=Path, required=True, help="file that gets the counts; beside it lie the inputs")
    options = vars(parser.parse_args())
    with atheris.instrument_imports(include=WATCHED):
        import targets
    name = options.pop("target")
    lead(name, targets.TARGETS[name], **options)


def lead(name: str, target: Any, *, seconds: float, seed: int, keep: Path, told: Path) -> None:
    """Give the target what comes of its seeds. libFuzzer ends the process: with 0 when the time is over."""
    from ingest.types import DataError

    path, corpus = told.with_name(f"input{target.suffix}"), told.with_name("corpus")
    corpus.mkdir(exist_ok=True)
    keep.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(content)
    counts, places = {"inputs": 0, "findings": 0}, set()

    def tell() -> None:
        told.write_text(json.dumps(counts))

    def check(data: bytes) -> None:
        counts["inputs"] += 1
        path.write_bytes(data)
        try:
            target.check(path)
        except DataError:
            pass
        except Exception as error:  # what is looked for
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = (type(error), last.filename, last.lineno)
            if place not in places:
                places.add(place)
                counts["findings"] += run.kept(keep, name, f"{seed}-{len(places)}", data, traceback.format_exc())
        if counts["inputs"] % TOLD_EVERY == 0:
            tell()

    def change(data: bytes, most: int, number: int) -> bytes:
        if number % 2:
            return atheris.Mutate(data, most)
        return run.mutated((data, *target.seeds), number, seed)[:most]

    options = [
        f"-max_total_time={max(1, round(seconds))}", f"-seed={seed + 1}", f"-timeout={round(run.SLOW_S)}",
        f"-rss_limit_mb={run.MEMORY_BYTES >> 20}", f"-max_len={4 * max(map(len, target.seeds))}",
        f"-artifact_prefix={keep}/{name}-{seed}-", "-verbosity=0",
    ]  # fmt: skip
    atexit.register(tell)
    atheris.Setup([name, *options, str(corpus)], check, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
