import itertools

import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.calibration.hooks import forward_hooks, redirect_call
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.model_surgery.clone import copy_model
from dart_keras.private_apis import flatten_layers
from tests.compression import models
from tests.compression.helpers import assert_close, outputs


def recorded(model, batch, compressibles=None):
    """What is told of a copy of a model: names, inputs and outputs."""
    copy, copies = copy_model(model)
    compressibles = compressibles or find_compressible_layers(model)[0]
    told = []

    def hook(place, inputs, made):
        told.append((compressibles[place], np.asarray(inputs), np.asarray(made)))

    with forward_hooks(copies, compressibles, hook):
        copy(batch, training=False)
    return told


def every_layer(model):
    return {id(layer): layer for layer in flatten_layers(model)}


def state(model):
    held = []
    for layer in flatten_layers(model):
        held += [(id(layer), name, id(value)) for name, value in vars(layer).items()]
    # Keras notes what it was called with for the next call.
    return {each for each in held if not each[1].startswith("_")}


@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
@pytest.mark.parametrize("use_bias", [False, True])
def test_outputs_are_told_as_they_are_before_the_activation(activation, use_bias):
    dense = layers.Dense(4, activation, use_bias=use_bias, bias_initializer="random_normal")
    model = keras.Sequential([keras.Input((3, 8)), layers.Rescaling(2.0), dense])
    batch = np.random.default_rng(0).normal(size=(5, 3, 8)).astype("float32")
    [(compressible, inputs, made)] = recorded(model, batch)
    assert compressible.layer is dense
    np.testing.assert_allclose(inputs, 2 * batch, rtol=1e-6)
    bias = np.asarray(dense.bias) if use_bias else 0
    np.testing.assert_allclose(made, 2 * batch @ np.asarray(dense.kernel) + bias, atol=1e-5)


@pytest.mark.parametrize("name", ["convolutional", "nested_three_deep", "masked_attention"])
def test_outputs_are_inputs_times_the_matrix_of_each_layer(name):
    model, batch = models.build(name)
    told = recorded(model, batch)
    assert {compressible.path for compressible, _, _ in told} == {
        compressible.path for compressible in find_compressible_layers(model)[0]
    }
    for compressible, inputs, made in told:
        evidence = compressible.evidence(None)
        compressible.add(evidence, inputs, made)
        if not hasattr(evidence, "target_mean"):
            np.testing.assert_allclose(made, compressible.kernel[inputs], atol=1e-5)
            continue
        # Means and covariances of outputs follow from those of inputs, if the matrix is the one.
        bias = 0 if compressible.bias is None else compressible.bias
        made = evidence.input_mean @ compressible.kernel + bias
        np.testing.assert_allclose(made, evidence.target_mean, atol=1e-4)
        cross = evidence.input_covariance @ compressible.kernel
        np.testing.assert_allclose(cross, evidence.cross_covariance, atol=1e-4)


def test_outputs_are_those_of_a_normalization_after_the_layer():
    stack = [keras.Input((8,)), layers.Dense(6), layers.BatchNormalization(), layers.ReLU()]
    model = keras.Sequential(stack)
    models.randomize(model)
    batch = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    [(compressible, inputs, made)] = recorded(model, batch)
    assert compressible.norm is model.layers[1]
    np.testing.assert_array_equal(inputs, batch)
    np.testing.assert_allclose(made, model.layers[1](model.layers[0](batch)), atol=1e-6)
    assert made.min() < 0


def test_every_call_is_told_in_order():
    model, batch = models.build("called_several_times")
    told = recorded(model, batch)
    assert len(told) == 3
    for (_, _, made), (_, inputs, _) in itertools.pairwise(told):
        np.testing.assert_allclose(inputs, np.tanh(made), atol=1e-6)


def test_a_table_is_told_of_lookups_only():
    model, batch = models.build("reversed_table")
    [(compressible, inputs, made)] = recorded(model, batch)
    np.testing.assert_array_equal(inputs, batch)
    np.testing.assert_allclose(made, compressible.kernel[batch], atol=1e-6)


@keras.saving.register_keras_serializable("compression_recording")
class Looped(layers.Layer):
    def build(self, input_shape):
        self.inner = layers.Dense(4, "relu", name="inner")
        self.inner.build(input_shape)

    def call(self, x):
        return keras.ops.vectorized_map(self.inner, keras.ops.expand_dims(x, 1))[:, 0]


