import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.calibration.inference import (
    check_finite_outputs,
    infer,
    infer_checked,
)

ROWS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def test_runs_begin_from_the_same_state_and_leave_it():
    x = keras.Input(batch_shape=(2, 3, 4))
    model = keras.Model(x, layers.LSTM(5, stateful=True)(x))
    first = np.array(infer(model, ROWS))
    np.testing.assert_array_equal(infer(model, ROWS), first)
    np.testing.assert_array_equal(model(ROWS), first)
    # That run has left another state.
    assert np.any(np.array(infer(model, ROWS)) != first)


def test_dropout_rests():
    model = keras.Sequential([keras.Input((3, 4)), layers.Dropout(0.5)])
    np.testing.assert_array_equal(infer(model, ROWS), ROWS)


def test_only_what_is_checked_blames_the_data():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(2)], name="small")
    message = (
        r"(?s)^Expected `calibration_data` .*'small' takes. Received: .*\(None, 3, 4\).* says: "
    )
    with pytest.raises(ValueError, match=message):
        infer_checked(model, ROWS)
    with pytest.raises(Exception, match=r"^(?!Expected `calibration_data`)"):
        infer(model, ROWS)


def test_outputs_that_are_not_finite_are_named_with_their_rows():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="last")], name="small")
    check_finite_outputs(model, np.ones((3, 2)), np.arange(32, 35))
    outputs = np.where([[False], [True], [False]], np.nan, np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"'output_0' of the model 'small' .* 1 of 3 rows \(33\)"):
        check_finite_outputs(model, outputs, np.arange(32, 35))


@pytest.mark.parametrize("filtered", [True, False])
def test_errors_are_as_they_were_raised(filtered):
    class Refusing(layers.Layer):
        def compute_output_shape(self, input_shape):
            return input_shape

        def call(self, inputs):
            raise ValueError("No rows like these")

    model = keras.Sequential([keras.Input((3, 4)), Refusing()])
    before = keras.config.is_traceback_filtering_enabled()
    switch = [
        keras.config.disable_traceback_filtering,
        keras.config.enable_traceback_filtering,
    ]
    switch[filtered]()
    try:
        with pytest.raises(ValueError, match=r"^No rows like these$"):
            infer(model, ROWS)
        assert keras.config.is_traceback_filtering_enabled() == filtered
    finally:
        switch[before]()
