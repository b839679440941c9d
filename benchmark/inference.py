"""One recording in, a verdict out: DeepfakeDetector("RUN").predict("speech.m4a").

The rule of the score: `score` is the benchmark's own score of the clip, with its crop, its filling of short clips and
the rounding of its shards; a clip that the benchmark has scored gets that score again. Beside it stand the scores of
overlapping windows over the whole recording and their mean. Detectors that read whole utterances do so up to WHOLE_S
seconds; beyond that their score is the mean of their windows, and a warning says it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import domain as domains
from benchmark import trained as loading
from benchmark import windows
from benchmark.trained import Trained
from benchmark.windows import Recording
from ingest import measure, memory
from ingest.audio import RATE_HZ, Unreadable
from ingest.types import DataError
from shards.vocals import Separator

WINDOW = 64_600  # samples, of detectors that have no length of their own
WHOLE_S = 60.0  # what such a detector reads in one piece
AT_ONCE = 2  # windows in one batch: more of AASIST take more than 1 GiB, and are hardly quicker


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one recording.

    score: the benchmark's score, higher = more bona fide. windows: (start_s, end_s, score) in order; window_mean their
    mean. llr: calibrated natural-log likelihood ratio, positive = speaks for bona fide; None if not calibrated.
    verdict: "bonafide" where score > threshold, else "spoof"; None without a threshold. warnings: sentences.
    provenance: which model, trained and calibrated on what.
    """

    path: str
    score: float
    windows: list[tuple[float, float, float]]
    window_mean: float
    duration_s: float
    llr: float | None
    threshold: float | None
    verdict: str | None
    warnings: list[str]
    provenance: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class DeepfakeDetector:
    """A detector and what it takes to judge single recordings.

    source: a run id below `data`, the folder of a run, a folder made by `python -m benchmark export`, or a weight file;
    the last needs `detector`, and takes `settings` ({"": {"samples": 48000}}, see benchmark.settings.parse). weights:
    the weight file of a run that scored one. calibrate_on: a run id or score file whose dev scores replace the run's
    own. lists: folder of the user's trial lists that a run was made with. threshold: on the score; prior: probability
    of spoof before hearing anything, which sets the threshold of least error by the calibrated ratio; by default the
    threshold is that of the dev EER. overlap: share of a window that the next repeats. longest_s: a longer file is
    refused. separator: hear the singing voice alone (shards.vocals).
    """

    def __init__(
        self, source: str | Path | Trained, *, detector: str | None = None, data: str | Path = "data",
        device: str = "auto", weights: str | Path | None = None, calibrate_on: str | Path | None = None,
        threshold: float | None = None, prior: float | None = None, overlap: float = 0.5,
        settings: Mapping[str, Mapping[str, Any]] | None = None, longest_s: float = windows.LONGEST_S,
        separator: Separator | None = None, lists: Path | None = None,
    ):  # fmt: skip
        from benchmark import devices

        if not 0 <= overlap <= 0.95:
            raise DataError(f"--overlap {overlap:g} is not a share between 0 and 0.95")
        if not longest_s > 0:
            raise DataError(f"--longest {longest_s / 3600:g} is not a number of hours above 0")
        if threshold is not None and prior is not None:
            raise DataError("--threshold and --prior both set the threshold; pass one of them")
        data = Path(data)
        trained = source if isinstance(source, Trained) else _trained(source, detector, data, weights, settings, lists)
        if detector is not None and detector != trained.detector:
            raise DataError(f"--detector {detector}: {source} is of {trained.detector}; leave one of them out")
        if calibrate_on is not None:
            trained = loading.recalibrated(trained, calibrate_on, data)
        if separator is not None:
            trained = replace(trained, remarks=tuple(text for text in trained.remarks if text != loading.VOICES))
        self.overlap, self.longest_s, self.separator = overlap, longest_s, separator
        self.threshold = _threshold(trained, threshold, prior)
        self.device = devices.device_of(device)
        memory.keep_freed()
        self.network = trained.network.to(self.device).eval()
        self.extractor = _extractor(trained).to(self.device)
        self.trained = replace(trained, remarks=(*trained.remarks, *loading.other_sources(trained)))

    def predict(self, path: str | Path) -> Verdict:
        """Judge one file. Raises ingest.audio.Unreadable, a DataError, if it does not decode whole or has no score."""
        if self.separator is None:  # before it is measured: a file that lasts too long is not decoded to its end
            recording = windows.read(path, longest_s=self.longest_s)
        else:
            recording = windows.voice(path, self.separator, longest_s=self.longest_s)
        measured = measure.measure(path)
        if measured.get("fault"):
            raise Unreadable(path, measured["fault"])
        return self.judge(recording, measured)

    def judge(self, recording: Recording, measured: Mapping[str, Any]) -> Verdict:
        """Judge a decoded recording; measured: its row of ingest.measure."""
        spans, score = self._scores(recording)
        mean = float(np.mean([span[2] for span in spans]))
        warnings = []
        if score is None:
            score = mean
            warnings.append(f"longer than {WHOLE_S:g} s: the score is the mean of the windows, not the benchmark's")
        calibration = self.trained.calibration
        verdict = None if self.threshold is None else ("bonafide" if score > self.threshold else "spoof")
        warnings += self._disagreement(spans, verdict)
        if recording.header.tracks > 1:
            warnings.append(f"holds {recording.header.tracks} audio tracks: the first one is judged")
        warnings += domains.nothing_to_judge(measured, recording.peak)
        if self.trained.domain is not None:
            steady = domains.steady_pitch(recording.wave)
            warnings += domains.remarks(self.trained.domain, measured, steady)
        return Verdict(
            path=recording.path, score=score, windows=spans, window_mean=mean, duration_s=recording.duration_s,
            llr=None if calibration is None else float(calibration.llr(score)), threshold=self.threshold,
            verdict=verdict, warnings=[*warnings, *self.trained.remarks], provenance=self.provenance(),
        )  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """Detector, run, weights, training corpora, the separator before it if there is one, and the dev scores behind
        threshold and ratio."""
        about = {"detector": self.trained.detector, **self.trained.provenance}
        if self.separator is not None:
            about["vocals"] = self.separator.model.identity
        calibration = self.trained.calibration
        return about | {"calibration": None if calibration is None else calibration.as_json()}

    def about(self) -> dict[str, Any]:
        """All that a verdict depends on beside the file, as plain JSON values."""
        made_of = {"config": self.trained.config, "input": self.trained.input, "remarks": list(self.trained.remarks)}
        deciding = {"threshold": self.threshold, "overlap": self.overlap, "longest_s": self.longest_s}
        return {**self.provenance(), **made_of, **deciding}

    def _scores(self, recording: Recording) -> tuple[list[tuple[float, float, float]], float | None]:
        """The windows with their scores, and the benchmark's score; None where it is not defined."""
        recording = self.heard(recording)
        samples, length = self.trained.input["samples"], recording.wave.size
        size = samples or WINDOW
        begins = windows.starts(length, size, self.overlap)
        if samples is None:
            whole = None if length > WHOLE_S * RATE_HZ else self._run([recording.cut(0, length)], recording.path)[0]
            scores = [whole] if length <= size else self._windows(recording, begins, size)
            score = whole
        else:
            own = self.own_start(length)
            extra = [] if own in begins else [own]
            scores = self._windows(recording, begins + extra, size)
            score = scores[(begins + extra).index(own)]
        spans = [(b / RATE_HZ, min(b + size, length) / RATE_HZ, s) for b, s in zip(begins, scores)]
        return spans, score

    def heard(self, recording: Recording) -> Recording:
        """The recording at the level at which the detector hears whole clips: cut from this what `features` takes."""
        return recording.at(self.trained.level)

    def own_start(self, length: int) -> int:
        """First sample of the window that the benchmark scores in `length` samples; 0 for detectors of whole clips, and
        for crops at random, which a file without an utterance's name cannot have."""
        from benchmark.loader import crop_start

        size = self.trained.input["samples"]
        return crop_start(length, size, crop=self.trained.input["test_crop"]) if size and length > size else 0

    def features(self, waves: Sequence[np.ndarray]) -> Any:
        """Waves (sample,) of one length, cut from what is `heard`, filled if too short -> what the network reads,
        (batch, ...) on its device."""
        import torch

        from benchmark.level import of_crops
        from benchmark.loader import fill

        size, short = self.trained.input["samples"], self.trained.input["short"]
        filled = [fill(w, size, short=short) if size and w.size < size else w for w in waves]
        with torch.inference_mode():
            crops = torch.from_numpy(np.stack(filled)).to(self.device)
            return self.extractor.extract(of_crops(crops, self.trained.level))

    def _windows(self, recording: Recording, begins: Sequence[int], size: int) -> list[float]:
        scores: list[float] = []
        for first in range(0, len(begins), AT_ONCE):
            scores += self._run([recording.cut(b, b + size) for b in begins[first : first + AT_ONCE]], recording.path)
        return scores

    def _run(self, waves: Sequence[np.ndarray], path: str) -> list[float]:
        import torch

        from benchmark.score import one_each

        with torch.inference_mode():
            scores = one_each(self.network, self.network.score(self.features(waves)), len(waves))
        if not np.isfinite(scores).all():
            raise Unreadable(path, f"{self.trained.detector} gives it a score that is not finite")
        return [float(score) for score in scores]

    def _disagreement(self, spans: Sequence[tuple[float, float, float]], verdict: str | None) -> list[str]:
        if verdict is None or len(spans) < 2:
            return []
        against = [s for s in spans if (s[2] > self.threshold) != (verdict == "bonafide")]
        if not against:
            return []
        pick = min if verdict == "bonafide" else max
        start_s, end_s, _ = pick(against, key=lambda span: span[2])
        word = "spoof" if verdict == "bonafide" else "bona fide"
        said = f"{len(against)} of {len(spans)} windows {'says' if len(against) == 1 else 'say'} {word}"
        return [f"{said}, most clearly {start_s:.1f} to {end_s:.1f} s"]


