import functools
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

import dart_keras as dk

KIT = Path(__file__).parents[3] / "tflite" / "raspberry_pi"
PACKAGES = [f"{name}=={version(name)}" for name in ("ai-edge-litert", "numpy")]
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(20, 16)).astype("float32")
IDS = RNG.integers(0, 50, size=(20, 6)).astype("int32")
PAIRS = {
    "z_first": RNG.normal(size=(20, 5)).astype("float32"),
    "a_second": RNG.normal(size=(20, 7)).astype("float32"),
}


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory):
    """Return the interpreter of an environment with only ai-edge-litert and NumPy."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", *PACKAGES]
    installed = subprocess.run(install, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"pip cannot install {PACKAGES}: {installed.stderr[-200:]}")
    return python


@pytest.fixture(scope="session")
def kit(clean_python):
    """Return a function that runs a command of the kit in the clean environment."""

    def call(*arguments):
        command = [clean_python, KIT, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Return a function that saves an artifact with its rows, and returns both."""

    @functools.cache
    def save(kind, quantization="int8", target="raspberry-pi"):
        keras.utils.set_random_seed(0)
        model, rows = _KINDS[kind]()
        artifact = dk.deployment.convert(
            model, target, quantization=quantization, calibration_data=rows
        )
        folder = tmp_path_factory.mktemp(f"{kind}-{quantization}-{target}")
        artifact.save(folder)
        if isinstance(rows, dict):
            np.savez(folder / "rows.npz", **rows)
        else:
            np.save(folder / "rows.npy", rows)
        return folder, artifact

    return save


def _dense():
    layers = [dk.layers.TTDense(40, ranks=4, activation="relu"), dk.layers.TTDense(8, ranks=4)]
    return keras.Sequential([keras.Input((16,), name="features"), *layers]), ROWS


def _ids():
    table = dk.layers.TTEmbedding(50, 8, ranks=4)
    layers = [table, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(4)]
    return keras.Sequential([keras.Input((6,), dtype="int32", name="ids"), *layers]), IDS


def _pairs():
    inputs = [keras.Input((5,), name="z_first"), keras.Input((7,), name="a_second")]
    hidden = keras.layers.Concatenate()(inputs)
    outputs = [keras.layers.Dense(3, name="z_out")(hidden), keras.layers.Dense(2)(hidden)]
    return keras.Model(inputs, outputs), PAIRS


def _masked():
    # In integers, the average of padding alone is a division by zero.
    table = keras.layers.Embedding(50, 8, mask_zero=True)
    layers = [table, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input((6,), dtype="int32", name="ids"), *layers])
    return model, np.maximum(IDS, 1)


def _sigmoid():
    layers = [keras.layers.Dense(1, activation="sigmoid")]
    return keras.Sequential([keras.Input((16,), name="features"), *layers]), ROWS


def _regression():
    return keras.Sequential([keras.Input((16,), name="features"), keras.layers.Dense(1)]), ROWS


def _named_ids():
    rows = {"words": IDS, "letters": IDS % 20}
    inputs = [keras.Input((6,), dtype="int32", name=name) for name in rows]
    tables = [dk.layers.TTEmbedding(50, 8, ranks=2), keras.layers.Embedding(20, 8)]
    looked_up = [table(ids) for table, ids in zip(tables, inputs, strict=True)]
    return keras.Model(inputs, keras.layers.Flatten()(keras.layers.Add()(looked_up))), rows


_KINDS = {
    "dense": _dense,
    "ids": _ids,
    "pairs": _pairs,
    "masked": _masked,
    "sigmoid": _sigmoid,
    "regression": _regression,
    "named_ids": _named_ids,
}
