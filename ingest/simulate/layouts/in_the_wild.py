"""In-the-Wild in small: one CSV of file, speaker and label; invented speakers, recorded anywhere."""

from ingest.simulate.attacks import IN_THE_WILD
from ingest.simulate.plan import File, Layout, Take, step
from ingest.simulate.seeds import generator

CORPUS = "in_the_wild"
FOLDER = "release_in_the_wild"
SPEAKERS = {
    "Ada Example": "F", "Ben Sample": "M", "Cleo Instance": "F", "Dan Specimen": "M", "Eve Pattern": "F",
    "Fred Model": "M",
}  # fmt: skip
BONAFIDE, SPOOF = 7, 5  # clips per speaker
WEB = step("codec", name="web")


def layout(seed: int) -> Layout:
    """The whole corpus; both labels went through the same lossy upload."""
    plan, clips = Layout(), []
    for person, (speaker, gender) in enumerate(SPEAKERS.items()):
        takes = [
            Take(CORPUS, f"{person}_{number}", speaker, gender, "en", 16_000, channel="web")
            for number in range(BONAFIDE)
        ]
        clips += [(speaker, "bona-fide", take, (WEB,)) for take in takes]
        clips += [
            (speaker, "spoof", takes[number], (IN_THE_WILD[(number + person) % len(IN_THE_WILD)], WEB))
            for number in range(SPOOF)
        ]
    order = generator(seed, CORPUS, "order").permutation(len(clips))
    rows = ["file,speaker,label\n"]
    for number, index in enumerate(order):
        speaker, label, take, steps = clips[index]
        plan.files.append(File(f"{FOLDER}/{number}.wav", take, steps))
        plan.count(None, "spoof" if label == "spoof" else "bonafide")
        rows.append(f"{number}.wav,{speaker},{label}\n")
    plan.texts[f"{FOLDER}/meta.csv"] = "".join(rows)
    return plan
