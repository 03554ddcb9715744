"""Adapters on JAX, in a process of its own: its training steps take over the shared weights."""

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT


def test_adapters_on_jax():
    pytest.importorskip("jax")
    tests = [
        "tests/adapters/test_adapt.py",
        "tests/adapters/test_switch.py",
        "-k",
        "(found and size) or look_at or kinds",
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
