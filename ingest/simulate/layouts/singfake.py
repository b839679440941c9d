"""SingFake in small: clips of songs, vocals and mixtures apart, T02 through four codecs, the annotation CSV."""

import csv
import io

from ingest.simulate.attacks import SINGFAKE
from ingest.simulate.plan import File, Layout, Step, Take, step
from ingest.simulate.seeds import generator

CORPUS = "singfake"
HEADER = ("Set", "Bonafide Or Spoof", "Language", "Singer", "Title", "Model", "Url")
FOLDERS = {"Training": "train", "Validation": "dev", "T01": "additional_test", "T02": "test", "T04": "persian_test"}
CODECS = ("mp3_128k", "ogg_64k", "adts_64k", "opus_64k")
SONGS = {"Training": 7, "Validation": 3, "T01": 3, "T02": 3, "T04": 3}  # of each label
CLIPS = 2  # per song
SINGERS = {  # T01 has a singer of Training, every other set its own; invented people
    "Training": ("Ana_Rivers", "Bo_Lindgren", "Chen_Example", "Dora_Sample"),
    "Validation": ("Emil_Test", "Fay_Trial"),
    "T01": ("Ana_Rivers",),
    "T02": ("Gus_Probe", "Hana_Mock", "Ivo_Draft"),
    "T04": ("Jale_Copy", "Kia_Sketch"),
}
LANGUAGES = {"Mandarin": "zh", "Japanese": "ja", "English": "en", "Persian": "fa"}
MODELS = ("Sovits4.0", "unknown", "RVC", "DiffSinger")


def layout(seed: int) -> Layout:
    """The whole corpus; the CSV lists songs, one of them of unknown label and without audio."""
    plan, rows, song = Layout(), [HEADER], 0
    for name, count in SONGS.items():
        for turn in range(2 * count):
            spoof = turn % 2 == 1
            song += 1
            singer, language = _who(name, turn)
            rows.append(_row(name, spoof, language, singer, song))
            _clips(plan, name, spoof, language, singer, song, seed)
    rows.append(("Validation", "unknown", "Mandarin", "Fay_Trial", "A song nobody could judge", "unknown", _url(0)))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    plan.texts["singfake.csv"] = text.getvalue()
    return plan


def _who(name: str, turn: int) -> tuple[str, str]:
    singers = SINGERS[name]
    number = (turn // 2) % len(singers)  # every singer has songs of both labels
    language = "Persian" if name == "T04" else ("Mandarin", "English", "Mandarin", "Japanese")[number]
    return singers[number], language


def _row(name: str, spoof: bool, language: str, singer: str, song: int) -> tuple[str, ...]:
    label = "spoof" if spoof else "bonafide"
    if name == "T04":
        label = label.capitalize()  # as published
    title = f'Song {song}, "live"' if song % 4 == 0 else f"Song {song}"
    model = MODELS[song % len(MODELS)] if spoof else "unknown" if name == "T04" else "N/A"
    return (name, label, language, singer, title, model, _url(song))


def _url(song: int) -> str:
    return f"https://example.org/songs/{song:04}"


def _clips(plan: Layout, name: str, spoof: bool, language: str, singer: str, song: int, seed: int) -> None:
    """Both conditions of all clips of one song, and for T02 the copies of T03."""
    rng = generator(seed, CORPUS, "song", song)
    gender = "M" if singer.startswith(("Bo", "Emil", "Gus", "Ivo", "Kia")) else "F"
    mix = step("mix", song=song, snr_db=float(round(rng.uniform(0, 6), 1)), stereo=bool(rng.random() < 0.3))
    label = "spoof" if spoof else "bonafide"
    for index in range(CLIPS):
        take = Take(CORPUS, f"{song}_{index}", singer, gender, LANGUAGES[language], 16_000, "singing")
        vocals: tuple[Step, ...] = (SINGFAKE[(song // 2 + index) % len(SINGFAKE)],) if spoof else ()
        stem = f"{int(spoof)}_s{song:04}_{index}.flac"
        for condition, steps in (("vocals", vocals), ("mixtures", (*vocals, mix))):
            plan.files.append(File(f"{FOLDERS[name]}/{condition}/{stem}", take, steps))
            plan.count(name, label)
            for codec in CODECS if name == "T02" else ():
                coded = (*steps, step("codec", name=codec))
                plan.files.append(File(f"codec_test/{codec}/{condition}/{stem}", take, coded))
                plan.count("T03", label)
