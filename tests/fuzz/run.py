"""python tests/fuzz/run.py [--minutes M] [TARGET ...]: mutated files for every parser, until the time is over.

An input that ends in anything but a result or a DataError, takes more than SLOW_S of processor time or more than
MEMORY_BYTES, or ends the process, is kept in fuzz-findings/ with its traceback. Each target runs in a process of its
own, which is started again where a crash ended it. Where atheris is installed (`make setup` does it on 64-bit Linux),
it leads the inputs by the branches that they take (guided.py). With `--engine counted` they come from a counter, so that
`--seed` and the number in a finding's name give the same bytes again, on every machine.
"""

import argparse
import faulthandler
import importlib.util
import json
import multiprocessing
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLOW_S, MEMORY_BYTES = 20.0, 8 << 30
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_WORD = re.compile(rb'"[^"\n]*"|[\w.+-]+')
_SEARCHED = 1 << 14  # of a large binary file, where words mean little, only the beginning
WORDS = (b"null", b"true", b"0", b"-1", b"0.5", b"1e999", b"NaN", b"9" * 30, b"[]", b"{}", b'""', b'"x"', b'"\\ud800"', b"[[]]",
         b'{"x": 1}', b"x", b"", b"''", b"../../x", b"\xff\xfe", b"1970-01-01", b"inf")  # fmt: skip


def mutated(seeds: tuple[bytes, ...], number: int, seed: int = 0) -> bytes:
    """The input of that number: one of the seeds with one to eight changes; the same on every machine.

    Half of the inputs from text exchange one or two words and change nothing else: else hardly one would come through
    the grammar of JSON, TOML or SQL to what reads the values.
    """
    rng = random.Random(f"{seed}/{number}")
    data = bytearray(rng.choice(seeds))
    words = _is_text(data) and rng.random() < 0.5
    for _ in range(rng.choice((1, 1, 1, 2) if words else (1, 1, 2, 3, 8))):
        at, length = rng.randrange(len(data) + 1), rng.randrange(1, 33)
        kind = 8 if words else rng.randrange(8)
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
        elif kind == 7:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        else:
            _exchange(data, seeds, rng)
    return bytes(data)


def _is_text(data: bytearray) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _exchange(data: bytearray, seeds: tuple[bytes, ...], rng: random.Random) -> None:
    """Put another word in the place of one, so that a file with a grammar stays readable and says something else."""
    here = [match.span() for match in _WORD.finditer(data[:_SEARCHED])]
    if here:
        start, end = rng.choice(here)
        others = _WORD.findall(rng.choice(seeds)[:_SEARCHED])
        data[start:end] = rng.choice(others) if others and rng.random() < 0.3 else rng.choice(WORDS)


def fuzz(
    name: str, *, seconds: float, seed: int = 0, first: int = 0, most: int | None = None, keep: Path | None = None,
    at: object = None,
) -> tuple[int, int]:  # fmt: skip
    """Feed one target for so long, or with so many inputs; returns how many it got and how many it failed on.

    first: the number of the first input; at: two shared numbers, which input is being tried and how many failed before.
    """
    from targets import TARGETS

    from ingest.types import DataError

    target, findings, number = TARGETS[name], 0, first
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{target.suffix}"
        while time.monotonic() < until and (most is None or number < first + most):
            data = mutated(target.seeds, number, seed)
            path.write_bytes(data)
            if at is not None:
                at[:] = number, findings
            started, why = time.process_time(), None
            try:
                target.check(path)
            except DataError:
                pass
            except Exception:  # what is looked for
                why = traceback.format_exc()
            if time.process_time() - started > SLOW_S:
                why = f"takes {time.process_time() - started:.0f} s of processor time"
            if why:
                findings += kept(keep, name, number, data, why)
            number += 1
    return number - first, findings


def apart(name: str, *, seconds: float, seed: int = 0, keep: Path | None = None) -> tuple[int, int]:
    """As fuzz(), in a process of its own whose memory is limited; an input that ends it is a finding."""
    from targets import TARGETS

    context = multiprocessing.get_context("fork")
    inputs = findings = first = 0
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        at, (here, there) = context.Array("q", 2), context.Pipe(duplex=False)
        child = context.Process(target=_in_child, args=(there, name, left, seed, first, keep, at))
        child.start()
        there.close()
        try:
            done, failed = here.recv()
        except EOFError:
            child.join()
            number, failed = at
            done, data = number - first + 1, mutated(TARGETS[name].seeds, number, seed)
            failed += kept(keep, name, number, data, f"the process ended with {child.exitcode}")
        child.join()
        inputs, findings, first = inputs + done, findings + failed, first + done
    return inputs, findings


def led(name: str, *, seconds: float, seed: int = 0, keep: Path | None = None) -> tuple[int, int]:
    """As apart(), with inputs led by atheris."""
    inputs = findings = 0
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        words = [str(Path(__file__).with_name("guided.py")), name, "--told", str(told)]
        words += ["--keep", str(keep)] if keep else []
        while (left := until - time.monotonic()) > 0:
            told.write_text('{"inputs": 0, "findings": 0}')
            command = [sys.executable, *words, "--seconds", str(left), "--seed", str(seed + findings)]
            path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)
            counted = json.loads(told.read_text())
            inputs, findings = inputs + counted["inputs"], findings + counted["findings"]
            print(
                "".join(f"{line}\n" for line in done.stderr.splitlines() if line.startswith(name)),
                end="",
                file=sys.stderr,
            )
            if done.returncode:
                print(f"{name}: the process ended with {done.returncode}: {done.stderr[-2000:]}", file=sys.stderr)
                findings += 1
    return inputs, findings


def _in_child(there, name, seconds, seed, first, keep, at) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    there.send(fuzz(name, seconds=seconds, seed=seed, first=first, keep=keep, at=at))


def kept(keep: Path | None, name: str, number: object, data: bytes, why: str) -> int:
    from targets import TARGETS

    print(f"{name} {number}: {why.strip().splitlines()[-1]}", file=sys.stderr)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{name}-{number}{TARGETS[name].suffix}").write_bytes(data)
        (keep / f"{name}-{number}.why.txt").write_text(why)
    return 1


def main() -> int:
    """Parse the command line; 0 nothing found, 1 findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="for each target (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another sequence of inputs")
    parser.add_argument("--engine", choices=("guided", "counted"), help="default: guided where atheris is installed")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), metavar="DIR")
    arguments = parser.parse_args()
    from targets import TARGETS

    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        parser.error(f"unknown target {unknown[0]}; known: {', '.join(TARGETS)}")
    if arguments.engine == "guided" and not importlib.util.find_spec("atheris"):
        parser.error("--engine guided needs atheris, which has no package for this machine; take --engine counted")
    guided = arguments.engine == "guided" or (arguments.engine is None and importlib.util.find_spec("atheris"))
    total = 0
    for name in arguments.targets or TARGETS:
        fuzzed = led if guided else apart
        inputs, findings = fuzzed(name, seconds=60 * arguments.minutes, seed=arguments.seed, keep=arguments.keep)
        print(f"{name}: {inputs} inputs, {findings} findings", flush=True)
        total += findings
    return 1 if total else 0


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    sys.exit(main())
