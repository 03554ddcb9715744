"""Subprocesses for the runs of `tests.runs`: other backends, strategies and workers."""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from tests.runs import run

ROOT = Path(__file__).parent.parent


def start(folder, strategy, *names, **environment):
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.runs", str(folder), strategy, *names],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return process, Path(log.name)


def finish(*started):
    """Wait for all processes; if one fails, stop the others, which may be waiting for it."""
    try:
        while any(process.poll() is None for process, _ in started):
            for process, log in started:
                assert process.poll() in (None, 0), log.read_text()[-5000:]
            time.sleep(0.1)
        for process, log in started:
            assert process.returncode == 0, log.read_text()[-5000:]
    finally:
        for process, _ in started:
            process.kill()
            process.wait()


def results(folder, process="chief"):
    return json.loads(Path(folder, f"{process}.json").read_text())


# In this process: on TensorFlow, on one device.
here = cache(run)


def check_same(seen, expected):
    """Check that two runs are the same; one of them may have been resumed at a later epoch."""
    assert expected["epochs"][-len(seen["epochs"]) :] == seen["epochs"]
    assert set(seen["logs"]) == set(expected["logs"])
    for name, values in seen["logs"].items():
        exact = name == "parameters" or ("_rank_" in name and "effective" not in name)
        # Before the first step of a subclassed model, only TensorFlow has no penalty to measure.
        is_estimated = name in ("rank_penalty", "data_loss")
        np.testing.assert_allclose(
            values,
            expected["logs"][name][-len(values) :],
            rtol=0 if exact else 0.05 if is_estimated else 1e-4,
            err_msg=name,
        )
    np.testing.assert_allclose(seen["loss"], expected["loss"], rtol=1e-4)
    np.testing.assert_allclose(seen["prediction"], expected["prediction"], atol=1e-3)
    assert seen["iterations"] == expected["iterations"]
    assert seen["losses_left"] == 0
