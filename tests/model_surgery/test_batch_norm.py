import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.compression.compressible.discovery import can_fold_batch_norm
from dart_keras.compression.search.student import StudentBuilder
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.model_surgery.batch_norm import fold_into_matrix, foldable_norms
from dart_keras.private_apis import flatten_layers
from tests.compression import models
from tests.compression.helpers import assert_close, outputs, saved_and_loaded

BATCH = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
IMAGES = np.random.default_rng(0).normal(size=(3, 7, 7, 3)).astype("float32")


def names_of_norms(model):
    """By the names of layers, those of the normalizations after them."""
    paths = {id(layer): layer.name for layer in flatten_layers(model)}
    return {
        paths[each]: norm.name for each, norm in foldable_norms(model, can_fold_batch_norm).items()
    }


def with_norms_folded(model):
    """The model with every normalization folded in that can be."""
    compressibles, _ = find_compressible_layers(model)
    builder = StudentBuilder(model, compressibles)
    factorizations = [
        next(
            (each for each in options if each.kind == "folded"),
            options[-1],
        )
        for options in builder.factorizations
    ]
    return builder.assemble(builder.fit(factorizations))


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_matrix_and_bias_do_what_both_did(scale, center, use_bias, seed):
    rng = np.random.default_rng(seed)
    norm = layers.BatchNormalization(scale=scale, center=center, epsilon=0.01)
    norm.build((None, 5))
    for weight in norm.weights:
        weight.assign(rng.uniform(0.1, 2, size=5))
    kernel, bias = rng.normal(size=(4, 5)), rng.normal(size=5) if use_bias else None
    rows = rng.normal(size=(8, 4))
    expected = norm(rows @ kernel + (0 if bias is None else bias), training=False)
    folded, shift = fold_into_matrix(kernel, bias, norm)
    np.testing.assert_allclose(rows @ folded + shift, expected, atol=1e-4)
    same, unchanged = fold_into_matrix(kernel, bias, None)
    assert same is kernel
    assert unchanged is bias


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("use_bias", [False, True])
def test_a_model_with_normalizations_folded_in_has_the_same_outputs(padding, use_bias, tmp_path):
    x = inputs = keras.Input((7, 7, 3))
    for strides in (1, 2):
        x = layers.Conv2D(4, 3, strides, padding, use_bias=use_bias)(x)
        x = layers.ReLU()(layers.BatchNormalization(scale=use_bias)(x))
    x = layers.Dense(5, use_bias=use_bias)(layers.Flatten()(x))
    model = keras.Model(inputs, layers.BatchNormalization(center=use_bias)(x))
    models.randomize(model)
    assert len(foldable_norms(model, can_fold_batch_norm)) == 3
    small = with_norms_folded(model)
    assert not any(type(layer) is layers.BatchNormalization for layer in small.layers)
    assert_close(outputs(small, IMAGES), outputs(model, IMAGES), 1e-4)
    loaded = saved_and_loaded(small, tmp_path)
    assert_close(outputs(loaded, IMAGES), outputs(small, IMAGES), 1e-6)
    assert sum(type(layer) is FoldedBatchNormalization for layer in loaded.layers) == 3


def stack(*between):
    return keras.Sequential([keras.Input((4,)), *between])


def test_norms_are_found_at_any_depth():
    inner = stack(layers.Dense(4, name="a"), layers.BatchNormalization(name="after a"))
    x = inputs = keras.Input((4,))
    x = layers.BatchNormalization(axis=1, name="after b")(layers.Dense(4, name="b")(inner(x)))
    model = keras.Model(inputs, inner(x))
    assert names_of_norms(model) == {"a": "after a", "b": "after b"}
    models.randomize(model)
    assert_close(outputs(with_norms_folded(model), BATCH), outputs(model, BATCH), 1e-4)


class Other(layers.BatchNormalization):
    pass


def dense_is_read_twice():
    x = keras.Input((4,))
    hidden = layers.Dense(4)(x)
    return keras.Model(x, layers.Add()([layers.BatchNormalization()(hidden), hidden]))


def dense_is_an_output():
    x = keras.Input((4,))
    hidden = layers.Dense(4)(x)
    return keras.Model(x, [layers.BatchNormalization()(hidden), hidden])


def dense_is_called_twice():
    x, dense = keras.Input((4,)), layers.Dense(4)
    return keras.Model(x, layers.BatchNormalization()(dense(dense(x))))


