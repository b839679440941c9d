"""Commands that work on cells: run, score, plan, reproduce, robustness, shortcuts."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingest.cli import THREADS, Parser, add_data, whole
from ingest.files import lock, sha256
from ingest.parallel import add_jobs, chosen
from ingest.types import DataError, nearest

DEFAULT_DETECTORS = ("mean_pool", "lfcc_gmm", "lfcc_lcnn")
MANY = {"nargs": "+", "action": "extend"}


def add(commands: Any, examples: str) -> None:
    """Add the commands to the subparsers of `python -m benchmark`."""
    for name, what, does in (
        ("run", "train and score cells", _run),
        ("score", "score with a trained detector; trains nothing", _run),
        ("plan", "what a run would do: cells, trainings, hours, bytes", _plan),
    ):
        command = commands.add_parser(name, help=what, description=what, epilog=examples)
        command.set_defaults(does=does)
        _add_grid(command)
        if name != "plan":
            _add_machine(command)
            _add_parts(command)
    commands.choices["plan"].add_argument("--json", action="store_true", help="for scripts")
    commands.choices["plan"].add_argument(
        "--jobs", type=whole(THREADS), metavar="N", help="cells at once (default: one per core)"
    )
    again = commands.add_parser("reproduce", help="repeat a run from its record and compare", epilog=examples)
    again.set_defaults(does=_reproduce)
    add_data(again)
    again.add_argument("run", metavar="RUN", help="a run id, as python -m benchmark status lists them")
    _add_lists(again)
    again.add_argument("--weights", type=Path, metavar="FILE", help="the file that the run started from")
    again.add_argument("--tolerance", type=float, default=0.0, metavar="X",
                       help="largest difference of a score that counts as the same (default: 0)")  # fmt: skip
    _add_machine(again)
    tough = commands.add_parser("robustness", help="score a finished run's test through its variants", epilog=examples)
    tough.set_defaults(does=_robustness)
    add_data(tough)
    tough.add_argument("run", metavar="RUN", nargs="+", help="run ids, as python -m benchmark status lists them")
    _add_lists(tough)
    tough.add_argument("--variant", **MANY, default=[], metavar="NAME",
                       help="mp3-32k, speed-90, ... (default: all that the shards have for the test)")  # fmt: skip
    _add_machine(tough)
    probes = commands.add_parser("shortcuts", help="score what duration, silence, ... alone can tell", epilog=examples)
    probes.set_defaults(does=_shortcuts)
    _add_protocols(probes)


def _add_protocols(command: Parser) -> None:
    add_data(command)
    command.add_argument("--protocol", "--protocols", **MANY, metavar="NAME",
                         help="default: every one the catalog can run")  # fmt: skip
    command.add_argument("--partial", action="store_true", help="run protocols of which a part is missing")
    _add_lists(command)


def _add_lists(command: Parser) -> None:
    command.add_argument("--lists", type=Path, metavar="DIR", help="folder of trial lists (default: DATA/lists)")


def _add_grid(command: Parser) -> None:
    _add_protocols(command)
    command.add_argument("--detector", "--detectors", **MANY, metavar="NAME",
                         help=f"default: {' '.join(DEFAULT_DETECTORS)}")  # fmt: skip
    command.add_argument("--seed", **MANY, type=int, metavar="N", help="default: 0")
    command.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1")
    command.add_argument("--set", **MANY, default=[], metavar="KEY=VALUE", help="a setting; DETECTOR.KEY=VALUE for one")
    command.add_argument("--weights", type=Path, metavar="FILE", help="run: start from it; score: score with it")
    command.add_argument("--grid", metavar="NAME", help="cells of a grid file, e.g. ablation/fd_add_loss_weights")


def _add_machine(command: Parser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")
    command.add_argument(
        "--threads", type=whole(THREADS), metavar="N", default=1, help="CPU threads per cell (default: 1)"
    )


def _add_parts(command: Parser) -> None:
    add_jobs(command)
    command.add_argument("--gpus", type=float, default=0, metavar="N",
                         help="GPUs of a node that a cell takes, with --backend ray (0.5: two share one)")  # fmt: skip
    command.add_argument("--track", choices=("tensorboard", "mlflow", "wandb"),
                         help="send learning curves there as well (default: nowhere)")  # fmt: skip
    command.add_argument("--no-stored-features", dest="stored", action="store_false",
                         help="compute features even where stored ones are the same to the bit")  # fmt: skip
    command.add_argument("--part", type=_part, default=(1, 1), metavar="I/N",
                         help="only every N-th training, from the I-th on; collects nothing")  # fmt: skip
    command.add_argument("--slurm", type=whole(100_000), dest="print_slurm", metavar="N",
                         help="run nothing; print a script that submits N array tasks")  # fmt: skip
    command.add_argument("--slurm-options", default="", metavar="WORDS", help="for sbatch, e.g. '--gres=gpu:1'")


def _part(text: str) -> tuple[int, int]:
    number, slash, parts = text.partition("/")
    if not slash or not number.isdigit() or not parts.isdigit() or not 1 <= int(number) <= int(parts):
        raise argparse.ArgumentTypeError(f"takes I/N with 1 <= I <= N, not {text!r}")
    return int(number), int(parts)


def _run(arguments) -> int:  # noqa: ANN001
    from benchmark import request as requests

    if not 0 <= arguments.gpus <= THREADS:
        raise DataError(f"--gpus {arguments.gpus:g} is not a number of GPUs")
    if arguments.gpus and arguments.backend != "ray":
        raise DataError("--gpus is for --backend ray; here each cell takes one GPU of its own, as --device says")
    if arguments.print_slurm:
        return _print_slurm(arguments)
    if not _first():  # of torchrun's processes the first one speaks
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    asked = _request(arguments)
    memo = requests.memo(arguments.data, asked)
    runs, left_out = requests.remembered(memo) or ([], {})
    if runs and all((arguments.data / "scores" / run_id / "run.json").exists() for run_id in runs):
        print(f"{len(runs)} cells, {len(runs)} done before, 0 to run")
        _say_left_out(left_out)
        _collect(arguments.data, runs)
        print(f"{len(runs)} of {len(runs)} cells done; results in {arguments.data / 'results.duckdb'}")
        return 0
    return _leave(_run_cells(arguments, asked, memo))


def _collect(data: Path, asked: Sequence[str]) -> None:
    """Collect the results, and let the runs that were asked for stand where others of the same settings ended later:
    code or data have changed since and are now as they were."""
    from benchmark import record, results

    results.collect(data)
    if replaced := results.replaced(data, asked):
        for run_id in replaced:
            record.stand_again(data, run_id)
        results.collect(data)


def _say_left_out(left_out: Mapping[str, str]) -> None:
    for name, reason in left_out.items():
        print(f"not run: {name}: {reason}")


def _first() -> bool:
    """Is this the first of torchrun's processes, or the only one?"""
    return int(os.environ.get("RANK", 0)) == 0


