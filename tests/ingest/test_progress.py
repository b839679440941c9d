"""What a log says of long work, where there is no terminal to draw a bar on."""

import pytest

from ingest import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that go by as the test says."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(clock, capsys, *, total, each_s, count):
    with progress.Progress("train", total=total, unit="batch") as told:
        for _ in range(count):
            clock[0] += each_s
            told.add()
    return capsys.readouterr().err.splitlines()


def test_a_quick_rate(clock, capsys):
    assert lines(clock, capsys, total=400, each_s=0.25, count=41) == [
        "train: 40 of 400 batch, 4.0 batch/s, 01:30 left",
        "train: 41 of 400 batch, 4.0 batch/s, 01:29 left",
    ]


def test_a_slow_rate_and_days(clock, capsys):
    """It read "0.0 batch/s, 359964 s left"."""
    assert lines(clock, capsys, total=10_000, each_s=36.0, count=1) == [
        "train: 1 of 10000 batch, 36.0 s/batch, 99:59:24 left"
    ]


def test_the_last_line_is_not_said_twice(clock, capsys):
    assert lines(clock, capsys, total=2, each_s=12.0, count=2)[1:] == ["train: 2 of 2 batch, 12.0 s/batch, 00:00 left"]


def test_short_work_says_nothing(clock, capsys):
    assert lines(clock, capsys, total=2, each_s=3.0, count=2) == []


def test_without_a_total_there_is_no_end_to_tell(clock, capsys):
    assert lines(clock, capsys, total=None, each_s=10.0, count=1) == ["train: 1 batch, 10.0 s/batch"]


def test_nothing_done_yet_has_no_rate(clock, capsys):
    with progress.Progress("verify", total=5, unit="MiB") as told:
        clock[0] += 60
        told.add(0)
        told.add(6)  # more than was thought
    assert capsys.readouterr().err.splitlines() == ["verify: 6 of 5 MiB, 10.0 s/MiB, 00:00 left"]


def test_a_failure_after_some_work_ends_the_lines(clock, capsys):
    with pytest.raises(ValueError), progress.Progress("probe", total=9, unit="file") as told:
        clock[0] += 20
        told.add(3)
        told.add(1)
        raise ValueError
    assert capsys.readouterr().err.splitlines()[-1] == "probe: 4 of 9 file, 5.0 s/file, 00:25 left"
