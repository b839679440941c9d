"""What is fuzzed: for each target some seeds, and what is done with a file that holds mutated bytes.

A target may raise DataError; whatever else it raises is a finding.
"""

import contextlib
import gzip
import hashlib
import io
import json
import sys
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

sys.path.append(str(Path(__file__).parents[1]))
import miniatures

from benchmark import calibration, domain, recorded, results, settings, status, trained, windows
from benchmark.detectors._base import read_state
from ingest import audio, measure, rebuild_ctrsvdd, singfake_media, text
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
    """Without checksums, which would keep what is mutated from the unpickler."""
    buffer, checked = io.BytesIO(), torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(value, buffer)
    finally:
        torch.serialization.set_crc32_options(checked)
    return buffer.getvalue()


def _parquet() -> bytes:
    rows = {"role": ["dev"] * 4 + ["test"] * 4, "subset": ["dev"] * 4 + ["eval"] * 4, "utt_id": list("abcdefgh"),
            "label": ["bonafide", "spoof"] * 4, "attack": [None, "a"] * 4,
            "score": [1.0, -1.0, 0.5, 0.7, 1.0, -1.0, 0.5, -0.7]}  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue().to_pybytes()


SCORES = _parquet()
WEIGHTS = save({"linear.weight": torch.full((1, 80), 0.01), "linear.bias": torch.zeros(1)})  # of mean_pool
INPUT = {"feature": "logmel", "params": {}, "samples": 8_000, "test_crop": "first", "short": "repeat"}
MEASURED = {"rate_hz": 16_000, "duration_s": 3.0, "loudness_db": -25.0, "noise_floor_db": -60.0, "bandwidth_hz": 7_900.0,
            "edge_db": 10.0, "tilt_db_per_octave": -6.0, "zero_crossing_hz": 1_500.0, "peak": 0.5, "clipped_share": 0.0}  # fmt: skip
RECORD = {  # of a run of mean_pool
    "run_id": "r", "detector": "mean_pool", "protocol": "inner/x", "scenario": "inner", "seed": 0, "train_key": "k",
    "title": "t", "metrics": ["auc", "eer", "min_tdcf_2019"], "averages": {"mean": ["eval"]}, "pooled": {"all": ["eval"]},
    "trained": True, "simulated": True, "partial": False, "missing_trials": 0, "train_fingerprint": "f", "train_s": 0.5,
    "best_epoch": 1, "device": "d", "versions": {"python": "3.11"}, "finished_at": "2026-01-02T03:04:05Z",
    "config": {"detector": "mean_pool", "config": {"bands": 80}, "input": INPUT, "weights": None},
}  # fmt: skip


def _domain_profile() -> dict:
    """Of sixty made utterances: fifty are needed for a distance."""
    rng = np.random.default_rng(0)
    columns = {name: MEASURED[name] * rng.uniform(0.8, 1.2, 60) for name in (*domain.FEATURES, "duration_s")}
    words = {"corpus": ["c"] * 60, "domain": ["speech"] * 60, "language": ["en"] * 60, "rate_hz": [16_000] * 60}
    return domain._domain(pa.table({**words, **columns})).as_json()