def _several() -> bool:
    """Has torchrun started several processes?"""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def _leave(code: int) -> int:
    if not _several():
        return code
    from benchmark import distribution

    return distribution.leave(code)


def _run_cells(arguments, asked, memo: Path) -> int:  # noqa: ANN001
    from benchmark import devices, record, run
    from benchmark import request as requests

    found = requests.resolve(arguments.data, asked)
    todo = run.grouped(arguments.data, found.cells, arguments.part)
    left = sum(len(group) for group in todo.values())
    before = [cell for cell in found.cells if run.done(arguments.data, cell)]
    print(f"{len(found.cells)} cells, {len(before)} done before, {left} to run")
    if _first():
        for name in dict.fromkeys(cell.protocol for cell in before):
            run_ids = [cell.run_id for cell in before if cell.protocol == name]
            record.describe_again(arguments.data, arguments.data, run_ids, found.on[name])
        if asked.grid is not None:
            requests.note_levels(arguments.data, asked.grid, found.levels)
    jobs = 1 if _several() else chosen(arguments) or devices.count(arguments.device)
    machine = run.Machine(arguments.device, arguments.threads, jobs, arguments.gpus, arguments.track, arguments.stored)
    failures = run.run(
        arguments.data, found.cells, found.on, machine, weights=arguments.weights, lists=arguments.lists,
        part=arguments.part,
    )  # fmt: skip
    for failure in failures:
        print(f"failed: {failure.run_id}: {failure.reason}")
    _say_left_out(found.skipped)
    if not _first():
        return 1 if failures else 0
    if arguments.part != (1, 1):  # one collector writes the results, when all parts have ended
        print(f"part {arguments.part[0]} of {arguments.part[1]}: {left - len(failures)} of {left} cells done")
        return 1 if failures else 0
    requests.remember(memo, found)
    _collect(arguments.data, [cell.run_id for cell in found.cells])
    good = len(found.cells) - len(failures)
    print(f"{good} of {len(found.cells)} cells done; results in {arguments.data / 'results.duckdb'}")
    return 1 if failures else 0


def _request(arguments):  # noqa: ANN001
    """What the options of `run`, `score` and `plan` ask for."""
    from benchmark import grid_files, settings
    from benchmark.detectors import names as known
    from benchmark.request import Request

    of = grid_files.load(arguments.grid) if arguments.grid else None
    names = arguments.detector or ([] if of else DEFAULT_DETECTORS)
    for name in names:
        if name not in known():
            raise nearest(name, known(), what="detector")
    return Request(
        protocols=tuple(dict.fromkeys(arguments.protocol or ())), detectors=tuple(dict.fromkeys(names)),
        seeds=_seeds(arguments, of.seeds if of else 1), assignments=settings.parse(arguments.set, known()),
        weights=_weights(arguments),
        trained=arguments.command != "score", partial=arguments.partial, lists=arguments.lists, grid=of,
    )  # fmt: skip


