"""CtrSVDD in small: singing voice without accompaniment, lists of six columns, `deepfake` for spoof."""

from ingest.simulate.attacks import CTRSVDD
from ingest.simulate.plan import File, Layout, Take
from ingest.simulate.seeds import generator, numbers

CORPUS = "ctrsvdd"
LETTERS = {"train": "T", "dev": "D", "test": "E"}
LANGUAGES = dict.fromkeys(("opencpop", "m4singer", "kising", "acesinger"), "zh") | dict.fromkeys(
    ("ofuton", "oniku", "kiritan", "jvsmusic"), "ja"
)
SINGERS = {  # partition -> source corpus -> numbers of its singers
    "train": {"opencpop": (2,), "m4singer": (3, 4, 5, 6), "ofuton": (0,), "oniku": (1,), "jvsmusic": (7, 8, 9, 10, 11)},
    "dev": {"m4singer": (110, 111, 112), "kiritan": (60,), "jvsmusic": (97, 98)},
    "test": {"kising": (125,), "m4singer": (126, 127), "acesinger": (130, 131)},
}
PER_SINGER = {"train": 3, "dev": 4, "test": 5}  # bona fide clips
ATTACKS = {"train": range(1, 9), "dev": range(1, 9), "test": range(9, 14)}
PER_ATTACK = {"train": 5, "dev": 3, "test": 5}
LAST = "A14"  # only this attack copies acesinger, and it copies nothing else


def layout(seed: int) -> Layout:
    """The whole corpus, bona fide clips that users must rebuild included."""
    plan = Layout()
    for partition, letter in LETTERS.items():
        takes = _takes(partition)
        clips: list[tuple[str, Take, str]] = [(source, take, "-") for source, take in takes]
        copied = [one for one in takes if one[0] != "acesinger"]
        for turn in range(PER_ATTACK[partition] * len(ATTACKS[partition])):
            attack = ATTACKS[partition][turn % len(ATTACKS[partition])]
            clips.append((*copied[(7 * turn + turn // len(ATTACKS[partition])) % len(copied)], f"A{attack:02}"))
        clips += [(source, take, LAST) for source, take in takes if source == "acesinger"]
        indices = numbers(len(clips), 0, 20_000, seed, CORPUS, partition)
        lines = []
        for index, (source, take, attack) in zip(indices, clips):
            stem = f"{take.speaker}_{letter}_{index:07}"
            steps = () if attack == "-" else (CTRSVDD[attack],)
            plan.files.append(File(f"{partition}_set/{stem}.flac", take, steps))
            plan.count(partition, "spoof" if steps else "bonafide")
            lines.append(f"{source} {take.speaker} {stem} - {attack} {'deepfake' if steps else 'bonafide'}\n")
        generator(seed, CORPUS, partition, "order").shuffle(lines)
        plan.texts[f"{partition}.txt"] = "".join(lines)
    return plan


def _takes(partition: str) -> list[tuple[str, Take]]:
    found = []
    for source, singers in SINGERS[partition].items():
        for singer in singers:
            for number in range(PER_SINGER[partition]):
                key = f"{partition}_{singer}_{number}"
                gender = "F" if singer % 2 else "M"
                take = Take(CORPUS, key, f"CtrSVDD_{singer:04}", gender, LANGUAGES[source], 16_000, "singing")
                found.append((source, take))
    return found
