"""python -m benchmark run | score | shortcuts | status | collect | detectors."""

import json
from collections.abc import Sequence
from pathlib import Path

from ingest.cli import Parser, add_data
from ingest.cli import run as run_main
from ingest.files import sha256
from ingest.types import DataError

DEFAULT_DETECTORS = ("mean_pool", "lfcc_gmm", "lfcc_lcnn")

EXAMPLES = """examples:
  python -m benchmark run --protocol inner/librisevoc --detector aasist --seed 0 1 2
  python -m benchmark run --protocol official/asvspoof2019_la --detector lfcc_lcnn --set lr=3e-4 batch_size=32
  python -m benchmark score --protocol official/asvspoof2019_la --detector aasist --weights AASIST.pth
  python -m benchmark status
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and do what it says; 0 done, 1 a cell failed or is not done."""
    parser = Parser(prog="python -m benchmark", description=__doc__, epilog=EXAMPLES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("run", "train and score cells"),
        ("score", "score with a trained detector; trains nothing"),
    ):
        command = commands.add_parser(name, help=what, description=what, epilog=EXAMPLES)
        _add_grid(command)
    probes = commands.add_parser("shortcuts", help="score what duration, silence, ... alone can tell", epilog=EXAMPLES)
    _add_protocols(probes)
    commands.add_parser("status", help="what ran, what failed and why", epilog=EXAMPLES)
    commands.add_parser("collect", help="rebuild results.duckdb from the score files", epilog=EXAMPLES)
    commands.add_parser("detectors", help="every detector: paper, input, parameters, weights", epilog=EXAMPLES)
    commands.choices["detectors"].add_argument(
        "--macs", action="store_true", help="count multiply-accumulates of one clip, too"
    )
    for name in ("status", "collect"):
        add_data(commands.choices[name])
    commands.choices["status"].add_argument("--json", action="store_true", help="for scripts")
    arguments = parser.parse_args(argv)
    does = {"run": _run, "score": _run, "shortcuts": _shortcuts, "status": _status, "collect": _collect,
            "detectors": _detectors}  # fmt: skip
    return does[arguments.command](arguments)


MANY = {"nargs": "+", "action": "extend"}


def _add_protocols(command: Parser) -> None:
    add_data(command)
    command.add_argument("--protocol", **MANY, metavar="NAME", help="default: every one the catalog can run")
    command.add_argument("--partial", action="store_true", help="run protocols of which a part is missing")


def _add_grid(command: Parser) -> None:
    _add_protocols(command)
    command.add_argument("--detector", **MANY, metavar="NAME", help=f"default: {' '.join(DEFAULT_DETECTORS)}")
    command.add_argument("--seed", **MANY, type=int, metavar="N", help="default: 0")
    command.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1")
    command.add_argument("--set", **MANY, default=[], metavar="KEY=VALUE", help="a setting; DETECTOR.KEY=VALUE for one")
    command.add_argument("--weights", type=Path, metavar="FILE", help="run: start from it; score: score with it")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")
    command.add_argument("--jobs", type=int, help="cells at once (default: one per core, or one on a GPU)")
    command.add_argument("--threads", type=int, default=1, help="CPU threads per cell (default: 1)")


