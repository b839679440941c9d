"""LibriSeVoc in small: recordings in `gt`, copies in six vocoder folders, three lists of ids."""

from collections.abc import Iterator

from ingest.simulate.attacks import LIBRISEVOC
from ingest.simulate.plan import File, Layout, Take, step
from ingest.simulate.seeds import generator, numbers, stratified

CORPUS = "librisevoc"
CLIPS, READERS = 40, 8
LISTS = {"train": 24, "dev": 8, "test": 8}
FOLDERS = {attack: attack for attack in LIBRISEVOC} | {"parallel_wavegan": "parallel_wave_gan"}
HOP = 300  # samples; the copies are whole hops long


def layout(seed: int) -> Layout:
    """The whole corpus. Readers recur in all three lists, as in the original."""
    plan = Layout()
    ids = stratified(_names(seed), CLIPS)
    generator(seed, CORPUS, "lists").shuffle(ids)
    start = 0
    for partition, count in LISTS.items():
        part = ids[start : start + count]
        start += count
        plan.texts[f"{partition}.txt"] = "".join(f"{name}.wav\n" for name in part)
        for name in part:
            reader = name.partition("_")[0]
            take = Take(CORPUS, name, reader, "F" if int(reader) % 2 else "M", "en", 24_000)
            plan.files.append(File(f"gt/{name}.wav", take))
            plan.count(partition, "bonafide")
            for attack, (word, settings) in LIBRISEVOC.items():
                copy = step(word, **dict(settings), pad_to=HOP)
                plan.files.append(File(f"{FOLDERS[attack]}/{name}_gen.wav", take, (copy,)))
                plan.count(partition, "spoof")
    return plan


def _names(seed: int) -> Iterator[str]:
    """LibriTTS ids: reader_chapter_utterance_segment."""
    readers = numbers(READERS, 19, 9000, seed, CORPUS, "readers")
    rng = generator(seed, CORPUS, "ids")
    while True:
        reader, chapter = rng.choice(readers), rng.integers(120_000, 130_000)
        yield f"{reader}_{chapter}_{rng.integers(0, 60):06}_{rng.integers(0, 4):06}"
