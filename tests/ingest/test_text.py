"""Protocol files: what is accepted, what is refused with file and line, and that mutated lines never crash."""

import gzip
import random
import re

import pytest

from ingest import text
from ingest.types import DataError

COLUMNS = ("speaker", "stem", "key")
PLAIN = b"s1 a bonafide\ns2 b spoof\ns3 c spoof\n"
ROWS = [("s1", "a", "bonafide", 1), ("s2", "b", "spoof", 2), ("s3", "c", "spoof", 3)]


def rows(path, columns=COLUMNS):
    return [tuple(row.values()) for row in text.fields(path, columns).to_pylist()]


def write(tmp_path, data):
    path = tmp_path / "protocol.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN[:-1],
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN.replace(b"\n", b"\r\n")[:-2],
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(b"s", b"\xef\xbb\xbfs", 1).replace(b"\ns3", b"\n\xef\xbb\xbfs3"),  # two files joined
        PLAIN.replace(b"\n", b" \t\n"),
        PLAIN.replace(b" ", b"\t"),
        PLAIN.replace(b" ", b"   "),
        b"  " + PLAIN.replace(b"\n", b"\n "),
        PLAIN + b"\n\n \n",
    ],
)
def test_blanks_line_ends_and_marks_make_no_difference(tmp_path, data):
    assert rows(write(tmp_path, data)) == ROWS


def test_blank_lines_do_not_move_the_line_numbers(tmp_path):
    assert [row[-1] for row in rows(write(tmp_path, b"\n\ns1 a bonafide\n \r\ns2 b spoof\n"))] == [3, 5]
    with pytest.raises(DataError, match=r"protocol.txt line 5: 2 fields where 3"):
        rows(write(tmp_path, b"\n\ns1 a bonafide\n \r\ns2 spoof\n"))


def test_a_compressed_file_is_read_through(tmp_path):
    path = tmp_path / "protocol.txt.gz"
    path.write_bytes(gzip.compress(PLAIN))
    assert rows(path) == ROWS
    assert text.width(path) == 3


def test_quotes_commas_and_backslashes_are_letters(tmp_path):
    assert rows(write(tmp_path, b's"1 a,b c\\d\n')) == [('s"1', "a,b", "c\\d", 1)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"s1 a bonafide\ns2 b - spoof\n", "line 2: 4 fields where 3 (speaker stem key) are due ('s2 b - spoof')"),
        (b"s1 a bonafide\ns2\n", "line 2: 1 fields where 3"),
        (b"s1 a bonafide\ns2 \xff spoof\n", "line 2: not a text file in UTF-8"),
        (b"s1 a bonafide\ns2 \0 spoof\n", "line 2: not a text file in UTF-8"),
        ("s1 a bonafide\n".encode("utf-16"), "line 1: not a text file in UTF-8"),
        (b"", "holds no line; expected 3 (speaker stem key)"),
        (b"\n \r\n", "holds no line"),
    ],
)
def test_a_fault_names_file_and_line(tmp_path, data, message):
    path = write(tmp_path, data)
    with pytest.raises(DataError, match=re.escape(f"{path}") + ".*" + re.escape(message)):
        rows(path)


def test_a_fault_behind_the_first_parse_block_is_found(tmp_path):
    path = write(tmp_path, b"s1 a bonafide\n" * 1_500_000 + b"s2 spoof\n")
    with pytest.raises(DataError, match="line 1500001: 2 fields"):
        rows(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.txt: cannot be read \(No such file"):
        rows(tmp_path / "none.txt")


def test_width_is_that_of_the_first_line_with_words(tmp_path):
    assert text.width(write(tmp_path, b"\xef\xbb\xbf\r\n  \n a  b c\r\nd\n")) == 3
    assert text.width(write(tmp_path, b"\n" * 70_000 + b"a b\n")) == 2
    assert text.width(write(tmp_path, b"")) == 0


def test_two_thousand_mutated_lines_are_rows_of_three_words_or_an_error_with_a_line(tmp_path):
    generator = random.Random(0)
    lines = [b"LA_%04d LA_E_%07d spoof" % (n, n) for n in range(200)]
    path = tmp_path / "protocol.txt"
    refused = 0
    for _ in range(2000):
        n = generator.randrange(200)
        line = bytearray(lines[n])
        for _ in range(generator.randrange(1, 4)):
            at = generator.randrange(len(line) + 1)
            line[at : at + generator.randrange(3)] = generator.randbytes(generator.randrange(3))
        path.write_bytes(b"\n".join([*lines[:n], bytes(line), *lines[n + 1 :]]))
        try:
            found = rows(path)
        except DataError as error:
            refused += 1
            assert re.match(rf"{re.escape(str(path))} line \d+: ", str(error)), error
        else:
            assert all(word and not word.isspace() for row in found for word in row[:3])
    assert 200 < refused < 2000


HEADER = ("file", "speaker", "label")


def test_csv_cells_may_hold_commas_quotes_and_lines(tmp_path):
    path = write(tmp_path, '\ufefffile,speaker,label\r\n0.wav,"Doe, ""J""",spoof \r\n\r\n1.wav,"a\nb",x'.encode())
    assert rows_csv(path) == [("0.wav", 'Doe, "J"', "spoof", 2), ("1.wav", "a\nb", "x", 4)]


def test_csv_columns_are_found_by_name(tmp_path):
    path = write(tmp_path, b"label,more,file,speaker\nspoof,1,0.wav,s\n")
    assert rows_csv(path) == [("0.wav", "s", "spoof", 2)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"0.wav,s,spoof\n", "line 1: the header '0.wav,s,spoof' lacks file, speaker, label"),
        (b"file,speaker,label\n0.wav,s\n", "line 2: 2 cells where the header has 3"),
        (b'file,speaker,label\n0.wav,"s,spoof\n', "line 2: not a CSV row"),
        (b"file,speaker,label\n0.wav,\xe9,spoof\n", "line 2: not a text file in UTF-8"),
        (b"\n", "holds no line; expected the header file,speaker,label"),
    ],
)
def test_a_csv_fault_names_file_and_line(tmp_path, data, message):
    with pytest.raises(DataError, match="protocol.txt.*" + re.escape(message)):
        rows_csv(write(tmp_path, data))


def rows_csv(path):
    return [tuple(row.values()) for row in text.csv_rows(path, HEADER).to_pylist()]


def test_label_words_in_every_spelling(tmp_path):
    words = text.fields(
        write(tmp_path, b"Bonafide\nbona-fide\nreal\ngenuine\nSpoof\ndeepfake\nfake\nunknown\nodd\n"), ["w"]
    )
    assert text.labels(words["w"]).to_pylist() == ["bonafide"] * 4 + ["spoof"] * 3 + ["unknown", "odd"]


def test_a_second_header_in_a_csv_file_is_refused_with_its_line(tmp_path):
    path = tmp_path / "meta.csv"
    path.write_text('file,label\n0.wav,spoof\nfile,"label"\n0.wav,spoof\n')
    with pytest.raises(DataError, match=r"meta\.csv line 3: the header again: several files were joined"):
        text.csv_rows(path, ("file", "label"))


def test_blanks_after_a_quoted_cell_are_no_part_of_the_row(tmp_path):
    path = tmp_path / "meta.csv"
    path.write_bytes(b'file,label \t\r\n"0.wav","a, b"  \r\n1.wav,c\t')
    assert text.csv_rows(path, ("file", "label")).to_pydict() == {
        "file": ["0.wav", "1.wav"], "label": ["a, b", "c"], "line": [2, 3],
    }  # fmt: skip
