"""Counts of complete corpora: real protocol files through the parsers, against the published numbers."""

import gzip
import hashlib
import shutil
from pathlib import Path

import duckdb
import pytest
import synthetic_catalog
from shared_data import shared

import ingest
import protocols
from ingest import corpora, text
from ingest.types import DataError


def catalog_of(corpus: str, root: Path) -> duckdb.DuckDBPyConnection:
    """A catalog of one corpus, complete and with all audio as far as the catalog knows."""
    con = duckdb.connect()
    con.execute((Path(ingest.__file__).parent / "schema.sql").read_text())
    con.execute("INSERT INTO corpus VALUES (?, ?, 'speech', '', '', '', false, false, '')", [corpus, corpus])
    known = {row[0] for row in con.execute("DESCRIBE utterance").fetchall()}
    for table in corpora.get(corpus).tables(root):
        table = table.set_column(table.column_names.index("label"), "label", text.labels(table["label"]))
        con.register("rows", table.select([name for name in table.column_names if name in known]))
        con.execute(
            f"INSERT INTO utterance BY NAME SELECT *, '{corpus}' AS corpus, 'speech' AS domain, "
            "true AS audio_present, 'ok' AS audio_status, 3.0 AS duration_s, 16000 AS rate_hz, 1 AS channels FROM rows"
        )
    return con


def unpack(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.decompress(source.read_bytes()))


def counts(con, name, lists=None):
    table = protocols.trials(con, protocols.load(name), lists=lists)
    return {subset or role: both for (role, subset), both in protocols.counts(table).items()}


def test_asvspoof2019_la(tmp_path):
    for part in ("train.trn", "dev.trl", "eval.trl"):
        name = f"ASVspoof2019.LA.cm.{part}.txt"
        unpack(shared("protocols", "asvspoof2019_la", f"{name}.gz"), tmp_path / "ASVspoof2019_LA_cm_protocols" / name)
    con = catalog_of("asvspoof2019_la", tmp_path)
    found = counts(con, "official/asvspoof2019_la")
    assert found["train"] == (2580, 22800) and found["dev"] == (2548, 22296) and found["eval"] == (7355, 63882)
    assert {found[f"A{number:02}"] for number in range(7, 20)} == {(7355, 4914)}
    left = counts(con, "loao/asvspoof2019_la_A04")
    assert left["train"] == (2580, 19000) and left["eval"] == (7355, 63882)
    assert left["dev"][1] == 18580 and left["A04"][1] == 3716
    assert left["dev"][0] + left["A04"][0] == 2548
    from protocols.audit import audit

    assert not audit(con, protocols.load("official/asvspoof2019_la"), doubted=()).failed


def test_decro_en(tmp_path):
    for part in ("train", "dev", "eval"):
        unpack(shared("protocols", "decro", f"en_{part}.txt.gz"), tmp_path / f"en_{part}.txt")
    con = catalog_of("decro", tmp_path)
    found = counts(con, "inner/decro_en")
    assert found["train"] == (5128, 17413) and found["dev"] == (3049, 10503) and found["eval"] == (4306, 14884)
    assert found["xunfei"] == (4306, 367) and found["vits"] == (4306, 1209)


@pytest.fixture(scope="module")
def librisevoc():
    return catalog_of("librisevoc", shared("protocols", "librisevoc"))


def test_librisevoc_by_fold_is_right_to_about_half_a_percent(librisevoc):
    found = counts(librisevoc, "inner/librisevoc")
    ids = [line.removesuffix(".wav") for part in ("train", "dev", "test")
           for line in shared("protocols", "librisevoc", f"{part}.txt").read_text().split()]  # fmt: skip
    fold = [int.from_bytes(hashlib.md5(i.encode()).digest()[:8], "little") / 2**64 for i in ids]
    train, test = sum(f < 0.6 for f in fold), sum(f >= 0.8 for f in fold)
    assert found["train"] == (train, 6 * train) and found["eval"] == (test, 6 * test)
    assert abs(train - 7920) < 0.01 * 13201 and abs(test - 2641) < 0.01 * 13201
    whole = counts(librisevoc, "cross_method/librisevoc")
    assert {whole[attack][1] for attack in ("diffwave", "wavenet", "wavernn", "wavegrad")} == {13201}


