"""Which cells share a training, and what is scored together: neither hangs on what else a command does."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import synthetic_catalog
import torch

from benchmark import cells, reproduce, robustness, run, settings
from benchmark.detectors.mean_pool import MeanPool
from benchmark.distribution import ALONE
from features import imports
from ingest.types import DataError
from shards import root


@pytest.fixture(scope="module")
def con():
    return synthetic_catalog.connect(ids=10)


@pytest.fixture(scope="module")
def on(con):
    return cells.trials(con, "inner/decro_en", partial=True)


def cell(on, seed=0, **chosen):
    return cells.cell(
        on.protocol.name, on, settings.resolve("mean_pool", {"": chosen}, clip=None, weights=None), seed, True
    )


def changed(on, **protocol):
    return replace(on, protocol=replace(on.protocol, **protocol))


def test_what_a_protocol_decides_beside_its_trials_makes_another_training(on):
    """A user's protocol like another one, but for its balance or the groups of dev, took that one's network and scores."""
    assert on.protocol.balance == "oversample"
    weighed = replace(on.protocol.train, equal=("corpus",))
    others = [changed(on, balance="none"), changed(on, dev_mean_over="corpus"), changed(on, train=weighed)]
    made = [cell(found) for found in (on, *others)]
    assert len({c.train_key for c in made}) == len({c.run_id for c in made}) == 4
    assert cell(changed(on, title="another", note="another")).train_key == made[0].train_key


def test_other_audio_of_the_same_trials_is_another_run():
    """A clip that was ingested anew: what was trained or scored with the old one is not done."""
    con = synthetic_catalog.connect(ids=10)

    def measured(role, name):
        utt_id = cells.trials(con, "inner/decro_en", partial=True).role(role)["utt_id"][0].as_py()
        con.execute(
            "INSERT OR REPLACE INTO measurement BY NAME SELECT utt_id, corpus, 1 AS size_bytes, 1 AS mtime_ns, "
            "? AS audio_hash FROM utterance WHERE utt_id = ?", [name, utt_id]
        )  # fmt: skip
        return cell(cells.trials(con, "inner/decro_en", partial=True))

    first, again, test, train = (
        measured(*what) for what in (("test", "a"), ("test", "a"), ("test", "b"), ("train", "c"))
    )
    assert first == again
    assert len({c.run_id for c in (first, test, train)}) == 3
    assert first.train_key == test.train_key != train.train_key


def test_copies_that_were_made_anew_otherwise_are_another_run(on):
    """Vocals of another Demucs, noise of another seed: what was scored through the old ones was taken for done."""
    con = synthetic_catalog.connect(ids=10)
    con.execute(root.SCHEMA.read_text())

    def made(role, variant, recipe):
        con.execute(
            "INSERT OR REPLACE INTO variant VALUES ('decro', ?, ?, NULL, NULL, NULL, '{}', '{}')", [variant, recipe]
        )
        heard = pc.if_else(pc.equal(on.rows["role"], role), "vocals", "original")
        rows = on.rows.set_column(on.rows.column_names.index("variant"), "variant", heard)
        return cells.fingerprints(rows, cells.heard(con, rows))

    first = made("test", "vocals", "[1]")
    assert first == made("test", "mp3-32k", "[2]")  # which nobody hears
    second = made("test", "vocals", "[2]")
    assert second[0] == first[0] and second[1] != first[1]
    train = made("train", "vocals", "[2]")
    assert all(a != b for a, b in zip(train, made("train", "vocals", "[1]"), strict=True))
    assert train == made("train", "vocals", "[2]")


def test_a_repetition_on_copies_that_were_made_otherwise_names_them(on, monkeypatch, tmp_path):
    """After vocals by other weights it told to ingest the corpora again, which changes nothing."""
    rows = on.rows.set_column(on.rows.column_names.index("variant"), "variant", pa.array(["vocals"] * len(on.rows)))
    about = {"protocol": "p", "partial": False, "trials_fingerprint": "then"}
    monkeypatch.setattr(reproduce, "_record", lambda *_: about)
    monkeypatch.setattr(reproduce.catalog, "connect", lambda *_: contextlib.nullcontext())
    for made, said in (
        (replace(on, rows=rows), r"again, and make its copies \(vocals\) as they were$"),
        (on, "again$"),
    ):
        monkeypatch.setattr(reproduce.grid, "trials", lambda *_, made=made, **__: made)
        with pytest.raises(DataError, match=said):
            reproduce.reproduce(tmp_path, "run", None)


def test_robustness_is_due_again_where_a_copy_was_made_anew_otherwise(on):
    con = synthetic_catalog.connect(ids=10)
    con.execute(root.SCHEMA.read_text())

    def run_id(seed, *words):
        con.execute(
            "INSERT OR REPLACE INTO variant VALUES ('decro', 'white-20db', '[]', NULL, NULL, ?, '{}', '{}')", [seed]
        )
        through = robustness._through(con, on, robustness._once(on.role("test"), "p"), words)
        about = {"config": cell(on).settings.as_json(), "protocol": "p", "seed": 0, "train_key": "k"}
        return robustness._cell("run", about, through, words).run_id

    noisy, plain = ("original", "white-20db"), ("original", "mp3-32k")
    assert run_id(0, *noisy) == run_id(0, *noisy) != run_id(1, *noisy)
    assert run_id(0, *plain) == run_id(1, *plain)


def test_robustness_is_due_again_where_the_code_is_another(on, monkeypatch):
    about = {"config": cell(on).settings.as_json(), "protocol": "p", "seed": 0, "train_key": "k"}
    first = robustness._cell("run", about, on, ["alaw"]).run_id
    monkeypatch.setattr(cells, "code_version", lambda *_: "another")
    assert robustness._cell("run", about, on, ["alaw"]).run_id != first


def test_robustness_says_which_test_clips_have_no_original_form(on, capsys):
    """Songs that a protocol tests as their vocals alone were left out without a word."""
    test = on.role("test")
    utterances, first = pc.count_distinct(test["utt_id"]).as_py(), test["utt_id"][0]
    assert robustness._once(test, "p").num_rows == utterances and not capsys.readouterr().err

    def as_vocals(which):
        return test.set_column(
            test.column_names.index("variant"), "variant", pc.if_else(which, "vocals", test["variant"])
        )

    left = robustness._once(as_vocals(pc.equal(test["utt_id"], first)), "p")
    assert left.num_rows == utterances - 1 and first not in left["utt_id"].to_pylist()
    said = f"1 of {utterances} test utterances of p are not tested in their original form; they are left out\n"
    assert capsys.readouterr().err == said
    with pytest.raises(DataError, match=f"^{utterances} of {utterances} test utterances of p .*another protocol$"):
        robustness._once(as_vocals(pc.is_valid(test["utt_id"])), "p")


def test_a_variant_that_is_named_twice_is_scored_once(con, on, monkeypatch, tmp_path):
    """Each of its trials stood twice in the score file, which every later `collect` refused."""
    seen = []
    monkeypatch.setattr(robustness, "_record", lambda *_: {"protocol": on.protocol.name, "partial": True})
    monkeypatch.setattr(robustness.catalog, "connect", lambda *_: contextlib.nullcontext(con))
    monkeypatch.setattr(robustness, "_refuse_missing", lambda con, test, words, data: seen.extend(words))
    monkeypatch.setattr(robustness.writer, "has_shards", lambda _: True)
    monkeypatch.setattr(robustness, "_through", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        robustness.score(tmp_path, "run", ["alaw", "original", "alaw"], None)
    assert seen == ["original", "alaw"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("vocals", "shards vocals decro --data d$"), ("original", "python -m shards decro --data d$"),
        ("alaw", "--plan robustness --data d$"), ("alow", "did you mean alaw"),
        ("speed-50", "--plan PLAN --data d, PLAN a file of yours that asks for it"),
    ],
)  # fmt: skip
def test_robustness_says_what_makes_a_copy_that_is_not_there(on, word, said):
    con = synthetic_catalog.connect(ids=10)
    con.execute(root.SCHEMA.read_text())
    with pytest.raises(DataError, match=said):
        robustness._refuse_missing(con, robustness._once(on.role("test"), "p"), [word], Path("d"))


def test_robustness_without_any_shards_is_one_line(con, on, monkeypatch, tmp_path):
    """A catalog that was made anew has no table of them yet: it ended in a traceback."""
    monkeypatch.setattr(robustness, "_record", lambda *_: {"protocol": on.protocol.name, "partial": True})
    monkeypatch.setattr(robustness.catalog, "connect", lambda *_: contextlib.nullcontext(con))
    for words in ([], ["alaw"]):
        with pytest.raises(DataError, match="has no shards; run: python -m shards all"):
            robustness.score(tmp_path, "run", words, None)


def test_robustness_takes_the_references_of_training(con):
    """It took those of the first subset by name, which are cut to a second."""
    on = cells.trials(con, "official/asvspoof5_track1_open_rat", partial=True)
    left = robustness._once(on.role("test"), on.protocol.name)
    assert set(left["subset"].to_pylist()) == {"eval_ref_real"} and set(left["reference_mode"].to_pylist()) == {"real"}
    assert left["utt_id"].to_pylist() == sorted(set(on.role("test")["utt_id"].to_pylist()))


def test_the_plan_of_a_detectors_copies_decides_its_scores():
    """Another plan, or another speed: fd_add's run was taken for done."""
    copies = {cells.ROOT / path for path in (*cells.COPYING_SOURCES, "shards/plans/fd_add.toml")}
    assert all(path.is_file() for path in copies) and copies <= cells.sources("fd_add", "logspec")
    assert not copies & cells.sources("mean_pool", "logmel")


