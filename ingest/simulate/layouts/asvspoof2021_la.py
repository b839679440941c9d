"""ASVspoof 2021 LA in small: trials of 2019 LA eval through telephone codecs, one key of eight columns."""

from ingest.simulate.attacks import ASVSPOOF2019
from ingest.simulate.layouts import asvspoof2019_la
from ingest.simulate.plan import File, Layout, Step, step
from ingest.simulate.seeds import generator, numbers

CORPUS = "asvspoof2021_la"
CODECS = ("none", "alaw", "pstn", "g722", "ulaw", "gsm", "opus")
# share of packets lost on the way to each far end
TRANSMISSIONS = {"loc_tx": 0.0, "mad_tx": 0.005, "ita_tx": 0.01, "sin_tx": 0.02}
PER_CODEC = {"eval": (4, 8), "progress": (1, 2), "hidden": (1, 2)}  # bona fide, spoof
NONTARGET_PER_TARGET = 3


def layout(seed: int) -> Layout:
    """The whole corpus, with CM and ASV keys and ASV scores."""
    plan = Layout()
    base = asvspoof2019_la.trials("eval", seed)
    bonafide = [trial for trial in base if not trial.attack]
    spoof = [trial for trial in base if trial.attack]
    total = len(CODECS) * sum(map(sum, PER_CODEC.values()))
    stems = iter(sorted(numbers(total, 1_000_000, 10_000_000, seed, CORPUS)))
    turn = {"bonafide": 0, "spoof": 0}
    sent: set[tuple[str, tuple[Step, ...]]] = set()  # no clip goes the same way twice: that would be a copy
    rows = []
    for subset, counts in PER_CODEC.items():
        for codec in CODECS:
            for label, pool, count in (("bonafide", bonafide, counts[0]), ("spoof", spoof, counts[1])):
                for _ in range(count):
                    stem = f"LA_E_{next(stems)}"
                    while True:
                        number = turn[label]
                        turn[label] += 1
                        trial = pool[number % len(pool)]
                        way = "-" if codec == "none" else list(TRANSMISSIONS)[number % len(TRANSMISSIONS)]
                        steps = _steps(trial.attack, codec, way, subset)
                        if (trial.stem, steps) not in sent:
                            break
                    sent.add((trial.stem, steps))
                    plan.files.append(File(f"ASVspoof2021_LA_eval/flac/{stem}.flac", trial.take, steps))
                    plan.count(subset, label)
                    trim = "trim" if subset == "hidden" else "notrim"
                    rows.append((trial.take.speaker, stem, codec, way, trial.attack or "-", label, trim, subset))
    generator(seed, CORPUS, "order").shuffle(rows)
    lines = "".join(" ".join(row) + "\n" for row in rows)
    plan.texts["ASVspoof2021_LA_eval/ASVspoof2021.LA.cm.eval.trl.txt"] = "".join(f"{row[1]}\n" for row in rows)
    plan.texts["keys/LA/CM/trial_metadata.txt"] = lines
    key, scores = _asv(rows, seed)
    plan.texts["keys/LA/ASV/trial_metadata.txt"] = key
    plan.texts["keys/LA/ASV/ASVTorch_Kaldi/score.txt"] = scores
    return plan


def _steps(attack: str | None, codec: str, way: str, subset: str) -> tuple[Step, ...]:
    steps: list[Step] = [ASVSPOOF2019[attack]] if attack else []
    if subset == "hidden":
        steps.append(step("trim"))
    if codec != "none":
        steps.append(step("codec", name=codec))
        if TRANSMISSIONS[way]:
            steps.append(step("network", loss=TRANSMISSIONS[way]))
    return tuple(steps)


def _asv(rows: list[tuple[str, ...]], seed: int) -> tuple[str, str]:
    """ASV key and score file: a bona fide trial is claimed by its speaker and by others, a spoof by its target."""
    rng = generator(seed, CORPUS, "asv")
    speakers = sorted({row[0] for row in rows})
    key, scores = [], []
    for row in rows:
        if row[5] == "spoof":
            claims = [(row[0], "spoof", asvspoof2019_la.ASV_SPOOF)]
        else:
            others = rng.choice([name for name in speakers if name != row[0]], NONTARGET_PER_TARGET, replace=False)
            claims = [(row[0], "target", asvspoof2019_la.ASV_TARGET)]
            claims += [(name, "nontarget", asvspoof2019_la.ASV_NONTARGET) for name in sorted(others)]
        for name, word, spread in claims:
            attack = "bonafide" if row[4] == "-" else row[4]
            key.append(" ".join((name, row[1], row[2], row[3], attack, word, row[6], row[7])) + "\n")
            scores.append(f"{name} {row[1]} {rng.normal(*spread):.6f}\n")
    return "".join(key), "".join(scores)
