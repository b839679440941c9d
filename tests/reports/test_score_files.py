"""Files of scores as others write them: every layout, every fault."""

import gzip

import pyarrow as pa
import pytest
from shared_data import shared

from ingest.types import DataError
from reports import score_files
from reports.rescore import match, rescore

LAYOUTS = {
    "two columns": "LA_1 0.5\nLA_2 -1.5\n",
    "three columns": "LA_1.flac 0.5 bonafide\nLA_2.flac -1.5 spoof\n",
    "label first": "LA_1\tgenuine\t0.5\nLA_2\tfake\t-1.5\n",
    "asvspoof 2019": "LA_1 - bonafide 0.5\nLA_2 A07 spoof -1.5\n",
    "asvspoof 5": "filename\tcm-score\nLA_1\t0.5\nLA_2\t-1.5\n",
    "csv with header": "path,label,score\nLA_1.wav,Real,0.5\nLA_2.wav,Fake,-1.5\n",
    "csv without": "LA_1,0.5\r\nLA_2,-1.5\r\n",
    "other audio": "LA_1.aac 0.5\nLA_2.WEBM -1.5\n",
    "rat": "LA_1.flac,0.5,0\nLA_2.flac,-1.5,1\n",
    "rat with a header": "AUDIO_FILE_NAME,SCORE,LABEL\nLA_1,0.5,0\nLA_2,-1.5,1\n",
    "asvspoof 5 track 2": "filename\tcm-score\tasv-score\tsasv-score\nLA_1\t0.5\t2\t3\nLA_2\t-1.5\t1\t1\n",
    "header in another order": "score cm_label attack spk utt\n0.5 bonafide - p1 LA_1\n-1.5 spoof A07 p2 LA_2\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_reads_the_same(tmp_path, name):
    path = tmp_path / "scores.txt"
    path.write_text(LAYOUTS[name])
    table = score_files.read(path)
    assert table["file"].to_pylist() == ["LA_1", "LA_2"]
    assert table["score"].to_pylist() == [0.5, -1.5]
    if "label" in table.column_names:
        assert table["label"].to_pylist() == ["bonafide", "spoof"]
    assert ("label" in table.column_names) == (
        name not in ("two columns", "asvspoof 5", "asvspoof 5 track 2", "csv without", "other audio")
    )
    if "attack" in table.column_names:
        assert table["attack"].to_pylist() == [None, "A07"]
    assert score_files.read(path, sign=-1)["score"].to_pylist() == [-0.5, 1.5]


def test_columns_of_the_full_key_table_of_asvspoof_5_are_known(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(
        "tar_spk_anon,trial_anon,codec,attack_anon,cm-label,cm-score\n"
        "E_1,E_01,-,bonafide,bonafide,0.5\nE_2,E_02,C01,A17,spoof,-1.5\n"
    )
    table = score_files.read(path)
    assert table.drop_columns(["score", "label", "codec"]).to_pylist() == [
        {"file": "E_01", "attack": None, "speaker": "E_1"},
        {"file": "E_02", "attack": "A17", "speaker": "E_2"},
    ]


def test_labels_that_are_numbers_are_told_and_checked_where_they_can_be(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("LA_1,0.5,0\nLA_2,-1.5,1\nLA_3,0.1,nan\n")
    table = score_files.read(path)
    assert table["label"].to_pylist() == ["bonafide", "spoof", None]
    assert "0 = bona fide" in score_files.remarks(table)[0]
    with pytest.raises(DataError, match=r"1 rows have no label \(first: LA_3\); fill them in, or name their protocol"):
        rescore(path, data=tmp_path)
    trials = pa.table({"utt_id": ["LA_1", "LA_2", "LA_3"], "label": ["bonafide", "spoof", "spoof"]})
    names = pa.table({"utt_id": trials["utt_id"], "path": trials["utt_id"]})
    assert match(path, table, trials, names, partial=False)[0].num_rows == 3
    flipped = trials.set_column(1, "label", pa.array(["spoof", "bonafide", "spoof"]))
    with pytest.raises(DataError, match=r"2 labels disagree .*; labels are read as 0 = bona fide, 1 = spoof; write"):
        match(path, table, flipped, names, partial=False)


@pytest.mark.parametrize("content", [
    ",wav,score\n0,17.wav,0.5\n1,3.wav,-1.5\n",
    "id,audio_path,score\n5,17.wav,0.5\n2,3.wav,-1.5\n",
    ",wav,score\n0,17,0.5\n1,3,-1.5\n",
    "0,17.wav,0.5\n1,3.wav,-1.5\n",
    "0 17.wav bonafide 0.5\n1 3.wav spoof -1.5\n",
])  # fmt: skip
def test_the_index_of_a_data_frame_is_no_file(tmp_path, content):
    path = tmp_path / "scores.csv"
    path.write_text(content)
    table = score_files.read(path)
    assert table["file"].to_pylist() == ["17", "3"] and "attack" not in table.column_names
    assert score_files.remarks(table)[0].startswith("column 1 numbers the rows; the files are taken from column 2")


@pytest.mark.parametrize("content", [
    "file,duration,score\n0,1.5,0.5\n1,2.5,-1.5\n",
    "file,speech,score\n0,a,0.5\n1,b,-1.5\n",
    "0 0.5\n1 -1.5\n",
    "0,bonafide,0.5\n1,spoof,-1.5\n",
])  # fmt: skip
def test_files_named_by_numbers_are_files(tmp_path, content):
    path = tmp_path / "scores.csv"
    path.write_text(content)
    table = score_files.read(path)
    assert table["file"].to_pylist() == ["0", "1"] and score_files.remarks(table) == []


def test_gzip_is_read_through(tmp_path):
    path = tmp_path / "scores.txt.gz"
    path.write_bytes(gzip.compress(b"LA_1 0.5\nLA_2 -1.5\n"))
    assert score_files.read(path)["score"].to_pylist() == [0.5, -1.5]


@pytest.mark.parametrize("content, message", [
    ("", "is empty"),
    ("LA_1\n", "every line needs a file name and a score"),
    ("LA_1 x\nLA_2 y\n", "0 of the columns after the first are numbers"),
    ("LA_1 1\nLA_2 N/A\nLA_3 2\n", r"1 of 3 scores are not finite numbers \(first: 'N/A', row 2; of LA_2\)"),
    ("LA_1 1 2\n", "2 of the columns after the first are numbers"),
    ("LA_1 1\nLA_2 nan\n", r"1 of 2 scores are not finite numbers \(first: 'nan', row 2; of LA_2\)"),
    ("LA_1 -inf\nLA_2 2\n", r"1 of 2 scores are not finite numbers \(first: '-inf', row 1; of LA_1\)"),
    ("name,fake_prob\nLA_1,1\n,2\n", "line 1 has 'fake_prob' for a score; if it is a header, call that column score"),
    ("file score\nLA_1 1\nLA_2 x\n", r"1 of 2 scores are not finite numbers \(first: 'x', row 3; of LA_2\)"),
    ("file score\nLA_1 1\nLA_2 1_5\n", r"1 of 2 scores are not finite numbers \(first: '1_5', row 3; of LA_2\)"),
    ("file score\nLA_1 1\nLA_2 １\n", r"1 of 2 scores are not finite numbers \(first: '１', row 3; of LA_2\)"),
    ("file,score\nLA_1,1,2\n", "line 2: 3 columns, the first line has 2"),
    ("file,score\n\n\nLA_1,1,2\n", "line 4: 3 columns, the first line has 2"),
    ("file score label\nLA_1 1 bonafide\nLA_2 1 robot\n", "unknown label word 'robot'"),
])  # fmt: skip
def test_faults_of_the_file_are_named(tmp_path, content, message):
    path = tmp_path / "scores.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        score_files.read(path)


@pytest.mark.parametrize("name", ["B01", "B02"])
def test_scores_of_the_ctrsvdd_baselines_are_read(name):
    table = score_files.read(shared("protocols", "ctrsvdd", f"{name}.csv.gz"))
    assert table.column_names == ["file", "score"]
    numbers = sorted(int(file.rpartition("_")[2]) for file in table["file"].to_pylist())
    assert numbers == list(range(1, 92_770))  # the whole test set, each once
