"""What works where TensorFlow is not installed, in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dart_keras.tensor_train import TTMatrix
from tests.processes import ROOT

# TensorFlow and what is made of it cannot be imported, even where they are installed.
CODE = """
import json, sys, tempfile
for missing in ("tensorflow", "t3f", "tf_keras", "tensorflow_model_optimization"):
    sys.modules[missing] = None

import keras
import numpy as np
import dart_keras as dk

def error_of(function, *arguments, **more):
    try:
        function(*arguments, **more)
    except ValueError as error:
        return str(error)

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 16)).astype("float32")
y = (x @ rng.normal(size=(16, 16))).astype("float32")
matrix = np.random.default_rng(1).normal(size=(16, 12))
tt = dk.tensor_train.TTMatrix.from_dense(matrix, (2, 2, 4), (3, 2, 2))
cut = dk.tensor_train.TTMatrix.from_dense(matrix, (2, 2, 4), (3, 2, 2), ranks=3)
close = dk.tensor_train.TTMatrix.from_dense(matrix, (2, 2, 4), (3, 2, 2), tolerance=0.5)

dense = keras.layers.Dense(16)
dense.build((None, 16))
layer = dk.layers.TTDense.from_dense(
    dense, ranks=8, rank_regularizer=dk.regularizers.NuclearNorm(0.01)
)
model = keras.Sequential([keras.Input((16,)), layer])
model.compile("adam", "mse")
callback = dk.callbacks.RankDiscretization(
    dk.budgets.Parameters(200), epoch=1, calibration_data=[(x, y)]
)
history = model.fit(x, y, epochs=3, verbose=0, callbacks=[callback, dk.callbacks.RankMonitor()])
path = tempfile.mkdtemp() + "/model.keras"
model.save(path)
difference = dk.load_model(path).predict(x, verbose=0) - model.predict(x, verbose=0)

trained = keras.Sequential([keras.Input((16,)), keras.layers.Dense(64), keras.layers.Dense(16)])
limit = dk.budgets.Parameters(1000)
small, _ = dk.compression.compress(trained, limit, calibration_data=x)
stack = [keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.ReLU()]
stack += [keras.layers.BatchNormalization(), keras.layers.Dense(16, activation="relu")]
normed = keras.Sequential([keras.Input((16,)), *stack])
normed.compile("adam", "mse")
normed.fit(x, y, epochs=2, verbose=0)
folded = dk.quantization.fold_batch_norm(normed)
unfolded = normed.predict(x, verbose=0)
apart = [float(abs(folded.predict(x, verbose=0) - unfolded).max())]
# Training one must not take the weights of the other.
from_last = dk.layers.TTDense.from_dense(stack[-1])
copy = keras.Sequential([keras.Input((8,)), from_last])
copy.compile("adam", "mse")
copy.fit(x[:, :8], y, verbose=0)
folded.compile("adam", "mse")
folded.fit(x, y, verbose=0)
apart.append(float(abs(normed.predict(x, verbose=0) - unfolded).max()))
print(json.dumps({
    "backend": keras.backend.backend(),
    "ranks": [tt.ranks, cut.ranks],
    "errors": [
        float(np.linalg.norm(matrix - t.to_dense()) / np.linalg.norm(matrix))
        for t in (tt, cut, close)
    ],
    "parameters": history.history["parameters"],
    "difference": float(abs(difference).max()),
    "compressed": small.count_params(),
    "apart": apart,
    "refused": [
        error_of(dk.deployment.convert, model, target="raspberry-pi"),
        error_of(dk.quantization.quantize_aware, model),
        error_of(dk.distribution.multi_worker_strategy),
        error_of(dk.layers.TTDense, 4, ranks=2, contraction="measure"),
    ],
    "tensorflow": [m for m in sys.modules if m.startswith("tensorflow.")],
}))
"""


@pytest.fixture(scope="module", params=["jax", "torch"])
def seen(request):
    pytest.importorskip(request.param)
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": request.param},
    )
    assert result.returncode == 0, result.stderr[-5000:]
    seen = json.loads(result.stdout.splitlines()[-1])
    assert seen["backend"] == request.param
    assert seen["tensorflow"] == []
    return seen


def test_matrices_are_decomposed(seen):
    matrix = np.random.default_rng(1).normal(size=(16, 12))
    by_t3f = TTMatrix.from_dense(matrix, (2, 2, 4), (3, 2, 2))
    assert seen["ranks"] == [list(by_t3f.ranks), [1, 3, 3, 1]]
    discarded = sum(np.sum(values[3:] ** 2) for values in by_t3f.bond_singular_values())
    exact, cut, close = seen["errors"]
    assert exact < 1e-12
    assert 0.1 < cut <= np.sqrt(discarded) / by_t3f.norm()
    assert 0.1 < close <= 0.5


def test_a_model_trains_is_truncated_and_saved(seen):
    assert seen["parameters"] == [272, 208, 208]
    assert seen["difference"] < 1e-6


def test_a_model_is_compressed(seen):
    assert seen["compressed"] <= 1000


def test_copies_are_the_same_and_of_their_own(seen):
    of_the_folded, after_training_copies = seen["apart"]
    assert of_the_folded < 1e-5
    assert after_training_copies == 0


def test_the_rest_says_what_is_missing(seen):
    for message in seen["refused"]:
        assert "Expected Keras to run on TensorFlow" in message
        assert "Install the package `tensorflow`" in message
