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
# Of these files, the tests in which a compiled step of JAX must notice what changes.
ON_JAX = {
    "steering": (
        ("steering/test_steered_strength.py", "steering/test_rank_prior.py"),
        "second_fit or compiled_step",
    ),
    # One compiled step, whose rate and weights are set between the trainings.
    "recovery": (
        ("compression/distillation/test_recover.py",),
        "comes_closer",
    ),
    "adapters": (
        ("adapters/test_adapt.py", "adapters/test_switch.py"),
        "look_at or kinds",
    ),
}


# All tests of these: what differs on PyTorch is how weights, dtypes and gradients are held.
ON_TORCH = (
    "adapters/kernels",
    "adapters/methods",
    *(f"adapters/test_{name}.py" for name in ("adapt", "all_methods", "merge", "switch")),
)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_they_pass(backend):
    check(backend, FILES)


@pytest.mark.parametrize("room", ON_JAX)
def test_they_pass_on_jax(room):
    files, expression = ON_JAX[room]
    check("jax", files, "-k", expression)


def test_adapters_pass_on_torch():
    check("torch", ON_TORCH)


def check(backend, files, *options):
    pytest.importorskip(backend)
    result = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"tests/{name}" for name in files),
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTEST_ADDOPTS": ""},
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert " passed" in result.stdout
