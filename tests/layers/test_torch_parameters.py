"""The parameters that PyTorch holds itself, run on PyTorch by tests/test_other_backends.py."""

import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense
from dart_keras.layers.rank_gates import RankGates

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras not on PyTorch")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 16)).astype("float32")
Y = (X @ RNG.normal(size=(16, 16)) / 4).astype("float32")


def model_with(*ranks):
    layers = [TTDense(16, rank, (4, 4), (4, 4), name=f"tt_{rank}") for rank in ranks]
    return keras.Sequential([keras.Input((16,)), *layers])


def parameters_of(model):
    return {id(parameter) for parameter in model.parameters()}


def values_of(model):
    return {id(variable.value) for variable in model.weights}


def losses_of(model, optimizer, steps=20):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.mean((model(torch.tensor(X), training=True) - torch.tensor(Y)) ** 2)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_model_lists_the_parameters_that_it_has():
    model = model_with(6, 5)
    inputs = keras.Input((16,))
    around = keras.Model(inputs, model(inputs))
    around.compile("adam", "mse")
    around.fit(X, Y, verbose=0)
    layer = model.layers[0]
    for rank in (4, 2):
        layer.truncate(rank)
        for each in (layer, model, around):
            assert parameters_of(each) == values_of(each)


def test_gates_that_are_gone_are_no_parameters():
    model = model_with(6)
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    layer = model.layers[0]
    layer.add_rank_gates(RankGates(layer.ranks, (4, 4), (4, 4), 0.1, 1.0))
    layer.truncate(3, fix_ranks=True)
    assert parameters_of(model) == values_of(model)
    assert not any("logits" in name for name in model.state_dict())


@pytest.mark.parametrize("fitted", [False, True])
def test_a_cut_model_is_trained_as_a_new_one_of_its_weights(fitted):
    model = model_with(6, 5)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    if fitted:
        model.fit(X, Y, verbose=0)
    for rank in (4, 2):
        model.layers[0].truncate(rank)
    fresh = model_with(2, 5)
    fresh.set_weights(model.get_weights())
    fresh.compile(keras.optimizers.SGD(0.1), "mse")
    seen, expected = (m.fit(X, Y, epochs=3, shuffle=False, verbose=0) for m in (model, fresh))
    np.testing.assert_allclose(seen.history["loss"], expected.history["loss"], rtol=1e-5)


def test_an_optimizer_of_pytorch_goes_on_with_the_cores_that_are_there():
    model = model_with(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses_of(model, optimizer)
    model.layers[0].truncate(2)
    fresh = model_with(2)
    fresh.set_weights(model.get_weights())
    seen = losses_of(model, optimizer)
    np.testing.assert_allclose(
        seen, losses_of(fresh, torch.optim.SGD(fresh.parameters(), lr=0.05)), rtol=1e-4
    )


def test_moments_of_other_shapes_are_no_silent_error():
    model = model_with(6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses_of(model, optimizer)
    model.layers[0].truncate(2)
    with pytest.raises(RuntimeError, match="size of tensor"):
        losses_of(model, optimizer)
    losses = losses_of(model, torch.optim.Adam(model.parameters(), lr=0.05))
    assert losses[-1] < losses[0]


def test_frozen_cores_stay_frozen():
    model = model_with(6)
    layer = model.layers[0]
    layer.trainable = False
    layer.truncate(2)
    assert not any(core.value.requires_grad for core in layer.cores)
    layer.trainable = True
    assert all(core.value.requires_grad for core in layer.cores)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_loss_that_is_still_held_is_not_in_the_way(dtype):
    layer = TTDense(16, 6, (4, 4), (4, 4), dtype=dtype)
    inputs = torch.tensor(X).to(getattr(torch, dtype))
    held = torch.mean(layer(inputs))
    held.backward(retain_graph=True)
    layer.truncate(2)
    torch.mean(layer(inputs)).backward()
    for core in layer.cores:
        assert tuple(core.value.grad.shape) == tuple(core.shape)
        assert keras.backend.standardize_dtype(core.value.dtype) == dtype
