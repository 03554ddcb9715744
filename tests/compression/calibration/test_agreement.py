import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.calibration.agreement import measure_agreement
from dart_keras.model_surgery import copy_model

RNG = np.random.default_rng(0)


def model():
    x = keras.Input((4,))
    classes = layers.Dense(3, activation="softmax", name="classes")(x)
    return keras.Model(x, [classes, layers.Dense(1, name="size")(x)])


def batches(rows, size=32):
    return [RNG.normal(size=(size, 4)).astype("float32") for _ in range(rows // size)]


def test_a_copy_agrees_in_everything():
    original = model()
    agreement = measure_agreement(original, copy_model(original)[0], batches(64))
    assert agreement.rows == 64
    assert [each["name"] for each in agreement.outputs] == ["classes", "size"]
    assert agreement.outputs[0]["argmax_agreement"] == 1
    assert agreement.shortfalls() == []


def test_each_output_is_judged_by_its_kind():
    original = model()
    small, _ = copy_model(original)
    small.get_layer("classes").kernel.assign(-small.get_layer("classes").kernel)
    agreement = measure_agreement(original, small, batches(64))
    [text] = agreement.shortfalls()
    assert text.startswith("output 'classes' has ")
    assert text.endswith("rows with the same argmax (limit 90.0%)")
    small.get_layer("size").kernel.assign(-small.get_layer("size").kernel)
    agreement = measure_agreement(original, small, batches(64))
    assert agreement.shortfalls()[1] == "output 'size' has -6.0 dB (limit 15 dB)"


def test_so_many_rows_are_enough_and_they_are_from_everywhere():
    original = model()
    small, _ = copy_model(original)
    many = batches(8 * 1024)
    agreement = measure_agreement(original, small, many)
    assert agreement.rows == 1024
    # Only in the batches that are used.
    for batch in many[::8]:
        batch[:] = 1e9
    assert measure_agreement(original, small, many).outputs[1]["relative_error"] == 0
    many[-8][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"of the compressed model .* finite"):
        measure_agreement(original, small, many)
