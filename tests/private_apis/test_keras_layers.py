import keras
import numpy as np

from dart_keras.private_apis import (
    flatten_layers,
    flatten_operations,
    is_looked_up,
    is_reversed,
    mask_of,
    name_without_count,
    nodes_of,
    set_mask,
)


class Around(keras.layers.Layer):
    def __init__(self, *inner):
        super().__init__()
        self.inner = list(inner)
        self.built = True

    def call(self, inputs):
        return inputs


def test_layers_are_found_at_any_depth_and_once():
    shared, deep, other = (keras.layers.Dense(4) for _ in range(3))
    around = Around(Around(deep), shared)
    nested = keras.Sequential([keras.Input((4,)), shared, other])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, nested(around(shared(inputs))))
    found = flatten_layers(model)
    for layer in (shared, deep, other, around, nested):
        assert sum(each is layer for each in found) == 1
    assert not any(each is model for each in found)


def test_operations_between_layers_are_found_at_any_depth_and_once():
    inner = keras.Input((4,))
    nested = keras.Model(inner, keras.ops.sin(keras.layers.Dense(4)(inner)))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.ReLU()(nested(inputs)) + nested(inputs))
    names = sorted(type(each).__name__ for each in flatten_operations(model))
    assert names == ["Add", "Sin"]
    assert flatten_operations(keras.Sequential([keras.layers.Dense(2)])) == []


def test_ids_of_an_embedding_are_told_from_what_it_projects_back():
    ids, rows = keras.Input((4,)), keras.Input((3,))
    table = keras.layers.ReversibleEmbedding(7, 3)
    model = keras.Model([ids, rows], [table(ids), table(rows, reverse=True)])

    def is_embedding(layer):
        return isinstance(layer, keras.layers.Embedding)

    assert is_looked_up(model, model.inputs[0], is_embedding)
    assert not is_looked_up(model, model.inputs[1], is_embedding)
    assert not is_looked_up(model, model.inputs[0], lambda layer: False)
    calls = [is_reversed(node) for node in nodes_of(model) if node.operation is table]
    assert sorted(calls) == [False, True]


def test_calls_of_operations_and_repeated_ones_are_among_the_nodes():
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(4)
    hidden = dense(dense(inputs))
    model = keras.Model(inputs, hidden + inputs)
    called = [node.operation for node in nodes_of(model)]
    assert sum(each is dense for each in called) == 2
    assert any(not isinstance(each, keras.layers.Layer) for each in called)
    assert any(node.output_tensors[0] is hidden for node in nodes_of(model))


def test_nodes_of_a_stack_that_grew_are_those_of_its_layers():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.add(keras.layers.ReLU())
    assert {id(each) for each in model.layers} <= {id(node.operation) for node in nodes_of(model)}


class Masked(keras.layers.Layer):
    """Masks from within its call, and by nothing else."""

    def call(self, inputs):
        outputs = keras.ops.expand_dims(keras.ops.cast(inputs, "float32"), -1)
        set_mask(outputs, keras.ops.not_equal(inputs, 0))
        return outputs

    def compute_mask(self, inputs, mask=None):
        return None


IDS = np.array([[3, 4, 0, 0], [5, 0, 0, 0]])


def test_tensors_carry_their_masks():
    masked = Masked()(IDS)
    np.testing.assert_array_equal(mask_of(masked), IDS != 0)
    rows = keras.layers.Dense(2)(keras.layers.Embedding(6, 2, mask_zero=True)(IDS))
    np.testing.assert_array_equal(mask_of(rows), IDS != 0)
    assert mask_of(keras.ops.ones((2, 3))) is None


def test_later_layers_get_the_mask():
    mean = keras.layers.GlobalAveragePooling1D()(Masked()(IDS))
    np.testing.assert_allclose(mean, [[3.5], [5.0]])


def test_later_layers_of_a_model_get_the_mask():
    inputs = keras.Input((4,), dtype="int32")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(Masked()(inputs)))
    np.testing.assert_allclose(model.predict(IDS, verbose=0), [[3.5], [5.0]])


def test_it_is_the_mask_that_reversible_embedding_sets():
    layer = keras.layers.ReversibleEmbedding(6, 2, mask_zero=True)
    outputs = Masked()(IDS)
    np.testing.assert_array_equal(outputs._keras_mask, layer(IDS)._keras_mask)


def test_names_that_keras_makes_lose_their_number():
    made = [keras.layers.LayerNormalization() for _ in range(2)]
    assert {name_without_count(layer) for layer in made} == {"layer_normalization"}
    for name in ("dense_head", "block_1", "dense_1_1"):
        assert name_without_count(keras.layers.Dense(1, name=name)) == name
