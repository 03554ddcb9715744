import re
import warnings

import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.convert import convert_unjudged
from dart_keras.deployment.errors import InaccurateError
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.deployment.validation.precision import (
    drowned_inputs,
    imprecision_reason,
    judge_precision,
)
from dart_keras.model_surgery.finite_weights import BadWeight
from tests.deployment import models


def results(*decibels):
    return [{"name": f"y{k}", "sqnr_db": value} for k, value in enumerate(decibels)]


def test_the_worst_output_decides():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge_precision([*results(15, 90, None), {"name": "ids", "equal": 0.5}], "tflm", "int8", "")
    with pytest.warns(UserWarning, match=r"'y1' on tflm .*14\.9 dB .* 18% .*'int8'.* Because\."):
        judge_precision(results(20, 14.9, 15), "tflm", "int8", "Because.")
    message = r"'y0' on litert .*at least 6 dB\. Received: .*5\.9 dB .* 51% .*Because\."
    with pytest.raises(InaccurateError, match=message) as caught:
        judge_precision(results(5.9, 14), "litert", "int8", "Because.")
    assert caught.value.runtime == "litert"
    assert caught.value.outputs == results(5.9, 14)


def sensors(scales):
    """A model that normalizes its inputs itself, and rows for it."""
    rows = (models.ROWS[:, :4] * scales).astype("float32")
    normalize = keras.layers.Normalization()
    normalize.adapt(rows)
    keras.utils.set_random_seed(0)
    x = keras.Input((4,), name="sensors")
    return keras.Model(x, keras.layers.Dense(1, name="state")(normalize(x))), rows


def test_features_of_very_different_scale_are_the_reason():
    model, rows = sensors([1e5, 1, 1, 1])
    reason = r"'sensors' has one scale .*3 of 4 \(1, 2, 3\) .*feature 0 varies by .*split the input"
    with pytest.raises(ConversionError, match=rf"'state' on litert .* dB .*'int16x8'.*{reason}"):
        convert(model, quantization="int16x8", calibration_data=rows)
    model, rows = sensors([60, 1, 1, 1])
    with pytest.warns(UserWarning, match=rf"'state' on litert .* dB .*{reason}") as caught:
        convert(model, quantization="int8", calibration_data=rows)
    [warning] = [each for each in caught if "imprecise" in str(each.message)]
    assert warning.filename == __file__


def test_a_limit_of_ones_own_takes_the_place_of_the_others():
    model, rows = sensors([60, 1, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        artifact = convert(model, quantization="int8", calibration_data=rows, min_sqnr_db=1)
        # A file that is only measured.
        sizes = convert_unjudged(model, "raspberry-pi", "int8", rows)
    assert artifact.quantization == "int8"
    assert artifact.content == sizes.content
    # It was taken as it is, so that it is no worse for other rows.
    assert artifact.verify(rows[:32])


@pytest.mark.parametrize(
    ("scale", "rows", "found"),
    [
        (1.0, [[0, 0, 3], [200, 15, 3]], r"1 of 3 \(1\) vary by fewer than 16 .*feature 0 .* 200"),
        (1.0, [[0, 0], [200, 16]], None),
        (None, [[0, 0], [200, 1]], None),
        (1.0, [[0], [1]], None),
        (1.0, [0, 1], None),
        # Of a sequence, the features are on the last axis.
        (1.0, [[[0, 0], [200, 1]], [[0, 0], [0, 0]]], r"1 of 2 \(1\)"),
        (1.0, [[0, *[0] * 7], [200, *[1] * 7]], r"7 of 8 \(1, 2, 3, 4, 5, \.\.\.\)"),
    ],
)
def test_features_with_few_steps(scale, rows, found):
    info = TensorInfo("x", (1,), "int8", scale, None if scale is None else 0)
    text = drowned_inputs([info], [np.array(rows, "float32")])
    assert text is None if found is None else re.search(found, text)


def test_what_else_may_be_the_reason():
    info = TensorInfo("x", (1, 2), "int8", 0.1, 0)
    even = [np.array([[0, 0], [5, 5]], "float32")]
    assert "random inputs" in imprecision_reason([info], None, "int8")
    assert "'int16x8'" in imprecision_reason([info], even, "int8")
    assert "'int16x8'" not in imprecision_reason([info], even, "int16x8")
    infinite = [BadWeight("mask", "values", 0, 1)]
    assert "1 infinite in 'values'" in imprecision_reason([info], even, "int8", infinite)
    assert "infinite" not in imprecision_reason([info], even, "float32", infinite)
