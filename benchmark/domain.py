"""Is a recording like what the detector was trained on? Said in words, from cheap measurements of the file.

The training side comes from the catalog's `measurement` table, the other from the same code on the new file. Singing is
told from speech by its long steady pitches: the share of time in which the pitch stays within STEADY_SEMITONES for a
quarter of a second.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest import catalog
from ingest.audio import RATE_HZ

FEATURES = {  # measured column -> words, unit
    "loudness_db": ("loudness", "dB"),
    "noise_floor_db": ("noise floor", "dB"),
    "bandwidth_hz": ("bandwidth", "Hz"),
    "edge_db": ("spectral edge", "dB"),
    "tilt_db_per_octave": ("spectral tilt", "dB/octave"),
    "zero_crossing_hz": ("zero crossings", "Hz"),
}
# The least spread of a training set. Where it hardly varies (all clips reach the Nyquist frequency, or were
# made equally loud) the smallest difference would otherwise count as millions of spreads. A decibel is hardly
# heard, and 50 Hz is one bin of the spectrum at 48 kHz; clips of nine published corpora spread three times as far in
# every column but bandwidth, and more.
LEAST_SPREAD = {
    "loudness_db": 1.0,
    "noise_floor_db": 1.0,
    "bandwidth_hz": 50.0,
    "edge_db": 1.0,
    "tilt_db_per_octave": 0.25,
    "zero_crossing_hz": 50.0,
}
LEAST_UTTERANCES = 50  # for a covariance of six numbers
TAIL = 0.005  # of the training utterances, to either side, that a remark may concern
SHRINKAGE = 0.05
STEADY_FRAMES, STEADY_SEMITONES = 16, 0.8  # frames of 15.6 ms
SUNG, SPOKEN = 0.05, 0.002  # shares of time with a steady pitch: above is singing, below is speech
PITCH_S, LEAST_PITCH_S = 30.0, 2.0
LEAST_S, LEAST_PEAK, CLIPPED = 0.25, 1e-4, 0.01  # s; of full scale (-80 dB); share of samples
_LARGEST = 1e30  # of any number here: its square, too, is one
_LEAST = np.array([LEAST_SPREAD[name] for name in FEATURES])


@dataclass(frozen=True, slots=True)
class Domain:
    """What a training set sounded like.

    ranges: measured column -> (low, median, high), the outer two leaving TAIL on either side; mean, precision and
    limit: centre and inverse covariance of the FEATURES, standardised by scale (at least LEAST_SPREAD), and the
    distance that 99 % of training keeps.
    """

    utterances: int
    corpora: tuple[str, ...]
    domains: tuple[str, ...]
    languages: tuple[str, ...]
    rates_hz: tuple[int, ...]
    ranges: dict[str, tuple[float, float, float]]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    limit: float | None

    def as_json(self) -> dict[str, Any]:
        """As it stands in an export's settings.json."""
        return asdict(self)

    def distance(self, measured: Mapping[str, Any]) -> float | None:
        """Mahalanobis distance of a measured file from the training set; None without enough training utterances."""
        if self.limit is None:
            return None
        scale = np.maximum(self.scale, _LEAST)  # exports of before LEAST_SPREAD hold smaller ones
        x = (_vector(measured) - np.array(self.mean)) / scale
        return float(np.sqrt(x @ np.array(self.precision) @ x))