@pytest.mark.parametrize(
    ("detector", "own", "computed"),
    [("ctrsvdd_lfcc", "raw", {"lfcc"}), ("sfatnet", "raw", {"logspec", "f0"}), ("uniaudio_mfcc", "raw", {"mfcc"}),
     ("fd_add", "logspec", {"f0"}), ("lfcc_gmm", "lfcc", set())],
)  # fmt: skip
def test_the_features_that_a_network_computes_decide_its_scores(detector, own, computed):
    """Another lfcc.py: runs of ctrsvdd_lfcc, whose input is the wave, were taken for done."""
    files = {path.stem for path in cells.sources(detector, own) if path.parent.name == "extractors"}
    assert {own, *computed} <= files and ("raw" in files) == (own == "raw")


def test_a_feature_that_there_is_not_is_named_with_the_nearest():
    with pytest.raises(DataError, match=r"unknown feature of mean_pool 'logmell'; did you mean logmel"):
        cells.sources("mean_pool", "logmell")


def test_protocols_of_one_clip_length_share_the_settings_of_a_detector(on, monkeypatch):
    """A grid of all detectors and protocols laid out a network for each cell."""
    asked, resolve = [], settings.resolve
    monkeypatch.setattr(settings, "resolve", lambda *words, **how: asked.append(how["clip"]) or resolve(*words, **how))
    shorter = replace(on, protocol=replace(on.protocol, clip=16_000))
    found = cells.resolve({"a": on, "b": on, "c": shorter}, ["mean_pool"], [0, 1], assignments={})
    assert asked == [on.protocol.clip, 16_000] and len({cell.run_id for cell in found}) == 6
    assert [cell.settings.input["samples"] for cell in found[::2]] == [48_000, 48_000, 16_000]