MOST_SEEDS = 10_000


def _seeds(arguments, default: int) -> tuple[int, ...]:  # noqa: ANN001
    if arguments.seed is not None and arguments.seeds is not None:
        raise DataError("--seed and --seeds both name the seeds; pass one of them")
    if arguments.seeds is not None and not 1 <= arguments.seeds <= MOST_SEEDS:
        raise DataError(f"--seeds {arguments.seeds} is not a number of seeds from 1 on, up to {MOST_SEEDS}")
    wrong = [seed for seed in arguments.seed or () if not 0 <= seed < 1 << 63]
    if wrong:
        raise DataError(f"--seed {wrong[0]} is not a whole number from 0 to 2^63 - 1")
    return tuple(dict.fromkeys(arguments.seed or range(default if arguments.seeds is None else arguments.seeds)))


def _print_slurm(arguments) -> int:  # noqa: ANN001
    from benchmark import slurm

    _request(arguments)  # a mistake in it should not wait in a queue
    try:
        options = shlex.split(arguments.slurm_options)
    except ValueError as error:
        raise DataError(f"--slurm-options {arguments.slurm_options!r}: {error}") from None
    words = slurm.without(arguments.words, ("--slurm", "--slurm-options", "--data"))
    script = slurm.script(
        words, data=str(arguments.data.absolute()), tasks=arguments.print_slurm,
        options=options, python=sys.executable, folder=os.getcwd(),
    )  # fmt: skip
    print(script, end="")
    return 0


def _plan(arguments) -> int:  # noqa: ANN001
    from benchmark import devices, plan
    from benchmark import request as requests

    found = requests.resolve(arguments.data, _request(arguments))
    rows = plan.plan(arguments.data, found.cells, found.on)
    if arguments.json:
        print(json.dumps({"detectors": plan.as_json(rows), "not_run": dict(found.skipped)}, indent=1))
        return 0
    print("\n".join(plan.table(rows, jobs=arguments.jobs or devices.count("cpu"), data=arguments.data)))
    _say_left_out(found.skipped)
    return 0


def _reproduce(arguments) -> int:  # noqa: ANN001
    from benchmark import run
    from benchmark.reproduce import reproduce

    machine = run.Machine(arguments.device, arguments.threads, 1)
    found = reproduce(arguments.data, arguments.run, machine, weights=arguments.weights, lists=arguments.lists)
    for change in found.changed:
        print(f"changed since: {change}")
    same = found.largest <= arguments.tolerance
    verdict = "the same" if not found.different else f"{found.different} differ, by {found.largest:.3g} at most"
    print(f"{found.run_id}: {found.trials} scores, {verdict}{'' if same else f' (tolerance {arguments.tolerance:g})'}")
    return 0 if same else 1


def _weights(arguments) -> str | None:  # noqa: ANN001
    if arguments.weights is None:
        if arguments.command == "score":
            raise DataError("score needs --weights FILE; to train and score use: python -m benchmark run")
        return None
    if not arguments.weights.is_file():
        raise DataError(f"--weights {arguments.weights} is not a file")
    return sha256(arguments.weights)


def _robustness(arguments) -> int:  # noqa: ANN001
    from benchmark import robustness, run

    machine, scored = run.Machine(arguments.device, arguments.threads, 1), []
    for run_id in arguments.run:
        scored.append(robustness.score(arguments.data, run_id, arguments.variant, machine, lists=arguments.lists))
        print(scored[-1])
    _collect(arguments.data, scored)
    return 0


def _shortcuts(arguments) -> int:  # noqa: ANN001
    from benchmark import request as requests
    from benchmark import shortcuts
    from ingest import catalog

    with catalog.connect(arguments.data / "catalog.duckdb") as con:
        asked = requests.Request(
            tuple(arguments.protocol or ()), (), (0,), {}, partial=arguments.partial, lists=arguments.lists
        )
        on, skipped = requests.trials(con, asked)
    if untrained := [name for name, trials in on.items() if not trials.role("train").num_rows]:
        raise DataError(f"{untrained[0]} has no training trials, on which the probes are fitted; name other protocols")
    with lock(arguments.data / "shortcuts.lock"):
        made, probes = shortcuts.run(arguments.data, on)
    _collect(arguments.data, probes)
    print(f"{made} shortcut runs made on {len(on)} protocols; results in {arguments.data / 'results.duckdb'}")
    _say_left_out(skipped)
    return 0
