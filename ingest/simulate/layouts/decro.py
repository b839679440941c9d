"""DECRO in small: English and Chinese, six folders and lists; words, prefixes and stems change between them.

English bona fide clips are those of 2019 LA, Tacotron is its A10, three attacks are files of WaveFake: the
overlaps of the original are here too.
"""

from itertools import cycle, islice

from ingest.simulate.attacks import ASVSPOOF2019, DECRO
from ingest.simulate.layouts import asvspoof2019_la, wavefake
from ingest.simulate.plan import File, Layout, Step, Take, step
from ingest.simulate.seeds import generator, numbers

CORPUS = "decro"
PARTITIONS = ("train", "dev", "eval")
PER_ATTACK = {"train": 3, "dev": 2, "eval": 3}
# attack -> words in train and dev, in eval
ENGLISH_WORDS = {
    "baidu": ("baidu", "baidu_en"), "fastspeech2": ("fs2", "FastSpeech2"), "hifigan": ("hifigan", "hifigan"),
    "multi_band_melgan": ("mbmelgan", "mbmelgan"), "nvcnet": ("nvcnet", "nvcnet"),
    "parallel_wavegan": ("pwg", "pwg"), "starganv2": ("starganv2", "StarGAN"), "tacotron": ("tacotron", "tacotron"),
    "vits": ("vits", "vits"), "xunfei": ("xunfei", "xunfei"),
}  # fmt: skip
CHINESE_WORDS = {
    "baidu": ("baidu", "baidu"), "fastspeech2": ("fs2", "fs2mtts"), "hifigan": ("hifigan", "hifigan"),
    "multi_band_melgan": ("mbmelgan", "mbmelgan"), "nvcnet": ("nvcnet", "nvcnet-cn"),
    "parallel_wavegan": ("pwg", "pwg"), "starganv2": ("starganv2", "StarGAN"), "tacotron": ("tacotron", "Tacotron"),
    "vits": ("vits", "vits"), "xunfei": ("xunfei", "xunfei"),
}  # fmt: skip
CHINESE_BONAFIDE = {"train": 20, "dev": 12, "eval": 16}
# source corpus -> the shape of its stems and speakers
CHINESE_SOURCES = {
    "aidatatang": ("T0055G{speaker:04}S{number:04}", "G{speaker:04}"),
    "aishell1": ("BAC009S{speaker:04}W{number:04}", "S{speaker:04}"),
    "aishell3": ("SSB{speaker:04}{number:04}", "SSB{speaker:04}"),
    "freeST": ("20170001P{speaker:05}I{number:04}", "P{speaker:05}"),
    "magicdata": ("38_{speaker:04}_2017091420{number:04}", "38_{speaker:04}"),
}
FROM_WAVEFAKE = {"hifigan": "_generated", "multi_band_melgan": "_gen", "parallel_wavegan": "_gen"}
# en_train alone has these before the ids, because its two systems share ids
PREFIXES = {"multi_band_melgan": "mel_", "parallel_wavegan": "pwg_"}
TO_16K = step("rate", rate_hz=16_000)


def layout(seed: int) -> Layout:
    """The whole corpus, six lists without a final newline."""
    plan = Layout()
    for partition in PARTITIONS:
        for prefix, rows in (("en", _english(partition, seed)), ("ch", _chinese(partition, seed))):
            folder, lines = f"{prefix}_{partition}", []
            for speaker, stem, system, take, steps in rows:
                label = "spoof" if steps else "bonafide"
                plan.files.append(File(f"{folder}/{stem}.wav", take, steps))
                plan.count(partition, label)
                lines.append(f"{speaker} {stem} - {system} {label}")
            generator(seed, CORPUS, folder, "order").shuffle(lines)
            plan.texts[f"{folder}.txt"] = "\n".join(lines)
    return plan


Row = tuple[str, str, str, Take, tuple[Step, ...]]


def _english(partition: str, seed: int) -> list[Row]:
    bonafide = _english_bonafide(partition, seed)
    rows: list[Row] = [(trial.take.speaker, trial.stem, "asv19", trial.take, ()) for trial in bonafide]
    takes = [trial.take for trial in bonafide]
    for number, (attack, words) in enumerate(ENGLISH_WORDS.items()):
        word, count = words[partition == "eval"], PER_ATTACK[partition]
        if attack == "tacotron":
            rows += _tacotron(partition, word, seed)
        elif attack in FROM_WAVEFAKE:
            rows += _from_wavefake(partition, attack, word, seed)
        else:
            chosen = islice(cycle(takes), number, number + 7 * count, 7)
            names = _names(attack, partition, count, seed)
            rows += [(who, stem, word, take, (DECRO[attack],)) for (who, stem), take in zip(names, chosen)]
    return rows


