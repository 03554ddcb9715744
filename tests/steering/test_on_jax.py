"""Steered training on JAX, in a process of its own: strengths are part of the compiled step."""

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT


def test_it_steers_on_jax():
    pytest.importorskip("jax")
    tests = [
        "tests/steering/test_steered_strength.py",
        "tests/steering/test_rank_prior.py",
        "-k",
        "second_fit or compiled_step",
    ]
    result = subprocess.run(
        [*(sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider"), *tests],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTEST_ADDOPTS": ""},
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert " passed" in result.stdout
