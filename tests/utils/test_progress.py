import io
import sys

import pytest

from dart_keras.utils import progress as module
from dart_keras.utils.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def _at_once(monkeypatch):
    # A bar would be there from the first item on.
    monkeypatch.setattr(module, "_DELAY", 0)


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
def test_nothing_is_written_where_there_is_no_terminal(capsys):
    assert list(progress(range(20), "counting")) == list(range(20))
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_at_once")
def test_a_terminal_sees_what_is_done_and_nothing_of_it_stays(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for k in progress(range(20), "counting", total=20):
        assert "counting" in terminal.getvalue(), k
    assert "/20" in terminal.getvalue()
    assert terminal.getvalue().split("\r")[-1].strip() == ""
    assert "\n" not in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_what_is_over_in_a_moment_shows_no_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress(range(20), "counting")) == list(range(20))
    assert "counting" not in terminal.getvalue()


@pytest.mark.usefixtures("_at_once")
def test_an_error_of_the_items_comes_through():
    def broken():
        yield 1
        raise KeyError("broken")

    received = []
    with pytest.raises(KeyError, match="broken"):
        received.extend(progress(broken(), "counting"))
    assert received == [1]
