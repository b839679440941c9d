"""A catalog of a few clips made here, for tests of the stages after ingest."""

import hashlib
from pathlib import Path

import numpy as np
import soundfile

from ingest import catalog

ROWS = [  # stem, label, attack, language, rate_hz, container
    ("b1", "bonafide", None, "en", 16_000, "FLAC"),
    ("b2", "bonafide", None, "en", 24_000, "WAV"),
    ("j1", "bonafide", None, "ja", 48_000, "WAV"),
    ("s1", "spoof", "melgan", "en", 16_000, "FLAC"),
    ("s2", "spoof", "melgan", "en", 16_000, "WAV"),
    ("s3", "spoof", "hifi-gan v1", None, 22_050, "FLAC"),
    ("u1", "unknown", None, "en", 16_000, "FLAC"),
]  # fmt: skip


def clip(number: int, rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    """float64 (sample,): a tone in noise, another for each number."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return 0.3 * np.sin(2 * np.pi * (200 + 37 * number) * t) + 0.01 * np.random.default_rng(number).standard_normal(
        t.size
    )


def build(folder: Path, *, corpus: str = "tiny", rows: list = ROWS, gain: float = 1.0) -> Path:
    """Write the audio below folder/corpus and its catalog into folder/data; returns the data folder.

    gain: factor on the clips, which are cut at full scale.
    """
    root, data = folder / corpus, folder / "data"
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.begin()  # once for all rows: each commit waits for the disk
        con.execute(
            "INSERT INTO corpus BY NAME SELECT ? AS corpus, 'T' AS title, 'speech' AS domain, 'own' AS licence, "
            "'-' AS citation, ? AS root, false AS partial, true AS simulated, 'f0' AS fingerprint", [corpus, str(root)],
        )  # fmt: skip
        for number, row in enumerate(rows):
            stem, label, attack, language, rate_hz, container = row
            path = root / f"audio/{stem}.{container.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            wave = np.clip(np.rint(gain * clip(number, rate_hz) * 32768), -32768, 32767).astype(np.int16)
            soundfile.write(path, wave, rate_hz, subtype="PCM_16")
            con.execute(
                "INSERT INTO utterance BY NAME SELECT ? AS utt_id, ? AS corpus, ? AS path, ? AS label, ? AS attack, "
                "? AS source_id, ? AS language, 'speech' AS domain, true AS audio_present, 'ok' AS audio_status, "
                "? AS duration_s, ? AS rate_hz, 1 AS channels",
                [f"{corpus}/{stem}", corpus, f"audio/{path.name}", label, attack, stem, language, wave.size / rate_hz, rate_hz],
            )  # fmt: skip
            stat = path.stat()
            con.execute(
                "INSERT INTO measurement BY NAME SELECT ? AS utt_id, ? AS corpus, ? AS size_bytes, ? AS mtime_ns, "
                "? AS container, 'PCM_16' AS subtype, ? AS audio_hash",
                [f"{corpus}/{stem}", corpus, stat.st_size, stat.st_mtime_ns, container,
                 hashlib.md5(path.read_bytes()).hexdigest()],
            )  # fmt: skip
        con.commit()
    return data


def ingest_again(data, utt_id):
    """The audio of one clip is another, of the same length, and the catalog knows it."""
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        (path,) = con.execute("SELECT path FROM audio_file WHERE utt_id = ?", [utt_id]).fetchone()
        wave, rate_hz = soundfile.read(path, dtype="int16")
        soundfile.write(path, wave[::-1], rate_hz, subtype="PCM_16")
        stat = Path(path).stat()
        con.execute(
            "UPDATE measurement SET audio_hash = md5(audio_hash), size_bytes = ?, mtime_ns = ? WHERE utt_id = ?",
            [stat.st_size, stat.st_mtime_ns, utt_id],
        )
