import keras
import numpy as np
import pytest

from dart_keras.private_apis import (
    describes_its_layers,
    replace_sublayers,
    sublayer_at,
    sublayers,
)
from dart_keras.private_apis.keras_sublayers import OF_TENSORFLOW

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


class Around(keras.layers.Layer):
    """Holds layers in every kind of container, and one of them twice."""

    def __init__(self):
        super().__init__()
        make = [keras.layers.Dense(4, name=name) for name in "abcdef"]
        self.alone, self.listed, self.named = make[0], [make[1], [make[2]]], {"d": make[3]}
        self.pair, self.again = (make[4], make[5]), make[0]

    def build(self, input_shape):
        for _, layer in sublayers(self):
            if not layer.built:
                layer.build(input_shape)

    def call(self, x):
        for layer in (self.alone, self.listed[0], self.listed[1][0], self.named["d"], *self.pair):
            x = layer(x)
        return self.again(x)


class SelfAttention(keras.layers.Layer):
    """Its attribute's name begins as those that TensorFlow sets."""

    def __init__(self):
        super().__init__()
        self._self_attention_layer = keras.layers.Dense(4, name="a")

    def build(self, input_shape):
        self._self_attention_layer.build(input_shape)

    def call(self, x):
        return self._self_attention_layer(x)


class Subclass(keras.Model):
    def __init__(self):
        inputs = keras.Input((4,))
        super().__init__(inputs, keras.layers.Dense(4, name="a")(inputs))


def functional():
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(4, name="a")
    return keras.Model(inputs, keras.layers.Dense(2, name="b")(dense(dense(inputs))))


def sequential():
    stack = [keras.Input((4,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(2, name="b")]
    return keras.Sequential(stack)


def around():
    layer = Around()
    layer.build((None, 4))
    return layer


def as_dense(layer, factor):
    new = keras.layers.Dense(layer.units, name=f"{layer.name}_new")
    new.build((None, 4))
    new.set_weights([factor * weight for weight in layer.get_weights()])
    return new


@pytest.mark.parametrize("make", [functional, sequential, around])
def test_keys_lead_to_the_sublayers(make):
    holder = make()
    found = list(sublayers(holder))
    assert all(sublayer_at(holder, keys) is layer for keys, layer in found)
    dense = {layer.name for _, layer in found if isinstance(layer, keras.layers.Dense)}
    assert dense == {w.path.split("/")[-2] for w in holder.weights}


def test_every_way_to_a_sublayer_is_found():
    holder = around()
    ways = [tuple(keys) for keys, layer in sublayers(holder) if layer is holder.alone]
    assert ways == [("alone",), ("again",)]
    assert ("listed", 1, 0) in [keys for keys, _ in sublayers(holder)]


def test_which_models_have_their_layers_in_their_config():
    assert describes_its_layers(functional())
    assert describes_its_layers(sequential())
    assert not describes_its_layers(Subclass())
    assert not describes_its_layers(around())


@pytest.mark.parametrize("make", [functional, sequential, around, Subclass])
def test_the_new_layers_are_used_everywhere_and_the_old_ones_nowhere(make):
    holder = make()
    shapes, before = [w.shape for w in holder.weights], np.array(holder(X))
    dense = {id(each): each for _, each in sublayers(holder) if hasattr(each, "kernel")}
    same = {key: as_dense(layer, 1) for key, layer in dense.items()}
    replace_sublayers(holder, same)
    np.testing.assert_allclose(holder(X), before, atol=1e-6)
    assert [w.shape for w in holder.weights] == shapes
    assert {id(w) for w in holder.weights} == {id(w) for new in same.values() for w in new.weights}
    assert not dense.keys() & {id(layer) for _, layer in sublayers(holder)}

    replace_sublayers(holder, {id(new): as_dense(new, 0) for new in same.values()})
    assert not np.any(holder(X))


@pytest.mark.parametrize("make", [functional, sequential])
def test_the_graph_is_that_of_the_new_layers(make):
    model = make()
    old = model.get_layer("a")
    new = as_dense(old, 1)
    # It may have been called already, by itself or in another model.
    elsewhere = keras.Input((4,))
    other = keras.Model(elsewhere, new(elsewhere))
    expected, alone = np.array(model(X)), np.array(other(X))
    replace_sublayers(model, {id(old): new})
    for copy in (
        model,
        keras.models.clone_model(model),
        type(model).from_config(model.get_config()),
    ):
        copy.set_weights(model.get_weights())
        np.testing.assert_allclose(copy(X), expected, atol=1e-6)
        assert [layer.name for layer in copy.layers if layer.weights] == ["a_new", "b"]
    np.testing.assert_allclose(other(X), alone)


def test_a_layer_that_the_holder_has_already_can_replace_another():
    holder = around()
    replaced = holder.listed[0]
    replace_sublayers(holder, {id(replaced): holder.alone})
    assert holder.listed[0] is holder.alone
    assert len(holder.weights) == 10


@pytest.mark.parametrize("make", [functional, sequential])
def test_tensorflow_can_save_what_was_changed(make, tmp_path):
    pytest.importorskip("tensorflow")
    model = make()
    old = model.get_layer("a")
    replace_sublayers(model, {id(old): as_dense(old, 1)})
    model.export(str(tmp_path / "model"), verbose=False)


def test_what_tensorflow_sets_is_known():
    layer = around()
    model = functional()
    model.save_own_variables({})
    set_by_tensorflow = {n for each in (layer, model) for n in vars(each) if n[:6] == "_self_"}
    assert set_by_tensorflow
    assert set_by_tensorflow <= OF_TENSORFLOW


def test_an_attribute_named_as_tensorflow_names_its_own():
    layer = SelfAttention()
    layer.build((None, 4))
    [(keys, old)] = sublayers(layer)
    assert list(keys) == ["_self_attention_layer"]
    new = as_dense(old, 2)
    expected = 2 * layer(X)
    replace_sublayers(layer, {id(old): new})
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5)
    assert [each for _, each in sublayers(layer)] == [new]
