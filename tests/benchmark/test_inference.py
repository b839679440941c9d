import json
import math
import shutil

import numpy as np
import pytest
import small_corpus
import soundfile
import torch
import trained_run
from shared_data import shared

from benchmark import cells, detectors, export, inference, run, settings, trained
from benchmark.__main__ import main
from benchmark.inference import DeepfakeDetector
from benchmark.loader import Loader
from benchmark.score import score
from features import extractors
from ingest import catalog
from ingest.audio import Unreadable
from ingest.files import sha256
from ingest.types import DataError
from shards import writer
from shards.reader import Reader


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(data folder, run id) of a trained mean_pool."""
    folder = tmp_path_factory.mktemp("run")
    return folder / "data", trained_run.make(folder)


@pytest.fixture(scope="module")
def detector(made):
    return DeepfakeDetector(made[1], data=made[0])


def test_every_clip_gets_the_benchmark_s_score(made, detector):
    data, run_id = made
    files = trained_run.clips(data)
    for utt_id, expected in trained_run.scores(data, run_id).items():
        verdict = detector.predict(files[utt_id])
        assert verdict.score == pytest.approx(expected, abs=1e-5)
        assert len(verdict.windows) == 1 and verdict.windows[0][2] == verdict.score == verdict.window_mean


def test_one_clip_survives_a_squeeze_too_much(made, monkeypatch):
    detector = DeepfakeDetector(made[1], data=made[0])
    file = next(iter(trained_run.clips(made[0]).values()))
    expected, plain = detector.predict(file).score, detector.network.score
    monkeypatch.setattr(detector.network, "score", lambda x: plain(x).squeeze())
    assert detector.predict(file).score == expected


@pytest.mark.parametrize("name", ["lfcc_lcnn", "lfcc_lcnn_s", "asdg"])
def test_other_inputs_and_crops_too(tmp_path, name):
    """Clips shorter and longer than the input, tiled, zero filled or whole; first and middle crop."""
    data = small_corpus.build(tmp_path)
    long = tmp_path / "tiny/audio/b1.flac"
    soundfile.write(long, small_corpus.clip(1, 16_000, 6.3), 16_000)
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        size = long.stat()
        con.execute(
            "UPDATE measurement SET size_bytes = ?, mtime_ns = ? WHERE utt_id = 'tiny/b1'",
            [size.st_size, size.st_mtime_ns],
        )
        con.execute("UPDATE utterance SET duration_s = 6.3 WHERE utt_id = 'tiny/b1'")
        rows = con.sql(
            "SELECT utt_id, label FROM utterance WHERE utt_id IN ('tiny/b1', 'tiny/b2', 'tiny/s3')"
        ).to_arrow_table()
    writer.write_corpus("tiny", data, jobs=1)
    torch.manual_seed(0)
    network = detectors.build(name).eval()
    weights = tmp_path / "w.pt"
    torch.save(network.state_dict(), weights)
    judge = DeepfakeDetector(weights, detector=name)
    spec = judge.trained.input
    loader = Loader(
        Reader(data), rows, spec, extractors.get(spec["feature"], **spec["params"]), batch_size=4, seed=0, train=False
    )
    expected = dict(zip(rows["utt_id"].to_pylist(), score(network, loader)))
    for utt_id, path in trained_run.clips(data).items():
        if utt_id in expected:
            verdict = judge.predict(path)
            assert verdict.score == pytest.approx(expected[utt_id], abs=1e-5, rel=1e-5)
            assert (len(verdict.windows) > 1) == (utt_id == "tiny/b1")
            assert verdict.verdict is None and verdict.llr is None and verdict.threshold is None
            assert verdict.warnings[0].startswith("not calibrated")


def test_windows_lie_on_the_time_line_and_one_is_the_benchmark_s(made, detector, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16_000 * 10 + 77), 16_000)
    verdict = detector.predict(path)
    assert [w[:2] for w in verdict.windows[:3]] == [(0.0, 3.0), (1.5, 4.5), (3.0, 6.0)]
    low, high = detector.threshold - 1, detector.threshold + 1
    for scores, verdict_of, said in (
        ((high, low, high), "bonafide", "1 of 3 windows says spoof, most clearly 1.5 to 4.5 s"),
        ((high, low, high), "spoof", "2 of 3 windows say bona fide, most clearly 0.0 to 3.0 s"),
    ):
        spans = [(*window[:2], score) for window, score in zip(verdict.windows, scores)]
        assert detector._disagreement(spans, verdict_of) == [said]
    assert verdict.windows[-1][1] == verdict.duration_s == (160_077) / 16_000
    assert verdict.window_mean == pytest.approx(np.mean([w[2] for w in verdict.windows]))
    middle = (160_077 - 48_000) // 2
    wave, _ = soundfile.read(path, dtype="float32")
    soundfile.write(tmp_path / "middle.wav", wave[middle : middle + 48_000], 16_000, subtype="FLOAT")
    assert detector.predict(tmp_path / "middle.wav").score == pytest.approx(verdict.score, abs=1e-6)


def test_a_recording_in_pieces_gets_the_score_of_the_whole(detector, tmp_path, monkeypatch):
    path = tmp_path / "long.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((44_100 * 9, 2)), 44_100)
    whole = detector.predict(path)
    monkeypatch.setattr(inference.windows, "WHOLE_SAMPLES", 50_000)
    monkeypatch.setattr(inference.windows, "KEPT_SAMPLES", 50_000)
    pieces = detector.predict(path)
    assert pieces.score == pytest.approx(whole.score, abs=1e-5)
    np.testing.assert_allclose(pieces.windows, whole.windows, atol=1e-5)


def test_a_detector_of_whole_utterances_says_when_it_cannot(tmp_path, monkeypatch):
    torch.manual_seed(0)
    torch.save(detectors.build("lfcc_lcnn").state_dict(), tmp_path / "w.pt")
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000 * 10), 16_000)
    judge = DeepfakeDetector(tmp_path / "w.pt", detector="lfcc_lcnn")
    assert not any("mean of the windows" in text for text in judge.predict(tmp_path / "a.wav").warnings)
    monkeypatch.setattr(inference, "WHOLE_S", 9.0)
    verdict = judge.predict(tmp_path / "a.wav")
    assert verdict.score == verdict.window_mean and "mean of the windows" in verdict.warnings[0]


def test_threshold_ratio_and_verdict_come_from_dev(made, detector):
    data, run_id = made
    calibration = detector.trained.calibration
    dev = trained_run.scores(data, run_id, "dev")
    assert 0 < calibration.n_bonafide + calibration.n_spoof == len(dev) < len(trained_run.scores(data, run_id))
    path = next(iter(trained_run.clips(data).values()))
    verdict = detector.predict(path)
    assert verdict.threshold == calibration.threshold
    assert verdict.verdict == ("bonafide" if verdict.score > verdict.threshold else "spoof")
    assert verdict.llr == calibration.llr(verdict.score)
    high = DeepfakeDetector(run_id, data=data, threshold=verdict.score)
    assert high.predict(path).verdict == "spoof"  # a score that only equals the threshold is not above it
    low = DeepfakeDetector(run_id, data=data, threshold=np.nextafter(verdict.score, -np.inf))
    assert low.predict(path).verdict == "bonafide"
    wary = DeepfakeDetector(run_id, data=data, prior=0.9)
    assert calibration.slope * wary.threshold + calibration.offset == pytest.approx(math.log(9))


def test_weights_alone_say_that_they_are_not_calibrated_and_can_be(made, tmp_path):
    data, run_id = made
    weights = data / "models" / "mean_pool-s0-abc" / "model.safetensors"
    path = next(iter(trained_run.clips(data).values()))
    bare = DeepfakeDetector(weights, detector="mean_pool").predict(path)
    assert bare.verdict is None and bare.llr is None
    scores = data / "scores" / run_id / "scores.parquet"
    copy = tmp_path / "dev.parquet"
    copy.write_bytes(scores.read_bytes())
    calibrated = DeepfakeDetector(weights, detector="mean_pool", calibrate_on=copy).predict(path)
    assert calibrated.verdict in ("bonafide", "spoof") and calibrated.score == bare.score
    assert not any(text.startswith("not calibrated") for text in calibrated.warnings)
    own = DeepfakeDetector(weights, detector="mean_pool", data=data, calibrate_on=run_id).predict(path)
    assert (own.verdict, own.llr) == (calibrated.verdict, calibrated.llr)  # the weights are those of that run


def test_another_detector_s_scores_calibrate_nothing(made, tmp_path):
    data, run_id = made
    torch.save(detectors.build("aasist").state_dict(), tmp_path / "w.pt")
    with pytest.raises(DataError, match="not aasist"):
        DeepfakeDetector(tmp_path / "w.pt", detector="aasist", data=data, calibrate_on=run_id)
    torch.save(detectors.build("mean_pool").state_dict(), tmp_path / "m.pt")
    with pytest.raises(DataError, match="other weights"):
        DeepfakeDetector(tmp_path / "m.pt", detector="mean_pool", data=data, calibrate_on=run_id)


def test_scores_of_clips_that_were_cut_otherwise_calibrate_nothing(made, tmp_path):
    data, run_id = made
    weights = data / "models" / "mean_pool-s0-abc" / "model.safetensors"
    shutil.copytree(data / "scores" / run_id, tmp_path / "scores" / run_id)
    shutil.copytree(data / "models", tmp_path / "models")
    path = tmp_path / "scores" / run_id / "run.json"
    about = json.loads(path.read_text())
    about["config"]["input"] |= {"samples": 64_600}
    path.write_text(json.dumps(about))
    for on in (run_id, path.with_name("scores.parquet")):
        with pytest.raises(DataError, match="clips with samples = 64600, here it is 48000"):
            DeepfakeDetector(weights, detector="mean_pool", data=tmp_path, calibrate_on=on)


def test_dev_scores_beside_references_calibrate_no_single_file(tmp_path):
    own = {"weights": "random", "small": True, "reference": "real"}
    run_id = trained_run.make(tmp_path, "rat", own=own, each=4, train=0)
    data = tmp_path / "data"
    said = f"not calibrated: dev of {run_id} was scored beside clips of the same speakers, which a single file does not have"
    alone = trained.from_run(data, run_id)  # a protocol without references
    assert said not in alone.remarks
    path = data / "scores" / run_id / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"protocol": "official/asvspoof5_track1_open_rat"}))
    found = trained.from_run(data, run_id)
    assert found.calibration is None and said in found.remarks
    assert DeepfakeDetector(found).threshold is None
    with pytest.raises(DataError, match="scored dev beside"):
        trained.recalibrated(alone, run_id, data)


def test_a_catalog_that_changed_takes_its_domain_with_it(tmp_path):
    run_id = trained_run.make(tmp_path, each=10, train=0)
    data = tmp_path / "data"
    about = json.loads((data / "scores" / run_id / "run.json").read_text())
    (data / "scores" / run_id / "run.json").write_text(json.dumps(about | {"train_fingerprint": "other"}))
    found = DeepfakeDetector(run_id, data=data)
    assert found.trained.domain is None and any(
        "the protocol or the code has changed since" in text for text in found.trained.remarks
    )


def test_a_run_of_other_sources_is_judged_with_a_word(tmp_path, monkeypatch):
    run_id = trained_run.make(tmp_path, each=4, train=0)
    data = tmp_path / "data"
    export.export(data, run_id, tmp_path / "export")
    for source in (run_id, tmp_path / "export"):
        assert not any("other sources" in text for text in DeepfakeDetector(source, data=data).trained.remarks)
    monkeypatch.setattr(cells, "code_version", lambda detector, feature: f"new {detector} of {feature}")
    for source in (run_id, tmp_path / "export"):
        said = [text for text in DeepfakeDetector(source, data=data).trained.remarks if "other sources" in text]
        assert len(said) == 1 and "here new mean_pool of logmel" in said[0]


def test_a_robustness_run_knows_the_training_of_its_run(tmp_path):
    run_id = trained_run.make(tmp_path, each=10, train=0)
    data = tmp_path / "data"
    tough = data / "scores" / f"robustness-{run_id}-0123456789ab"
    shutil.copytree(data / "scores" / run_id, tough)
    about = json.loads((tough / "run.json").read_text())
    more = {"run_id": tough.name, "protocol": "robustness/inner-librisevoc", "scenario": "robustness"}
    (tough / "run.json").write_text(json.dumps(about | more))
    ours, theirs = trained.from_run(data, run_id), trained.from_run(data, tough.name)
    assert theirs.domain == ours.domain is not None and theirs.provenance["corpora"] == ours.provenance["corpora"]
    assert trained.newest_run(data, "mean_pool") == run_id and trained.runs(data) == [run_id]  # one network, one run
    shutil.rmtree(data / "scores" / run_id)
    assert "unknown run" in trained.from_run(data, tough.name).remarks[-1]


@pytest.mark.parametrize(("condition", "said"), [("vocals", True), ("mixture", False), (None, False)])
def test_a_detector_of_voices_alone_says_how_to_hear_a_song(tmp_path, condition, said):
    run_id = trained_run.make(tmp_path, each=4, train=0)
    data = tmp_path / "data"
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("UPDATE utterance SET domain = 'singing', condition = ?", [condition])
    with catalog.connect(data / "catalog.duckdb") as con:
        on = cells.trials(con, trained_run.PROTOCOL, partial=True)
    path = data / "scores" / run_id / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"train_fingerprint": on.train_fingerprint}))
    found = trained.from_run(data, run_id)
    assert (trained.VOICES in found.remarks) == said and found.domain.domains == ("singing",)
    assert (trained.VOICES in DeepfakeDetector(found).trained.remarks) == said
    assert trained.VOICES not in DeepfakeDetector(found, separator=object()).trained.remarks


def test_a_run_of_lists_elsewhere_knows_its_training_by_them(tmp_path):
    run_id = trained_run.make(tmp_path, each=10, train=0)
    data, lists, own = tmp_path / "data", tmp_path / "lists", tmp_path / "data" / "protocols" / "inner" / "mine.toml"
    lists.mkdir()
    own.parent.mkdir(parents=True)
    (lists / "train.csv").write_text("id\n" + "\n".join(trained_run.clips(data)) + "\n")
    own.write_text(
        'like = "inner/librisevoc"\ntitle = "mine"\nsource = "test"\n[lists]\n'
        'listed = { file = "train.csv", column = "id", id = "utt_id" }\n'
        '[train]\nwhere = "corpus = \'librisevoc\' AND fold < 0.6"\nin = ["listed"]\n'
    )
    with catalog.connect(data / "catalog.duckdb") as con:
        on = cells.trials(con, "inner/mine", partial=True, lists=lists)
    path = data / "scores" / run_id / "run.json"
    more = {"protocol": "inner/mine", "train_fingerprint": on.train_fingerprint}
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    without = trained.from_run(data, run_id)
    assert without.domain is None and "name its folder with --lists DIR" in without.remarks[-1]
    found = trained.from_run(data, run_id, lists=lists)
    assert found.domain.utterances == on.role("train").num_rows
    assert DeepfakeDetector(run_id, data=data, lists=lists).trained.domain == found.domain
    for words in (["detect", next(iter(trained_run.clips(data).values())), "--run", run_id],
                  ["export", run_id, "--to", tmp_path / "to"]):  # fmt: skip
        assert main([str(word) for word in (*words, "--data", data, "--lists", lists)]) == 0
    assert trained.from_export(tmp_path / "to").domain == found.domain


@pytest.mark.parametrize(
    ("options", "words"),
    [({"threshold": 0.0, "prior": 0.5}, "pass one"), ({"overlap": 1.0}, "overlap"), ({"threshold": math.nan}, "finite"),
     ({"prior": 1.5}, "probability"), ({"device": "cuda:99"}, "CUDA"),
     ({"device": "gpu"}, "--device gpu cannot be used"), ({"device": "meta"}, "--device meta cannot be used"),
     ({"calibrate_on": "no-such-run"}, "unknown run")],
)  # fmt: skip
def test_wrong_usage_is_one_line(made, options, words):
    if "device" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(DataError, match=words):
        DeepfakeDetector(made[1], data=made[0], **options)


def test_runs_that_have_no_detector_are_refused(made, tmp_path):
    data, run_id = made
    with pytest.raises(DataError, match="unknown run"):
        DeepfakeDetector("inner-librisevoc-mean_pool-s0-xyz", data=data)
    with pytest.raises(DataError, match="--detector"):
        DeepfakeDetector(data / "models" / "mean_pool-s0-abc" / "model.safetensors", data=data)
    folder = tmp_path / "scores" / "probe"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"detector": "shortcut_tree", "config": {"probe": "x"}}))
    with pytest.raises(DataError, match="no detector that could hear"):
        DeepfakeDetector("probe", data=tmp_path)
    assert trained.newest_run(data, "mean_pool") == run_id
    with pytest.raises(DataError, match="no trained run of aasist"):
        trained.newest_run(data, "aasist")


def test_the_only_run_of_given_weights_needs_the_very_file(made, tmp_path):
    data, run_id = made
    weights = data / "models" / "mean_pool-s0-abc" / "model.safetensors"
    about = json.loads((data / "scores" / run_id / "run.json").read_text())
    about |= {"trained": False, "config": {**about["config"], "weights": sha256(weights)}}
    folder = tmp_path / "scores" / run_id
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "scores.parquet").write_bytes((data / "scores" / run_id / "scores.parquet").read_bytes())
    with pytest.raises(DataError, match="pass the same file"):
        DeepfakeDetector(run_id, data=tmp_path)
    torch.save(detectors.build("mean_pool").state_dict(), tmp_path / "m.pt")
    with pytest.raises(DataError, match="is not the file"):
        DeepfakeDetector(run_id, data=tmp_path, weights=tmp_path / "m.pt")
    assert DeepfakeDetector(run_id, data=tmp_path, weights=weights).trained.calibration is not None


@pytest.mark.parametrize("protocol", ["test_only/librisevoc", "cross_method/librisevoc"])
def test_a_file_is_scored_whatever_attacks_the_protocol_trains_on(made, tmp_path, protocol):
    """A published file has heads for attacks of its own: six here, where the protocols train on none and on two."""
    data, weights, small = made[0], tmp_path / "fd_add.pt", {"width": 8}
    torch.save(detectors.build("fd_add", weights="random", **small).state_dict(), weights)
    with catalog.connect(data / "catalog.duckdb") as con:
        on = cells.trials(con, protocol, partial=True)
    how = settings.resolve("fd_add", {"": small}, clip=None, weights=sha256(weights))
    cell = cells.cell(protocol, on, how, 0, False)
    folder = shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("scores", "models"))
    assert not run.run(folder, [cell], {protocol: on}, run.Machine("cpu", jobs=1), weights=weights)
    found = trained.from_run(folder, cell.run_id, weights=weights)
    assert len(found.network.labels) == 6


def test_the_attacks_that_are_trained_on_are_a_file_s_classes_where_it_has_as_many(tmp_path):
    path, words = tmp_path / "fd_add.pt", ["x", "y", "z"]
    torch.save(detectors.build("fd_add", weights="random", width=8, attacks=words).state_dict(), path)
    network, config, report = trained.scorer("fd_add", {"width": 8}, words, path)
    assert (list(network.labels), config["attacks"], report.missing) == (words, words, ())
    with pytest.raises(DataError, match="of another shape"):
        trained.scorer("fd_add", {"width": 8}, ["x"], path)


def test_weights_that_become_others_before_a_cell_loads_them_are_not_scored(made, tmp_path):
    """The record would name the file that the command found, or that its own node has."""
    data, _ = made
    with catalog.connect(data / "catalog.duckdb") as con:
        on = cells.trials(con, trained_run.PROTOCOL, partial=True)
    how = settings.resolve("mean_pool", {}, clip=None, weights="0" * 64)
    cell = cells.cell(trained_run.PROTOCOL, on, how, 0, False)
    for name in ("model.safetensors", "gone.safetensors"):
        weights = data / "models" / "mean_pool-s0-abc" / name
        machine = run.Machine("cpu", jobs=1)
        (failure,) = run.run(data, [cell], {cell.protocol: on}, machine, weights=weights, out=tmp_path)
        assert f"{name} is missing, or no longer the file that it was when this command began" in failure.reason


def test_other_weights_or_another_detector_beside_a_run_are_not_passed_over(made, tmp_path):
    data, run_id = made
    torch.save(detectors.build("mean_pool").state_dict(), tmp_path / "m.pt")
    for options, words in (
        ({"weights": tmp_path / "m.pt"}, f"is not what {run_id} trained"),
        ({"weights": tmp_path / "absent.pt"}, "is not a file"),
        ({"detector": "aasist"}, f"--detector aasist: {run_id} is of mean_pool"),
    ):
        with pytest.raises(DataError, match=words):
            DeepfakeDetector(run_id, data=data, **options)
    own = data / "models" / "mean_pool-s0-abc" / "model.safetensors"
    DeepfakeDetector(run_id, data=data, weights=own, detector="mean_pool")


def test_a_file_that_does_not_decode_is_named(detector, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF....WAVEfmt ")
    for path in (tmp_path / "a.wav", tmp_path / "absent.wav", tmp_path):
        with pytest.raises(Unreadable, match=str(path)):
            detector.predict(path)


@pytest.mark.parametrize("corpus", ["mini-in-the-wild", "mini-singfake", "mini-wavefake"])
def test_published_aasist_gives_the_reference_scores_of_real_clips(corpus):
    """16 to 48 kHz, speech and singing, shorter and longer than the input: two or three files of each."""
    golden = shared("golden", "detectors", "aasist_real_clips.json")
    told = json.loads(golden.read_text())["corpora"][corpus]["scores"]
    judge = DeepfakeDetector(golden.parent / "weights" / "AASIST.pth", detector="aasist")
    for name in sorted(told)[:: len(told) // 2]:
        verdict = judge.predict(shared("corpora", corpus, *name.split("/")))
        assert verdict.score == pytest.approx(told[name], abs=5e-5)


def test_a_bomb_is_not_decoded_to_its_end_before_it_is_refused(made, tmp_path, monkeypatch):
    from ingest import audio

    with soundfile.SoundFile(tmp_path / "bomb.flac", "w", 8_000, 1, "PCM_16") as file:
        for _ in range(40):
            file.write(np.zeros(8_000 * 60, np.int16))
    decoded, blocks = [], audio._soundfile_blocks
    monkeypatch.setattr(
        audio, "_soundfile_blocks", lambda *a: (decoded.append(len(block)) or block for block in blocks(*a))
    )
    judge = DeepfakeDetector(made[1], data=made[0], longest_s=60.0)
    with pytest.raises(audio.Unreadable, match="longer than"):
        judge.predict(tmp_path / "bomb.flac")
    assert sum(decoded) < 8_000 * 60 * 5


def test_there_is_a_word_for_what_nobody_can_judge(made, tmp_path):
    judge = DeepfakeDetector(made[1], data=made[0])
    for wave, said in (
        (np.zeros(32_000), "silence"), (0.1 * np.ones(160), "lasts 10 ms"), (np.sign(np.sin(np.arange(32_000))), "clipped: ")
    ):  # fmt: skip
        soundfile.write(tmp_path / "a.wav", wave, 16_000)
        assert any(text.startswith(said) for text in judge.predict(tmp_path / "a.wav").warnings)
    tone = 0.1 * np.sin(np.arange(32_000))
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -tone], axis=1), 16_000)  # one channel wired the wrong way
    assert any(text.startswith("silence in what is heard") for text in judge.predict(tmp_path / "a.wav").warnings)
    soundfile.write(tmp_path / "a.wav", tone, 16_000)
    assert not any("judge" in text or "clipped" in text for text in judge.predict(tmp_path / "a.wav").warnings)


def test_the_first_of_several_tracks_is_judged_and_the_others_are_told(made, tmp_path):
    import av

    def film(name, tones):
        with av.open(str(tmp_path / name), "w") as output:
            streams = [output.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in tones]
            for stream, step in zip(streams, tones):
                wave = (8_000 * np.sin(np.arange(32_000) / step)).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 16_000, 0
                output.mux([*stream.encode(frame), *stream.encode(None)])
        return judge.predict(tmp_path / name)

    judge = DeepfakeDetector(made[1], data=made[0])
    one, two = film("one.mkv", [5]), film("two.mkv", [5, 50])
    assert one.score == two.score
    assert "holds 2 audio tracks: the first one is judged" in two.warnings
    assert not any("tracks" in text for text in one.warnings)
