import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.runtimes import litert, tflm
from dart_keras.deployment.runtimes.row_slices import MINIMUM_ROWS
from dart_keras.deployment.validation import target_check
from dart_keras.devices import DEVICES
from tests.deployment import models


def test_a_quantized_model_that_is_all_noise_is_refused():
    # The difference of two large numbers, each known to one part in 256.
    first, second = keras.Input((4,)), keras.Input((4,))
    hidden = keras.ops.maximum(first * second + 1e4 * second, second)
    model = keras.Model([first, second], hidden - 1e4 * second)
    rows = models.RNG.normal(size=(2, 32, 4))
    with pytest.raises(ConversionError, match=r"on litert to be stronger.*dB.*'int8'"):
        convert(model, quantization="int8", calibration_data=tuple(rows))


def test_a_kernel_that_fails_while_it_runs_is_named_with_its_layer():
    # The quantized divisor comes out as zero.
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Lambda(lambda x: 1e-6 / x, name="inverse")]
    )
    rows = np.array([[1e6, 1e6], [1e-6, 1e-6]])
    with pytest.raises(ConversionError, match=r"LiteRT cannot run.*Operator: DIV.*inverse"):
        convert(model, quantization="int8", calibration_data=rows)


@pytest.mark.parametrize("target", ["raspberry-pi", "microcontroller"])
def test_int16x8_where_int8_is_too_far_off(target):
    model, rows = models.drowned(), models.DROWNED_ROWS
    wanted = {"target": target, "quantization": "int8", "calibration_data": rows}
    plain = convert(model, **wanted, min_sqnr_db=1)
    runtime = DEVICES[target].runtimes[-1]
    [output] = plain.report["runtimes"][runtime]["outputs"]
    assert output["sqnr_db"] < 15
    artifact = convert(model, **wanted, min_sqnr_db=30)
    assert artifact.quantization == artifact.report["quantization"] == "int16x8"
    assert artifact.report["runtimes"][runtime]["outputs"][0]["sqnr_db"] >= 30
    assert artifact.report["refused"] == {
        "quantization": "int8",
        "runtime": runtime,
        "outputs": [output],
    }
    assert f"int8       refused on {runtime}" in str(artifact)
    # What int8 is good enough for stays int8.
    artifact = convert(model, **wanted, min_sqnr_db=output["sqnr_db"] - 0.1)
    assert artifact.content == plain.content
    assert artifact.report["refused"] is None


def test_files_that_are_not_good_enough_in_int16x8_either_are_refused():
    message = r"at least 90 dB.* Received: .* dB with .*'int8'.*Received: .* dB with .*'int16x8'"
    wanted = {"calibration_data": models.ROWS, "min_sqnr_db": 90}
    with pytest.raises(ConversionError, match=message):
        convert(models.dense(), quantization="int8", **wanted)
    with pytest.raises(
        ConversionError, match=r"^Expected output .* on litert .* 90 dB.*'int16x8'\.$"
    ):
        convert(models.dense(), quantization="int16x8", **wanted)
    # There is no ELU of int16.
    elu = keras.layers.Activation("elu")
    model = keras.Sequential([keras.Input((20,)), *models.dense().layers, elu])
    with pytest.raises(ConversionError, match=r"Received: .* dB with .*'int8'.*Operator: ELU"):
        convert(model, quantization="int8", **wanted)


def test_of_a_model_that_is_slow_a_few_rows_are_compared(monkeypatch):
    # Every row takes longer than the seconds that there are for one, and for all.
    for module in (litert, tflm):
        monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(target_check, "ROW_SECONDS", 0.0)
    model, rows = models.dense(), models.ROWS
    artifact = convert(model, "microcontroller", calibration_data=rows)
    assert artifact.report["compared_rows"] == MINIMUM_ROWS < len(rows)
    for runtime in artifact.report["runtimes"].values():
        assert runtime["rows"] == MINIMUM_ROWS
        assert runtime["outputs"][0]["relative_error"] < 1e-3
    # Whoever asks for the outputs of rows gets them all.
    assert len(artifact.predict(rows)) == len(rows)
