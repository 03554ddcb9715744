"""How the situations of `benchmarks.field` are run and judged."""

import json
import os
import subprocess
import sys
import warnings

import pytest

from benchmarks.field import __main__ as command
from benchmarks.field import process
from benchmarks.field.outcome import judge
from benchmarks.field.situation import Situation, load_all


def _raises(error):
    def run(folder):
        raise error

    return run


def _warns(text):
    return lambda folder: warnings.warn(text, stacklevel=1)


ODD = ValueError("'NoneType' object has no attribute 'shape'")


@pytest.mark.parametrize(
    ("run", "expected", "outcome"),
    [
        (lambda folder: None, {}, "works"),
        (lambda folder: None, {"refused": "width"}, "silent"),
        (lambda folder: None, {"warned": "width"}, "silent"),
        (lambda folder: None, {"needs": ("no_such_package",)}, "skipped"),
        (_warns("the width is odd"), {"warned": "width"}, "warned"),
        (_warns("the height is odd"), {"warned": "width"}, "silent"),
        (_raises(ValueError("the width is odd")), {"refused": "width"}, "refused"),
        (_raises(ValueError("the height is odd")), {"refused": "width"}, "unclear"),
        (_raises(ValueError("the width is odd")), {}, "wrong"),
        (_raises(AssertionError("3 instead of 4")), {"refused": "3"}, "wrong"),
        (_raises(ODD), {"refused": "shape"}, "raw"),
    ],
    ids=[
        *("works", "no error", "no warning", "no package", "warning", "another warning"),
        *("error", "another error", "error that is not due", "wrong result", "raw error"),
    ],
)
def test_judgement(run, expected, outcome, tmp_path):
    assert judge(Situation("a.b", "does it", run, **expected), tmp_path)["outcome"] == outcome


def test_errors_of_tensorflow_are_raw(tmp_path):
    import tensorflow as tf

    run = _raises(tf.errors.InvalidArgumentError(None, None, "the width is odd"))
    found = judge(Situation("a.b", "does it", run, refused="width"), tmp_path)
    assert found["outcome"] == "raw"


def test_situation_without_an_end_is_ended():
    assert process.run_alone("data.empty", seconds=0.01)["outcome"] == "hangs"


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs Linux's /proc")
def test_processes_that_are_left_are_found():
    code = "print(flush=True); import sys; sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, process.MARK: "some mark"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        child.stdout.readline()
        assert process._marked("some mark") == [child.pid]
        child.stdin.close()
    assert process._marked("some mark") == []


def test_command_prints_saves_and_resumes(tmp_path, capsys):
    path = tmp_path / "field.json"
    only = ["--only", "data.empty", "--output", str(path)]
    assert command.main(only) == 0
    [cell] = json.loads(path.read_text())["cells"]
    assert (cell["situation"], cell["outcome"]) == ("data.empty", "refused")
    cell["outcome"] = "hangs"
    path.write_text(json.dumps({"cells": [cell]}))
    capsys.readouterr()
    # Nothing is run again, so that what the file says still counts.
    assert command.main([*only, "--resume"]) == 1
    assert '"not good": [\n    "data.empty"\n  ]' in capsys.readouterr().out


def test_there_are_at_least_sixty_situations(capsys):
    assert len(load_all()) >= 60
    assert command.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(load_all())
