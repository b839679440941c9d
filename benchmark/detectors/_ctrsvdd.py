"""The baselines of the singing voice deepfake detection challenge: a front end, then AASIST's graphs.

Zang et al., "CtrSVDD: A Benchmark Dataset and Baseline Analysis for Controlled Singing Voice Deepfake Detection",
Interspeech 2024, section 4; names and layers as in the public baseline code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.batch import Batch
from benchmark.detectors._base import Detector, Input, LoadReport, read_state
from benchmark.detectors._graph import GraphReadOut, attention_map
from benchmark.detectors._losses import focal
from benchmark.detectors._residual import aasist_encoder, run_encoder
from benchmark.detectors._wave import front_end
from ingest.types import DataError, nearest

POOLINGS = ("softmax", "max")
BANDS, FRAMES = 23, 29  # the map that every front end gives, 64 channels of it
CHANNELS = (32, 32, 64, 64)
TABLES = (".filter_mat", ".dct_mat", ".fb", ".window")  # of torchaudio's features, which files of the public code carry
TRAINING = {
    "optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-9, "batch_size": 24, "epochs": 100, "patience": 0,
    "stop_above": 0.0, "selection": "eer", "balance": "none", "drop_last": False,
    "schedule": {"name": "cosine_per_epoch", "period": 10, "min_lr": 1e-6},
}  # fmt: skip


class GraphBackEnd(GraphReadOut, nn.Module):
    """AASIST's graphs with one logit, on nodes pooled from a (64, 23, 29) map.

    pooling "softmax": the present public code, in which an attention map replaces the encoder's and is summed with
    its own softmax as weights; "max": the largest magnitudes, as the published weights were trained.
    """

    def __init__(self, pooling: str) -> None:
        super().__init__()
        if pooling == "softmax":
            self.attention = attention_map()
        self.add_graph(spectral_nodes=BANDS, outputs=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, 64, 23, 29) -> embedding (batch, 160), logit (batch, 1)."""
        if hasattr(self, "attention"):
            x = self.attention(x)
            spectral, temporal = (x * x.softmax(3)).sum(3), (x * x.softmax(2)).sum(2)
        else:
            spectral, temporal = x.abs().amax(3), x.abs().amax(2)
        return self.graph(spectral.transpose(1, 2), temporal.transpose(1, 2))


class SpectralFrontEnd(nn.Module):
    """Four residual blocks on a feature map, and a linear layer that gives each channel its 23 x 29 values.

    columns: bands times the frames that are left after four poolings by 3.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.encoder = aasist_encoder(CHANNELS)
        self.linear = nn.Linear(columns, BANDS * FRAMES)

    def forward(self, x: torch.Tensor, *, fast: bool = False) -> torch.Tensor:
        """(batch, frame, band) -> (batch, 64, 23, 29)."""
        x = run_encoder(self.encoder, x.transpose(1, 2).unsqueeze(1).contiguous(), fast=fast)
        return self.linear(x.flatten(2)).unflatten(2, (BANDS, FRAMES))


class CtrSvdd(Detector):
    """One of the baselines; a subclass says what its front end is.

    pooling: see `GraphBackEnd`. Each crop has its own peak level, as published: it is taken after the crop.
    Loading a published file switches to the pooling that it was trained with, and turns the sign of its scores: its
    labels were flipped.
    """

    INPUT = Input(
        feature="raw", samples=64_000, train_crop="random", test_crop="first", train_short="repeat_random",
        level="crop_peak", fixed=True,
    )  # fmt: skip
    PAPER = "Zang et al., CtrSVDD, Interspeech 2024, section 4"
    YEAR = 2024
    CITATION = "zang2024ctrsvdd"
    TRAINING = TRAINING

    def __init__(self, *, pooling: str = "softmax") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise nearest(str(pooling), POOLINGS, what=f"pooling of {type(self).__name__}")
        self.backend = GraphBackEnd(pooling)
        self.register_buffer("sign", torch.ones(()))  # -1 for weights that were trained with flipped labels

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, 64, 23, 29)."""
        raise TypeError(f"{type(self).__name__} has no front end")

    def embed(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, 64000) wave -> embedding (batch, 160), native logit (batch, 1)."""
        return self.backend(self.encode(wave))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 64000) wave at 16 kHz -> (batch,) logit of bona fide."""
        return self.sign * self.embed(x)[1].squeeze(1)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Focal loss, 0.25 (1 - p)^2, on labels smoothed to 0.05 and 0.95."""
        return focal(self.score(batch.x), 0.9 * batch.target.float() + 0.05, two_sided=False)

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A file of the public code gets its sign; tables of its front end are left out, ours are computed."""
        state = {key: v for key, v in state.items() if not (key.startswith("frontend.") and key.endswith(TABLES))}
        if "sign" not in state and any(key.startswith("backend.") for key in state):
            flipped = not any(key.startswith("backend.attention.") for key in state)
            state["sign"] = torch.tensor(-1.0 if flipped else 1.0)
        return state

    def load_weights(self, path: Path | str) -> LoadReport:
        """As `Detector.load_weights`; the pooling follows the file."""
        before = self.backend
        self._pool_as(read_state(Path(path)))
        try:
            return super().load_weights(path)
        except DataError:
            self.backend = before
            raise

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """As `Module.load_state_dict`; the pooling follows the entries, as what began with a published file keeps its.

        So a run that was trained from one comes back from its settings and its weights.
        """
        self._pool_as(state_dict)
        return super().load_state_dict(state_dict, *args, **options)

    def _pool_as(self, state: Mapping[str, Any]) -> None:
        """A back end with the pooling that these entries were trained with, its numbers still to be loaded."""
        attention = any("backend.attention." in key for key in state)
        if attention != hasattr(self.backend, "attention"):
            fresh = GraphBackEnd("softmax" if attention else "max")
            self.backend = fresh.to(self.sign.device).train(self.training)


class SpectralCtrSvdd(CtrSvdd):
    """A baseline on a fixed spectral feature: FEATURE is its name, COLUMNS what its residual blocks leave."""

    FEATURE = ""
    COLUMNS = 0
    CHANNELS_LAST = True

    def __init__(self, *, pooling: str = "softmax") -> None:
        super().__init__(pooling=pooling)
        self.feature = front_end(self.FEATURE, preset="ctrsvdd")
        self.frontend = SpectralFrontEnd(self.COLUMNS)

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, 64, 23, 29)."""
        return self.frontend(self.feature.extract(wave), fast=self.fast and not self.training)  # tiles pay in scoring
