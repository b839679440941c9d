"""python -m shards CORPUS | all | gc: audio shards from the catalog, and what no longer belongs to it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ingest import parallel
from ingest.catalog import ingested
from ingest.cli import Parser, add_data, run
from shards import root
from shards.clip import AUDIO_CODECS
from shards.writer import MAX_BYTES

EXAMPLE = """examples:
  python -m shards wavefake --data data --jobs 8      every clip that decodes, as 16 kHz mono FLAC
  python -m shards wavefake --audio-codec pcm         16-bit WAV members: larger, no decoding when read
  python -m shards wavefake --to s3://bucket/siren    into an object store; later stages read them from there
  python -m shards gc --dry-run                       list the files that no row of the catalog names
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the shards of one corpus, or collect garbage."""
    parser = Parser(prog="python -m shards", description="Write audio shards: WebDataset tars at 16 kHz mono.",
                    epilog=EXAMPLE)  # fmt: skip
    parser.add_argument("corpus", help="a corpus of the catalog; all of them: all; gc: remove files that no row names")
    parser.add_argument("--audio-codec", choices=AUDIO_CODECS, default="flac", help="default: flac")
    parser.add_argument("--max-bytes", type=_bytes, default=MAX_BYTES, metavar="N",
                        help="largest shard, e.g. 500M or 2G (default: 256M)")  # fmt: skip
    parallel.add_jobs(parser)
    parser.add_argument("--dry-run", action="store_true", help="gc: list only")
    parser.add_argument("--to", metavar="URL", help="keep shards and features below this path or URL (s3://bucket/"
                        "prefix, gs://...) from now on; the catalog remembers it (default: DATA)")  # fmt: skip
    add_data(parser)
    options = parser.parse_args(argv)
    if options.to:
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
    print(
        f"{corpus}: {done['members']} clips in {done['shards']} shards, {done['size_bytes'] / 1e6:.1f} MB "
        f"({done['written']} written, {done['shards'] - done['written']} there already)"
    )


def _collect(data: Path, *, dry_run: bool) -> int:
    from shards.gc import remove, unnamed

    paths = unnamed(data)
    size = sum(paths.values())
    for path in paths:
        print(path)
    if dry_run:
        print(f"{len(paths)} files, {size / 1e6:.1f} MB, would be removed")
    else:
        print(f"{len(paths)} files, {remove(paths) / 1e6:.1f} MB, removed")
    return 0


def _bytes(text: str) -> int:
    units = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number, unit = (text[:-1], units[text[-1].lower()]) if text[-1:].lower() in units else (text, 1)
    try:
        value = int(number) * unit
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"takes bytes such as 268435456, 256M or 2G, not {text!r}")
    return value


if __name__ == "__main__":
    run(main)
