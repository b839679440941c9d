"""python -m features CORPUS | all | plan | list | remove: stored features, what they cost, and which there are."""

if __name__ == "__main__":  # before the imports below, which take a while
    from ingest.early import listen

    listen()


import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingest import parallel
from ingest.catalog import ingested, without_audio
from ingest.cli import Parser, add_data, run
from ingest.types import DataError
from shards.device import check_device

EXAMPLE = """examples:
  python -m features list
  python -m features plan wavefake --data data               bytes and minutes before anything runs
  python -m features wavefake --feature logmel --set bands=64
  python -m features wavefake --feature lfcc --preset lcnn2021 --dtype float16 --jobs 8
  python -m features remove outdated                         rows that nothing reads any more; then: python -m shards gc
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Compute one feature of one corpus, or tell what there is and what it costs."""
    parser = Parser(prog="python -m features", epilog=EXAMPLE,
                    description="Compute features of a corpus's audio shards into feature shards.")  # fmt: skip
    parser.add_argument("corpus", help="a corpus with audio shards, or all; plan: print what features cost; list: "
                        "print the features; remove: take a stored one out of the catalog")  # fmt: skip
    parser.add_argument("only", nargs="?", metavar="CORPUS|FEATURE",
                        help="after plan: a corpus; after remove: a feature as list names it, or outdated")  # fmt: skip
    parser.add_argument("--published", action="store_true",
                        help="with plan: all published corpora, at the rates of docs/performance.md")  # fmt: skip
    parser.add_argument("--feature", metavar="NAME", help="default: logmel; with plan: all that need no weights")
    parser.add_argument("--preset", metavar="NAME", help="a detector's setting of the feature")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
                        help="change one parameter; may be given several times")  # fmt: skip
    parser.add_argument("--variant", default="original", metavar="NAME", help="audio variant (default: original)")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="default: float32")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu (default) or cuda")
    parallel.add_jobs(parser)
    add_data(parser)
    options = parser.parse_args(argv)
    if options.only and options.corpus not in ("plan", "remove"):
        parser.error(f"unexpected argument {options.only}")
    if options.published and (options.corpus != "plan" or options.only):
        parser.error("--published goes with plan alone: it is of all corpora")
    if options.corpus == "list":
        return _list(options.data)
    if options.corpus == "remove":
        return _remove(options)
    if options.corpus == "plan":
        return _plan_published() if options.published else _plan(options)
    return _compute(options)


def _compute(options: argparse.Namespace) -> int:
    from features.compute import Recipe, compute_corpus

    check_device(options.device)
    recipe = Recipe.of(
        options.feature or "logmel", options.preset, _changes(options.changes), options.dtype, options.device
    )
    silent = without_audio(options.data)
    for corpus in ingested(options.data) if options.corpus == "all" else [options.corpus]:
        if corpus in silent:
            print(f"{corpus}: no utterance has audio (see python -m ingest status), so no features")
            continue
        done = compute_corpus(corpus, options.data, recipe, variant=options.variant, jobs=parallel.chosen(options))
        print(
            f"{corpus}: {recipe.folder} of {done['members']} clips in {done['shards']} shards, "
            f"{done['size_bytes'] / 1e6:.1f} MB ({done['written']} written, "
            f"{done['shards'] - done['written']} there already)"
        )
    return 0


def _plan_published() -> int:
    from features.published import CLIP_S, costs, markdown, measured_page

    print(markdown(costs(measured_page())))
    print(f"\nat {CLIP_S:g} s a clip; SingFake is counted in songs")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from features import extractors
    from features.budget import audio_amount, cost

    check_device(options.device)
    seconds, clips, audio_bytes = audio_amount(options.data, options.only)
    if not clips:
        raise DataError(f"{options.only or 'the catalog'} has no audio (see python -m ingest status)")
    chosen = [options.feature] if options.feature else [n for n in extractors.names() if n != "ssl"]
    changes = _changes(options.changes)
    print(f"{options.only or 'all corpora'}: {clips} clips, {seconds / 3600:.2f} hours; "
          f"audio shards so far {audio_bytes / 1e9:.3f} GB")  # fmt: skip
    minutes = f"{options.device.upper()} minutes"
    print(f"{'feature':<28} {'dim':>5} {'frames/s':>9} {'GB float32':>11} {'GB float16':>11} {minutes:>12}")
    for name in chosen:
        presets = [options.preset] if options.preset else [None, *(() if options.feature else extractors.presets(name))]
        for preset in presets:
            label = f"{name} {preset}" if preset else name
            c = cost(extractors.get(name, preset=preset, **changes), label, seconds, clips, device=options.device)
            print(f"{c.feature:<28} {c.dim:>5} {c.frames_per_s:>9.1f} {c.size_bytes / 1e9:>11.3f} "
                  f"{c.half_bytes / 1e9:>11.3f} {c.minutes:>12.2f}")  # fmt: skip
    print("minutes of one process on this machine; features are otherwise computed on the fly, at no bytes")
    return 0


def _list(data: Path) -> int:
    from features import extractors

    for name in extractors.names():
        print(f"{name:<8} {extractors.summary(name)}")
        if presets := list(extractors.presets(name)):
            print(f"{'':<8} presets: {', '.join(presets)}")
    if (data / "catalog.duckdb").exists():
        _list_stored(data)
    return 0


def _list_stored(data: Path) -> None:
    from features.compute import has_features
    from features.stored import outdated
    from ingest import catalog

    with catalog.connect(data / "catalog.duckdb") as con:
        if not has_features(con):
            return
        print("stored:")
        old = set(outdated(con))
        query = ("SELECT feature, corpus, variant, sum(members), sum(size_bytes) FROM feature_shard "
                 "GROUP BY ALL ORDER BY ALL")  # fmt: skip
        for feature, corpus, variant, members, size in con.execute(query).fetchall():
            said = ", outdated: this version makes others" if feature in old else ""
            print(f"  {feature:<24} {corpus} {variant}: {members} clips, {size / 1e6:.1f} MB{said}")


def _remove(options: argparse.Namespace) -> int:
    from features.stored import remove

    if not options.only:
        raise DataError("say which: python -m features remove FEATURE, as list names it, or: outdated")
    removed = remove(options.data, options.only)
    for feature, (shards, size) in removed.items():
        print(f"{feature}: {shards} shards, {size / 1e6:.1f} MB, out of the catalog")
    print("python -m shards gc removes the files" if removed else "no stored feature is outdated")
    return 0


def _changes(pairs: Sequence[str]) -> dict[str, Any]:
    changes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise DataError(f"--set takes KEY=VALUE, not {pair!r}")
        if key == "preset":
            raise DataError("--set takes no preset; choose it with --preset NAME")
        try:
            changes[key] = json.loads(value)
        except ValueError:  # no JSON, or a number of thousands of digits
            changes[key] = value
    return changes


if __name__ == "__main__":
    run(main)
