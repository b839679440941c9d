"""python -m reports leaderboard | sql | bench | readme."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ingest.cli import Parser, add_data, run

EXAMPLES = """examples:
  python -m reports leaderboard
  python -m reports sql "SELECT detector, protocol, subset, value FROM leaderboard WHERE metric = 'eer'"
  python -m reports sql "SELECT corpus, label, count(*) FROM utterance GROUP BY ALL" --db catalog --format csv
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and do what it says; 0 done, 1 a part of the report could not be made."""
    about = "Tables and answers from the results catalog."
    parser = Parser(prog="python -m reports", description=about, epilog=EXAMPLES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    leaderboard = commands.add_parser("leaderboard", help="write DATA/reports/leaderboard.md", epilog=EXAMPLES)
    add_data(leaderboard)
    _add_sql(commands)
    bench = commands.add_parser("bench", help="measure every speed figure; write docs/performance.md", epilog=EXAMPLES)
    bench.add_argument("only", nargs="*", metavar="STAGE", help="default: all of them")
    commands.add_parser("readme", help="bring the README's tables up to date", epilog=EXAMPLES)
    arguments = parser.parse_args(argv)
    command = {"leaderboard": _leaderboard, "sql": _sql, "bench": _bench, "readme": _readme}[arguments.command]
    return command(arguments)


def _add_sql(commands) -> None:  # noqa: ANN001
    from reports.sql import DATABASES, FORMATS

    command = commands.add_parser("sql", help="ask the catalog and the results, read-only", epilog=EXAMPLES)
    command.add_argument("query", help="one SELECT; `score` is every stored score")
    add_data(command)
    command.add_argument("--db", choices=DATABASES, default="both", help="default: both, results first")
    command.add_argument("--format", choices=FORMATS, default="table")
    command.add_argument("--output", type=Path, metavar="FILE", help="write there instead of the screen")
    command.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds (default: 60)")


def _leaderboard(arguments: Namespace) -> int:
    from reports.leaderboard import write

    print(write(arguments.data))
    return 0


def _sql(arguments: Namespace) -> int:
    from reports import sql

    table = sql.query(arguments.data, arguments.query, db=arguments.db, timeout_s=arguments.timeout)
    sql.write(table, arguments.format, arguments.output)
    return 0


def _bench(arguments: Namespace) -> int:
    from reports.bench import bench

    return 0 if bench(arguments.only) else 1


def _readme(_: Namespace) -> int:
    from reports import readme

    readme.write()
    return 0


if __name__ == "__main__":
    run(main)