def _english_bonafide(partition: str, seed: int) -> list[asvspoof2019_la.Trial]:
    """All bona fide of 2019 LA: train and dev make en_train, eval is shared by en_dev and en_eval."""
    parts = ("train", "dev") if partition == "train" else ("eval",)
    trials = [trial for part in parts for trial in asvspoof2019_la.trials(part, seed) if not trial.attack]
    cut = 2 * len(trials) // 5
    return {"train": trials, "dev": trials[:cut], "eval": trials[cut:]}[partition]


def _tacotron(partition: str, word: str, seed: int) -> list[Row]:
    clips = [trial for trial in asvspoof2019_la.trials("eval", seed) if trial.attack == "A10"]
    part = {"train": clips[:-2], "dev": clips[-2:-1], "eval": clips[-1:]}[partition]
    return [(clip.take.speaker, clip.stem, word, clip.take, (ASVSPOOF2019["A10"],)) for clip in part]


def _from_wavefake(partition: str, attack: str, word: str, seed: int) -> list[Row]:
    """Clips of WaveFake at 16 kHz; ids of mbmelgan in en_dev are those of pwg in en_eval, as published."""
    takes, count = wavefake.english(seed), PER_ATTACK[partition]
    starts = {"train": 0, "dev": 10, "eval": 10 if attack == "parallel_wavegan" else 20}
    if attack == "parallel_wavegan" and partition == "dev":
        starts["dev"] = 30
    start = starts[partition]
    prefix = PREFIXES.get(attack, "") if partition == "train" else ""
    return [
        ("unknown", f"{prefix}{take.key}{FROM_WAVEFAKE[attack]}", word, take, (wavefake.fake(attack), TO_16K))
        for take in takes[start : start + count]
    ]


def _names(attack: str, partition: str, count: int, seed: int) -> list[tuple[str, str]]:
    """(speaker, stem) of clips that the authors of DECRO made, as they name them."""
    drawn = numbers(4 * count, 1, 400, seed, CORPUS, attack, partition)
    found = []
    for number in range(count):
        a, b, c, d = drawn[4 * number : 4 * number + 4]
        shift = PARTITIONS.index(partition) * 1000
        found.append(
            {
                "baidu": (f"{a % 5}", f"{a % 5}-{4000 + b}-{120_000 + c}-{d:04}"),
                "xunfei": ("aisjiuxu", f"aisjiuxu-{4000 + b}-{250_000 + c}-{d:04}"),
                "fastspeech2": (f"{shift + a}", f"file{2 * (shift + a)}"),
                "starganv2": (f"p{225 + a % 10}", f"converted_identity-p{225 + a % 10}_original-{b}_{shift // 10 + c}"),
                "vits": (f"{b:03}", f"test_{a:03}_{b:03}"),
                "nvcnet": (f"{b:03}", f"test_{a:03}_{b:03}"),
            }[attack]
        )
    if attack in ("vits", "nvcnet") and partition != "train":  # these two collide between the files
        found[0] = ("003", "test_014_003") if (attack == "vits") == (partition == "dev") else found[0]
    return found


def _chinese(partition: str, seed: int) -> list[Row]:
    rows: list[Row] = []
    rng = generator(seed, CORPUS, "ch", partition)
    start = 100 * (1 + PARTITIONS.index(partition))
    for number in range(CHINESE_BONAFIDE[partition]):
        source = list(CHINESE_SOURCES)[number % len(CHINESE_SOURCES)]
        shape, who = CHINESE_SOURCES[source]
        person = start + number % (2 * len(CHINESE_SOURCES))
        stem = shape.format(speaker=person, number=100 * number + int(rng.integers(100)))
        speaker = who.format(speaker=person)
        take = Take(CORPUS, stem, speaker, "F" if person % 2 else "M", "zh", 16_000)
        rows.append((speaker, stem, source, take, ()))
    bonafide = list(rows)
    for number, (attack, words) in enumerate(CHINESE_WORDS.items()):
        word = words[partition == "eval"]
        for turn in range(PER_ATTACK[partition]):
            source = bonafide[(3 * number + 7 * turn) % len(bonafide)]
            rows.append(("unknown", f"{source[1]}_{word}", word, source[3], (DECRO[attack],)))
    return rows
