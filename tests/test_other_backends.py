"""Tests that do not depend on TensorFlow, on JAX and PyTorch, in processes of their own."""

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

FILES = (
    "callbacks/test_nested_ranks.py",
    "layers/test_nested_gates.py",
    "layers/test_growth_in_training.py",
    "layers/test_resizing.py",
    "layers/test_saving.py",
    "layers/test_torch_parameters.py",
    "private_apis/test_compiled_steps.py",
    "private_apis/test_keras_variables.py",
    "private_apis/test_keras_weight_files.py",
)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_they_pass(backend):
    pytest.importorskip(backend)
    result = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"tests/{name}" for name in FILES),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTEST_ADDOPTS": ""},
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert " passed" in result.stdout
