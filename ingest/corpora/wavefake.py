"""WaveFake: no protocol; label, vocoder and language come from the folder. The originals are two other corpora."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ingest.corpora._columns import constant, joined
from ingest.corpora._folders import audio_names
from ingest.scan import any_case
from ingest.types import Corpus, Count, DataError


class Folder(NamedTuple):
    """What one folder of generated_audio holds: NAME + suffix .wav, with NAME as in the originals."""

    attack_raw: str
    attack: str
    language: str
    suffix: str
    clips: int


TTS = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"
FOLDERS = {
    "ljspeech_melgan": Folder("melgan", "melgan", "en", "_gen", 13100),
    "ljspeech_melgan_large": Folder("melgan_large", "melgan_large", "en", "_gen", 13100),
    "ljspeech_multi_band_melgan": Folder("multi_band_melgan", "multi_band_melgan", "en", "_gen", 13100),
    "ljspeech_full_band_melgan": Folder("full_band_melgan", "full_band_melgan", "en", "_gen", 13100),
    "ljspeech_parallel_wavegan": Folder("parallel_wavegan", "parallel_wavegan", "en", "_gen", 13100),
    "ljspeech_hifiGAN": Folder("hifiGAN", "hifigan", "en", "_generated", 13100),
    "ljspeech_waveglow": Folder("waveglow", "waveglow", "en", "", 13100),
    "jsut_multi_band_melgan": Folder("multi_band_melgan", "multi_band_melgan", "ja", "_gen", 5000),
    "jsut_parallel_wavegan": Folder("parallel_wavegan", "parallel_wavegan", "ja", "_gen", 5000),
    TTS: Folder(TTS, "tts", "en", "", 32566),
}
NAMES = {"en": r"LJ\d{3}-\d{4}", "ja": r"BASIC5000_\d{4}"}  # of LJSpeech and JSUT recordings
TTS_NAME = r"gen_\d+"
_CLIP = re.compile(rf"(?:{'|'.join(NAMES.values())})(?:_gen|_generated)?|{TTS_NAME}", re.IGNORECASE)
_ORIGINAL = re.compile("|".join(NAMES.values()), re.IGNORECASE)


def _below_root(archive: str, folder: str) -> tuple[str, ...]:
    """Beside or in real_audio; some programs unpack an archive into a folder of its own name."""
    places = (f"{archive}/{folder}", f"{archive}/{archive}/{folder}")
    return (*(f"real_audio/{place}" for place in places), *places)


# place -> language, clips, and where the originals may lie below the root and below a folder of their own
ORIGINALS = {
    "ljspeech": ("en", 13100, _below_root("LJSpeech-1.1", "wavs"), ("wavs", "LJSpeech-1.1/wavs", "")),
    "jsut": (
        "ja", 5000, _below_root("jsut_ver1.1", "basic5000/wav"),
        ("basic5000/wav", "jsut_ver1.1/basic5000/wav", "wav", ""),
    ),
}  # fmt: skip
_CENSUS = "file census of the published archive"


def _counts() -> Iterator[Count]:
    for folder in FOLDERS.values():
        group = ("attack,language", f"{folder.attack},{folder.language}")
        # 32,566 files on disk, 16,285 by the paper: reported, not required
        grade = "U" if folder.attack == "tts" else "S"
        yield Count(None, "spoof", folder.clips, _CENSUS, grade, group)
    for language, clips, *_ in ORIGINALS.values():
        yield Count(None, "bonafide", clips, "RobustSpeechDetection, Table I", "S", ("language", language))


CORPUS = Corpus(
    name="wavefake",
    title="WaveFake",
    domain="speech",
    licence="CC BY-SA 4.0",
    citation="Frank and Schoenherr, WaveFake: a data set to facilitate audio deepfake detection, "
    "NeurIPS Datasets and Benchmarks 2021",
    counts=tuple(_counts()),
    markers=("|".join(("generated_audio", *FOLDERS)),),
    audio=(
        "generated_audio",
        *map(any_case, FOLDERS),
        *(place for _, _, places, _ in ORIGINALS.values() for place in places),
    ),
    rate_hz=None,
    rates={
        "language = 'en' AND attack IS DISTINCT FROM 'tts'": 22_050,
        "language = 'ja' AND label = 'spoof'": 24_000,
        "language = 'ja' AND label = 'bonafide'": 48_000,
    },
    aliases={folder.attack_raw: folder.attack for folder in FOLDERS.values()},
    archives=dict.fromkeys(FOLDERS, "generated_audio.zip")
    | {"ljspeech": "LJSpeech-1.1.tar.bz2", "jsut": "jsut_ver1.1.zip"},
    places=tuple(ORIGINALS),
)


def tables(root: Path, places: Mapping[str, Path] | None = None) -> Iterator[pa.Table]:
    """The clips that are there, one table per folder; originals from the root or from `places`.

    places: `ljspeech` and `jsut`, folders of the user outside the root that hold the originals.
    A nested copy below the folder of synthesised speech and files of other names are no rows.
    Raises DataError if none of the ten folders is there, and if their files were thrown together.
    """
    base = _base(root)
    present = {name: folder for name in FOLDERS if (folder := _folder(root / base, name))}
    loose = [name for name in audio_names(root / base) if _CLIP.fullmatch(os.path.splitext(name)[0])]
    if loose:
        raise DataError(
            f"{root / base} holds {len(loose)} loose audio files (first: {loose[0]}), and clips of all vocoders "
            "have the same names; unpack generated_audio.zip again and keep its folders"
        )
    if not present:
        raise DataError(f"{root / base} holds none of the folders {', '.join(FOLDERS)}; unpack generated_audio.zip")
    for name, folder in present.items():
        yield _fakes(folder, name, f"{base}{name}/")
    for place, (language, _, below_root, below_place) in ORIGINALS.items():
        named = (places or {}).get(place)
        candidates = below_place if named else below_root
        for folder in candidates:
            stems = _stems((named or root) / folder, NAMES[language], suffix="")
            if stems:
                yield _originals(stems, place, language, f"{folder}/" if folder else "", named is not None)
                break
        else:
            if named:
                raise DataError(f"{named} ({place.upper()}=) holds no recording named like {NAMES[language]}.wav")


def notes(root: Path) -> list[str]:
    """What a reader should know of this copy: the archive nests a second copy of the clips of synthesised speech."""
    folder = root / _base(root) / TTS
    clips = set(audio_names(folder))
    nested = [name for below in _folders_in(folder) for name in audio_names(below) if name in clips]
    if not nested:
        return []
    return [f"{len(nested)} clips of {TTS} lie once more in a folder of their own below it: extra files, no utterances"]


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _base(root: Path) -> str:
    """Where the ten folders lie: in generated_audio, which may lie in another of that name, or in the root itself."""
    for base in ("generated_audio/", "generated_audio/generated_audio/"):
        if any(_folder(root / base, name) for name in FOLDERS):
            return base
    return "generated_audio/" if (root / "generated_audio").is_dir() else ""


def _folder(base: Path, name: str) -> Path | None:
    """The folder of this name, or else of this name but for case: ljspeech_hifigan."""
    return next((path for one in (name, any_case(name)) for path in sorted(base.glob(one)) if path.is_dir()), None)


def _stems(folder: Path, name: str, *, suffix: str) -> list[str]:
    """Stems of the clips of one folder as they are published, each once whatever its extension and case."""
    official = (lambda stem: stem.lower()) if name == TTS_NAME else (lambda stem: stem.upper())
    names = [file.rpartition(".")[0] for file in audio_names(folder)]
    pattern = re.compile(f"({name}){suffix}", re.IGNORECASE)
    found = [pattern.fullmatch(stem) for stem in names]
    return list(dict.fromkeys(official(clip[1]) + suffix for clip in found if clip))


def _fakes(folder: Path, name: str, prefix: str) -> pa.Table:
    known = FOLDERS[name]
    clip = TTS_NAME if name == TTS else NAMES[known.language]
    stems = _stems(folder, clip, suffix=known.suffix)
    _refuse_flattened(folder, {stem.lower() for stem in stems})
    rows = len(stems)
    stem = pa.array(stems, pa.string())
    # synthesised speech has no original: its own name, apart from those of the recordings
    source = [stem.removesuffix(known.suffix) if known.suffix else stem for stem in stems]
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/{name}/", stem),
            "path": joined(prefix, stem, ".wav"),
            "label": constant("spoof", rows),
            "attack": constant(known.attack, rows),
            "attack_raw": constant(known.attack_raw, rows),
            "source_id": pa.array(source, pa.string()),
            "sentence": constant(None, rows) if name == TTS else pa.array(source, pa.string()),
            "speaker": constant("LJ" if known.language == "en" else "JSUT", rows),
            "language": constant(known.language, rows),
            "vocoder": constant("non_autoregressive", rows),
            "source_corpus": constant("ljspeech" if known.language == "en" else "jsut", rows),
        }
    )


def _refuse_flattened(folder: Path, own: set[str]) -> None:
    """Raise DataError if a folder holds no fewer clips named as in other folders: whose its own are, nobody can tell.

    own: stems in lower case. Originals, which some keep beside the copies, are no such clips.
    """
    stems = {name.rpartition(".")[0] for name in audio_names(folder)}
    strange = (stem for stem in stems if _CLIP.fullmatch(stem) and not _ORIGINAL.fullmatch(stem))
    others = sorted(stem for stem in strange if stem.lower() not in own)
    if others and len(others) >= len(own):
        raise DataError(
            f"{folder} holds {len(others)} clips named as in other folders (first: {others[0]}), and clips of several "
            "vocoders have the same names; unpack generated_audio.zip again and keep its folders"
        )


def _originals(stems: list[str], place: str, language: str, prefix: str, outside: bool) -> pa.Table:
    rows, stem = len(stems), pa.array(stems, pa.string())
    return pa.table(
        {
            "utt_id": joined(f"{CORPUS.name}/{place}/", stem),
            "place": constant(place if outside else None, rows),
            "path": joined(prefix, stem, ".wav"),
            "label": constant("bonafide", rows),
            "attack_raw": constant(None, rows),
            "source_id": stem,
            "sentence": stem,  # LJSpeech and JSUT name their recordings after the sentence
            "speaker": constant("LJ" if language == "en" else "JSUT", rows),
            "language": constant(language, rows),
            "source_corpus": constant(place, rows),
        }
    )
