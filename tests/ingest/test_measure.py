"""Each property of a signal whose value is known beforehand, and the sweep over many files."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import whole_corpus

from ingest import measure, sweep

RATE_HZ = 16_000
T = np.arange(2 * RATE_HZ) / RATE_HZ


def measured(tmp_path, wave, rate_hz=RATE_HZ, name="x.wav", subtype="FLOAT"):
    soundfile.write(tmp_path / name, wave, rate_hz, subtype=subtype)
    row = measure.measure(tmp_path / name)
    assert row.get("fault") is None
    return row


def test_a_sine(tmp_path):
    row = measured(tmp_path, 0.5 * np.sin(2 * np.pi * 1000 * T) + 0.1)
    assert row["duration_s"] == 2.0 and row["frames"] == 32_000 and row["rate_hz"] == RATE_HZ and row["channels"] == 1
    assert row["peak"] == pytest.approx(0.6, abs=1e-6)
    assert row["dc"] == pytest.approx(0.1, abs=1e-6)
    assert row["loudness_db"] == pytest.approx(10 * np.log10(0.5**2 / 2 + 0.1**2), abs=1e-3)
    assert row["zero_crossing_hz"] == pytest.approx(2000, abs=2)
    assert row["noise_floor_db"] == pytest.approx(row["loudness_db"], abs=0.1)
    assert (row["leading_silence_s"], row["trailing_silence_s"], row["clipped_share"]) == (0, 0, 0)
    assert row["bandwidth_hz"] == pytest.approx(1000, abs=300)
    assert row["bitrate_bps"] == pytest.approx(32 * RATE_HZ, rel=0.01)
    assert (row["container"], row["subtype"]) == ("WAV", "FLOAT")


def test_silence_before_and_after(tmp_path):
    wave = np.concatenate([np.zeros(4000), 0.3 * np.sin(2 * np.pi * 300 * T), 0.001 * np.ones(1600)])
    row = measured(tmp_path, wave)
    assert row["leading_silence_s"] == pytest.approx(0.25)
    assert row["trailing_silence_s"] == pytest.approx(0.1)


def test_digital_silence(tmp_path):
    row = measured(tmp_path, np.zeros(RATE_HZ))
    assert row["leading_silence_s"] == row["trailing_silence_s"] == pytest.approx(1.0)
    assert row["loudness_db"] == row["noise_floor_db"] == measure.FLOOR_DB
    assert (row["bandwidth_hz"], row["tilt_db_per_octave"], row["peak"], row["zero_crossing_hz"]) == (0, 0, 0, 0)


def test_white_noise_is_flat_and_wide_and_one_over_f_falls(tmp_path):
    noise = np.random.default_rng(0).standard_normal(RATE_HZ * 8)
    row = measured(tmp_path, 0.1 * noise)
    assert abs(row["tilt_db_per_octave"]) < 0.3 and row["bandwidth_hz"] == 8000 and row["edge_db"] < 3
    spectrum = np.fft.rfft(noise)
    spectrum[1:] /= np.arange(1, spectrum.size)  # amplitude 1/f: -6.02 dB per octave
    pink = np.fft.irfft(spectrum)
    assert measured(tmp_path, 0.5 * pink / abs(pink).max())["tilt_db_per_octave"] == pytest.approx(-6.02, abs=0.5)


def test_a_band_that_ends_early(tmp_path):
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(RATE_HZ * 2))
    spectrum[int(spectrum.size * 0.5) :] = 0
    row = measured(tmp_path, 0.1 * np.fft.irfft(spectrum))
    assert row["bandwidth_hz"] == pytest.approx(4000, abs=100)
    assert row["edge_db"] > 60


def test_clipping_counts_samples_at_full_scale(tmp_path):
    wave = np.zeros(1000)
    wave[:10], wave[500:520] = 1.0, -1.0
    assert measured(tmp_path, wave, subtype="PCM_16")["clipped_share"] == pytest.approx(0.03)


def test_the_hash_is_of_the_samples_not_of_the_file(tmp_path):
    wave = 0.1 * np.random.default_rng(0).standard_normal(5000)
    wav = measured(tmp_path, wave, subtype="PCM_16")
    flac = measured(tmp_path, soundfile.read(tmp_path / "x.wav")[0], name="x.flac", subtype="PCM_16")
    samples = soundfile.read(tmp_path / "x.wav", dtype="float32")[0]
    assert wav["audio_hash"] == flac["audio_hash"] == hashlib.md5(samples.tobytes()).hexdigest()
    assert wav["container"] != flac["container"]


def test_levels_are_of_the_mean_of_the_channels(tmp_path):
    sine = 0.5 * np.sin(2 * np.pi * 500 * T)
    assert measured(tmp_path, np.stack([sine, -sine], axis=1))["loudness_db"] == measure.FLOOR_DB


def test_blocks_make_no_difference(tmp_path, monkeypatch):
    wave = 0.1 * np.random.default_rng(1).standard_normal((RATE_HZ * 25 + 77, 2))
    whole = measured(tmp_path, wave)
    monkeypatch.setattr("ingest.audio._BLOCK_SAMPLES", 5000)
    pieces = measure.measure(tmp_path / "x.wav")
    assert pieces.keys() == whole.keys()
    assert all(pieces[key] == pytest.approx(whole[key]) for key in whole)


def test_a_file_shorter_than_a_frame(tmp_path):
    row = measured(tmp_path, np.array([0.5, -0.5, 0.5]))
    assert row["duration_s"] == 3 / RATE_HZ and row["loudness_db"] == pytest.approx(10 * np.log10(0.25), abs=1e-3)


def files(folder, count):
    paths = [whole_corpus.noise(folder / f"{n}.wav", n, seconds=0.05) for n in range(count)]
    (folder / "bad.wav").write_bytes(b"")
    paths.append(folder / "bad.wav")
    stats = [path.stat() for path in paths]
    return pa.table({"file": [str(p) for p in paths], "size_bytes": [s.st_size for s in stats],
                     "mtime_ns": [s.st_mtime_ns for s in stats]})  # fmt: skip


def test_processes_give_what_one_gives(tmp_path):
    table = files(tmp_path, 70)
    one = sweep.sweep(table, tmp_path / "kept", jobs=1, what="t").sort_by("file")
    two = sweep.sweep(table, tmp_path / "other", jobs=2, what="t").sort_by("file")
    assert one.equals(two) and one.num_rows == 71
    assert dict(zip(one["file"].to_pylist(), one["fault"].to_pylist()))[str(tmp_path / "bad.wav")] == "empty file"


def test_a_killed_sweep_goes_on_where_it_ended(tmp_path, monkeypatch):
    table = files(tmp_path, 99)
    monkeypatch.setattr(sweep, "_PART_ROWS", 32)
    calls = []
    real = measure.measure_all

    def dies(paths):
        calls.append(len(paths))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(paths)

    monkeypatch.setattr(measure, "measure_all", dies)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(table, tmp_path / "kept", jobs=1, what="t")
    whole = sweep.sweep(table, tmp_path / "kept", jobs=1, what="t")
    assert calls == [32, 32, 32, 32, 4]
    assert whole.sort_by("file").equals(sweep.sweep(table, tmp_path / "none", jobs=1, what="t").sort_by("file"))
    sweep.forget(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_file_that_changed_since_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "_PART_ROWS", 1)
    table = files(tmp_path, 3)
    before = sweep.sweep(table, tmp_path / "kept", jobs=1, what="t").sort_by("file")
    whole_corpus.noise(tmp_path / "0.wav", 99, seconds=0.2)
    after = sweep.sweep(files_again(table), tmp_path / "kept", jobs=1, what="t").sort_by("file")
    changed = [a != b for a, b in zip(before.to_pylist(), after.to_pylist())]
    assert changed == [True, False, False, False]


def test_a_file_that_could_not_be_read_is_tried_again(tmp_path, monkeypatch):
    """Its fault was kept: after a chmod, ingest said `Permission denied` for ever."""
    monkeypatch.setattr(sweep, "_PART_ROWS", 1)
    table = files(tmp_path, 3)
    whole = sweep.sweep(table, tmp_path / "none", jobs=1, what="t").sort_by("file")
    real = measure.opened

    def refused(path):
        if str(path).endswith("/1.wav"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(measure, "opened", refused)
        swept = sweep.sweep(table, tmp_path / "kept", jobs=1, what="t")
    assert "cannot be read (Permission denied)" in swept["fault"].to_pylist()
    assert sweep.sweep(table, tmp_path / "kept", jobs=1, what="t").sort_by("file").equals(whole)


def files_again(table):
    import os

    stats = [os.stat(path) for path in table["file"].to_pylist()]
    return pa.table({"file": table["file"], "size_bytes": [s.st_size for s in stats],
                     "mtime_ns": [s.st_mtime_ns for s in stats]})  # fmt: skip
