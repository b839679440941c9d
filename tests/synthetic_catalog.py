"""A catalog of all ten corpora made of rows alone: small, complete in its kinds, without any audio."""

import functools
import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

import ingest
from ingest.catalog import SCHEMA_VERSION

VOCODERS = ["diffwave", "melgan", "parallel_wavegan", "wavegrad", "wavenet", "wavernn"]
WAVEFAKE = [
    "melgan", "parallel_wavegan", "multi_band_melgan", "full_band_melgan", "hifigan", "melgan_large", "waveglow",
]  # fmt: skip
DECRO = [
    "baidu", "fastspeech2", "hifigan", "multi_band_melgan", "nvcnet", "parallel_wavegan", "starganv2",
    "tacotron", "vits", "xunfei",
]  # fmt: skip
LA_CODECS = ["none", "alaw", "pstn", "g722", "ulaw", "gsm", "opus"]
DF_CODECS = ["nocodec", "low_mp3", "high_mp3", "low_m4a", "high_m4a", "low_ogg", "high_ogg", "mp3m4a", "oggm4a"]
DF_CLASS = {
    "A07": "autoregressive", "A08": "non_autoregressive", "A09": "traditional", "A16": "concatenation",
    "A19": "unknown",
}  # fmt: skip
SINGING = {"Training": 12, "Validation": 8, "T01": 8, "T02": 8, "T04": 6}
LISTENING_CODECS = ["mp3_128k", "ogg_64k", "adts_64k", "opus_64k"]
CORPORA = [
    "asvspoof2019_la", "asvspoof2021_df", "asvspoof2021_la", "asvspoof5", "ctrsvdd", "decro", "in_the_wild",
    "librisevoc", "singfake", "wavefake",
]  # fmt: skip


def attacks(first: int, last: int) -> list[str]:
    return [f"A{number:02}" for number in range(first, last + 1)]


def connect(path: Path | str = ":memory:", ids: int = 60) -> duckdb.DuckDBPyConnection:
    """An open catalog at `path` with every corpus, each of about ten to twenty times `ids` rows."""
    if path != ":memory:":
        shutil.copyfile(_made(ids), path)
        return duckdb.connect(str(path))
    con = duckdb.connect()
    con.execute(f"ATTACH '{_made(ids)}' AS made (READ_ONLY); COPY FROM DATABASE made TO memory; DETACH made")
    return con


@functools.cache
def _made(ids: int) -> Path:
    """The catalog of so many ids, made once in this process."""
    path = Path(_folder().name) / f"{ids}.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute((Path(ingest.__file__).parent / "schema.sql").read_text())
        con.execute("INSERT INTO meta VALUES (?)", [SCHEMA_VERSION])
        for corpus in CORPORA:
            add(con, corpus, list(rows(corpus, ids)))
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="siren-tests-")  # gone with the process


def add(con: duckdb.DuckDBPyConnection, corpus: str, found: list[dict], *, simulated: bool = True) -> None:
    """Insert rows and neutral measurements; `found` needs utt_id, label and what differs from the defaults."""
    domain = "singing" if corpus in ("ctrsvdd", "singfake") else "speech"
    con.execute(
        "INSERT OR REPLACE INTO corpus VALUES (?, ?, ?, 'none', 'none', '/nowhere', false, ?, 'none')",
        [corpus, corpus, domain, simulated],
    )
    names = [row[0] for row in con.execute("DESCRIBE utterance").fetchall()]
    defaults = dict.fromkeys(names) | {
        "corpus": corpus, "domain": domain, "audio_present": True, "audio_status": "ok", "duration_s": 3.0,
        "rate_hz": 16_000, "channels": 1,
    }  # fmt: skip
    full = [defaults | row for row in found]
    for row in full:
        stem = row["utt_id"].rpartition("/")[2]
        row["path"] = row["path"] or f"{row['utt_id'].removeprefix(corpus + '/')}.wav"
        row["source_id"] = row["source_id"] or stem
        row["attack_raw"] = row["attack"]
    types = {row[0]: row[1] for row in con.execute("DESCRIBE utterance").fetchall()}
    kinds = {"VARCHAR": pa.string(), "BOOLEAN": pa.bool_(), "DOUBLE": pa.float64(), "INTEGER": pa.int32()}
    table = pa.table({name: pa.array([row[name] for row in full], kinds[types[name]]) for name in names})
    con.register("new_rows", table)
    con.execute("INSERT INTO utterance BY NAME SELECT * FROM new_rows")
    con.register("new_measures", _measures([row["utt_id"] for row in full], corpus))
    con.execute("INSERT INTO measurement BY NAME SELECT * FROM new_measures")


