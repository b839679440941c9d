"""Detectors: train, score and compare them under protocols, judge recordings with them, measure what they cost."""

if __name__ == "__main__":  # before the imports below, which take a while
    from ingest.early import listen

    listen()


import json
import sys
from collections import Counter
from collections.abc import Sequence

from benchmark import detect_cli, forms, run_cli, throughput
from benchmark.app import cli as app_cli
from ingest.cli import Parser, add_data, printable
from ingest.cli import run as run_main

EXAMPLES = """examples:
  python -m benchmark run --protocol inner/librisevoc --detector aasist --seed 0 1 2
  python -m benchmark run --protocol official/asvspoof2019_la --detector lfcc_lcnn --set lr=3e-4 batch_size=32
  python -m benchmark score --protocol official/asvspoof2019_la --detector aasist --weights AASIST.pth
  python -m benchmark plan --grid ablation/fd_add_loss_weights --seeds 10
  python -m benchmark run --grid matrix --slurm 20 --slurm-options '--gres=gpu:1 --time=24:00:00' > submit.sh
  python -m benchmark reproduce inner-librisevoc-aasist-s0-0123456789ab
  python -m benchmark robustness inner-librisevoc-aasist-s0-0123456789ab --variant mp3-32k alaw
  python -m benchmark shortcuts --protocol inner/librisevoc
  python -m benchmark throughput --detector aasist rawnet2 --form fast plain --samples 48000
  python -m benchmark forms --detector aasist --weights AASIST.pth --every 10
  python -m benchmark status
  python -m benchmark collect --data data
  python -m benchmark detectors
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and do what it says; 0 done, 1 a cell failed or is not done."""
    parser = Parser(prog="python -m benchmark", description=__doc__, epilog=EXAMPLES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run_cli.add(commands, EXAMPLES)
    detect_cli.add(commands)
    app_cli.add(commands)
    throughput.add(commands, EXAMPLES)
    forms.add(commands, EXAMPLES)
    for name, what, does in (
        ("status", "what ran, what failed and why", _status),
        ("collect", "rebuild results.duckdb from the score files", _collect),
        ("detectors", "every detector: paper, input, parameters, MACs, EER, weights, utterances/s", _detectors),
    ):
        command = commands.add_parser(name, help=what, description=what, epilog=EXAMPLES)
        command.set_defaults(does=does)
        add_data(command)
    commands.choices["status"].add_argument("--json", action="store_true", help="for scripts")
    commands.choices["detectors"].add_argument(
        "--macs", action="store_true", help="count multiply-accumulates now instead of showing the committed figures"
    )
    commands.choices["detectors"].add_argument(
        "--throughput", action="store_true", help="what python -m benchmark throughput kept in DATA, instead of those"
    )
    arguments = parser.parse_args(argv)
    arguments.words = list(sys.argv[1:] if argv is None else argv)
    return arguments.does(arguments)


def _status(arguments) -> int:  # noqa: ANN001
    from benchmark.status import status

    rows = status(arguments.data)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print(f"{row['state']:8s} {printable(row['run_id'])}  {printable(row['detail'])}".rstrip())
        number = Counter(row["state"] for row in rows)
        states = ["done", "running", "failed", *(["unreadable"] if number["unreadable"] else [])]
        print(", ".join(f"{number[state]} {state}" for state in states))
    return 1 if any(row["state"] in ("failed", "unreadable") for row in rows) else 0


def _collect(arguments) -> int:  # noqa: ANN001
    from benchmark import finished, results

    finished.check(arguments.data)
    results.collect(arguments.data)
    print(f"results in {arguments.data / 'results.duckdb'}")
    return 0


def _detectors(arguments) -> int:  # noqa: ANN001
    from benchmark import detectors
    from benchmark.detectors._macs import macs

    figures = throughput.table()
    if arguments.throughput:
        measured = throughput.stored(arguments.data)
        figures = {row.detector: throughput.as_text(row) for row in measured if row.form == "fast"}
    for device in sorted({f"{row['device']}, {row['threads']} thread(s)" for row in figures.values()}):
        print(f"train/s and score/s: utterances a second on {device}")
    print(
        f"{'detector':22s} {'parameters':>12s} {'GMAC':>8s} {'train/s':>9s} {'score/s':>9s}  {'input':26s} "
        f"{'published EER %':28s} source"
    )
    for name in detectors.names():
        about = detectors.describe(name)
        samples = about["input"].samples
        length = f"{about['input'].feature}, {samples or 'whole utterance'}"
        figure = figures.get(name, {})
        count = macs(name) if arguments.macs else int(figure.get("macs") or 0)
        work = f"{count / 1e9:.3f}" if count else ""
        train, score = figure.get("train_per_s", ""), figure.get("score_per_s", "")
        printed = ", ".join(f"{where} {value:g}" for where, value in about["eer"].items())
        print(
            f"{name:22s} {about['parameters']:>12,d} {work:>8s} {train:>9s} {score:>9s}  {length:26s} {printed:28s} "
            f"{about['paper']}"
        )
        if about["weights"]:
            print(f"{'':22s} loads {about['weights']}")
    return 0


if __name__ == "__main__":
    run_main(main)
