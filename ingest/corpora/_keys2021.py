"""The key files of ASVspoof 2021 (LA and DF): where they lie, what they are, the trial list beside them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import text
from ingest.corpora._columns import Column, first_file, first_row, published, the_same
from ingest.types import DataError

SUBSETS = {"progress": "progress", "eval": "eval", "hidden": "hidden", "hidden_track": "hidden"}
TRIM = {"notrim": "notrim", "trim": "trim", "only_speech": "trim", "-": None}  # only_speech in the key of LA
NAME = "trial_metadata.txt"


def markers(track: str) -> tuple[str, ...]:
    """Where the CM key of a track (LA, DF) may lie below the root: full package, stage 1, aside, beside the audio."""
    places = (f"keys/{track}/CM", f"*/keys/{track}/CM", f"{track}/CM", "keys/CM", "*/keys/CM")
    return tuple(f"{place}/{NAME}" for place in (*places, f"ASVspoof2021_{track}_eval"))


def find(root: Path, track: str) -> Path:
    """The CM key of a track; raises DataError that names the package to unpack if there is none."""
    keys = _keys(root, track)
    if not keys:
        raise DataError(
            f"{root} holds no keys/{track}/CM/{NAME}: the audio package has no labels; unpack "
            f"{track}-keys-full.tar.gz there"
        )
    return the_same(keys[0])


def passed_over(root: Path, track: str) -> list[str]:
    """A note on every key of the track that lies in another place, is not the one that is read, and differs from it."""
    (chosen, *_), *others = _keys(root, track)
    return [
        f"{chosen.relative_to(root)} is read; {path.relative_to(root)} is another key of {track} and is not"
        for paths in others for path in paths if not text.same(chosen, path)
    ]  # fmt: skip


def unsaid(table: pa.Table) -> dict[str, None]:
    """What `-` means where it is no published word: {"-": None} in the key of stage 1, nothing in the full one.

    That key has the labels and phases alone: `- LA_E_9332881 - - - spoof - eval`.
    """
    left_out = (pc.all(pc.equal(table[name], "-")).as_py() for name in ("speaker", "codec", "attack", "trim"))
    return {"-": None} if all(left_out) else {}


def attacks(table: pa.Table) -> tuple[Column, Column]:
    """(attack, attack_raw) of a CM or ASV key: null but for spoof; `unknown` in the key of stage 1."""
    raw = text.translate(table["attack"], {"-": None, "bonafide": None})
    if not unsaid(table):
        return raw, raw
    spoof = pc.equal(text.labels(table["key"]), "spoof")
    return pc.if_else(spoof, pa.scalar("unknown"), pa.scalar(None, pa.string())), raw


def stage_1(table: pa.Table, path: Path, track: str) -> list[str]:
    """A note where the key is that of stage 1, which leaves out all but labels and phases."""
    if not unsaid(table):
        return []
    return [
        f"{path.name} is the key of stage 1, labels and phases alone: speakers, attacks, codecs and the rest are "
        f"unknown; the full key is in {track}-keys-full.tar.gz"
    ]


def refuse_asv_key(table: pa.Table, path: Path) -> None:
    """Raise DataError if column `key` speaks of target and nontarget: the ASV key, of the same file name."""
    if row := first_row(table, pc.is_in(table["key"], pa.array(["target", "nontarget"]))):
        raise DataError(
            f"{path} line {row['line']}: key {row['key']!r}: this is the ASV key; the detection key of the same name "
            "lies in the folder CM"
        )


def refuse_other_track(table: pa.Table, path: Path, track: str) -> None:
    """Raise DataError if the first trial is one of the other track: its key under the name of this one's."""
    other = {"LA": "DF", "DF": "LA"}[track]
    if table["stem"][0].as_py().startswith(f"{other}_E_"):
        raise DataError(
            f"{path} line {table['line'][0].as_py()}: {table['stem'][0].as_py()}: this is the key of ASVspoof 2021 "
            f"{other} ({table.num_columns - 1} columns); unpack {track}-keys-full.tar.gz here"
        )


def cross_check(root: Path, track: str, table: pa.Table, key: Path) -> None:
    """Raise DataError if the key names trials that the official trial list, where it is there, does not."""
    path = _list(root, track)
    if path is None:
        return
    strange = pc.invert(pc.is_in(table["stem"], value_set=trial_list(path)))
    if row := first_row(table, strange):
        raise DataError(
            f"{key} line {row['line']}: {row['stem']} is not in {path}, nor are {pc.sum(strange).as_py() - 1} more; "
            "one of the two files belongs to another corpus"
        )


def unlabelled(root: Path, track: str) -> list[str]:
    """A note on the trials of the official list, where it is there, that the key does not name."""
    path, key = _list(root, track), find(root, track)
    if path is None:
        return []
    listed = trial_list(path)
    labelled = text.fields(key, [str(column) for column in range(text.width(key))])["1"]
    left = listed.filter(pc.invert(pc.is_in(listed, value_set=labelled.combine_chunks())))
    if not len(left):
        return []
    return [f"{len(left)} of {len(listed)} trials of {path.name} are not in the key {key.name} (first: {left[0]})"]


def trial_list(path: Path) -> pa.Array:
    """The stems of an official trial list: one per line, no labels."""
    return text.fields(path, ("stem",))["stem"].combine_chunks()


def _keys(root: Path, track: str) -> list[list[Path]]:
    """The CM keys of a track by the place where they lie, the full package's first; no empty places."""
    places = []
    for pattern in markers(track):
        found = published(root, pattern)  # of both tracks, where the packages of stage 1 lie side by side
        places.append([path for path in found if track in path.relative_to(root).parts or _is_of(path, track)])
    return [place for place in places if place]


def _list(root: Path, track: str) -> Path | None:
    name = f"ASVspoof2021.{track}.cm.eval.trl.txt"
    return first_file(root, f"ASVspoof2021_{track}_eval/{name}", f"*/ASVspoof2021_{track}_eval/{name}", name)


def _is_of(path: Path, track: str) -> bool:
    return f"{track}_E_" in text.start(path)
