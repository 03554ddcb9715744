import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.saved_models import keras2_operations
from dart_keras.saved_models.keras2_operations import operation_arguments, operation_config


@pytest.mark.parametrize("function", {**keras2_operations._OF_ONE, **keras2_operations._OF_TWO})
def test_operations_compute_what_the_functions_do(function):
    is_of_two = function in keras2_operations._OF_TWO
    values = np.random.default_rng(0).uniform(0.1, 8.0, (2 if is_of_two else 1, 3, 4))
    arguments = [tf.constant(each, "float32") for each in values]
    name = "math.add" if function == "__operators__.add" else function
    expected = tf
    for part in name.split("."):
        expected = getattr(expected, part)
    operation = keras.saving.deserialize_keras_object(operation_config(function, "own"))
    assert operation.name == "own"
    np.testing.assert_allclose(operation(*arguments), expected(*arguments), rtol=1e-5, atol=1e-6)


def test_others_are_not_known():
    assert operation_config("image.resize", "own") is None


def test_arguments_are_tensors_and_numbers():
    assert operation_arguments([["x", 0, 0, {"y": 2, "name": None}]]) == [["x", 0, 0], 2]
    assert operation_arguments([["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 1, 0]}]]) == [
        1.0,
        ["x", 1, 0],
    ]
    assert operation_arguments(["x", 0, 0, {"name": None}]) == [["x", 0, 0]]
    for more in ([["x", 0, 0, {"axis": 1}]], [["x", 0, 0, {}], ["y", 0, 0, {}]]):
        assert operation_arguments(more) is None
