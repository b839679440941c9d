"""A reader of noisy tones, a small network that can learn them, and loaders of both: training without a corpus."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from torch import nn

from benchmark import settings
from benchmark.detectors._base import Detector
from benchmark.loader import Loader
from features import extractors


class Tones:
    """Bona fide at 500 Hz, spoof at 900 Hz, in noise. read: every utterance that was asked for; alike: in length."""

    def __init__(self, *, alike=True):
        self.read, self.alike = set(), alike

    def length(self, utt_id, variant="original"):
        return 4000 if self.alike else 3000 + 150 * int(utt_id[1:])

    def span(self, utt_id, start, stop, variant="original"):
        return self.wave(utt_id, variant)[start:stop]

    def wave(self, utt_id, variant="original"):
        self.read.add(utt_id)
        random = np.random.default_rng(int(utt_id[1:]))
        hz = 500 if utt_id[0] == "b" else 900
        samples = self.length(utt_id)
        tone = np.sin(2 * np.pi * hz * np.arange(samples) / 16000 + random.uniform(0, 6))
        return (0.1 * tone + 0.3 * random.standard_normal(samples)).astype(np.float32)


class Small(Detector):
    """Dropout, batch norm and a linear layer: everything that has a random or a running state."""

    def __init__(self, dropout=0.3):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(80, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(8, 1)

    def score(self, x):
        return self.head(self.body(x.mean(1))).squeeze(-1)


def loaders(seed=5, batch_size=6, *, whole=False):
    """(train, dev) loaders of 12 bona fide and 30 spoof tones; whole: they differ in length, and no crop is made."""
    ids = [f"b{i}" for i in range(12)] + [f"s{i}" for i in range(30)]
    table = pa.table({"utt_id": ids, "label": ["bonafide"] * 12 + ["spoof"] * 30})
    spec = {"feature": "logmel", "params": {}, "samples": None if whole else 3000, "train_crop": "random", "test_crop": "middle",
            "short": "repeat"}  # fmt: skip
    common = {"batch_size": batch_size, "seed": seed}
    feature = extractors.get("logmel")
    tones = Tones(alike=not whole)
    return (Loader(tones, table, spec, feature, train=True, balance="none" if whole else "oversample", **common),
            Loader(tones, table, spec, feature, train=False, **common))  # fmt: skip


def settings_of(*, phases=(), **changes):
    """Settings of a short training of `Small` without early stop."""
    wanted = {"": {"epochs": 3, "patience": 0, "stop_above": 0.0, "lr": 0.01, "batch_size": 6, **changes}}
    return replace(settings.resolve("mean_pool", wanted, clip=None, weights=None).training, phases=list(phases))