def test_calls_in_compiled_loops_are_passed_over():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="outer"), Looped(name="loop")]
    )
    batch = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    assert [compressible.path for compressible in find_compressible_layers(model)[0]] == [
        "outer",
        "loop/inner",
    ]
    assert [compressible.path for compressible, _, _ in recorded(model, batch)] == ["outer"]


@pytest.mark.parametrize("name", ["sequential", "nested_three_deep", "blocks", "reversed_table"])
def test_nothing_stays_changed(name):
    model, batch = models.build(name)
    compressibles = find_compressible_layers(model)[0]
    copies = every_layer(model)
    expected, before = outputs(model, batch), state(model)
    told = []
    with forward_hooks(copies, compressibles, lambda place, *_: told.append(place)):
        assert state(model) != before
        # Watching does not change what is computed.
        assert_close(outputs(model, batch), expected, 0)
    assert told
    assert state(model) == before
    del told[:]
    assert_close(outputs(model, batch), expected, 0)
    assert told == []


@pytest.mark.parametrize("where", ["hook", "body", "beginning"])
def test_nothing_stays_changed_after_an_exception(where):
    model, batch = models.build("nested_three_deep")
    compressibles = find_compressible_layers(model)[0]
    copies = every_layer(model)
    if where == "beginning":
        del copies[id(compressibles[-1].layer)]
    before, expected = state(model), outputs(model, batch)

    def hook(*_):
        raise KeyError("told")

    with pytest.raises(KeyError), forward_hooks(copies, compressibles, hook):  # noqa: PT012
        if where == "body":
            raise KeyError("body")
        model(batch)
    assert state(model) == before
    assert_close(outputs(model, batch), expected, 0)


def test_listeners_in_each_other_all_hear():
    model, batch = models.build("sequential")
    compressibles = find_compressible_layers(model)[0]
    copies = every_layer(model)
    before, outer, inner = state(model), [], []
    with forward_hooks(copies, compressibles, lambda place, x, y: outer.append(np.asarray(y))):
        with forward_hooks(copies, compressibles, lambda place, x, y: inner.append(np.asarray(y))):
            model(batch)
        model(batch)
    assert len(inner) == len(compressibles)
    assert len(outer) == 2 * len(compressibles)
    assert_close(outer[: len(inner)], inner, 0)
    assert state(model) == before


def test_another_layer_answers():
    model, batch = models.build("sequential")
    copy, copies = copy_model(model)
    first, last = model.layers[0], model.layers[-1]
    other = layers.Dense(16)
    other.build((None, 12))
    redirect_call(copies[id(first)], other)
    expected = last(other(batch))
    np.testing.assert_allclose(copy(batch, training=False), expected, atol=1e-6)
    # It is no layer of the layer that it answers for.
    assert len(copies[id(first)].weights) == 2
    redirect_call(copies[id(last)], None)
    np.testing.assert_allclose(copy(batch, training=False), other(batch), atol=1e-6)


def test_a_routed_layer_can_be_listened_to():
    model, batch = models.build("sequential")
    copy, copies = copy_model(model)
    other = layers.Dense(16, "relu")
    other.build((None, 12))
    redirect_call(copies[id(model.layers[0])], other)
    compressibles, told = find_compressible_layers(model)[0], []
    for _ in range(2):
        with forward_hooks(
            copies, compressibles, lambda place, x, y: told.append((place, np.asarray(x)))
        ):
            copy(batch, training=False)
    assert [place for place, _ in told] == [0, 1, 0, 1]
    np.testing.assert_allclose(told[-1][1], other(batch), atol=1e-6)


def test_a_square_table_is_told_of_lookups_only():
    ids = keras.Input((6,), dtype="int32")
    table = layers.ReversibleEmbedding(8, 8)
    model = keras.Model(ids, table(layers.Dense(8)(table(ids)), reverse=True))
    batch = np.random.default_rng(0).integers(0, 8, (5, 6))
    told = [each for each in recorded(model, batch) if each[0].layer is table]
    [(compressible, inputs, made)] = told
    np.testing.assert_array_equal(inputs, batch)
    np.testing.assert_allclose(made, compressible.kernel[batch], atol=1e-6)
