"""SingFake: an annotation file of songs, and the clips that each user cuts from the songs still to be had.

Three layouts are read: the clip folders of the official code, plain folders named by their label, and, where
there is no audio at all, the songs of the annotation file.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ingest import text
from ingest.corpora._columns import first_file, words
from ingest.corpora._folders import audio_names, composed, is_audio, key, refuse_undecoded
from ingest.corpora._singfake_words import HEADER, MODELS, SETS, iso_639, video
from ingest.scan import any_case
from ingest.types import LABEL_WORDS, Corpus, Count, DataError

ANNOTATION = "singfake.csv"
SONGS = "songs.csv"  # which row each song id is; written by `python -m ingest singfake-media`
SONGS_HEADER = ("song", "set", "label", "language", "singer", "title", "model", "url", "media", "clips")
PARTITIONS = {
    "train": "Training", "dev": "Validation", "additional_test": "T01", "test": "T02", "codec_test": "T03",
    "persian_test": "T04",
}  # fmt: skip
SPLITS = PARTITIONS | {word: word for word in PARTITIONS.values()}  # copies name the folders by their set
CONDITIONS = {"vocals": "vocals", "mixtures": "mixture"}
_CLIP_FOLDERS = [
    f"{split}/{below}{kind}" for split, partition in SPLITS.items() for kind in CONDITIONS
    for below in (("", "*/") if partition == "T03" else ("",))
]  # fmt: skip
_PLAIN_FOLDERS = [any_case(word) for word in LABEL_WORDS]
_CLIP = re.compile(r"([01])_(.+)_(\d+)")  # 1_s0002_0: the first digit 1 means spoof
_DIGITS = {"0": "bonafide", "1": "spoof"}
_COLUMNS = (
    "utt_id", "partition", "path", "label", "attack", "attack_raw", "source_id", "speaker", "language", "codec",
    "song", "condition", "file",
)  # fmt: skip

CORPUS = Corpus(
    name="singfake",
    title="SingFake",
    domain="singing",
    licence="annotation as its download states; the songs belong to their owners",
    citation="Zang et al., SingFake: singing voice deepfake detection, ICASSP 2024",
    counts=tuple(
        Count(partition, label, songs, f"{ANNOTATION}, songs", "V")
        for partition, both in {
            "Training": (418, 447, 0), "Validation": (98, 80, 1), "T01": (29, 120, 0), "T02": (129, 99, 0),
            "T04": (30, 30, 0),
        }.items()
        for label, songs in zip(("bonafide", "spoof", "unknown"), both)
        if songs
    ),
    markers=("|".join((ANNOTATION, *_CLIP_FOLDERS, "bonafide", "spoof", "*/bonafide", "*/spoof")),),
    audio=(*SPLITS, "songs", *_PLAIN_FOLDERS, "*/bonafide", "*/spoof"),
    rate_hz=None,  # whatever the download gives; 16 kHz after the official segmentation
    aliases=MODELS,
    archives=dict.fromkeys(
        (*PARTITIONS.values(), "songs"),
        "the songs (no archive: fetch the addresses in singfake.csv, then python -m ingest singfake-media)",
    ),
)  # fmt: skip


def tables(root: Path) -> Iterator[pa.Table]:
    """The clips that are there; without any, the songs of singfake.csv.

    `vocals` and `mixtures` are utterances of their own with one source_id per song and index. Speaker and
    language are null where neither songs.csv nor the annotation of the set tells them.
    Raises DataError if there is neither a clip nor singfake.csv, and if the clips lie in a folder beside that file.
    """
    known = _Known(root)
    rows = [*_clips(root, known), *_plain(root, known)]
    refuse_undecoded(root, (row["path"] for row in rows))
    if rows:
        yield pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in _COLUMNS})
    elif annotation := first_file(root, ANNOTATION):
        if below := _clips_below(root):
            raise DataError(
                f"{root} holds {ANNOTATION} and no clips, but {below} holds clips; put the annotation file there, "
                "beside train, dev and the other sets"
            )
        yield _songs(annotation)
    else:
        raise DataError(
            f"{root} holds no {ANNOTATION}, no clips like train/vocals/1_SONG_0.flac and no folders bonafide and "
            "spoof; put the annotation file there, or pass the folder that holds the clips"
        )


def counts(root: Path) -> tuple[Count, ...]:
    """The published counts are of songs: expected where the rows are songs, not where they are clips."""
    return () if _has_clips(root) else CORPUS.counts


def notes(root: Path) -> list[str]:
    """Languages that are not known, and how complete the clips are: songs with clips against songs of each set."""
    annotation = first_file(root, ANNOTATION)
    if annotation is None:
        return [
            f"no {ANNOTATION} in {root}: the clips have no speaker and no language, and nobody can tell which songs "
            "are absent: partial; put it there"
        ]
    table = _annotation(annotation)
    counted = Counter(word for word in table["Language"].to_pylist() if iso_639(word) is None)
    strange = [f"language {word!r} of {ANNOTATION} is not known: {n} songs have none" for word, n in counted.items()]
    if not _has_clips(root):
        return strange
    songs = _songs_with_clips(root)
    annotated, published = table["Set"].to_pylist(), sum(count.rows for count in CORPUS.counts)
    told = strange + [
        f"{partition}: clips of {len(songs[partition])} of the {annotated.count(partition)} songs in {ANNOTATION}"
        for partition in SETS
    ]
    return [*told, f"{ANNOTATION} has {len(annotated)} of the {published} published songs"] if _cut(table) else told


def incomplete(root: Path) -> bool:
    """Whether the annotation lacks published songs, or a set has clips of fewer songs than it; so if nobody can tell.

    Some recordings stand twice in the annotation; those without a label count nowhere.
    """
    annotation = first_file(root, ANNOTATION)
    if annotation is None or not _has_clips(root):
        return annotation is None
    table, songs, recordings = _annotation(annotation), _songs_with_clips(root), defaultdict(set)
    for row, label in zip(table.to_pylist(), text.labels(table["Bonafide Or Spoof"]).to_pylist()):
        if label != "unknown":
            found = video(row["Url"])
            recordings[row["Set"]].add(found.pattern if found else row["Url"])
    return _cut(table) or any(len(songs[partition]) < len(recordings[partition]) for partition in SETS)


def _cut(annotation: pa.Table) -> bool:
    """Whether a set has fewer songs of a label than the published annotation."""
    found = Counter(zip(annotation["Set"].to_pylist(), text.labels(annotation["Bonafide Or Spoof"]).to_pylist()))
    return any(found[count.partition, count.label] < count.rows for count in CORPUS.counts if count.label != "unknown")


def _songs_with_clips(root: Path) -> defaultdict[str | None, set[str]]:
    songs, known = defaultdict(set), _Known(root)
    for row in (*_clips(root, known), *_plain(root, known)):
        songs[row["partition"]].add(row["song"])
    return songs


class _Known:
    """Speaker, language and model of a clip: by its song id in songs.csv, else what its whole set shares."""

    def __init__(self, root: Path):
        self.by_song: dict[str, dict[str, str | None]] = {}
        self.by_set: dict[tuple[str, str], dict[str, str | None]] = {}
        self.by_title: dict[tuple[str, str], dict[str, str | None]] = {}
        if songs := first_file(root, SONGS):
            for row in text.csv_rows(songs, SONGS_HEADER).to_pylist():
                self.by_song[row["song"]] = _told(row["singer"], row["language"], row["model"])
        if annotation := first_file(root, ANNOTATION):
            self._read(_annotation(annotation))

    def _read(self, annotation: pa.Table) -> None:
        sets, titles = defaultdict(list), defaultdict(list)
        label = text.labels(annotation["Bonafide Or Spoof"]).to_pylist()
        for row, said in zip(annotation.to_pylist(), label):
            told = _told(row["Singer"], row["Language"], row["Model"])
            sets[row["Set"], said].append(told)
            titles[key(f"{row['Singer']}_{row['Title']}"), said].append(told)
        for (partition, said), rows in sets.items():
            self.by_set[partition, said] = _shared(rows)
        self.by_set |= {("T03", said): told for (part, said), told in self.by_set.items() if part == "T02"}
        self.by_title = {name: _shared(rows) for name, rows in titles.items()}

    def of(self, song: str, partition: str | None, label: str) -> dict[str, str | None]:
        told = self.by_song.get(song) or self.by_title.get((key(song), label))
        return told or {**_told("", "", ""), **self.by_set.get((partition, label), {})}


def _told(singer: str, language: str, model: str) -> dict[str, str | None]:
    return {"speaker": singer or None, "language": iso_639(language), "attack_raw": model or None}


def _shared(rows: list[dict[str, str | None]]) -> dict[str, str | None]:
    """What all rows say alike, else null."""
    return {name: value if all(row[name] == value for row in rows) else None for name, value in rows[0].items()}


def _annotation(path: Path) -> pa.Table:
    table = text.csv_rows(path, HEADER)
    words(table, "Set", dict.fromkeys(SETS), file=str(path))
    return table


def _has_clips(root: Path) -> bool:
    return next(_folders(root), None) is not None or next(_plain_folders(root), None) is not None


def _clips_below(root: Path) -> Path | None:
    """The first folder in the root that holds clip folders: what the segmentation was told to write to."""
    below = (path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != ".")
    return next((path for path in below if next(_folders(path), None)), None)


def _folders(root: Path) -> Iterator[tuple[str, str, str | None, str]]:
    """(folder below the root, partition, codec, condition) of every clip folder that holds audio."""
    seen: dict[str, str] = {}  # partition -> its split folder
    for split, partition in SPLITS.items():
        below = [(split, None)]
        if partition == "T03" and (root / split).is_dir():
            below = [(f"{split}/{name}", name) for name in sorted(os.listdir(root / split)) if name[0] != "."]
        for folder, codec in below:
            for kind, condition in CONDITIONS.items():
                if audio_names(root / folder / kind):
                    first = seen.setdefault(partition, split)
                    if first != split and (root / first).samefile(root / split):
                        continue  # a link under the other name
                    if first != split:
                        raise DataError(
                            f"{root} holds clips of {partition} in {first} and in {split}, two names of one set; keep "
                            "one folder, or every clip would count twice"
                        )
                    yield f"{folder}/{kind}", partition, codec, condition


def _clips(root: Path, known: _Known) -> Iterator[dict[str, str | None]]:
    for folder, partition, codec, condition in _folders(root):
        for stem in dict.fromkeys(os.path.splitext(name)[0] for name in audio_names(root / folder)):
            clip = _CLIP.fullmatch(stem)
            if clip:
                digit, song, index = map(composed, clip.groups())
                label = _DIGITS[digit]
                yield _row(f"{folder}/{stem}", label, song, known.of(song, partition, label)) | {
                    "path": f"{folder}/{stem}.flac", "partition": partition, "codec": codec, "condition": condition,
                    "source_id": f"{song}_{index}",
                }  # fmt: skip


def _plain_folders(root: Path) -> Iterator[tuple[str, str | None, str]]:
    """(folder below the root, partition, label) of every folder named by a label word that holds audio."""
    for split, partition in ({"": None} | SPLITS).items():
        if (root / split).is_dir():
            for name in sorted(os.listdir(root / split)):
                label = LABEL_WORDS.get(name.lower())
                folder = f"{split}/{name}" if split else name
                if label and next(_audio_below(root / folder), None):
                    yield folder, partition, label


def _audio_below(folder: Path) -> Iterator[str]:
    """Paths of the audio below a folder, links followed, each folder once: what ingest.scan sees, too."""
    seen: set[str] = set()
    for path, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        below[:] = [] if real in seen else sorted(name for name in below if name[0] != "." and name != "__MACOSX")
        for name in () if real in seen else names:
            if is_audio(name):
                yield os.path.relpath(os.path.join(path, name), folder).replace(os.sep, "/")
        seen.add(real)


def _plain(root: Path, known: _Known) -> Iterator[dict[str, str | None]]:
    for folder, partition, label in _plain_folders(root):
        taken = set()
        for name in sorted(_audio_below(root / folder)):
            stem, suffix = os.path.splitext(name)
            unique = stem if key(stem) not in taken else f"{stem}_{suffix[1:]}"  # two containers of one name
            taken.add(key(stem))
            song = composed(os.path.basename(stem))
            yield _row(f"{folder}/{key(unique)}", label, song, known.of(song, partition, label)) | {
                "path": f"{folder}/{name}", "partition": partition,
            }  # fmt: skip


def _row(name: str, label: str, song: str, told: dict[str, str | None]) -> dict[str, str | None]:
    model = told["attack_raw"] if label != "bonafide" else None
    return {
        "utt_id": f"{CORPUS.name}/" + "/".join(map(key, name.split("/"))), "label": label, "song": song,
        "source_id": song, "speaker": told["speaker"], "language": told["language"], "attack_raw": model,
        "attack": MODELS.get(model or "unknown", model) if label != "bonafide" else None,
    }  # fmt: skip


def _songs(path: Path) -> pa.Table:
    annotation = _annotation(path)
    label = text.labels(annotation["Bonafide Or Spoof"]).to_pylist()
    rows = []
    for number, (row, said) in enumerate(zip(annotation.to_pylist(), label), start=1):
        song = f"{number:04}"  # the file has no song id: the number of its row
        told = _told(row["Singer"], row["Language"], row["Model"])
        rows.append(
            _row(f"songs/{song}", said, song, told)
            | {"path": f"songs/{song}.flac", "partition": row["Set"], "file": path.name}
        )
    table = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in _COLUMNS})
    return table.append_column("line", annotation["line"])