def _measures(utt_ids: list[str], corpus: str) -> pa.Table:
    """Properties that know nothing of the label, and an audio hash of its own for every utterance."""
    rng = np.random.default_rng(int(hashlib.md5(corpus.encode()).hexdigest()[:8], 16))
    draw = {
        name: rng.normal(size=len(utt_ids))
        for name in ("leading_silence_s", "trailing_silence_s", "loudness_db", "peak", "dc", "noise_floor_db",
                     "bandwidth_hz", "tilt_db_per_octave", "zero_crossing_hz", "bitrate_bps")
    }  # fmt: skip
    return pa.table(
        {"utt_id": utt_ids, "corpus": [corpus] * len(utt_ids)}
        | {"size_bytes": [96_044] * len(utt_ids), "mtime_ns": [0] * len(utt_ids)}
        | {"container": ["WAV"] * len(utt_ids), "subtype": ["PCM_16"] * len(utt_ids)}
        | {"audio_hash": [hashlib.md5(utt_id.encode()).hexdigest() for utt_id in utt_ids]}
        | draw
    )


def rows(corpus: str, ids: int) -> Iterator[dict]:
    """The rows of one corpus, as `add` takes them."""
    yield from _MAKERS[corpus](ids)


def _row(utt_id: str, label: str, **columns: object) -> dict:
    return {"utt_id": utt_id, "label": label, **columns}


def _librisevoc(ids: int) -> Iterator[dict]:
    for number in range(ids):
        clip = f"{number % 9}_{number:03}_000000_000000"
        shared = {"source_id": clip, "speaker": str(number % 9), "language": "en", "partition": "train"}
        yield _row(f"librisevoc/gt/{clip}", "bonafide", **shared)
        for attack in VOCODERS:
            yield _row(f"librisevoc/{attack}/{clip}_gen", "spoof", attack=attack, **shared)


