"""Rebuild CtrSVDD's licensed bona fide clips from the user's own copies of four singing corpora.

The archives of CtrSVDD leave these clips out, its lists name them, and timestamp files say where they lie in the
sources. As the organisers do it: decode the whole source, make it mono, resample to 16 kHz, then cut samples
[int(16000 start), int(16000 end)) and write FLAC (corpora: CtrSVDD_Utils, README and segment.py).
"""

import io
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from ingest import audio, confined, corpora, parallel
from ingest.cli import Parser
from ingest.files import atomic, inside, lock
from ingest.progress import track
from ingest.types import DataError, nearest

RATE_HZ = audio.RATE_HZ
_STEM = re.compile(r"CtrSVDD_\d{4}_[TDE]_\d{7}")
_LETTER = {"train": "T", "dev": "D"}
_SHORTFALL_S = 0.1  # published ends are rounded; a source that is shorter than that is another recording
_CONVERTED = (".flac", ".wav", ".m4a", ".mp3", ".ogg", ".aif", ".aiff", ".opus", ".webm")


class External(NamedTuple):
    """A corpus that clips are cut from: where its paths begin, and which lists name its clips."""

    base: str
    lists: tuple[str, ...]


EXTERNALS = {
    "ofuton": External("OFUTON_P_UTAGOE_DB", ("train",)),
    "oniku": External("ONIKU_KURUMI_UTAGOE_DB", ("train",)),
    "jvs": External("jvs_music_ver1", ("train", "dev")),
    "kiritan": External("kiritan_singing/wav", ("dev",)),
}
_ALSO = {"jvsmusic": "jvs", "jvs_music": "jvs", "kiritan_singing": "kiritan"}


