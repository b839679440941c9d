"""Which part of a recording a verdict comes from, and where in it the detector looked."""

from dataclasses import dataclass

import numpy as np

from benchmark.inference import WHOLE_S, DeepfakeDetector, Verdict
from benchmark.windows import Recording
from ingest.audio import RATE_HZ


@dataclass(frozen=True, slots=True)
class Explanation:
    """The window behind a verdict.

    start_s, end_s, score: where it lies and what it got; why: a sentence that says why this one. feature: (bin, frame)
    that the network read there, None if it reads the wave itself. maps: stage -> Grad-CAM (bin, frame) or (1, step) in
    [0, 1], 1 = most for `towards`, the verdict (without one: "spoof"); empty where there is none, and no_map says why.
    """

    start_s: float
    end_s: float
    score: float
    why: str
    feature: np.ndarray | None
    maps: dict[str, np.ndarray]
    towards: str
    no_map: str | None


def explain(detector: DeepfakeDetector, recording: Recording, verdict: Verdict) -> Explanation:
    """The window that decided, and its Grad-CAM."""
    from benchmark import gradcam

    towards = verdict.verdict or "spoof"
    (start_s, end_s, score), why = deciding(detector, recording, verdict)
    start, end = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
    crop = detector.heard(recording).cut(start, end)
    x = detector.features([crop]).clone()  # outside inference mode, so that gradients can pass
    try:
        maps, reason = gradcam.maps(detector.network, x, towards=towards), None
    except gradcam.NoMap as none:
        maps, reason = {}, str(none)
    heard = min(1.0, (end - start) / (detector.trained.input["samples"] or end - start))  # the rest was filled in
    return Explanation(
        start_s, end_s, score, why,
        feature=_heard(x[0].T.double().cpu().numpy(), heard) if x.dim() == 3 else None,
        maps={name: _heard(picture[0], heard) for name, picture in maps.items()},
        towards=towards, no_map=reason,
    )  # fmt: skip


def deciding(
    detector: DeepfakeDetector, recording: Recording, verdict: Verdict
) -> tuple[tuple[float, float, float], str]:
    """(start_s, end_s, score) of the window that decided, and why it is this one.

    Of detectors with a length of their own the window that the benchmark scores, which alone makes the score; of those
    that hear everything the window that speaks most clearly for the verdict.
    """
    size, spans = detector.trained.input["samples"], verdict.windows
    if size and recording.wave.size > size:
        start = detector.own_start(recording.wave.size)
        part = f"the {detector.trained.input['test_crop']} {size / RATE_HZ:.1f} s"
        span = start / RATE_HZ, (start + size) / RATE_HZ, verdict.score
        return span, f"the score is that of {part}, the part that the benchmark scores"
    if len(spans) == 1:
        return spans[0], "the recording fits into one window"
    pick, word = (max, "bona fide") if verdict.verdict == "bonafide" else (min, "spoof")
    heard = "heard whole" if verdict.duration_s <= WHOLE_S else "the score is the mean of the windows"
    span = pick(spans, key=lambda span: span[2])
    return span, f"{heard}; this of {len(spans)} windows speaks most clearly for {word}"


def _heard(picture: np.ndarray, share: float) -> np.ndarray:
    """The columns of what was heard, without those of the filling behind it."""
    return picture[:, : max(1, round(share * picture.shape[1]))]
