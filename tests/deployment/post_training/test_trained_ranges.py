import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError
from dart_keras.deployment.post_training.tflite_converter import FileConverter
from dart_keras.deployment.post_training.trained_ranges import (
    check_integers,
    rows_in_range,
    with_learned_ranges,
)
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from dart_keras.quantization import quantize_aware
from tests.deployment import models


def test_other_models_keep_their_scheme():
    assert with_learned_ranges(SCHEMES["int8"], models.dense(), "raspberry-pi") is SCHEMES["int8"]


def test_operators_left_in_float_are_named_with_their_layers():
    model = models.dense()
    function = export(model, model_signature(model).resolved(None))
    file = FileConverter(function, SCHEMES["float32"], ()).model()
    with pytest.raises(ConversionError, match="left in float") as caught:
        check_integers(file, function)
    assert set(caught.value.operators) == {"FULLY_CONNECTED", "SOFTMAX"}
    assert set(caught.value.layers) == {layer.path for layer in model.layers}


def test_rows_are_within_the_ranges_of_the_inputs():
    model = keras.Sequential([keras.Input((6,), name="given"), keras.layers.Dense(2)])
    aware = quantize_aware(model)
    x = np.random.default_rng(0).uniform(3, 7, size=(64, 6))
    aware.compile("adam", "mse")
    aware.fit(x, x[:, :2], epochs=1, verbose=0)
    [rows] = rows_in_range(
        aware, model_signature(aware).inputs, [np.random.default_rng(1).normal(size=(200, 6))]
    )
    assert rows.dtype == "float32"
    assert rows.min() == 0
    assert 6.5 < rows.max() <= 7
