"""python -m ingest: corpora as published -> the catalog, and what is the matter with it."""

if __name__ == "__main__":  # before the imports below, which take a while
    from ingest.early import listen

    listen()


import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ingest import corpora
from ingest.cli import Parser, add_data, printable, run
from ingest.parallel import add_processes
from ingest.types import Corpus, DataError, nearest

if TYPE_CHECKING:
    from ingest.build import Report

_SHOWN = 10  # names of folders in one line
COMMANDS = {
    "all": "ingest every corpus that lies below one folder, each in a folder of its name",
    "status": "expected against found rows and audio of every corpus in the catalog",
    "verify": "look at the audio files again and report whatever is wrong with them",
    "simulate": "write a small simulated version of each corpus in its official layout",
    "rebuild-ctrsvdd": "cut CtrSVDD's licensed bona fide clips from the user's own copies of their corpora",
    "singfake-media": "cut SingFake's clips from the songs that the user downloaded",
}
_EXAMPLES = """\
examples:
  python -m ingest librisevoc --root ~/corpora/LibriSeVoc
  python -m ingest asvspoof2021_df --root ~/corpora/DF --partial     protocol files alone will do
  python -m ingest wavefake --root ~/WaveFake --ljspeech ~/LJSpeech-1.1 --jsut ~/jsut_ver1.1
  python -m ingest status
  python -m ingest verify --deep
  python -m ingest simulate --out data/simulated
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Run one command: a corpus name ingests that corpus."""
    argv = list(sys.argv[1:] if argv is None else argv)
    command = argv[0] if argv else "--help"
    if command in ("-h", "--help"):
        _overview().print_help()
        return 0 if argv else 2
    if command == "rebuild-ctrsvdd":
        from ingest import rebuild_ctrsvdd

        return rebuild_ctrsvdd.main(argv[1:])
    if command == "singfake-media":
        from ingest import singfake_media

        return singfake_media.main(argv[1:])
    others = {"all": _all, "status": _status, "verify": _verify, "simulate": _simulate}
    if command in others:
        return others[command](argv[1:])
    if command.startswith("-"):
        _overview().error(f"the first argument is a corpus or a command, not {command}")
    return _ingest(command, argv[1:])


def _overview() -> Parser:
    commands = "\n".join(f"  {name:<16} {what}" for name, what in COMMANDS.items())
    names = textwrap.fill(f"CORPUS is one of: {', '.join(corpora.names())}", 88)
    return Parser(
        prog="python -m ingest",
        usage="python -m ingest CORPUS --root DIR [--partial] [--data DIR] [--jobs N]\n"
        "       python -m ingest COMMAND [...]",
        description=f"{names}\n\nCOMMAND is one of:\n{commands}",
        epilog=_EXAMPLES,
    )


