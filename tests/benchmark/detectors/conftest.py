"""Material that the detector tests share: golden numbers, their inputs, and sixteen real clips."""

import json

import numpy as np
import pytest
import soundfile
import torch
from shared_data import shared

from benchmark import detectors


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Golden:
    """The reference networks' numbers: `summary[model]`, `arrays(model)`, inputs, and formula parameters."""

    def __init__(self):
        self.root = shared("golden", "detectors")
        self.summary = json.loads((self.root / "golden_summary.json").read_text())
        noise, harmonic = (np.load(self.root / f"input_{x}_64600.npy") for x in ("noise_seed0", "harmonic"))
        self.waves = torch.from_numpy(np.stack([noise, harmonic]))
        told = json.loads((self.root / "formula_check.json").read_text())
        for k in (0, 5):
            np.testing.assert_allclose(formula(k, [6], "0.05v").numpy() / 0.05, told[f"k={k}"], atol=1e-6)

    def arrays(self, file):
        return np.load(self.root / f"{file}_golden.npz")

    def table(self, model):
        return json.loads((self.root / f"{model}.state_dict_shapes.json").read_text())

    def speech(self, name):
        return torch.from_numpy(soundfile.read(self.root / "speech" / f"{name}.flac", dtype="float32")[0])

    def waves_24k(self):
        """The two inputs at 24 kHz, by the formulas of the golden data's README."""
        t = np.arange(96_000) / 24_000
        phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / 24_000
        tone = sum(0.6 / k * np.sin(k * phase) for k in range(1, 21))
        tone = 0.2 * tone * 0.5 * (1 + np.sin(2 * np.pi * 3 * t - np.pi / 2))
        noise = np.random.RandomState(0).standard_normal(96_000) * 0.1
        return torch.from_numpy(np.stack([noise, tone]).astype(np.float32))

    def build(self, model, name, **config):
        """Detector `name` with the deterministic parameters of the golden data's README; entries must agree."""
        detector = detectors.build(name, **config)
        state, table = detector.state_dict(), self.table(model)
        assert {key: list(value.shape) for key, value in state.items()} == {row[1]: row[2] for row in table}
        for k, key, shape, rule in table:
            if rule != "keep":
                state[key] = formula(k, shape, rule).to(state[key].dtype)
        detector.load_state_dict(state)
        return detector.eval()


def formula(k, shape, rule):
    mask, u = np.uint64(2**32 - 1), np.uint64
    x = (u(2654435761) * np.arange(int(np.prod(shape)), dtype=u) + u(2246822519 * (k + 1))) & mask
    x ^= x >> u(15)
    x = (x * u(2246822519)) & mask
    x ^= x >> u(13)
    x = (x * u(3266489917)) & mask
    x ^= x >> u(16)
    v = x.astype(float) / 2**31 - 1
    if rule.startswith("sqrt(6/"):
        v = np.sqrt(6 / int(rule.removeprefix("sqrt(6/").removesuffix(")v"))) * v
    else:
        v = {"0.05v": 0.05 * v, "1+0.1v": 1 + 0.1 * v, "1+0.2v": 1 + 0.2 * v, "zero": 0 * v}[rule]
    return torch.from_numpy(v.astype(np.float32)).reshape(shape)


@pytest.fixture(scope="session")
def golden():
    return Golden()


@pytest.fixture(scope="session")
def real_clips():
    """Eight bona fide and eight synthesised English clips of one second: (16, 16000), targets, attack words."""
    root = shared("corpora", "mini-decro")
    rows = [line.split() for line in (root / "en_train.txt").read_text().splitlines() if line.strip()]
    chosen = [[row for row in rows if row[-1] == label][:8] for label in ("bonafide", "spoof")]
    files = [root / "en_train" / f"{row[1]}.wav" for row in chosen[0] + chosen[1]]
    waves = [np.resize(soundfile.read(file, dtype="float32")[0], 24_000)[8_000:] for file in files]
    attacks = [None] * 8 + [row[3] for row in chosen[1]]
    return torch.from_numpy(np.stack(waves)), torch.tensor([1] * 8 + [0] * 8), attacks
