import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from tests.deployment import models


def spoil(weight, value):
    values = keras.ops.convert_to_numpy(weight).copy()
    values.flat[0] = value
    weight.assign(values)


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "int8", "int16x8"])
@pytest.mark.parametrize("build", [models.dense, models.tt_dense])
def test_weights_that_are_nan_are_refused_in_every_recipe(build, quantization):
    model = build()
    layer = model.layers[0]
    spoil(layer.weights[0], np.nan)
    with pytest.raises(ValueError, match=rf"1 NaN in '.*' of layer '{layer.name}'"):
        convert(model, quantization=quantization, calibration_data=models.ROWS)


def test_infinite_weights_are_to_blame_where_outputs_are_not_finite():
    model = models.dense()
    spoil(model.layers[0].kernel, np.inf)
    message = rf"Received: NaN .* rows .*1 infinite in 'kernel' of layer '{model.layers[0].name}'"
    with pytest.raises(ConversionError, match=message):
        convert(model, quantization="int8", calibration_data=models.ROWS)


class Masked(keras.layers.Layer):
    """A softmax over the classes that a constant allows."""

    def build(self, shape):
        self.mask = self.add_weight(shape=shape[1:], initializer="zeros", name="mask")

    def call(self, x):
        return keras.ops.softmax(x + self.mask)


def test_a_mask_may_be_infinite_where_floats_are():
    model = keras.Sequential([*models.dense().layers[:1], keras.layers.Dense(3), Masked()])
    model.build((None, 20))
    spoil(model.layers[-1].mask, -np.inf)
    artifact = convert(model, calibration_data=models.ROWS)
    [output] = artifact.report["runtimes"]["litert"]["outputs"]
    assert output["relative_error"] < 1e-5
    with pytest.raises(ConversionError, match=r"no infinity.* 1 infinite in 'mask' of layer"):
        convert(model, quantization="int16x8", calibration_data=models.ROWS)


def test_one_output_of_three_that_is_not_finite_is_named():
    x = keras.Input((20,), name="features")
    outputs = [keras.layers.Dense(2, name="first")(x), keras.ops.log(x - 10), 2 * x]
    model = keras.Model(x, outputs)
    with pytest.raises(ConversionError, match=r"'log' .* all 64 rows.* logarithm"):
        convert(model, calibration_data=models.ROWS)
    # Nothing is known of the inputs that it will meet.
    with pytest.raises(ConversionError, match=r"'log' .*random inputs: give `calibration_data`"):
        convert(model)


def test_rows_of_padding_only_are_named():
    ids = models.RNG.integers(1, 200, size=(1025, 6))
    ids[[65, 130]] = 0
    x = keras.Input((6,), dtype="int32")
    y = keras.layers.Embedding(200, 4, mask_zero=True)(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(y)))
    message = r"1 of 3 rows \(1\)\. Leave out all rows of this kind, such as rows of padding only"
    with pytest.raises(ConversionError, match=message):
        convert(model, calibration_data=ids[64:67])
    artifact = convert(model, calibration_data=ids[:65])
    with pytest.raises(ConversionError, match=r"2 of 1025 rows \(65, 130\)"):
        artifact.verify(ids)
    # 64 rows are compared, and called what they are among those that were given.
    ids[:] = 1
    ids[1023] = 0
    with pytest.raises(ConversionError, match=r"1 of 64 rows \(1023\)"):
        convert(model, calibration_data=ids[:1024])


def lookup(table):
    layers = [keras.Input((3,), dtype="int32"), table, keras.layers.GlobalAveragePooling1D()]
    return keras.Sequential(layers)


@pytest.mark.parametrize("table", [keras.layers.Embedding, models.TTEmbedding])
def test_ids_beyond_a_table_are_told_in_plain_words(table):
    model = lookup(table(50, 4))
    ids = np.full((3, 3), 70)
    with pytest.raises(ValueError, match=r"Received: rows of which it says: .*50\)[^\n]*$"):
        convert(model, quantization="int8", calibration_data=ids)


def test_ids_of_rows_that_only_calibrate_are_beyond_the_table():
    ids = np.zeros((200, 3), "int32")
    # Of 200 rows 64 are compared, and this is none of them.
    ids[1] = 70
    with pytest.raises(ValueError, match="a row of `calibration_data`"):
        convert(lookup(keras.layers.Embedding(50, 4)), quantization="int8", calibration_data=ids)
