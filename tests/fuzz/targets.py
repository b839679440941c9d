"""What is fuzzed: for each target some seeds, and what is done with a file that holds mutated bytes.

A target may raise DataError; whatever else it raises is a finding.
"""

import gzip
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch
from safetensors.torch import save

from benchmark import calibration, domain, results, settings, trained, windows
from benchmark.detectors._base import read_state
from ingest import measure, text
from ingest.types import DataError
from protocols import lists, predicate
from protocols.load import load as load_protocol
from protocols.types import TrialList
from reports import score_files, sql
from shards import variant_plan


@dataclass(frozen=True, slots=True)
class Target:
    """suffix: of the file that `check` gets; seeds: valid contents."""

    suffix: str
    seeds: tuple[bytes, ...]
    check: Callable[[Path], object]


def _audio(form: str, subtype: str | None = None, rate_hz: int = 8_000) -> bytes:
    buffer = io.BytesIO()
    wave = 0.2 * np.sin(np.arange(2_000) / 7)
    soundfile.write(buffer, np.stack([wave, -wave], axis=1), rate_hz, format=form, subtype=subtype)
    return buffer.getvalue()


def _by_ffmpeg(name: str, codec: str, rate_hz: int = 16_000, tracks: int = 1) -> bytes:
    """A short recording in a container that libsndfile does not know; the same bytes for the same FFmpeg."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with av.open(str(path), "w", options={"fflags": "+bitexact"}) as output:
            streams = [output.add_stream(codec, rate=rate_hz, layout="mono") for _ in range(tracks)]
            for stream in streams:
                stream.bit_rate = 64_000
                frame = av.AudioFrame.from_ndarray(
                    (0.2 * np.sin(np.arange(4_000) / 7)).astype(np.float32)[None], format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts = rate_hz, 0
                fitting = av.AudioResampler(stream.format, "mono", rate_hz, frame_size=stream.frame_size or 0)
                for part in [*fitting.resample(frame), *fitting.resample(None), None]:
                    output.mux(stream.encode(part))
        return path.read_bytes()


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _parquet() -> bytes:
    rows = {"role": ["dev"] * 4, "subset": ["dev"] * 4, "utt_id": list("abcd"), "label": ["bonafide", "spoof"] * 2,
            "score": [1.0, -1.0, 0.5, 0.7]}  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue().to_pybytes()


def _settings() -> bytes:
    fitted = calibration.fit([1.0, 2.0, 3.0], [0.0, -1.0, 1.5])
    about = {"format": 1, "detector": "mean_pool", "config": {"bands": 80}, "files": {}, "calibration": fitted.as_json(),
             "domain": None, "provenance": {}, "remarks": [],
             "input": {"feature": "logmel", "params": {}, "samples": 48_000, "test_crop": "first", "short": "repeat"}}  # fmt: skip
    return json.dumps(about).encode()


def _heard(path: Path) -> None:
    measure.measure(path)
    windows.read(path, longest_s=60)


def _protocol(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "inner"
        place.mkdir()
        (place / "fuzzed.toml").write_bytes(path.read_bytes())
        load_protocol("inner/fuzzed", Path(folder))


def _predicate(path: Path) -> None:
    predicate.check(path.read_bytes().decode("utf-8", "replace"), "fuzzed")


def _export(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / trained.SETTINGS).write_bytes(path.read_bytes())
        (Path(folder) / trained.WEIGHTS).write_bytes(b"")
        trained.from_export(Path(folder))


def _domain(path: Path) -> None:
    try:
        stored = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    try:
        domain.from_json(stored)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DataError("as from_export says it") from None


def _sql(path: Path) -> None:
    import duckdb

    with duckdb.connect() as con:
        sql._only_reads(con, path.read_bytes().decode("utf-8", "replace"))


def _csv(path: Path) -> None:
    text.csv_rows(path, ["label"])


def _list(path: Path) -> None:
    lists.values(TrialList("all", path.name, "name", "stem", None), path)
    lists.values(TrialList("all", path.name, 1, "stem", None), path)


def _setting(path: Path) -> None:
    found = settings.parse([path.read_bytes().decode("utf-8", "replace")], ["lfcc_gmm", "mean_pool"])
    settings.resolve("mean_pool", found, clip=None, weights=None)


def _fields(path: Path) -> None:
    text.fields(path, ["speaker", "name", "codec", "attack", "label"])


_LA = b"LA_0079 LA_T_1138215 - - bonafide\nLA_0079 LA_T_1004644 - A01 spoof\n"
_TOML = b"""title = "t"
scenario = "inner"
source = "s"
metrics = ["eer"]
[train]
where = "corpus = 'wavefake' AND fold < 0.6"
[dev]
where = "corpus = 'wavefake' AND fold >= 0.6 AND fold < 0.8"
[test.eval]
bonafide = "corpus = 'wavefake' AND fold >= 0.8"
spoof = "corpus = 'wavefake' AND attack IN ('melgan', 'hifigan')"
"""
TARGETS = {
    "wav": Target(".wav", (_audio("WAV"), _audio("WAV", "FLOAT"), _audio("WAV", "IMA_ADPCM")), _heard),
    "flac": Target(".flac", (_audio("FLAC"), _audio("FLAC", "PCM_24", 44_100)), _heard),
    "ogg": Target(".ogg", (_audio("OGG"), _audio("OGG", "OPUS", 16_000)), _heard),
    "mp3": Target(".mp3", (_audio("MP3", rate_hz=16_000),), _heard),
    "any_audio": Target(".bin", (_audio("AIFF"), _audio("CAF"), _audio("AU"), _audio("W64"), _audio("MP3", rate_hz=16_000)), _heard),
    "isobmff": Target(".m4a", (_by_ffmpeg("a.m4a", "aac"), _by_ffmpeg("a.mp4", "alac", tracks=2), _by_ffmpeg("a.mov", "pcm_s16le")), _heard),
    "matroska": Target(".webm", (_by_ffmpeg("a.webm", "libopus"), _by_ffmpeg("a.mkv", "flac", tracks=2)), _heard),
    "other_media": Target(".bin", (_by_ffmpeg("a.wma", "wmav2"), _by_ffmpeg("a.avi", "mp2"), _by_ffmpeg("a.ts", "mp2"), _by_ffmpeg("a.wv", "wavpack"),
                                   _by_ffmpeg("a.tta", "tta"), _by_ffmpeg("a.flv", "libmp3lame", 44_100), _by_ffmpeg("a.aac", "aac")), _heard),
    "protocol_file": Target(".txt", (_LA, _LA.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + _LA), _fields),
    "protocol_gz": Target(".txt.gz", (gzip.compress(_LA, mtime=0),), _fields),
    "csv_file": Target(".csv", (b'set,"song, one",label\ntrain,"a ""b""",spoof\n', b"\xef\xbb\xbffile,speaker,label\r\n1.wav,A,spoof\r\n"), _csv),
    "trial_list": Target(".csv", (b"id,name\na.wav,x\nb.wav,y\n", b"name\n" + 3 * b"one two\n"), _list),
    "trial_list_gz": Target(".csv.gz", (gzip.compress(b"id,name\na.wav,x\nb.wav,y\n", mtime=0),), _list),
    "variant_plan": Target(".toml", tuple(path.read_bytes() for path in sorted(variant_plan.FOLDER.glob("*.toml"))[:3]), variant_plan.load),
    "setting": Target(".txt", (b"lr=1e-3", b'phases=[{"epochs": 1}]', b"lfcc_gmm.components=32"), _setting),
    "score_file": Target(".txt", (b"LA_E_1 A07 spoof -1.5\nLA_E_2 - bonafide 2.5\n", b"filename\tcm-score\na\t1.0\nb\t2\n",
                                  b"file,score,label\na.wav,0.5,spoof\n"), score_files.read),
    "scores_parquet": Target(".parquet", (_parquet(),), lambda p: trained.on_dev(p, source="fuzzed")),
    "run_json": Target(".json", (b'{"detector": "aasist", "config": {"lr": 0.1}}',), results._json),
    "protocol": Target(".toml", (_TOML,), _protocol),
    "predicate": Target(".sql", (b"corpus = 'wavefake' AND fold < 0.6", b"attack IN ('a', 'b') OR NOT (language = 'en')"), _predicate),
    "query": Target(".sql", (b"SELECT a, count(*) FROM run GROUP BY ALL", b"EXPLAIN ANALYZE SELECT 1",
                             b"WITH x AS (SELECT 1) PIVOT x ON a"), _sql),
    "weights": Target(".pth", (_saved({"a": torch.zeros(3)}), _saved({"state_dict": {"b": torch.ones(2, 2)}})), read_state),
    "safetensors": Target(".safetensors", (save({"a": torch.zeros(3), "b": torch.ones(2)}),), read_state),
    "export": Target(".json", (_settings(),), _export),
    "domain": Target(".json", (json.dumps(domain._domain(pa.table({
        "corpus": ["c"], "domain": ["speech"], "language": ["en"], "rate_hz": [16_000], "duration_s": [1.0],
        **{name: [1.0] for name in domain.FEATURES}})).as_json()).encode(),), _domain),
}  # fmt: skip
