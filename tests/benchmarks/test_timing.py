from types import SimpleNamespace

import pytest

from benchmarks.timing import interleaved


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that only sleeping advances, so that a busy machine changes nothing."""
    now = 0.0

    def sleep(seconds):
        nonlocal now
        now += seconds

    clock = SimpleNamespace(perf_counter=lambda: now, sleep=sleep)
    monkeypatch.setattr("benchmarks.timing.time", clock)
    return clock


def calls_of(clock, *names):
    """Return calls that record their turns; the first is slow and the others are fast."""
    turns = []

    def call(name, seconds):
        def run():
            turns.append(name)
            clock.sleep(seconds)

        return run

    pauses = (0.02, *(0.002 for _ in names[1:]))
    return {name: call(name, pause) for name, pause in zip(names, pauses, strict=True)}, turns


def test_medians_in_the_order_given(clock):
    calls, _ = calls_of(clock, "slow", "fast")
    timings = interleaved(calls, seconds=0.05, rounds=3)
    assert list(timings) == ["slow", "fast"]
    assert timings["slow"].microseconds == pytest.approx(20_000)
    assert timings["fast"].microseconds == pytest.approx(2_000)
    assert timings["slow"].rounds == timings["fast"].rounds == 3


def test_calls_alternate_in_order(clock):
    calls, turns = calls_of(clock, "a", "b")
    interleaved(calls, seconds=0.0, rounds=4)
    rounds = [name for before, name in zip([None, *turns], turns, strict=False) if name != before]
    # Preparation of a, then b; then a b, b a, a b, b a, with equal neighbours merged.
    assert "".join(rounds) == "abababa"


def test_much_slower_call_is_dropped_after_two_rounds(clock):
    calls, _ = calls_of(clock, "slow", "fast")
    timings = interleaved(calls, seconds=0.02, rounds=5, drop_above=6.0)
    assert timings["slow"].rounds == 2
    assert timings["fast"].rounds == 5


def test_far_slower_call_is_not_timed(clock):
    calls, _ = calls_of(clock, "slow", "fast")
    timings = interleaved(calls, seconds=0.02, rounds=5, drop_above=2.0)
    assert (timings["slow"].rounds, timings["slow"].calls) == (0, 1)
    assert timings["slow"].microseconds == pytest.approx(20_000)
    assert timings["fast"].rounds == 5


def test_very_long_call_gets_fewer_rounds(clock, monkeypatch):
    monkeypatch.setattr("benchmarks.timing.VERY_LONG", 0.01)
    calls, _ = calls_of(clock, "slow", "fast")
    timings = interleaved(calls, seconds=0.02, rounds=5)
    assert (timings["slow"].rounds, timings["fast"].rounds) == (3, 5)


def test_calls_fill_the_given_time(clock):
    calls, _ = calls_of(clock, "slow", "fast")
    timings = interleaved(calls, seconds=0.2, rounds=4)
    # 50 ms a round; rounding errors may exclude the last call.
    assert timings["slow"].calls == 2 * 4
    assert 24 * 4 <= timings["fast"].calls <= 25 * 4
