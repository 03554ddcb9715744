"""Runs killed before, during and after rank truncation, and counted calls."""

import os
import signal
import subprocess
import sys

import pytest

from benchmarks import interruptions
from benchmarks.call_counter import CallCounter, Span


def test_killed_runs_end_like_the_uninterrupted_run(tmp_path):
    cells = list(interruptions.measure(tmp_path, 3, seed=0, arguments=["--epochs", "2"]))
    assert [cell["when"] for cell in cells] == [
        "before truncation",
        "during truncation",
        "after truncation",
    ]
    found = interruptions.summary(cells)
    assert not found["failures"]
    assert found["identical to the uninterrupted run"] == 3
    assert found["kills"] >= 3


def outer():
    inner()
    inner()


def inner():
    os.fspath("no Python call")
    helper()


def helper():
    pass


def test_calls_are_counted_between_marks():
    with CallCounter({"inner": inner}) as counter:
        outer()
    names = ["", "inner", "inner done", "inner", "inner done"]
    assert [span.name for span in counter.spans] == names
    # A function's own call is the first of its span. Leaving the block is a call, too.
    assert [span.calls for span in counter.spans] == [1, 2, 0, 2, 1]


@pytest.mark.parametrize(("moment", "printed"), [((1, 1), "1"), ((3, 1), "1 2"), ((3, 2), "1 2 3")])
def test_process_is_killed_at_the_given_call(moment, printed):
    program = f"""
from benchmarks.call_counter import CallCounter

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


def test_spans_by_phase():
    names = ["", "step", "checkpoint", "checkpoint done", "step done", "cut", "cut done", "step"]
    found = interruptions.places([Span(name) for name in names])
    assert found == {
        "before truncation": [0, 1, 2, 3, 4],
        "during truncation": [5],
        "after truncation": [6, 7],
        "while writing a checkpoint": [2],
    }
    assert list(interruptions.places([Span(name) for name in names[:5]])) == [
        "before truncation",
        "while writing a checkpoint",
    ]


def test_run_with_wrong_weights_is_a_failure():
    good = {"when": "x", "kills": 1, "weights": 0.0, "logs": 0.0, "identical": True}
    found = interruptions.summary([good, {**good, "weights": 1e-3, "identical": False}])
    assert found["identical to the uninterrupted run"] == 1
    assert len(found["failures"]) == 1