@dataclass(frozen=True, slots=True)
class Segment:
    """One clip: the source's path below the external root, and the clip's stem, begin and end in seconds."""

    source: str
    stem: str
    begin_s: float
    end_s: float
    partition: str

    @property
    def path(self) -> str:
        """Where the clip belongs below the root of CtrSVDD."""
        return f"{self.partition}_set/{self.stem}.flac"

    @property
    def samples(self) -> slice:
        """The samples of the source at 16 kHz that are the clip."""
        return slice(int(self.begin_s * RATE_HZ), int(self.end_s * RATE_HZ))

    @property
    def length(self) -> int:
        """The number of these samples."""
        return self.samples.stop - self.samples.start


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of the clips of one timestamp file; `absent` maps each reason to its stems."""

    corpus: str
    partition: str
    wanted: int
    there: int
    cut: int
    absent: Mapping[str, tuple[str, ...]]


def read_timestamps(path: Path) -> list[Segment]:
    """The segments of one timestamp file CORPUS_timestamps_PARTITION.txt.

    A line is a path and three fields, separated by blanks as published, or by tabs; paths may hold blanks.
    Raises DataError naming file and line for a line of another form, a stem of the other partition, a stem that
    comes twice, and an end that is not after its begin.
    """
    partition = path.stem.rpartition("_")[2]
    if partition not in _LETTER:
        raise DataError(f"{path}: timestamp files are named CORPUS_timestamps_train.txt or ..._dev.txt")
    segments, seen = [], {}
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            segment = _segment(line, partition, where := f"{path} line {number}")
            if segment.stem in seen:
                raise DataError(f"{where}: {segment.stem} again (first on line {seen[segment.stem]})")
            seen[segment.stem] = number
            segments.append(segment)
    if not segments:
        raise DataError(f"{path}: holds no line; expected lines like jvs006/song_unique/wav/raw.wav STEM 0.51 7.14")
    return segments


def rebuild(
    root: Path, externals: Mapping[str, Path], *, timestamps: Path | None = None, out: Path | None = None, jobs: int = 1
) -> list[Rebuilt]:
    """Cut every clip whose source is at hand and which is not there yet; one Rebuilt per timestamp file.

    externals: corpus -> the user's folder, one of its own for each. Clips go to `out` (default: root), whole or not
    at all, so that a killed run goes on where it ended; a second run waits for the first. Nothing is written below an
    external folder.
    """
    out = root if out is None else out
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; pass the one that holds train.txt and train_set as --root")
    plans = {name: read_timestamps(path) for name, path in _timestamp_files(root, timestamps).items()}
    bases = _bases(externals, plans, out)
    work = defaultdict(list)
    lost: dict[tuple[str, str], dict[str, list[str]]] = {key: defaultdict(list) for key in plans}
    for (corpus, partition), segments in plans.items():
        for segment in segments:
            if corpus not in bases:
                lost[corpus, partition][f"no --external {corpus}=DIR"].append(segment.stem)
                continue
            source = _source(bases[corpus], segment.source)
            if source is None:
                lost[corpus, partition][f"{segment.source} is not below {bases[corpus]}"].append(segment.stem)
            else:
                work[corpus, partition, source].append(segment)
    there, cut = defaultdict(int), defaultdict(int)
    with lock(out / ".lock", keep=False):
        for (corpus, partition), kept, new, faults in _cut_all(work, out, jobs):
            there[corpus, partition] += kept
            cut[corpus, partition] += new
            for stem, fault in faults:
                lost[corpus, partition][fault].append(stem)
    return [
        Rebuilt(*key, len(plans[key]), there[key], cut[key], {why: tuple(stems) for why, stems in lost[key].items()})
        for key in plans
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """python -m ingest rebuild-ctrsvdd; 0 when every clip is there, 1 when some are still absent."""
    parser = Parser(
        prog="python -m ingest rebuild-ctrsvdd",
        description="Cut the bona fide clips that the archives of CtrSVDD leave out from your own copies of Ofuton, "
        "Oniku, JVS-MuSiC and Kiritan. The timestamp files (CtrSVDD_Utils, folder timestamps) are looked for in "
        "ROOT/timestamps and ROOT. Clips that are there in the right length are kept: to cut them again, from another "
        "copy of a source, remove them first.",
        epilog="example:\n  python -m ingest rebuild-ctrsvdd --root ~/CtrSVDD \\\n"
        "    --external ofuton=~/OFUTON_P_UTAGOE_DB --external oniku=~/ONIKU_KURUMI_UTAGOE_DB \\\n"
        "    --external jvs=~/jvs_music_ver1 --external kiritan=~/kiritan_singing",
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of train_set and train.txt")
    parser.add_argument(
        "--external", action="append", default=[], metavar="NAME=DIR",
        help=f"the folder of one source corpus, one for each of {', '.join(EXTERNALS)}",
    )  # fmt: skip
    parser.add_argument("--timestamps", type=Path, metavar="DIR", help="folder of the timestamp files")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where train_set and dev_set are (default: ROOT)")
    parallel.add_processes(parser)
    args = parser.parse_args(argv)
    jobs = args.jobs or parallel.cores()
    root = Path(os.path.expanduser(args.root))
    done = rebuild(root, _externals(args.external), timestamps=args.timestamps, out=args.out, jobs=jobs)
    for line in (*report(done), *_audio_of_lists(root, args.out or root)):
        print(line)
    return 1 if any(one.absent for one in done) else 0


def report(done: Iterable[Rebuilt]) -> list[str]:
    """What was cut and what is still absent, with reasons and first names."""
    done, lines = list(done), []
    for one in done:
        absent = sum(map(len, one.absent.values()))
        lines.append(
            f"{one.corpus} {one.partition}: {one.wanted} clips, {one.there} were there, {one.cut} cut now, "
            f"{absent} absent"
        )
        reasons = sorted(one.absent.items(), key=lambda item: (-len(item[1]), item[0]))
        lines += [f"  {len(stems)} absent: {why} (first: {stems[0]})" for why, stems in reasons[:5]]
        if len(reasons) > 5:
            lines.append(f"  and {len(reasons) - 5} more sources like these")
    wanted, left = sum(one.wanted for one in done), sum(sum(map(len, one.absent.values())) for one in done)
    lines.append(f"{wanted - left} of {wanted} clips are there" + (f", {left} still absent" if left else ""))
    return lines


def _audio_of_lists(root: Path, out: Path) -> list[str]:
    """How many bona fide clips of each published list have audio now."""
    lines = []
    for partition in _LETTER:
        if (root / f"{partition}.txt").is_file():
            listed = [
                Path(row.path).name
                for row in corpora.get("ctrsvdd").utterances(root)
                if row.partition == partition and row.label == "bonafide"
            ]
            folders = (f"{partition}_set", partition)  # the second where the archive was unpacked into that
            there = {name for top in {root, out} for folder in folders for name in _names(top / folder)}
            absent = [name for name in listed if name not in there]
            first = f", {len(absent)} have not (first: {absent[0]})" if absent else ""
            lines.append(
                f"{partition}.txt: {len(listed) - len(absent)} of {len(listed)} bona fide clips have audio{first}"
            )
    return lines


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _externals(words: Sequence[str]) -> dict[str, Path]:
    externals: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not folder:
            raise DataError(f"--external {word}: write NAME=DIR, with NAME one of {', '.join(EXTERNALS)}")
        name = _ALSO.get(name, name)
        if name not in EXTERNALS:
            raise nearest(name, EXTERNALS, what="external corpus")
        if name in externals:
            raise DataError(f"--external {name} is given twice")
        externals[name] = Path(os.path.expanduser(folder))
    return externals


def _timestamp_files(root: Path, named: Path | None) -> dict[tuple[str, str], Path]:
    folders = [named] if named else [root / "timestamps", root]
    found = {
        (corpus, partition): folder / f"{corpus}_timestamps_{partition}.txt"
        for folder in reversed(folders)
        for corpus, external in EXTERNALS.items()
        for partition in external.lists
        if (folder / f"{corpus}_timestamps_{partition}.txt").is_file()
    }
    if not found:
        raise DataError(
            f"{' and '.join(map(str, folders))} hold no ofuton_timestamps_train.txt or other timestamp "
            "file; take them from the folder timestamps of CtrSVDD_Utils, or pass --timestamps DIR"
        )
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None


def _segment(line: str, partition: str, where: str) -> Segment:
    fields = line.strip().rsplit(None, 3)
    if len(fields) != 4:
        raise DataError(f"{where}: {len(fields)} fields where 4 (path, stem, begin, end) are due: {line.strip()!r}")
    source, stem, *times = fields
    if not _STEM.fullmatch(stem):
        raise DataError(f"{where}: {stem!r} is no stem like CtrSVDD_0000_{_LETTER[partition]}_0000000")
    if stem[13] != _LETTER[partition]:
        raise DataError(
            f"{where}: {stem} is not a {partition} clip; revisions before 10 January 2024 name dev clips ..._T_...: "
            "take the present file from CtrSVDD_Utils"
        )
    try:
        begin_s, end_s = map(float, times)
    except ValueError:
        begin_s = end_s = math.nan
    if not (0 <= begin_s < end_s < math.inf):
        raise DataError(f"{where}: {' '.join(times)} are no begin and end in seconds")
    return Segment(source.strip(), stem, begin_s, end_s, partition)


def _bases(externals: Mapping[str, Path], plans: Mapping[tuple[str, str], list[Segment]], out: Path) -> dict[str, Path]:
    """The folder in which each corpus's paths begin; refuses folders that hold another one's recordings."""
    paths = defaultdict(set)
    for (corpus, _), segments in plans.items():
        paths[corpus] |= {segment.source for segment in segments}
    bases: dict[str, Path] = {}
    for corpus, folder in externals.items():
        if not folder.is_dir():
            raise DataError(f"--external {corpus}={folder}: no such folder")
        if corpus not in paths:
            raise DataError(f"--external {corpus}: there is no {corpus}_timestamps file to cut it by")
        base = _base(corpus, folder, paths[corpus])
        for other, taken in bases.items():
            if base.resolve() == taken.resolve():
                raise DataError(
                    f"{base} is given as {other} and as {corpus}; files of both have the same names, keep one "
                    "folder for each"
                )
        _refuse_strangers(corpus, base, paths)
        if _is_below(out, base):
            raise DataError(f"{out} lies in {base}; nothing is written below a source corpus, pass another --out")
        bases[corpus] = base
    return bases


def _base(corpus: str, folder: Path, paths: set[str]) -> Path:
    official = EXTERNALS[corpus].base
    candidates = [folder, *(folder / part for part in (official, Path(official).name, "wav"))]
    hits = {candidate: sum(_source(candidate, path) is not None for path in paths) for candidate in candidates}
    best = max(candidates, key=hits.__getitem__)
    if not hits[best]:
        raise DataError(
            f"--external {corpus}={folder}: holds none of the {len(paths)} recordings (first: {min(paths)}); pass the "
            f"folder {official}"
        )
    return best


def _refuse_strangers(corpus: str, base: Path, paths: Mapping[str, set[str]]) -> None:
    """Ofuton and Oniku share 29 relative paths: a folder with recordings of the other would cut the wrong singer."""
    for other, theirs in paths.items():
        if other != corpus and paths[corpus] & theirs:
            strange = sorted(path for path in theirs - paths[corpus] if _source(base, path))
            if strange:
                raise DataError(
                    f"--external {corpus}={base}: holds recordings of {other} ({len(strange)}, first: {strange[0]}), "
                    f"and {len(paths[corpus] & theirs)} names are common to both; keep one folder for each corpus"
                )


def _source(base: Path, relative: str) -> Path | None:
    """The recording, in its own format or converted to another one."""
    path = inside(base, relative)
    if path.is_file():
        return path
    return next((path.with_suffix(suffix) for suffix in _CONVERTED if path.with_suffix(suffix).is_file()), None)


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _cut_all(
    work: Mapping[tuple[str, str, Path], list[Segment]], out: Path, jobs: int
) -> Iterator[tuple[tuple[str, str], int, int, list[tuple[str, str]]]]:
    """((corpus, partition), clips that were there, clips cut, [(stem, fault)]) of every source, as they come."""
    tasks = [((corpus, partition), source, segments, out) for (corpus, partition, source), segments in work.items()]
    jobs = 1 if len(tasks) < 2 else jobs
    cut = parallel.results(((_cut, task, {}) for task in tasks), jobs, what="rebuild-ctrsvdd")
    yield from track(cut, "cut", total=len(tasks), unit="source")


def _cut(
    key: tuple[str, str], source: Path, segments: Sequence[Segment], out: Path
) -> tuple[tuple[str, str], int, int, list[tuple[str, str]]]:
    left = [segment for segment in segments if _frames(out / segment.path) != segment.length]
    if not left:
        return key, len(segments), 0, []
    try:
        wave = _mono16k(source)
    except audio.Unreadable as error:
        fault = f"{source} cannot be decoded: {error.reason}"
        return key, len(segments) - len(left), 0, [(segment.stem, fault) for segment in left]
    new, faults = 0, []
    for segment in left:
        clip = wave[segment.samples]
        if segment.length - clip.size > _SHORTFALL_S * RATE_HZ:
            ends = f"{source} ends at {wave.size / RATE_HZ:.2f} s, before the clip does: another recording?"
            faults.append((segment.stem, ends))
        elif _frames(out / segment.path) != clip.size:
            with atomic(out / segment.path) as temporary:
                soundfile.write(temporary, clip, RATE_HZ, format="FLAC", subtype="PCM_16")
            new += 1
    return key, len(segments) - new - len(faults), new, faults


def _frames(path: Path) -> int | None:
    """Samples of a clip that is there whole as we cut it, mono at 16 kHz; None for anything else."""
    try:
        found = soundfile.info(os.fsencode(path))
    except (soundfile.LibsndfileError, OSError):
        return None
    return found.frames if (found.samplerate, found.channels) == (RATE_HZ, 1) else None


def _mono16k(path: Path) -> np.ndarray:
    """(sample,) float32 at 16 kHz, by libsndfile or else by the ffmpeg program. Raises audio.Unreadable."""
    try:
        wave, rate_hz = soundfile.read(os.fsencode(path), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        wave, rate_hz = _by_ffmpeg(path)
    if not len(wave):
        raise audio.Unreadable(path, "holds no sample")
    return audio.resampled(np.ascontiguousarray(wave.mean(axis=1)), rate_hz)


def _by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    import ffmpeg

    stream = ffmpeg.input(confined.address(path), **confined.LIMITS)
    stream = stream.output("pipe:", format="au", acodec="pcm_f32be", map="0:a:0")
    try:
        said, _ = stream.global_args(*confined.PROGRAM).run(
            cmd=audio.ffmpeg(), capture_stdout=True, capture_stderr=True
        )
        return soundfile.read(io.BytesIO(said), dtype="float32", always_2d=True)
    except ffmpeg.Error as error:
        last = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise audio.Unreadable(path, last[-1] if last else "ffmpeg fails") from None
    except soundfile.LibsndfileError as error:
        raise audio.Unreadable(path, str(error)) from None