def test_librisevoc_published_lists(librisevoc, tmp_path):
    (tmp_path / "LibriseVoc").mkdir()
    for part in ("val", "test"):
        shutil.copy(
            shared("protocols", "seed002_splits", f"librisevoc_{part}.csv.gz"),
            tmp_path / "LibriseVoc" / f"{part}.csv.gz",
        )
    found = counts(librisevoc, "inner/librisevoc_published", tmp_path)
    assert (found["train"], found["dev"], found["eval"]) == ((7920, 47520), (2640, 15840), (2641, 15846))


def test_a_list_that_was_cut_is_told_and_makes_the_trials_partial(librisevoc, tmp_path):
    (tmp_path / "LibriseVoc").mkdir()
    for part, kept in (("val", 2_000), ("test", None)):
        rows = gzip.decompress(shared("protocols", "seed002_splits", f"librisevoc_{part}.csv.gz").read_bytes())
        (tmp_path / "LibriseVoc" / f"{part}.csv").write_bytes(b"".join(rows.splitlines(keepends=True)[:kept]))
    protocol = protocols.load("inner/librisevoc_published")
    short = protocols.shortfalls(protocols.trials(librisevoc, protocol, lists=tmp_path))
    assert {s.role for s in short} == {"train", "dev"}  # what dev lacks went to train
    assert short[0].why.endswith("spoof trials, stated are 7,920 and 47,520: take the complete lists")
    librisevoc.execute("UPDATE corpus SET simulated = true")
    assert not protocols.shortfalls(protocols.trials(librisevoc, protocol, lists=tmp_path))
    librisevoc.execute("UPDATE corpus SET simulated = false")
    (tmp_path / "LibriseVoc" / "val.csv").unlink()  # train and dev need it, the test does not
    tested = protocols.tested(librisevoc, protocol, lists=tmp_path)
    assert not protocols.shortfalls(tested)
    with pytest.raises(DataError, match=r"needs the trial list LibriseVoc/val.csv"):
        protocols.trials(librisevoc, protocol, lists=tmp_path)
    cut = (tmp_path / "LibriseVoc" / "test.csv").read_text().splitlines()[:2000]
    (tmp_path / "LibriseVoc" / "test.csv").write_text("\n".join(cut))
    assert "eval" in {s.subset for s in protocols.shortfalls(protocols.tested(librisevoc, protocol, lists=tmp_path))}


def test_wavefake_published_lists(tmp_path):
    (tmp_path / "WaveFake").mkdir()
    ids = set()
    for part in ("val", "test"):
        packed = shared("protocols", "seed002_splits", f"wavefake_{part}.csv.gz")
        shutil.copy(packed, tmp_path / "WaveFake" / f"{part}.csv.gz")
        ids |= {
            line.rpartition(",")[2] for line in gzip.decompress(packed.read_bytes()).decode().split("\n")[1:] if line
        }
    assert len(ids) == 5100
    ids |= {f"LJ900-{number:04}" for number in range(8000)}  # the 8,000 that the lists do not name
    con = synthetic_catalog.connect(ids=2)
    con.execute("DELETE FROM utterance WHERE corpus = 'wavefake'")
    rows = [
        {"utt_id": f"wavefake/{attack}/{clip}", "label": "spoof" if attack else "bonafide", "attack": attack,
         "source_id": clip, "language": "en"}
        for clip in sorted(ids) for attack in (None, *synthetic_catalog.WAVEFAKE)
    ]  # fmt: skip
    con.execute("DELETE FROM measurement WHERE corpus = 'wavefake'")
    synthetic_catalog.add(con, "wavefake", rows)
    found = counts(con, "inner/wavefake_published", tmp_path)
    assert (found["train"], found["dev"], found["eval"]) == ((8000, 56000), (2000, 14000), (3100, 21700))