def test_a_detector_that_an_editor_of_windows_saved_names_its_features(tmp_path):
    (tmp_path / "own.py").write_bytes(b"\xef\xbb\xbffeature = 'lfcc'")
    assert [path.stem for path in cells._named_features(tmp_path / "own.py")] == ["lfcc"]


def test_what_lies_at_the_path_of_pretrained_weights_counts(on, tmp_path, monkeypatch):
    """Another file of the same name: the run from the old one was taken for done."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def begun_from(word):
        how = replace(settings.resolve("mean_pool", {}, clip=None, weights=None), config={"weights": word})
        made = cells.cell(on.protocol.name, on, how, 0, True)
        return made.run_id, made.train_key

    file, folder = tmp_path / "w.pt", tmp_path / "hub"
    folder.mkdir()
    absent = begun_from("~/w.pt")
    file.write_bytes(b"one")
    one = begun_from("~/w.pt")
    assert one == begun_from("~/w.pt")
    file.write_bytes(b"other")
    (folder / "model.safetensors").write_bytes(b"one")
    first = begun_from(str(folder))
    (folder / "README.md").write_text("not read")
    assert begun_from(str(folder)) == first
    (folder / "config.json").write_text("{}")
    found = {absent, one, begun_from("~/w.pt"), first, begun_from(str(folder))}
    assert len(found) == len({key for _, key in found}) == 5
    monkeypatch.chdir(tmp_path)
    drawn = begun_from("random")
    (tmp_path / "random").write_bytes(b"no weights")
    assert begun_from("random") == drawn


def test_modules_of_ones_own_decide_scores_wherever_they_lie(tmp_path, monkeypatch):
    """A network in a folder on PYTHONPATH: after an edit its runs were taken for done."""
    detector = (
        "import torch\nimport own_net.layers\nfrom own_loss import margin\nfrom ._mine import Net\nimport ingest.types"
    )
    files = {
        "siren/benchmark/detectors/own.py": detector,
        "siren/benchmark/detectors/_mine/__init__.py": "from .net import Net\nfrom benchmark.detectors._base import Detector",
        "siren/benchmark/detectors/_mine/net.py": "", "siren/benchmark/detectors/_base.py": "",
        "siren/benchmark/__init__.py": "", "siren/benchmark/detectors/__init__.py": "",
        "lab/own_net/layers.py": "from . import more\nfrom ..own_net.more import x", "lab/own_net/more.py": "",
        "lab/own_loss.py": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(imports, "ROOT", tmp_path / "siren")
    monkeypatch.setattr(cells, "ROOT", tmp_path / "siren")
    monkeypatch.setattr(cells, "DETECTORS", tmp_path / "siren/benchmark/detectors")
    monkeypatch.syspath_prepend(str(tmp_path / "lab"))
    imports._not_installed.cache_clear()
    found, pending = set(), [tmp_path / "siren/benchmark/detectors/own.py"]
    while pending:
        path = pending.pop()
        found.add(path)
        pending += set(imports.of(path)) - found
    left_out = {tmp_path / "siren/benchmark/__init__.py", tmp_path / "siren/benchmark/detectors/__init__.py"}
    assert found == {tmp_path / name for name in files} - left_out
    assert cells.outside() == sorted(tmp_path / name for name in files if name.startswith("lab"))


@pytest.mark.parametrize("column", ["attack", "speaker"])
def test_other_words_of_the_same_training_trials_are_another_training(column):
    """Detectors that learn attacks, or hear another clip of the speaker, took the network of the old words."""
    con = synthetic_catalog.connect(ids=10)

    def named(role, word):
        on = cells.trials(con, "cross_language/decro_zh_en", partial=True)
        utt_id = pc.filter(on.role(role)["utt_id"], pc.equal(on.role(role)["label"], "spoof"))[0].as_py()
        con.execute(f"UPDATE utterance SET {column} = ? WHERE utt_id = ?", [word, utt_id])
        return cell(cells.trials(con, "cross_language/decro_zh_en", partial=True))

    first, again, test, train = (
        named(*what) for what in (("train", "a"), ("train", "a"), ("test", "b"), ("train", "c"))
    )
    assert first == again == test  # what a test trial is called is told of the run that is done
    assert train.train_key != first.train_key and train.run_id != first.run_id


def test_a_cell_says_which_balance_was_used(on):
    assert cell(on).settings.training.balance == "oversample"
    assert cell(changed(on, balance="none")).settings.training.balance == "none"
    assert cell(on, balance="classes").settings.training.balance == "classes"
    assert cell(on, balance="oversample").train_key == cell(on).train_key


class Waves:
    def length(self, utt_id, variant="original"):
        return 800

    def span(self, utt_id, start, stop, variant="original"):
        return np.zeros(stop - start, np.float32)


class Mates(MeanPool):
    """Its scores are the batch that they were computed in: what the last bits of any network's hang on."""

    def score_batch(self, batch):
        return torch.full((len(batch.utt_id),), float(hash(tuple(batch.utt_id)) % 10**9))