def _settings() -> bytes:
    fitted = calibration.fit([1.0, 2.0, 3.0], [0.0, -1.0, 1.5])
    about = {"format": 1, "detector": "mean_pool", "config": {"bands": 80}, "calibration": fitted.as_json(),
             "files": {trained.WEIGHTS: hashlib.sha256(WEIGHTS).hexdigest()}, "domain": _domain_profile(),
             "provenance": {"run_id": "r", "corpora": []}, "remarks": ["a remark"], "input": INPUT}  # fmt: skip
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
    """Loaded, and used to judge a second of sound: what is wrong in it must not come out as a traceback later."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / trained.SETTINGS).write_bytes(path.read_bytes())
        (Path(folder) / trained.WEIGHTS).write_bytes(WEIGHTS)
        _judge(trained.from_export(Path(folder)))


def _judge(model: trained.Trained) -> None:
    from benchmark.inference import DeepfakeDetector

    detector = DeepfakeDetector(model, device="cpu")
    wave = (0.2 * np.sin(np.arange(16_000) / 7)).astype(np.float32)
    header = audio.Header("WAV", "PCM_16", 16_000, 1, 16_000)
    json.dumps(detector.judge(windows.Recording("a.wav", header, wave, 1.0), MEASURED).as_json())
    detector.about()


def _run_json(path: Path) -> None:
    """What status, collect and detect --run do with it."""
    with tempfile.TemporaryDirectory() as folder:
        data, scores = Path(folder), Path(folder) / "scores/r"
        scores.mkdir(parents=True)
        (scores / "run.json").write_bytes(path.read_bytes())
        (scores / "scores.parquet").write_bytes(SCORES)
        (data / "models/k").mkdir(parents=True)
        (data / "models/k" / trained.WEIGHTS).write_bytes(WEIGHTS)
        json.dumps(status.status(data))
        with contextlib.suppress(DataError):
            _judge(trained.from_run(data, "r"))
        results._run(scores, "signature", 0)


def _record(name: str) -> Callable[[Path], None]:
    """Another JSON file of a run, read as status, collect and run read it."""

    def check(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            scores = Path(folder) / "scores/r"
            scores.mkdir(parents=True)
            (scores / name).write_bytes(path.read_bytes())
            if name == recorded.ASV:
                (scores / "run.json").write_text(json.dumps(RECORD))
                (scores / "scores.parquet").write_bytes(SCORES)
                results._run(scores, "signature", 0)
            elif name == recorded.FAILED:
                json.dumps(status.status(Path(folder)))
                results._failures(Path(folder))
            elif name == recorded.TRAINED:
                recorded.training(scores)
            else:
                (Path(folder) / "grids").mkdir()
                (scores / name).rename(Path(folder) / "grids" / name)
                results._grids(Path(folder))

    return check


def _domain(path: Path) -> None:
    try:
        stored = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    try:
        found = domain.from_json(stored)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DataError("as from_export says it") from None
    if found is not None:
        found.distance(MEASURED)
        "".join(domain.remarks(found, MEASURED, 0.01))


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


def _packed(check: Callable[[Path], object]) -> Callable[[Path], object]:
    """Changed text is packed first: changes of the packed bytes alone hardly ever come through the checksum."""

    def packing(path: Path) -> object:
        data = path.read_bytes()
        if not data.startswith(b"\x1f\x8b"):
            path.write_bytes(gzip.compress(data, 1, mtime=0))
        return check(path)

    return packing


def _plan(path: Path) -> None:
    """Read, and asked what it gives to clips."""
    plan = variant_plan.load(path)
    for utt_id in ("librisevoc/a", "ctrsvdd/train/b"):
        plan.words(utt_id)


def _corpus(path: Path) -> None:
    """The file that a corpus is read from; the first line of the input names the corpus."""
    name, _, content = path.read_bytes().partition(b"\n")
    corpus = name.decode("ascii", "replace")
    if corpus not in LISTS:
        raise DataError("no corpus")
    with tempfile.TemporaryDirectory() as folder:
        miniatures.build(corpus, Path(folder))
        (Path(folder) / LISTS[corpus]).write_bytes(content)
        miniatures.parsed(corpus, Path(folder))


def _timestamps(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "ofuton_timestamps_train.txt"
        place.write_bytes(path.read_bytes())
        assert all(segment.length >= 0 and segment.path for segment in rebuild_ctrsvdd.read_timestamps(place))


def _annotation(path: Path) -> None:
    songs = singfake_media.read_annotation(path)
    singfake_media.match(songs, ["0001.webm", "a [uIWypArI73w].m4a", "BV1wx411U7YC_p2.mp4"])


LISTS = {name: next(iter(files)) for name, files in miniatures.FILES.items() if files}
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
    "protocol_gz": Target(".txt.gz", (gzip.compress(_LA, mtime=0), _LA), _packed(_fields)),
    "csv_file": Target(".csv", (b'set,"song, one",label\ntrain,"a ""b""",spoof\n', b"\xef\xbb\xbffile,speaker,label\r\n1.wav,A,spoof\r\n"), _csv),
    "trial_list": Target(".csv", (b"id,name\na.wav,x\nb.wav,y\n", b"name\n" + 3 * b"one two\n"), _list),
    "trial_list_gz": Target(".csv.gz", (gzip.compress(b"id,name\na.wav,x\nb.wav,y\n", mtime=0), b"id,name\na.wav,x\nb.wav,y\n"),
                            _packed(_list)),
    "corpus_list": Target(".txt", tuple(f"{name}\n{miniatures.FILES[name][place]}".encode() for name, place in LISTS.items()), _corpus),
    "timestamps": Target(".txt", (b"kagome/kagome.wav CtrSVDD_0000_T_0000001 0.0 0.5\ntombi 2/t.wav\tCtrSVDD_0000_T_0000002\t0.25\t1.0\n",),
                         _timestamps),
    "annotation": Target(".csv", (miniatures.FILES["singfake"]["singfake.csv"].encode(),
                                  b"Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url\nT02,spoof,Hokkien,T,e,RVC,"
                                  b"https://www.bilibili.com/video/BV11M411n7TC?p=5\nT04,spoof,x,y,z,w,https://youtu.be/uIWypArI73w\n"),
                         _annotation),
    "variant_plan": Target(".toml", tuple(path.read_bytes() for path in sorted(variant_plan.FOLDER.glob("*.toml"))[:3]), _plan),
    "setting": Target(".txt", (b"lr=1e-3", b'phases=[{"name": "a", "epochs": 1, "trainable": ["linear"], "mix": {}}]', b"mean_pool.bands=40",
                               b"lfcc_gmm.components=32", b"test_crop=middle", b"samples=48000", b'schedule={"name": "cosine_per_step"}',
                               b"short=zero", b"precision=bfloat16", b"swa=true"), _setting),
    "score_file": Target(".txt", (b"LA_E_1 A07 spoof -1.5\nLA_E_2 - bonafide 2.5\n", b"filename\tcm-score\na\t1.0\nb\t2\n",
                                  b"file,score,label\na.wav,0.5,spoof\n"), score_files.read),
    "scores_parquet": Target(".parquet", (_parquet(),), lambda p: trained.on_dev(p, source="fuzzed")),
    "run_json": Target(".json", (json.dumps(RECORD).encode(), b'{"detector": "aasist", "config": {"lr": 0.1}}'), _run_json),
    "asv_json": Target(".json", (b'{"eval": {"": {"p_fa": 0.1, "p_miss": 0.1, "p_fa_spoof": 0.5}, "a": {"p_fa": 0, "p_miss": 0, "p_fa_spoof": 1}}}',),
                       _record(recorded.ASV)),
    "failed_json": Target(".json", (b'{"run_id": "r", "protocol": "inner/x", "detector": "aasist", "seed": 0, "reason": "no room"}',),
                          _record(recorded.FAILED)),
    "train_json": Target(".json", (b'{"train_s": 0.5, "train_draws": 9, "best_epoch": 1, "epochs": 2, "curve": [[1, "loss", 0.5], [2, "loss", NaN]]}',),
                         _record(recorded.TRAINED)),
    "grid_json": Target(".json", (b'{"grid": "g", "title": "t", "source": "s", "note": "", "order": ["a"], "columns": {"c": ["", "eval"]}, '
                                  b'"levels": [["a", "r"]]}',), _record("g.json")),
    "protocol": Target(".toml", (_TOML,), _protocol),
    "predicate": Target(".sql", (b"corpus = 'wavefake' AND fold < 0.6", b"attack IN ('a', 'b') OR NOT (language = 'en')",
                                     b"duration_s BETWEEN 1 AND 2.5 AND attack IS NOT NULL AND path LIKE '%/x_%'",
                                     b"CASE WHEN speaker IS NULL THEN true ELSE fold_of(speaker) >= 0.5 END",
                                     b"CAST(rate_hz AS VARCHAR) || '' <> lower(split_part(utt_id, '/', 2))"), _predicate),
    "query": Target(".sql", (b"SELECT a, count(*) FROM run GROUP BY ALL", b"EXPLAIN ANALYZE SELECT 1",
                             b"WITH x AS (SELECT 1) PIVOT x ON a"), _sql),
    "weights": Target(".pth", (_saved({"a": torch.zeros(3)}), _saved({"state_dict": {"b": torch.ones(2, 2)}})), read_state),
    "safetensors": Target(".safetensors", (save({"a": torch.zeros(3), "b": torch.ones(2)}),), read_state),
    "export": Target(".json", (_settings(),), _export),
    "domain": Target(".json", (json.dumps(_domain_profile()).encode(), json.dumps(domain._domain(pa.table({
        "corpus": ["c"], "domain": ["speech"], "language": ["en"], "rate_hz": [16_000], "duration_s": [1.0],
        **{name: [1.0] for name in domain.FEATURES}})).as_json()).encode()), _domain),
}  # fmt: skip