def _wavefake(ids: int) -> Iterator[dict]:
    for number in range(ids):
        clip = f"LJ001-{number:04}"
        shared = {"source_id": clip, "speaker": "LJ", "language": "en"}
        yield _row(f"wavefake/ljspeech/{clip}", "bonafide", **shared)
        for attack in WAVEFAKE:
            yield _row(f"wavefake/ljspeech_{attack}/{clip}_gen", "spoof", attack=attack, **shared)
        yield _row(f"wavefake/tts/gen_{number}", "spoof", attack="tts", speaker="LJ", language="en")
    for number in range(ids // 2):
        clip = f"BASIC5000_{number:04}"
        shared = {"source_id": clip, "speaker": "JSUT", "language": "ja"}
        yield _row(f"wavefake/jsut/{clip}", "bonafide", **shared)
        for attack in ("parallel_wavegan", "multi_band_melgan"):
            yield _row(f"wavefake/jsut_{attack}/{clip}_gen", "spoof", attack=attack, **shared)


def _decro(ids: int) -> Iterator[dict]:
    clips = itertools.count(1)
    for prefix, partition in itertools.product(("en", "ch"), ("train", "dev", "eval")):
        shared = {"language": {"ch": "zh"}.get(prefix, prefix), "partition": partition}
        for _ in range(ids // 4):
            name = f"{prefix}{next(clips):05}"
            yield _row(f"decro/{prefix}_{partition}/{name}", "bonafide", speaker=f"{prefix}{partition}", **shared)
        for attack, _ in itertools.product(DECRO, range(ids // 10)):
            # as published: vocoder copies of WaveFake recordings keep the recording's id
            copied = prefix == "en" and attack == "hifigan"
            source = f"LJ001-{next(clips) % ids:04}" if copied else None
            yield _row(
                f"decro/{prefix}_{partition}/{attack}{next(clips):05}", "spoof", attack=attack, source_id=source,
                **shared,
            )  # fmt: skip


def _asvspoof2019_la(ids: int) -> Iterator[dict]:
    for partition, letter, known in (
        ("train", "T", attacks(1, 6)), ("dev", "D", attacks(1, 6)), ("eval", "E", attacks(7, 19)),
    ):  # fmt: skip
        number = itertools.count(1_000_000)
        for label, attack in [("bonafide", None)] * (ids // 2) + [("spoof", word) for word in known * (ids // 6)]:
            n = next(number)
            yield _row(
                f"asvspoof2019_la/LA_{letter}_{n}", label, attack=attack, partition=partition, language="en",
                speaker=f"LA_{ord(letter):02}{n % 5:02}",
            )  # fmt: skip


def _asvspoof2021_la(ids: int) -> Iterator[dict]:
    number = itertools.count(1_000_000)  # the stems of 2019 eval again, for other recordings
    for phase, codec in itertools.product(("progress", "eval", "hidden"), LA_CODECS):
        for label, attack in [("bonafide", None)] * (ids // 10) + [("spoof", word) for word in attacks(7, 19)]:
            n = next(number)
            yield _row(
                f"asvspoof2021_la/LA_E_{n}", label, attack=attack, partition=phase, language="en", codec=codec,
                speaker=f"LA_69{n % 5:02}",
            )  # fmt: skip


def _asvspoof2021_df(ids: int) -> Iterator[dict]:
    number = itertools.count(2_000_000)
    for phase in ("progress", "eval", "hidden"):
        sources = ("asvspoof",) if phase == "progress" else ("asvspoof", "vcc2018", "vcc2020")
        codecs = DF_CODECS[:5] if phase == "progress" else DF_CODECS
        for source, codec in itertools.product(sources, codecs):
            known = attacks(7, 19) if source == "asvspoof" else [f"{source}-{n}" for n in range(len(DF_CLASS))]
            classes = list(DF_CLASS.values())
            for index, attack in enumerate([None] * (ids // 10) + known):
                n = next(number)
                yield _row(
                    f"asvspoof2021_df/DF_E_{n}", "spoof" if attack else "bonafide", attack=attack,
                    partition=phase, codec=codec, source_corpus=source, speaker=f"{source}{n % 5}",
                    language=("en", "fi", "de", "zh")[n % 4] if source == "vcc2020" else "en",
                    vocoder=DF_CLASS.get(attack, classes[index % len(classes)]) if attack else None,
                )  # fmt: skip


def _asvspoof5(ids: int) -> Iterator[dict]:
    codecs = ["none", *(f"C{number:02}" for number in range(1, 12))]
    for partition, letter, known in (
        ("train", "T", attacks(1, 8)), ("dev", "D", attacks(9, 16)), ("eval", "E", attacks(17, 32)),
    ):  # fmt: skip
        number = itertools.count(1)
        used = codecs if partition == "eval" else ["none"]
        for codec in used:
            for label, attack in [("bonafide", None)] * (ids // 6) + [("spoof", word) for word in known]:
                n = next(number)
                yield _row(
                    f"asvspoof5/{letter}_{n:010}", label, attack=attack, partition=partition, language="en",
                    codec=codec, speaker=f"{letter}_{n % 4:04}",
                )  # fmt: skip


def _in_the_wild(ids: int) -> Iterator[dict]:
    for number in range(ids):
        label = "spoof" if number % 3 == 0 else "bonafide"
        attack = "unknown" if label == "spoof" else None
        yield _row(f"in_the_wild/{number}", label, attack=attack, speaker=f"Speaker {number % 4}", language="en")


def _ctrsvdd(ids: int) -> Iterator[dict]:
    for partition, letter, known, sources in (
        ("train", "T", attacks(1, 8), ("opencpop", "ofuton")),
        ("dev", "D", attacks(1, 8), ("m4singer", "kiritan")),
        ("test", "E", attacks(9, 14), ("m4singer", "kising", "acesinger")),
    ):
        number = itertools.count(1)
        for source, attack in itertools.product(sources, [None] * (ids // 5) + known * (ids // 20)):
            if attack is not None and (source == "acesinger") != (attack == "A14"):
                continue
            n = next(number)
            singer = f"CtrSVDD_{ord(letter):02}{n % 20:02}"
            yield _row(
                f"ctrsvdd/{singer}_{letter}_{n:07}", "spoof" if attack else "bonafide", attack=attack,
                partition=partition, language="zh", speaker=singer, source_corpus=source,
            )  # fmt: skip


def _singfake(ids: int) -> Iterator[dict]:
    del ids
    for split, songs in SINGING.items():
        for song, condition in itertools.product(range(2 * songs), ("vocals", "mixture")):
            label = "bonafide" if song < songs else "spoof"
            shared = {
                "attack": None if label == "bonafide" else "unknown", "condition": condition,
                "song": f"{split}{song}", "speaker": f"{split} singer {song % 2}", "language": ("zh", "fa")[song % 2],
            }  # fmt: skip
            yield _row(
                f"singfake/{split}/{condition}/{song}", label, partition=split, source_id=f"{split}-{song}", **shared
            )
            if split == "T02":
                for codec in LISTENING_CODECS:
                    yield _row(
                        f"singfake/{codec}/{condition}/{song}", label, partition="T03", codec=codec,
                        source_id=f"{split}-{song}", **shared,
                    )  # fmt: skip


_MAKERS = {
    "asvspoof2019_la": _asvspoof2019_la, "asvspoof2021_df": _asvspoof2021_df,
    "asvspoof2021_la": _asvspoof2021_la, "asvspoof5": _asvspoof5, "ctrsvdd": _ctrsvdd, "decro": _decro,
    "in_the_wild": _in_the_wild, "librisevoc": _librisevoc, "singfake": _singfake, "wavefake": _wavefake,
}  # fmt: skip
