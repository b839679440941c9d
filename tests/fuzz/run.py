"""python tests/fuzz/run.py [--minutes M] [TARGET ...]: mutated files for every parser, until the time is over.

An input that ends in anything but a result or a DataError is kept in fuzz-findings/ with its traceback. The inputs come
from a counter, so `--seed` and the number in a finding's name give the same bytes again.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def mutated(seeds: tuple[bytes, ...], number: int, seed: int = 0) -> bytes:
    """The input of that number: one of the seeds with one to eight changes; the same on every machine."""
    rng = random.Random(f"{seed}/{number}")
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at, length = rng.randrange(len(data) + 1), rng.randrange(1, 33)
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = rng.randbytes(length)
        elif kind == 4:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 5:
            width = rng.choice((1, 2, 4, 8))
            number_bytes = (rng.choice(NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, rng.choice(("little", "big")))
            data[at : at + width] = number_bytes
        elif kind == 6:
            del data[at:]
        else:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
    return bytes(data)


def fuzz(
    name: str, *, seconds: float, seed: int = 0, most: int | None = None, keep: Path | None = None
) -> tuple[int, int]:
    """Feed one target for so long, or with so many inputs; returns how many it got and how many it failed on."""
    from targets import TARGETS

    from ingest.types import DataError

    target, findings, number = TARGETS[name], 0, 0
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{target.suffix}"
        while time.monotonic() < until and (most is None or number < most):
            data = mutated(target.seeds, number, seed)
            path.write_bytes(data)
            try:
                target.check(path)
            except DataError:
                pass
            except Exception:  # what is looked for
                findings += _kept(keep, name, number, target.suffix, data, traceback.format_exc())
            number += 1
    return number, findings


def _kept(keep: Path | None, name: str, number: int, suffix: str, data: bytes, why: str) -> int:
    print(f"{name} {number}: {why.strip().splitlines()[-1]}", file=sys.stderr)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{name}-{number}{suffix}").write_bytes(data)
        (keep / f"{name}-{number}.why.txt").write_text(why)
    return 1


def main() -> int:
    """Parse the command line; 0 nothing found, 1 findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="for each target (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another sequence of inputs")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), metavar="DIR")
    arguments = parser.parse_args()
    from targets import TARGETS

    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        parser.error(f"unknown target {unknown[0]}; known: {', '.join(TARGETS)}")
    total = 0
    for name in arguments.targets or TARGETS:
        inputs, findings = fuzz(name, seconds=60 * arguments.minutes, seed=arguments.seed, keep=arguments.keep)
        print(f"{name}: {inputs} inputs, {findings} findings", flush=True)
        total += findings
    return 1 if total else 0


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    sys.exit(main())
