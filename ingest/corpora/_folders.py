"""Audio files of a folder, for corpora whose rows come from the folders and not from a protocol file."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from ingest.scan import AUDIO_SUFFIXES, leads_to
from ingest.types import DataError


def audio_names(folder: Path) -> list[str]:
    """The names of the audio files directly in `folder`, in order; hidden files and stubs are left out."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_audio(entry.name) and leads_to(entry.is_file))


def is_audio(name: str) -> bool:
    """Whether a file name is that of audio: a known extension and no leading dot (`._x.wav` is a stub)."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def refuse_undecoded(root: Path, paths: Iterable[str]) -> None:
    """Raise DataError if a path is not UTF-8, as archives made on other systems may leave it: no row can hold it."""
    odd = [path for path in paths if any("\udc80" <= letter <= "\udcff" for letter in path)]  # PEP 383
    if odd:
        first = os.fsencode(odd[0]).decode(errors="backslashreplace")
        raise DataError(
            f"{root}: {len(odd)} file names are not in UTF-8 (first: {first}); rename them, for instance those of a "
            "Chinese archive with: convmv -r -f gbk -t utf8 --notest FOLDER"
        )


def key(stem: str) -> str:
    """A stem as a part of an utt_id, which must hold no dot and no slash, and is the same on every file system."""
    return composed(stem).replace(".", "_").replace("/", "_")


def composed(name: str) -> str:
    """The name with accents in one character (NFC): some file systems and archives split them in two."""
    return unicodedata.normalize("NFC", name)
