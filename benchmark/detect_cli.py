"""The commands for single recordings: detect and export."""

import argparse
import contextlib
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark import verdicts
from benchmark.verdicts import COLUMNS, FORMS
from ingest.cli import THREADS, Parser, add_data, printable, whole
from ingest.files import below, writable
from ingest.parallel import cores
from ingest.progress import Progress
from ingest.types import DataError

EXAMPLES = """examples:
  python -m benchmark detect interview.m4a --run inner-librisevoc-aasist-s0-0123456789ab
  python -m benchmark detect recordings/ 'calls/*.mp3' --model exported/ --out verdicts.jsonl
  ssh host cat call.wav | python -m benchmark detect - --model exported/
  python -m benchmark detect clip.wav --weights AASIST.pth --detector aasist --calibrate-on RUN
  python -m benchmark export inner-librisevoc-aasist-s0-0123456789ab --to exported/ --onnx
"""
STDIN = Path("/dev/stdin")


def add(commands: Any) -> None:
    """Add the commands to the subparsers of `python -m benchmark`."""
    _add_detect(commands.add_parser(
        "detect", help="judge recordings: score, verdict, calibrated likelihood ratio", epilog=EXAMPLES,
        description="Judge recordings in any format that FFmpeg reads. Exit code 1: some files could not be judged. "
        "Interrupted with --out, the same command goes on where it was.",
    ))  # fmt: skip
    export = commands.add_parser("export", help="a run as a folder that detect loads anywhere", epilog=EXAMPLES)
    export.set_defaults(does=_export)
    add_data(export)
    export.add_argument("run", metavar="RUN", help="a finished run: its id below DATA/scores, or its folder")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write")
    export.add_argument("--weights", type=Path, metavar="FILE", help="the file that the run scored, if it trained none")
    _add_lists(export)
    export.add_argument("--onnx", action="store_true", help="also model.onnx, checked against onnxruntime")


def _add_lists(command: Any) -> None:
    command.add_argument("--lists", type=Path, metavar="DIR", help="folder of the run's trial lists (DATA/lists)")


def _add_detect(detect: Parser) -> None:
    detect.set_defaults(does=_detect)
    add_data(detect)
    detect.add_argument(
        "files", nargs="+", metavar="FILE", help="files, folders (searched for audio), globs, - for standard input"
    )
    model = detect.add_argument_group("the detector, one of")
    model.add_argument("--run", metavar="RUN", help="a finished run below DATA/scores, or its folder")
    model.add_argument("--model", type=Path, metavar="DIR", help="a folder written by export")
    model.add_argument("--weights", type=Path, metavar="FILE", help="a weight file, with --detector or with its --run")
    model.add_argument("--detector", metavar="ID", help="whose weights these are; alone: its one run below DATA")
    model.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="with --weights")
    _add_lists(model)
    deciding = detect.add_argument_group("deciding")
    deciding.add_argument("--calibrate-on", metavar="RUN", help="run or scores.parquet whose dev scores calibrate")
    deciding.add_argument("--threshold", type=float, metavar="X", help="bona fide above it (default: the dev EER's)")
    deciding.add_argument("--prior", type=float, metavar="P", help="probability of spoof; sets the threshold")
    deciding.add_argument("--overlap", type=float, default=0.5, metavar="SHARE", help="of windows (default: 0.5)")
    detect.add_argument("--longest", type=float, default=12.0, metavar="HOURS", help="longer files are refused (12)")
    detect.add_argument("--out", type=Path, metavar="FILE", help=f"everything, by extension: {', '.join(FORMS)}")
    detect.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")
    detect.add_argument("--vocals", metavar="MODEL", nargs="?", const="htdemucs",
                        help="hear the singing voice alone, separated by Demucs (default: htdemucs)")  # fmt: skip
    detect.add_argument("--vocals-weights", type=Path, metavar="DIR", help="folder of the separator's weights")
    detect.add_argument("--threads", type=whole(THREADS), metavar="N", help="CPU threads (default: one per core)")


