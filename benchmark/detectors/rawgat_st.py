"""RawGAT-ST: two residual encoders on the raw wave, a spectral and a temporal graph, and their fusion.

Tak et al., "End-to-End Spectro-Temporal Graph Attention Networks for Speaker Verification Anti-Spoofing and Speech
Deepfake Detection", arXiv 2107.12710. Two code bases exist with different first blocks, names and weights: `official`
(the authors') and `clovaai` (the copy published with AASIST).
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from ingest.types import DataError, nearest

from ._base import Detector, Input, LoadReport
from ._graph import GraphAttention, GraphPool
from ._losses import weighted_cross_entropy
from ._recipes import FULL_LENGTH
from ._residual import ResidualBlock2d, run_encoder
from ._sinc import SincBank, drawn_mask

GRAPH_NODES = 12  # of the fused graph
FILTER_NODES = 23  # 70 filters, pooled by three
KERNEL = 129  # samples of a filter
POOLINGS = 7  # of time, by three each
FUSIONS = {"mul": torch.mul, "add": torch.add, "cat": lambda one, two: torch.cat([one, two], dim=1)}

# What each part is called in the two code bases; the first encoder's graph has one node per filter row.
NAMES = {
    "official": {
        "encoders": ("encoder1", "encoder2"),
        "attention": ("GAT_layer1", "GAT_layer2", "GAT_layer3"),
        "pools": ("pool1", "pool2", "pool3"),
        "nodes": ("proj1", "proj2"),
        "last": ("proj", "proj_node"),
    },
    "clovaai": {
        "encoders": ("encoder_T", "encoder_S"),
        "attention": ("GAT_layer_T", "GAT_layer_S", "GAT_layer_ST"),
        "pools": ("pool_T", "pool_S", "pool_ST"),
        "nodes": ("proj_T", "proj_S"),
        "last": ("proj_ST", "out_layer"),
    },
}  # fmt: skip


class RawGatSt(Detector):
    """fusion: how the two graphs meet (mul, add, cat). layout: which code base's network and names.

    frequency_mask: in training silence up to 13 (clovaai: 19) neighbouring filters, one draw per batch; by default as
    published, on in the official code and off in the copy. channels: of each encoder's six blocks. samples: input
    length; the linear layers over the node axis fix it: 63,551 to 65,737 samples fit weights made for 64,600.
    """

    INPUT = Input(samples=64_600, train_crop="first", test_crop="first", fixed=True)
    PAPER = "Tak et al., arXiv 2107.12710, section 3 and Table 1"
    YEAR = 2021
    CITATION = "tak2021rawgat"
    TRAINING = {**FULL_LENGTH, "batch_size": 10, "epochs": 300, "drop_last": False}
    WEIGHTS = "RawGAT_ST_mul/Best_epoch.pth, _add/, _cat/ (eurecom release, MIT), by fusion"
    EER = {"ASVspoof 2019 LA": 1.06}
    CLASS_WEIGHTS = (0.1, 0.9)
    OUTPUTS = 2
    CHANNELS = (32, 32, 64, 64, 64, 64)
    FREQUENCY_MASK = {"official": 14, "clovaai": 20}  # fewer than so many neighbouring filters are silent

    def __init__(
        self,
        *,
        fusion: str = "mul",
        layout: str = "official",
        frequency_mask: bool | None = None,
        channels: Sequence[int] | None = None,
        samples: int | None = None,
    ):
        super().__init__()
        self.input = replace(self.INPUT, samples=samples or self.INPUT.samples)
        channels = tuple(channels or self.CHANNELS)
        if len(channels) != len(self.CHANNELS):
            raise DataError(f"rawgat_st takes {len(self.CHANNELS)} numbers of channels, not {list(channels)}")
        if fusion not in FUSIONS:
            raise nearest(str(fusion), FUSIONS, what="fusion of rawgat_st")
        if layout not in NAMES:
            raise nearest(str(layout), NAMES, what="layout of rawgat_st")
        self.fusion, self.names = fusion, NAMES[layout]
        masked = layout == "official" if frequency_mask is None else frequency_mask
        self.frequency_mask = self.FREQUENCY_MASK[layout] if masked else 0
        self.conv_time = SincBank(70, 128)
        self.first_bn = nn.BatchNorm2d(1)
        for name in self.names["encoders"]:
            self.add_module(name, encoder(channels, layout))
        wide = 64 if fusion == "cat" else 32
        entry = (channels[-1], 32)
        for name, dims in zip(self.names["attention"], (entry, entry, (wide, wide // 2))):
            self.add_module(name, GraphAttention(*dims))
        for name, ratio, dim in zip(self.names["pools"], (0.64, 0.81, 0.64), (32, 32, wide // 2)):
            self.add_module(name, GraphPool(ratio, dim, at_least=2))
        kept = (
            pool.kept(nodes) for pool, nodes in zip(self._of("pools"), (FILTER_NODES, time_nodes(self.input.samples)))
        )
        for name, nodes in zip(self.names["nodes"], kept):
            self.add_module(name, nn.Linear(nodes, GRAPH_NODES))
        embed, out = self.names["last"]
        self.add_module(embed, nn.Linear(wide // 2, 1))
        self.add_module(out, nn.Linear(7, self.OUTPUTS))

    def load_weights(self, path: Path | str) -> LoadReport:
        """As `Detector.load_weights`. Files of mul and add hold the same entries and only their names tell them apart,
        or their folders', as in the release: one line on standard error says when that is another."""
        report, whole = super().load_weights(path), Path(path).absolute()
        told = (re.fullmatch(r"RawGAT_ST_(mul|add)", name) for name in (whole.stem, whole.parent.name))
        named = next(filter(None, told), None)
        if named and named[1] != self.fusion:
            print(
                f"{path} was trained with fusion {named[1]}, not {self.fusion}: --set fusion={named[1]}",
                file=sys.stderr,
            )
        return report

    def _of(self, part: str) -> list[nn.Module]:
        return [getattr(self, name) for name in self.names[part]]

    def front(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, 1, 23, time): the map that both encoders see."""
        y = self.conv_time.pooled(wave, self._mask(), fast=self.fast)
        return functional.selu(self.first_bn(y))

    def embed(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, 7), one value per node left of the fused graph."""
        y = self.front(wave)
        encoded1, encoded2 = (run_encoder(blocks, y, fast=self.fast) for blocks in self._of("encoders"))
        attend1, attend2, attend3 = self._of("attention")
        (pool1, pool2, pool3), (nodes1, nodes2) = self._of("pools"), self._of("nodes")
        spectral = pool1(attend1(encoded1.abs().amax(3).transpose(1, 2)))
        temporal = pool2(attend2(encoded2.abs().amax(2).transpose(1, 2)))
        fused = FUSIONS[self.fusion](nodes1(spectral.transpose(1, 2)), nodes2(temporal.transpose(1, 2)))
        return self._of("last")[0](pool3(attend3(fused.transpose(1, 2)))).squeeze(2)

    def logits(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (batch, outputs)."""
        return self._of("last")[1](self.embed(wave))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, sample) wave in [-1, 1] at 16 kHz -> (batch,) logit of bona fide."""
        return self.logits(x)[:, -1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy with weights [0.1 spoof, 0.9 bona fide]."""
        return weighted_cross_entropy(self.logits(batch.x), batch.target, self.CLASS_WEIGHTS)

    def _mask(self) -> tuple[int, int] | None:
        """(first filter, count), one draw per batch; None outside training or where the recipe has no mask."""
        if not (self.training and self.frequency_mask):
            return None
        return drawn_mask(70, fewer_than=self.frequency_mask)


def time_nodes(samples: int) -> int:
    """How many frames the encoders leave of a wave: 29 of 64,600 samples. DataError if no two are left."""
    frames = (samples - KERNEL + 1) // 3**POOLINGS
    if frames < 2:
        raise DataError(f"rawgat_st needs at least {KERNEL - 1 + 2 * 3**POOLINGS} samples, not {samples}")
    return frames


def encoder(channels: tuple[int, ...], layout: str) -> nn.Sequential:
    """Six residual blocks, named `0.0`, `1.0` ...; see `ResidualBlock2d` for what the official layout adds."""
    own = layout == "official"
    pairs = enumerate(zip((1, *channels), channels))
    return nn.Sequential(
        *(
            nn.Sequential(ResidualBlock2d(before, after, first=i == 0, broadcast=own and i == 0, spare=own))
            for i, (before, after) in pairs
        )
    )


build = RawGatSt
