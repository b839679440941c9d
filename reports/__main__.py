"""python -m reports leaderboard, site, figures, sql, compare, rescore, export, cite, card, bench, readme, ..."""

if __name__ == "__main__":  # before the imports below, which take a while
    from ingest.early import listen

    listen()


import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ingest.cli import Parser, add_data, run, whole
from ingest.types import DataError
from reports import cards_cli

EXAMPLES = """examples:
  python -m reports leaderboard
  python -m reports bench features detect
  python -m reports readme --data data/demo
  python -m reports schema
  python -m reports site --data data/demo
  python -m reports figures --data data/demo
  python -m reports sql "SELECT detector, protocol, subset, value FROM leaderboard WHERE metric = 'eer'"
  python -m reports compare inner-librisevoc-aasist-s0-0123456789ab inner-librisevoc-lfcc_gmm-s0-ba9876543210
  python -m reports rescore eval_scores.txt --protocol official/asvspoof2019_la --sign -1 --name somebody
  python -m reports rescore eval_scores.txt.gz --figures plots
  python -m reports cite --protocol inner/librisevoc --detector aasist
  python -m reports export inner-librisevoc-aasist-s0-0123456789ab --layout asvspoof5 --output scores.tsv
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
    _add_compare(commands)
    _add_rescore(commands)
    _add_export(commands)
    bench = commands.add_parser("bench", help="measure every speed figure; write docs/performance.md", epilog=EXAMPLES)
    bench.add_argument("only", nargs="*", metavar="STAGE", help="default: all of them")
    cards_cli.add(commands)
    _add_cite(commands)
    site = commands.add_parser("site", help="write static pages to DATA/reports/site/", epilog=EXAMPLES)
    add_data(site)
    figures = commands.add_parser("figures", help="draw DATA/reports/figures/ from the stored runs", epilog=EXAMPLES)
    add_data(figures)
    readme = commands.add_parser("readme", help="bring the README's tables up to date", epilog=EXAMPLES)
    readme.add_argument("--data", type=Path, metavar="DIR", help="show the head of this folder's leaderboard, too")
    commands.add_parser("schema", help="bring docs/schema.md up to date", epilog=EXAMPLES)
    arguments = parser.parse_args(argv)
    command = {
        "leaderboard": _leaderboard, "sql": _sql, "rescore": _rescore, "export": _export, "bench": _bench,
        "card": cards_cli.card, "datasheet": cards_cli.datasheet, "figures": _figures, "readme": _readme,
        "schema": _schema, "site": _site, "cite": _cite, "compare": _compare,
    }[arguments.command]  # fmt: skip
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


def _add_compare(commands) -> None:  # noqa: ANN001
    from reports.sql import FORMATS

    about = "whether two runs differ: their EERs on the same trials, resampled together"
    command = commands.add_parser("compare", help=about, description=about, epilog=EXAMPLES)
    command.add_argument("first", metavar="RUN_ID")
    command.add_argument("second", metavar="RUN_ID")
    add_data(command)
    command.add_argument("--replicates", type=whole(1_000_000), default=1000, metavar="N", help="default: 1000")
    command.add_argument("--format", choices=FORMATS, default="table")


def _add_rescore(commands) -> None:  # noqa: ANN001
    from reports.sql import FORMATS

    about = "every metric of somebody else's score file"
    command = commands.add_parser("rescore", help=about, description=about, epilog=EXAMPLES)
    command.add_argument("file", type=Path, help="`file score`, CSV, or an ASVspoof layout; .gz too")
    add_data(command)
    command.add_argument("--protocol", metavar="NAME", help="check against these trials, put it on the leaderboard")
    command.add_argument("--sign", type=float, choices=(1, -1), default=1, help="-1: higher means more fake")
    command.add_argument("--name", help="detector name on the leaderboard (default: the file's)")
    command.add_argument("--source", help="where the scores come from, for the record")
    command.add_argument("--asv", type=Path, metavar="FILE", help="without --protocol: ASV scores for min t-DCF")
    command.add_argument("--partial", action="store_true", help="trials without a score are left out")
    command.add_argument("--figures", type=Path, metavar="DIR", help="draw DET, histograms, reliability and bars there")
    command.add_argument("--format", choices=FORMATS, default="table")


def _add_export(commands) -> None:  # noqa: ANN001
    from reports.export import LAYOUTS

    about = "write a run's scores as an official submission file"
    command = commands.add_parser("export", help=about, description=about, epilog=EXAMPLES)
    command.add_argument("run", metavar="RUN_ID")
    add_data(command)
    command.add_argument("--layout", required=True, metavar="NAME", help=", ".join(LAYOUTS))
    command.add_argument("--output", type=Path, required=True, metavar="FILE")


def _add_cite(commands) -> None:  # noqa: ANN001
    about = "BibTeX of the corpora, detectors and metrics behind the results"
    command = commands.add_parser("cite", help=about, description=about, epilog=EXAMPLES)
    add_data(command)
    for name in ("protocol", "detector", "metric"):
        command.add_argument(f"--{name}", nargs="+", default=[], metavar="NAME", help="only these (default: all)")


def _leaderboard(arguments: Namespace) -> int:
    from reports.leaderboard import write

    print(write(arguments.data))
    return 0


def _sql(arguments: Namespace) -> int:
    from reports import sql

    table = sql.query(arguments.data, arguments.query, db=arguments.db, timeout_s=arguments.timeout)
    sql.write(table, arguments.format, arguments.output)
    return 0


def _compare(arguments: Namespace) -> int:
    from reports import sql
    from reports.compare import compare

    table, remarks = compare(arguments.data, arguments.first, arguments.second, replicates=arguments.replicates)
    sql.write(table, arguments.format, None)
    for remark in remarks:
        print(remark, file=sys.stderr)
    return 0


def _rescore(arguments: Namespace) -> int:
    from reports import sql
    from reports.rescore import rescore

    done = rescore(
        arguments.file, data=arguments.data, protocol=arguments.protocol, sign=arguments.sign, name=arguments.name,
        asv=arguments.asv, partial=arguments.partial, source=arguments.source,
    )  # fmt: skip
    sql.write(done.table, arguments.format, None)
    for remark in done.remarks:
        print(remark, file=sys.stderr)
    if arguments.figures:
        from reports import rescore_figures

        names = rescore_figures.write(done.scores, done.table, arguments.figures)
        print(f"drawn in {arguments.figures}: {', '.join(names)}", file=sys.stderr)
        for remark in rescore_figures.left_out(done.scores, done.table):
            print(remark, file=sys.stderr)
    if done.run_id:
        print(f"stored as {done.run_id}; python -m reports leaderboard shows it", file=sys.stderr)
    return 0


def _export(arguments: Namespace) -> int:
    from reports.export import export

    for remark in export(arguments.data, arguments.run, arguments.layout, arguments.output):
        print(remark, file=sys.stderr)
    print(arguments.output)
    return 0


def _figures(arguments: Namespace) -> int:
    from reports import figures

    for line in figures.write(arguments.data):
        print(line)
    print(arguments.data / "reports" / "figures")
    return 0


def _site(arguments: Namespace) -> int:
    from reports import site

    print(site.write(arguments.data))
    return 0


def _cite(arguments: Namespace) -> int:
    from reports import cite

    print(cite.bibtex(cite.keys(arguments.data, arguments.protocol, arguments.detector, arguments.metric)), end="")
    return 0


def _bench(arguments: Namespace) -> int:
    from reports.bench import bench

    if not arguments.only:
        _refuse_without_clone("bench")
    return 0 if bench(arguments.only) else 1


def _readme(arguments: Namespace) -> int:
    from reports import readme

    _refuse_without_clone("readme")
    readme.write(arguments.data)
    return 0


def _schema(_: Namespace) -> int:
    from reports import schema

    _refuse_without_clone("schema")
    schema.write()
    return 0


def _refuse_without_clone(command: str) -> None:
    """Raise DataError where Siren was installed without the pages that the command brings up to date."""
    from reports.readme import README

    if not README.exists():
        raise DataError(
            f"reports {command} writes the pages of a clone; an installed Siren has none: run it in a clone"
        )


if __name__ == "__main__":
    run(main)