def _detect(arguments: argparse.Namespace) -> int:
    if arguments.out is not None and arguments.out.suffix not in FORMS:
        raise DataError(f"--out {arguments.out}: the extension says the format, one of {', '.join(FORMS)}")
    if arguments.out is not None and arguments.out.is_dir():
        raise DataError(f"--out {arguments.out} is a folder; name a file in it")
    _check(arguments)
    paths = found(arguments.files)
    if arguments.out is not None and arguments.out.exists():
        for path in paths:
            if path.exists() and path.samefile(arguments.out):
                raise DataError(f"--out {arguments.out} is one of the files to judge; name another")
    detector = _detector(arguments)
    for line in _about(detector):
        print(printable(line), file=sys.stderr)
    failed, first = 0, ""
    with _journal(arguments, detector) as kept, Progress("detect", total=len(paths), unit="file") as progress:
        for path in paths:
            row = kept.before(path) if kept else None
            if row is None:
                state = verdicts.state(path)  # before it is read: what changes meanwhile is judged again
                row = _judged(detector, path)
                if kept:
                    kept.add(path, row, state)
            progress.say(printable(_line(row, detector.trained.remarks)))
            failed, first = failed + bool(row["error"]), first or row["error"]
            progress.add()
        if kept:
            verdicts.write(kept.rows(paths), arguments.out)
    if failed:
        print(f"{failed} of {len(paths)} files could not be judged (first: {printable(first)})", file=sys.stderr)
    return 1 if failed else 0


def _journal(arguments: argparse.Namespace, detector: Any) -> Any:
    if arguments.out is None:
        return contextlib.nullcontext()
    return verdicts.journal(arguments.out, detector.about())


def _given(arguments: argparse.Namespace) -> list[str]:
    return [name for name in ("run", "model", "weights") if getattr(arguments, name) is not None]


def _check(arguments: argparse.Namespace) -> None:
    """Raise DataError for options that do not go together, before any file is looked at."""
    from benchmark import trained

    given = _given(arguments)
    if given not in (["run"], ["model"], ["weights"], ["run", "weights"]) and not (not given and arguments.detector):
        raise DataError("say which detector: --run RUN, --model DIR, or --weights FILE --detector ID (one of them)")
    if arguments.set and given != ["weights"]:
        raise DataError("--set goes with --weights; runs and exports bring their settings")
    if arguments.model is not None and not (arguments.model / trained.SETTINGS).is_file():
        raise DataError(f"--model {arguments.model} holds no {trained.SETTINGS}; python -m benchmark export writes it")
    if given == ["weights"] and not arguments.weights.is_file():
        raise DataError(f"--weights {arguments.weights} is not a file")


def _detector(arguments: argparse.Namespace) -> Any:
    from benchmark import detectors, settings, trained
    from benchmark.inference import DeepfakeDetector

    given = _given(arguments)
    set_threads(arguments.threads)
    return DeepfakeDetector(
        getattr(arguments, given[0]) if given else trained.newest_run(arguments.data, arguments.detector),
        detector=arguments.detector, data=arguments.data, device=arguments.device,
        weights=arguments.weights if arguments.run else None, calibrate_on=arguments.calibrate_on,
        threshold=arguments.threshold, prior=arguments.prior, overlap=arguments.overlap,
        settings=settings.parse(arguments.set, detectors.names()), longest_s=3600 * arguments.longest,
        separator=_separator(arguments), lists=arguments.lists,
    )  # fmt: skip


def _separator(arguments: argparse.Namespace) -> Any:
    from benchmark import devices
    from shards import vocals

    if arguments.vocals is None:
        if arguments.vocals_weights is not None:
            raise DataError("--vocals-weights is for --vocals; add it, or leave the weights out")
        return None
    model = vocals.find(arguments.vocals, arguments.vocals_weights)
    return vocals.Separator(model, devices.device_of(arguments.device))


def set_threads(threads: int | None) -> None:
    """Let PyTorch use so many CPU threads, by default one per core."""
    import torch

    torch.set_num_threads(threads or cores())


