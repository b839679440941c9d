"""SingFake from the songs a user could still download: clips in the official layout, T03, and what is absent.

Official steps (SingFake: separate.py, split.py, simulate_codec.py): voice activity on the vocal stem, regions of at
least 3 s, each cut from stem and mixture to 16 kHz FLAC named LABEL_SONG_INDEX, label 1 = spoof; T03 is T02 through
four codecs. There are no published timestamps and no song ids: activity is by level here, the song id is the
annotation's row number, and segments/SONG.json keeps what was cut from what.
"""

import csv
import json
import os
import re
import shlex
import shutil
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

import soundfile

from ingest import audio, confined, parallel, regions, text
from ingest.cli import Parser, printable
from ingest.corpora._singfake_words import HEADER, SETS, address, video
from ingest.corpora.singfake import ANNOTATION, PARTITIONS, SONGS, SONGS_HEADER
from ingest.files import atomic, below, lock
from ingest.progress import track
from ingest.scan import AUDIO_SUFFIXES, CARRIERS
from ingest.types import DataError

_FOLDERS = {partition: folder for folder, partition in PARTITIONS.items()}
_DIGITS = {"bonafide": "0", "spoof": "1"}
_STEMS = ("vocals.wav", "vocals.flac", "vocals.mp3")  # what demucs --two-stems=vocals writes per song
# T03 folder -> container, encoder, bits per second
CODECS = {
    "mp3_128k": ("mp3", "libmp3lame", 128_000),
    "ogg_64k": ("ogg", "libvorbis", 64_000),
    "adts_64k": ("adts", "aac", 64_000),
    "opus_64k": ("opus", "libopus", 64_000),
}


_VIDEO = (".mp4", ".webm", ".mkv")
_PART = re.compile(r"\.(f\d[\w-]*|temp)$")  # yt-dlp: one format of several, or half of the work behind a download


