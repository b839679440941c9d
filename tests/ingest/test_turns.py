"""Timing in turns, on a clock that the test turns."""

from ingest import turns


def test_calls_take_turns_and_a_slow_phase_falls_on_both():
    now, order, ended = 0.0, [], []

    def call(name, seconds):
        def run():
            nonlocal now
            order.append(name)
            phase = 10 if 4 < len(order) <= 8 else 1  # two of the three rounds are slow
            now += phase * seconds
            return 5

        return run

    calls = {"ours": call("ours", 1.0), "peer": call("peer", 3.0)}
    timed = turns.in_turns(calls, 3, after=lambda: ended.append(len(order)), clock=lambda: now)
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]
    assert ended == [1, 2, 3, 4, 5, 6, 7, 8]
    assert timed.seconds == {"ours": [0.2, 2.0, 2.0], "peer": [0.6, 6.0, 6.0]}  # the first round warms up
    assert (timed.rate("ours"), timed.best("ours")) == (0.5, 5.0)


def test_the_ratio_is_that_of_the_same_round():
    timed = turns.Turns({"ours": [1.0, 8.0, 2.0], "peer": [3.0, 16.0, 8.0]})
    row = timed.row("ours against peer", "ours", "peer", unit="clips/s", reach=2.5)
    assert row.pop("ratio") == 3.0  # of 3, 2 and 4; the medians by themselves have 4
    assert row == {"name": "ours against peer", "value": 0.5, "unit": "clips/s", "limit": 1 / 8.0, "reach": 2.5}
