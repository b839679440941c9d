"""ASVspoof 2021 DF in small: compressed speech from three sources, one key of thirteen columns."""

from typing import NamedTuple

from ingest.simulate.attacks import ASVSPOOF2019, DF_CLASSES
from ingest.simulate.layouts import asvspoof2019_la
from ingest.simulate.plan import File, Layout, Step, Take, step
from ingest.simulate.seeds import generator, numbers

CORPUS = "asvspoof2021_df"
CODECS = ("nocodec", "low_mp3", "high_mp3", "low_m4a", "high_m4a", "low_ogg", "high_ogg", "mp3m4a", "oggm4a")
PROGRESS_CODECS = CODECS[:5]
AUTOREGRESSIVE, NONAUTOREGRESSIVE = "neural_vocoder_autoregressive", "neural_vocoder_nonautoregressive"
CLASSES = dict.fromkeys(asvspoof2019_la.UNSEEN, "traditional_vocoder") | {
    8: NONAUTOREGRESSIVE, 10: AUTOREGRESSIVE, 12: AUTOREGRESSIVE, 15: AUTOREGRESSIVE, 16: "waveform_concatenation",
}  # fmt: skip
VCC_SYSTEMS = {  # attack words as published are TASK-TEAM; which class a team has is ours
    "vcc2018": {
        AUTOREGRESSIVE: ("HUB-D01", "SPO-N17"), "traditional_vocoder": ("HUB-B00", "HUB-N06"),
        "unknown": ("SPO-N03", "HUB-D04"),
    },
    "vcc2020": {
        AUTOREGRESSIVE: ("Task1-team04", "Task2-team11"), NONAUTOREGRESSIVE: ("Task1-team20", "Task2-team19"),
        "traditional_vocoder": ("Task1-team08", "Task2-team12"), "unknown": ("Task1-team30", "Task2-team33"),
    },
}  # fmt: skip
SPEAKERS = {
    "vcc2018": ("VCC2TF1", "VCC2TM1", "VCC2SF3", "VCC2SM3"),
    "vcc2020": ("TEF1", "TEM1", "TFF1", "TFM1", "TGF1", "TGM1", "TMF1", "TMM1"),
}
SPOKEN = {"E": "en", "F": "fi", "G": "de", "M": "zh"}  # third letter of a VCC 2020 speaker
VCC_BONAFIDE, VCC_PER_SYSTEM = 12, {"vcc2018": 3, "vcc2020": 3}
BONAFIDE_2019 = {"progress": 20, "eval": 20, "hidden": 9}
SPOOF_2019 = {"progress": 26, "eval": 32, "hidden": 13}


class Row(NamedTuple):
    """One trial before it has a number: its take, and its columns of the key."""

    take: Take
    copy: Step | None
    source: str
    attack: str
    subset: str
    vocoder: str
    task: str = "-"
    team: str = "-"
    genders: str = "-"
    language: str = "-"


def layout(seed: int) -> Layout:
    """The whole corpus with its full key."""
    rows = [row for subset in BONAFIDE_2019 for row in _from_2019(subset, seed)]
    rows += [row for source in SPEAKERS for row in _from_vcc(source)]
    stems = sorted(numbers(len(rows), 2_000_000, 10_000_000, seed, CORPUS))
    turn: dict[tuple[str, bool, str], int] = {}
    made: set[tuple[Take, tuple[Step, ...]]] = set()  # no clip is compressed the same way twice: that would be a copy
    plan, lines = Layout(), []
    generator(seed, CORPUS, "order").shuffle(rows)
    for number, row in zip(stems, rows):
        codecs = PROGRESS_CODECS if row.subset == "progress" else CODECS
        group = (row.subset, row.copy is None, row.source)  # every codec gets both labels of every source
        first = turn.get(group, 0)
        turn[group] = first + 1
        ways = (codecs[(first + skipped) % len(codecs)] for skipped in range(len(codecs)))
        codec = next(way for way in ways if (row.take, _steps(row, way)) not in made)
        made.add((row.take, _steps(row, codec)))
        label, stem = "spoof" if row.copy else "bonafide", f"DF_E_{number}"
        plan.files.append(File(f"ASVspoof2021_DF_eval/flac/{stem}.flac", row.take, _steps(row, codec)))
        plan.count(row.subset, label)
        trim = "trim" if row.subset == "hidden" else "notrim"
        lines.append(
            f"{row.take.speaker} {stem} {codec} {row.source} {row.attack} {label} {trim} {row.subset} "
            f"{row.vocoder} {row.task} {row.team} {row.genders} {row.language}\n"
        )
    plan.texts["keys/DF/CM/trial_metadata.txt"] = "".join(lines)
    listed = "".join(f"DF_E_{number}\n" for number in stems)
    plan.texts["ASVspoof2021_DF_eval/ASVspoof2021.DF.cm.eval.trl.txt"] = listed
    return plan


def _steps(row: Row, codec: str) -> tuple[Step, ...]:
    steps = [row.copy] if row.copy else []
    if row.subset == "hidden":
        steps.append(step("trim"))
    if codec != "nocodec":
        steps.append(step("codec", name=codec))
    return tuple(steps)


def _from_2019(subset: str, seed: int) -> list[Row]:
    """Trials whose clips are those of 2019 LA eval, systems A07 to A19."""
    trials = asvspoof2019_la.trials("eval", seed)
    bonafide = [trial for trial in trials if not trial.attack]
    spoof = [trial for trial in trials if trial.attack]
    # A16 is the only waveform concatenation, so eval gets some more of it
    extra = [trial for trial in spoof if trial.attack == "A16"] if subset == "eval" else []
    shift = list(BONAFIDE_2019).index(subset)
    rows = [
        Row(bonafide[(number + 11 * shift) % len(bonafide)].take, None, "asvspoof", "-", subset, "bonafide")
        for number in range(BONAFIDE_2019[subset])
    ]
    for number in range(SPOOF_2019[subset]):
        trial = (spoof + extra)[(number + 13 * shift) % (len(spoof) + len(extra))]
        vocoder = CLASSES[int(trial.attack[1:])]
        rows.append(Row(trial.take, ASVSPOOF2019[trial.attack], "asvspoof", trial.attack, subset, vocoder))
    return rows


def _from_vcc(source: str) -> list[Row]:
    """Eval trials of a Voice Conversion Challenge: its target speakers, genuine and converted to."""
    speakers, rows, takes = SPEAKERS[source], [], []
    for number in range(VCC_BONAFIDE):
        name = speakers[number % len(speakers)]
        language = SPOKEN[name[1]] if source == "vcc2020" else "en"
        takes.append(Take(CORPUS, f"{source}_{number}", name, name[-2], language, 16_000))
        rows.append(Row(takes[-1], None, source, "-", "eval", "bonafide"))
    turn = 0
    for vocoder, systems in VCC_SYSTEMS[source].items():
        copies = DF_CLASSES[vocoder]
        for attack in systems:
            task, _, team = attack.partition("-")
            # task 1 stays within a language, task 2 goes to one of the three others
            fits = [take for take in takes if source == "vcc2018" or (take.speaker[1] == "E") == (task == "Task1")]
            for _ in range(VCC_PER_SYSTEM[source]):
                take = fits[turn % len(fits)]
                genders = "FM"[turn % 2] + take.gender
                language = take.speaker[1] if source == "vcc2020" else "-"
                copy = copies[turn % len(copies)]
                rows.append(Row(take, copy, source, attack, "eval", vocoder, task, team, genders, language))
                turn += 1
    return rows
