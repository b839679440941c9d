"""ASVspoof 5 in small: three protocols of ten columns, codecs in eval, the lists of track 2."""

from typing import NamedTuple

from ingest.simulate.attacks import ASVSPOOF5
from ingest.simulate.plan import File, Layout, Take, step
from ingest.simulate.seeds import generator, numbers

CORPUS = "asvspoof5"
PROTOCOLS = {
    "train": "ASVspoof5.train.tsv",
    "dev": "ASVspoof5.dev.track_1.tsv",
    "eval": "ASVspoof5.eval.track_1.tsv",
}
FOLDERS = {"train": "flac_T", "dev": "flac_D", "eval": "flac_E_eval"}
ATTACKS = {"train": range(1, 9), "dev": range(9, 17), "eval": range(17, 33)}
SPEAKERS = {"train": 6, "dev": 6, "eval": 6}
BONAFIDE = {"train": 24, "dev": 20, "eval": 16}
PER_ATTACK = {"train": 4, "dev": 3, "eval": 1}
CODECS = [f"C{number:02}" for number in range(1, 12)]
CODED = (2, 3)  # bona fide, spoof rows per codec of eval
ENROLLED, ENROLMENT_CLIPS = 2, 2  # target speakers of track 2 (the others are bona fide only), clips of each
# Bit rates as in the official codec.config.csv, which has CRLF line ends.
_BITRATES = {
    "opus_wb": (6, 12, 18, 24, 30), "arm_wb": (6.6, 8.85, 14.25, 18.25, 23.05),
    "speex_wb": (5.75, 9.8, 16.8, 23.8, 34.2),
    "encodec_wb": (1.5, 3, 6, 12, 24), "mp3_wb": ("45-85", "80-120", "120-150", "170-210", "220-260"),
    "m4a_wb": (16, 32, 64, 96, 128), "mp3_encodec_wb": ("See combination below",) * 5, "opus_nb": (4, 8, 12, 16, 20),
    "arm_nb": (4.75, 6.7, 8.85, 10.2, 12.2), "speex_nb": (3.95, 5.95, 11, 18.2, 24.6),
}  # fmt: skip


class Row(NamedTuple):
    """One trial and its columns that differ."""

    stem: str
    take: Take
    attack: str
    codec: str = "-"
    quality: str = "-"
    original: str = "-"


def layout(seed: int) -> Layout:
    """The whole corpus: track 1 protocols, audio, enrolment and trials of track 2."""
    plan = Layout()
    for partition, protocol in PROTOCOLS.items():
        rows = _uncoded(partition, seed)
        if partition == "eval":
            rows += _coded(rows, seed)
        lines = []
        for row in rows:
            spoof = row.attack != "bonafide"
            steps = (ASVSPOOF5[row.attack],) if spoof else ()
            if row.codec != "-":
                steps += (step("codec", name=row.codec),)
            plan.files.append(File(f"{FOLDERS[partition]}/{row.stem}.flac", row.take, steps))
            label = "spoof" if spoof else "bonafide"
            plan.count(partition, label)
            tag = f"AC{1 + int(row.stem[-1]) % 3}" if spoof else "-"
            lines.append(
                f"{row.take.speaker} {row.stem} {row.take.gender} {row.codec} {row.quality} {row.original} "
                f"{tag} {row.attack} {label} -\n"
            )
        generator(seed, CORPUS, partition, "order").shuffle(lines)
        plan.texts[protocol] = "".join(lines)
        if partition != "train":
            _track_2(plan, partition, rows, seed)
    plan.texts["ASVspoof5.codec.config.csv"] = codec_config()
    return plan


def _speakers(partition: str, seed: int) -> list[tuple[str, str]]:
    who = numbers(SPEAKERS[partition], 1, 5000, seed, CORPUS, partition, "speakers")
    return [(f"{partition[0].upper()}_{number:04}", "FM"[turn % 2]) for turn, number in enumerate(who)]


def _uncoded(partition: str, seed: int) -> list[Row]:
    speakers, attacks = _speakers(partition, seed), ATTACKS[partition]
    count = BONAFIDE[partition] + len(attacks) * PER_ATTACK[partition]
    drawn = numbers(count, 0, 9_000_000, seed, CORPUS, partition)
    stems = [f"{partition[0].upper()}_{number:010}" for number in drawn]
    rows = []
    for number in range(BONAFIDE[partition]):
        name, gender = speakers[number % len(speakers)]
        rows.append(Row(stems[number], Take(CORPUS, stems[number], name, gender, "en", 16_000), "bonafide"))
    bonafide = list(rows)
    for turn, stem in enumerate(stems[len(bonafide) :]):
        attack = attacks[turn % len(attacks)]
        rows.append(Row(stem, bonafide[(5 * turn + turn // len(attacks)) % len(bonafide)].take, f"A{attack:02}"))
    return rows


def _coded(rows: list[Row], seed: int) -> list[Row]:
    """Rows of eval that went through a codec; they name the uncoded row they come from."""
    bonafide = [row for row in rows if row.attack == "bonafide"]
    spoof = [row for row in rows if row.attack != "bonafide"]
    drawn = iter(numbers(len(CODECS) * sum(CODED), 9_000_000, 10_000_000, seed, CORPUS, "coded"))
    turn, made = {"b": 0, "s": 0}, []
    for codec in CODECS:
        for kind, pool, count in (("b", bonafide, CODED[0]), ("s", spoof, CODED[1])):
            for _ in range(count):
                row = pool[turn[kind] % len(pool)]
                turn[kind] += 1
                # one quality per codec is simulated
                made.append(Row(f"E_{next(drawn):010}", row.take, row.attack, codec, "2", row.stem))
    return made


def _track_2(plan: Layout, partition: str, rows: list[Row], seed: int) -> None:
    """Enrolment clips of the target speakers, and trials of every target speaker against its own gender."""
    letter, enrolment, trials = partition[0].upper(), [], []
    for name, gender in _speakers(partition, seed)[:ENROLLED]:
        drawn = numbers(ENROLMENT_CLIPS, 0, 10_000, seed, CORPUS, partition, "enrolment", name)
        stems = [f"{letter}_A{number:010}" for number in drawn]
        for stem in stems:
            take = Take(CORPUS, stem, name, gender, "en", 16_000)
            plan.files.append(File(f"{FOLDERS[partition]}/{stem}.flac", take))
        enrolment.append(f"{name} {','.join(stems)}\n")
        for row in rows:
            if row.take.gender == gender:
                genuine = "target" if row.take.speaker == name else "nontarget"
                word = genuine if row.attack == "bonafide" else "spoof"
                trials.append(f"{name} {row.stem} {gender} {row.attack} {word}\n")
    plan.texts[f"ASVspoof5.{partition}.track_2.enroll.tsv"] = "".join(enrolment)
    plan.texts[f"ASVspoof5.{partition}.track_2.trial.tsv"] = "".join(trials)


def codec_config() -> str:
    """codec.config.csv without its second table (how C7 combines two qualities), CRLF."""
    rows = ["ID,CODEC,CODEC_Q,Bitrate(kbps)"]
    for number, (name, rates) in enumerate(_BITRATES.items(), start=1):
        rows += [f"C{number},{name},{quality},{rate}" for quality, rate in enumerate(rates, start=1)]
    rows += [f"C11,simulated_line ,{quality},-" for quality in range(1, 9)]
    return "".join(f"{row}\r\n" for row in rows)