def _run(arguments) -> int:  # noqa: ANN001
    from benchmark import cells as grid
    from benchmark import detectors, results, run, settings
    from ingest import catalog

    names = arguments.detector or list(DEFAULT_DETECTORS)
    for name in names:
        detectors.get(name)
    trained = arguments.command == "run"
    weights = _weights(arguments)
    assignments = settings.parse(arguments.set, detectors.names())
    seeds = arguments.seed or list(range(arguments.seeds or 1))
    with catalog.connect(arguments.data / "catalog.duckdb") as con:
        on, skipped = _protocols(con, arguments, trained)
    cells = grid.resolve(on, names, seeds, assignments=assignments, weights=weights, trained=trained)
    todo = sum(not run.done(arguments.data, cell) for cell in cells)
    print(f"{len(cells)} cells, {len(cells) - todo} done before, {todo} to run")
    jobs = arguments.jobs or (run.cores() if run._device(arguments.device) == "cpu" else 1)
    machine = run.Machine(arguments.device, arguments.threads, jobs)
    failures = run.run(arguments.data, cells, on, machine, weights=arguments.weights)
    results.collect(arguments.data)
    for failure in failures:
        print(f"failed: {failure.run_id}: {failure.reason}")
    for name, reason in skipped.items():
        print(f"not run: {name}: {reason}")
    good = len(cells) - len(failures)
    print(f"{good} of {len(cells)} cells done; results in {arguments.data / 'results.duckdb'}")
    return 1 if failures else 0


def _shortcuts(arguments) -> int:  # noqa: ANN001
    from benchmark import results, shortcuts
    from ingest import catalog

    with catalog.connect(arguments.data / "catalog.duckdb") as con:
        on, _ = _protocols(con, arguments, True)
        made = shortcuts.run(arguments.data, con, on)
    results.collect(arguments.data)
    print(f"{made} shortcut runs made on {len(on)} protocols; results in {arguments.data / 'results.duckdb'}")
    return 0


def _protocols(con, arguments, trained: bool) -> tuple[dict, dict[str, str]]:  # noqa: ANN001
    """The trials of every wanted protocol, else of all the catalog can run; and why the others cannot."""
    import protocols
    from benchmark import cells as grid

    partial = arguments.partial
    if arguments.protocol:
        return {name: grid.trials(con, name, partial=partial) for name in dict.fromkeys(arguments.protocol)}, {}
    found, skipped = {}, {}
    for name in protocols.names():
        try:
            on = grid.trials(con, name, partial=partial)
        except DataError as error:
            skipped[name] = str(error)
            continue
        if on.role("test").num_rows and (not trained or on.role("train").num_rows):
            found[name] = on
    if not found:
        raise DataError("the catalog can run no protocol; see python -m protocols list")
    return found, skipped


def _weights(arguments) -> str | None:  # noqa: ANN001
    if arguments.weights is None:
        if arguments.command == "score":
            raise DataError("score needs --weights FILE; to train and score use: python -m benchmark run")
        return None
    if not arguments.weights.is_file():
        raise DataError(f"--weights {arguments.weights} is not a file")
    return sha256(arguments.weights)


def _status(arguments) -> int:  # noqa: ANN001
    from benchmark.status import status

    rows = status(arguments.data)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print(f"{row['state']:8s} {row['run_id']}  {row['detail']}".rstrip())
        counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "running", "failed")}
        print(", ".join(f"{number} {state}" for state, number in counts.items()))
    return 1 if any(row["state"] == "failed" for row in rows) else 0


def _collect(arguments) -> int:  # noqa: ANN001
    from benchmark import results

    results.collect(arguments.data)
    print(f"results in {arguments.data / 'results.duckdb'}")
    return 0


def _detectors(arguments) -> int:  # noqa: ANN001
    from benchmark import detectors
    from benchmark.detectors._macs import macs

    print(f"{'detector':22s} {'parameters':>12s} {'GMAC':>8s}  {'input':26s} {'published EER %':28s} source")
    for name in detectors.names():
        about = detectors.describe(name)
        samples = about["input"].samples
        length = f"{about['input'].feature}, {samples or 'whole utterance'}"
        work = f"{macs(name) / 1e9:.3f}" if arguments.macs else ""
        printed = ", ".join(f"{where} {value:g}" for where, value in about["eer"].items())
        print(f"{name:22s} {about['parameters']:>12,d} {work:>8s}  {length:26s} {printed:28s} {about['paper']}")
        if about["weights"]:
            print(f"{'':22s} loads {about['weights']}")
    return 0


if __name__ == "__main__":
    run_main(main)
