"""Faults planted in a simulated corpus and in one of real audio: each is reported, and clean data gives no alarm."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from shared_data import shared
from whole_corpus import ingest

import protocols
from ingest import simulate, status, verify
from ingest.catalog import connect
from ingest.types import DataError
from protocols.audit import audit
from protocols.labels import doubts

LA = "asvspoof2019_la"
OFFICIAL = "official/asvspoof2019_la"


class Copy:
    """A copy of a 2019 LA corpus that a test may damage."""

    def __init__(self, clean: Path, folder: Path):
        self.root, self.data = folder / "LA", folder / "data"
        shutil.copytree(clean / "LA", self.root)
        marker = {"counts": [[part, label, len(self.rows(part, label))] for part in ("train", "dev", "eval")
                             for label in ("bonafide", "spoof")]}  # fmt: skip
        (self.root / simulate.MARKER).write_text(json.dumps(marker))

    def protocol(self, part: str) -> Path:
        ending = "trn" if part == "train" else "trl"
        return self.root / f"ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{part}.{ending}.txt"

    def rows(self, part: str, label: str = "") -> list[list[str]]:
        rows = [line.split() for line in self.protocol(part).read_text().splitlines()]
        return [row for row in rows if row[4].endswith(label)]

    def write(self, part: str, rows: list[list[str]]) -> None:
        self.protocol(part).write_text("".join(" ".join(row) + "\n" for row in rows))

    def audio(self, row: list[str], part: str) -> Path:
        return self.root / f"ASVspoof2019_LA_{part}/flac/{row[1]}.flac"

    def change(self, part: str, label: str, how) -> None:
        """Rewrite the audio of every clip of this label by how(wave, rate_hz)."""
        for row in self.rows(part, label):
            wave, rate_hz = soundfile.read(self.audio(row, part))
            soundfile.write(self.audio(row, part), how(wave, rate_hz), rate_hz, subtype="PCM_16")

    def reported(self) -> set[tuple[str, str]]:
        """(kind, where) of what the audit fails or flags, (kind, '') of what verify finds."""
        ingest(LA, self.root, self.data)
        with connect(self.data / "catalog.duckdb") as con:
            findings = audit(con, protocols.load(OFFICIAL)).findings
        found = {(f.kind, f.detail if f.kind == "shortcut" else f.where) for f in findings
                 if f.level in ("fail", "flag")}  # fmt: skip
        return found | {(problem.kind, "") for problem in verify.verify(LA, self.data, jobs=1).problems}


@pytest.fixture(scope="module", params=["simulated", "real"])
def clean(request):
    """The folder above LA/ of a corpus in which nothing is wrong."""
    if request.param == "real":
        return shared("corpora", "mini-asvspoof2019-la", "LA").parent
    return request.getfixturevalue("simulated_la")


@pytest.fixture(scope="module")
def undamaged(clean, tmp_path_factory):
    return Copy(clean, tmp_path_factory.mktemp("undamaged")).reported()


@pytest.fixture
def copy(clean, tmp_path):
    return Copy(clean, tmp_path)


def test_clean_data_gives_no_alarm(undamaged):
    kinds = {kind for kind, _ in undamaged}
    assert kinds <= {"shortcut", "overlap_speaker"}  # the real clips lend five speakers of train to dev, as documented
    assert not any("silence" in detail for kind, detail in undamaged if kind == "shortcut")


def test_a_leaked_speaker(copy, undamaged):
    rows, (speaker, *_) = copy.rows("eval"), copy.rows("train", "bonafide")[0]
    copy.write("eval", [[speaker, *rows[0][1:]], *rows[1:]])
    assert ("overlap_speaker", "train/test.eval") in copy.reported() - undamaged


def test_copied_audio_under_a_new_name(copy, undamaged):
    train, test = copy.rows("train", "bonafide")[0], copy.rows("eval", "bonafide")[0]
    shutil.copy(copy.audio(train, "train"), copy.audio(test, "eval"))
    assert copy.reported() - undamaged >= {("overlap_audio", "train/test.eval"), ("duplicate_audio", "")}


def test_copied_audio_under_the_other_label(copy, undamaged):
    genuine, made = copy.rows("eval", "bonafide")[0], copy.rows("eval", "spoof")[0]
    shutil.copy(copy.audio(genuine, "eval"), copy.audio(made, "eval"))
    assert copy.reported() - undamaged >= {("contradiction", "all"), ("label_elsewhere", LA)}


def test_labels_flipped_without_their_attacks_are_refused(copy):
    rows = copy.rows("train")
    flipped = [[*row[:4], "spoof" if row[4] == "bonafide" else "bonafide"] for row in rows[10:30]]
    copy.write("train", [*rows[:10], *flipped, *rows[30:]])
    with pytest.raises(DataError, match=r"cm.train.trn.txt line 1\d"):
        ingest(LA, copy.root, copy.data)


def test_a_silence_shortcut(copy, undamaged):
    copy.change("eval", "spoof", lambda wave, rate_hz: np.concatenate([np.zeros(rate_hz), wave]))
    found = {detail.split()[0] for kind, detail in copy.reported() - undamaged if kind == "shortcut"}
    assert {"leading_silence_s", "duration_s"} <= found


def test_8_khz_material_upsampled(copy, undamaged):
    def upsampled(wave, rate_hz):
        return scipy.signal.resample_poly(scipy.signal.resample_poly(wave, 1, 2), 2, 1)[: len(wave)]

    copy.change("eval", "spoof", upsampled)
    found = copy.reported() - undamaged
    assert ("narrow_band", "") in found
    assert any(detail.startswith("bandwidth_hz") for kind, detail in found if kind == "shortcut")


def test_a_truncated_file(copy):
    ingest(LA, copy.root, copy.data)
    path = copy.audio(copy.rows("dev", "bonafide")[0], "dev")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (problem,) = [
        one for one in verify.verify(LA, copy.data, jobs=1).problems if one.kind in ("truncated", "unreadable")
    ]
    assert problem.count == 1 and path.stem in problem.first
    assert status.main(copy.data, [LA], as_json=True) == 1
    with pytest.raises(DataError, match=path.stem):
        ingest(LA, copy.root, copy.data)


@pytest.mark.parametrize("order", [(1, 0, 2, 3, 4), (0, 1, 3, 2, 4), (0, 1, 2, 4, 3), (0, 2, 1, 3, 4), (4, 1, 2, 3, 0)])
def test_swapped_columns(copy, order):
    copy.write("dev", [[row[index] for index in order] for row in copy.rows("dev")])
    with pytest.raises(DataError, match=r"cm.dev.trl.txt line [1-9]"):
        ingest(LA, copy.root, copy.data)


def exchanged(rows: list[list[str]], first: int, count: int) -> list[list[str]]:
    """`count` rows from `first` with their labels and all that goes with them exchanged, pair by pair."""
    block = rows[first : first + count]
    kinds = {label: itertools.cycle([row[3:] for row in rows if row[4] == label]) for label in ("bonafide", "spoof")}
    turned = [[*row[:3], *next(kinds["spoof" if row[4] == "bonafide" else "bonafide"])] for row in block]
    return [*rows[:first], *turned, *rows[first + count :]]


@pytest.mark.parametrize("first", [0, 90, 150])
def test_a_flipped_block_of_real_labels(first, tmp_path):
    """Real clips: a run of 60 of 168 rows of eval with the labels exchanged and plausible attacks."""
    copy = Copy(shared("corpora", "mini-asvspoof2019-la", "LA").parent, tmp_path)
    rows = copy.rows("eval")
    first = min(first, len(rows) - 60)
    copy.write("eval", exchanged(rows, first, 60))
    ingest(LA, copy.root, copy.data, partial=True)
    with connect(copy.data / "catalog.duckdb") as con:
        (doubt,) = doubts(con, [LA])
        assert audit(con, protocols.load(OFFICIAL)).failed
    flipped = {f"{LA}/{row[1]}" for row in rows[first : first + 60]}
    assert doubt.kind == "label_block" and len(doubt.utt_ids & flipped) > 0.8 * len(doubt.utt_ids | flipped)
