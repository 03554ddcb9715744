import io
import re
import sys

import pytest
from tqdm.notebook import tqdm_notebook

from dart_keras.utils import progress as module
from dart_keras.utils.progress import progress, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """A clock that stands still until it is moved, in place of the module `time`."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def open_terminal(monkeypatch):
    # Not in a fixture: pytest sets up the standard error anew after these.
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module._ProgressLines, "_last_line", -30.0)
    return clock


@pytest.fixture
def _at_once(monkeypatch):
    # A bar would be there from the first item on.
    monkeypatch.setattr(module, "_BAR_DELAY", 0)


def some_items():
    yield from range(20)


@pytest.mark.parametrize("items", [range(20), [*range(20)], some_items(), zip(range(20))])
def test_all_items_come_through_in_order(items):
    received = list(progress(items, "counting", total=20))
    assert received == (list(zip(range(20))) if isinstance(items, zip) else list(range(20)))


def test_items_are_taken_one_at_a_time():
    taken = []
    source = (taken.append(item) or item for item in range(5))
    for item in progress(source, "counting"):
        assert taken == list(range(item + 1))


@pytest.mark.usefixtures("_at_once")
def test_a_terminal_sees_what_is_done_and_nothing_of_it_stays(capsys, monkeypatch):
    terminal = open_terminal(monkeypatch)
    for k in progress(range(20), "counting"):
        assert "counting" in terminal.getvalue(), k
    assert "/20" in terminal.getvalue()
    assert terminal.getvalue().split("\r")[-1].strip() == ""
    assert "\n" not in terminal.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("_at_once")
def test_a_bar_goes_away_where_a_loop_is_left_early(monkeypatch):
    terminal = open_terminal(monkeypatch)
    for k in progress(range(20), "counting"):
        if k == 3:
            break
    assert terminal.getvalue().split("\r")[-1].strip() == ""


def test_what_is_over_in_a_moment_shows_no_bar(monkeypatch):
    terminal = open_terminal(monkeypatch)
    assert list(progress(range(20), "counting")) == list(range(20))
    assert "counting" not in terminal.getvalue()


def test_a_notebook_has_bars_of_its_own_without_a_terminal(monkeypatch):
    class Bar(tqdm_notebook):
        disable = True

        def __init__(self, **options):
            self.options = options

    monkeypatch.setattr(module, "tqdm", Bar)
    bar = progress_bar("counting", 20)
    assert bar.options == {"desc": "counting", "total": 20, "leave": False, "delay": 1.5}


def test_a_log_gets_a_line_every_half_minute_with_the_time_left(clock, capsys):
    for _ in progress(range(20), "counting"):
        clock.now += 12
    assert capsys.readouterr() == (
        "",
        "counting: 3 of 20 done in 00:36, about 03:24 left\n"
        "counting: 6 of 20 done in 01:12, about 02:48 left\n"
        "counting: 9 of 20 done in 01:48, about 02:12 left\n"
        "counting: 12 of 20 done in 02:24, about 01:36 left\n"
        "counting: 15 of 20 done in 03:00, about 01:00 left\n"
        "counting: 18 of 20 done in 03:36, about 00:24 left\n",
    )


def test_a_log_gets_nothing_of_a_job_of_less_than_half_a_minute(clock, capsys):
    for _ in range(5):
        for _ in progress(range(20), "counting"):
            clock.now += 1.4
    assert capsys.readouterr() == ("", "")


def test_jobs_within_a_job_share_the_lines(clock, capsys):
    for _ in progress(range(4), "outer"):
        for _ in progress(range(10), "inner"):
            clock.now += 5
    lines = capsys.readouterr().err.splitlines()
    assert [re.match("[a-z]+: [0-9]+", line)[0] for line in lines] == [
        "inner: 6", "inner: 6", "inner: 6", "inner: 6",
    ]  # fmt: skip


def test_the_time_left_is_not_told_where_the_number_is_not_known(clock, capsys):
    for _ in progress(some_items(), "counting"):
        clock.now += 20
        if clock.now > 1050:
            break
    assert capsys.readouterr().err == "counting: 2 done in 00:40\n"


def test_steps_can_be_counted_by_hand(clock, capsys):
    with progress_bar("training", 3) as bar:
        for _ in range(3):
            clock.now += 40
            bar.update()
    assert capsys.readouterr().err.splitlines()[1:] == [
        "training: 2 of 3 done in 01:20, about 00:40 left",
        "training: 3 of 3 done in 02:00",
    ]


@pytest.mark.usefixtures("_at_once")
def test_an_error_of_the_items_comes_through():
    def broken():
        yield 1
        raise KeyError("broken")

    received = []
    with pytest.raises(KeyError, match="broken"):
        received.extend(progress(broken(), "counting"))
    assert received == [1]
