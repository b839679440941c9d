"""The command `python -m benchmark app`."""

import argparse
from pathlib import Path
from typing import Any

from ingest.cli import THREADS, add_data, whole
from ingest.types import DataError

EXAMPLES = """examples:
  python -m benchmark app --data data/demo
  python -m benchmark app --run inner-librisevoc-aasist-s0-0123456789ab --model exported/ --port 8000
  python -m benchmark app --detector aasist --weights AASIST.pth --max-seconds 60 --per-minute 10
"""


def add(commands: Any) -> None:
    """Add the command to the subparsers of `python -m benchmark`."""
    app = commands.add_parser(
        "app", help="a web page that judges recordings, for this machine", epilog=EXAMPLES,
        description="A web page that judges recordings (needs the extra sirenbench[app]). Ctrl-C ends it.",
    )  # fmt: skip
    app.set_defaults(does=_app)
    add_data(app)
    model = app.add_argument_group("the detectors to choose from (default: every trained run below DATA)")
    model.add_argument("--run", nargs="+", action="extend", default=[], metavar="RUN", help="finished runs")
    model.add_argument("--model", "--export", type=Path, nargs="+", action="extend", default=[], metavar="DIR",
                       help="folders written by export")  # fmt: skip
    model.add_argument("--weights", type=Path, metavar="FILE", help="a weight file of --detector")
    model.add_argument("--detector", metavar="ID", help="whose weights these are; alone: its one run below DATA")
    model.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="with --weights")
    model.add_argument("--calibrate-on", metavar="RUN", help="with --weights: run whose dev scores calibrate")
    model.add_argument("--lists", type=Path, metavar="DIR", help="folder of the runs' trial lists (DATA/lists)")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")
    model.add_argument("--threads", type=whole(THREADS), metavar="N", help="CPU threads (default: one per core)")
    serving = app.add_argument_group("serving")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    serving.add_argument("--port", type=int, default=7860, help="0 = a free one (default: 7860)")
    serving.add_argument("--max-seconds", type=float, default=120.0, metavar="S", help="longest recording (120)")
    serving.add_argument("--max-megabytes", type=float, default=20.0, metavar="MB", help="largest file (20)")
    serving.add_argument("--per-minute", type=int, default=20, metavar="N", help="uploads, verdicts of a visitor (20)")


def _app(arguments: argparse.Namespace) -> int:
    from benchmark.app import server

    server.check_installed()
    limits = _limits(arguments)
    from benchmark.app import shelf
    from benchmark.detect_cli import set_threads

    set_threads(arguments.threads)
    server.serve(shelf.of(arguments), limits, host=arguments.host, port=arguments.port)
    return 0


def _limits(arguments: argparse.Namespace) -> Any:
    from benchmark.app.limits import MEGABYTE, Limits

    for name, most in (("max_seconds", 12 * 3600), ("max_megabytes", 10_000), ("per_minute", 10_000)):
        value = getattr(arguments, name)
        if not 0 < value <= most:
            raise DataError(f"--{name.replace('_', '-')} {value:g} is not between 0 (excluded) and {most:g}")
    return Limits(arguments.max_seconds, round(arguments.max_megabytes * MEGABYTE), arguments.per_minute)
