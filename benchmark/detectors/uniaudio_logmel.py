"""The log-mel expert of uniaudio alone: ResNet18 on 64 mel bands in dB (detector of its Table 3)."""

from benchmark.detectors._experts import Alone, SpectralExpert


class LogMelAlone(Alone):
    """11,433,409 parameters, started at random. width: channels of the first stage."""

    TRAINING = {**Alone.BASE_TRAINING, "lr": 1e-3, "batch_size": 64, "epochs": 10}
    EER = {"ASVspoof 2019 LA": 1.66, "SingFake": 4.35, "CtrSVDD": 6.07}
    SMALL = {"width": 8}
    CHANNELS_LAST = True

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.expert = SpectralExpert("logmel", width=width)


build = LogMelAlone
