"""The MFCC expert of uniaudio alone: ResNet18 on 40 cepstral coefficients (detector of its Table 3)."""

from benchmark.detectors._experts import Alone, SpectralExpert


class MfccAlone(Alone):
    """11,433,409 parameters, started at random. width: channels of the first stage."""

    TRAINING = {**Alone.BASE_TRAINING, "lr": 1e-3, "batch_size": 64, "epochs": 10}
    EER = {"ASVspoof 2019 LA": 1.64, "SingFake": 10.15, "CtrSVDD": 9.39}
    SMALL = {"width": 8}
    CHANNELS_LAST = True

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.expert = SpectralExpert("mfcc", width=width)


build = MfccAlone