def scored(con, names):
    """Scores of the cells of these protocols, one after the other in one command, and how many were computed."""
    known, made, numbers = {}, {}, []
    for name in names:
        found = cells.trials(con, name, partial=True)
        how = settings.resolve("mean_pool", {"": {"samples": 800, "batch_size": 8}}, clip=None, weights=None)
        one = cells.cell(name, found, how, 0, True)
        columns, number = run.scores_of(Mates(), one, found, Waves(), "cpu", known, ALONE)
        made[name] = columns["score"]
        numbers.append(number)
    return made, numbers


LA = ["cross_dataset/asvspoof2019_la", "official/asvspoof2019_la", "official/asvspoof2021_la"]


@pytest.mark.parametrize("names", [["inner/decro_zh", "cross_language/decro_zh_en"], LA, LA[::-1]])
def test_a_score_does_not_hang_on_the_cells_beside(con, names):
    """After a kill, or in a command of its own, a cell gets the same bytes; what is shared is computed once."""
    together, numbers = scored(con, names)
    for name, number in zip(names, numbers, strict=True):
        alone, all_of_it = scored(con, [name])
        assert together[name] == alone[name]
        assert (number < all_of_it[0]) == (name != names[0])
        found = cells.trials(con, name, partial=True)
        assert set(alone[name]) == {
            key for role in ("dev", "test") for key in cells.score_keys(found.role(role), paired=False)
        }
