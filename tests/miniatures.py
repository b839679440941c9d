"""A miniature of every corpus in its official layout: a few rows and, where asked for, short tones."""

from pathlib import Path

import numpy as np
import soundfile

FILES = {
    "asvspoof2019_la": {
        "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt": """\
LA_0079 LA_T_1138215 - - bonafide
LA_0079 LA_T_1004644 - A01 spoof
""",
        "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.dev.trl.txt": """\
LA_0069 LA_D_1047731 - - bonafide
LA_0069 LA_D_1105538 - A06 spoof
""",
        "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.eval.trl.txt": """\
LA_0039 LA_E_2834763 - A11 spoof
LA_0040 LA_E_1000001 - - bonafide
""",
    },
    "asvspoof2021_la": {
        "keys/LA/CM/trial_metadata.txt": """\
LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval
LA_0010 LA_E_6866159 none - bonafide bonafide notrim eval
LA_0011 LA_E_5464494 pstn sin_tx - bonafide notrim progress
LA_0012 LA_E_4759417 opus mad_tx A19 spoof trim hidden
""",
    },
    "asvspoof2021_df": {
        "keys/DF/CM/trial_metadata.txt": """\
LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -
TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive Task1 team20 FF E
TGF1 DF_E_2000024 mp3m4a vcc2020 Task2-team12 spoof notrim eval unknown Task2 team12 MF G
VCC2TM1 DF_E_2000030 high_ogg vcc2018 HUB-B00 spoof trim hidden neural_vocoder_autoregressive HUB B00 FM -
LA_0043 DF_E_2000026 oggm4a asvspoof A16 spoof notrim eval waveform_concatenation - - - -
LA_0044 DF_E_2000027 high_mp3 asvspoof - bonafide notrim eval bonafide - - - -
""",
    },
    "asvspoof5": {
        "ASVspoof5.train.tsv": """\
T_4850 T_0000000000 F - - - AC3 A05 spoof -
T_3734 T_0000000011 F - - - - bonafide bonafide -
""",
        "ASVspoof5.dev.track_1.tsv": """\
D_0062 D_0000000001 F - - - AC1 A11 spoof -
D_0461 D_0000000190 M - - - - bonafide bonafide -
""",
        "ASVspoof5.eval.track_1.tsv": """\
E_1607 E_0009538969 M C05 2 E_0009486171 AC1 A26 spoof -
E_0002 E_0000000001 F C11 8 E_0000000002 - bonafide bonafide -
""",
    },
    "decro": {
        "en_train.txt": "4 4-727-124443-0055 - baidu spoof\nunknown pwg_LJ045-0151_gen - pwg spoof",
        "en_dev.txt": "unknown LJ045-0151_gen - mbmelgan spoof\nLA_0079 LA_E_1138215 - asv19 bonafide",
        "en_eval.txt": "unknown LJ045-0151_gen - pwg spoof\nunknown file1 - FastSpeech2 spoof",
        "ch_train.txt": "G0013 T0055G0013S0234 - aidatatang bonafide\nunknown so_1 - Tacotron spoof",
        "ch_dev.txt": "unknown test_014_003 - nvcnet-cn spoof\nSSB0261 SSB02610484 - aishell3 bonafide",
        "ch_eval.txt": "unknown f2 - fs2mtts spoof\nunknown m1 - magicdata bonafide",
    },
    "in_the_wild": {
        "release_in_the_wild/meta.csv": "file,speaker,label\n0.wav,Alec Guinness,spoof\n1.wav,Calvin Coolidge,bona-fide\n",
    },
    "librisevoc": {
        "train.txt": "27_123349_000006_000000.wav\n4680_16041_000004_000003.wav\n",
        "dev.txt": "5339_14134_000064_000000.wav\n",
        "test.txt": "6147_34605_000006_000009.wav\n",
    },
    "ctrsvdd": {
        "train.txt": "ofuton CtrSVDD_0000 CtrSVDD_0000_T_0000000 - - bonafide\nopencpop CtrSVDD_0005 CtrSVDD_0005_T_0000001 - A01 deepfake\n",
        "dev.txt": "m4singer CtrSVDD_0110 CtrSVDD_0110_D_0015416 - - bonafide\njvsmusic CtrSVDD_0097 CtrSVDD_0097_D_0010993 - A06 deepfake\n",
        "test.txt": "kising CtrSVDD_0125 CtrSVDD_0125_E_0000001 - A10 deepfake\nnewsource CtrSVDD_0126 CtrSVDD_0126_E_0000002 - - bonafide\n",
    },
    "singfake": {
        "singfake.csv": '''\
Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url
Training,bonafide,Mandarin,Bella_Yao,"也许, 明天",N/A,https://a.example/1
Training,spoof,Mandarin+Japanese,Bella_Yao,"""Beautiful"" Light",Sovits4.0,https://a.example/2
Validation,unknown,Cantonese,The_Landlord's_Cat,T,sovits,https://a.example/3
T01,spoof,Accented Mandarin,Stefanie_Sun,T1,unknown,https://a.example/4
T02,spoof,Hokkien,Teresa_Teng,T2,RVC,https://a.example/5
T04,Bonafide,Persian,Hayde,T4,unknown,https://a.example/6
T04,Spoof,Persian,Hayde,T5,OwnModel 7,https://a.example/7
''',
    },
    "wavefake": {},
}
WAVES = {
    "wavefake": (
        "generated_audio/ljspeech_melgan/LJ001-0001_gen.wav",
        "generated_audio/ljspeech_hifiGAN/LJ001-0001_generated.wav",
        "generated_audio/ljspeech_waveglow/LJ001-0001.wav",
        "generated_audio/jsut_parallel_wavegan/BASIC5000_0001_gen.wav",
        "generated_audio/common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech/gen_0.wav",
        "real_audio/LJSpeech-1.1/wavs/LJ001-0001.wav",
        "real_audio/jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav",
    ),
}


def build(name: str, root: Path) -> Path:
    """Write the miniature of corpus `name` below `root`; returns root."""
    for path, content in FILES[name].items():
        put(root / path, content)
    for path in WAVES.get(name, ()):
        tone(root / path)
    return root


def put(path: Path, content: str | bytes) -> Path:
    """Write one file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def tone(path: Path, *, seconds: float = 0.1, rate_hz: int = 16_000, hz: float = 440.0, channels: int = 1) -> Path:
    """Write a sine of half amplitude."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    wave = 0.5 * np.sin(2 * np.pi * hz * time)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate_hz, subtype="PCM_16")
    return path


def parsed(name: str, root: Path, **places: Path) -> list[dict]:
    """All rows of a corpus as ingest sees them before it looks for audio."""
    from ingest import corpora, rows

    source = corpora.get(name)
    return [row for table in source.tables(root, places) for row in rows.complete(table, source.corpus).to_pylist()]


def by_id(name: str, root: Path, **places: Path) -> dict[str, dict]:
    """The rows of a corpus by utt_id without the corpus name."""
    return {row["utt_id"].removeprefix(f"{name}/"): row for row in parsed(name, root, **places)}
