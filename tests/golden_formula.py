"""Parameters by formula, as the README of golden/detectors-b defines them: no pretrained file is needed."""

import json
from pathlib import Path

import numpy as np
import torch
from shared_data import shared

SET = "detectors-b"


def r(n: int, index: int) -> np.ndarray:
    """n values in [-1, 1), float64, fixed by `index`."""
    i = np.arange(n, dtype=np.float64)
    x = np.sin(12.9898 * (i + 1) + 78.233 * (index + 1)) * 43758.5453
    return 2 * (x - np.floor(x)) - 1


def tensor(n: int, index: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(r(n, index).astype(np.float32)).reshape(shape or (n,))


def _value(entry: dict, gain: float) -> np.ndarray:
    shape, rule = entry["shape"], entry["rule"]
    n = int(np.prod(shape, dtype=np.int64))
    q = r(n, entry["index"])
    value = {
        "matrix": lambda: gain / np.sqrt(n / shape[0]) * q,
        "bias": lambda: 0.1 * q,
        "scale": lambda: 1 + 0.1 * q,
        "mean": lambda: 0.1 * q,
        "var": lambda: 1 + 0.25 * q,
        "fbsp_m": lambda: 0.5 + 0.1 * q,
        "fbsp_fb": lambda: 1 + 0.1 * q,
        "fbsp_fc": lambda: np.arange(n) + 0.1 * q,
        "zero": lambda: np.zeros(n),
    }[rule]()
    return value.reshape(shape)


def state_dict(params: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The tensors by formula under the key names of the public checkpoint, and the number of parameters."""
    table = json.loads(params.read_text())
    entries = [entry for entry in table["entries"] if entry["rule"] != "computed"]
    state = {entry["key"]: torch.from_numpy(np.asarray(_value(entry, table["gain"]), np.float32)) for entry in entries}
    for entry in entries:
        if entry["rule"] == "zero":
            state[entry["key"]] = torch.zeros(entry["shape"], dtype=torch.int64)
    return state, table["parameter_count"]


def golden(folder: str, name: str) -> torch.Tensor:
    return torch.from_numpy(np.load(shared("golden", SET, folder, f"{name}.npy")))


def params(folder: str, name: str = "params") -> tuple[dict[str, torch.Tensor], int]:
    return state_dict(shared("golden", SET, folder, f"{name}.json"))


def waves(samples: int) -> torch.Tensor:
    """The two test waveforms (2, samples), 16 kHz; samples is 48000 or 64000."""
    return golden("inputs", f"wave_{samples}_x2")