def of_training(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> Domain:
    """The domain of training trials. con: the catalog; rows: a table with utt_id."""
    with catalog.registered(con, "training_rows", pa.table({"utt_id": pa.compute.unique(rows["utt_id"])})):
        table = con.sql(
            f"SELECT u.corpus, u.domain, u.language, u.rate_hz, u.duration_s, {', '.join('m.' + f for f in FEATURES)} "
            "FROM training_rows JOIN utterance u USING (utt_id) LEFT JOIN measurement m USING (utt_id) ORDER BY utt_id"
        ).to_arrow_table()
    return _domain(table)


def from_json(stored: Mapping[str, Any] | None) -> Domain | None:
    """What `as_json` wrote; raises ValueError or TypeError for anything else."""
    if stored is None:
        return None
    words = {name: tuple(stored[name]) for name in ("corpora", "domains", "languages", "rates_hz", "mean", "scale")}
    ranges = {name: tuple(values) for name, values in stored["ranges"].items()}
    found = Domain(**{**stored, **words, "ranges": ranges, "precision": tuple(map(tuple, stored["precision"]))})
    for name in ("corpora", "domains", "languages"):
        if not all(isinstance(word, str) for word in getattr(found, name)):
            raise TypeError(f"{name} {getattr(found, name)}")
    _check_numbers(found)
    return found


def _check_numbers(found: Domain) -> None:
    """Raise ValueError unless every number is one, and as many are there as FEATURES."""
    size = len(FEATURES) if found.limit is not None else 0
    rows = {"mean": found.mean, "scale": found.scale, "rates_hz": found.rates_hz, "utterances": (found.utterances,)}
    rows["limit"] = () if found.limit is None else (found.limit,)
    rows |= {f"range of {name}": row for name, row in found.ranges.items()}
    rows |= {f"precision {k}": row for k, row in enumerate(found.precision)}
    for name, row in rows.items():
        if not all(type(value) in (int, float) and abs(value) < _LARGEST for value in row):
            raise ValueError(f"{name} {row}")
    lengths = [len(found.mean), len(found.scale), len(found.precision), *map(len, found.precision)]
    ranged = all(len(row) == 3 for row in found.ranges.values()) and (not size or set(FEATURES) <= set(found.ranges))
    if lengths != [size] * (3 + size) or not ranged or not all(value > 0 for value in found.scale):
        raise ValueError(f"numbers for {lengths} features, {len(found.ranges)} ranges")
    precision = np.array(found.precision)
    if size and np.linalg.eigvalsh(precision + precision.T).min() < 0:
        raise ValueError("a precision that gives some distances no square root")


def _domain(table: pa.Table) -> Domain:
    def words(name: str) -> tuple:
        return tuple(sorted(set(pa.compute.drop_null(table[name]).to_pylist())))

    numbers = {name: table[name].to_numpy().astype(float) for name in ("duration_s", *FEATURES)}
    numbers["bandwidth_hz"] = np.minimum(numbers["bandwidth_hz"], RATE_HZ / 2)
    ranges = {}
    for name, values in numbers.items():
        values = values[np.isfinite(values)]
        if values.size:
            ranges[name] = tuple(float(v) for v in np.quantile(values, [TAIL, 0.5, 1 - TAIL]))
    points = np.stack([numbers[name] for name in FEATURES], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    return Domain(
        table.num_rows, words("corpus"), words("domain"), words("language"), words("rate_hz"), ranges, *_shape(points)
    )


def _shape(points: np.ndarray) -> tuple[tuple, tuple, tuple, float | None]:
    """(utterance, feature) -> mean, scale, precision of the standardised features, limit."""
    if len(points) < LEAST_UTTERANCES:
        return (), (), (), None
    mean, scale = points.mean(axis=0), np.maximum(points.std(axis=0), _LEAST)
    x = (points - mean) / scale
    found = (x.T @ x) / len(x)
    np.fill_diagonal(found, 1.0)  # where it is less the spread is the least, not the one found
    covariance = (1 - SHRINKAGE) * found + SHRINKAGE * np.eye(x.shape[1])
    precision = np.linalg.inv(covariance)
    distance = np.sqrt(np.einsum("ij,jk,ik->i", x, precision, x))
    plain = tuple(tuple(float(v) for v in row) for row in precision)
    return tuple(map(float, mean)), tuple(map(float, scale)), plain, float(np.quantile(distance, 0.99))


def _vector(measured: Mapping[str, Any]) -> np.ndarray:
    values = [float(measured[name]) for name in FEATURES]
    values[list(FEATURES).index("bandwidth_hz")] = min(float(measured["bandwidth_hz"]), RATE_HZ / 2)
    return np.array(values)


def steady_pitch(wave: np.ndarray) -> float | None:
    """Share of time with a steady pitch in (sample,) at 16 kHz, of its first PITCH_S; None below LEAST_PITCH_S."""
    import torch

    from features import extractors

    if wave.size < LEAST_PITCH_S * RATE_HZ:
        return None
    part = np.array(wave[: int(PITCH_S * RATE_HZ)])
    hz = extractors.get("f0").extract(torch.from_numpy(part)[None])[0, :, 0].numpy()
    semitone = 12 * np.log2(np.where(hz > 0, hz, np.nan) / 55)
    stretch = np.lib.stride_tricks.sliding_window_view(semitone, STEADY_FRAMES)
    spread = stretch.max(axis=1) - stretch.min(axis=1)  # not a number where a frame has no pitch
    return float(np.mean(spread < STEADY_SEMITONES))


def remarks(domain: Domain, measured: Mapping[str, Any], steady: float | None) -> list[str]:
    """Why the recording lies outside the training domain, one sentence each; empty if it does not.

    measured: a row of ingest.measure; steady: `steady_pitch`.
    """
    said = []
    if domain.rates_hz and measured["rate_hz"] not in domain.rates_hz:
        heard = ", ".join(str(rate) for rate in domain.rates_hz)
        said.append(f"sampled at {measured['rate_hz']} Hz, training at {heard} Hz")
    said += _of_duration(domain, measured)
    said += _of_singing(domain, steady)
    said += _of_features(domain, measured)
    return [f"outside the training domain: {text}" for text in said]


def nothing_to_judge(measured: Mapping[str, Any], peak: float) -> list[str]:
    """Why no detector, whatever it was trained on, can say much of this recording; a sentence each.

    measured: a row of ingest.measure, of the file; peak: of what is heard of it, the mean of its channels.
    """
    said = []
    if measured["duration_s"] < LEAST_S:
        said.append(f"lasts {1000 * measured['duration_s']:.0f} ms: too little to judge")
    if measured["peak"] < LEAST_PEAK:
        said.append("silence: there is nothing to judge")
    elif peak < LEAST_PEAK:
        said.append("silence in what is heard of it, the mean of its channels: there is nothing to judge")
    if measured["clipped_share"] > CLIPPED:
        said.append(f"clipped: {100 * measured['clipped_share']:.0f} % of the samples are at full scale")
    return said


def _of_duration(domain: Domain, measured: Mapping[str, Any]) -> list[str]:
    low, _, high = domain.ranges.get("duration_s", (0.0, 0.0, np.inf))
    if low <= measured["duration_s"] <= high:
        return []
    return [f"lasts {measured['duration_s']:.1f} s, training utterances {low:.1f} to {high:.1f} s"]


def _of_singing(domain: Domain, steady: float | None) -> list[str]:
    if steady is None:
        return []
    if domain.domains == ("speech",) and steady > SUNG:
        return [f"sounds like singing (a steady pitch in {100 * steady:.0f} % of the time), training was speech"]
    if domain.domains == ("singing",) and steady < SPOKEN:
        return ["sounds like speech (no steady pitch), training was singing"]
    return []


def _of_features(domain: Domain, measured: Mapping[str, Any]) -> list[str]:
    narrow = _of_bandwidth(domain, measured)
    distance = domain.distance(measured)
    if distance is None or distance <= domain.limit:
        return narrow
    values = dict(zip(FEATURES, _vector(measured)))
    far = []
    for name, (word, unit) in FEATURES.items():
        low, _, high = domain.ranges[name]
        if not low <= values[name] <= high and not (narrow and name == "bandwidth_hz"):
            far.append(f"{word} {values[name]:.4g} {unit} (training {low:.4g} to {high:.4g})")
    why = ", ".join(far) or "an unusual combination of level, noise and spectrum"
    return [*narrow, f"{why}; distance {distance:.1f}, 99 % of training lie within {domain.limit:.1f}"]


def _of_bandwidth(domain: Domain, measured: Mapping[str, Any]) -> list[str]:
    if "bandwidth_hz" not in domain.ranges:
        return []
    low, median, _ = domain.ranges["bandwidth_hz"]
    if measured["bandwidth_hz"] >= low:
        return []
    return [f"nothing above {measured['bandwidth_hz'] / 1000:.1f} kHz, training reaches {median / 1000:.1f} kHz"]
