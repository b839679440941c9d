"""Other people's scores: the official numbers, what fits the trials, and the way back."""

import gzip
import json

import duckdb
import made_results
import pyarrow as pa
import pytest
import waiting
from shared_data import shared

from benchmark import metrics, recorded, results
from ingest import catalog
from ingest.types import DataError
from reports import score_files
from reports.__main__ import main
from reports.export import export
from reports.leaderboard import write
from reports.rescore import match, rescore


def test_labels_in_the_file_are_enough(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("".join(f"u{k} {s} bonafide\n" for k, s in enumerate([3, 2, 1, 0.5]))
                    + "".join(f"v{k} {s} spoof\n" for k, s in enumerate([0.75, -3])))  # fmt: skip
    done = rescore(path, data=tmp_path, replicates=20)
    values = {r["metric"]: r["value"] for r in done.table.to_pylist() if r["factor"] is None}
    assert done.run_id is None
    assert values["eer"] == 0.375
    assert values["auc"] == 7 / 8
    assert values["cllr"] == metrics.cllr([3, 2, 1, 0.5], [0.75, -3])
    path.write_text("u1 1\nu2 2\n")
    with pytest.raises(DataError, match="has no labels; name the protocol"):
        rescore(path, data=tmp_path)
    path.write_text("u1 1 bonafide\nu1 2 spoof\n")
    with pytest.raises(DataError, match=r"1 files occur more than once \(first: u1\)"):
        rescore(path, data=tmp_path)


def test_blank_speakers_and_subsets_are_unknown(tmp_path):
    path = tmp_path / "scores.csv"
    lines = [f"{label[0]}{k},{k},{label},{f's{k}' * (k % 3 > 0)}\n"
             for label in ("bonafide", "spoof") for k in range(12)]  # fmt: skip
    path.write_text("file,score,label,speaker\n" + "".join(lines))
    rows = rescore(path, data=tmp_path, replicates=20).table.to_pylist()
    assert {r["level"] for r in rows} == {None, *(f"s{k}" for k in range(12) if k % 3)}
    whole = next(r for r in rows if r["metric"] == "eer" and r["factor"] is None)
    assert whole["ci_method"] == "stratified_bootstrap_20"  # the blank is no speaker
    path.write_text("file,score,label,subset\na,1,bonafide,eval\nb,0,spoof,\n")
    with pytest.raises(DataError, match=r"1 rows have no subset \(first: b\); fill them in, or leave the column out"):
        rescore(path, data=tmp_path)


@pytest.mark.parametrize("name, sign", [
    ("asvspoof2019_la_eval_resnet18_ocsoftmax", -1), ("asvspoof2019_la_eval_resnet18_softmax", 1),
    ("asvspoof5_eval_subset_w2v2_erm", 1), ("in_the_wild_xlsr_mamba", 1),
])  # fmt: skip
def test_published_files_give_the_official_numbers(tmp_path, name, sign):
    folder = shared("golden", "metrics", "real")
    wanted = json.loads((folder / "official.json").read_text())[name]
    asv = folder / "asvspoof2019_la_eval_asv.tsv.gz" if "2019" in name else None
    done = rescore(folder / f"{name}.tsv.gz", data=tmp_path, sign=sign, asv=asv, replicates=50)
    rows = {(r["factor"], r["level"], r["metric"]): r for r in done.table.to_pylist()}
    whole = wanted.get("pooled") or wanted["asvspoof5_track1"]
    assert rows[None, None, "eer"]["value"] == pytest.approx(whole["eer"], abs=1e-12)
    assert rows[None, None, "min_dcf"]["value"] == pytest.approx(whole["minDCF"], abs=1e-12)
    assert rows[None, None, "act_dcf"]["value"] == pytest.approx(whole["actDCF"], abs=1e-12)
    assert rows[None, None, "cllr"]["value"] == pytest.approx(whole["cllr"], abs=1e-9)
    assert rows[None, None, "auc"]["value"] == pytest.approx(wanted["auc"], abs=1e-9)
    assert rows[None, None, "eer"]["ci_low"] < whole["eer"] < rows[None, None, "eer"]["ci_high"]
    for attack, cell in wanted.get("per_attack", {}).items():
        assert rows["attack", attack, "eer"]["value"] == pytest.approx(cell["eer"], abs=1e-12)
    for codec, cell in wanted.get("per_codec", {}).items():
        assert rows["codec", codec, "min_dcf"]["value"] == pytest.approx(cell["minDCF"], abs=1e-12)
    if asv:
        assert rows[None, None, "min_tdcf_2019"]["value"] == pytest.approx(wanted["min_tdcf_2019"], abs=1e-9)
        assert rows[None, None, "min_tdcf_2021"]["value"] == pytest.approx(wanted["min_tdcf_2021_form"], abs=1e-9)


def test_2021_la_files_give_the_official_table_of_every_subset(tmp_path):
    folder = shared("golden", "metrics", "keyed")
    official = json.loads((folder / "official.json").read_text())
    done = rescore(folder / "la21_cm.tsv.gz", data=tmp_path, asv=folder / "la21_asv.tsv.gz", replicates=2)
    wanted = {("eer", "eer"): 1e-12, ("min_tdcf_2021", "min_tdcf"): 1e-9}
    found = {(r["subset"], r["factor"], r["level"], r["metric"]): r["value"] for r in done.table.to_pylist()}
    for subset in ("eval", "progress", "hidden"):
        table = official[f"2021_LA_{subset}"]
        for (metric, key), tolerance in wanted.items():
            for attack, row in zip(table["rows"], table[key]):
                for codec, value in zip(table["cols"], row):
                    level = [word for word in (attack, codec) if word != "Pooled"]
                    factor = [w for w, level in (("attack", attack), ("codec", codec)) if level != "Pooled"]
                    place = (subset, " x ".join(factor) or None, " x ".join(level) or None, metric)
                    if value == "nan" or value != value:
                        assert found.get(place) is None, place
                    elif place in found:  # tables of one codec or attack are the whole
                        assert found[place] == pytest.approx(value, abs=tolerance), place
        assert (subset, None, None, "min_tdcf_2021") in found
    assert ("eval", "attack x codec", "A07 x opus", "min_tdcf_2021") in found
    assert ("eval", "trim", "notrim", "eer") not in found  # one level is the whole


@pytest.mark.parametrize("column, word", [("codec", "opus"), ("attack", "A10")])
def test_a_file_of_one_codec_or_attack_meets_the_verifier_on_that(tmp_path, column, word):
    folder = shared("golden", "metrics", "keyed")
    lines = gzip.decompress((folder / "la21_cm.tsv.gz").read_bytes()).decode().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
    kept = [
        line for line, row in zip(lines[1:], rows)
        if row[column] == word or (column == "attack" and row["label"] == "bonafide")
    ]  # fmt: skip
    (tmp_path / "some.tsv").write_text("\n".join([lines[0], *kept]))
    done = rescore(tmp_path / "some.tsv", data=tmp_path, asv=folder / "la21_asv.tsv.gz", replicates=2)
    found = {(r["subset"], r["factor"], r["metric"]): r["value"] for r in done.table.to_pylist()}
    wanted = json.loads((folder / "official.json").read_text())["2021_LA_eval"]
    place = {"codec": ("Pooled", "opus"), "attack": ("A10", "Pooled")}[column]
    value = wanted["min_tdcf"][wanted["rows"].index(place[0])][wanted["cols"].index(place[1])]
    assert found["eval", None, "min_tdcf_2021"] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("content, message", [
    ("bonafide target 1\nbonafide nontarget 0\n", "no ASV spoof scores in all"),
    ("bonafide target 1\nbonafide nontarget x\n", "not finite numbers"),
    ("spk trial score\na b 1\n", "no column for attack"),
    ("bonafide target 1\nbonafide nontarget 0\nA07 spoof 0.5\nA08 fake 2\n", "unknown label word 'fake'; known: target,"),
])  # fmt: skip
def test_faults_of_an_asv_file_are_named(tmp_path, content, message):
    (tmp_path / "scores.txt").write_text("u1 1 bonafide\nu2 0 spoof\nu3 2 spoof\n")
    (tmp_path / "asv.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        rescore(tmp_path / "scores.txt", data=tmp_path, asv=tmp_path / "asv.txt")


@pytest.mark.parametrize("name", ["keyed/asv5_sasv", "real/asvspoof5_dev_sasv_demo"])
def test_track_2_files_give_the_official_numbers(tmp_path, name):
    folder = shared("golden", "metrics")
    done = rescore(folder / f"{name}.tsv.gz", data=tmp_path, replicates=20)
    value = {r["metric"]: r["value"] for r in done.table.to_pylist() if r["factor"] is None}
    official = json.loads((folder / name.split("/")[0] / "official.json").read_text())
    if name.startswith("keyed"):
        wanted, t_eer = official["asvspoof5_track2"], "t_eer_percent"
        assert value["a_dcf"] == pytest.approx(wanted["a_dcf"], abs=1e-12)
        assert value["min_tdcf_2021"] == pytest.approx(wanted["min_tdcf_with_given_asv_corrected"], abs=1e-12)
        assert value["min_tdcf_asvspoof5"] == pytest.approx(wanted["min_tdcf_default_asv"], abs=1e-12)
    else:
        wanted, t_eer = official["asvspoof5_dev_sasv_demo"], "t_eer_percent_accelerated"
        assert value["eer"] == pytest.approx(wanted["cm_track1"]["eer"], abs=1e-12)
        assert value["min_tdcf_asvspoof5"] == pytest.approx(wanted["min_tdcf_default_asv"], abs=1e-12)
        assert "no column names the files" in done.remarks[0]
    assert value["t_eer_percent"] == pytest.approx(wanted[t_eer], abs=1e-9)
    unit = "speaker" if name.startswith("keyed") else "stratified"
    for row in done.table.to_pylist():
        if row["factor"] is None and row["metric"] in ("a_dcf", "t_eer_percent", "min_tdcf_asvspoof5"):
            assert row["ci_method"] == f"{unit}_bootstrap_20"
            assert row["ci_low"] <= row["ci_high"]
            assert abs(row["value"] - (row["ci_low"] + row["ci_high"]) / 2) < row["ci_high"] - row["ci_low"]


def test_a_clip_is_tried_against_several_speakers_in_track_2(tmp_path):
    path = tmp_path / "track2.tsv"
    head = "spk\tfilename\tcm-label\tasv-label\tcm-score\tasv-score\tsasv-score\n"
    rows = [(f"s{k % 3}", f"E_{k // 2}", "bonafide", "nontarget" if k % 2 else "target", k, k % 5, 7 * k % 11)
            for k in range(12)]  # fmt: skip
    rows += [(f"s{k % 3}", f"E_{k // 2}", "spoof", "spoof", k - 10, k % 4, 3 * k % 7) for k in range(12, 18)]
    path.write_text(head + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    value = {r["metric"]: r["value"] for r in rescore(path, data=tmp_path, replicates=5).table.to_pylist()}
    classes = [[row[6] for row in rows if row[3] == word] for word in ("target", "nontarget", "spoof")]
    assert value["a_dcf"] == metrics.a_dcf(*classes)[0] and "t_eer_percent" in value
    rows[1] = ("s0", *rows[1][1:])
    path.write_text(head + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"1 files occur more than once \(first: s0 E_0\)"):
        rescore(path, data=tmp_path)


def test_scores_that_a_track_2_system_lacks_are_dashes(tmp_path):
    path = tmp_path / "track2.tsv"
    path.write_text("filename\tcm-score\tasv-score\tsasv-score\nE_0\t-\t-\t1\nE_1\t-\t-\t0\n")
    with pytest.raises(DataError, match="cm-score is - in every row; copy sasv-score there for its a-DCF"):
        score_files.read(path)
    path.write_text("filename\tcm-score\tasv-score\tsasv-score\nE_0\t2\t-\t1\nE_1\t1\t-\t0\n")
    assert score_files.read(path).column_names == ["file", "score", "sasv_score"]


def test_verification_scores_without_their_classes_are_refused(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("file cm_score asv_score label\na 1 2 bonafide\nb 0 1 spoof\n")
    with pytest.raises(DataError, match="a column asv_label of target, nontarget and spoof"):
        rescore(path, data=tmp_path)
    path.write_text("file cm_score asv_score asv_label\na 1 2 target\nb 0 1 spoof\n")
    with pytest.raises(DataError, match="subset all: no nontarget trials"):
        rescore(path, data=tmp_path)


@pytest.fixture
def data(tmp_path):
    """A catalog that can run inner/decro_en: two attacks, four eval trials of each kind."""
    with catalog.connect(tmp_path / "catalog.duckdb", read_only=False) as con:
        con.execute(
            "INSERT INTO corpus VALUES ('decro', 'DECRO', 'speech', 'CC BY 4.0', 'Ba et al.', '/nowhere', true, false, 'f')"
        )
        con.execute("""
            INSERT INTO utterance BY NAME
            SELECT 'decro/en_' || part || '/' || kind || k AS utt_id, 'decro' AS corpus, part AS "partition",
                   'en_' || part || '/' || part || kind || k || '.wav' AS path,
                   CASE kind WHEN 'b' THEN 'bonafide' ELSE 'spoof' END AS label,
                   CASE kind WHEN 'h' THEN 'hifigan' WHEN 'v' THEN 'vits' END AS attack, attack AS attack_raw,
                   part || kind || k AS source_id, 'en' AS language, 'speech' AS domain, true AS audio_present,
                   'ok' AS audio_status, 1.0 AS duration_s, 16000 AS rate_hz, 1 AS channels
            FROM (VALUES ('train'), ('dev'), ('eval')) p(part), (VALUES ('b'), ('h'), ('v')) q(kind), range(4) r(k)""")
    return tmp_path


def eval_scores(data, text=""):
    lines = [f"evalb{k}.wav {k}\n" for k in range(4)]
    lines += [f"some/folder/en_eval/evalh{k}.wav {k - 4}\n" for k in range(4)]
    lines += [f"evalv{k} {k - 0.5}\n" for k in range(4)]
    path = data / "theirs.txt"
    path.write_text("".join(lines) + text)
    return path


def test_an_external_run_is_checked_stored_and_shown(data):
    done = rescore(
        eval_scores(data, "other 1\n"), data=data, protocol="inner/decro_en", source="somebody 2025", partial=True
    )
    assert done.remarks[0] == "1 files are not test trials of this protocol (first: other)"
    assert not any("not run" in remark for remark in done.remarks)
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
        rows = con.sql(
            "SELECT entry, external, value FROM leaderboard WHERE subset = 'eval' AND metric = 'eer'"
        ).fetchall()
        assert rows == [
            ("theirs (external)", True, metrics.eer([0, 1, 2, 3], [-4, -3, -2, -1, -0.5, 0.5, 1.5, 2.5])[0])
        ]
        assert con.sql("SELECT source, seed FROM run").fetchall() == [("somebody 2025", None)]
        attacks = dict(con.sql("SELECT attack, eer FROM by_attack WHERE subset = 'eval'").fetchall())
        assert attacks["hifigan"] == 0
    assert "| theirs (external) |" in write(data).read_text()


def test_an_empty_cell_between_tabs_is_told_with_its_cure(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("file\tscore\tlabel\tattack\na\t1\tbonafide\t\nb\t0\tspoof\tA01\n")
    with pytest.raises(DataError, match=r"x\.tsv line 2: .*an empty cell is none: write - for it"):
        rescore(path, data=tmp_path)


def test_the_record_says_whether_the_scores_were_turned_round(data):
    for sign in (1.0, -1.0):
        done = rescore(eval_scores(data), data=data, protocol="inner/decro_en", sign=sign)
        assert recorded.run(data / "scores" / done.run_id)["sign"] == sign


def test_a_file_of_the_same_name_is_said_to_take_the_place_of_another(data):
    first = rescore(eval_scores(data), data=data, protocol="inner/decro_en")
    again = rescore(eval_scores(data), data=data, protocol="inner/decro_en")
    other = eval_scores(data, "evalb0 0\n")
    second = rescore(other, data=data, protocol="inner/decro_en")
    third = rescore(other, data=data, protocol="inner/decro_en", source="somebody else")
    place = [
        [remark for remark in done.remarks if "in the place of" in remark] for done in (first, again, second, third)
    ]
    assert [len(told) for told in place] == [0, 0, 1, 0] and first.run_id in place[2][0]
    beside = [remark for remark in third.remarks if "as one more run of the same detector" in remark]
    assert len(beside) == 1 and first.run_id in beside[0]
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
        assert con.sql("SELECT runs FROM seeds WHERE subset = 'eval' AND metric = 'eer'").fetchall() == [(2,)]


def test_scores_are_matched_to_the_published_list_whatever_audio_is_here(data):
    whole = rescore(eval_scores(data), data=data, protocol="inner/decro_en")
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute(
            "UPDATE utterance SET audio_present = false, audio_status = 'missing', duration_s = NULL "
            "WHERE \"partition\" <> 'eval' OR utt_id LIKE '%3'"
        )
    done = rescore(eval_scores(data), data=data, protocol="inner/decro_en")
    assert done.run_id == whole.run_id
    assert done.scores.drop_columns("duration_s").equals(whole.scores.drop_columns("duration_s"))
    assert json.loads((data / "scores" / done.run_id / "run.json").read_text())["partial"] is False
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("INSERT INTO expected_count VALUES ('decro', 'eval', NULL, NULL, 'spoof', 9, 8, 'V', 'list')")
    done = rescore(eval_scores(data), data=data, protocol="inner/decro_en")
    assert json.loads((data / "scores" / done.run_id / "run.json").read_text())["partial"] is True


@pytest.mark.parametrize("place", ["scores/.{run_id}.lock", "results.lock"])
def test_two_of_the_same_file_at_once_store_it_one_after_the_other(data, capsys, place):
    path = eval_scores(data)
    run_id = rescore(path, data=data, protocol="inner/decro_en", partial=True).run_id
    words = ["rescore", str(path), "--protocol", "inner/decro_en", "--partial", "--data", str(data)]
    assert waiting.second(data / place.format(run_id=run_id), lambda: main(words), capsys) == 0
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
        assert con.sql("SELECT run_id FROM run").fetchall() == [(run_id,)]


def test_what_does_not_fit_the_trials_is_refused(data):
    with pytest.raises(DataError, match="has two scores"):
        rescore(eval_scores(data, "evalb0 9\n"), data=data, protocol="inner/decro_en", partial=True)
    (data / "none.txt").write_text("x 1\ny 2\n")
    with pytest.raises(DataError, match="none of its 2 files is a test trial"):
        rescore(data / "none.txt", data=data, protocol="inner/decro_en", partial=True)
    (data / "index.csv").write_text("id,words,score\n1,yes,1\n2,no,2\n")
    told = r"none of its 2 files .* \(first: yes\); column 1 numbers the rows; the files are taken from column 2"
    with pytest.raises(DataError, match=told):
        rescore(data / "index.csv", data=data, protocol="inner/decro_en")
    (data / "labels.txt").write_text("evalb0 1 spoof\nevalh0 2 spoof\n")
    with pytest.raises(DataError, match=r"1 labels disagree with the catalog \(first: evalb0\)"):
        rescore(data / "labels.txt", data=data, protocol="inner/decro_en", partial=True)


def test_a_path_of_another_clip_is_no_trial_though_its_file_name_is_one(data):
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("""
            INSERT INTO utterance BY NAME
            SELECT replace(utt_id, 'en_eval', 'zh_eval') AS utt_id, replace(path, 'en_eval', 'zh_eval') AS path,
                   'zh' AS language, 'zh_eval' AS "partition", * EXCLUDE (utt_id, path, language, "partition")
            FROM utterance WHERE "partition" = 'eval'""")
    whole = rescore(eval_scores(data), data=data, protocol="inner/decro_en")
    more = "".join(f"any/where/zh_eval/evalh{k}.wav {k + 10}\n" for k in range(4))
    done = rescore(eval_scores(data, more), data=data, protocol="inner/decro_en")
    assert done.scores["score"].equals(whole.scores["score"])
    assert done.remarks[0].startswith("4 files are not test trials of this protocol (first: any/where/zh_eval/evalh0)")
    (data / "other.txt").write_text("zh_eval/evalb0 1\nevalv0 2\n/mnt/en_eval/evalh0.flac 3\n")
    done = rescore(data / "other.txt", data=data, protocol="inner/decro_en", partial=True)
    assert set(done.scores["utt_id"].to_pylist()) == {"decro/en_eval/v0", "decro/en_eval/h0"}


def test_a_folder_tells_clips_of_one_name_apart_though_the_path_lacks_its_first_ones(tmp_path):
    names = pa.table({
        "utt_id": ["w/real/1", "w/melgan/1_gen", "w/melgan/2_gen", "w/waveglow/1", "w/waveglow/2"],
        "path": ["real/wavs/1", "made/melgan/1_gen", "made/melgan/2_gen", "made/waveglow/1", "made/waveglow/2"],
    })  # fmt: skip
    trials = pa.table(
        {"utt_id": ["w/real/1", "w/melgan/1_gen", "w/melgan/2_gen"], "label": ["bonafide", "spoof", "spoof"]}
    )
    melgan, waveglow = ["wavs/1", "melgan/1_gen", "melgan/2_gen"], ["waveglow/1", "/mnt/waveglow/2"]
    scores = pa.table({"file": [*melgan, *waveglow], "score": [3.0, 1.0, 0.0, 9.0, 9.0]})
    table, _, remarks = match(tmp_path, scores, trials, names, partial=False)
    assert table["score"].to_pylist() == [3.0, 1.0, 0.0] and "2 files are not test trials" in remarks[0]
    windows = [f"D:\\{file}".replace("/", "\\") for file in (*melgan, *waveglow)]
    again, _, told = match(tmp_path, scores.set_column(0, "file", [windows]), trials, names, partial=False)
    assert again.equals(table) and "2 files are not test trials" in told[0]
    whole = pa.table({"utt_id": names["utt_id"], "label": ["bonafide"] + ["spoof"] * 4})
    table = match(tmp_path, scores, whole, names, partial=False)[0]
    assert table["score"].to_pylist() == [3.0, 1.0, 0.0, 9.0, 9.0]
    other = pa.table({"file": ["x/1", "melgan/1_gen", "melgan/2_gen"], "score": [3.0, 1.0, 0.0]})
    assert match(tmp_path, other, trials, names, partial=False)[0].num_rows == 3  # no folder that is known


def test_a_protocol_that_tests_a_clip_in_several_forms_is_refused(data):
    own = data / "protocols" / "inner"
    own.mkdir(parents=True)
    text = "\n".join([
        'title = "two forms"', 'scenario = "inner"', 'source = "nobody"', 'note = "none"',
        '[train]', "where = \"corpus = 'decro' AND partition = 'train'\"",
        '[dev]', "where = \"corpus = 'decro' AND partition = 'dev'\"",
        '[test]', "where = \"corpus = 'decro' AND partition = 'eval'\"",
        '[test.eval]', '[test.copies]', 'variant = "mp3-32k"',
    ])  # fmt: skip
    (own / "forms.toml").write_text(text)
    with pytest.raises(DataError, match=r"inner/forms tests 12 clips in several forms.*\(first: decro/en_eval/b0\)"):
        rescore(eval_scores(data), data=data, protocol="inner/forms")
    modes = text.replace("[test.eval]", '[test.eval]\nreference = { mode = "real" }')
    (own / "forms.toml").write_text(modes.replace('variant = "mp3-32k"', 'reference = { mode = "zero" }'))
    with pytest.raises(DataError, match=r"inner/forms tests 12 clips in several forms, by variant or reference"):
        rescore(eval_scores(data), data=data, protocol="inner/forms")
    (own / "forms.toml").write_text(modes.replace('variant = "mp3-32k"', 'reference = { mode = "real" }'))
    assert rescore(eval_scores(data), data=data, protocol="inner/forms").run_id
    (own / "forms.toml").write_text(text.replace('variant = "mp3-32k"', ""))
    assert rescore(eval_scores(data), data=data, protocol="inner/forms").run_id


def test_trials_without_a_score_are_refused_unless_meant(tmp_path):
    trials = pa.table({"utt_id": ["c/a/1", "c/b/1", "c/a/2"], "label": ["bonafide", "spoof", "spoof"]})
    names = pa.table({"utt_id": trials["utt_id"], "path": ["a/1", "b/1", "a/2"]})
    scores = pa.table({"file": ["a/1", "2"], "score": [1.0, 0.0]})
    with pytest.raises(DataError, match=r"1 of 3 test trials have no score \(first: c/b/1\)"):
        match(tmp_path, scores, trials, names, partial=False)
    table, missing, remarks = match(tmp_path, scores, trials, names, partial=True)
    assert table["score"].to_pylist() == [1.0, 0.0]
    assert (missing, len(remarks)) == (1, 1)
    stems = pa.table({"file": ["1", "2"], "score": [1.0, 0.0]})  # 1 means two utterances: it names none
    assert match(tmp_path, stems, trials, names, partial=True)[1] == 2
    told = r"2 of 3 .* \(first: c/a/1\); 1 names are of several trials each \(first: 1\): write them with their folders"
    with pytest.raises(DataError, match=told):
        match(tmp_path, stems, trials, names, partial=False)
    with pytest.raises(DataError, match=r"\(first: c/a/1\); 1 names .* ids$"):  # of which --partial leaves nothing
        match(tmp_path, stems.slice(0, 1), trials, names, partial=True)
    other = pa.table({"file": ["a/1", "x", "2"], "score": [1.0, 9.0, 0.0]})
    with pytest.raises(DataError, match=r"1 of 3 .*; 1 files are not test trials .* \(first: x\); add --partial"):
        match(tmp_path, other, trials, names, partial=False)
    shared = names.set_column(1, "path", pa.array(["a/1", "a/1", "a/2"]))  # of two corpora
    assert match(tmp_path, scores, trials, shared, partial=True)[1] == 2
    twice = pa.table({"file": ["a/1", "a/1", "b/1", "a/2"], "score": [1.0, 1.0, 0.5, 0.0]})
    assert "1 trials occur more than once" in match(tmp_path, twice, trials, names, partial=False)[2][0]


def test_the_way_back(data):
    made_results.make(data / "more")
    run_id = sorted(p.parent.name for p in (data / "more" / "scores").glob("*/run.json"))[0]
    for layout, first in (("asvspoof2019", "test_b0 - bonafide 3.0"), ("asvspoof2021", "test_b0 3.0"),
                          ("asvspoof5", "filename\tcm-score"), ("ctrsvdd", "test_b0 3.0")):  # fmt: skip
        assert export(data / "more", run_id, layout, data / "out.txt") == []
        assert (data / "out.txt").read_text().splitlines()[0] == first
    lines = (data / "out.txt").read_text().splitlines()
    assert lines == sorted(lines)
    assert len(lines) == 8  # shared bona fide once
    assert score_files.read(data / "out.txt").num_rows == 8
    with pytest.raises(DataError, match="unknown run"):
        export(data / "more", "no-such-run", "asvspoof5", data / "out.txt")
    with pytest.raises(DataError, match="unknown layout 'asvspof5'; did you mean asvspoof5"):
        export(data / "more", run_id, "asvspof5", data / "out.txt")


def test_rescored_results_survive_a_rebuild(data):
    done = rescore(eval_scores(data), data=data, protocol="inner/decro_en", partial=True)
    (data / "results.duckdb").unlink()
    results.collect(data, replicates=20)
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as con:
        assert con.sql("SELECT run_id FROM run").fetchall() == [(done.run_id,)]


def test_verification_scores_are_said_to_be_unused_beside_a_protocol(data):
    path = data / "track2.tsv"
    lines = [
        f"eval{kind}{k}\t{k - below}\t1\t2\n" for kind, below in (("b", 0), ("h", 4), ("v", 0.5)) for k in range(4)
    ]
    path.write_text("filename\tcm-score\tasv-score\tsasv-score\n" + "".join(lines))
    done = rescore(path, data=data, protocol="inner/decro_en", partial=True, replicates=5)
    assert any("verification scores are not used" in remark for remark in done.remarks)
