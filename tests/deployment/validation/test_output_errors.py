import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dart_keras.deployment import ConversionError
from dart_keras.deployment.errors import InaccurateError
from dart_keras.deployment.validation.output_errors import check, compare

ARRAYS = hnp.arrays("float32", (5, 3), elements=st.floats(-100, 100, width=32))


@given(ARRAYS)
def test_equal_outputs_have_no_error(values):
    (result,) = compare([values], [values], ["y"])
    assert result["max_abs_error"] == result["relative_error"] == 0
    assert result["sqnr_db"] is None
    assert result["argmax_agreement"] == 1
    check([result], "float32", "litert")


@given(ARRAYS, ARRAYS)
def test_errors_are_what_numpy_says(want, got):
    (result,) = compare([want], [got], ["y"])
    error = np.abs(want.astype("float64") - got)
    assert result["max_abs_error"] == pytest.approx(error.max())
    assert result["mean_abs_error"] == pytest.approx(error.mean())


def test_zeros_in_place_of_a_signal_are_at_zero_decibels():
    want = np.ones((4, 2), "float32")
    (result,) = compare([want], [0 * want], ["y"])
    assert result["sqnr_db"] == 0
    with pytest.raises(ConversionError, match=r"'y' on litert.* 0\.0 dB.*'int8'"):
        check([result], "int8", "litert")
    with pytest.raises(ConversionError, match=r"relative error of 0\.001: .*Received: 1"):
        check([result], "float32", "litert")
    worse = compare([want], [-want], ["y"])
    with pytest.raises(ConversionError, match=r"'y' on tflm.*-6.0 dB.*'int8'"):
        check(worse, "int8", "tflm")


def test_a_caller_may_ask_for_more_decibels():
    want = np.ones((4, 2), "float32")
    results = compare([want], [1.1 * want], ["y"])
    check(results, "int8", "litert", 19.9)
    message = r"'y' on tflm .*at least 20\.1 dB.* Received: 20\.0 dB.*'int8'"
    with pytest.raises(InaccurateError, match=message) as caught:
        check(results, "int8", "tflm", 20.1)
    assert caught.value.runtime == "tflm"
    assert caught.value.outputs == results
    check(compare([want], [want], ["y"]), "int8", "tflm", 20.1)


def test_integers_are_counted():
    (result,) = compare([np.array([1, 2])], [np.array([1, 3])], ["y"])
    assert result == {"name": "y", "equal": 0.5}


def test_impossible_outputs_are_refused():
    want = np.ones((2, 2), "float32")
    with pytest.raises(ConversionError, match=r"\(2, 2\). Received: \(2, 3\)"):
        compare([want], [np.ones((2, 3))], ["y"])
    with pytest.raises(ConversionError, match="Expected output 'y' to be finite"):
        compare([want], [want * np.nan], ["y"])
    with pytest.raises(ConversionError, match=r"'y' of the Keras model .* all 2 rows"):
        compare([want * np.inf], [want], ["y"])
    # No figures of the outputs that are finite.
    with pytest.raises(ConversionError, match=r"'z' of the Keras model .* 1 of 2 rows \(1\)"):
        compare([want, want * [[1], [np.nan]]], [want, want], ["y", "z"])
