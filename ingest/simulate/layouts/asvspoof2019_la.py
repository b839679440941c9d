"""ASVspoof 2019 LA in small: CM protocols of five columns, FLAC per partition, ASV scores."""

from dataclasses import dataclass

from ingest.simulate.attacks import ASVSPOOF2019
from ingest.simulate.plan import File, Layout, Take
from ingest.simulate.seeds import generator, numbers

CORPUS = "asvspoof2019_la"
LETTERS = {"train": "T", "dev": "D", "eval": "E"}
SPEAKERS = {"train": range(79, 85), "dev": range(69, 74), "eval": range(1, 9)}  # LA_0079 ...
BONAFIDE = {"train": 24, "dev": 20, "eval": 32}
PER_ATTACK = {"train": 6, "dev": 4, "eval": 4}
SEEN, UNSEEN = range(1, 7), range(7, 20)
# mean and standard deviation of the organisers' scores, rounded: target and nontarget trials, spoofs of eval
ASV_TARGET, ASV_NONTARGET, ASV_SPOOF = (24.0, 14.0), (-33.0, 14.0), (16.0, 22.0)
ASV_TRIALS = {"target": 160, "nontarget": 480}


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of a CM protocol; a spoof is a copy of a bona fide take of the same partition."""

    stem: str
    take: Take
    attack: str | None


def trials(partition: str, seed: int) -> list[Trial]:
    """All rows of one partition, bona fide first."""
    attacks = [f"A{number:02}" for number in (UNSEEN if partition == "eval" else SEEN)]
    count = BONAFIDE[partition] + len(attacks) * PER_ATTACK[partition]
    stems = [
        f"LA_{LETTERS[partition]}_{number}" for number in numbers(count, 1_000_000, 10_000_000, seed, CORPUS, partition)
    ]
    speakers = SPEAKERS[partition]
    bonafide = []
    for number in range(BONAFIDE[partition]):
        who = speakers[number % len(speakers)]
        take = Take(CORPUS, stems[number], f"LA_{who:04}", "F" if who % 2 else "M", "en", 16_000)
        bonafide.append(Trial(stems[number], take, None))
    rest, spoof = stems[len(bonafide) :], []
    for number, stem in enumerate(rest):
        attack, turn = attacks[number % len(attacks)], number // len(attacks)
        source = bonafide[(5 * number + turn) % len(bonafide)]  # every attack copies other clips
        spoof.append(Trial(stem, source.take, attack))
    return bonafide + spoof


def layout(seed: int) -> Layout:
    """The whole corpus, below `LA/` as in the archive."""
    plan = Layout()
    for partition in LETTERS:
        rows = []
        for trial in trials(partition, seed):
            label = "spoof" if trial.attack else "bonafide"
            steps = (ASVSPOOF2019[trial.attack],) if trial.attack else ()
            plan.files.append(File(f"LA/ASVspoof2019_LA_{partition}/flac/{trial.stem}.flac", trial.take, steps))
            plan.count(partition, label)
            rows.append(f"{trial.take.speaker} {trial.stem} - {trial.attack or '-'} {label}\n")
        generator(seed, CORPUS, partition, "order").shuffle(rows)
        ending = "trn" if partition == "train" else "trl"
        plan.texts[f"LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{partition}.{ending}.txt"] = "".join(rows)
    for partition in ("dev", "eval"):
        name = f"ASVspoof2019.LA.asv.{partition}.gi.trl.scores.txt"
        plan.texts[f"LA/ASVspoof2019_LA_asv_scores/{name}"] = asv_scores(partition, seed)
    plan.texts["LA/README.LA.txt"] = "Simulated: the layout of ASVspoof 2019 LA, none of its audio.\n"
    return plan


def asv_scores(partition: str, seed: int) -> str:
    """The speaker verification scores of one partition: one per spoof, and some of genuine speech."""
    rng = generator(seed, CORPUS, partition, "asv")
    rows = [
        f"bonafide {key} {rng.normal(*spread):.6f}\n"
        for key, spread in (("target", ASV_TARGET), ("nontarget", ASV_NONTARGET))
        for _ in range(ASV_TRIALS[key])
    ]
    rows += [
        f"{trial.attack} spoof {rng.normal(*ASV_SPOOF):.6f}\n" for trial in trials(partition, seed) if trial.attack
    ]
    return "".join(rows)
