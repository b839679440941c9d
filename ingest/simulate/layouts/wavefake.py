"""WaveFake in small: seven English and two Japanese vocoder folders, synthesised speech, both sets of originals."""

from collections.abc import Iterator

from ingest.simulate.attacks import WAVEFAKE
from ingest.simulate.plan import File, Layout, Step, Take, step
from ingest.simulate.seeds import generator, stratified

CORPUS = "wavefake"
ENGLISH, JAPANESE, TTS = 40, 20, 12  # clips
LJSPEECH, JSUT = "real_audio/LJSpeech-1.1/wavs", "real_audio/jsut_ver1.1/basic5000/wav"
TTS_FOLDER = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"
FOLDERS = {  # folder -> attack, suffix
    "ljspeech_melgan": ("melgan", "_gen"),
    "ljspeech_melgan_large": ("melgan_large", "_gen"),
    "ljspeech_multi_band_melgan": ("multi_band_melgan", "_gen"),
    "ljspeech_full_band_melgan": ("full_band_melgan", "_gen"),
    "ljspeech_parallel_wavegan": ("parallel_wavegan", "_gen"),
    "ljspeech_hifiGAN": ("hifigan", "_generated"),
    "ljspeech_waveglow": ("waveglow", ""),
}
JAPANESE_FOLDERS = {"jsut_multi_band_melgan": "multi_band_melgan", "jsut_parallel_wavegan": "parallel_wavegan"}
HOP = 256  # samples; the copies are whole hops long


def english(seed: int) -> list[Take]:
    """The recordings of LJSpeech: one speaker, 22.05 kHz."""
    return [Take(CORPUS, name, "LJ", "F", "en", 22_050) for name in stratified(_lj_names(seed), ENGLISH)]


def fake(attack: str) -> Step:
    """What a vocoder of this name does to a recording, here and wherever DECRO repeats the clip."""
    word, settings = WAVEFAKE[attack]
    return step(word, **dict(settings), pad_to=HOP)


def layout(seed: int) -> Layout:
    """The whole corpus with LJSpeech and JSUT where they are commonly put."""
    plan = Layout()
    for take in english(seed):
        _add(plan, f"{LJSPEECH}/{take.key}.wav", take)
        for folder, (attack, suffix) in FOLDERS.items():
            _add(plan, f"generated_audio/{folder}/{take.key}{suffix}.wav", take, fake(attack))
    for name in stratified(_jsut_names(seed), JAPANESE):
        take = Take(CORPUS, name, "JSUT", "F", "ja", 48_000)
        _add(plan, f"{JSUT}/{name}.wav", take)
        for folder, attack in JAPANESE_FOLDERS.items():
            steps = (step("rate", rate_hz=24_000), fake(attack))
            _add(plan, f"generated_audio/{folder}/{name}_gen.wav", take, *steps)
    for number in range(TTS):
        take = Take(CORPUS, f"tts_{number}", "LJ", "F", "en", 22_050)  # sentences without an original
        _add(plan, f"generated_audio/{TTS_FOLDER}/gen_{number}.wav", take, fake("tts"))
    return plan


def _add(plan: Layout, path: str, take: Take, *steps: Step) -> None:
    plan.files.append(File(path, take, steps))
    plan.count(None, "spoof" if steps else "bonafide")


def _lj_names(seed: int) -> Iterator[str]:
    rng = generator(seed, CORPUS, "ljspeech")
    while True:
        yield f"LJ{rng.integers(1, 51):03}-{rng.integers(1, 170):04}"


def _jsut_names(seed: int) -> Iterator[str]:
    rng = generator(seed, CORPUS, "jsut")
    while True:
        yield f"BASIC5000_{rng.integers(1, 5001):04}"