@dataclass(frozen=True, slots=True)
class Song:
    """One row of the annotation file; `song` is its number, `label` a catalog word."""

    song: str
    set: str
    label: str
    language: str
    singer: str
    title: str
    model: str
    url: str


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one song: its media file, its number of clips, and why there are none."""

    song: Song
    media: str
    clips: int
    why: str


def read_annotation(path: Path) -> list[Song]:
    """The songs of singfake.csv in its order. Raises DataError naming the line of a set that does not exist."""
    table = text.csv_rows(path, HEADER)
    label = text.labels(table["Bonafide Or Spoof"]).to_pylist()
    songs = []
    for number, (row, said) in enumerate(zip(table.to_pylist(), label), start=1):
        if row["Set"] not in SETS:
            raise DataError(f"{path} line {row['line']}: Set {row['Set']!r} is none of {', '.join(SETS)}")
        songs.append(
            Song(
                f"{number:04}",
                row["Set"],
                said,
                *(row[name] for name in ("Language", "Singer", "Title", "Model", "Url")),
            )
        )
    return songs


def match(songs: Sequence[Song], names: Iterable[str]) -> dict[str, str]:
    """song -> media file name, by the row number, the address's id, Singer_Title, or the address's file name.

    An id is that of the video in the address (YouTube's v=, Bilibili's BV number with its page), anywhere in the
    file name, as download programs put it. Of several files of a song, one that holds sound by its name is taken: not
    its subtitles, pictures or comments, and not a part that was to be merged (NAME.f137.mp4) where there is the whole.
    """
    names = sorted(names, key=lambda name: (_rank(name), name))
    stems = defaultdict(list)
    for name in names:
        stems[_plain(os.path.splitext(os.path.basename(name))[0])].append(name)
    found: dict[str, str] = {}
    for song in songs:
        exact = [song.song, f"{song.singer}_{song.title}", os.path.splitext(_address_file(song.url))[0], song.title]
        hit = next((stems[_plain(word)][0] for word in exact if word and _plain(word) in stems), None)
        if hit is None and (pattern := video(song.url)):
            hit = next((name for name in names if pattern.search(os.path.basename(name))), None)
        if hit is not None:
            found[song.song] = hit
    return found


def segment(
    csv_path: Path, media: Path, out: Path, *, vocals: Path | None = None, codecs: bool = True, jobs: int = 1
) -> list[Found]:
    """Cut the clips of every song whose media is there; returns what became of each row of the annotation.

    media: folder of downloaded songs, any container or codec. vocals: folder of their vocal stems, as
    SONGFILE.* or SONGFILE/vocals.wav; without them activity is that of the mixture and there are no vocals clips.
    A killed run goes on where it ended; a song whose files did not change is not decoded again. A second run waits for
    the first.
    """
    for folder in (media, vocals):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder} is not a folder")
        if folder is not None and out.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{out} lies in {folder}; nothing is written below the songs, pass another --out")
    songs = read_annotation(csv_path)
    matched = match(songs, _files(media))
    with lock(out / ".lock", keep=False):
        return _segment(csv_path, songs, matched, media, out, vocals, codecs, jobs)


def _segment(
    csv_path: Path, songs: Sequence[Song], matched: Mapping[str, str], media: Path, out: Path, vocals: Path | None,
    codecs: bool, jobs: int,
) -> list[Found]:  # fmt: skip
    with atomic(out / ANNOTATION) as temporary:
        shutil.copyfile(csv_path, temporary)
    first_with: dict[str, str] = {}
    tasks, found = [], {}
    for song in songs:
        name = matched.get(song.song)
        if name is None:
            found[song.song] = Found(song, "", 0, "no media file")
        elif song.label not in _DIGITS:
            found[song.song] = Found(song, name, 0, f"label {song.label}")
        elif name in first_with:
            found[song.song] = Found(song, name, 0, f"same recording as {first_with[name]}")
        else:
            first_with[name] = song.song
            tasks.append((song, media / name, _stem(vocals, name), out))
    _forget_others(out, songs, [song for song, one in found.items() if one.media])
    for one in _all(_segment_song, tasks, jobs, "segment", "song"):
        found[one.song.song] = one
    listed = [found[song.song] for song in songs]
    _write_songs(out / SONGS, [(one, os.path.basename(one.media)) for one in listed])
    if codecs:
        _codec_test(out, jobs)
    return listed


def report(found: Sequence[Found]) -> list[str]:
    """Per set and label: songs in the annotation, with clips, and without, with the reasons."""
    lines = []
    for partition in SETS:
        for label in ("bonafide", "spoof", "unknown"):
            group = [one for one in found if (one.song.set, one.song.label) == (partition, label)]
            if group:
                clips = sum(one.clips for one in group)
                why = Counter("damaged media" if one.why.startswith("damaged") else one.why for one in group if one.why)
                absent = "; ".join(f"{n} {reason}" for reason, n in sorted(why.items()))
                with_clips = sum(one.clips > 0 for one in group)
                lines.append(
                    f"{partition} {label}: {with_clips} of {len(group)} songs give {clips} clips"
                    + (f" ({absent})" if absent else "")
                )
    lines += [f"  {one.song.song} {printable(one.media)}: {one.why}" for one in found if one.why.startswith("damaged")]
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """python -m ingest singfake-media; 0 when every song of the annotation gave clips, 1 when some did not."""
    parser = Parser(
        prog="python -m ingest singfake-media",
        description="Cut SingFake's clips from the songs you downloaded. A media file belongs to a row of singfake.csv "
        "when its name is the row's number (0001.webm), holds the id of the address's video, or is Singer_Title or "
        "the address's own file name. For the vocal stems run: demucs -n mdx_extra --two-stems=vocals -o STEMS SONGS",
        epilog="example:\n  python -m ingest singfake-media --csv singfake.csv --media ~/songs \\\n"
        "    --vocals ~/STEMS/mdx_extra --out ~/SingFake\n  python -m ingest singfake --root ~/SingFake",
    )
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="the official annotation file")
    parser.add_argument("--media", type=Path, required=True, metavar="DIR", help="downloaded songs, any format")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the corpus is made")
    parser.add_argument("--vocals", type=Path, metavar="DIR", help="vocal stems of the songs, by demucs")
    parser.add_argument("--no-codecs", action="store_true", help="leave T03 (T02 through four codecs) out")
    parallel.add_processes(parser)
    args = parser.parse_args(argv)
    jobs = args.jobs or parallel.cores()
    found = segment(args.csv, args.media, args.out, vocals=args.vocals, codecs=not args.no_codecs, jobs=jobs)
    for line in report(found):
        print(line)
    whole = sum(one.clips > 0 for one in found)
    print(f"{whole} of {len(found)} songs give clips: python -m ingest singfake --root {shlex.quote(str(args.out))}")
    return 0 if whole == len(found) else 1


def _forget_others(out: Path, songs: Sequence[Song], refused: Sequence[str]) -> None:
    """Remove what an earlier run cut for rows that the annotation has no more, or whose set, label or song is another.

    refused: songs whose media file gives no clips: of no label, or another song's. Clips of a song whose file is gone
    meanwhile stay.
    """
    rows = {song.song: _row(song) for song in songs if song.song not in refused}
    for record in sorted((out / "segments").glob("*.json")):
        done = _read_record(record) or {}
        if record.stem not in rows or done.get("row", rows[record.stem]) != rows[record.stem]:
            _remove_clips(out, record.stem)
            record.unlink()


def _row(song: Song) -> list[str]:
    return [song.set, song.label, song.url]


def _remove_clips(out: Path, song: str) -> None:
    for folder in _FOLDERS.values():
        for old in (out / folder).glob(f"*/[01]_{song}_*.flac"):
            old.unlink()


def _segment_song(song: Song, media: Path, vocals: Path | None, out: Path) -> Found:
    record = out / "segments" / f"{song.song}.json"
    stamp = {"media": _stamp(media), "vocals": _stamp(vocals)}
    done = _read_record(record)
    kinds = ["mixtures", "vocals"] if vocals else ["mixtures"]
    folder = out / _FOLDERS[song.set]
    name = f"{_DIGITS[song.label]}_{song.song}"
    if done is None or not _is_cut(done, stamp, [folder / kind / name for kind in kinds]):
        try:
            spans = regions.active(regions.levels(vocals or media))
            _remove_clips(out, song.song)
            written = [_write_clips(folder / kind, name, path, spans) for kind, path in zip(kinds, (media, vocals))]
        except audio.Unreadable as error:
            return Found(song, media.name, 0, f"damaged: {error.reason}")
        for kind, index in ((kind, index) for kind in kinds for index in range(min(written), len(spans))):
            (folder / kind / f"{name}_{index}.flac").unlink(missing_ok=True)  # stem and mixture of unlike length
        done = stamp | {"row": _row(song), "regions": spans[: min(written)]}
        with atomic(record) as temporary:
            temporary.write_text(json.dumps(done, sort_keys=True) + "\n")
    clips = len(done["regions"])
    return Found(song, media.name, clips, "" if clips else f"no voice of {regions.SHORTEST_S:g} s")


def _is_cut(done: Mapping, stamp: Mapping, clips: Sequence[Path]) -> bool:
    """Whether a record is of these files and its clips are all there; clips: their paths without _INDEX.flac."""
    return all(done.get(key) == value for key, value in stamp.items()) and all(
        clip.with_name(f"{clip.name}_{index}.flac").is_file() for clip in clips for index in range(len(done["regions"]))
    )


def _write_clips(folder: Path, name: str, path: Path, spans: Sequence[tuple[float, float]]) -> int:
    """Write one FLAC per span; returns how many there are (the stem may be a little shorter than the mixture)."""
    kept = 0
    for index, clip in enumerate(regions.cut(path, spans)):
        if len(clip):
            with atomic(folder / f"{name}_{index}.flac") as temporary:
                soundfile.write(temporary, clip, audio.RATE_HZ, format="FLAC", subtype="PCM_16")
            kept = index + 1
    return kept


def _codec_test(out: Path, jobs: int) -> None:
    """T03: every T02 clip through each codec and back; copies whose clip is gone are removed."""
    clips = [path.relative_to(out / "test") for path in sorted((out / "test").glob("*/*.flac"))]
    tasks, there = [], set(clips)
    for codec in CODECS:
        folder = out / "codec_test" / codec
        for stray in folder.glob("*/*.flac"):
            if stray.relative_to(folder) not in there:
                stray.unlink()
        for clip in clips:
            source, target = out / "test" / clip, folder / clip
            if not target.is_file() or target.stat().st_mtime_ns < source.stat().st_mtime_ns:
                tasks.append((source, target, codec))
    for _ in _all(_transcode, tasks, jobs, "codecs", "clip"):
        pass


def _transcode(source: Path, target: Path, codec: str) -> None:
    import ffmpeg

    container, encoder, bitrate_bps = CODECS[codec]
    with tempfile.TemporaryDirectory() as folder, atomic(target) as temporary:
        coded = f"{folder}/clip.{container}"
        coding = {"format": container, "acodec": encoder, "audio_bitrate": bitrate_bps}
        decoding = {"format": "flac", "acodec": "flac", "ar": audio.RATE_HZ, "sample_fmt": "s16"}
        try:
            for read, written, how in ((str(source), coded, coding), (coded, str(temporary), decoding)):
                stream = ffmpeg.input(confined.address(read), **confined.LIMITS)
                stream = stream.output(written, map_metadata=-1, fflags="+bitexact", **how)
                stream.overwrite_output().global_args(*confined.PROGRAM).run(cmd=audio.ffmpeg(), quiet=True)
        except ffmpeg.Error as error:
            said = (error.stderr or b"").decode(errors="replace").strip().splitlines() or ["no message"]
            raise DataError(
                f"{source}: ffmpeg cannot make {codec} of it ({said[-1]}); --no-codecs leaves T03 out"
            ) from None


def _all(work, tasks: Sequence[tuple], jobs: int, what: str, unit: str) -> Iterator:  # noqa: ANN001
    jobs = 1 if len(tasks) < 2 else jobs
    done = parallel.results(((work, task, {}) for task in tasks), jobs, what=what)
    yield from track(done, what, total=len(tasks), unit=unit)


def _files(media: Path) -> list[str]:
    """Paths below the media folder that are neither hidden nor texts nor unfinished downloads."""
    aside = (".part", ".ytdl", ".json", ".txt", ".csv", ".jpg", ".png", ".webp", ".vtt", ".srt", ".log", ".description")
    return [os.path.relpath(path, media) for path in below(media) if not path.name.lower().endswith(aside)]


def _rank(name: str) -> int:
    """0 for the file of a song, 1 and 2 for parts that a download program leaves (sound first), 3 for other files."""
    stem, suffix = os.path.splitext(os.path.basename(name).lower())
    if suffix not in AUDIO_SUFFIXES | CARRIERS:
        return 3
    return (2 if suffix in _VIDEO else 1) if _PART.search(stem) else 0


def _stem(vocals: Path | None, name: str) -> Path | None:
    if vocals is None:
        return None
    base = os.path.splitext(os.path.basename(name))[0]
    inside = [vocals / base / stem for stem in _STEMS]
    beside = sorted(vocals.glob(f"{_escaped(base)}.*"))
    return next((path for path in (*inside, *beside) if path.is_file()), None)


def _escaped(word: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", word)


def _plain(word: str) -> str:
    """A name as file systems may have changed it: composed, without the characters they refuse, lower case."""
    return re.sub(r'[\s/\\:*?"<>|_]+', "_", unicodedata.normalize("NFC", word)).strip("_. ").casefold()


def _address_file(url: str) -> str:
    """The file name at the end of a direct address; empty for the page of a video."""
    name = unquote(address(url).path).rpartition("/")[2]
    return name if os.path.splitext(name)[1] else ""


def _stamp(path: Path | None) -> list | None:
    if path is None:
        return None
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _read_record(path: Path) -> Mapping | None:
    """What segments/SONG.json holds; None where it is absent, damaged or something else."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("regions"), list) else None


def _write_songs(path: Path, found: Sequence[tuple[Found, str]]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SONGS_HEADER)
        for one, media in found:
            shown = os.fsencode(media).decode(errors="backslashreplace")  # a name that is not UTF-8
            writer.writerow([*asdict(one.song).values(), shown, one.clips])