def found(words: Sequence[str]) -> list[Path]:
    """The files that the words of the command line mean, each once, in order.

    A folder stands for the audio files below it (by extension, links followed, hidden ones left out; how many others
    were left out is said), a glob for what it matches, `-` for standard input. A word that means nothing is kept, so
    that it is reported with the others: a name that is not there, a folder or glob without audio. DataError if no word
    means anything.
    """
    paths: dict[str, Path] = {}
    nothing = []
    for word in words:
        if word == "-":
            matches = [STDIN]
        elif os.path.isdir(word):
            matches = _below(Path(word))
        elif not os.path.exists(word) and glob.has_magic(word):
            matches = sorted(Path(match) for match in glob.glob(word, recursive=True) if not os.path.isdir(match))
        else:
            matches = [Path(word)]
        if not word:
            raise DataError("a FILE is empty: the variable that it came from has no value?")
        if not any(map(os.path.lexists, matches)):
            nothing.append(f"{word}: {'no such file' if matches else 'no audio file there'}")
        for path in matches or [Path(word)]:
            paths.setdefault(os.path.abspath(path), path)
    if len(nothing) == len(words):
        raise DataError(nothing[0] + (f" (nor in {len(nothing) - 1} others)" if len(nothing) > 1 else ""))
    return list(paths.values())


def _below(folder: Path) -> list[Path]:
    from ingest.scan import AUDIO_SUFFIXES, CARRIERS

    heard, others = [], []
    for path in below(folder):
        (heard if path.suffix.lower() in AUDIO_SUFFIXES | CARRIERS else others).append(path)
    if heard and others:
        said = f"{folder}: {len(others)} files left out by their extension (first: {min(others)}); name one to judge it"
        print(printable(said), file=sys.stderr)
    return sorted(heard)


def _judged(detector: Any, path: Path) -> dict[str, Any]:
    from ingest.audio import Unreadable

    try:
        if os.path.isdir(path):
            raise Unreadable(path, "a folder without an audio file")
        with _regular(path) as heard:
            row = {**detector.predict(heard).as_json(), "error": None}
    except Unreadable as error:
        row = {**dict.fromkeys(COLUMNS), "windows": [], "warnings": [], "error": f"{path}: {error.reason}"}
    return {**row, "path": _utf8(str(path)), "error": row["error"] and _utf8(row["error"])}


@contextlib.contextmanager
def _regular(path: Path) -> Iterator[Path]:
    """The path itself, or a copy of standard input: sound is read twice, and not always from its beginning."""
    if path != STDIN:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="siren-") as file:
        with writable(Path(file.name).parent):
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        yield Path(file.name)


def _utf8(text: str) -> str:
    """Bytes of a file name that are no UTF-8 as \\xff: no output format could hold them."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _line(row: dict[str, Any], known: Iterable[str]) -> str:
    if row["error"]:
        return f"{row['path']}: not judged: {row['error'].removeprefix(row['path'] + ': ')}"
    parts = [f"score {row['score']:.4f}"]
    if row["llr"] is not None:
        parts.append(f"llr {row['llr']:+.2f}")
    if len(row["windows"]) > 1:
        parts.append(f"{len(row['windows'])} windows, mean {row['window_mean']:.4f}")
    parts += [f"{row['duration_s']:.1f} s", *(text for text in row["warnings"] if text not in set(known))]
    return f"{row['path']}: {row['verdict'] or 'no verdict'}; {'; '.join(parts)}"


def _about(detector: Any) -> list[str]:
    """What stands above the verdicts: which model, its calibration and threshold, and what is not known of it."""
    trained, calibration = detector.trained, detector.trained.calibration
    name = trained.provenance.get("run_id") or trained.provenance.get("weights") or ""
    lines = [f"{trained.detector} {name}".rstrip()]
    if calibration is not None:
        lines.append(
            f"calibrated on {calibration.source}: {calibration.n_bonafide} bona fide, {calibration.n_spoof} spoof, "
            f"EER {100 * calibration.eer:.2f} %, Cllr {calibration.cllr_before:.3f} before, "
            f"{calibration.cllr_after:.3f} after (bits; 1 = says nothing)"
        )
    if detector.threshold is not None:
        lines.append(f"threshold {detector.threshold:.4f}: above it the verdict is bonafide, else spoof")
    return [*lines, *trained.remarks]


def _export(arguments: argparse.Namespace) -> int:
    from benchmark.export import export

    options = {"weights": arguments.weights, "lists": arguments.lists, "onnx": arguments.onnx}
    for line in export(arguments.data, arguments.run, arguments.to, **options):
        print(line)
    return 0
