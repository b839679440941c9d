"""Commands that make copies of clips: variants and vocals."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from ingest import parallel
from ingest.catalog import connect, ingested, without_audio
from ingest.cli import Parser, add_data
from ingest.types import DataError
from shards import root, variant_plan, variants
from shards.clip import AUDIO_CODECS
from shards.device import check_device
from shards.writer import MAX_BYTES

_VARIANTS = """examples:
  python -m shards variants wavefake --plan fd_add               three codec and speed copies of every clip
  python -m shards variants all --plan robustness --jobs 8
  python -m shards variants ctrsvdd --plan own.toml --noises ~/noise --rooms ~/rir
  python -m shards variants wavefake --plan robustness --remove  take its rows out; then: python -m shards gc
  python -m shards variants --list                               the words of plans and protocols
"""
_VOCALS = """examples:
  python -m shards vocals ctrsvdd --device cuda                     htdemucs from the download cache
  python -m shards vocals singfake --weights ~/demucs               the files of the model lie in a folder
  python -m shards vocals singfake --model mdx_extra --weights ~/demucs
  python -m shards vocals singfake --model ~/own_model              a folder with one model of your own
"""


def make_variants(argv: Sequence[str] | None = None) -> int:
    """python -m shards variants: codec, speed, noise and room copies, as a plan says."""
    parser = Parser(prog="python -m shards variants", epilog=_VARIANTS,
                    description="Write codec, speed, noise and room copies of clips as shards.")  # fmt: skip
    parser.add_argument("corpus", nargs="?", help="a corpus of the catalog, or all")
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
    if options.seed is not None and not 0 <= options.seed < 2**63:
        raise DataError(f"--seed takes a whole number from 0 on, below 2**63, not {options.seed}")
    if options.remove:
        return _remove(options)
    plan = variant_plan.load(options.plan, seed=options.seed)
    for corpus in _heard(ingested(options.data), options.data) if options.corpus == "all" else [options.corpus]:
        _write(corpus, plan, options)
    return 0


def make_vocals(argv: Sequence[str] | None = None) -> int:
    """python -m shards vocals: the vocal stem of songs, by Demucs."""
    parser = Parser(prog="python -m shards vocals", epilog=_VOCALS,
                    description="Write the vocal stem of clips as shards: variant `vocals` of protocols.")  # fmt: skip
    parser.add_argument("corpus", help="a corpus of the catalog, or all of singing: all")
    parser.add_argument("--model", default="htdemucs", metavar="NAME|DIR", help="Demucs model (default: htdemucs)")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder of its files (default: download caches)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ... (default: cpu)")
    parser.add_argument("--batch", type=int, metavar="N", help="windows at once (default: what fits the device)")
    add_writing(parser)
    options = parser.parse_args(argv)
    if options.batch is not None and options.batch < 1:
        raise DataError(f"--batch takes a number from 1 on, not {options.batch}")
    from shards import vocals

    check_device(options.device)
    model = vocals.find(options.model, options.weights)
    for corpus in _heard(_singing(options.data), options.data) if options.corpus == "all" else [options.corpus]:
        done = vocals.write_vocals(
            corpus, options.data, model, device=options.device, batch=options.batch, audio_codec=options.audio_codec,
            max_bytes=options.max_bytes, jobs=parallel.chosen(options),
        )  # fmt: skip
        print(
            f"{corpus}: vocals of {done['members']} clips in {done['shards']} shards, "
            f"{done['size_bytes'] / 1e6:.1f} MB ({done['written']} shards written)"
        )
    return 0


def _singing(data: Path) -> list[str]:
    with connect(data / "catalog.duckdb") as con:
        found = con.execute("SELECT corpus FROM corpus WHERE domain = 'singing' ORDER BY corpus").fetchall()
    if not found:
        raise DataError(f"{data / 'catalog.duckdb'} holds no corpus of singing; name the one whose voices are wanted")
    return [corpus for (corpus,) in found]


def _heard(corpora: Sequence[str], data: Path) -> Iterator[str]:
    """Those with audio; the others are named."""
    silent = without_audio(data)
    for corpus in corpora:
        if corpus in silent:
            print(f"{corpus}: no utterance has audio (see python -m ingest status); passed over")
        else:
            yield corpus


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add what every command that writes shards takes: --audio-codec, --max-bytes, --jobs, --data."""
    parser.add_argument("--audio-codec", choices=AUDIO_CODECS, default="flac", help="default: flac")
    parser.add_argument("--max-bytes", type=_bytes, default=MAX_BYTES, metavar="N",
                        help="largest shard, e.g. 500M or 2G (default: 256M)")  # fmt: skip
    parallel.add_jobs(parser)
    add_data(parser)


def _remove(options: argparse.Namespace) -> int:
    """Take a plan out by its name: the file is not looked at, the catalog has its text."""
    from shards.variant_writer import entered_plans

    name = Path(options.plan).name.removesuffix(".toml")
    if options.corpus != "all":
        _write(options.corpus, name, options)
        return 0
    plans = entered_plans(options.data)
    with connect(options.data / "catalog.duckdb") as con:
        before = root.taken_out(con, "plan", name)
    if not before and not any(name in own for own in plans.values()):
        known = ", ".join(sorted({*chain(*plans.values())})) or "none"
        raise DataError(f"no corpus has variants of a plan {name}; their plans: {known}")
    for corpus, own in plans.items():
        if name in own:
            _write(corpus, name, options)
        else:
            print(f"{corpus}: no variants of a plan {name}; passed over")
    return 0


def _write(corpus: str, plan: variant_plan.VariantPlan | str, options: argparse.Namespace) -> None:
    from shards.noise import recordings
    from shards.variant_writer import write_variants

    own = {name: recordings(folder, responses=name == "rooms") if folder else None
           for name, folder in (("noises", options.noises), ("rooms", options.rooms))}  # fmt: skip
    done = write_variants(
        corpus, options.data, plan, **own, audio_codec=options.audio_codec, max_bytes=options.max_bytes,
        jobs=parallel.chosen(options), remove=options.remove,
    )  # fmt: skip
    if not done["asked"] and not options.remove:
        print(f"{corpus}: plan {plan.name} asks nothing of it; not entered")
        return
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