def norm_of_positions():
    x = keras.Input((3, 4))
    return keras.Model(x, layers.BatchNormalization(axis=1)(layers.Dense(4)(x)))


def norm_is_called_twice():
    x, norm = keras.Input((4,)), layers.BatchNormalization()
    return keras.Model(x, layers.Dense(4)(norm(norm(layers.Dense(4)(x)))))


def norm_of_two_layers():
    x, norm = keras.Input((4,)), layers.BatchNormalization()
    return keras.Model(x, [norm(layers.Dense(4)(x)), norm(layers.Dense(4)(x))])


def dense_is_called_again_elsewhere():
    x, dense = keras.Input((4,)), layers.Dense(4)
    return keras.Model(x, [layers.BatchNormalization()(dense(x)), dense(2 * x)])


def dense_is_read_by_an_operation():
    x = keras.Input((4,))
    hidden = layers.Dense(4)(x)
    return keras.Model(x, layers.BatchNormalization()(hidden) + hidden)


def dense_is_read_by_a_second_call():
    x, relu = keras.Input((4,)), layers.ReLU()
    hidden, first = layers.Dense(4)(x), relu(x)
    return keras.Model(x, [layers.BatchNormalization()(hidden), first, relu(hidden)])


class DenseIsCalledBesideTheGraph(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        x = keras.Input((4,))
        self.dense = layers.Dense(4)
        self.inner = keras.Model(x, layers.BatchNormalization()(self.dense(x)))

    def call(self, x):
        return self.inner(x) + self.dense(x)


@pytest.mark.parametrize(
    "build",
    [
        DenseIsCalledBesideTheGraph,
        norm_is_called_twice,
        norm_of_two_layers,
        dense_is_called_again_elsewhere,
        dense_is_read_by_an_operation,
        dense_is_read_by_a_second_call,
        dense_is_read_twice,
        dense_is_an_output,
        dense_is_called_twice,
        norm_of_positions,
        lambda: stack(layers.Dense(4, "relu"), layers.BatchNormalization()),
        lambda: stack(layers.Dense(4), layers.ReLU(), layers.BatchNormalization()),
        lambda: stack(layers.Dense(4), layers.LayerNormalization()),
        lambda: stack(layers.Dense(4), Other()),
        lambda: stack(layers.BatchNormalization(), layers.Dense(4)),
        lambda: stack(layers.EinsumDense("ab,bc->ac", (4,)), layers.BatchNormalization()),
    ],
)
def test_norms_that_see_something_else_stay(build):
    model = build()
    batch = BATCH if build is not norm_of_positions else np.stack([BATCH] * 3, axis=1)
    model(batch)
    models.randomize(model)
    assert_close(outputs(with_norms_folded(model), batch), outputs(model, batch), 1e-4)
    assert foldable_norms(model, can_fold_batch_norm) == {}


def test_norms_are_found_in_stacks_that_grew_layer_by_layer():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    model.add(layers.BatchNormalization())
    assert len(foldable_norms(model, can_fold_batch_norm)) == 1


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_what_stands_in_their_place_is_nothing_but_there(policy, tmp_path):
    ids = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 4, mask_zero=True)(ids)
    x = FoldedBatchNormalization(name="norm", dtype=policy)(x)
    model = keras.Model(ids, layers.GlobalAveragePooling1D()(x))
    without = keras.Model(ids, layers.GlobalAveragePooling1D()(model.layers[1].output))
    given_ids = np.array([[3, 5, 7, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
    for each in (model, saved_and_loaded(model, tmp_path)):
        norm = each.get_layer("norm")
        assert (norm.dtype_policy.name, norm.weights) == (policy, [])
        # The mean would be another one without the mask.
        assert_close(outputs(each, given_ids), outputs(without, given_ids), 1e-3)


@pytest.mark.parametrize("name", ["subclassed", "nested_three_deep", "convolutional"])
def test_models_with_norms_taken_in_are_loaded_from_files(name, tmp_path):
    model, batch = models.build(name)
    small = with_norms_folded(model)
    kinds = [type(layer) for layer in flatten_layers(small)]
    assert (FoldedBatchNormalization in kinds) == (name != "convolutional")
    assert_close(outputs(small, batch), outputs(model, batch), 1e-4)
    assert_close(outputs(saved_and_loaded(small, tmp_path), batch), outputs(small, batch), 1e-6)
