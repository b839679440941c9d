"""SFATNet: a transformer on spectrogram patches that also predicts the spectrogram and the pitch.

Cuccovillo et al., "Audio Transformer for Synthetic Speech Detection via Formant Magnitude and Phase Analysis",
and its F0 successor, in the 3 s form of the comparison of Zhang et al., Table II.
"""

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from benchmark.detectors._base import Detector, Input
from benchmark.detectors._recipes import COMPARISON
from benchmark.detectors._wave import front_end
from features.extractors._base import counts
from ingest.types import nearest

PATCH, BINS, FRAMES = 16, 256, 192
PATCHES = (BINS // PATCH) * (FRAMES // PATCH)
PIXELS = PATCH * PATCH
BIN_HZ = 31.25
F0_TARGETS = {"nearest": "sfatnet", "authors": "sfatnet_authors"}


class Attention(nn.Module):
    """Self-attention with its norm in front: query, key and value without bias, output with one."""

    def __init__(self, width: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width)
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.to_qkv(self.norm(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        drop = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        return functional.dropout(self.to_out(y.transpose(1, 2).flatten(2)), drop)


class Transformer(nn.Module):
    """`depth` blocks of attention and a GELU network, both added to what goes in; a last norm."""

    def __init__(self, width: int, depth: int, heads: int, head_width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([Attention(width, heads, head_width, dropout), _feed_forward(width, hidden, dropout)])
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for attention, feed_forward in self.layers:
            x = x + attention(x)
            x = x + feed_forward(x)
        return self.norm(x)


def _feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout),
        nn.Linear(hidden, width), nn.Dropout(dropout),
    )  # fmt: skip


class Stack(nn.Module):
    """A linear layer in, learned positions, a transformer; out: a linear layer, or none.

    with_token: a learned token goes first and only its output is used.
    """

    def __init__(
        self, inputs: int, width: int, depth: int, *, heads: int = 8, head_width: int = 64, hidden: int,
        outputs: int | None = None, dropout: float = 0.0, with_token: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.position = nn.Parameter(torch.randn(1, PATCHES + 1, width))
        if with_token:
            self.token = nn.Parameter(torch.randn(1, 1, width))
        self.transformer = Transformer(width, depth, heads, head_width, hidden, dropout)
        self.out = nn.Identity() if outputs is None else nn.Linear(width, outputs)
        self.with_token = with_token

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 192, inputs) -> (batch, 192, outputs); with a token (batch, outputs)."""
        x = self.embed(x)
        if self.with_token:
            x = torch.cat([self.token.expand_as(x[:, :1]), x], 1)
        x = self.transformer(x + self.position[:, : x.shape[1]])
        return self.out(x[:, 0] if self.with_token else x)


class SfatNet(Detector):
    """81,366,529 parameters: encoder, spectrogram decoder, F0 decoder, synthesis predictor.

    f0_target: "nearest" sets the bin next to the pitch of each voiced frame; "authors" only a bin within 1 Hz of it,
    which leaves the target almost empty. width: of the encoder (1024); the others have half of it. depth: blocks of
    the encoder, decoder, F0 decoder and predictor.
    """

    INPUT = Input(feature="raw", samples=48_000, train_crop="random", test_crop="middle", fixed=True)
    PAPER = "SFATNet in the 3 s form of Zhang et al., Table II"
    YEAR = 2024
    CITATION = "cuccovillo2024sfatnet"
    TRAINING = {
        **COMPARISON, "weight_decay": 1e-4, "batch_size": 128, "selection": "loss", "min_delta": 1e-4,
        "schedule": {"name": "cosine_per_epoch", "period": 2, "min_lr": 0.0},
    }  # fmt: skip
    EER = {
        "LibriSeVoc inner": 5.95, "WaveFake inner": 1.52, "DECRO-EN inner": 1.75, "DECRO-ZH inner": 8.17,
        "ASVspoof 2021 DF": 29.51,
    }  # fmt: skip
    SMALL = {"width": 64, "depth": (1, 1, 1, 1)}
    OWN_DEV_LOSS = True  # all three terms

    def __init__(
        self, *, f0_target: str = "nearest", width: int = 1024, depth: tuple[int, int, int, int] = (8, 6, 4, 4)
    ) -> None:
        super().__init__()
        if f0_target not in F0_TARGETS:
            raise nearest(str(f0_target), F0_TARGETS, what="f0_target of sfatnet")
        counts(width=width)
        self.f0_target = f0_target
        self.spectrum = front_end("logspec", preset="sfatnet")
        self.pitch = front_end("f0", preset=F0_TARGETS[f0_target])
        half, layout = width // 2, {"heads": 8, "head_width": 64}
        self.encoder = Stack(PIXELS, width, depth[0], hidden=2 * width, **layout)
        self.decoder = Stack(width, half, depth[1], hidden=width, outputs=PIXELS, **layout)
        self.f0_decoder = Stack(width, half, depth[2], hidden=width, outputs=PIXELS, **layout)
        self.predictor = Stack(width, half, depth[3], heads=6, hidden=width, outputs=1, dropout=0.1, with_token=True)

    def patches(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, 48000) -> (batch, 192, 256): patches of the log power spectrogram."""
        return to_patches(self.spectrum.extract(wave).transpose(1, 2))

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 48000) wave at 16 kHz -> (batch,) logit of bona fide."""
        return self.predictor(self.encoder(self.patches(x))).squeeze(1)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy of the score, plus the squared errors of spectrogram and F0 map, weights 1 / 1 / 1."""
        return sum(self.losses(batch).values())

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The three terms: class, spectrogram, f0."""
        patches = self.patches(batch.x)
        code = self.encoder(patches)
        target = to_patches(f0_map(self.pitch.extract(batch.x)[..., 0], exact=self.f0_target == "authors"))
        logit = self.predictor(code).squeeze(1)
        return {
            "class": functional.binary_cross_entropy_with_logits(logit, batch.target.float()),
            "spectrogram": functional.mse_loss(self.decoder(code), patches),
            "f0": functional.mse_loss(self.f0_decoder(code), target),
        }


def to_patches(x: torch.Tensor) -> torch.Tensor:
    """(batch, 256 bins, 192 frames) -> (batch, 192, 256): rows of blocks of bins first, pixels bin by bin."""
    blocks = x.unflatten(2, (-1, PATCH)).unflatten(1, (-1, PATCH))  # (batch, bin block, bin, frame block, frame)
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def f0_map(f0_hz: torch.Tensor, *, exact: bool) -> torch.Tensor:
    """(batch, frame) pitch, 0 = unvoiced -> (batch, 256, frame): bin k is 1 where the pitch is near 31.25 (k + 1) Hz.

    exact: within 1 Hz of it; else the nearest bin. Then a 3 x 3 binomial blur.
    """
    centre_hz = BIN_HZ * torch.arange(1, BINS + 1, device=f0_hz.device)[:, None]
    distance = (f0_hz[:, None, :] - centre_hz).abs()
    if exact:
        hit = distance < 1
    else:
        nearest_bin = (f0_hz / BIN_HZ).round().clamp(1, BINS)[:, None, :] * BIN_HZ
        hit = (centre_hz == nearest_bin) & (f0_hz[:, None, :] > 0)
    row = torch.tensor([1.0, 2.0, 1.0], device=f0_hz.device)
    blur = (row[:, None] * row / 16)[None, None]
    return functional.conv2d(hit.float().unsqueeze(1), blur, padding=1).squeeze(1)


build = SfatNet