def _ingest(name: str, argv: Sequence[str]) -> int:
    from ingest.build import ingest_corpus

    if name not in corpora.names():
        raise nearest(name, [*corpora.names(), *COMMANDS], what="corpus or command")
    corpus = corpora.get(name).corpus
    parser = Parser(
        prog=f"python -m ingest {name}",
        description=f"Ingest {corpus.title}: parse, check counts, probe and measure audio, commit.",
        epilog=f"example:\n  python -m ingest {name} --root ~/corpora/{name}",
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of the corpus, read only")
    _add_places(parser, corpus)
    parser.add_argument(
        "--partial", action="store_true", help="accept other counts than the published, absent and damaged audio"
    )
    add_data(parser)
    add_processes(parser)
    args = parser.parse_args(argv)
    report = ingest_corpus(
        name, args.root, args.data, places=_places(args, corpus), partial=args.partial, jobs=args.jobs
    )
    _say(name, report, args.data)
    return 0


def _add_places(parser: Parser, corpus: Corpus) -> None:
    for place in corpus.places:
        parser.add_argument(
            f"--{place}", type=Path, metavar="DIR",
            help=f"folder of the {place} originals of {corpus.title}, where not below --root",
        )  # fmt: skip


def _places(args: argparse.Namespace, corpus: Corpus) -> dict[str, Path]:
    return {place: getattr(args, place) for place in corpus.places if getattr(args, place)}


def _say(name: str, report: "Report", data: Path) -> None:
    for note in report.notes:
        print(f"{name}: note: {note}")
    state = [word for word, holds in (("partial", report.partial), ("simulated", report.simulated)) if holds]
    print(
        f"{name}: {report.rows} utterances in {data / 'catalog.duckdb'}, {report.present} with audio"
        f" ({report.corrupt} of them corrupt), {report.extra} extra files"
        + (f"; {' and '.join(state)}, see python -m ingest status" if state else "")
    )


def _all(argv: Sequence[str]) -> int:
    from ingest.build import ingest_corpus

    parser = Parser(
        prog="python -m ingest all",
        description="Ingest every corpus that has a folder of its name below --root; one that is refused does not "
        "stop the others. Exit code 1 if one was refused.",
        epilog="example:\n  python -m ingest all --root ~/corpora      with ~/corpora/librisevoc, ~/corpora/decro, ...",
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of the corpora, read only")
    for name in corpora.names():
        _add_places(parser, corpora.get(name).corpus)
    parser.add_argument(
        "--partial", action="store_true", help="accept other counts than the published, absent and damaged audio"
    )
    add_data(parser)
    add_processes(parser)
    args = parser.parse_args(argv)
    args.root = Path(os.path.expanduser(args.root))
    here = [name for name in corpora.names() if (args.root / name).is_dir()]
    if not here:
        raise DataError(f"{args.root} holds no folder named after a corpus ({', '.join(corpora.names())})")
    refused = {}
    for name in here:
        try:
            places = _places(args, corpora.get(name).corpus)
            report = ingest_corpus(
                name, args.root / name, args.data, places=places, partial=args.partial, jobs=args.jobs
            )
        except DataError as error:
            refused[name] = error
            print(f"{name}: refused: {error}", file=sys.stderr)
        else:
            _say(name, report, args.data)
    print(f"{len(here) - len(refused)} corpora ingested, {len(refused)} refused, "
          f"{len(corpora.names()) - len(here)} not below {args.root}")  # fmt: skip
    if passed := _others(args):
        print(
            f"passed over, as they have no corpus's name: {printable(', '.join(passed[:_SHOWN]))}"
            f"{f' and {len(passed) - _SHOWN} more' if len(passed) > _SHOWN else ''}; rename or link what is one"
        )
    return 1 if refused else 0


def _others(args: argparse.Namespace) -> list[str]:
    """The folders of --root that no corpus is named after and no option names, sorted."""
    places = [place for name in corpora.names() for place in _places(args, corpora.get(name).corpus).values()]
    given = {place.resolve() for place in places}
    there = [p for p in args.root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.resolve() not in given]
    return sorted(p.name for p in there if p.name not in corpora.names())


def _status(argv: Sequence[str]) -> int:
    from ingest import status

    parser = Parser(
        prog="python -m ingest status",
        description="Expected against found rows and audio, per corpus, partition and label; exit code 1 if a "
        "corpus fell short.",
        epilog="example:\n  python -m ingest status --json | python -m json.tool",
    )
    _add_report_arguments(parser)
    args = parser.parse_args(argv)
    return status.main(args.data, args.corpus, as_json=args.json)


def _verify(argv: Sequence[str]) -> int:
    from ingest import verify

    parser = Parser(
        prog="python -m ingest verify",
        description="Look at the audio files again: a file whose size and time are unchanged is not decoded again. "
        "Exit code 1 if anything is wrong.",
        epilog="example:\n  python -m ingest verify librisevoc --deep",
    )
    _add_report_arguments(parser)
    parser.add_argument("--deep", action="store_true", help="decode every file, unchanged or not")
    add_processes(parser)
    args = parser.parse_args(argv)
    return verify.main(args.data, args.corpus, deep=args.deep, jobs=args.jobs, as_json=args.json)


def _simulate(argv: Sequence[str]) -> int:
    from ingest import simulate

    parser = Parser(
        prog="python -m ingest simulate",
        description="Write a small version of each corpus: made-up voices, vocoded by signal processing, in the "
        "official layouts and protocol files. The same seed gives the same bytes.",
        epilog="example:\n  python -m ingest simulate --out data/simulated --corpora librisevoc decro",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: DATA/simulated)")
    parser.add_argument("--speech", type=Path, metavar="DIR", help="the user's own recordings as bona fide")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other voices (default: 0)")
    parser.add_argument("--corpora", nargs="+", metavar="NAME", help="some of the corpora (default: all)")
    add_data(parser)
    add_processes(parser)
    args = parser.parse_args(argv)
    out = args.out or args.data / "simulated"
    made = simulate.simulate(out, seed=args.seed, corpora=args.corpora, speech=args.speech, jobs=args.jobs)
    for name, one in made.items():
        said = "made" if one.made else "already there"
        print(f"{name}: {one.files} audio files, {one.size_bytes / 1e6:.1f} MB, {said}: {one.root}")
    return 0


def _add_report_arguments(parser: Parser) -> None:
    parser.add_argument("corpus", nargs="*", help="only these corpora (default: all in the catalog)")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    add_data(parser)


if __name__ == "__main__":
    run(main)
