"""python tests/faults/run.py [--count N] [--seed N] [--stage S ...] [--kind K ...]: commands disturbed, run again, compared.

Each fault disturbs one command; the command is then run again in peace, and what data/ holds is held against a run that
nobody disturbed: no row lost, nothing half written, no traceback, the same bytes. One line a fault; code 1 for a finding.
"""

import argparse
import collections
import itertools
import json
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import processes

APART = ("store", "ray")  # kinds for stages that work on a store and on a cluster
PROGRESS = re.compile(r"\d+ \w+, [\d.]+ \w+/s(, \d+ s left)?$")  # what a command says every ten seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: what was done, whether it met the command at work, and what was wrong afterwards (nothing: sound)."""

    number: int
    stage: str
    kind: str
    command: str
    how: str
    code: int
    hit: bool
    wrong: tuple[str, ...]
    seconds: float


def plan(count: int, seed: int, stages: list, kinds: list[str]) -> list[tuple]:
    """(number, stage, kind) of each fault: every pair in turn, in an order that the seed draws.

    Of a stage with several commands one is drawn.
    """
    by_name: dict[str, list] = {}
    for stage in stages:
        by_name.setdefault(stage.name, []).append(stage)
    pairs = [(name, kind) for name, some in by_name.items() for kind in kinds if kind not in APART or some[0].scales]
    rng = random.Random(f"order/{seed}")
    rng.shuffle(pairs)
    pairs = itertools.islice(itertools.cycle(pairs), count)
    return [(number, rng.choice(by_name[name]), kind) for number, (name, kind) in enumerate(pairs)]


def fault(bench, number: int, stage, kind: str, seed: int) -> Row:
    """Disturb, look, run again, compare."""
    import kinds

    started = time.monotonic()
    told = kinds.KINDS[kind](bench, stage, random.Random(f"{seed}/{number}"))
    wrong = [
        *_of_runs(told),
        *(f"half written: {one}" for one in bench.look(finished=False, remote=told.remote)["broken"]),
    ]
    words = (*bench.words(stage, remote=told.remote), *told.options)
    again = bench.start(words, bench.conditions(remote=told.remote))
    if again.wait() != 0 or "Traceback (" in again.said:
        wrong.append(f"run again: code {again.code}: {_last(again.said)}")
    if bench.cluster is not None:
        bench.cluster.calm()
    found = bench.look(remote=told.remote)
    wrong += [f"left over: {one}" for one in found["broken"]]
    if not found["broken"]:
        expected = bench.known(stage, remote=told.remote).digest
        wrong += [f"differs: {name}" for name in sorted(expected.keys() | found["digest"].keys())
                  if expected.get(name) != found["digest"].get(name)][:6]  # fmt: skip
    for log in (told.runs[-1].err, again.err):
        if not wrong:
            log.unlink(missing_ok=True)
            log.with_suffix(".out").unlink(missing_ok=True)
    command = " ".join(stage.words[:2])
    return Row(number, stage.name, kind, command, told.how, told.runs[-1].code, told.hit, tuple(wrong), time.monotonic() - started)  # fmt: skip


def _of_runs(told) -> list[str]:
    wrong = []
    for run in told.runs:
        lines = [line for line in run.said.splitlines() if line.strip() and not PROGRESS.search(line)]
        if "Traceback (" in run.said:
            wrong.append(f"traceback: {_last(run.said)} ({run.err.name})")
        elif run.code == -1000:
            wrong.append("hung")
        elif run.code not in told.codes and not (len(told.runs) > 1 and run.code == 2 and "process " in run.said):
            wrong.append(f"code {run.code}: {_last(run.said)}")
        elif run.code in (2, 130, 143) and len(lines) != 1:
            wrong.append(f"{len(lines)} lines: {' / '.join(lines)[:300]} ({run.err.name})")
    return wrong


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing said"])[-1][:200]


def table(rows: list[Row], kinds: list[str]) -> str:
    """Faults by stage and kind, as `at work / faults`, and a mark where something was wrong."""
    counted, wrong = collections.Counter(), collections.Counter()
    hits = collections.Counter((row.stage, row.kind) for row in rows if row.hit)
    for row in rows:
        counted[row.stage, row.kind] += 1
        wrong[row.stage, row.kind] += bool(row.wrong)
    lines = [f"{'stage':10s}" + "".join(f"{kind:>12s}" for kind in kinds)]
    for stage in dict.fromkeys(row.stage for row in rows):
        cells = [
            f"{hits[stage, kind]}/{counted[stage, kind]}{'!' * bool(wrong[stage, kind])}"
            if counted[stage, kind]
            else "-"
            for kind in kinds
        ]
        lines.append(f"{stage:10s}" + "".join(f"{cell:>12s}" for cell in cells))
    total = sum(bool(row.wrong) for row in rows)
    return "\n".join(
        [*lines, f"{len(rows)} faults, {sum(row.hit for row in rows)} met a command at work, {total} findings"]
    )


def main() -> int:
    """Run the faults that the command line asks for."""
    import stages

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", nargs="+", choices=stages.NAMES, default=list(stages.NAMES))
    parser.add_argument("--kind", nargs="+", default=None)
    parser.add_argument("--json", type=Path, help="write every fault there, too")
    parser.add_argument("--keep", action="store_true", help="keep the sandbox")
    options = parser.parse_args()
    processes.warm()
    import cluster
    import kinds
    import store
    from bench import Bench

    chosen = options.kind or list(kinds.KINDS)
    unknown = set(chosen) - set(kinds.KINDS)
    if unknown:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; known: {', '.join(kinds.KINDS)}")
    for kind, needed in (("store", store), ("ray", cluster)):
        if kind in chosen and not needed.usable():
            print(f"{kind}: what it needs is not installed; passed over", flush=True)
            chosen.remove(kind)
    base = Path(tempfile.mkdtemp(prefix="siren-faults-"))
    base.chmod(0o755)
    bench, rows = Bench(base), []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bench.make()
        if "store" in chosen:
            bench.store = store.Store(base)
        if "ray" in chosen:
            bench.cluster = cluster.Cluster(base)
        found = [stage for stage in stages.STAGES if stage.name in options.stage]
        found = [stage for stage in found if stage.name != "vocals" or (bench.sandbox / "demucs/small.th").exists()]
        for number, stage, kind in plan(options.count, options.seed, found, chosen):
            row = fault(bench, number, stage, kind, options.seed)
            rows.append(row)
            verdict = "; ".join(row.wrong) or "sound"
            print(
                f"{number:4d} {row.stage:9s} {row.kind:9s} {row.seconds:5.1f} s  code {row.code:4d}  {row.how}: {verdict}",
                flush=True,
            )
    finally:
        if options.json:
            options.json.write_text(json.dumps([asdict(row) for row in rows]))
        for one in (bench.store, bench.cluster):
            if one is not None:
                one.close()
        if not options.keep:
            shutil.rmtree(base, ignore_errors=True)
    print(table(rows, chosen))
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
