"""Multiply-adds are the same on TensorFlow, JAX and PyTorch."""

import json
import os
import subprocess
import sys

import pytest

from tests.compression.calibration.product_cases import CASES
from tests.processes import ROOT


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_counts_are_the_same_on_all_backends(backend):
    pytest.importorskip(backend)
    # Loops, which JAX traces once, and what each backend has functions of its own for.
    names = ["separable", "transposed", "lstm", "heads", "own", "TT dense"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.compression.calibration.product_cases", *names],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {name: CASES[name][1] for name in names}
