"""python -m shards CORPUS | all | variants | vocals | verify | gc: audio shards, copies, damage, what is left over."""

if __name__ == "__main__":  # before the imports below, which take a while
    from ingest.early import listen

    listen()


import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ingest import parallel
from ingest.catalog import ingested
from ingest.cli import Parser, run
from shards import root, verify
from shards.copies_cli import add_writing, make_variants, make_vocals

EXAMPLE = """examples:
  python -m shards wavefake --data data --jobs 8      every clip that decodes, as 16 kHz mono FLAC
  python -m shards wavefake --audio-codec pcm         16-bit WAV members: larger, no decoding when read
  python -m shards wavefake --to s3://bucket/siren    into an object store; later stages read them from there
  python -m shards variants wavefake --plan fd_add    codec and speed copies (see variants --help)
  python -m shards vocals singfake --device cuda      the vocal stem of songs (see vocals --help)
  python -m shards verify                             read every tar, and name those that are damaged
  python -m shards gc --dry-run                       list the files that no row of the catalog names
"""
COMMANDS = {"variants": make_variants, "vocals": make_vocals, "verify": verify.main}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the shards of one corpus or copies of its clips, or collect garbage."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](argv[1:])
    parser = Parser(prog="python -m shards", description="Write audio shards: WebDataset tars at 16 kHz mono.",
                    epilog=EXAMPLE)  # fmt: skip
    parser.add_argument("corpus", help="a corpus of the catalog, or all; variants, vocals, verify: see "
                        "`variants --help` and so on; gc: remove files that no row names")  # fmt: skip
    add_writing(parser)
    parser.add_argument("--dry-run", action="store_true", help="gc: list only")
    parser.add_argument("--to", metavar="URL", help="keep shards and features below this path or URL (s3://bucket/"
                        "prefix, gs://...) from now on; the catalog remembers it (default: DATA)")  # fmt: skip
    options = parser.parse_args(argv)
    if options.dry_run and options.corpus != "gc":
        parser.error("--dry-run goes with gc alone")
    if options.to is not None:
        root.choose(options.data, options.to)
    if options.corpus == "gc":
        return _collect(options.data, dry_run=options.dry_run)
    for corpus in ingested(options.data) if options.corpus == "all" else [options.corpus]:
        _write(corpus, options)
    return 0


def _write(corpus: str, options: argparse.Namespace) -> None:
    from shards.writer import write_corpus

    done = write_corpus(
        corpus,
        options.data,
        audio_codec=options.audio_codec,
        max_bytes=options.max_bytes,
        jobs=parallel.chosen(options),
    )
    if not done["members"]:
        print(f"{corpus}: no utterance has audio (see python -m ingest status), so no shards")
        return
    print(
        f"{corpus}: {done['members']} clips in {done['shards']} shards, {done['size_bytes'] / 1e6:.1f} MB "
        f"({done['written']} written, {done['shards'] - done['written']} there already)"
    )


def _collect(data: Path, *, dry_run: bool) -> int:
    from shards.gc import remove, unnamed

    paths = unnamed(data) if dry_run else remove(data)
    for path in paths:
        print(path)
    print(f"{len(paths)} files, {sum(paths.values()) / 1e6:.1f} MB, {'would be ' if dry_run else ''}removed")
    return 0


if __name__ == "__main__":
    run(main)
