"""Trains a small network with batch norms under torchrun (or alone) and writes dev scores and weights: OUT FOLDER."""

import sys
from pathlib import Path

import torch
from tones import Small, loaders, settings_of

from benchmark import distribution
from benchmark.score import score
from benchmark.train import train


def main(out: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    detector = Small(dropout=0.0)
    train_loader, dev_loader = loaders(batch_size=8)
    how = settings_of(batch_size=8, epochs=3, lr=0.05, optimizer="sgd", clip_norm=1.0, accumulate=2, swa=True)
    here = distribution.start("cpu")
    curve = train(detector, train_loader, dev_loader, how, seed=1, checkpoint=out / "state.pt", name="test")["curve"]
    scores = score(detector, dev_loader, here=here)
    if here.first:
        result = {"curve": [value for _, _, value in curve], "scores": torch.from_numpy(scores),
                  "weights": detector.state_dict()}  # fmt: skip
        torch.save(result, out / "result.pt")
    distribution.leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
