import keras
import numpy as np
import pytest

from dart_keras.private_apis import (
    changing_state,
    remove_sublayer,
    replace_variables,
    share_variables,
)


class Three(keras.layers.Layer):
    def build(self, input_shape):
        self.parts = [self.add_weight(shape=(2,), name=f"part_{k}") for k in range(2)]
        self.bias = self.add_weight(shape=(3,), name="bias")
        self.counter = self.add_weight(shape=(), trainable=False, name="counter")
        self.built = True

    def call(self, inputs):
        return inputs


def built():
    layer = Three(name="three")
    layer.build((None, 2))
    return layer


def test_a_built_layer_is_locked_and_is_so_again_afterwards():
    layer = built()
    with pytest.raises(ValueError, match="cannot add new elements"):
        layer.more = keras.Variable(1.0)
    with changing_state(layer):
        layer.more = keras.Variable(1.0)
    assert any(weight is layer.more for weight in layer.weights)
    with pytest.raises(ValueError, match="cannot add new elements"):
        layer.even_more = keras.Variable(1.0)


def test_the_lock_comes_back_after_an_error():
    layer = built()
    with pytest.raises(KeyError), changing_state(layer):
        raise KeyError
    with pytest.raises(ValueError, match="cannot add new elements"):
        layer.more = keras.Variable(1.0)


def test_a_layer_that_was_not_locked_stays_so():
    layer = Three()
    with changing_state(layer):
        pass
    layer.more = keras.Variable(1.0)
    assert any(weight is layer.more for weight in layer.weights)


def test_variables_are_replaced_in_their_places():
    layer = built()
    old, bias, counter = layer.parts, layer.bias, layer.counter
    new = replace_variables(
        layer, old, lambda: [layer.add_weight(shape=(5,), name=f"part_{k}") for k in range(2)]
    )
    assert [id(v) for v in layer.trainable_weights] == [id(v) for v in [*new, bias]]
    assert [id(v) for v in layer.weights] == [id(v) for v in [*new, bias, counter]]
    assert [tuple(w.shape) for w in layer.get_weights()] == [(5,), (5,), (3,), ()]
    layer.set_weights([np.full(v.shape, 2.0) for v in layer.weights])
    assert float(new[0][0]) == float(bias[0]) == float(counter) == 2
    assert [v.path for v in new] == [v.path for v in old]


def test_a_model_sees_the_new_variables():
    layer = built()
    model = keras.Sequential([keras.Input((2,)), layer])
    new = replace_variables(
        layer, layer.parts, lambda: [layer.add_weight(shape=(5,), name=f"p{i}") for i in range(2)]
    )
    assert len(model.trainable_variables) == 3
    assert model.trainable_variables[0] is new[0]
    assert model.count_params() == 5 + 5 + 3 + 1


def test_a_sublayer_is_removed_with_its_variables():
    layer = built()
    with changing_state(layer):
        layer.gates = keras.layers.Dense(2)
    layer.gates.build((None, 2))
    assert len(layer.weights) == 6
    remove_sublayer(layer, "gates")
    assert layer.gates is None
    assert len(layer.weights) == 4
    with pytest.raises(ValueError, match="cannot add new elements"):
        layer.more = keras.Variable(1.0)


def test_variables_are_shared_in_their_places():
    layer, other = built(), built()
    pairs = zip(layer.weights, other.weights, strict=True)
    share_variables(layer, {id(mine): theirs for mine, theirs in pairs})
    assert [id(v) for v in layer.weights] == [id(v) for v in other.weights]
    assert [id(v) for v in layer.trainable_variables] == [id(v) for v in other.trainable_variables]
    assert layer.bias is other.bias
    assert all(a is b for a, b in zip(layer.parts, other.parts, strict=True))
    other.bias.assign([1.0, 2.0, 3.0])
    assert np.array_equal(layer.get_weights()[2], [1, 2, 3])
    with pytest.raises(ValueError, match="cannot add new elements"):
        layer.more = keras.Variable(1.0)


def test_a_model_trains_the_shared_variables():
    models = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(2)]
    layers = [model.layers[0] for model in models]
    pairs = zip(layers[0].weights, layers[1].weights, strict=True)
    share_variables(layers[0], {id(mine): theirs for mine, theirs in pairs})
    before = layers[1].get_weights()
    models[0].compile("sgd", "mse")
    models[0].fit(np.ones((4, 2)), np.full((4, 1), 9.0), verbose=0)
    assert not np.array_equal(layers[1].get_weights()[0], before[0])
    x = np.ones((1, 2))
    assert np.array_equal(models[0].predict(x, verbose=0), models[1].predict(x, verbose=0))