def test_asvspoof2021_df_list_of_seen_attacks(tmp_path):
    root = tmp_path / "df"
    unpack(
        shared("protocols", "asvspoof2021_df", "trial_metadata.eval-part.txt.gz"),
        root / "keys/DF/CM/trial_metadata.txt",
    )
    con = catalog_of("asvspoof2021_df", root)
    shutil.copy(shared("protocols", "seed002_splits", "asvspoof2021df_test-inner.csv.gz"), tmp_path / "seen.csv.gz")
    (tmp_path / "mine" / "cross_method").mkdir(parents=True)
    (tmp_path / "mine" / "cross_method" / "seen.toml").write_text("""
title = "seen"
scenario = "cross_method"
source = "the authors' list"
[lists.seen]
file = "seen.csv"
column = "trial"
id = "stem"
[train]
where = "corpus = 'asvspoof2021_df' AND partition = 'eval' AND fold < 0.5"
not_in = ["seen"]
bonafide = "false"
[dev]
where = "corpus = 'asvspoof2021_df' AND partition = 'eval' AND fold >= 0.5"
not_in = ["seen"]
bonafide = "false"
[test.seen]
where = "corpus = 'asvspoof2021_df' AND partition = 'eval'"
in = ["seen"]
""")
    protocol = protocols.load("cross_method/seen", tmp_path / "mine")
    rows, _ = protocols.select(con, protocol, lists=tmp_path)
    found = protocols.counts(rows)
    assert found[("test", "seen")] == (14869, 11313)
    assert found[("train", None)][1] + found[("dev", None)][1] == 55822 - 11313
    official = protocols.select(con, protocols.load("official/asvspoof2021_df"))[0].to_pylist()
    assert {row["attack"] for row in official if row["subset"] == "conc"} == {None, "A16"}
    assert sum(row["subset"] == "source_vcc2018" and row["label"] == "bonafide" for row in official) == 3780


def test_ctrsvdd_without_a14_has_no_a14_whatever_its_source_is_called(tmp_path):
    (tmp_path / "test.txt").write_text(
        "acesinger CtrSVDD_0001 CtrSVDD_0001_E_0000001 - - bonafide\n"
        "ACESinger CtrSVDD_0001 CtrSVDD_0001_E_0000002 - A14 deepfake\n"
        "elsewhere CtrSVDD_0002 CtrSVDD_0002_E_0000003 - A14 deepfake\n"
        "kising CtrSVDD_0003 CtrSVDD_0003_E_0000004 - A10 deepfake\n"
        "kising CtrSVDD_0003 CtrSVDD_0003_E_0000005 - - bonafide\n"
    )
    con = catalog_of("ctrsvdd", tmp_path)
    found = protocols.counts(protocols.select(con, protocols.load("official/ctrsvdd"))[0])
    for subset, both in {
        "test": (2, 3), "test_wo_a14": (1, 1), "test_wo_a14_all_bonafide": (2, 1), "test_a10": (1, 1),
        "test_a14": (2, 2), "test_acesinger_a14": (1, 1), "test_kising": (1, 1),
    }.items():  # fmt: skip
        assert found[("test", subset)] == both, subset
    for name, subset in (
        ("cross_domain/speech_to_singing", "ctrsvdd_test_wo_a14"), ("joint/all", "ctrsvdd_test_wo_a14"),
        ("cross_domain/singfake_to_ctrsvdd", "ctrsvdd_test_wo_a14"),
    ):  # fmt: skip
        assert protocols.counts(protocols.select(con, protocols.load(name))[0])[("test", subset)] == (1, 1), name