def _extractor(trained: Trained) -> Any:
    from features import extractors

    try:
        return extractors.get(trained.input["feature"], **trained.input["params"])
    except DataError as error:
        name = trained.provenance.get("run_id") or trained.provenance.get("weights") or "its settings"
        raise DataError(f"{trained.detector} of {name}: {error}") from None


def _trained(
    source: str | Path, detector: str | None, data: Path, weights: str | Path | None,
    settings: Mapping[str, Mapping[str, Any]] | None, lists: Path | None,
) -> Trained:  # fmt: skip
    path = Path(source)
    if os.path.isfile(path / loading.SETTINGS):  # unlike Path.is_file without an error for a name that cannot be
        return loading.from_export(path)
    if os.path.isfile(path):
        if detector is None:
            raise DataError(f"{path} is a weight file: say which detector it belongs to with --detector ID")
        return loading.from_weights(path, detector, settings)
    return loading.from_run(data, source, weights=None if weights is None else Path(weights), lists=lists)


def _threshold(trained: Trained, threshold: float | None, prior: float | None) -> float | None:
    if threshold is not None:
        if not np.isfinite(threshold):
            raise DataError(f"--threshold {threshold} is not a finite number")
        return float(threshold)
    if trained.calibration is None:
        if prior is not None:
            raise DataError("--prior needs a calibrated detector: pass --calibrate-on RUN or scores.parquet")
        return None
    return trained.calibration.threshold if prior is None else trained.calibration.threshold_at(prior)
