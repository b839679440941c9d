"""A corpus of a few clips in the layout of LibriSeVoc, a Demucs of random weights, and a plan of variants."""

import json
from fractions import Fraction
from pathlib import Path

FOLDERS = ("gt", "diffwave", "melgan", "parallel_wave_gan", "wavegrad", "wavenet", "wavernn")
SOURCES = 10
RATE_HZ, SECONDS = 24_000, 0.25
SMALL = {
    "sources": ["drums", "vocals"], "channels": 4, "dconv_comp": 2, "nfft": 256, "depth": 2, "t_layers": 1,
    "t_heads": 2, "bottom_channels": 8, "samplerate": 16_000, "segment": Fraction(1, 2), "t_hidden_scale": 1.0,
    "freq_emb": 0.2,
}  # fmt: skip
PLAN = 'title = "two"\nsource = "a test of faults"\n[[use]]\nvariants = ["speed-90", "white-10db"]\n'


def write(root: Path) -> None:
    """root/librisevoc: SOURCES recordings and six copies of each; every folder has another buzz in it."""
    import numpy as np
    import soundfile

    corpus = root / "librisevoc"
    time_s = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    names = [f"{100 + i}_{200 + i}_{i:06d}_000000" for i in range(SOURCES)]
    for number, folder in enumerate(FOLDERS):
        (corpus / folder).mkdir(parents=True)
        for i, name in enumerate(names):
            random = np.random.default_rng((number, i))
            wave = 0.3 * np.sin(2 * np.pi * (150 + 11 * i) * time_s) + 0.02 * random.standard_normal(time_s.size)
            wave += 0.05 * (number > 0) * np.sign(np.sin(2 * np.pi * (700 + 300 * number) * time_s))
            stem = name if folder == "gt" else f"{name}_gen"
            soundfile.write(corpus / folder / f"{stem}.wav", wave, RATE_HZ, subtype="PCM_16")
    parts = {"train": names[:6], "dev": names[6:8], "test": names[8:]}
    counts = []
    for part, listed in parts.items():
        (corpus / f"{part}.txt").write_text("".join(f"{name}.wav\n" for name in listed))
        counts += [[part, "bonafide", len(listed)], [part, "spoof", 6 * len(listed)]]
    (corpus / ".siren-simulated").write_text(json.dumps({"counts": counts}))


def write_plan(path: Path) -> None:
    """A plan of two variants."""
    path.write_text(PLAN)


def write_demucs(folder: Path) -> None:
    """A model of one small network, as Demucs writes it."""
    import torch
    from demucs.htdemucs import HTDemucs

    folder.mkdir()
    torch.manual_seed(1)
    model = HTDemucs(**SMALL)
    package = {"klass": HTDemucs, "args": (), "kwargs": SMALL, "state": model.state_dict(), "training_args": {}}
    torch.save(package, folder / "small.th")
