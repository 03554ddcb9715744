import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense
from dart_keras.model_surgery.finite_weights import BadWeight, bad_weights, check_no_nans


def nested():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep")], name="inner")
    x = keras.Input((8,))
    y = inner(TTDense(4, ranks=2, name="cores")(x))
    return keras.Model(x, keras.layers.BatchNormalization(name="norm")(y), name="outer")


def spoil(weight, value, place=0):
    values = keras.ops.convert_to_numpy(weight).copy()
    values.flat[place] = value
    weight.assign(values)


def test_weights_at_any_depth_are_named():
    model = nested()
    assert bad_weights(model) == []
    check_no_nans(model)
    spoil(model.get_layer("norm").moving_variance, np.nan)
    spoil(model.get_layer("inner").layers[0].kernel, np.inf)
    spoil(model.get_layer("inner").layers[0].kernel, np.nan, 1)
    spoil(model.get_layer("cores").cores[1], np.nan)
    found = bad_weights(model)
    assert {(each.layer, each.nans, each.infinite) for each in found} == {
        ("cores", 1, 0),
        ("inner/deep", 1, 1),
        ("norm", 1, 0),
    }
    with pytest.raises(ValueError, match=r"Received: model 'outer' .*'cores'.*'norm'"):
        check_no_nans(model)


def test_a_weight_in_words():
    assert (
        str(BadWeight("a/b", "kernel", 2, 3)) == "2 NaN and 3 infinite in 'kernel' of layer 'a/b'"
    )
    assert str(BadWeight("a", "bias", 0, 1)) == "1 infinite in 'bias' of layer 'a'"


def test_weights_of_the_model_itself_and_infinite_ones():
    class Own(keras.Model):
        def build(self, shape):
            self.shift = self.add_weight(shape=(3,), name="shift")
            self.count = self.add_weight(shape=(), dtype="int32", initializer="zeros")

        def call(self, x):
            return x + self.shift

    model = Own(name="own")
    model(np.zeros((1, 3), "float32"))
    spoil(model.shift, -np.inf)
    assert bad_weights(model) == [BadWeight("own", "shift", 0, 1)]
    # As a mask has them.
    check_no_nans(model)
    spoil(model.shift, np.nan)
    with pytest.raises(ValueError, match="1 NaN in 'shift' of layer 'own'"):
        check_no_nans(model)


def test_weights_of_half_precision():
    layer = keras.layers.Dense(2, dtype="bfloat16", name="half")
    model = keras.Sequential([keras.Input((2,)), layer])
    spoil(layer.kernel, np.nan)
    assert [each.layer for each in bad_weights(model)] == ["half"]
