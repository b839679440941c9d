"""LFCC-LCNN: light CNN on LFCC, two BLSTMs, sum pooling, one logit; the baseline of ASVspoof 2021.

Wang and Yamagishi, "A comparative study on recent neural spoofing countermeasures for synthetic speech detection",
arXiv 2103.11326, the LSTM-sum model with a sigmoid output or, with loss=p2sgrad, the one with two directions.
"""

from collections import OrderedDict

import torch
from torch import nn

from benchmark.batch import Batch
from ingest.types import DataError, nearest

from ._base import Detector, Input
from ._lcnn import front_end, lcnn_layers
from ._losses import P2sGrad

PRESETS = ("lcnn2021", "lcnn_fft512")  # the challenge's front end, and the comparative study's
EMBEDDING = 64  # of the P2SGrad form
LOSSES = ("sigmoid", "p2sgrad")
FILTER_TOLERANCE = 1e-5


class FrontEnd(nn.Module):
    """The fixed filter bank and cosine transform as published files carry them.

    Never applied here: the features come from the extractor. products: multiply-accumulates per frame, which count as
    the network's own.
    """

    def __init__(self, preset: str):
        super().__init__()
        bank, dct, _ = front_end(preset)
        self.lfcc_fb = nn.Parameter(bank, requires_grad=False)
        self.l_dct = nn.Linear(*dct.shape, bias=False)
        self.l_dct.weight = nn.Parameter(dct.T.contiguous(), requires_grad=False)
        self.products = bank.numel() + dct.numel()


class Blstm(nn.Module):
    """One bidirectional LSTM that keeps the width of its input."""

    def __init__(self, dim: int):
        super().__init__()
        self.l_blstm = nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, dim) -> the same shape."""
        return self.l_blstm(x)[0]


class LfccLcnn(Detector):
    """The network; `preset` chooses the LFCC, `dim` is their number (static, delta, double delta).

    Any length from 16 frames; whole utterances by default. State-dict names are those of the published files, with
    the fixed front end and four unused scaling constants.

    loss: sigmoid, one logit and binary cross entropy; p2sgrad, 64 numbers and the P2SGrad loss, where the score is the
    cosine with the direction of bona fide, and the BLSTMs' output is summed over time, as published, not averaged. The
    release's am files have the entries of its p2s files and fit, but there a softmax of both cosines is the score.
    """

    INPUT = Input(feature="lfcc", params={"preset": "lcnn2021"}, samples=None, short="zero")
    PAPER = "Wang and Yamagishi, arXiv 2103.11326, section 3 (ASVspoof 2021 baseline)"
    YEAR = 2021
    CITATION = "wang2021comparative"
    TRAINING = {
        "lr": 3e-4,
        "weight_decay": 0.0,
        "batch_size": 64,
        "epochs": 100,
        "patience": 50,
        "min_delta": 0.0,
        "stop_above": 0.0,
        "schedule": {"name": "step", "every": 10, "factor": 0.5},
        "selection": "loss",
        "drop_last": False,
    }
    WEIGHTS = "the NII release's trained_network.pt files (BSD-3) of sig and p2s, not am, with preset=lcnn_fft512"
    EER = {"ASVspoof 2021 LA": 9.26, "ASVspoof 2021 DF": 23.48}
    CHANNELS_LAST = True

    def __init__(self, *, preset: str = "lcnn2021", loss: str = "sigmoid"):
        super().__init__()
        if loss not in LOSSES:
            raise nearest(str(loss), LOSSES, what="loss of lfcc_lcnn")
        if preset not in PRESETS:
            raise nearest(str(preset), PRESETS, what="preset of lfcc_lcnn")
        self.input = Input(feature="lfcc", params={"preset": preset}, samples=None, short="zero")
        for name, value in {"input_mean": 0.0, "input_std": 1.0, "output_mean": 0.0, "output_std": 1.0}.items():
            self.register_parameter(name, nn.Parameter(torch.full((1,), value), requires_grad=False))
        self.m_frontend = nn.ModuleList([FrontEnd(preset)])
        stack = OrderedDict((str(i), layer) for i, (_, layer) in enumerate(lcnn_layers(affine=False)))
        stack[str(len(stack))] = nn.Dropout(0.7)
        self.m_transform = nn.ModuleList([nn.Sequential(stack)])
        width = 32 * (60 // 16)
        self.m_output_act = nn.ModuleList([nn.Linear(width, 1 if loss == "sigmoid" else EMBEDDING)])
        self.m_before_pooling = nn.ModuleList([nn.Sequential(Blstm(width), Blstm(width))])
        self.m_angle = nn.ModuleList([P2sGrad(EMBEDDING)] if loss == "p2sgrad" else [])
        self.OWN_DEV_LOSS = loss == "p2sgrad"

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 60) -> (batch, 96): second BLSTM's output plus first's input, over time mean or sum."""
        y = self.m_transform[0](x.unsqueeze(1))
        y = y.transpose(1, 2).flatten(2)  # (batch, frame / 16, channel * 3 + band)
        y = self.m_before_pooling[0](y) + y
        return y.sum(1) if self.m_angle else y.mean(1)  # the layer behind has a bias: its cosines are not the same

    def output(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 60) LFCC -> (batch, 1) logits, or the (batch, 64) that P2SGrad compares with directions."""
        if x.shape[1] < 16:
            x = x.repeat(1, -(-16 // x.shape[1]), 1)[:, :16]  # shorter than one step behind four poolings
        return self.m_output_act[0](self.embed(x))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, frame, 60) LFCC -> (batch,): the logit of bona fide (no sigmoid, which would saturate), or cosine."""
        output = self.output(x)
        return self.m_angle[0].cosines(output)[:, 1] if self.m_angle else output.squeeze(1)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Binary cross entropy of the logit, target 1 = bona fide; or P2SGrad's."""
        return self.m_angle[0](self.output(batch.x), batch.target) if self.m_angle else super().loss(batch)

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Refuse a file that was trained on another front end than `preset`; the tensors are then our own."""
        own = self.state_dict()
        for key in (key for key in own if key.startswith("m_frontend.")):
            theirs = state.get(key)
            if theirs is None:
                continue
            if not _same(theirs, own[key]):
                others = ", ".join(preset for preset in PRESETS if preset != self.input.params["preset"])
                raise DataError(
                    f"lfcc_lcnn: the file's {key} {tuple(theirs.shape)} is not that of preset "
                    f"{self.input.params['preset']} {tuple(own[key].shape)}; try --set preset={others}"
                )
            state = {**state, key: own[key]}
        return state


def _same(theirs: torch.Tensor, ours: torch.Tensor) -> bool:
    """Is it our table, but for the rounding of the type that the file keeps it in?"""
    if theirs.shape != ours.shape or not theirs.is_floating_point():
        return False
    rounding = max(FILTER_TOLERANCE, torch.finfo(theirs.dtype).eps)
    return bool((theirs.to(ours) - ours).abs().max() <= rounding)


build = LfccLcnn
