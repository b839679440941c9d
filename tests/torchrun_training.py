"""Trains small networks with batch norms under torchrun (or alone), writes dev scores and weights: OUT FOLDER."""

import sys
from pathlib import Path

import torch
from tones import Small, loaders, settings_of

from benchmark import distribution
from benchmark.detectors._experts import spoof_entropy
from benchmark.detectors._losses import weighted_cross_entropy
from benchmark.detectors._vocoders import UNNAMED, vocoder_cross_entropy
from benchmark.score import score
from benchmark.train import train


class Uneven(Small):
    """Its loss divides by what a batch has of each class, of which two halves have unlike shares."""

    def loss(self, batch):
        logit = self.score(batch.x)
        two = torch.stack([-logit, logit], 1)
        some = torch.where(batch.target == 1, 1, UNNAMED)
        losses = (weighted_cross_entropy(two, batch.target, (0.1, 0.9)), vocoder_cross_entropy(two, some))
        return sum(losses) + spoof_entropy(-logit, batch.target, weighted=True)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    here = distribution.start("cpu")
    for kind, of in (("even", Small), ("uneven", Uneven)):
        torch.manual_seed(0)
        detector = of(dropout=0.0)
        train_loader, dev_loader = loaders(batch_size=8, whole=kind == "uneven")
        how = settings_of(batch_size=8, epochs=3, lr=0.05, optimizer="sgd", clip_norm=1.0, accumulate=2, swa=True)
        checkpoint = out / f"{kind}.state"
        curve = train(detector, train_loader, dev_loader, how, seed=1, checkpoint=checkpoint, name=kind)["curve"]
        scores = score(detector, dev_loader, here=here)
        if here.first:
            result = {"curve": [value for _, _, value in curve], "scores": torch.from_numpy(scores),
                      "weights": detector.state_dict()}  # fmt: skip
            torch.save(result, out / f"{kind}.pt")
    distribution.leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
