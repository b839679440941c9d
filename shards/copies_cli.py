"""Commands that make copies of clips: variants."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ingest import parallel
from ingest.catalog import ingested
from ingest.cli import Parser, add_data
from ingest.types import DataError
from shards import variant_plan, variants
from shards.clip import AUDIO_CODECS
from shards.writer import MAX_BYTES

_VARIANTS = """examples:
  python -m shards variants wavefake --plan fd_add               three codec and speed copies of every clip
  python -m shards variants all --plan robustness --jobs 8
  python -m shards variants ctrsvdd --plan own.toml --noises ~/noise --rooms ~/rir
  python -m shards variants wavefake --plan robustness --remove  take its rows out; then: python -m shards gc
  python -m shards variants --list                               the words of plans and protocols
"""


def make_variants(argv: Sequence[str] | None = None) -> int:
    """python -m shards variants: codec, speed, noise and room copies, as a plan says."""
    parser = Parser(prog="python -m shards variants", epilog=_VARIANTS,
                    description="Write codec, speed, noise and room copies of clips as shards.")  # fmt: skip
    parser.add_argument("corpus", nargs="?", help="a corpus of the catalog; all of them: all")
    parser.add_argument("--plan", metavar="NAME|FILE", help=f"{', '.join(variant_plan.names())}, or a TOML file")
    parser.add_argument("--seed", type=int, metavar="N", help="of draws, noise and rooms (default: the plan's, else 0)")
    parser.add_argument("--noises", type=Path, metavar="DIR", help="own noise recordings, for noise-Ndb")
    parser.add_argument("--rooms", type=Path, metavar="DIR", help="own impulse responses, for room")
    parser.add_argument("--remove", action="store_true", help="take the plan's variants out of the catalog")
    parser.add_argument("--list", action="store_true", help="print the words of variants and what they mean")
    add_writing(parser)
    options = parser.parse_args(argv)
    if options.list:
        print(f"{variants.__doc__}\n{' '.join(variants.names())}")
        return 0
    if not options.corpus or not options.plan:
        raise DataError("name a corpus (or all) and a plan: python -m shards variants CORPUS --plan NAME (see --help)")
    if options.seed is not None and options.seed < 0:
        raise DataError(f"--seed takes a whole number from 0 on, not {options.seed}")
    plan = variant_plan.load(options.plan, seed=options.seed)
    for corpus in ingested(options.data) if options.corpus == "all" else [options.corpus]:
        _write(corpus, plan, options)
    return 0


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add what every command that writes shards takes: --audio-codec, --max-bytes, --jobs, --data."""
    parser.add_argument("--audio-codec", choices=AUDIO_CODECS, default="flac", help="default: flac")
    parser.add_argument("--max-bytes", type=_bytes, default=MAX_BYTES, metavar="N",
                        help="largest shard, e.g. 500M or 2G (default: 256M)")  # fmt: skip
    parallel.add_jobs(parser)
    add_data(parser)


def _write(corpus: str, plan: variant_plan.VariantPlan, options: argparse.Namespace) -> None:
    from shards.noise import recordings
    from shards.variant_writer import write_variants

    own = {name: recordings(folder) if folder else None
           for name, folder in (("noises", options.noises), ("rooms", options.rooms))}  # fmt: skip
    done = write_variants(
        corpus, options.data, plan, **own, audio_codec=options.audio_codec, max_bytes=options.max_bytes,
        jobs=parallel.chosen(options), remove=options.remove,
    )  # fmt: skip
    print(
        f"{corpus}: {done['members']} clips of {done['variants']} variants in {done['shards']} shards, "
        f"{done['size_bytes'] / 1e6:.1f} MB ({done['written']} shards written)"
    )


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
