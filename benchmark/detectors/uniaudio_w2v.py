"""The wav2vec 2.0 expert of uniaudio alone: two convolutions on the last hidden state (detector of its Table 3).

In the public code the optimiser holds the convolutional encoder, the projection, the positional convolution, the final
norm and the top two layers; layers 0 to 9 get gradients but no updates. Here the same parameters are trained.
"""

from benchmark.detectors._experts import Alone, SslExpert


class W2vAlone(Alone):
    """95,069,313 parameters.

    weights: a local copy of wav2vec 2.0 Base (folder or file), "random", or None for the caches. small: a tiny
    backbone with random weights, for tests.
    """

    WEIGHTS = "facebook/wav2vec2-base-960h (backbone; Apache-2.0)"
    EER = {"ASVspoof 2019 LA": 5.66, "SingFake": 14.50, "CtrSVDD": 20.53}
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "small": True}

    def __init__(self, *, weights: str | None = None, small: bool = False) -> None:
        super().__init__()
        self.expert = SslExpert(weights, detector="uniaudio_w2v", small=small)
        self.TRAINING = {
            **self.BASE_TRAINING, "optimizer": "adamw", "batch_size": 8, "clip_norm": 5.0,
            "phases": [{"name": "head, ends and top of the backbone", "epochs": 8, "lr": 1e-4,
                        "trainable": self.expert.trained("expert.")}],
        }  # fmt: skip


build = W2vAlone
