"""Tars held against the catalog: damage of every kind is named, and what is taken away is made anew as it was."""

import pyarrow.parquet as pq
import pytest
import small_corpus
import street

from features.__main__ import main as features
from ingest.files import lock
from ingest.types import DataError
from shards import verify, writer
from shards.__main__ import main
from shards.index import index_path


@pytest.fixture
def data(tmp_path):
    folder = small_corpus.build(tmp_path)
    writer.write_corpus("tiny", folder, audio_codec="pcm")
    features(["tiny", "--feature", "logmel", "--set", "bands=20", "--jobs", "1", "--data", str(folder)])
    return folder


def tars(data, kind):
    return sorted((data / kind).rglob("*.tar"))


def turned(path):
    """One bit of the audio, which PCM does not notice."""
    found = bytearray(path.read_bytes())
    found[700] ^= 1
    path.write_bytes(bytes(found))


def test_nothing_is_wrong_with_what_was_written(data, capsys):
    assert main(["verify", "--data", str(data), "--jobs", "2"]) == 0
    assert capsys.readouterr().out.endswith(f"{len(tars(data, '.'))} shards, {_size(data):.1f} MB: nothing wrong\n")


def _size(data):
    return sum(path.stat().st_size for path in tars(data, ".")) / 1e6


def test_damage_is_named_taken_away_and_made_anew_as_it_was(data, capsys):
    before = street.digest(data)
    bit, gone, cut, *_ = tars(data, "shards")
    index, computed = tars(data, "features")[:2]
    turned(bit)
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-600])
    index_path(index).unlink()
    turned(computed)
    damaged = "damaged: its bytes are not those that were written"
    reasons = {bit: damaged, gone: "absent", cut: damaged, index: "its index is absent or damaged", computed: damaged}
    capsys.readouterr()
    assert main(["verify", "tiny", "--data", str(data), "--jobs", "1"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert sorted(said[:5]) == sorted(f"{path}: {reason}" for path, reason in reasons.items())
    assert said[5].startswith(f"5 of {len(tars(data, '.')) + 1} shards")
    commands = [line.split()[3:] for line in said[7:]]
    assert [words[0] for words in commands] == ["tiny", "tiny"] and "--audio-codec pcm" in "\n".join(said[7:])
    assert main(["verify", "--remove", "--data", str(data), "--jobs", "1"]) == 0
    assert "5 removed" in capsys.readouterr().out and not any(path.exists() for path in reasons)
    for line in said[7:]:  # in the order that they are printed in: audio first
        street.call(*line.split()[2:], data=None)
    assert street.digest(data) == before
    assert main(["verify", "--data", str(data), "--jobs", "1"]) == 0


def test_nothing_is_removed_while_somebody_writes(data):
    broken = tars(data, "shards")[0]
    turned(broken)
    with lock(data / "shards" / "tiny" / ".lock"):
        done = street.call("shards", "verify", "--remove", data=data, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "process" in done.stderr, done.stderr
    assert broken.exists()


def test_an_unknown_corpus_is_one_line(data):
    with pytest.raises(DataError, match="unknown corpus with shards 'tyni'; did you mean tiny"):
        main(["verify", "tyni", "--data", str(data)])


@pytest.mark.parametrize("words", [[], ["tiny"]])
def test_a_catalog_without_shards_is_one_line_and_not_sound(tmp_path, words):
    with pytest.raises(DataError, match="has no shards; run: python -m shards all"):
        main(["verify", *words, "--data", str(small_corpus.build(tmp_path))])


def test_a_tar_that_may_not_be_read_is_not_taken_away(data, capsys, monkeypatch):
    """Shut to this user it was called wrong, and deleted with --remove."""
    shut, bit, *_ = tars(data, "shards")
    turned(bit)
    digest = verify.storage.digest

    def refused(tar):
        if tar == shut:
            raise PermissionError(13, "Permission denied", str(tar))
        return digest(tar)

    monkeypatch.setattr(verify.storage, "digest", refused)
    capsys.readouterr()
    words = ["verify", "--remove", "--data", str(data), "--jobs", "1"]
    assert main(words) == 1 and shut.exists() and index_path(shut).exists() and not bit.exists()
    said = capsys.readouterr().out
    assert f"{shut}: may not be read (permission denied): make it readable" in said and "\n1 removed" in said
    writer.write_corpus("tiny", data, audio_codec="pcm")
    assert main(words) == 1 and "removed" not in capsys.readouterr().out


def test_an_index_with_one_bit_turned_among_its_members_is_damaged(data, capsys):
    tar = tars(data, "shards")[0]
    path = index_path(tar)
    whole = path.read_bytes()
    at = pq.read_metadata(path).row_group(0).column(0).data_page_offset - 3  # the end of the words before that page
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert main(["verify", "--data", str(data), "--jobs", "1"]) == 1
    assert capsys.readouterr().out.startswith(f"{tar}: its index is absent or damaged\n1 of ")
