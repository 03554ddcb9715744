"""Given the same cores, the other implementations compute the same functions as our layers."""

import keras
import numpy as np
import pytest

from benchmarks import steps
from benchmarks.baselines import reconstruction, t3f_functions
from benchmarks.steps import keras_steps
from dart_keras.layers import TTDense, TTEmbedding

pytestmark = pytest.mark.filterwarnings("ignore:Dense layers would be smaller or faster")
WITHOUT_TORCH = "TensorLy-Torch is in the extra `benchmarks` alone"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 24)).astype("float32")
OUTPUT_GRADIENT = RNG.normal(size=(5, 30)).astype("float32")
IDS = np.array([0, 23, 7, 7, 11], "int32")


def tensorly_torch():
    for package in ("torch", "tltorch"):
        pytest.importorskip(package, reason=WITHOUT_TORCH)
    from benchmarks.baselines import tensorly_torch

    return tensorly_torch


@pytest.fixture(params=[((4, 6), (5, 6)), ((2, 3, 4), (5, 3, 2))], ids=["two", "three"])
def dense(request):
    layer = TTDense(30, 3, *request.param, bias_initializer="normal")
    layer.build((None, 24))
    return layer


@pytest.fixture(params=[((4, 6), (5, 6)), ((2, 3, 4), (5, 3, 2))], ids=["two", "three"])
def embedding(request):
    layer = TTEmbedding(24, 30, 3, *request.param)
    layer.build()
    return layer


def arrays(layer):
    return [keras.ops.convert_to_numpy(core) for core in layer.cores]


def assert_same(made, layer, x):
    """Check equal outputs before and after a training step, so the gradients agree too."""
    own = keras_steps(layer, x, OUTPUT_GRADIENT)
    np.testing.assert_allclose(np.asarray(made.forward()), own.forward(), rtol=1e-4, atol=1e-5)
    made.training()
    own.training()
    np.testing.assert_allclose(np.asarray(made.forward()), own.forward(), rtol=1e-4, atol=1e-5)


@pytest.fixture(autouse=True)
def _learning(monkeypatch):
    # Large enough for a step to change the output.
    monkeypatch.setattr(steps, "LEARNING_RATE", 0.01)


def test_t3f_dense(dense):
    bias = keras.ops.convert_to_numpy(dense.bias)
    assert_same(t3f_functions.dense(arrays(dense), bias, X, OUTPUT_GRADIENT), dense, X)


@pytest.mark.parametrize("implementation", ["factorized", "reconstructed"])
def test_tltorch_dense(dense, implementation, monkeypatch):
    peer = tensorly_torch()
    monkeypatch.setattr(peer, "LEARNING_RATE", 0.01)
    module = peer.dense(arrays(dense), keras.ops.convert_to_numpy(dense.bias), implementation)
    assert_same(peer.steps(module, X, OUTPUT_GRADIENT), dense, X)


@pytest.mark.parametrize("peer", [t3f_functions, reconstruction])
def test_reconstructed_table(embedding, peer):
    assert_same(peer.embedding(arrays(embedding), 30, IDS, OUTPUT_GRADIENT), embedding, IDS)


@pytest.mark.parametrize("implementation", ["factorized", "reconstructed"])
def test_tltorch_embedding(embedding, implementation, monkeypatch):
    peer = tensorly_torch()
    monkeypatch.setattr(peer, "LEARNING_RATE", 0.01)
    module = peer.embedding(arrays(embedding), 30, implementation)
    assert_same(peer.steps(module, IDS.astype("int64"), OUTPUT_GRADIENT), embedding, IDS)


def test_padded_columns_are_dropped(embedding):
    cores, output_gradient = arrays(embedding), OUTPUT_GRADIENT[:, :28]
    whole = embedding(IDS)[:, :28]
    for peer in (t3f_functions, reconstruction):
        made = peer.embedding(cores, 28, IDS, output_gradient)
        np.testing.assert_allclose(made.forward(), whole, rtol=1e-4, atol=1e-6)
    peer = tensorly_torch()
    for implementation in peer.IMPLEMENTATIONS:
        made = peer.steps(
            peer.embedding(cores, 28, implementation), IDS.astype("int64"), output_gradient
        )
        np.testing.assert_allclose(made.forward().numpy(), whole, rtol=1e-4, atol=1e-6)
