"""A run killed before, during and after the cut, and calls that can be counted."""

import os
import signal
import subprocess
import sys

import pytest

from benchmarks import interruptions
from benchmarks.moments import CallCounter, Span


def test_killed_runs_end_as_if_they_had_not_been(tmp_path):
    cells = list(interruptions.measure(tmp_path, 3, seed=0, arguments=["--epochs", "2"]))
    assert [cell["when"] for cell in cells] == [
        "before the cut",
        "during the cut",
        "after the cut",
    ]
    found = interruptions.summary(cells)
    assert not found["failures"]
    assert found["as if not stopped"] == 3
    assert found["kills"] >= 3


def outer():
    inner()
    inner()


def inner():
    os.fspath("no Python call")
    helper()


def helper():
    pass


def test_calls_are_counted_from_mark_to_mark():
    with CallCounter({"inner": inner}) as counter:
        outer()
    names = ["", "inner", "inner done", "inner", "inner done"]
    assert [span.name for span in counter.spans] == names
    # A function's own call is the first of its span; leaving the block is one call, too.
    assert [span.calls for span in counter.spans] == [1, 2, 0, 2, 1]


@pytest.mark.parametrize(("moment", "printed"), [((1, 1), "1"), ((3, 1), "1 2"), ((3, 2), "1 2 3")])
def test_a_process_is_killed_in_the_call_that_is_asked_for(moment, printed):
    program = f"""
from benchmarks.moments import CallCounter

def step(i):
    print(i, flush=True)
    helper()
    helper()

def helper():
    pass

with CallCounter({{"step": step}}, {moment}):
    print(1, flush=True)
    step(2)
    step(3)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == printed.split()


def test_spans_by_place():
    names = ["", "step", "checkpoint", "checkpoint done", "step done", "cut", "cut done", "step"]
    found = interruptions.places([Span(name) for name in names])
    assert found == {
        "before the cut": [0, 1, 2, 3, 4],
        "during the cut": [5],
        "after the cut": [6, 7],
        "in a checkpoint": [2],
    }
    assert list(interruptions.places([Span(name) for name in names[:5]])) == [
        "before the cut",
        "in a checkpoint",
    ]


def test_a_run_that_is_off_is_a_failure():
    good = {"when": "x", "kills": 1, "weights": 0.0, "logs": 0.0, "whole": True}
    found = interruptions.summary([good, {**good, "weights": 1e-3, "whole": False}])
    assert found["as if not stopped"] == 1
    assert len(found["failures"]) == 1
