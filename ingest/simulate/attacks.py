"""Which vocoder stands behind which attack word: the same family may return with other settings."""

from ingest.simulate.plan import Step, step


def _copy(vocoder: str, **settings: object) -> Step:
    return step("copy", vocoder=vocoder, **settings)


# The settings that occur, by what they do; corpora take them in an order of their own.
_MEL80 = _copy("griffin_lim", mels=80, iterations=14)
_MEL40 = _copy("griffin_lim", mels=40, iterations=10)
_MEL128 = _copy("griffin_lim", mels=128, iterations=12)
_LINEAR8 = _copy("griffin_lim", size=512, hop=128, iterations=8)
_LINEAR24 = _copy("griffin_lim", size=1024, hop=256, iterations=18)
_LPC12 = _copy("lpc_vocoder", order=12, noise=0.05)
_LPC24 = _copy("lpc_vocoder", order=24, noise=0.25)
_WHISPER = _copy("lpc_vocoder", order=20, whisper=True)
_SINE30 = _copy("sinusoidal", harmonics=30)
_SINE60 = _copy("sinusoidal", harmonics=60, residual=0.5)
_CHANNEL20 = _copy("channel", bands=20)
_CHANNEL48 = _copy("channel", bands=48, pulse=0.9)
_CEPSTRAL40 = _copy("cepstral", coefficients=40, noise=0.3)
_CEPSTRAL80 = _copy("cepstral", coefficients=80, noise=0.05)
_WORLD = _copy("world")
_WORLD24 = _copy("world", dimensions=24)
_UP = _copy("phase_vocoder", semitones=1.5)
_DOWN = _copy("phase_vocoder", semitones=-2.0)
_UNITS = _copy("concatenation")
_SHORT_UNITS = _copy("concatenation", unit_s=0.05, reach_s=0.012)
_EXTENDED = _copy("band_extension", cut_hz=1800)
_EXTENDED_LOW = _copy("band_extension", cut_hz=1000, bands=16)

ASVSPOOF2019 = {
    "A01": _MEL80, "A02": _WORLD24, "A03": _CEPSTRAL40, "A04": _UNITS, "A05": _SINE60, "A06": _LPC24,
    "A07": _WORLD, "A08": _CEPSTRAL80, "A09": _LPC12, "A10": _MEL128, "A11": _LINEAR8, "A12": _MEL40,
    "A13": _UP, "A14": _WORLD24, "A15": _SINE30, "A16": _UNITS, "A17": _EXTENDED, "A18": _CHANNEL48, "A19": _DOWN,
}  # fmt: skip

ASVSPOOF5 = {
    f"A{number:02}": one
    for number, one in enumerate(
        (
            _MEL80, _MEL40, _CHANNEL48, _WORLD24, _LPC24, _SINE30, _LINEAR8, _CEPSTRAL40,
            _MEL128, _LINEAR24, _SINE60, _WORLD, _EXTENDED, _CEPSTRAL80, _LPC12, _UP,
            _MEL80, _WHISPER, _CEPSTRAL40, _SINE60, _EXTENDED_LOW, _DOWN, _CHANNEL20, _SHORT_UNITS,
            _WORLD24, _MEL128, _LINEAR24, _LPC24, _SINE30, _EXTENDED, _CEPSTRAL80, _MEL40,
        ),
        start=1,
    )
}  # fmt: skip

WAVEFAKE = {
    "melgan": _MEL80, "melgan_large": _MEL128, "multi_band_melgan": _EXTENDED, "full_band_melgan": _CEPSTRAL80,
    "parallel_wavegan": _SINE60, "hifigan": _LINEAR24, "waveglow": _CHANNEL48, "tts": _LPC24,
}  # fmt: skip

LIBRISEVOC = {
    "diffwave": _CHANNEL48, "melgan": _MEL80, "parallel_wavegan": _SINE60, "wavegrad": _LINEAR8, "wavenet": _CEPSTRAL40,
    "wavernn": _LPC24,
}  # fmt: skip

# English DECRO speaks the clips of 2019 LA: only Tacotron, which is A10, may sound like an attack of 2019.
DECRO = {
    "baidu": _copy("world", dimensions=32), "fastspeech2": _copy("griffin_lim", mels=56, iterations=12),
    "hifigan": _LINEAR24, "multi_band_melgan": _EXTENDED, "nvcnet": _copy("phase_vocoder", semitones=1.0),
    "parallel_wavegan": _SINE60, "starganv2": _copy("cepstral", coefficients=56, noise=0.2), "tacotron": _MEL128,
    "vits": _copy("channel", bands=36, pulse=0.7), "xunfei": _copy("lpc_vocoder", order=16, noise=0.1),
}  # fmt: skip

# The families of ASVspoof 2021 DF by the classes of its key, for the systems that are not those of 2019.
DF_CLASSES = {
    "neural_vocoder_autoregressive": (_LINEAR8, _SINE60, _LPC24),
    "neural_vocoder_nonautoregressive": (_MEL80, _EXTENDED, _CHANNEL48),
    "traditional_vocoder": (_WORLD, _CEPSTRAL40, _LPC12),
    "unknown": (_DOWN, _MEL40, _WORLD24),
}

IN_THE_WILD = (_MEL80, _WORLD24, _SINE60, _CHANNEL48, _EXTENDED, _CEPSTRAL80)

CTRSVDD = {
    "A01": _MEL80, "A02": _SINE60, "A03": _LINEAR24, "A04": _CEPSTRAL80, "A05": _WORLD, "A06": _LPC24, "A07": _MEL40,
    "A08": _CHANNEL48, "A09": _MEL128, "A10": _WORLD24, "A11": _EXTENDED, "A12": _SINE30, "A13": _LINEAR8,
    "A14": _CEPSTRAL40,
}  # fmt: skip

SINGFAKE = (_WORLD, _MEL80, _SINE60, _UP, _CEPSTRAL80, _MEL128)
